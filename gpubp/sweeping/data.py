"""The table of a sweep, whatever it came as, and how each fold sees it: scaled by its training rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gpubp.dataset import Dataset, Names
from gpubp.errors import DataError, SettingsError, quoted
from gpubp.fitting import fit_target
from gpubp.preprocessing import Column, Preprocessing, Target
from gpubp.preprocessing.columns import CODES
from gpubp.preprocessing.labels import as_labels
from gpubp.preprocessing.missing import refuse_missing
from gpubp.preprocessing.scaling import offset_and_scale
from gpubp.preprocessing.skew import log_offer
from gpubp.preprocessing.target import TASKS
from gpubp.recipe import Recipe
from gpubp.suggestions import check_choice
from gpubp.sweeping.job import Sheet
from gpubp.sweeping.space import Space
from gpubp.tables import Table, table_of
from gpubp.tables.frames import is_frame
from gpubp.tables.table import rows_of, without_column


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

    @property
    def n_features(self) -> int: ...

    @property
    def feature_names(self) -> list[str] | None: ...

    def features(self, rows: np.ndarray | None = None) -> Any:
        """The features of these rows (None: of all), in the form that they were given in: a copy, or what was given."""
        ...

    def encoded(self, features: Any, scale: str, rows: np.ndarray) -> np.ndarray:
        """(R, I) float64: what a network whose inputs are scaled as `rows` say is given for R rows of features."""
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


@dataclass(eq=False)
class ArrayData:
    """X (N, I) float64 and y: labels (N,), or numbers (N,) or (N, O). given: X as it came, an array or sparse."""

    X: np.ndarray
    truth: np.ndarray
    task: str
    classes: np.ndarray | None = None
    index: np.ndarray | None = None
    given: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, X: Any, y: Any, task: str | None) -> ArrayData:
        """Raises DataError for what is no table of finite numbers with a label or number for each row."""
        from gpubp.estimators.places import to_host

        X, y = to_host(X), to_host(y)
        inputs, truth = _numbers(X), _array_of(y)
        given = X.tocsr() if _is_sparse(X) else X if hasattr(X, "shape") and hasattr(X, "dtype") else np.asarray(X)
        _refuse_complex("y", truth)
        if truth.ndim == 2 and truth.shape[1] == 1:
            truth = truth[:, 0]
        if truth.ndim not in (1, 2) or len(truth) != len(inputs):
            lengths = [len(inputs), len(truth)] if truth.ndim else []
            inconsistent = len(set(lengths)) > 1
            before = f"Found input variables with inconsistent numbers of samples, {lengths}: " if inconsistent else ""
            raise DataError(
                f"{before}y has the shape {truth.shape}, and X {inputs.shape}: give one label or number a row."
            )
        if task is not None:
            check_choice("task", task, TASKS)
        refuse_missing(truth)
        if truth.dtype.kind == "O" and all(
            isinstance(each, Real) and not isinstance(each, bool) for each in truth.ravel()
        ):
            truth = np.array(truth.tolist())  # numbers among objects are numbers, as in a table
        if (task or _task_of(truth)) == "classification":
            return cls._of_labels(inputs, truth, given)
        try:
            values = truth.astype(np.float64)
        except (TypeError, ValueError):
            raise DataError("y holds text, and regression needs numbers: give task='classification'.") from None
        refuse_missing(values)
        return cls(inputs, values, "regression", given=given)

    @classmethod
    def _of_labels(cls, X: np.ndarray, labels: np.ndarray, given: Any) -> ArrayData:
        if labels.ndim != 1:
            raise DataError(f"Labels of shape {labels.shape}: a sweep takes one label for each row.")
        if labels.dtype.kind == "S" or isinstance(labels.flat[0], bytes):
            raise DataError("Labels that are bytes are not supported: give them as text, or as whole numbers.")
        if labels.dtype.kind == "f" and (labels != np.round(labels)).any():
            place = int(np.argmax(labels != np.round(labels)))
            raise DataError(
                f"Unknown label type: y[{place}] is {labels[place]}, and labels are whole numbers or text: give "
                "task='regression', or the labels as text."
            )
        try:
            classes, index = np.unique(labels, return_inverse=True)
        except TypeError:
            raise DataError("y mixes labels that cannot be sorted, such as text and numbers.") from None
        if len(classes) < 2:
            raise DataError(f"y has one class only, {quoted(classes.tolist()[0])}; there is nothing to tell apart.")
        return cls(X, labels, "classification", classes, index.astype(np.int64), given)

    @property
    def n_rows(self) -> int:
        return len(self.X)

    @property
    def n_outputs(self) -> int:
        if self.classes is not None:
            return len(self.classes)
        return 1 if self.truth.ndim == 1 else self.truth.shape[1]

    @property
    def n_features(self) -> int:
        return self.X.shape[1]

    @property
    def feature_names(self) -> list[str] | None:
        return None

    def features(self, rows: np.ndarray | None = None) -> Any:
        given = self.X if self.given is None else self.given
        return given if rows is None else given[rows]

    def encoded(self, features: Any, scale: str, rows: np.ndarray) -> np.ndarray:
        found = _numbers(features)
        if found.shape[1] != self.n_features:
            raise DataError(f"X has {found.shape[1]} features, and the network is expecting {self.n_features}.")
        offset, divisor = _fitted(self.X[rows], scale)
        scaled: np.ndarray = (found - offset) / divisor
        return scaled

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {"scale": "standard", "clip_predictions": False}

    def check(self, recipe: Recipe) -> None:
        """What cannot go into an estimator's first and last layer, as its scaling does, is for tables."""
        if recipe.scale == "robust":
            raise SettingsError(
                "The scale robust is for a Table or a data frame, and X is an array: an estimator's first layer can "
                "take over standard and minmax, but no smooth clip. Give a data frame, or scale X beforehand "
                "(sklearn.preprocessing.RobustScaler)."
            )
        for what, wanted, remedy in (
            ("The target scale log", recipe.target_scale == "log", "give the logarithms as y"),
            ("clip_predictions", recipe.clip_predictions and self.task == "regression", "clip what is predicted"),
        ):
            if wanted:
                raise SettingsError(f"{what} is for a Table or a data frame, and X is an array: give one, or {remedy}.")

    def sheet(self, recipe: Recipe, rows: np.ndarray) -> Sheet:
        dtype = np.dtype(recipe.dtype)
        offset, divisor = _fitted(self.X[rows], recipe.scale)
        if self.index is not None:
            T = np.eye(self.n_outputs)[self.index]
            mean, spread = np.zeros(self.n_outputs), np.ones(self.n_outputs)
        else:
            values = self.truth.reshape(self.n_rows, -1)
            counts = recipe.loss_for(self.task) == "poisson"
            mean, spread = _fitted(values[rows], "none" if counts else "standard")
            T = (values - mean) / spread
        with np.errstate(over="ignore"):  # what is beyond the dtype is reported by the training
            X = ((self.X - offset) / divisor).astype(dtype)
        return Sheet(X, T.astype(dtype), offset, divisor, mean, spread)


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
    notes: tuple[str, ...] = field(default=(), repr=False)

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
        return cls(dataset, truth, given, classes, index, dataset.preprocessing("none").notes)

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

    @property
    def n_features(self) -> int:
        return len(self.given.columns)

    @property
    def feature_names(self) -> list[str] | None:
        names = list(self.given.columns)
        return names if all(isinstance(name, str) for name in names) else None

    def features(self, rows: np.ndarray | None = None) -> Any:
        if rows is None:
            return self.given
        return _rows(self.given, rows)

    def encoded(self, features: Any, scale: str, rows: np.ndarray) -> np.ndarray:
        if not isinstance(features, Table):
            names = [name for name in self.table.names if name != self.name]
            framed = is_frame(features)
            features = Table.from_frame(features) if framed else Table.from_arrays(features, names=names)
        found: np.ndarray = self.preprocessing(scale, rows).transform(features).X
        return found

    def preprocessing(self, scale: str, rows: np.ndarray) -> Preprocessing:
        return self.dataset.preprocessing(scale, rows)

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {}

    def check(self, recipe: Recipe) -> None:
        """Nothing: a table's networks may be whatever a recipe says."""

    def offer(self, space: Space) -> str | None:
        """What speaks for the target scale log, where the space does not name it, and has a loss that goes with it."""
        losses = space.entries.get("loss")
        counts = losses is not None and "squared_error" not in getattr(losses, "values", ())
        if self.task == "classification" or "target_scale" in space.names or counts:
            return None
        return log_offer(self.truth, self.name)

    def sheet(self, recipe: Recipe, rows: np.ndarray) -> Sheet:
        inputs = self.preprocessing(recipe.scale, rows)
        target = fit_target(self.table, self.name, self.task, recipe, rows)
        outputs, dtype = self.n_outputs, np.dtype(recipe.dtype)
        return Sheet(
            inputs.transform(self.table).X.astype(dtype),
            target.encode(self.table).astype(dtype),
            inputs.offset,
            inputs.scale,
            np.full(outputs, target.mean),
            np.full(outputs, target.scale),
            clipped=inputs.scaling == "robust",
            log=target.log,
            limits=target.limits,
        )


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

    from gpubp.estimators.places import to_host

    name = getattr(y, "name", None) or "target"
    while name in table.names:
        name += "_"
    values = _array_of(to_host(y))
    if values.shape == (table.rows, 1):
        values = values[:, 0]
    if values.shape != (table.rows,):
        raise DataError(f"y has the shape {values.shape}, and X has {table.rows} rows: give one value for each row.")
    column = Table.from_arrays(np.empty((table.rows, 0)), values, names=[name], source="y").frame
    return replace(table, frame=pl.concat([table.frame, column], how="horizontal")), str(name)


def _rows(frame: Any, rows: np.ndarray) -> Any:
    return frame.iloc[rows] if hasattr(frame, "iloc") else rows_of(frame, rows)


def _array_of(y: Any) -> np.ndarray:
    """As NumPy has it, but long texts as objects: see `as_labels`."""
    if isinstance(y, (list, tuple)) and y and all(isinstance(each, str) for each in y):
        return as_labels(y)
    return np.asarray(y)


def same_rows(X: Any, known: Any) -> bool:
    """Whether X holds the same features as known, of a form alike."""
    if _is_sparse(X) or _is_sparse(known):
        return _is_sparse(X) and _is_sparse(known) and X.shape == known.shape and not (known != X).nnz
    if hasattr(X, "columns") or hasattr(known, "columns"):
        return type(X) is type(known) and bool(X.equals(known))
    if type(X) is not type(known) and not isinstance(X, (list, np.ndarray)):
        return False
    found = np.asarray(X)
    return found.shape == known.shape and bool(np.array_equal(found, np.asarray(known)))


def _is_sparse(X: Any) -> bool:
    return hasattr(X, "toarray") and hasattr(X, "tocsr")


def _refuse_complex(name: str, values: Any) -> None:
    if values.dtype.kind == "c":
        raise DataError(f"Complex data not supported: {name} has the type {values.dtype}.")


def _numbers(X: Any) -> np.ndarray:
    if _is_sparse(X) or isinstance(X, np.ndarray):
        _refuse_complex("X", X)
    if _is_sparse(X):
        from gpubp.estimators.inputs import Inputs

        X = Inputs(X, on_device=False).dense(np.float64)
    try:
        found = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            "X holds what is no number: give a data frame or a Table, whose text columns are encoded, or numbers."
        ) from None
    if found.ndim != 2 or not found.size:
        before = "" if found.ndim == 2 else f"Expected 2D array, got {found.ndim}D array instead: "
        raise DataError(f"{before}X has the shape {found.shape}: expected (rows, columns), at least one of each.")
    bad = np.argwhere(~np.isfinite(found))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"Input X contains {'NaN' if np.isnan(found[row, column]) else 'infinity'}: X[{row}, {column}] is "
            f"{found[row, column]}, and arrays have to be finite. In a data frame or a Table missing "
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
    """A table's labels as scorers like them: whole numbers where all are, and are spelled as such, else text."""
    try:
        numbers = [int(text) for text in texts]
    except ValueError:
        return as_labels(texts)
    plain = all(str(number) == text and abs(number) < 2**63 for number, text in zip(numbers, texts, strict=True))
    return np.array(numbers) if plain else as_labels(texts)
