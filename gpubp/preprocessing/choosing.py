"""Which columns of a table are inputs, and why the others are not. Decided over the whole table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpubp.errors import DataError, quoted
from gpubp.preprocessing.columns import IDENTIFIERS, MOST_CATEGORIES, Column, numeric_values, refuse_stray_text
from gpubp.preprocessing.dates import CYCLES, are_iso_dates, time_values, varying_parts
from gpubp.preprocessing.labels import canonical, sorted_labels
from gpubp.preprocessing.scaling import negligible_span
from gpubp.preprocessing.wording import listed, some

if TYPE_CHECKING:
    from gpubp.tables import Table

FEWEST = 8
"""On fewer rows, that every row has a text of its own says nothing."""
FEW_TEXTS = 20
"""More different texts than this, most rows having one of their own, are names or free text."""
LONG_TEXT = 40
"""Characters, on average: longer texts with spaces are sentences."""
IDENTIFYING = re.compile(r"(?i:(.*[ _.-])?(id|ids|uuid|guid)|id[ _.-].*|row[ _.-]?names?)|.*[a-z0-9]I[Dd]")
COUNTING = re.compile(
    r"(?i)index|idx|row|row[ _.-]?(no|num|number|id)|no\.?|nr\.?|num|number|#|obs|observation|case|record|s\.?no\.?"
)
UNNAMED = re.compile(r"|Unnamed: \d+|column_1|\.\.\.1")
OF_ROW_NAMES = "it names or numbers the rows"
NOTED = 8
"""Columns that a note lists, and notes on columns that were left out."""


@dataclass(frozen=True)
class LeftOut:
    """A column that is no input. reason: completes "Column 'x' is left out: "."""

    name: str
    reason: str


@dataclass(frozen=True)
class InputColumns:
    """The input columns, and those that were left out, in the table's order. The target is neither."""

    columns: tuple[Column, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about them, as sentences: of many columns about the first."""
        named: dict[str, list[str]] = {}
        for each in self.left_out:
            named.setdefault(each.reason, []).append(quoted(each.name))
        left_out = [_left_out_note(names, reason) for reason, names in named.items()]
        more = sum(len(names) for names in [*named.values()][NOTED:])
        if more > 1:
            left_out[NOTED:] = [f"And {more} more columns are left out (gpubp describe tells why)."]
        categories = [
            f"{quoted(column.name)} ({column.why})"
            for column in self.columns
            if column.kind == "categorical" and column.categories
        ]
        dates = [f"Column {quoted(column.name)}: {column.why}." for column in self.columns if column.kind == "date"]
        more = len(dates) - NOTED
        if more > 1:
            dates[NOTED:] = [f"And {more} more columns of dates (gpubp describe shows all)."]
        return (*left_out, *([f"As categories: {some(categories, NOTED)}."] if categories else []), *dates)


def choose_inputs(
    table: Table, target: str | None = None, *, categorical: Iterable[str] = (), ignore: Iterable[str] = ()
) -> InputColumns:
    """The input columns of `table`: all but the target, those to `ignore`, and those that tell a network nothing.

    The whole table is looked at, so that every fold of a cross-validation has the same inputs. Numbers are numeric,
    dates are dates (texts that are all dates in ISO 8601, too), text is categorical, and so is whatever `categorical`
    names. Unless it names them, these are left out: columns without values, with one value only (one text beside
    missing values says something, and stays), those that name or number the rows, and texts that are names or sentences
    (rules: `_text_reason`, `_number_reason`).

    DataError: a stray text in a column of numbers (rule: `refuse_stray_text`), or no column is left.
    """
    from gpubp.tables import find_column

    ignored, chosen = set(ignore), {find_column(table, name) for name in categorical}
    columns: list[Column] = []
    left_out: list[LeftOut] = []
    for place, name in enumerate(table.names):
        if name == target:
            continue
        found = (
            LeftOut(name, "--ignore names it")
            if name in ignored
            else _as_categorical(table, name)
            if name in chosen
            else _judged(table, name, place)
        )
        if isinstance(found, Column):
            columns.append(found)
        else:
            left_out.append(found)
    if not columns:
        beside = "" if target is None else f" beside the target {quoted(target)}"
        reasons = "; ".join(f"{quoted(each.name)}: {each.reason}" for each in left_out[:NOTED])
        raise DataError(
            f"{table.source}: no input columns are left{beside}{f' ({reasons})' if reasons else ''}. A network needs "
            "at least one column that varies and does not merely name the rows."
        )
    return InputColumns(tuple(columns), tuple(left_out))


def _judged(table: Table, name: str, place: int) -> Column | LeftOut:
    from gpubp.tables.limits import TIME

    series = table.frame[name]
    if name in table.row_names:
        return LeftOut(name, OF_ROW_NAMES)
    if series.null_count() == len(series):
        with_target = "" if table.numbers is None else " with a target"
        return LeftOut(name, f"it has no value on any row{with_target}")
    if series.dtype == TIME or are_iso_dates(series):
        parts = varying_parts(time_values(table, name))
        if not parts:
            return LeftOut(name, f"it is {canonical(series).drop_nulls()[0]} {_everywhere(table, name)}")
        return Column(name, "date", parts=parts, why=_of_dates(parts))
    if series.dtype.is_numeric():
        reason = _number_reason(table, name, place)
        return LeftOut(name, reason) if reason else Column(name, "numeric", why="numbers")
    return _text(table, name)


def _number_reason(table: Table, name: str, place: int) -> str | None:
    """Why a column of numbers is no input: it has one value; it has a name of identifiers, and differs on every row;
    or it counts the rows, under a name that says so, or as an unnamed first column.
    """
    values = numeric_values(table, name)
    known = values[~np.isnan(values)]
    low, high = float(known.min()), float(known.max())
    if high - low <= negligible_span(max(abs(low), abs(high))):
        return f"it is {low:g} {_everywhere(table, name)}"
    if len(known) < len(values) or not (known == np.round(known)).all():
        return None
    if IDENTIFYING.fullmatch(name) and len(np.unique(known)) == len(known):
        return "it identifies the rows: a number of its own on each"
    counts = len(known) >= FEWEST and bool((np.diff(known) == 1).all())
    if counts and COUNTING.fullmatch(name):
        return "it counts the rows"
    unnamed = place == 0 and len(table.names) > 2 and UNNAMED.fullmatch(name) is not None
    return "it has no name, and counts the rows" if counts and unnamed and low in (0, 1) else None


def _text(table: Table, name: str) -> Column | LeftOut:
    texts = [text for text in table.frame[name].to_list() if text is not None]
    counts = Counter(texts)
    if len(counts) == 1 and len(texts) == table.rows:
        return LeftOut(name, f"it is {quoted(texts[0], 40)} {_everywhere(table, name)}")
    refuse_stray_text(table, name)
    reason = _text_reason(name, texts, counts)
    if reason is None:
        return _categorical(table, name, _texts(len(counts)))
    return LeftOut(name, f"{reason}, such as {quoted(texts[0], 40)} (--categorical keeps it)")


def _text_reason(name: str, texts: Sequence[str], counts: Counter[str]) -> str | None:
    """Why a column of texts is no input: they identify the rows, or are too many to learn from."""
    own = sum(count == 1 for count in counts.values())
    distinct, rows = len(counts), len(texts)
    if own == rows and (rows >= FEWEST or (rows > 1 and IDENTIFYING.fullmatch(name))):
        return f"each of its {rows:,} texts occurs once, as names do"
    if (
        distinct > FEW_TEXTS
        and 2 * distinct > rows
        and sum(map(len, counts)) > LONG_TEXT * distinct
        and _spaced(counts)
    ):
        return f"{distinct:,} long texts on {rows:,} rows"
    if (distinct > FEW_TEXTS and 2 * own > rows) or (distinct > IDENTIFIERS and 2 * distinct > rows):
        return f"{distinct:,} different texts on {rows:,} rows"
    return f"{distinct:,} different texts are too many" if distinct > MOST_CATEGORIES else None


def _spaced(texts: Iterable[str]) -> bool:
    spaced = [" " in text.strip() for text in texts]
    return 2 * sum(spaced) > len(spaced)


def _as_categorical(table: Table, name: str) -> Column:
    series = table.frame[name].drop_nulls()
    count = series.n_unique()
    what = _texts(count) if not series.dtype.is_numeric() else f"{count:,} number{'s' if count != 1 else ''}"
    return _categorical(table, name, what, "; --categorical names it")


def _categorical(table: Table, name: str, what: str, cause: str = "") -> Column:
    texts = canonical(table.frame[name])
    categories = sorted_labels(texts)
    example = f", such as {quoted(categories[0], 40)}" if categories else ""
    return Column(name, "categorical", categories, bool(texts.null_count()), why=f"{what}{example}{cause}")


def _everywhere(table: Table, name: str) -> str:
    """On which rows a column was looked at: those with a target, where others were taken away, and with a value."""
    conditions = ["a target"] * (table.numbers is not None) + ["a value"] * bool(table.frame[name].null_count())
    return f"on every row{' with ' if conditions else ''}{' and '.join(conditions)}"


def _left_out_note(names: Sequence[str], reason: str) -> str:
    if len(names) == 1:
        return f"Column {names[0]} is left out: {reason}."
    return f"Columns {some(names, NOTED)} are left out, each because {reason}."


def _texts(count: int) -> str:
    return f"{count:,} text{'s' if count != 1 else ''}"


def _of_dates(parts: Sequence[str]) -> str:
    cycles = [part for part in parts if part in CYCLES]
    angles = f", and sine and cosine of {'each' if cycles == [*parts] else 'all but the year'}" if cycles else ""
    return f"dates, taken as {listed(parts)}{angles}"
