"""The table of a sweep, whatever it came as, and how each fold sees it: scaled by its training rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from gpubp.errors import DataError, SettingsError, quoted
from gpubp.preprocessing import Column, Preprocessing, Target, describe_columns
from gpubp.preprocessing.columns import CODES, as_labels
from gpubp.preprocessing.scaling import offset_and_scale
from gpubp.preprocessing.target import TASKS
from gpubp.sweeping.job import Sheet
from gpubp.tables import Table, find_column


class Data(Protocol):
    """task: "classification" or "regression". classes (C,): the labels, sorted; None for regression.

    index (N,): the class of each row; None for regression. truth: (N,) labels, or (N,) or (N, O) numbers in their own
    units, as scikit-learn's scorers expect them.
    """

    task: str
    classes: np.ndarray | None
    index: np.ndarray | None
    truth: np.ndarray

    @property
    def n_rows(self) -> int: ...

    @property
    def n_outputs(self) -> int: ...

    def sheet(self, scale: str, standardise: bool, rows: np.ndarray, dtype: np.dtype[Any]) -> Sheet:
        """All rows, inputs scaled as `rows` say; standardise: numbers to be predicted, too."""
        ...


@dataclass(eq=False)
class ArrayData:
    """X (N, I) float64 and y: labels (N,), or numbers (N,) or (N, O)."""

    X: np.ndarray
    truth: np.ndarray
    task: str
    classes: np.ndarray | None = None
    index: np.ndarray | None = None

    @classmethod
    def of(cls, X: Any, y: Any, task: str | None) -> ArrayData:
        """Raises DataError for what is no table of finite numbers with a label or number for each row."""
        inputs, truth = _numbers(X), _array_of(y)
        if truth.ndim == 2 and truth.shape[1] == 1:
            truth = truth[:, 0]
        if truth.ndim not in (1, 2) or len(truth) != len(inputs):
            raise DataError(f"y has the shape {truth.shape}, and X {inputs.shape}: give one label or number a row.")
        if task is not None and task not in TASKS:
            raise SettingsError(f"Unknown task {task!r}; choose one of {', '.join(TASKS)}.")
        if (task or _task_of(truth)) == "classification":
            return cls._of_labels(inputs, truth)
        try:
            values = truth.astype(np.float64)
        except (TypeError, ValueError):
            raise DataError("y holds text, and regression needs numbers: give task='classification'.") from None
        if not np.isfinite(values).all():
            raise DataError(f"y[{int(np.argwhere(~np.isfinite(values))[0][0])}] is not a finite number.")
        return cls(inputs, values, "regression")

    @classmethod
    def _of_labels(cls, X: np.ndarray, labels: np.ndarray) -> ArrayData:
        if labels.ndim != 1:
            raise DataError(f"Labels of shape {labels.shape}: a sweep takes one label for each row.")
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise DataError(f"y[{int(np.argwhere(~np.isfinite(labels))[0][0])}] is missing: every row needs a label.")
        try:
            classes, index = np.unique(labels, return_inverse=True)
        except TypeError:
            raise DataError("y mixes labels that cannot be sorted, such as text and numbers.") from None
        if len(classes) < 2:
            raise DataError(f"y has one class only, {quoted(classes[0])}; there is nothing to tell apart.")
        return cls(X, labels, "classification", classes, index.astype(np.int64))

    @property
    def n_rows(self) -> int:
        return len(self.X)

    @property
    def n_outputs(self) -> int:
        if self.classes is not None:
            return len(self.classes)
        return 1 if self.truth.ndim == 1 else self.truth.shape[1]

    def sheet(self, scale: str, standardise: bool, rows: np.ndarray, dtype: np.dtype[Any]) -> Sheet:
        offset, divisor = _fitted(self.X[rows], scale)
        if self.index is not None:
            T = np.eye(self.n_outputs)[self.index]
            mean, spread = np.zeros(self.n_outputs), np.ones(self.n_outputs)
        else:
            values = self.truth.reshape(self.n_rows, -1)
            mean, spread = _fitted(values[rows], "standard" if standardise else "none")
            T = (values - mean) / spread
        with np.errstate(over="ignore"):  # what is beyond the dtype is reported by the training
            X = ((self.X - offset) / divisor).astype(dtype)
        return Sheet(X, T.astype(dtype), offset, divisor, mean, spread)


@dataclass(eq=False)
class TableData:
    """A table with its target column: text and missing values are dealt with by `Preprocessing`."""

    table: Table
    name: str
    columns: Sequence[Column]
    target: Target
    task: str
    truth: np.ndarray
    classes: np.ndarray | None = None
    index: np.ndarray | None = None
    categorical: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, table: Table, target: str | int | None, task: str | None, categorical: Sequence[str]) -> TableData:
        table.require_rows(2, "a sweep")
        name = find_column(table, target)
        columns = describe_columns(table, exclude=(name,), categorical=categorical)
        whole = Target.fit(table, name, task)
        found = cls(table, name, columns, whole, whole.task, np.empty(0), categorical=tuple(categorical))
        if whole.task == "regression":
            found.truth = whole.values(table)
        else:
            found.classes, found.index = _labels(whole.labels), whole.class_index(table)
            found.truth = found.classes[found.index]
        found.notes = found.preprocessing("none", np.arange(table.rows)).notes
        return found

    @property
    def n_rows(self) -> int:
        return self.table.rows

    @property
    def n_outputs(self) -> int:
        return self.target.outputs

    def preprocessing(self, scale: str, rows: np.ndarray) -> Preprocessing:
        return Preprocessing.fit(self.table, self.columns, scale=scale, rows=rows, target=self.name)

    def sheet(self, scale: str, standardise: bool, rows: np.ndarray, dtype: np.dtype[Any]) -> Sheet:
        inputs = self.preprocessing(scale, rows)
        target = Target.fit(self.table, self.name, self.task, rows, standardise=standardise)
        outputs = self.n_outputs
        return Sheet(
            inputs.transform(self.table).X.astype(dtype),
            target.encode(self.table).astype(dtype),
            inputs.offset,
            inputs.scale,
            np.full(outputs, target.mean),
            np.full(outputs, target.scale),
        )


def receive(X: Any, y: Any, task: str | None, categorical: Sequence[str] = ()) -> ArrayData | TableData:
    """A Table or a frame (y: the target's name or place, or a column of its own), or arrays."""
    if isinstance(X, Table):
        return TableData.of(*_with_target(X, y), task, categorical)
    if hasattr(X, "columns") and not isinstance(X, np.ndarray):
        return TableData.of(*_with_target(Table.from_frame(X), y), task, categorical)
    if y is None:
        raise DataError("X alone, without y: give the labels or numbers to predict.")
    if len(categorical):
        raise SettingsError("categorical names columns of a Table or a data frame, and X is an array.")
    return ArrayData.of(X, y, task)


def _with_target(table: Table, y: Any) -> tuple[Table, str | int | None]:
    """The table with its target in it, and which column that is."""
    if y is None or isinstance(y, (str, int)):
        return table, y
    import polars as pl

    name = getattr(y, "name", None) or "target"
    while name in table.names:
        name += "_"
    values = _array_of(y)
    if values.shape != (table.rows,):
        raise DataError(f"y has the shape {values.shape}, and X has {table.rows} rows: give one value for each row.")
    column = Table.from_arrays(np.empty((table.rows, 0)), values, names=[name], source="y").frame
    joined = pl.concat([table.frame, column], how="horizontal")
    return Table(joined, table.source, table.has_header, table.lines), str(name)


def _array_of(y: Any) -> np.ndarray:
    """As NumPy has it, but long texts as objects: see `as_labels`."""
    if isinstance(y, (list, tuple)) and y and all(isinstance(each, str) for each in y):
        return as_labels(y)
    return np.asarray(y)


def _numbers(X: Any) -> np.ndarray:
    try:
        found = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            "X holds what is no number: give a data frame or a Table, whose text columns are encoded, or numbers."
        ) from None
    if found.ndim != 2 or not found.size:
        raise DataError(f"X has the shape {found.shape}: expected (rows, columns), at least one of each.")
    bad = np.argwhere(~np.isfinite(found))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"X[{row}, {column}] is {found[row, column]}: arrays have to be finite. In a data frame or a Table missing "
            "values are filled in."
        )
    return found


def _fitted(values: np.ndarray, scale: str) -> tuple[np.ndarray, np.ndarray]:
    """Offset and scale of each column, by the rule for tables."""
    fits = [offset_and_scale(values[:, i], scale)[:2] for i in range(values.shape[1])]
    return np.array([offset for offset, _ in fits]), np.array([divisor for _, divisor in fits])


def _task_of(y: np.ndarray) -> str:
    """The rule of `Target.fit`: text, and few whole numbers that come up again and again, are classes."""
    if y.ndim == 2:
        return "regression"
    if y.dtype.kind not in "iuf":
        return "classification"
    distinct = np.unique(y)
    whole = bool((distinct == np.round(distinct)).all())
    return "classification" if whole and len(distinct) <= CODES and 2 * len(distinct) < len(y) else "regression"


def _labels(texts: Sequence[str]) -> np.ndarray:
    """A table's labels as scorers like them: whole numbers where all are, else text."""
    try:
        return np.array([int(text) for text in texts])
    except ValueError:
        return as_labels(texts)
