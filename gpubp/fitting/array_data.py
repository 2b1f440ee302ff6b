"""Arrays X and y that networks are trained on, and how each fold sees them: scaled by its training rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from gpubp.backends import get_backend
from gpubp.backends.placement import to_host
from gpubp.errors import DataError, SettingsError, quoted
from gpubp.errors.suggestions import check_choice
from gpubp.fitting.job import Sheet
from gpubp.fitting.recipe import Recipe
from gpubp.operations.architecture import kind_of
from gpubp.operations.layer_kinds import FRONT
from gpubp.operations.losses import LOSSES
from gpubp.preprocessing import InputRules
from gpubp.preprocessing.labels import as_labels
from gpubp.preprocessing.missing import refuse_missing
from gpubp.preprocessing.scaling import LINEAR, offset_and_scale
from gpubp.preprocessing.target import TASKS, task_of_numbers

BENDS = {"robust": ("smooth clip", "RobustScaler"), "quantile": ("quantiles", "QuantileTransformer")}
"""Of each scale that is not linear what no layer can take over, and who can do it beforehand."""


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
        X, y = to_host(X), to_host(y)
        inputs, truth = _numbers(X), array_of(y)
        given = X.tocsr() if is_sparse(X) else X if hasattr(X, "shape") and hasattr(X, "dtype") else np.asarray(X)
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

    def n_inputs(self, rules: InputRules) -> int:
        return self.n_features

    @property
    def n_features(self) -> int:
        return self.X.shape[1]

    @property
    def feature_names(self) -> list[str] | None:
        return None

    def indicators(self, rules: InputRules) -> tuple[int, ...]:
        return ()

    def categories(self, rules: InputRules) -> tuple[tuple[int, ...], ...]:
        return ()

    def features(self, rows: np.ndarray | None = None) -> Any:
        given = self.X if self.given is None else self.given
        return given if rows is None else given[rows]

    def encoded(self, features: Any, rules: InputRules, rows: np.ndarray) -> np.ndarray:
        found = _numbers(features)
        if found.shape[1] != self.n_features:
            raise DataError(f"X has {found.shape[1]} features, and the network is expecting {self.n_features}.")
        offset, divisor = _fitted(self.X[rows], rules.scale)
        scaled: np.ndarray = (found - offset) / divisor
        return scaled

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {"scale": "standard", "clip_predictions": False}

    def check(self, recipe: Recipe) -> None:
        """SettingsError for a scaling or a clip that no first or last layer can take over: those are for tables."""
        if recipe.scale not in LINEAR:
            bend, peer = BENDS[recipe.scale]
            raise SettingsError(
                f"The scale {recipe.scale} is for a Table or a data frame, and X is an array: an estimator's first "
                f"layer can take over standard and minmax, but no {bend}. Give a data frame, or scale X beforehand "
                f"(sklearn.preprocessing.{peer})."
            )
        embeds = any(FRONT[kind_of(layer)].takes_categories for layer in recipe.front)
        for what, wanted, remedy in (
            ("The layer embed, of columns of categories,", embeds, "leave it out of front"),
            ("The target scale log", recipe.target_scale == "log", "give the logarithms as y"),
            ("The category encoding", recipe.category_encoding != "one_hot", "encode what is categories beforehand"),
            ("missing_numbers", recipe.missing_numbers != "median", "add columns that say where numbers were missing"),
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
            counts = LOSSES[recipe.loss_for(self.task)].is_for_counts
            mean, spread = _fitted(values[rows], "none" if counts else "standard")
            T = (values - mean) / spread
        with np.errstate(over="ignore"):  # what is beyond the dtype is reported by the training
            X = ((self.X - offset) / divisor).astype(dtype)
        return Sheet(X, T.astype(dtype), offset, divisor, mean, spread)


def array_of(y: Any) -> np.ndarray:
    """As NumPy has it, but long texts as objects: see `as_labels`."""
    if isinstance(y, (list, tuple)) and y and all(isinstance(each, str) for each in y):
        return as_labels(y)
    return np.asarray(y)


def same_rows(X: Any, known: Any) -> bool:
    """Whether X holds the same features as known, of a form alike."""
    if is_sparse(X) or is_sparse(known):
        return is_sparse(X) and is_sparse(known) and X.shape == known.shape and not (known != X).nnz
    if hasattr(X, "columns") or hasattr(known, "columns"):
        return type(X) is type(known) and bool(X.equals(known))
    if type(X) is not type(known) and not isinstance(X, (list, np.ndarray)):
        return False
    found = np.asarray(X)
    return found.shape == known.shape and bool(np.array_equal(found, np.asarray(known)))


def is_sparse(X: Any) -> bool:
    return hasattr(X, "toarray") and hasattr(X, "tocsr")


def _refuse_complex(name: str, values: Any) -> None:
    if values.dtype.kind == "c":
        raise DataError(f"Complex data not supported: {name} has the type {values.dtype}.")


def _numbers(X: Any) -> np.ndarray:
    if is_sparse(X) or isinstance(X, np.ndarray):
        _refuse_complex("X", X)
    if is_sparse(X):
        require_memory(X.shape, np.float64)
        X = X.toarray()
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


def require_memory(shape: tuple[int, int], dtype: Any) -> None:
    """DataError where a sparse X of this shape (rows, columns) would not fit the memory as a dense table."""
    needed = shape[0] * shape[1] * np.dtype(dtype).itemsize
    total = get_backend("numpy").memory().total
    if 0 < total < needed:
        raise DataError(
            f"The sparse X of {shape[0]} × {shape[1]} would take {needed / 2**30:.1f} GiB as the dense table that "
            f"training needs, and this machine has {total / 2**30:.1f} GiB. Reduce its columns first, for example with "
            "TruncatedSVD or SelectKBest, or train on pieces with partial_fit."
        )


def _fitted(values: np.ndarray, scale: str) -> tuple[np.ndarray, np.ndarray]:
    """Offset and scale of each column, by the rule for tables."""
    fits = [offset_and_scale(values[:, i], scale)[:2] for i in range(values.shape[1])]
    return np.array([offset for offset, _ in fits]), np.array([divisor for _, divisor in fits])


def _task_of(y: np.ndarray) -> str:
    """By the rule of `Target.fit`: text, booleans, and few whole numbers that come up again and again, are classes."""
    if y.ndim == 2:
        return "regression"
    return task_of_numbers(y) if y.dtype.kind in "iuf" else "classification"
