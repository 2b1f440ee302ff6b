"""What a parameter of a search space may be: one value, a list of choices, or a range of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from gpubp.errors import SettingsError, quoted
from gpubp.search.space.parameters import as_value, check_value, choices_of

LARGEST = 1e300  # of a bound: what is computed from two of them stays finite


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; log: their logarithm is what is spread evenly; integer: whole ones."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high"):  # NumPy's numbers as Python's: a space's words do not depend on which they were
            bound = getattr(self, name)
            if isinstance(bound, Real) and hasattr(bound, "item"):
                object.__setattr__(self, name, bound.item())
        for bound in (self.low, self.high):
            if isinstance(bound, bool) or not isinstance(bound, Real) or not -LARGEST <= bound <= LARGEST:
                raise SettingsError(
                    f"Range({quoted(self.low)}, {quoted(self.high)}): the bounds have to be finite numbers."
                )
        if self.low > self.high:
            raise SettingsError(f"Range({self.low}, {self.high}): low is above high. Swap them.")
        if self.log and self.low <= 0:
            raise SettingsError(f"Range({self.low}, {self.high}, log=True): a logarithm needs low above 0.")
        if self.integer and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise SettingsError(f"Range({self.low}, {self.high}, integer=True): the bounds have to be whole numbers.")

    def at(self, share: float) -> float | int:
        """The number at a share of the way, 0 ≤ share < 1. Whole numbers are as likely as they are (log: wide)."""
        width = 1.0 if self.integer else 0.0
        low, high = float(self.low), float(self.high) + width
        value = low * (high / low) ** share if self.log else low + share * (high - low)
        value = min(max(value, float(self.low)), float(self.high) + width)
        return min(math.floor(value), int(self.high)) if self.integer else min(value, float(self.high))

    def rvs(self, random_state: Any = None) -> float | int:
        """A random number, as scikit-learn's searches ask their distributions for one."""
        from sklearn.utils import check_random_state

        return self.at(float(check_random_state(random_state).random_sample()))

    def points(self, count: int) -> list[float | int]:
        """At most `count` numbers from low to high, evenly spread; the middle one where one is enough."""
        shares = [0.5] if count == 1 else [i / (count - 1) for i in range(count)]
        low, high = float(self.low), float(self.high)
        values = [low * (high / low) ** share if self.log else low + share * (high - low) for share in shares]
        values = [min(max(value, low), high) for value in values]
        return list(dict.fromkeys(round(value) for value in values) if self.integer else dict.fromkeys(values))


@dataclass(frozen=True)
class Choices:
    """One of some values, each as likely. A single one is a fixed value."""

    values: tuple[Any, ...]

    def __repr__(self) -> str:
        """In words that unfinished sweeps are told apart by: not the name of the class, which may change."""
        return f"Choices(values={self.values!r})"

    def at(self, share: float) -> Any:
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def points(self, count: int) -> Sequence[Any]:
        return self.values


def entry(name: str, given: Any) -> Range | Choices:
    """What stands in the space for `name`: a Range, choices (see `choices_of`), or (anything else) a fixed value.

    Checked by its values, of a range by both ends. SettingsError for an empty list, and for what `check_value` refuses.
    """
    if isinstance(given, Range):
        found: Range | Choices = given
        if name == "hidden":
            found = given = Range(given.low, given.high, given.log, integer=True)
        ends: Sequence[Any] = [int(end) if given.integer else float(end) for end in (given.low, given.high)]
    else:
        listed = choices_of(given)
        if not listed:
            raise SettingsError(f"The search space's {name} is an empty list: give at least one choice.")
        if any(isinstance(each, Range) for each in listed):
            raise SettingsError(f"The search space's {name} has a Range among its choices: give it alone.")
        found = Choices(tuple(as_value(name, each) for each in listed))
        if len(_distinct(found.values)) < len(found.values):
            raise SettingsError(f"The search space's {name} names a choice twice: {given!r:.200}.")
        ends = found.values
    for value in ends:
        check_value(name, as_value(name, value))
    return found


def _distinct(values: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
