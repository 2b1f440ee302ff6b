"""The arguments of compiled kernels, declared once; the table of hyperparameters; seeds in two halves.

An engine declares its kernels' arguments by name (`array`, `number`, `Entry`). From that come the C++ parameter list
and struct Task (scripts/generate_arguments.py), and the list of values that a call is made with (`LaunchList`).

Shapes are in letters: P networks, K parameters of one, N rows of data, I inputs, O outputs, H hidden layers; SLOTS
state arrays of the optimizer. A name in a shape that is an argument of its own stands for that argument's value; any
other stands for one size in all shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.networks.plan import TrainingPlan
from gpubp.networks.settings import Settings
from gpubp.operations.averaging import UNAVERAGED
from gpubp.operations.philox import seed_words
from gpubp.operations.registry import HYPERPARAMETERS, PER_NETWORK

REAL_NAMES = {"float32": "float", "float64": "double"}


class ArgumentError(TypeError):
    """A kernel would be called with what it has not been declared to take."""


@dataclass(frozen=True)
class Argument:
    """type: "real" (the kernel's REAL), "int" or "unsigned", of 32 bits. about: one line for the C++ struct.

    shapes: of an array, one or several of different lengths; empty for an array of any shape, None for a number.
    letter: what a number is called in shapes, besides its name. written: the kernel changes the array. nullable: None
    may stand for it. aliased: the kernel reads the array by other pointers, too, so that it is never RESTRICT.
    """

    name: str
    type: str
    about: str
    shapes: tuple[tuple[str, ...], ...] | None = None
    letter: str = ""
    written: bool = False
    nullable: bool = False
    aliased: bool = False

    @property
    def is_array(self) -> bool:
        return self.shapes is not None

    @cached_property
    def by_length(self) -> dict[int, tuple[tuple[str, ...], tuple[str, ...]]]:
        """For each number of dimensions: the shape, and the numbers that other shapes name, which have to be 0."""
        shapes = self.shapes or ()
        numbers = {name for shape in shapes for name in shape if name.islower()}
        return {len(shape): (shape, tuple(sorted(numbers - set(shape)))) for shape in shapes}

    def dtype(self, real: np.dtype[Any]) -> np.dtype[Any]:
        """Of an array. real: the kernel's."""
        return real if self.type == "real" else INTEGERS[self.type]

    def __str__(self) -> str:
        """The shape as it is written."""
        return " or ".join(f"({', '.join(shape)}{',' * (len(shape) == 1)})" for shape in self.shapes or ())


INTEGERS = {"int": np.dtype(np.int32), "unsigned": np.dtype(np.uint32)}
LEAST, MOST = -(2**31), 2**31 - 1  # of a number: a C int


def array(
    name: str,
    type_: str,
    shape: str,
    about: str,
    *,
    written: bool = False,
    nullable: bool = False,
    aliased: bool = False,
) -> Argument:
    """shape: as "(P, K)", or several as "(R, order_stride) or (R,)"; "" for any."""
    shapes = tuple(tuple(re.findall(r"\w+", one)) for one in shape.split(" or ") if one)
    return Argument(name, type_, about, shapes, "", written, nullable, aliased)


def number(name: str, about: str, letter: str = "") -> Argument:
    return Argument(name, "int", about, letter=letter)


@dataclass(frozen=True)
class Entry:
    """A kernel's C function. task: what its struct Task holds; call: besides, what one call works in and on.

    restrict: no two pointers, but those marked as aliased, point to the same memory.
    """

    name: str
    engine: str
    call: tuple[Argument, ...]
    task: tuple[Argument, ...] = ()
    restrict: bool = False
    places: dict[str, Any] = field(default_factory=dict, compare=False)  # found so far: see LaunchList

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """In the order of the function's parameters."""
        return (*self.task, *self.call)


# What all trainings by kernels have in common; the networks of a call have equally many rows, and so many updates done.
NETWORKS = (
    array("params", "real", "(P, K)", "trained in place", written=True),
    array("slots_spk", "real", "(SLOTS, P, K)", "the optimizer's state arrays; null: it has none", written=True,
          nullable=True),
    array("hyper", "real", "(HYPERPARAMETERS, P)", "see optimizers.h"),
    number("n_networks", "P", "P"),
)  # fmt: skip
ORDER = (
    array("order", "int", "(R, order_stride) or (R,)", "the training rows, networks side by side; stride 0: shared"),
    number("order_stride", "at least P, and 16 more where a lane may read them"),
    array("seed_low", "unsigned", "(P,)", "of each network's seed"),
    array("seed_high", "unsigned", "(P,)", "of each network's seed"),
    array("shuffled", "int", "(n_rows, shuffled_stride)",
          "room for an epoch's order of the networks at hand; null: the given order", written=True, nullable=True,
          aliased=True),
    number("shuffled_stride", "the networks that have room there"),
    number("n_rows", "of training"),
    number("batch", "rows of an update"),
    number("first_epoch", "how many were done before"),
    number("first_update", "how many were done before"),
    number("n_epochs", "of this call"),
    array("factors", "real", "(U,)", "by which the rate is multiplied, for each epoch's updates; null: by 1",
          nullable=True),
    array("decay_factors", "real", "(U,)", "the same of L2 and weight decay", nullable=True),
)  # fmt: skip
VALIDATION = (
    array("validation", "int", "(V, validation_stride) or (V,)", "as order: the validation rows", nullable=True),
    number("validation_stride", "as order_stride"),
    number("n_validation", "validation rows"),
)
SPREAD = array("spread", "real", "(P, O)", "see engines/array/validation.py; unused where the loss classifies",
               nullable=True)  # fmt: skip
DROPOUT = (
    array("drop_below", "unsigned", "(E, H, P)", "see dropout.h; null: nothing is dropped", nullable=True),
    array("drop_scale", "real", "(E, H, P)", "see dropout.h", nullable=True),
    number("drop_stride", "from an epoch's numbers to the next one's; 0: all epochs have the same"),
)
SMOOTHING = (
    array("smooth_hit", "real", "(P,)", "see smoothing.h; null: targets are as they are", nullable=True),
    array("smooth_miss", "real", "(P,)", "see smoothing.h", nullable=True),
    array("smoothing_factors", "real", "(U,)", "as factors, of the labels' smoothing", nullable=True),
)
RESULTS = (
    array("losses", "real", "(n_epochs, P)", "sums over the rows", written=True),
    array("validation_losses", "real", "(n_epochs, P)", "the same of validation", written=True),
    array("validation_scores", "real", "(n_epochs, P)", "how many rows are right; of a regression R²", written=True),
)
RANGE = (number("first", "of the networks, or items, that the call is for"), number("last", "one beyond the last"))


class LaunchList:
    """Puts values in the order of a kernel's parameters, by name, and checks them.

    Values that are the same for many calls are kept (`keep`), and checked once.
    """

    def __init__(self, entry: Entry, dtype: np.dtype[Any], **sizes: int) -> None:
        """dtype: the kernel's REAL. sizes: of letters that are known."""
        self.entry = entry
        self.place, self._takes = _places(entry, np.dtype(dtype))
        self._kept: list[Any] = [None] * len(self.place)
        self._sizes = {"HYPERPARAMETERS": len(HYPERPARAMETERS), **sizes}
        self._open = set(self.place)

    def keep(self, values: Mapping[str, Any]) -> None:
        """For all calls from now on."""
        self._put(values, self._kept, self._sizes)
        self._open.difference_update(values)

    def call(self, values: Mapping[str, Any]) -> list[Any]:
        """One call's list, of what is kept and the rest of the values. Raises ArgumentError, naming an argument."""
        found = [*self._kept]
        self._put(values, found, dict(self._sizes))
        if not self._open <= values.keys():
            missing = ", ".join(name for name in self.place if name in self._open and name not in values)
            raise ArgumentError(f"{self.entry.name}: no value for {missing}")
        return found

    def _put(self, values: Mapping[str, Any], into: list[Any], sizes: dict[str, int]) -> None:
        """sizes: of names in shapes; those that are met are added. Numbers come first, for shapes name them.

        Small trainings are many calls: this has to be quick.
        """
        takes, place, arrays = self._takes, self.place, []
        for name, value in values.items():
            if name not in takes:
                raise ArgumentError(f"{self.entry.name} has no argument {name!r}")
            argument, dtype = takes[name]
            if dtype is not None:
                arrays.append((argument, dtype, value, place[name]))
            elif isinstance(value, int) and LEAST <= value <= MOST:
                into[place[name]] = sizes[name] = value
                if argument.letter:
                    sizes[argument.letter] = value
            else:
                raise self._wrong(argument, f"{value!r} is no int of 32 bits")
        for argument, dtype, value, at in arrays:
            if value is not None:
                self._check(argument, dtype, value, sizes)
            elif not argument.nullable:
                raise self._wrong(argument, "None")
            into[at] = value

    def _check(self, argument: Argument, dtype: np.dtype[Any], value: Any, sizes: dict[str, int]) -> None:
        """An array's dtype and shape; that it is contiguous, and on the device, is the program's to check."""
        if value.dtype != dtype:
            raise self._wrong(argument, f"{value.dtype} instead of {dtype}")
        if not argument.shapes:
            return
        shape = value.shape
        names, absent = argument.by_length.get(len(shape), NO_SHAPE)
        for name, size in zip(names, shape, strict=False):
            known = sizes.get(name)
            if known is None:
                sizes[name] = size
            elif known != size:
                raise self._wrong(argument, f"its shape is {shape}", sizes)
        if len(names) != len(shape) or (absent and any(sizes.get(name) for name in absent)):
            raise self._wrong(argument, f"its shape is {shape}", sizes)

    def _wrong(self, argument: Argument, what: str, sizes: Mapping[str, int] | None = None) -> ArgumentError:
        known = {} if sizes is None else {n: sizes[n] for s in argument.shapes or () for n in s if n in sizes}
        where = "".join(f", {name} = {size}" for name, size in known.items())
        named = f"{argument.name} {argument}".rstrip()
        return ArgumentError(f"{self.entry.name}, argument {named}: {what}{where}")


NO_SHAPE: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
_Places = tuple[dict[str, int], dict[str, tuple[Argument, "np.dtype[Any] | None"]]]


def _places(entry: Entry, dtype: np.dtype[Any]) -> _Places:
    """By name, an argument's place in the list; itself, and its dtype, None of a number."""
    found = entry.places.get(dtype.char)
    if found is None:
        place = {argument.name: at for at, argument in enumerate(entry.arguments)}
        takes = {one.name: (one, one.dtype(dtype) if one.is_array else None) for one in entry.arguments}
        found = entry.places[dtype.char] = place, takes
    return found


def pack_hyperparameters(values: Mapping[str, np.ndarray], dtype: Any) -> np.ndarray:
    """(len(HYPERPARAMETERS), P) from (P,) float64 values by name; what is derived from them is taken in float64."""
    n_networks = len(values["rate"])
    table = np.zeros((len(HYPERPARAMETERS), n_networks))
    for name, given in values.items():
        if name not in HYPERPARAMETERS:  # a factor of a layer: those are handed over in a table of their own
            continue
        table[HYPERPARAMETERS.index(name)] = given
        for row, derive in PER_NETWORK[name].derived.items() if name in PER_NETWORK else ():
            table[HYPERPARAMETERS.index(row)] = derive(given)
    return np.minimum(table, np.finfo(dtype).max).astype(dtype)


def optimizer_state(plan: TrainingPlan, params: Array) -> Array | None:
    """(slots, P, K): the state arrays of `Settings.state_arrays`, one after the other; as the plan has them from
    before, else zeros, and the weights of which params is the average the same as these. None if there are none.
    """
    names = plan.settings.state_arrays
    if not names:
        return None
    state = plan.backend.xp.zeros((len(names), *params.shape), dtype=plan.dtype)
    for i, name in enumerate(names):
        if name in plan.slots:
            state[i] = plan.backend.to_device(plan.slots[name], plan.dtype)
        elif name == UNAVERAGED:
            state[i] = params
    return state


def named_state(settings: Settings, state: Array | None) -> dict[str, Array]:
    """The state arrays (P, K) of `optimizer_state` by name."""
    names = settings.state_arrays
    return {} if state is None else {name: state[i] for i, name in enumerate(names)}


def split_seeds(backend: Backend, seeds: np.ndarray) -> tuple[Array, Array]:
    """(P,) uint32 each on the device: the low and the high half of every seed."""
    low, high = seed_words(seeds)
    return backend.to_device(low.astype(np.uint32)), backend.to_device(high.astype(np.uint32))
