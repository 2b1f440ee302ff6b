"""What an input column is: numeric, categorical with which categories, or dates with which parts; and its values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gpubp.errors import DataError, quoted
from gpubp.preprocessing.dates import PARTS, input_parts
from gpubp.storage.schema import Given

if TYPE_CHECKING:
    import polars as pl

    from gpubp.tables import Table

MISSING = "(missing)"
LEADING_ZERO = re.compile("0[0-9]+")
KINDS = ("numeric", "categorical", "date")
ENCODINGS = ("one_hot", "signed", "scaled")
"""Of categories. "one_hot": an input of 0 and 1 for each, and one for missing values where there are any. "signed": one
input for two of them, −1 and +1, and the same inputs of 0 and 1 for more; missing values are zeros. "scaled": that, and
then scaled as numbers are.
"""
CODES = 20
"""A column of numbers and some text may be codes ("0", "1", "2", "3+") with at most this many values."""
STRAY = 20
"""More different texts than this among numbers are no slips: it is a column of text."""
IDENTIFIERS = 100
"""More distinct texts than this, mostly different on every row, are identifiers or free text."""
MOST_CATEGORIES = 1000


@dataclass(frozen=True)
class Column:
    """One column of the table as input: one number; or categories by some encoding; or parts of a date.

    `categories` are texts as the table spells them (see `labels.canonical`), sorted. `has_missing`: a categorical
    column in which missing values occur, which the encoding "one_hot" gives an input of their own, the last. `parts`:
    of dates, see `dates.PARTS`. `why`: what it was about the column that made it this, for people to read.
    `has_indicator`: the last input of a number or date is 1 where it is missing, and else 0.
    """

    name: str
    kind: str  # of KINDS
    categories: tuple[str, ...] = ()
    has_missing: bool = False
    parts: tuple[str, ...] = ()
    why: str = field(default="", compare=False)
    encoding: str = "one_hot"  # of ENCODINGS
    has_indicator: bool = False

    @property
    def input_names(self) -> tuple[str, ...]:
        indicator = (f"{self.name}={MISSING}",) if self.has_indicator else ()
        if self.kind == "numeric":
            return (self.name, *indicator)
        if self.kind == "date":
            parts = (f"{self.name}: {part}{f' ({wave})' if wave else ''}" for part, wave in input_parts(self.parts))
            return (*parts, *indicator)
        if self.is_signed:
            return (f"{self.name}: {self.categories[0]} -1, {self.categories[1]} +1",)
        known = tuple(f"{self.name}={category}" for category in self.categories)
        return (*known, f"{self.name}={MISSING}") if self.tells_missing else known

    @property
    def is_signed(self) -> bool:
        """Whether its two categories are −1 and +1 of one input."""
        return self.encoding != "one_hot" and len(self.categories) == 2

    @property
    def tells_missing(self) -> bool:
        """Whether missing categories have an input of their own: in "one_hot", and where there are no others."""
        return self.has_missing and (self.encoding == "one_hot" or not self.categories)

    @property
    def is_scaled(self) -> tuple[bool, ...]:
        """Of each input: whether it is scaled. Numbers are; sines are not; categories are by the encoding "scaled"."""
        indicator = (False,) if self.has_indicator else ()
        if self.kind == "date":
            return (*(wave is None for _, wave in input_parts(self.parts)), *indicator)
        if self.kind == "numeric":
            return (True, *indicator)
        return (self.encoding == "scaled",) * len(self.input_names)

    def to_metadata(self) -> dict[str, Any]:
        """As JSON values; the encoding and the indicator only where they are not the usual ones, as in older files."""
        more: dict[str, Any] = {} if self.encoding == "one_hot" else {"encoding": self.encoding}
        more |= {"has_indicator": True} if self.has_indicator else {}
        return more | {
            "name": self.name,
            "kind": self.kind,
            "categories": list(self.categories),
            "has_missing": self.has_missing,
            "parts": list(self.parts),
            "why": self.why,
        }

    @classmethod
    def from_given(cls, given: Given) -> Column:
        """The inverse of `to_metadata`; DataError for what no column can be."""
        found = cls(
            given["name"].text(),
            given["kind"].choice(KINDS),
            given["categories"].distinct_texts(),
            given["has_missing"].flag(),
            given.get("parts").maybe(_parts) or (),
            given.get("why").maybe(Given.readable) or "",
            given.get("encoding").maybe(lambda each: each.choice(ENCODINGS)) or "one_hot",
            given.get("has_indicator").maybe(Given.flag) or False,
        )
        if found.kind == "categorical" and found.has_indicator:
            raise given.wrong(f"without an indicator, since column {found.name!r:.60} is categorical")
        if found.kind != "categorical" and (found.categories or found.has_missing or found.encoding != "one_hot"):
            raise given.wrong(f"without categories, since column {found.name!r:.60} is {found.kind}")
        if (found.kind == "date") != bool(found.parts):
            raise given["parts"].wrong("the varying parts of dates, or an empty list for other columns")
        return found


def _parts(given: Given) -> tuple[str, ...]:
    found = given.each(lambda each: each.choice(PARTS))
    if list(found) != [part for part in PARTS if part in found]:
        raise given.wrong(f"some of {', '.join(PARTS)}, in this order")
    return found


def indicators(columns: Iterable[Column]) -> tuple[int, ...]:
    """The places of inputs that are no numbers: categories, what is missing, sines and cosines of dates."""
    numbers = [each and column.kind != "categorical" for column in columns for each in column.is_scaled]
    return tuple(place for place, is_number in enumerate(numbers) if not is_number)


def categories(columns: Iterable[Column]) -> tuple[tuple[int, ...], ...]:
    """Of each column of categories the places of its inputs."""
    found, place = [], 0
    for column in columns:
        after = place + len(column.input_names)
        if column.kind == "categorical" and after > place:
            found.append(tuple(range(place, after)))
        place = after
    return tuple(found)


def numeric_values(table: Table, name: str) -> np.ndarray:
    """A numeric column as float64 (N,), missing values NaN; DataError where it holds text or dates."""
    import polars as pl

    series = table.frame[name]
    if not series.dtype.is_numeric():
        is_text = series.dtype == pl.String
        row = _first_text(series) if is_text else int(series.is_not_null().arg_max() or 0)
        what = f"text {quoted(series[row])}" if is_text else f"date {series[row]}"
        raise DataError(
            f"{table.at(row, name)}: found the {what}, expected a number. Correct the value, or leave the field empty "
            "if it is unknown."
        )
    numbers = series.cast(pl.Float64)
    if numbers.null_count():  # each filling is a query of its own, which takes longer than a row's prediction
        numbers = numbers.fill_null(float("nan"))
    return numbers.to_numpy()


def are_truths(table: Table, name: str) -> bool:
    """Whether a column has no other values than the texts true and false: booleans, as tables hold them."""
    import polars as pl

    series = table.frame[name]
    return series.dtype == pl.String and {*series.unique().to_list()} - {None} <= {"true", "false"}


def refuse_stray_text(table: Table, name: str) -> None:
    """DataError for a text column that is meant to be numeric.

    It is when more than half of its values are numbers and at most 20 different texts are not, unless it looks like
    codes: at most 20 distinct values, and each text among them occurs at least twice.
    """
    import polars as pl

    series = table.frame[name].drop_nulls()
    if series.dtype != pl.String:
        return
    if found := table.stray(name):
        where, text = found
        raise DataError(f"{where}. {_remedies(text, name)}")
    counts = Counter(series.to_list())  # by this thread alone (tables.forks)
    if any(LEADING_ZERO.fullmatch(text) for text in counts):  # codes, which keep their zeros
        return
    distinct = pl.Series([*counts], dtype=pl.String)
    texts = distinct.filter(distinct.cast(pl.Float64, strict=False).is_null()).to_list()
    slips = sum(counts[text] for text in texts)
    if 2 * slips >= len(series) or not 0 < len(texts) <= STRAY:
        return
    if len(counts) <= CODES and min(counts[text] for text in texts) >= 2:
        return
    row = _first_text(table.frame[name])
    text = table.frame[name][row]
    raise DataError(
        f"{table.at(row, name)}: found {quoted(text)} in a column of numbers ({slips} of {len(series)} values are "
        f"text). {_remedies(text, name)}"
    )


def _remedies(text: str, name: str) -> str:
    """What to do about a text that keeps a column from being numbers."""
    return (
        "Correct the value, or leave the field empty if it is unknown; if it stands for an unknown value, say "
        f"--missing {quoted(text, 40)}; if the column holds codes, --categorical {quoted(name, 40)}; to do without the "
        f"column, --ignore {quoted(name, 40)}."
    )


def _first_text(series: pl.Series) -> int:
    import polars as pl

    text = series.is_not_null() & series.cast(pl.Float64, strict=False).is_null()
    return int(text.arg_true()[0]) if text.any() else 0  # all of it are numbers kept as text (from a frame)
