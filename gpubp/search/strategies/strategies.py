"""Which configurations are tried, and for how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol

from gpubp.errors import SettingsError
from gpubp.fitting.job import Job
from gpubp.networks.settings import check_whole
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.trial import Configuration, TrialProgress
from gpubp.search.space.space import Space

TRIALS = 100  # where nobody says how many


class Strategy(Protocol):
    @property
    def name(self) -> str: ...

    def count(self, space: Space, n_trials: int | None) -> int:
        """How many trials there will be, at most. SettingsError for a number that makes no sense."""
        ...

    def run(self, experiment: Experiment, space: Space, n_trials: int) -> None: ...


@dataclass(frozen=True)
class Grid:
    """Every combination; of a Range, `points` numbers from its low to its high end."""

    points: int = 5
    name: str = "grid"

    def count(self, space: Space, n_trials: int | None) -> int:
        checked_trials(n_trials)
        size = len(space.grid(self.points))
        if n_trials is not None and n_trials < size:
            raise SettingsError(
                f"The grid has {size} configurations, and n_trials allows {n_trials}: raise it, take fewer choices or "
                "Grid(points=…), or use the strategy random."
            )
        return size

    def run(self, experiment: Experiment, space: Space, n_trials: int) -> None:
        experiment.run(configured(experiment, space.grid(self.points)))


@dataclass(frozen=True)
class Random:
    """Independent draws (Bergstra and Bengio 2012)."""

    name: str = "random"

    def __repr__(self) -> str:
        """In words that unfinished sweeps are told apart by: not the name of the class, which may change."""
        return f"Random(name={self.name!r})"

    def count(self, space: Space, n_trials: int | None) -> int:
        wanted = checked_trials(n_trials)
        size = space.size()
        return wanted if size is None else min(wanted, size)

    def run(self, experiment: Experiment, space: Space, n_trials: int) -> None:
        experiment.run(configured(experiment, space.sample(n_trials, experiment.seed)))


@dataclass(frozen=True)
class Halving:
    """Successive halving on epochs (Jamieson and Talwalkar 2016): all start, and after each rung the best 1/factor of
    the trials go on from where they are, `factor` times as far.

    least_epochs: of the first rung, at least. A trial's last rung ends with the epochs that the space gives it.
    """

    factor: int = 3
    least_epochs: int = 5
    name: str = "halving"

    def __post_init__(self) -> None:
        for what, value, least in (("factor", self.factor, 2), ("least_epochs", self.least_epochs, 1)):
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise SettingsError(f"Halving({what}={value!r}): give a whole number, at least {least}.")

    def count(self, space: Space, n_trials: int | None) -> int:
        return Random().count(space, n_trials)

    def run(self, experiment: Experiment, space: Space, n_trials: int) -> None:
        drawn = configured(experiment, space.sample(n_trials, experiment.seed))
        rungs = self.rungs(len(drawn), min(each.settings.epochs for each in drawn))
        shares = [float(self.factor) ** -(rungs - 1 - rung) for rung in range(rungs)]
        alive = experiment.begin(drawn)
        pool = experiment.pool(alive, times=self.work_share(rungs))
        for rung, share in enumerate(shares):
            for record in alive:
                record.begin_rung(rung)
            known = experiment.recall(filter(_is_among(alive), pool.jobs))
            advancing = pool.advance(share, known)
            experiment.follow(pool, advancing, len(known), len(alive) * len(experiment.splits), last=rung == rungs - 1)
            if experiment.must_end() and not all(record.seen.all() for record in alive):
                for record in alive:  # this rung's scores are not of everyone: there is no telling who would go on
                    record.end_in_rung()
                return
            if rung == rungs - 1:
                break
            everyone, alive = alive, self.survivors(alive)
            pool.keep(_is_among(alive))
            experiment.forget(record for record in everyone if record.status == "stopped")
        for record in alive:
            record.status = "complete"

    def rungs(self, n_trials: int, epochs: int) -> int:
        """As many as leave at least one trial at the end, and least_epochs at the beginning."""
        by_trials = _whole_log(n_trials, self.factor)
        by_epochs = _whole_log(max(1, epochs // self.least_epochs), self.factor)
        return 1 + min(by_trials, by_epochs)

    def work_share(self, rungs: int) -> float:
        """The epochs of all rungs as a share of those that all trials together would take."""
        return min(1.0, sum((1.0 - (rung > 0) / self.factor) for rung in range(rungs)) * self.factor ** -(rungs - 1))

    def survivors(self, alive: Sequence[TrialProgress]) -> list[TrialProgress]:
        """The best, at least one, in their old order; the others are stopped. Lost trials never go on with others."""
        ranked = sorted(alive, key=lambda record: (-record.score, record.configuration.number))
        n = max(1, math.ceil(len(alive) / self.factor))
        best = {id(record) for record in ranked[:n] if math.isfinite(record.score)} or {id(ranked[0])}
        for record in alive:
            if id(record) not in best:
                record.status = "stopped"
        return [record for record in alive if id(record) in best]


def checked_trials(n_trials: int | None) -> int:
    """SettingsError for what is no number of trials; the usual one for None."""
    if n_trials is None:
        return TRIALS
    check_whole("n_trials", n_trials)
    return int(n_trials)


def configured(experiment: Experiment, drawn: Sequence[dict[str, Any]]) -> list[Configuration]:
    return [experiment.configure(number, parameters) for number, parameters in enumerate(drawn)]


def _is_among(alive: Sequence[TrialProgress]) -> Callable[[Job], bool]:
    places = {id(record) for record in alive}
    return lambda job: id(job.owner[0]) in places


def _whole_log(value: int, base: int) -> int:
    """The largest e with base^e ≤ value."""
    exponent = 0
    while base ** (exponent + 1) <= value:
        exponent += 1
    return exponent
