"""A table with its target that networks are trained on, and how each fold sees it: by its training rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gpubp.fitting.dataset import Dataset
from gpubp.fitting.fold import Fold
from gpubp.fitting.job import Sheet
from gpubp.fitting.recipe import Recipe
from gpubp.preprocessing import Column, InputRules, Preprocessing, Target
from gpubp.preprocessing.columns import categories, indicators
from gpubp.preprocessing.labels import as_labels
from gpubp.tables import Table
from gpubp.tables.frames import is_frame
from gpubp.tables.table import rows_of, without_column


@dataclass(eq=False)
class TableData:
    """A table with its target column: text and missing values are dealt with by `Preprocessing`.

    given: the features as they came, a frame without the target.
    """

    dataset: Dataset
    truth: np.ndarray
    given: Any = field(repr=False)
    classes: np.ndarray | None = None
    index: np.ndarray | None = None

    @classmethod
    def of(cls, dataset: Dataset, frame: Any = None) -> TableData:
        """frame: what the table was made of, if that is known."""
        table, whole = dataset.table, dataset.target
        classes = index = None
        if whole.task == "regression":
            truth = whole.values(table)
        else:
            classes, index = _labels(whole.labels), whole.class_index(table)
            truth = classes[index]
        given = table.frame if frame is None else frame
        if frame is not None and dataset.kept is not None:
            given = _rows(frame, dataset.kept)
        if given.shape[1] == table.frame.width:  # the target is in it
            given = without_column(given, table.names.index(whole.name))
        return cls(dataset, truth, given, classes, index)

    def notes(self, rules: InputRules) -> tuple[str, ...]:
        """What there is to say of the table, by these rules but for the scale, as sentences."""
        return self.dataset.preprocessing(replace(rules, scale="none")).notes

    @property
    def table(self) -> Table:
        return self.dataset.table

    @property
    def name(self) -> str:
        """Of the target."""
        return self.dataset.name

    @property
    def columns(self) -> Sequence[Column]:
        return self.dataset.columns

    @property
    def target(self) -> Target:
        return self.dataset.target

    @property
    def task(self) -> str:
        return self.dataset.task

    @property
    def n_rows(self) -> int:
        return self.table.rows

    @property
    def n_outputs(self) -> int:
        return self.target.outputs

    def n_inputs(self, rules: InputRules) -> int:
        return sum(len(column.input_names) for column in rules.columns(self.table, self.columns))

    @property
    def n_features(self) -> int:
        return len(self.given.columns)

    @property
    def feature_names(self) -> list[str] | None:
        names = list(self.given.columns)
        return names if all(isinstance(name, str) for name in names) else None

    def indicators(self, rules: InputRules) -> tuple[int, ...]:
        return indicators(rules.columns(self.table, self.columns))

    def categories(self, rules: InputRules) -> tuple[tuple[int, ...], ...]:
        return categories(rules.columns(self.table, self.columns))

    def features(self, rows: np.ndarray | None = None) -> Any:
        if rows is None:
            return self.given
        return _rows(self.given, rows)

    def encoded(self, features: Any, rules: InputRules, rows: np.ndarray) -> np.ndarray:
        if not isinstance(features, Table):
            names = [name for name in self.table.names if name != self.name]
            framed = is_frame(features)
            features = Table.from_frame(features) if framed else Table.from_arrays(features, names=names)
        found: np.ndarray = self.preprocessing(rules, rows).transform(features).X
        return found

    def preprocessing(self, rules: InputRules, rows: np.ndarray) -> Preprocessing:
        return self.dataset.preprocessing(rules, rows)

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {}

    def check(self, recipe: Recipe) -> None:
        """Nothing: a table's networks may be whatever a recipe says."""

    def sheet(self, recipe: Recipe, rows: np.ndarray) -> Sheet:
        sheet, dtype = Fold.of(self.dataset, recipe, rows).sheet, np.dtype(recipe.dtype)
        return replace(sheet, X=sheet.X.astype(dtype), T=sheet.T.astype(dtype))


def _rows(frame: Any, rows: np.ndarray) -> Any:
    return frame.iloc[rows] if hasattr(frame, "iloc") else rows_of(frame, rows)


def _labels(texts: Sequence[str]) -> np.ndarray:
    """A table's labels as scorers like them: whole numbers where all are, and are spelled as such, else text."""
    try:
        numbers = [int(text) for text in texts]
    except ValueError:
        return as_labels(texts)
    plain = all(str(number) == text and abs(number) < 2**63 for number, text in zip(numbers, texts, strict=True))
    return np.array(numbers) if plain else as_labels(texts)
