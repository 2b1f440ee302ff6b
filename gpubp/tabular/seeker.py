"""The search that goes on from the portfolio's results: rounds of new configurations, each a race over the folds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpubp.errors import SettingsError
from gpubp.fitting.table_data import TableData
from gpubp.search.results.selection import greedy
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.scoring import Metric
from gpubp.search.run.trial import TrialProgress
from gpubp.search.strategies.tpe import Sampler
from gpubp.tabular.portfolio import fitted_to
from gpubp.tabular.space import space_of
from gpubp.tabular.team import OutOfFold, usable

ROUND = 12
"""Configurations that begin together."""
GO_ON = 3
"""One in so many of them goes on from the first fold to the others."""
ROUNDS = 100
PATIENCE = 4
"""Rounds without a better team, after which nothing better is expected."""
BETTER = 1e-3
"""By this share of its score a team has to be better to count as such."""
KEPT = 60
"""Configurations whose networks are kept: the best ones."""


class Seeker:
    """picks: of the team. fixed: see `train_tabular`. stalled: whether it ended since nothing better was found."""

    def __init__(self, data: TableData, n_training: int, metric: Metric, picks: int, fixed: Mapping[str, Any]) -> None:
        self.data, self.n_training, self.metric, self.picks, self.fixed = data, n_training, metric, picks, fixed
        self.stalled = False

    @property
    def most(self) -> int:
        """Configurations, at the most."""
        return ROUND * ROUNDS

    def run(self, experiment: Experiment, portfolio: Sequence[Mapping[str, Any]]) -> None:
        """portfolio: the configurations that were tried before, as they are in the space: trials 0, 1 and so on."""
        proposals, best, waited = Proposals(experiment.data.task, experiment.seed), self._score(experiment), 0
        before = [experiment.records[number] for number in range(len(portfolio))]
        proposals.tell(portfolio, [value_of(record, experiment) for record in before])
        first = len(portfolio)
        for number in range(first, first + self.most, ROUND):
            if experiment.must_end():
                return
            drawn = proposals.ask(ROUND)
            fitted = [fitted_to({**each, **self.fixed}, self.data, self.n_training) for each in drawn]
            records = experiment.begin(experiment.configure(number + i, each) for i, each in enumerate(fitted))
            self._race(experiment, records)
            proposals.tell(drawn, [value_of(record, experiment) for record in records])
            _forget_networks(experiment)
            score = self._score(experiment)
            waited = 0 if score > best + BETTER * abs(best) else waited + 1
            best = max(best, score)
            if waited == PATIENCE:
                self.stalled = True
                return

    def _race(self, experiment: Experiment, records: Sequence[TrialProgress]) -> None:
        """All of them on the first fold, and the best of them on the others."""
        experiment.train(records, folds=(0,))
        ranked = sorted(records, key=lambda record: (-_first(record), record.configuration.number))
        chosen = [record for record in ranked[: -(-len(records) // GO_ON)] if np.isfinite(_first(record))]
        for record in records:
            if record.seen[0]:
                record.status = "stopped"
        others = range(1, len(experiment.splits))
        if chosen and len(others) and not experiment.must_end():
            experiment.train(chosen, folds=others)

    def _score(self, experiment: Experiment) -> float:
        """Of the best team so far."""
        candidates = usable(experiment)
        if not candidates:
            return -math.inf
        return max(greedy(OutOfFold(experiment, candidates), self.metric, self.picks)[1])


class Proposals:
    """Configurations to try next. Optuna's sampler (TPE) is asked for them where it is installed; without it, every
    other one is drawn at random, and the others are a good one of which some parameters are drawn anew.

    What it is told and what it gives are configurations as they are in the space, before they are fitted to a table. A
    pure function of the seed and of the scores that it was told.
    """

    def __init__(self, task: str, seed: int) -> None:
        self.space = space_of(task)
        self.generator = np.random.RandomState(np.random.MT19937(seed))
        self.sampler: Sampler | None = None
        try:
            self.sampler = Sampler(self.space, seed)
        except SettingsError:  # no Optuna
            self.sampler = None
        self.known: list[tuple[float, dict[str, Any]]] = []

    def ask(self, count: int) -> list[dict[str, Any]]:
        if self.sampler is not None:
            return [self.sampler.ask() for _ in range(count)]
        drawn = self.space.sample(count, int(self.generator.randint(2**31)))
        best = sorted(self.known, key=lambda each: -each[0])[: max(1, len(self.known) // 4)]
        for place in range(0, count if best else 0, 2):
            parent = best[self.generator.randint(len(best))][1]
            drawn[place] = {
                name: value if name not in parent or self.generator.rand() < 0.25 else parent[name]
                for name, value in drawn[place].items()
            }
        return drawn

    def tell(self, drawn: Sequence[Mapping[str, Any]], values: Sequence[float]) -> None:
        """values: more is better; −inf for those that were lost, NaN for those of which nothing is known."""
        for parameters, value in zip(drawn, values, strict=True):
            if math.isnan(value):
                continue
            self.known.append((value, dict(parameters)))
            if self.sampler is not None:
                self.sampler.tell(parameters, value)


def value_of(record: TrialProgress, experiment: Experiment) -> float:
    """The score of a trial; of one that has run on the first fold alone, what the others' scores make likely: its own
    there, corrected by how much easier that fold is than all. NaN where nothing was scored.
    """
    if record.seen.all():
        return record.score
    if not record.seen[0]:
        return math.nan
    others = [each for each in experiment.records.values() if np.isfinite(each.score)]
    easier = float(np.mean([each.scores[0] - each.score for each in others])) if others else 0.0
    return _first(record) - easier


def _first(record: TrialProgress) -> float:
    """The score on the first fold; −inf for a network that was lost, or not trained."""
    score = float(record.scores[0])
    return score if np.isfinite(score) else -math.inf


def _forget_networks(experiment: Experiment) -> None:
    """All but those of the best trials: nobody will choose them."""
    ranked = usable(experiment)
    kept = {record.configuration.number for record in ranked[:KEPT]}
    for record in experiment.records.values():
        if record.configuration.number not in kept:
            record.networks.clear()
            record.sums = record.counts = None
