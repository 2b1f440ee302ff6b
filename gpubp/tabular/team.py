"""The team: which configurations answer together, how well they do on rows that they had not seen, and as what file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpubp.models.ensemble import Ensemble, tempered
from gpubp.models.metrics import classification_report, regression_report
from gpubp.search.results.assembly import Trained, assembled
from gpubp.search.results.baseline import baseline_scores
from gpubp.search.results.selection import greedy
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.trial import TrialProgress
from gpubp.tabular.calibration import temperature_of


@dataclass(frozen=True, eq=False)
class Team:
    """chosen: the trials by number, as often as they were chosen. predictions (N, C or 1): theirs together, each row by
    networks that had not seen it, NaN where there are none. score, fold_scores (S,), baseline: by the metric.
    """

    chosen: Mapping[int, int]
    temperature: float
    predictions: np.ndarray
    score: float
    fold_scores: np.ndarray
    baseline: float
    report: dict[str, Any]


@dataclass(frozen=True)
class Standing:
    """A configuration on the leaderboard: its score alone, and its share of the ensemble's answer."""

    trial: int
    score: float
    spread: float
    share: float
    seconds: float
    parameters: Mapping[str, Any]

    @property
    def words(self) -> str:
        """The network in a few words."""
        sizes = "-".join(map(str, self.parameters["hidden"])) or "linear"
        front = self.parameters.get("front") or ()
        kinds = [self.parameters["activation"], *front, self.parameters["scale"]]
        return ", ".join([sizes, *map(str, kinds)])


def usable(experiment: Experiment) -> list[TrialProgress]:
    """The trials whose folds all have a network that is kept, the best first."""
    every = experiment.records.values()
    done = [record for record in every if np.isfinite(record.score) and len(record.networks) == record.n_folds]
    return sorted(done, key=lambda record: (-record.score, record.configuration.number))


class OutOfFold(Sequence[np.ndarray]):
    """What the networks of some trials say of rows that they had not seen, (N, C or O) each: made when it is asked for,
    since all of them in float64 may take gigabytes.
    """

    def __init__(self, experiment: Experiment, records: Sequence[TrialProgress]) -> None:
        self.experiment, self.numbers = experiment, [record.configuration.number for record in records]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: Any) -> Any:
        return self.experiment.out_of_fold(self.numbers[place])


def choose_team(experiment: Experiment, picks: int) -> Team | None:
    """Chosen greedily, with replacement: as many of the `picks` choices as make the score best. None where no trial was
    done.
    """
    candidates, data, metric = usable(experiment), experiment.data, experiment.metric
    if not candidates:
        return None
    outputs = OutOfFold(experiment, candidates)
    places, scores = greedy(outputs, metric, picks)
    places = places[: int(np.argmax(scores)) + 1]
    counts = Counter(places)
    shares = np.array([*counts.values()]) / len(places)
    together = np.zeros_like(outputs[0])
    for place, share in zip(counts, shares.tolist(), strict=True):
        together += share * outputs[place]
    known = np.flatnonzero(np.isfinite(together).all(axis=1))
    temperature = 1.0
    if data.index is not None:
        weights = None if metric.weights is None else metric.weights[known]
        temperature = temperature_of(together[known], data.index[known], weights)
        together = tempered(together, temperature)
    tests = [np.intersect1d(test, known) for _, test in experiment.splits]
    tests = [test for test in _distinct(tests) if len(test)]
    fold_scores = np.array([metric(together[None, test], [test])[0] for test in tests])
    return Team(
        chosen={candidates[place].configuration.number: count for place, count in counts.items()},
        temperature=temperature,
        predictions=together,
        score=float(metric(together[None, known], [known])[0]),
        fold_scores=fold_scores,
        baseline=float(baseline_scores(experiment).mean()),
        report=_report(experiment, together[known], known),
    )


def ensemble_of(experiment: Experiment, team: Team, scaled_by: np.ndarray, origin: Mapping[str, Any]) -> Ensemble:
    """The networks of all folds of the chosen trials. scaled_by (R,): the rows that their inputs are scaled by. origin:
    what its description says besides.
    """
    trained = []
    for number, count in team.chosen.items():
        record = experiment.records[number]
        params = np.stack([record.networks[fold] for fold in range(record.n_folds)])
        names = tuple(f"trial {number}, fold {fold + 1}" for fold in range(record.n_folds))
        sheet = experiment.sheet(record.configuration, scaled_by, fold=-1)
        trained.append(Trained(record.configuration, params, sheet, count, names))
    description = {
        **origin,
        "rows": experiment.data.n_rows,
        "metric": experiment.metric.name,
        "out_of_fold_score": team.score,
        "baseline": team.baseline,
        "out_of_fold": {name: value for name, value in team.report.items() if isinstance(value, float)},
        "folds": len(experiment.splits),
        "configurations": [
            {"trial": each.trial, "network": each.words, "score": each.score, "share": each.share}
            for each in standings(experiment, team)
        ],
    }
    return assembled(experiment.data, trained, scaled_by, description, team.temperature)


def standings(experiment: Experiment, team: Team) -> tuple[Standing, ...]:
    """Of all trials that were done, the best first."""
    total = sum(team.chosen.values())
    return tuple(
        Standing(
            trial=record.configuration.number,
            score=record.score,
            spread=float(record.scores.std(ddof=1)) if record.n_folds > 1 else float("nan"),
            share=team.chosen.get(record.configuration.number, 0) / total,
            seconds=float(record.seconds.sum()),
            parameters=record.configuration.parameters,
        )
        for record in usable(experiment)
    )


def _distinct(tests: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each once: where several networks share their test rows."""
    return list({test.tobytes(): test for test in tests}.values())


def _report(experiment: Experiment, predictions: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    data = experiment.data
    if data.index is not None and data.classes is not None:
        return classification_report(data.index[rows], predictions, [str(label) for label in data.classes])
    return regression_report(data.truth[rows], predictions)
