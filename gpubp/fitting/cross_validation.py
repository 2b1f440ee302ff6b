"""Cross-validation: every fold of every repeat is a network, and all of them are ONE population."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpubp.backends import Backend, get_backend
from gpubp.fitting.dataset import Dataset, Names
from gpubp.fitting.fit import fit_target, refuse_divergence, say_all, target_offer
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
from gpubp.networks.population import Population, network_seeds
from gpubp.preprocessing import Target
from gpubp.tables import Table
from gpubp.training.history import Callback, History
from gpubp.training.loop import train

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
    table, whole, labels = data.table, data.target, data.class_index()
    test_rows = cross_validation_folds(labels, table.rows, folds, repeats, recipe.seed)
    notes: tuple[str, ...] = ()
    if labels is not None:
        notes = rare_classes(folds, dict(zip(whole.labels, np.bincount(labels).tolist(), strict=True)))
    one_hot = None if labels is None else whole.encode(table).astype(recipe.dtype)  # the same in all folds
    parts = [_Part.of(data, recipe, np.setdiff1d(np.arange(table.rows), test), one_hot) for test in test_rows]
    n_inputs, n_outputs = parts[0].X.shape[1], whole.outputs
    architecture = recipe.architecture(n_inputs, n_outputs, whole.task)
    seeds = network_seeds(recipe.seed, len(parts))
    population = Population.initialize(architecture, seeds, chosen, initializer=recipe.initializer, dtype=recipe.dtype)

    # Each fold has a copy of the table, scaled its own way; the copies are stacked, and a fold's rows are numbered on.
    training, validation, unseen = [], [], set[str]()
    for fold, part in enumerate(parts):
        rows, held = part.training, None
        if recipe.early_stopping:
            picked = None if labels is None else labels[rows]
            kept, held = validation_split(picked, len(rows), recipe.validation_share or 0.2, recipe.seed)
            rows, held = rows[kept], rows[held]
            unseen |= set() if labels is None else {*missing_classes(labels, whole.labels, held)}
            validation.append(fold * table.rows + held)
        training.append(fold * table.rows + rows)
    notes += early_stopping_notes([label for label in whole.labels if label in unseen])
    offer = target_offer(table, whole, recipe)
    notes = (*data.preprocessing(recipe.scale).notes, *notes, *([] if offer is None else [offer]))
    say_all(notes, note)
    history = train(
        population,
        np.concatenate([part.X for part in parts]),
        np.concatenate([part.T for part in parts]),
        recipe.settings(whole.task),
        rows=training,
        validation_rows=validation or None,
        engine=engine,
        callbacks=callbacks,
        progress=progress,
    )
    refuse_divergence(history, [f"fold {f % folds + 1} of repeat {f // folds + 1}" for f in range(len(parts))])
    fold_scores, baseline_scores = [], []
    for fold, (part, test) in enumerate(zip(parts, test_rows, strict=True)):
        held_out = table.take(test)
        outputs = chosen.to_host(population.take([fold]).predict(part.X[test]))[0].astype(np.float64)
        fold_scores.append(score(to_prediction(outputs, part.target, ()), part.target, held_out))
        baseline_scores.append(score(_constant_prediction(part, labels, table, len(test)), part.target, held_out))
    return CrossValidation(whole.task, fold_scores, baseline_scores, history, folds, repeats, table.rows, notes, offer)


@dataclass(frozen=True)
class _Part:
    """One fold's view of the table: preprocessing and target fitted on its training rows."""

    training: np.ndarray
    target: Target
    X: np.ndarray
    T: np.ndarray

    @classmethod
    def of(cls, data: Dataset, recipe: Recipe, training: np.ndarray, one_hot: np.ndarray | None) -> _Part:
        """one_hot: T of a classification."""
        target = fit_target(data.table, data.name, data.task, recipe, training)
        encoded = data.preprocessing(recipe.scale, training).transform(data.table)
        return cls(training, target, encoded.X, target.encode(data.table) if one_hot is None else one_hot)


def _constant_prediction(part: _Part, labels: np.ndarray | None, table: Table, rows: int) -> Prediction:
    """What is predicted by whoever has learned nothing but the training rows' targets."""
    if labels is None:
        mean = part.target.values(table)[part.training].mean()
        return Prediction(np.full(rows, mean), None, ())
    answer = np.zeros(part.target.outputs)
    answer[zero_rule(labels[part.training])] = 1.0
    return to_prediction(np.tile(answer, (rows, 1)), part.target, ())
