"""What follows from the entries of all operations taken together: names of options, rows of the kernels' table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from gpubp.operations.averaging import AVERAGE
from gpubp.operations.layer_kinds import LAYERS
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.options import Option, by_name
from gpubp.operations.schedules import SCHEDULES


class Entry(Protocol):
    """What every entry that has options has."""

    @property
    def name(self) -> str: ...

    @property
    def options(self) -> tuple[Option, ...]: ...


ENTRIES: dict[str, Mapping[str, Entry]] = {
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "layer": LAYERS,
}
"""The kinds of operations that have options."""

OPTIONS = {kind: by_name(entry.options for entry in entries.values()) for kind, entries in ENTRIES.items()}
"""Of each kind, by name. Options of schedules may have other defaults from schedule to schedule."""

PER_NETWORK = {
    name: option
    for kind in ("optimizer", "loss", "layer")
    for name, option in OPTIONS[kind].items()
    if not option.of_first_values
} | {AVERAGE.name: AVERAGE}
"""Options that engines are given, and that may differ from network to network."""

HYPERPARAMETERS = (
    "rate",
    "l2",
    "clip_norm",
    *(row for kind in ("optimizer", "loss") for option in OPTIONS[kind].values() for row in option.rows),
    *AVERAGE.rows,
)
"""The rows of the kernels' table of hyperparameters, in the order of their enum. Factors of layers are not in it."""


def owners(kind: str, option: str) -> tuple[str, ...]:
    """The names of the losses, optimizers, schedules or kinds of layers that have an option of this name."""
    return tuple(entry.name for entry in ENTRIES[kind].values() if any(each.name == option for each in entry.options))


def kind_of_option(name: str) -> str | None:
    """ "loss", "optimizer", "schedule" or "layer"; None for what is no option of them."""
    return next((kind for kind, options in OPTIONS.items() if name in options), None)


def usual_option(name: str) -> Option | None:
    """The option of this name; None for what is none. Of schedules' options the first."""
    kind = kind_of_option(name)
    return None if kind is None else OPTIONS[kind][name]


def described(kind: str, leave_out: Iterable[str] = ()) -> str:
    """The options by who has them, as in "beta1, beta2 (adam, adamw); decay (rmsprop)", for one line of help."""
    having: dict[tuple[str, ...], list[str]] = {}
    for entry in ENTRIES[kind].values():
        names = tuple(option.name for option in entry.options if option.name not in leave_out)
        if names:
            having.setdefault(names, []).append(entry.name)
    return "; ".join(f"{', '.join(names)} ({', '.join(entries)})" for names, entries in having.items())
