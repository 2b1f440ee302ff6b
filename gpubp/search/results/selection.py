"""Which trials are best together: greedy ensemble selection on out-of-fold predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from gpubp.errors import SettingsError
from gpubp.models.ensemble import Ensemble
from gpubp.search import MOST_MEMBERS
from gpubp.search.results.assembly import Trained, assembled
from gpubp.search.results.refit import seconds_on_all, train_on_all
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.scoring import AT_ONCE, Metric
from gpubp.search.run.trial import Configuration, Trial
from gpubp.storage.schema import shown


@dataclass(frozen=True, eq=False)
class Selection:
    """Trials that are best together, by number, in the order of their choice; chosen twice, one counts twice.

    scores: on rows that the networks had not seen, of the first alone, the first two together and so on.
    """

    chosen: tuple[int, ...]
    scores: tuple[float, ...]

    @property
    def trials(self) -> list[int]:
        """Each once."""
        return list(dict.fromkeys(self.chosen))

    def within(self, seconds: float, experiment: Experiment) -> Selection | None:
        """The first of them that are expected to be trained on all rows in this time."""
        for k in range(len(self.chosen), 0, -1):
            fewer = Selection(self.chosen[:k], self.scores[:k])
            if seconds_on_all(experiment, fewer.configurations(experiment)) <= seconds:
                return fewer
        return None

    def configurations(self, experiment: Experiment) -> list[Configuration]:
        return [experiment.records[number].configuration for number in self.trials]


def select(experiment: Experiment, ranked: Sequence[Trial], k: int, candidates: int) -> Selection:
    """See SweepResult.select. ranked: the best first, of which those that came as far as the best can be chosen."""
    for what, value in (("k", k), ("candidates", candidates)):
        if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= value <= MOST_MEMBERS:
            raise SettingsError(f"{what} {shown(value)}: give a whole number from 1 to {MOST_MEMBERS}.")
    complete = [trial for trial in ranked if trial.status == ranked[0].status][:candidates]
    predictions = np.stack([experiment.out_of_fold(trial.number) for trial in complete])
    chosen, scores = greedy(predictions, experiment.metric, k)
    return Selection(tuple(complete[place].number for place in chosen), tuple(scores))


def ensemble(experiment: Experiment, selection: Selection) -> Ensemble:
    """See SweepResult.ensemble."""
    counts = Counter(selection.chosen)
    configurations = selection.configurations(experiment)
    trained = [
        Trained(each, cohort.params_on_host(), cohort.jobs[0].sheet, counts[each.number], (f"trial {each.number}",))
        for each, cohort in zip(configurations, train_on_all(experiment, configurations), strict=True)
    ]
    description = {
        "metric": experiment.metric.name,
        "out_of_fold_score": selection.scores[-1],
        "best_single_score": selection.scores[0],
        "selected": list(selection.chosen),
    }
    return assembled(experiment.data, trained, np.arange(experiment.data.n_rows), description)


def greedy(predictions: Sequence[np.ndarray] | np.ndarray, metric: Metric, k: int) -> tuple[list[int], list[float]]:
    """The places of the chosen ones, in order, and the score of the mean of all so far.

    Caruana, Niculescu-Mizil, Crew and Ksikes (2004), with replacement: whichever makes the mean score highest is added,
    the first of equals. predictions: of M candidates, (N, C or O) each; rows that one has not predicted do not count.
    """
    finite = np.logical_and.reduce([np.isfinite(each).all(axis=1) for each in predictions])
    known = np.flatnonzero(finite)
    if not len(known):
        raise SettingsError("No row has a prediction by every candidate: an ensemble cannot be selected.")
    looked_at = np.stack([metric.narrowed(each, known) for each in predictions])
    at_once = max(1, AT_ONCE // looked_at[0].size)
    parts = [looked_at[first : first + at_once] for first in range(0, len(looked_at), at_once)]
    total = np.zeros(looked_at.shape[1:])
    chosen: list[int] = []
    scores: list[float] = []
    for size in range(1, k + 1):
        found = np.concatenate([metric.of_narrowed((total + part) / size, known) for part in parts])
        best = int(np.nanargmax(found))
        chosen.append(best)
        scores.append(float(found[best]))
        total += looked_at[best]
    return chosen, scores
