"""What networks are trained on, whatever it came as, and how each fold sees it: scaled by its training rows alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gpubp.backends.placement import to_host
from gpubp.errors import DataError, SettingsError
from gpubp.fitting.array_data import ArrayData, array_of
from gpubp.fitting.dataset import Dataset, Names
from gpubp.fitting.job import Sheet
from gpubp.fitting.recipe import Recipe
from gpubp.fitting.table_data import TableData
from gpubp.preprocessing import InputRules
from gpubp.tables import Table, table_of
from gpubp.tables.frames import is_frame

Respond = Callable[[Any], np.ndarray]
"""A network's decoded predictions (R, C or O) for any R rows of features, in the form that the data were given in."""


class Data(Protocol):
    """task: "classification" or "regression". classes (C,): the labels, sorted; None for regression.

    index (N,): the class of each row; None for regression. truth: (N,) labels, or (N,) or (N, O) numbers in their own
    units, as scikit-learn's scorers expect them.
    """

    classes: np.ndarray | None
    index: np.ndarray | None
    truth: np.ndarray

    @property
    def task(self) -> str: ...

    @property
    def n_rows(self) -> int: ...

    @property
    def n_outputs(self) -> int: ...

    def n_inputs(self, rules: InputRules) -> int:
        """Of a network, by these rules."""
        ...

    @property
    def n_features(self) -> int: ...

    @property
    def feature_names(self) -> list[str] | None: ...

    def indicators(self, rules: InputRules) -> tuple[int, ...]:
        """The places of such a network's inputs that are no numbers."""
        ...

    def categories(self, rules: InputRules) -> tuple[tuple[int, ...], ...]:
        """Of each column of categories the places of its inputs."""
        ...

    def features(self, rows: np.ndarray | None = None) -> Any:
        """The features of these rows (None: of all), in the form that they were given in: a copy, or what was given."""
        ...

    def encoded(self, features: Any, rules: InputRules, rows: np.ndarray) -> np.ndarray:
        """(R, I) float64: what a network is given for R rows of features, by these rules, as `rows` say."""
        ...

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What a recipe has where the search space does not say, if that is not what `Recipe` says."""
        ...

    def check(self, recipe: Recipe) -> None:
        """SettingsError for what a network on these data cannot have."""
        ...

    def sheet(self, recipe: Recipe, rows: np.ndarray) -> Sheet:
        """All rows, inputs and numbers to be predicted scaled by this recipe as `rows` say."""
        ...


def receive(
    X: Any, y: Any, task: str | None, categorical: Names = (), ignore: Names = (), strict: bool = False
) -> ArrayData | TableData:
    """A Table, a path or a frame (y: the target's name or place, or a column of its own), or arrays."""
    framed = is_frame(X)
    if framed or isinstance(X, (Table, str, Path)):
        table, target = _with_target(table_of(X), y)
        dataset = Dataset.of(
            table, target, task, categorical=categorical, ignore=ignore, strict=strict, purpose="a sweep"
        )
        kept_as_it_is = hasattr(X, "iloc") or type(X).__module__.startswith("polars.dataframe")
        return TableData.of(dataset, X if kept_as_it_is else None)
    if y is None:
        raise DataError("X alone, without y: give the labels or numbers to predict.")
    for what, given in (("categorical", categorical), ("ignore", ignore)):
        if not isinstance(given, int) and len(given):
            raise SettingsError(f"{what} names columns of a Table or a data frame, and X is an array.")
    return ArrayData.of(X, y, task)


def _with_target(table: Table, y: Any) -> tuple[Table, str | int | None]:
    """The table with its target in it, and which column that is."""
    if y is None or isinstance(y, str):
        return table, y
    if isinstance(y, Integral) and not isinstance(y, (bool, np.bool_)):
        return table, int(y)
    import polars as pl

    name = getattr(y, "name", None) or "target"
    while name in table.names:
        name += "_"
    values = array_of(to_host(y))
    if values.shape == (table.rows, 1):
        values = values[:, 0]
    if values.shape != (table.rows,):
        raise DataError(f"y has the shape {values.shape}, and X has {table.rows} rows: give one value for each row.")
    column = Table.from_arrays(np.empty((table.rows, 0)), values, names=[name], source="y").frame
    return replace(table, frame=pl.concat([table.frame, column], how="horizontal")), str(name)
