"""Axes: where a number lies between their ends, where their ticks are, and how numbers and names are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_TICKS = 6
LONGEST = 16  # characters of a category's name


@dataclass(frozen=True)
class Axis:
    """From low to high, low < high; log: low > 0. labels: of categories, which lie at 0, 1, 2, …; () for numbers."""

    title: str
    low: float
    high: float
    log: bool = False
    labels: tuple[str, ...] = ()

    @classmethod
    def of_labels(cls, title: str, labels: Sequence[str]) -> Axis:
        return cls(title, -0.5, len(labels) - 0.5, labels=tuple(labels))

    @classmethod
    def around(cls, title: str, numbers: Sequence[float], log: bool = False) -> Axis:
        """With room at both ends for what lies on them."""
        low, high = min(numbers), max(numbers)
        if low == high:
            room = max(0.5, 0.05 * abs(low))
            return cls(title, low / 2, low * 2, log) if log else cls(title, low - room, high + room)
        return cls(title, low, high, log).padded(0.03)

    def padded(self, share: float) -> Axis:
        """Longer by a share of its length, at both ends."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        room = share * (high - low)
        low, high = low - room, high + room
        return replace(self, low=10**low, high=10**high) if self.log else replace(self, low=low, high=high)

    def share(self, number: float) -> float:
        """0 at the low end, 1 at the high end; what lies beyond an end is moved to it."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return (self._scaled(min(max(number, self.low), self.high)) - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        """Where they are, and what is written there."""
        if self.labels:
            return [(float(place), label) for place, label in enumerate(self.labels)]
        if not self.log:
            return self._even_ticks()
        places = self._decades()
        if len(places) < 2:
            return self._even_ticks()
        short = places[0] >= 1e-3 * (1 - 1e-9) and places[-1] < 1e5
        return [(place, f"{place:g}" if short or place in (1, 10) else scientific(place)) for place in places]

    def _scaled(self, number: float) -> float:
        return math.log10(number) if self.log else number

    def _even_ticks(self) -> list[tuple[float, str]]:
        step = nice_step((self.high - self.low) / MOST_TICKS)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(place * step, decimal(place * step, step)) for place in range(first, last + 1)]

    def _decades(self) -> list[float]:
        """Powers of ten, not too many; with their doubles and fives where they are few."""
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        every = max(1, math.ceil((last - first + 1) / MOST_TICKS))
        decades = [10.0**exponent for exponent in range(first, last + 1, every)]
        if len(decades) > 2:
            return decades
        finer = [factor * 10.0**exponent for exponent in range(first - 1, last + 1) for factor in (1, 2, 5)]
        return [place for place in finer if self.low <= place * (1 + 1e-9) and place <= self.high * (1 + 1e-9)]


def nice_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `least`."""
    magnitude = 10.0 ** math.floor(math.log10(least))
    return next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= least * (1 - 1e-9))


def decimal(number: float, step: float) -> str:
    """With as many digits as multiples of `step` need."""
    if number and (abs(number) >= 1e6 or step < 1e-5):
        return scientific(number)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{number:,.{digits}f}".replace("-", "−")
    return text if float(text.replace("−", "-").replace(",", "")) else text.replace("−", "")


def number(value: float | None) -> str:
    """Four significant digits; a dash for what is missing."""
    if value is None:
        return "–"
    if value and not 1e-4 <= abs(value) < 1e6:
        return scientific(value)
    return f"{value:.4g}".replace("-", "−") if abs(value) < 1e4 else f"{value:,.0f}".replace("-", "−")


def scientific(value: float) -> str:
    """1.5×10⁻⁵, and 10⁻⁵ for 1×10⁻⁵."""
    mantissa, exponent = f"{value:.2e}".split("e")
    mantissa = f"{float(mantissa):g}".replace("-", "−")
    ten = "10" + str(int(exponent)).translate(SUPERSCRIPTS)
    return ten if mantissa == "1" else f"{mantissa}×{ten}"


def cut(text: str, most: int = LONGEST) -> str:
    """A long text without its middle: of many names with one beginning, the ends tell which is which."""
    end = most // 3
    return text if len(text) <= most else f"{text[: most - 1 - end]}…{text[-end:]}"
