"""What the fixture of bits holds: trainings by every engine and every face, and what came of each.

Two kinds of results. *Exact*: kernels of lanes and blocks give the same bits on every machine, by promise, so a hash of
them is enough. *Close*: what goes through a BLAS, or through NumPy's and the C library's exp, log and cos, whose last
bits depend on the machine; a few of its numbers are kept, and compared to a tolerance.

Some options have such a function in the host's part of a training; their cases are made so that it cannot be seen. A
schedule's factors are NumPy's in float64: float32 trainings round them, float64 ones have the schedule "step" with
powers of ½. The initializers that draw normal numbers need a logarithm: float32 rounds it away. Tables are scaled by
minimum and range.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import bit_cases
import numpy as np
from bit_cases import (
    BLOCK_CASES,
    FUSED_CASES,
    LANE_CASES,
    Case,
    NumpyBackend,
    fused_name,
    trained,
    trained_fused,
)

from gpubp import Architecture, EarlyStopping, History, Population, network_seeds

TOLERANCES = {"float32": 2e-4, "float64": 1e-7}  # of the largest number of an array, by the dtype of a training
NUMBERS = 8  # kept of an array that is compared closely
BACKEND = NumpyBackend()
Record = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of one case: arrays by name. tolerance: of those in `close`, as a share of the largest number."""

    exact: Mapping[str, np.ndarray]
    close: Mapping[str, np.ndarray] = field(default_factory=dict)
    tolerance: float = TOLERANCES["float32"]


# --- Trainings of the three engines ---------------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, float]] = {
    "sgd": {},
    "momentum": {"momentum": 0.8},
    "nesterov": {"momentum": 0.85},
    "adam": {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-5},
    "adamw": {"beta1": 0.85, "beta2": 0.98, "epsilon": 1e-6, "weight_decay": 0.2},
    "rmsprop": {"decay": 0.95, "epsilon": 1e-6},
    "constant": {},
    "inverse_scaling": {"power": 0.3},
    "step": {"every": 1.5, "factor": 0.5},
    "cosine": {"floor": 0.1},
    "one_cycle": {"warmup": 0.4, "start": 0.1, "floor": 0.01},
}
"""Of optimizers and schedules: others than their defaults."""

STOPPING: list[tuple[str, Case, dict[str, Any]]] = [
    (f"{case.engine}-{name}", case, {"epochs": 12, "early_stopping": rule} | more)
    for cases in (LANE_CASES, BLOCK_CASES)
    for name, case, rule, more in (
        ("validation_loss", cases[0], EarlyStopping(2, 0.01), {}),
        ("validation_score", cases[5 if cases is LANE_CASES else 1], EarlyStopping(2, 0.01, "validation_score"), {}),
        ("training_loss", cases[0], EarlyStopping(2, 0.05, "training_loss", restore_best=False), {}),
        ("adaptive", cases[10], EarlyStopping(1, 0.2, "training_loss"), {"schedule": "adaptive"}),
    )
]


def exactly(case: Case) -> Case:
    """The case without factors of a schedule whose last bits are the machine's."""
    return replace(case, schedule="step") if case.dtype == "float64" and case.schedule != "constant" else case


def by_kernel(case: Case, **more: Any) -> Outcome:
    """By the lane or the block engine."""
    case = exactly(case)
    params, history = trained(BACKEND, case, **more)
    return Outcome({"params": params} | measured(history))


def with_options(case: Case) -> Outcome:
    case = exactly(case)
    return by_kernel(case, optimizer_options=OPTIONS[case.optimizer], schedule_options=OPTIONS[case.schedule])


def by_arrays(case: Case) -> Outcome:
    params, history = trained(BACKEND, replace(case, engine="array"))
    return Outcome({"epochs": history.epochs}, {"params": params} | losses(history), TOLERANCES[case.dtype])


class PlainNumpy:
    """NumPy, but for products: those are sums in one order, without a BLAS."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def matmul(A: np.ndarray, B: np.ndarray, out: np.ndarray) -> np.ndarray:
        out[...] = 0
        for k in range(A.shape[-1]):
            out += A[..., :, k, None] * B[..., k, None, :]
        return out


class PlainProducts(NumpyBackend):
    xp = PlainNumpy()


def by_fused_kernels(case: dict[str, Any]) -> Outcome:
    """The array engine's compiled kernels: to the bit with products that are, and closely with the BLAS's."""
    plain, plain_history, state = trained_fused(PlainProducts(), case)
    params, history, _ = trained_fused(BACKEND, case)
    exact = {"params": plain, "training_loss": plain_history.training_loss} | state.slots
    return Outcome(exact, {"BLAS params": params} | losses(history), TOLERANCES[case["dtype"]])


def measured(history: History) -> dict[str, np.ndarray]:
    ended = {name: getattr(history, name) for name in ("epochs", "best_epoch", "diverged_epoch")}
    return losses(history) | ended


def losses(history: History) -> dict[str, np.ndarray]:
    names = ("training_loss", "validation_loss", "validation_score")
    return {name: getattr(history, name) for name in names if getattr(history, name) is not None}


# --- Where a training begins and what it is for ----------------------------------------------------------------------


def initial_weights() -> Outcome:
    """By every initializer, and by the rules of the activations."""
    shape = Architecture(5, (7, 3), 2, "tanh", "softmax")

    def drawn(initializer: str, dtype: str = "float64") -> np.ndarray:
        some = Population.initialize(shape, network_seeds(5, 3), BACKEND, initializer=initializer, dtype=dtype)
        return some.params

    uniform = ("auto", "tutorial", "glorot_uniform", "he_uniform", "lecun_uniform")
    normal = ("glorot_normal", "he_normal", "lecun_normal")
    exact = {name: drawn(name) for name in uniform} | {f"{name} float32": drawn(name, "float32") for name in normal}
    seeds = {"seeds": network_seeds(5, 3), "others": network_seeds(6, 3)}
    return Outcome(exact | seeds, {name: drawn(name) for name in normal}, TOLERANCES["float64"])


def predictions() -> Outcome:
    """Of untrained networks, by every engine."""
    shape = Architecture(bit_cases.I, (17, 3), 2, ("mish", "gelu"), "softmax")
    some = Population.initialize(shape, network_seeds(8, 5), BACKEND)
    by_engine = {engine: some.predict(bit_cases.X, engine=engine) for engine in ("lane", "block", "array")}
    return Outcome({name: by_engine[name] for name in ("lane", "block")}, {"array": by_engine["array"]})


# --- Records ----------------------------------------------------------------------------------------------------------


def recorded(outcome: Outcome, everything: bool = False) -> Record:
    """As JSON. everything: what is compared closely as a hash too, to compare two states of the code on one machine."""
    exact = {name: digest(array) for name, array in outcome.exact.items()}
    close = {name: (digest if everything else some)(array) for name, array in outcome.close.items()}
    return {"exact": exact} | ({"close": close, "tolerance": outcome.tolerance} if close else {})


def digest(array: np.ndarray) -> str:
    """Of dtype, shape and bits; all NaN are one."""
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    array = array.astype(array.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + array.tobytes()).hexdigest()[:16]


def some(array: np.ndarray) -> list[float | None]:
    """A few numbers of it, evenly spread, the mean size of all and the largest; null for NaN."""
    flat = np.asarray(array, dtype=np.float64).ravel()
    sizes = np.abs(flat[~np.isnan(flat)])
    picked = flat[np.linspace(0, len(flat) - 1, min(NUMBERS, len(flat))).astype(int)]
    numbers = [*picked.tolist(), *([float(sizes.mean()), float(sizes.max())] if len(sizes) else [])]
    return [None if number != number else float(f"{number:.9g}") for number in numbers]


def differences(found: Record, kept: Record) -> list[str]:
    """Which quantities differ, in words."""
    told = [
        f"{name}: other bits ({found['exact'].get(name)}, was {kept['exact'].get(name)})"
        for name in sorted({*found["exact"], *kept["exact"]})
        if found["exact"].get(name) != kept["exact"].get(name)
    ]
    mine, theirs = found.get("close", {}), kept.get("close", {})
    for name in sorted({*mine, *theirs}):
        apart = far(mine.get(name), theirs.get(name), kept.get("tolerance", 0.0))
        told += [] if apart is None else [f"{name}: {apart}"]
    return told


def far(found: Any, kept: Any, tolerance: float) -> str | None:
    """How two lists of numbers differ by more than the tolerance; None where they do not."""
    if not isinstance(found, list) or not isinstance(kept, list) or len(found) != len(kept):
        return None if found == kept else f"is {found}, was {kept}"
    a, b = (np.array(numbers, dtype=np.float64) for numbers in (found, kept))
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return f"is {found}, was {kept}"
    distance = np.nan_to_num(np.abs(a - b))
    largest = np.nanmax(np.abs(b), initial=0.0)
    if (distance <= tolerance * largest).all():
        return None
    worst = int(distance.argmax())
    return f"{a[worst]:.9g}, was {b[worst]:.9g}; the tolerance is {tolerance * largest:.2g}"


def data() -> dict[str, str]:
    """Of what is trained on: where that differs, the trainings do."""
    kept = {"X": bit_cases.X, "fused X": bit_cases.FUSED_X}
    for prefix, arrays in (("", bit_cases.TARGETS), ("fused ", bit_cases.FUSED_TARGETS)):
        kept |= {f"{prefix}{name}": array for name, array in arrays.items()}
    kept |= {f"weights {name}": array for name, array in bit_cases.WEIGHTS.items() if array is not None}
    kept["rows"] = np.concatenate([*bit_cases.PER_NETWORK, *bit_cases.RAGGED, *bit_cases.FUSED_RAGGED])
    return {name: digest(array) for name, array in kept.items()}


ENGINE_CASES: dict[str, Callable[[], Outcome]] = {
    **{str(case): partial(by_kernel, case) for case in (*LANE_CASES, *BLOCK_CASES)},
    **{f"options {case}": partial(with_options, case) for case in (*LANE_CASES[:6], *BLOCK_CASES[:6])},
    **{f"stopping {name}": partial(by_kernel, case, **more) for name, case, more in STOPPING},
    **{f"array {case}": partial(by_arrays, case) for case in (*LANE_CASES, *BLOCK_CASES)},
    **{f"fused {fused_name(case)}": partial(by_fused_kernels, case) for case in FUSED_CASES},
    "initial weights": initial_weights,
    "predictions": predictions,
}
