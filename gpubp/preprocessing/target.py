"""`Target`: what is to be predicted, as the arrays that a network is trained on, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gpubp.errors import DataError, quoted
from gpubp.errors.suggestions import check_choice
from gpubp.preprocessing.column_match import ColumnMatch
from gpubp.preprocessing.columns import CODES, numeric_values, refuse_stray_text
from gpubp.preprocessing.labels import as_labels, canonical, places_among, sorted_labels, suggest, told
from gpubp.preprocessing.scaling import offset_and_scale, scaled_values, selected
from gpubp.storage.array_files import array
from gpubp.storage.schema import Given

if TYPE_CHECKING:
    from gpubp.tables import Table

TASKS = ("classification", "regression")
TARGET_SCALES = ("standard", "log")
WIDENED = 0.1
"""By this share of the training values' range, on each side, predictions may leave it."""
FEWEST = 8
"""Rows from which on a text of its own on each is a name, and no class."""
MANY_CLASSES = 100
"""From more than this on, classes have two rows each on average, or the target is taken for names or free text."""


@dataclass(frozen=True, eq=False)
class Target:
    """Classification: C `labels`, mean 0, scale 1. Regression: no labels; y = (value - mean) / scale, or, with `log`,
    y = (log(value) - mean) / scale.

    limits: the lowest and the highest value that a prediction may have; None where it may have any.
    """

    name: str
    places: ColumnMatch
    task: str
    labels: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    log: bool = False
    limits: tuple[float, float] | None = None

    @classmethod
    def fit(
        cls,
        table: Table,
        column: str,
        task: str | None = None,
        rows: np.ndarray | None = None,
        *,
        standardise: bool = True,
        log: bool = False,
        clip: bool = False,
    ) -> Target:
        """Fit the target `column`. Labels come from the whole table; mean, scale and limits from `rows` only.

        Without a `task`: text and booleans are classification; so are whole numbers with at most 20 distinct
        values that are fewer than half as many as the rows; everything else is regression. Labels are in
        numeric order if all are numbers (shown as 1, not 1.0), in alphabetical order if not.

        For regression: standardise False is for counts, which are left as they are. log: logarithms are standardised
        instead of the values. clip: predictions stay within the values' range, widened by a tenth of it on each side;
        those of counts not below 0.

        DataError: missing values, one class only, a text of its own on each row, more than 100 classes on fewer than
        twice as many rows, text for regression, a stray text among numbers, dates, with `log` a value that is not above
        0, in any row.
        """
        if task is not None:
            check_choice("task", task, TASKS)
        _refuse_missing(table, column)
        _refuse_dates(table, column)
        if task != "classification":
            refuse_stray_text(table, column)
        places = ColumnMatch.of(table, [column], None)
        if (task or _task_of(table, column)) == "regression":
            values = numeric_values(table, column)
            if log:
                _refuse_logarithms(values, table, column)
            values = values[selected(rows, table)]
            limits = _widened(values, 0.0 if not standardise else -math.inf) if clip else None
            mean, scale = 0.0, 1.0
            if standardise:
                mean, scale, _ = offset_and_scale(np.log(values) if log else values, "standard")
            return cls(column, places, "regression", (), mean, scale, log, limits)
        labels = sorted_labels(canonical(table.frame[column]))
        _refuse_lone_classes(table, column, len(labels))
        if len(labels) < 2:
            raise DataError(
                f"{table.source}: the target column {column!r} has one class only, {quoted(labels[0])}; there "
                "is nothing to tell apart. Is it the right column?"
            )
        return cls(column, places, "classification", labels)

    @property
    def outputs(self) -> int:
        """How many outputs a network has: C for classification, 1 for regression."""
        return len(self.labels) if self.task == "classification" else 1

    def encode(self, table: Table) -> np.ndarray:
        """Classification: one-hot (N, C); regression: standardised (N, 1). float64."""
        if self.task == "regression":
            values = self.values(table)
            if self.log:
                _refuse_logarithms(values, table, self._column_in(table))
                values = np.log(values)
            return scaled_values(values, self.mean, self.scale, table, self._column_in(table))[:, None]
        index = self.class_index(table)
        one_hot = np.zeros((len(index), len(self.labels)))
        one_hot[np.arange(len(index)), index] = 1.0
        return one_hot

    def class_index(self, table: Table) -> np.ndarray:
        """The true classes, int64 (N,) indices into `labels`, found in another spelling, too (`labels.places_among`);
        DataError for one that training did not have.
        """
        name = self._column_in(table)
        texts = canonical(table.frame[name]).to_list()
        index, _ = places_among({*texts}, self.labels)
        unseen = [row for row, text in enumerate(texts) if text not in index]
        if unseen:
            raise DataError(
                f"{table.at(unseen[0], name)}: found class {quoted(texts[unseen[0]])}, which training did not have "
                f"({len(unseen)} such row(s)). The classes are {suggest(self.labels, 20)}."
            )
        return np.array([index[text] for text in texts], dtype=np.int64)

    def values(self, table: Table) -> np.ndarray:
        """The true values in their own units, float64 (N,). For regression."""
        return numeric_values(table, self._column_in(table))

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs (..., N, C) to labels (..., N), the first of equals; (..., N, 1) to values (..., N), within `limits`
        where there are some.
        """
        return self.decoded(outputs)[0]

    def decoded(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """As `decode`, and which of the values (..., N) lay beyond `limits`; None where there are no limits."""
        if outputs.shape[-1:] != (self.outputs,):
            raise DataError(f"Found outputs of shape {outputs.shape}; expected (rows, {self.outputs}).")
        if self.task == "regression":
            with np.errstate(over="ignore"):  # what is too large is within limits, or refused by those who predict
                values = outputs[..., 0].astype(np.float64) * self.scale + self.mean
            return within(exponentials(values) if self.log else values, self.limits)
        return as_labels(self.labels)[outputs.argmax(axis=-1)], None

    def column_in(self, table: Table) -> str:
        """The target's name in this table; DataError where there is none."""
        (name,), _ = self.places.find(table)
        return name

    def differences(self, table: Table) -> tuple[str, ...]:
        """What a user should know about the true values in this table, as sentences."""
        name = self.column_in(table)
        texts = canonical(table.frame[name]).unique().to_list()
        _, respelled = places_among({text for text in texts if text is not None}, self.labels)
        return (f"Target {name!r}: taken as training spelled it: {told(respelled)}.",) if respelled else ()

    def _column_in(self, table: Table) -> str:
        name = self.column_in(table)
        _refuse_missing(table, name)
        return name

    def to_metadata(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON-able values."""
        return {
            "name": self.name,
            "places": self.places.to_metadata(),
            "task": self.task,
            "labels": list(self.labels),
            "log": self.log,
            "limits": None if self.limits is None else list(self.limits),
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"target.mean": np.array([self.mean]), "target.scale": np.array([self.scale])}

    @classmethod
    def from_parts(cls, metadata: Any, arrays: Mapping[str, np.ndarray]) -> Target:
        """The inverse of to_metadata and to_arrays (ignores other arrays); DataError for damaged parts."""
        given = Given(metadata, "target")
        name, task, labels = given["name"].text(), given["task"].choice(TASKS), given["labels"].distinct_texts()
        if (len(labels) >= 2) != (task == "classification") or len(labels) == 1:
            raise given["labels"].wrong("two or more labels for classification, none for regression")
        mean = array(arrays, "target.mean", (1,), np.float64)
        scale = array(arrays, "target.scale", (1,), np.float64, above=0.0)
        log, limits = given["log"].flag(), given["limits"].maybe(_limits)
        if task == "classification" and (log or limits is not None):
            raise given.wrong("without log and limits, for classification")
        places = ColumnMatch.from_metadata(given["places"], [name])
        return cls(name, places, task, labels, float(mean[0]), float(scale[0]), log, limits)


def exponentials(logarithms: np.ndarray) -> np.ndarray:
    """Infinity where they are too large for float64."""
    with np.errstate(over="ignore"):
        found: np.ndarray = np.exp(logarithms)
    return found


def within(values: np.ndarray, limits: tuple[float, float] | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The values, those beyond the limits set to the nearer one, and which they are; None where there are no limits."""
    if limits is None:
        return values, None
    return np.clip(values, *limits), (values < limits[0]) | (values > limits[1])


def held_note(held: np.ndarray | None, limits: tuple[float, float] | None, members: bool = False) -> tuple[str, ...]:
    """What to say of predictions (N,) that lay beyond the limits, of one network or of some member of an ensemble."""
    if held is None or limits is None or not held.any():
        return ()
    counted, (low, high) = f"{int(held.sum()):,} of {len(held):,}", limits
    which = f"For {counted} rows a member's prediction" if members else f"{counted} predictions"
    were = "was" if members else "were"
    return (
        f"{which} lay outside the training target's range, widened by a tenth ({low:g} to {high:g}), and {were} set to "
        "its edge; train with --no-clip to let them out.",
    )


def _limits(given: Given) -> tuple[float, float]:
    ends = given.each(Given.number)
    if len(ends) != 2 or ends[0] > ends[1]:
        raise given.wrong("two numbers, the lower one first")
    return ends[0], ends[1]


def _widened(values: np.ndarray, least: float) -> tuple[float, float]:
    """The range of values (N,), widened; its lower end not below `least`."""
    low, high = float(values.min()), float(values.max())
    more, most = WIDENED * high - WIDENED * low, float(np.finfo(np.float64).max)
    return max(low - more, least, -most), min(high + more, most)


def _refuse_logarithms(values: np.ndarray, table: Table, column: str) -> None:
    bad = values <= 0
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"{table.at(row, column)}: found {values[row]:g}, and a target scaled by its logarithm has to be above 0 "
            f"({int(bad.sum())} such row(s)). Use --target-scale standard."
        )


def _task_of(table: Table, column: str) -> str:
    series = table.frame[column]
    return task_of_numbers(series.to_numpy()) if series.dtype.is_numeric() else "classification"


def task_of_numbers(values: np.ndarray) -> str:
    """The task for a target of numbers (N,): classification where they are whole, with at most CODES distinct values,
    which are fewer than half as many as the rows. (Text and booleans are classes anyway.)
    """
    distinct = np.unique(values)
    whole = distinct.dtype.kind != "f" or bool((distinct == np.round(distinct)).all())
    return "classification" if whole and len(distinct) <= CODES and 2 * len(distinct) < len(values) else "regression"


def _refuse_dates(table: Table, column: str) -> None:
    if table.frame[column].dtype.is_temporal():
        raise DataError(
            f"{table.source}: the target column {column!r} holds dates, which cannot be predicted. Give a number "
            "instead, such as the days since some date, or name another column by --target."
        )


def _refuse_lone_classes(table: Table, column: str, classes: int) -> None:
    named = classes == table.rows >= FEWEST and not table.frame[column].dtype.is_numeric()
    if named or (classes > MANY_CLASSES and 2 * classes > table.rows):
        raise DataError(
            f"{table.source}: the target column {column!r} has {classes:,} different values on {table.rows:,} rows, "
            f"{'' if classes == table.rows else 'nearly '}a class for each row: a network cannot learn one from a row. "
            "Is it the right column? Choose another with --target; to predict numbers, use --task regression."
        )


def _refuse_missing(table: Table, column: str) -> None:
    missing = table.frame[column].is_null().arg_true().to_list()
    if missing:
        where = ", ".join(table.where(row) for row in missing[:8]) + (", ..." if len(missing) > 8 else "")
        raise DataError(
            f"{table.source}: the target column {column!r} has no value on {len(missing)} of {table.rows} "
            f"rows ({where}). Fill them in or remove these rows."
        )
