"""What each input column is: numeric, or categorical with which categories. Decided over the whole table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpubp.errors import DataError, quoted

if TYPE_CHECKING:
    import polars as pl

    from gpubp.tables import Table

MISSING = "(missing)"
CODES = 20
"""A column of numbers and some text may be codes ("0", "1", "2", "3+") with at most this many values."""
IDENTIFIERS = 100
"""More distinct texts than this, mostly different on every row, are identifiers or free text."""
MOST_CATEGORIES = 1000
LONG = 64
"""Characters: longer labels are kept as objects."""


@dataclass(frozen=True)
class Column:
    """One column of the table as input: one numeric input, or one input per category (one-hot).

    `categories` are canonical texts (see `canonical`), sorted. `has_missing`: a categorical column in which
    missing values occur gives them an input of their own, the last.
    """

    name: str
    kind: str  # "numeric" | "categorical"
    categories: tuple[str, ...] = ()
    has_missing: bool = False

    @property
    def input_names(self) -> tuple[str, ...]:
        if self.kind == "numeric":
            return (self.name,)
        known = tuple(f"{self.name}={category}" for category in self.categories)
        return (*known, f"{self.name}={MISSING}") if self.has_missing else known


def describe_columns(table: Table, exclude: Iterable[str] = (), categorical: Iterable[str] = ()) -> tuple[Column, ...]:
    """The input columns of `table`: all but `exclude`; those in `categorical` are that whatever they hold.

    The whole table is looked at, so that every fold of a cross-validation has the same inputs. Numbers are
    numeric. Text is categorical, unless it is bad input, a DataError: a stray text in a column of numbers
    (rule: `refuse_stray_text`); more than 100 texts on fewer than twice as many rows (an identifier); more
    than 1000 texts.
    """
    from gpubp.tables import find_column

    left_out = {find_column(table, name) for name in exclude}
    chosen = {find_column(table, name) for name in categorical}
    columns = []
    for series in table.frame:
        name = series.name
        if name in left_out:
            continue
        if series.dtype.is_numeric() and name not in chosen:
            columns.append(Column(name, "numeric"))
            continue
        if name not in chosen:
            refuse_stray_text(table, name)
        texts = canonical(series)
        categories = sorted_labels(texts)
        refuse_identifiers(table, name, len(categories))
        columns.append(Column(name, "categorical", categories, bool(texts.null_count())))
    if not columns:
        raise DataError(f"{table.source}: no input columns are left beside {', '.join(sorted(left_out))}.")
    return tuple(columns)


def canonical(values: pl.Series) -> pl.Series:
    """Values as the texts that name categories and classes; null stays null.

    A number has one spelling however it was read: 7, 7.0, "7", "007" are all "7". Any other text is itself.
    """
    import polars as pl

    from gpubp.tables.forks import require_polars

    numbers = values.cast(pl.Float64, strict=False)
    texts = values.cast(pl.String)
    if values.dtype == pl.Int64 or numbers.null_count() == len(values):
        return texts
    require_polars("a column of numbers and text")
    whole = numbers.is_finite() & (numbers == numbers.round()) & (numbers.abs() < 2.0**53)
    frame = pl.DataFrame({"text": texts, "number": numbers, "whole": whole})
    spelled = pl.when("whole").then(pl.col("number").cast(pl.Int64, strict=False).cast(pl.String))
    real = pl.when(pl.col("number").is_finite()).then(pl.col("number").cast(pl.String))
    return frame.select(pl.coalesce(spelled, real, "text").alias(values.name)).to_series()


def sorted_labels(texts: pl.Series) -> tuple[str, ...]:
    """The distinct texts: in numeric order if all are numbers, in alphabetical (code point) order if not."""
    labels = sorted(texts.drop_nulls().unique().to_list())
    try:
        numbers = {label: float(label) for label in labels}
    except ValueError:
        return tuple(labels)
    return tuple(sorted(labels, key=numbers.__getitem__) if np.isfinite([*numbers.values()]).all() else labels)


def as_labels(texts: Sequence[str]) -> np.ndarray:
    """Labels as an array (C,), to be picked from for each of N rows: text of one width, or objects where some are long,
    since a row of the former takes as many bytes as the longest label, times 4.
    """
    return np.array(texts, dtype=object if max(map(len, texts), default=0) > LONG else None)


def numeric_values(table: Table, name: str) -> np.ndarray:
    """A numeric column as float64 (N,), missing values NaN; DataError where it holds text."""
    import polars as pl

    series = table.frame[name]
    if series.dtype == pl.String:
        row = _first_text(series)
        raise DataError(
            f"{table.at(row, name)}: found the text {quoted(series[row])}, expected a number. Correct the value, "
            "or leave the field empty if it is unknown."
        )
    numbers = series.cast(pl.Float64)
    if numbers.null_count():  # each filling is a query of its own, which takes longer than a row's prediction
        numbers = numbers.fill_null(float("nan"))
    return numbers.to_numpy()


def refuse_stray_text(table: Table, name: str) -> None:
    """DataError for a text column that is meant to be numeric.

    It is when more than half of its values are numbers, unless it looks like codes: at most 20 distinct
    values, and each text among them occurs at least twice.
    """
    import polars as pl

    from gpubp.tables.forks import require_polars

    series = table.frame[name].drop_nulls()
    if series.dtype != pl.String:
        return
    if stray := table.stray(name):
        raise DataError(f"{stray} Correct the value, or leave the field empty if it is unknown.")
    numbers = series.cast(pl.Float64, strict=False)
    texts = series.filter(numbers.is_null())
    if 2 * len(texts) >= len(series) or not len(texts):
        return
    require_polars(table.source)
    if series.n_unique() <= CODES and texts.value_counts()["count"].min() >= 2:  # type: ignore[operator]
        return
    row = _first_text(table.frame[name])
    raise DataError(
        f"{table.at(row, name)}: found {quoted(table.frame[name][row])} in a column of numbers ({len(texts)} "
        f"of {len(series)} values are text). Correct the value, or leave the field empty if it is unknown; if "
        "the column holds codes, name it as categorical."
    )


def refuse_identifiers(table: Table, name: str, distinct: int) -> None:
    """DataError when a text column has too many different values to learn from."""
    known = table.rows - table.frame[name].null_count()
    if distinct > MOST_CATEGORIES or (distinct > IDENTIFIERS and 2 * distinct > known):
        raise DataError(
            f"{table.source}: column {name!r} has {distinct} different values on {known} rows. It looks like "
            "an identifier, a date or free text, from which a network cannot learn; leave the column out."
        )


def suggest(names: Sequence[str], limit: int = 5) -> str:
    """At most `limit` names, quoted, for messages."""
    return ", ".join(quoted(name) for name in names[:limit]) + (", ..." if len(names) > limit else "")


def _first_text(series: pl.Series) -> int:
    import polars as pl

    text = series.is_not_null() & series.cast(pl.Float64, strict=False).is_null()
    return int(text.arg_true()[0]) if text.any() else 0  # all of it are numbers kept as text (from a frame)
