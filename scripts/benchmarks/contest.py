"""A row of the benchmark: one piece of work, done by several contenders, checked first and timed then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

OURS = "gpubp"  # contenders whose names begin so are the engines; the others are peers


@dataclass(frozen=True)
class Row:
    """contenders: by name, a function that does the work once and returns the time it took, in the row's unit.

    check: compares the contenders' answers, says in a sentence what agreed, and raises WrongAnswer if something did
    not. missing: why a contender is not here, by name.
    """

    name: str
    title: str
    unit: str
    check: Callable[[], str]
    contenders: dict[str, Callable[[], float]]
    missing: dict[str, str] = field(default_factory=dict)


class WrongAnswer(Exception):
    """Contenders disagree: their times mean nothing."""


@dataclass(frozen=True)
class Outcome:
    """times: every repeat of each contender, in the row's unit."""

    row: Row
    checked: str
    times: dict[str, list[float]]

    def medians(self) -> dict[str, float]:
        return {name: median(times) for name, times in self.times.items()}

    def least(self) -> dict[str, float]:
        return {name: min(times) for name, times in self.times.items()}

    def ratios(self) -> dict[str, float]:
        """How many times as long as gpubp's fastest engine each contender takes."""
        medians = self.medians()
        best = min(value for name, value in medians.items() if name.startswith(OURS))
        return {name: value / best for name, value in medians.items()}

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "title": self.row.title,
            "unit": self.row.unit,
            "checked": self.checked,
            "times": self.times,
            "medians": self.medians(),
            "least": self.least(),
            "ratios": self.ratios(),
            "missing": self.row.missing,
        }


def measure(row: Row, repeats: int) -> Outcome:
    """Check, warm up, and time; contenders take turns, so that a busy moment of the machine hits all of them alike."""
    checked = row.check()
    for run in row.contenders.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in row.contenders}
    for _ in range(repeats):
        for name, run in row.contenders.items():
            times[name].append(run())
    return Outcome(row, checked, times)
