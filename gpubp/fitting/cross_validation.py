"""Cross-validation: every fold of every repeat is a network, and all of them are ONE population."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpubp.backends import Backend, get_backend
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.dataset import Dataset, Names
from gpubp.fitting.fit import refuse_divergence, say_all, target_offer
from gpubp.fitting.fold import Fold
from gpubp.fitting.job import Job, with_batches_of_the_largest
from gpubp.fitting.recipe import Recipe
from gpubp.fitting.splits import (
    cross_validation_folds,
    early_stopping_notes,
    missing_classes,
    rare_classes,
    validation_split,
)
from gpubp.models.baselines import zero_rule
from gpubp.models.model import Prediction, score, to_prediction
from gpubp.networks.population import network_seeds
from gpubp.preprocessing import Target
from gpubp.tables import Table
from gpubp.training.history import Callback, History

HEADLINE = {"classification": "accuracy", "regression": "r2"}


@dataclass(frozen=True)
class CrossValidation:
    """fold_scores: the metrics on the test rows of each fold, repeat after repeat; baseline_scores: those of a
    prediction without learning (the most common class of the training rows, or their mean), on the same folds. offer:
    what speaks for another target scale; None where nothing does.
    """

    task: str
    fold_scores: list[dict[str, Any]]
    baseline_scores: list[dict[str, Any]]
    history: History
    folds: int
    repeats: int
    rows: int
    notes: tuple[str, ...]
    offer: str | None = None

    @property
    def metric(self) -> str:
        """accuracy or r2."""
        return HEADLINE[self.task]

    def values(self, metric: str | None = None) -> np.ndarray:
        """(folds · repeats,) float64."""
        return np.array([scores[metric or self.metric] for scores in self.fold_scores])

    def baseline_values(self, metric: str | None = None) -> np.ndarray:
        return np.array([scores[metric or self.metric] for scores in self.baseline_scores])


def cross_validate(
    table: Any,
    target: str | int | None = None,
    recipe: Recipe | None = None,
    *,
    task: str | None = None,
    categorical: Names = (),
    ignore: Names = (),
    strict: bool = False,
    folds: int = 5,
    repeats: int = 1,
    backend: Backend | str | None = None,
    engine: str = "auto",
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
    note: Callable[[str], None] | None = None,
) -> CrossValidation:
    """table, target, task, categorical, ignore, strict: see `train_model`.

    Folds are shuffled, and stratified for classification. Everything fitted (medians, scales, early stopping's
    validation rows) comes from a fold's training rows alone; what inputs there are comes from the whole table. note:
    called with each of the notes before the training.

    A class with fewer rows than there are folds is missing from some of them, as a note says; the networks have an
    output for it all the same.

    Ctrl-C ends the training, and gives the scores of the networks as they are then, with `history.interrupted`.

    Raises as `train_model` does.
    """
    recipe, chosen = recipe or Recipe(), get_backend(backend)
    data = Dataset.of(
        table, target, task, categorical=categorical, ignore=ignore, strict=strict, purpose="cross-validation"
    )
    recipe = recipe.for_task(data.task)
    table, whole, labels = data.table, data.target, data.class_index()
    test_rows = cross_validation_folds(labels, table.rows, folds, repeats, recipe.seed)
    notes: tuple[str, ...] = ()
    if labels is not None:
        notes = rare_classes(folds, dict(zip(whole.labels, np.bincount(labels).tolist(), strict=True)))
    one_hot = None if labels is None else whole.encode(table).astype(recipe.dtype)  # the same in all folds
    training_rows = [np.setdiff1d(np.arange(table.rows), test) for test in test_rows]
    parts = [Fold.of(data, recipe, rows, one_hot) for rows in training_rows]
    first = parts[0]
    n_inputs = first.sheet.X.shape[1]
    architecture = recipe.architecture(n_inputs, whole.outputs, whole.task, first.indicators, first.categories)
    settings, dtype, seeds = recipe.settings(whole.task), np.dtype(recipe.dtype), network_seeds(recipe.seed, len(parts))
    jobs, unseen = [], set[str]()
    for part, training, test, seed in zip(parts, training_rows, test_rows, seeds.tolist(), strict=True):
        rows, validation = training, None
        if recipe.early_stopping:
            picked = None if labels is None else labels[rows]
            kept, validation = validation_split(picked, len(rows), recipe.validation_share or 0.2, recipe.seed)
            rows, validation = rows[kept], rows[validation]
            unseen |= set() if labels is None else {*missing_classes(labels, whole.labels, validation)}
        jobs.append(
            Job(
                architecture, settings, dtype, recipe.initializer, seed, part.sheet, rows, validation, test,
                zero_last_layer=recipe.zero_last_layer,
            )
        )  # fmt: skip
    notes += early_stopping_notes([label for label in whole.labels if label in unseen])
    offer = target_offer(table, whole, recipe)
    notes = (*data.preprocessing(recipe.inputs).notes, *notes, *([] if offer is None else [offer]))
    say_all(notes, note)
    cohort = Cohort.start(with_batches_of_the_largest(jobs), chosen).train(
        engine=engine, callbacks=callbacks, progress=progress
    )
    history = cohort.history
    assert history is not None
    refuse_divergence(history, [f"fold {f % folds + 1} of repeat {f // folds + 1}" for f in range(len(parts))])
    fold_scores, baseline_scores = [], []
    for place, (part, training, test) in enumerate(zip(parts, training_rows, test_rows, strict=True)):
        outputs = chosen.to_host(cohort.population.take([place]).predict(part.sheet.X[test]))[0]
        fold_scores.append(part.score(outputs, test))
        baseline = _constant_prediction(part.target, labels, table, training, len(test))
        baseline_scores.append(score(baseline, part.target, table.take(test)))
    return CrossValidation(whole.task, fold_scores, baseline_scores, history, folds, repeats, table.rows, notes, offer)


def _constant_prediction(
    target: Target, labels: np.ndarray | None, table: Table, training: np.ndarray, rows: int
) -> Prediction:
    """The prediction of a baseline that knows the training rows' targets alone."""
    if labels is None:
        return Prediction(np.full(rows, target.values(table)[training].mean()), None, ())
    answer = np.zeros(target.outputs)
    answer[zero_rule(labels[training])] = 1.0
    return to_prediction(np.tile(answer, (rows, 1)), target, ())
