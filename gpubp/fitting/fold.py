"""A table as the networks of one fold see it: inputs and target encoded by what its training rows alone say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpubp.fitting.dataset import Dataset
from gpubp.fitting.job import Sheet
from gpubp.fitting.recipe import Recipe
from gpubp.models.model import score, to_prediction
from gpubp.operations.losses import LOSSES
from gpubp.preprocessing import Preprocessing, Target
from gpubp.preprocessing.columns import categories, indicators
from gpubp.preprocessing.scaling import LINEAR
from gpubp.tables import Table


@dataclass(frozen=True, eq=False)
class Fold:
    """sheet: all rows of the table, those that the fold does not train on too."""

    dataset: Dataset
    preprocessing: Preprocessing
    target: Target
    sheet: Sheet

    @classmethod
    def of(cls, dataset: Dataset, recipe: Recipe, rows: np.ndarray, one_hot: np.ndarray | None = None) -> Fold:
        """Fitted on these rows. one_hot (N, O): the classes, where they are encoded already."""
        target = fit_target(dataset.table, dataset.name, dataset.task, recipe, rows)
        inputs = dataset.preprocessing(recipe.inputs, rows)
        sheet = Sheet(
            inputs.transform(dataset.table).X,
            target.encode(dataset.table) if one_hot is None else one_hot,
            inputs.offset,
            inputs.scale,
            np.full(target.outputs, target.mean),
            np.full(target.outputs, target.scale),
            nonlinear=inputs.scaling not in LINEAR,
            log=target.log,
            limits=target.limits,
        )
        return cls(dataset, inputs, target, sheet)

    @property
    def indicators(self) -> tuple[int, ...]:
        """The places of inputs that are no numbers."""
        return indicators(self.preprocessing.columns)

    @property
    def categories(self) -> tuple[tuple[int, ...], ...]:
        """Of each column of categories the places of its inputs."""
        return categories(self.preprocessing.columns)

    def score(self, outputs: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
        """The metrics (models.metrics) of a network's outputs (R, O) for these rows."""
        outputs = outputs.astype(np.float64)
        return score(to_prediction(outputs, self.target, ()), self.target, self.dataset.table.take(rows))


def fit_target(table: Table, name: str, task: str, recipe: Recipe, rows: np.ndarray) -> Target:
    """The target, fitted on the training rows; counts are not standardised."""
    return Target.fit(
        table,
        name,
        task,
        rows,
        standardise=not LOSSES[recipe.loss_for(task)].is_for_counts,
        log=recipe.target_scale == "log",
        clip=recipe.clip_predictions,
    )
