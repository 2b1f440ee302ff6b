"""A sweep as one JSON document, `results.json`: what its report shows, for readers in any language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import numpy as np

from gpubp._version import __version__
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.fold_data import Data
from gpubp.fitting.job import Job
from gpubp.fitting.table_data import TableData
from gpubp.models.metrics import classification_report, regression_report
from gpubp.search.results.result import SweepResult
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.scoring import decoded
from gpubp.search.run.trial import Trial, TrialProgress
from gpubp.search.space.ranges import Choices, Range
from gpubp.search.space.space import Space
from gpubp.storage.json_values import plain

FORMAT, VERSION = "gpubp sweep results", 1
CURVE_POINTS = 400  # of a learning curve: of more epochs, evenly spread ones
SCATTER_POINTS = 2000  # of predictions against the truth: of more rows, evenly spread ones
CALIBRATION_BINS = 10
RESIDUAL_BINS = 40


def summary(found: SweepResult, outcome: Mapping[str, Any], train_again: bool = True) -> dict[str, Any]:
    """Plain JSON values; what is not a finite number is null.

    format, version; gpubp: its version; date: now, in UTC; outcome: as given, what the command had to say; table:
    source, rows, target (null for arrays); labels: of the classes, or null; space: see `described_space`; trials: all
    of them, rank 1 being the best, unfinished ones coming last, epochs counting from 1; best: its number, learning
    curves and out-of-fold predictions (see `curves`, `classes`, `values`), null where its networks were not to be
    trained again, which these are made by (train_again), or where Ctrl-C came between.
    """
    data, best = found.experiment.data, found.best
    unfinished = [trial for trial in found.trials if trial.status == "unfinished"]
    ranks = {trial.number: place + 1 for place, trial in enumerate([*found.ranked, *unfinished])}
    cohorts = trained_again(found.experiment, best) if train_again else {}
    return plain(
        {
            "format": FORMAT,
            "version": VERSION,
            "gpubp": __version__,
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "outcome": outcome,
            "table": _described_table(data),
            "task": found.task,
            "metric": found.metric,
            "strategy": found.strategy,
            "seed": found.seed,
            "folds": len(found.experiment.splits),
            "labels": _labels(data),
            "space": described_space(found.space),
            "trials": [{"rank": ranks[trial.number]} | _described_trial(trial) for trial in found.trials],
            "best": {
                "trial": best.number,
                "curves": curves(cohorts) if cohorts else None,
                "predictions": predictions(found.experiment, best, cohorts) if cohorts else None,
            },
        }
    )


def trained_again(experiment: Experiment, trial: Trial) -> dict[int, Cohort]:
    """The trial's network of each fold, trained as far as it was, to the same bits, but now with a look at rows that it
    does not train on after each epoch: at those that early stopping looks at, or else at the fold's test rows.

    Empty where Ctrl-C came in.
    """
    jobs = [_watched(job) for job in experiment.jobs([experiment.records[trial.number]])]
    cohort = Cohort.start(jobs, experiment.backend).train(int(trial.epochs.max()), trial.engine)
    if cohort.history is not None and cohort.history.interrupted:
        return {}
    return {job.owner[1]: cohort.take([p]) for p, job in enumerate(cohort.jobs)}


def seconds_again(experiment: Experiment, trial: Trial) -> float:
    """What `trained_again` is expected to take."""
    jobs = experiment.jobs([experiment.records[trial.number]])
    share = float(trial.epochs.max()) / jobs[0].epochs
    return experiment.rates.seconds(jobs[0], trial.engine, share * experiment.engines.seconds(jobs, trial.engine))


def _watched(job: Job) -> Job:
    return job if job.validation is not None else replace(job, validation=job.test)


def curves(cohorts: Mapping[int, Cohort]) -> dict[str, Any]:
    """Of each fold's network after each epoch: the training loss, and loss and score on rows it does not train on.

    rows: whose these are, "held" back for early stopping, or of the "test" fold. loss, score: their names; losses are
    of standardised targets where the target is a number. epoch: the numbers of the epochs that are given. best_epoch:
    whose weights early stopping kept, or null.
    """
    first = next(iter(cohorts.values())).jobs[0]
    longest = max(len(cohort.history.training_loss) for cohort in cohorts.values() if cohort.history is not None)
    shown = np.unique(np.linspace(0, longest - 1, CURVE_POINTS).round().astype(np.int64))
    folds = []
    for fold, cohort in cohorts.items():
        history = cohort.history
        assert history is not None
        names = ("training_loss", "validation_loss", "validation_score")
        there = shown[shown < len(history.training_loss)]
        folds.append(
            {"fold": fold + 1, "best_epoch": int(history.best_epoch[0]) + 1 if first.settings.early_stopping else None}
            | {name: getattr(history, name)[there, 0] for name in names}
        )
    return {
        "rows": "test" if first.settings.early_stopping is None else "held",
        "loss": first.settings.loss,
        "score": "accuracy" if first.settings.loss_function.is_classification else "R²",
        "epoch": shown + 1,
        "folds": folds,
    }


def predictions(experiment: Experiment, trial: Trial, cohorts: Mapping[int, Cohort]) -> dict[str, Any] | None:
    """How the trial's networks answered for rows that they had not seen (with repeats: their mean answer).

    Of classes or values; None where no row was predicted.
    """
    data = experiment.data
    record = TrialProgress(experiment.records[trial.number].configuration, len(experiment.splits))
    for cohort in cohorts.values():
        job = cohort.jobs[0]
        assert job.test is not None
        outputs = cohort.test_outputs(experiment.test_rows)
        answers = decoded(data, outputs, [job.sheet])
        record.add_predictions(job.test, answers[0, : len(job.test)], data.n_rows)
    answered = record.out_of_fold()
    known = np.flatnonzero(np.isfinite(answered).all(axis=1)) if answered is not None else np.empty(0)
    if answered is None or not len(known):
        return None
    if data.index is not None:
        return classes(data.index[known], answered[known], _labels(data) or [])
    truth = data.truth.reshape(data.n_rows, -1)[known]
    return {"rows": len(known), "outputs": [values(truth[:, o], answered[known, o]) for o in range(truth.shape[1])]}


def classes(truth: np.ndarray, probabilities: np.ndarray, labels: list[str]) -> dict[str, Any]:
    """Of true classes (N,) and probabilities (N, C): what `classification_report` says, and how far the probability of
    the predicted class can be believed.

    calibration: bins of equal width; each has its rows, the mean probability of the predicted class, and the share of
    rows for which that class was right (null in a bin without rows). expected_calibration_error: the mean distance of
    the two, each bin counting by its rows (Naeini, Cooper and Hauskrecht 2015).
    """
    report = classification_report(truth, probabilities, labels)
    confidence = np.clip(probabilities.max(axis=1), 0.0, 1.0)
    right = probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    count = np.bincount(place, minlength=CALIBRATION_BINS)
    with np.errstate(invalid="ignore"):
        mean, share = (np.bincount(place, each, CALIBRATION_BINS) / count for each in (confidence, right))
    distance = np.abs(mean - share)[count > 0] * count[count > 0]
    return {
        "rows": len(truth),
        "accuracy": report["accuracy"],
        "log_loss": report["log_loss"],
        "macro_f1": report["macro_f1"],
        **{name: report[name] for name in ("confusion_matrix", "confusions") if name in report},
        "expected_calibration_error": distance.sum() / len(truth),
        "calibration": [
            {"from": i / CALIBRATION_BINS, "to": (i + 1) / CALIBRATION_BINS, "rows": n, "probability": p, "right": r}
            for i, (n, p, r) in enumerate(zip(count.tolist(), mean.tolist(), share.tolist(), strict=True))
        ],
    }


def values(truth: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Of true and predicted numbers (N,): R², RMSE and MAE; the two for some rows; a histogram of predicted − true."""
    shown = np.unique(np.linspace(0, len(truth) - 1, SCATTER_POINTS).round().astype(np.int64))
    rows, edges = np.histogram(predicted - truth, int(np.clip(np.sqrt(len(truth)), 5, RESIDUAL_BINS)))
    return {
        **regression_report(truth, predicted),
        "true": truth[shown],
        "predicted": predicted[shown],
        "residuals": {"edges": edges, "rows": rows},
    }


def described_space(space: Space) -> dict[str, Any]:
    """entries: for each parameter {"low", "high", "log", "integer"} or {"choices"}; conditions: entries that a trial
    has only "when" these parameters have one of these values.
    """
    return {
        "entries": {name: _described_entry(entry) for name, entry in space.entries.items()},
        "conditions": [
            {
                "when": dict(condition.condition),
                "entries": {name: _described_entry(entry) for name, entry in condition.entries.items()},
            }
            for condition in space.conditions
        ],
    }


def _described_entry(entry: Range | Choices) -> dict[str, Any]:
    if isinstance(entry, Choices):
        return {"choices": list(entry.values)}
    return {"low": entry.low, "high": entry.high, "log": entry.log, "integer": entry.integer}


def _described_trial(trial: Trial) -> dict[str, Any]:
    lost = trial.diverged_epochs[trial.diverged_epochs >= 0]
    return {
        "trial": trial.number,
        "parameters": dict(trial.parameters),
        "seed": trial.seed,
        "status": trial.status,
        "scores": trial.scores,
        "mean": trial.score,
        "std": trial.std,
        "epochs": trial.epochs,
        "diverged_epoch": int(lost.min()) + 1 if len(lost) else None,
        "time_share": trial.time_share,
        "engine": trial.engine,
    }


def _described_table(data: Data) -> dict[str, Any]:
    if isinstance(data, TableData):
        columns = [column.name for column in data.columns]
        return {"source": str(data.table.source), "rows": data.n_rows, "target": str(data.name), "columns": columns}
    return {"source": None, "rows": data.n_rows, "target": None, "columns": None}


def _labels(data: Data) -> list[str] | None:
    return None if data.classes is None else [str(label) for label in data.classes]
