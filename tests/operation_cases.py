"""Operations in covering sets of cases: those with which the sets were made, and all that came later.

Cases that take options in turns would all become others with a new entry, and the fixture of bits with them. So sets go
on in turns over the FIRST ones, and what is not among these gets cases of its own at their end.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpubp.operations.activations import HIDDEN
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS

FIRST = {"activation": 12, "loss": 4, "optimizer": 6}
"""How many of the entries of each kind, in their order."""
ALL = {"activation": HIDDEN, "loss": tuple(LOSSES), "optimizer": tuple(OPTIMIZERS)}


def first(kind: str) -> tuple[str, ...]:
    return ALL[kind][: FIRST[kind]]


def later_cases() -> list[dict[str, str]]:
    """A choice for each of the later ones, by its kind."""
    return [{kind: name} for kind in ALL for name in ALL[kind][FIRST[kind] :]]


def with_later_losses(targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same targets for every loss of the same rule."""
    by_rule = {LOSSES[name].target_rule: T for name, T in reversed(targets.items())}
    return {name: targets.get(name, by_rule[loss.target_rule]) for name, loss in LOSSES.items()}


RATES = dict.fromkeys(OPTIMIZERS, 0.01) | {"sgd": 0.05, "momentum": 0.02, "nesterov": 0.02}
"""At which small networks learn steadily."""


def pairs() -> list[tuple[str, str]]:
    """(loss, optimizer), as few as have all of both: a kernel is compiled for each."""
    losses, optimizers = first("loss"), first("optimizer")
    turns = [(losses[i % len(losses)], optimizer) for i, optimizer in enumerate(optimizers)]
    later = [case for case in later_cases() if "activation" not in case]
    return turns + [(case.get("loss", losses[0]), case.get("optimizer", optimizers[0])) for case in later]
