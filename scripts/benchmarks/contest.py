"""A row of the benchmark: one piece of work, done by several contenders, checked first and timed then."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import nan
from statistics import mean, median

from benchmarks.machine import Bystanders

PAUSE = 0.1  # seconds before each timing: threads of the contender before it come to rest
WAIT, PATIENCE = 2.0, 300  # seconds before a timing is taken again, and how often a row may do that
OURS = "gpubp"  # contenders whose names begin so are the engines; the others are peers


@dataclass(frozen=True)
class Goal:
    """gpubp's best, or `ours`, is to be at least `times` as fast as the best of these peers."""

    times: float
    peers: tuple[str, ...]
    ours: str = OURS

    def found(self, medians: dict[str, float]) -> float | None:
        """How many times as fast; None where nobody was there to be measured."""
        peers = [medians[name] for name in self.peers if name in medians]
        ours = [value for name, value in medians.items() if name.startswith(self.ours)]
        return min(peers) / min(ours) if peers and ours else None


@dataclass(frozen=True)
class Row:
    """contenders: by name, a function that does the work once and returns the time it took, in the row's unit.

    check: compares the contenders' answers, says in a sentence what agreed, and raises WrongAnswer if something did
    not. missing: why a contender is not here, by name. warm: nobody is warmed up before the timings, since the check
    has run every contender, or each run is a process of its own.
    """

    name: str
    title: str
    unit: str
    check: Callable[[], str]
    contenders: dict[str, Callable[[], float]]
    missing: dict[str, str] = field(default_factory=dict)
    goals: tuple[Goal, ...] = ()
    warm: bool = False


class WrongAnswer(Exception):
    """Contenders disagree: their times mean nothing."""


@dataclass(frozen=True)
class Outcome:
    """times: every repeat of each contender, in the row's unit. others: how many cores other programs kept busy."""

    row: Row
    checked: str
    times: dict[str, list[float]]
    others: float | None = None

    def medians(self) -> dict[str, float]:
        return {name: median(times) for name, times in self.times.items()}

    def least(self) -> dict[str, float]:
        return {name: min(times) for name, times in self.times.items()}

    def ratios(self) -> dict[str, float]:
        """How many times as long as gpubp's fastest engine each contender takes."""
        medians = self.medians()
        best = min((value for name, value in medians.items() if name.startswith(OURS)), default=nan)
        return {name: value / best for name, value in medians.items()}

    def goals(self) -> list[tuple[Goal, float | None]]:
        """With what was found."""
        medians = self.medians()
        return [(goal, goal.found(medians)) for goal in self.row.goals]

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
            "goals": [asdict(goal) | {"found": found} for goal, found in self.goals()],
            "others": self.others,
            "missing": self.row.missing,
        }


def measure(row: Row, repeats: int, quiet: float | None = None) -> Outcome:
    """Check, warm up where that helps, and time.

    Contenders take turns, so that a busy moment of the machine hits all of them alike.
    quiet: a timing during which other programs kept more cores busy than this is thrown away and taken again.
    """
    checked = row.check()
    for run in () if row.warm else row.contenders.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in row.contenders}
    others: list[float | None] = []
    patience = PATIENCE
    for _ in range(repeats):
        for name, run in row.contenders.items():
            taken, cores = timed(run)
            while quiet is not None and cores is not None and cores > quiet and patience > 0:
                patience -= 1
                time.sleep(WAIT)
                taken, cores = timed(run)
            times[name].append(taken)
            others.append(cores)
    known = [cores for cores in others if cores is not None]
    return Outcome(row, checked, times, mean(known) if known else None)


def timed(run: Callable[[], float]) -> tuple[float, float | None]:
    """What the run took, and how many cores other programs kept busy meanwhile."""
    gc.collect()
    gc.freeze()  # nobody pays for looking through what the others have left behind, such as JAX's programs
    time.sleep(PAUSE)
    bystanders = Bystanders()
    taken = run()
    return taken, bystanders.cores()
