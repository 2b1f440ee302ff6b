"""The options of an operation: numbers such as Adam's beta1, with what they may be and what a search draws them from.

Nothing heavy is imported here, nor by the entries of activations, losses, optimizers, schedules and initializers: the
command line's help is made of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Derive = Callable[["np.ndarray"], "np.ndarray"]


@dataclass(frozen=True)
class Option:
    """A number that an operation takes.

    default: where nobody says otherwise. least, above, most, below: what it may be, the first and third included.
    searched: from where to where a search draws it where nobody says (--range delta), `log` on a logarithmic scale.
    derived: numbers that kernels are given beside it, for they would lose digits there: by name what computes each from
    the option's values in float64. of_first_values: it says how a layer's parameters begin, and engines do not know it.
    neutral: its default changes nothing, and engines hear of it where somebody gives it alone.
    """

    name: str
    default: float
    help: str
    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf
    below: float = math.inf
    searched: tuple[float, float] | None = None
    log: bool = False
    derived: Mapping[str, Derive] = field(default_factory=dict, hash=False)
    of_first_values: bool = False
    neutral: bool = False

    @property
    def range(self) -> dict[str, float]:
        """The bounds by name, those that there are."""
        bounds = {"least": self.least, "above": self.above, "most": self.most, "below": self.below}
        return {name: bound for name, bound in bounds.items() if math.isfinite(bound)}

    @property
    def rows(self) -> tuple[str, ...]:
        """Its names in a kernel's table of hyperparameters: its own, and those of what is derived from it."""
        return (self.name, *self.derived)

    @property
    def words(self) -> str:
        """What it may be, as in "at least 0 and below 1"."""
        names = {"least": "at least", "above": "above", "most": "at most", "below": "below"}
        return " and ".join(f"{names[name]} {bound:g}" for name, bound in self.range.items())


def defaults(options: Iterable[Option]) -> dict[str, float]:
    """Name by name."""
    return {option.name: option.default for option in options}


def by_name(groups: Iterable[Iterable[Option]]) -> dict[str, Option]:
    """Every option of some operations once, in the order in which they first occur."""
    found: dict[str, Option] = {}
    for options in groups:
        for option in options:
            found.setdefault(option.name, option)
    return found


def complement(values: np.ndarray) -> np.ndarray:
    """1 − value."""
    return 1.0 - values


def logarithm(values: np.ndarray) -> np.ndarray:
    """Of values from 0 to 1; −10,000 for 0, whose powers are nothing then."""
    import numpy as np

    with np.errstate(divide="ignore"):
        return np.maximum(np.log(values), -1e4)
