"""Whether the first line names the columns, and the names themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from gpubp.tables import written_numbers
from gpubp.tables.description import ColumnReading
from gpubp.tables.markers import Markers
from gpubp.tables.names import distinct
from gpubp.tables.table import automatic_names

YEARS = range(1500, 2201)
SHOWN = 6
LEAST_ROWS = 3
"""Below a line of numbers, before it is taken for a header."""
INDEX_NAMES = ("Unnamed: 0", "rownames", "row.names", "index", "level_0", "__index_level_0__", "_row")


@dataclass(frozen=True)
class FirstLine:
    """The fields of the first line beside what stands below each: values as they are read, and their readings."""

    fields: Sequence[str]
    texts: pl.DataFrame
    values: Sequence[pl.Series]
    readings: Sequence[ColumnReading]
    markers: Markers

    def is_header(self) -> bool:
        """No numbers: a header if a name stands above a column of numbers or dates; in a table of texts alone if the
        fields are distinct, not missing, and none occurs again in its column. With numbers: only if these are whole and
        distinct, no text beside them occurs again in its column, and a text stands above numbers, or the numbers
        themselves are names: years, or counting on, and not such as stand below them.
        """
        missing = [field in self.markers.always for field in self.fields]
        numbers = _numbers(["" if gone else field for field, gone in zip(self.fields, missing, strict=True)])
        counted = [number for number in numbers if number is not None]
        if not counted:
            return self._above_values(missing) or self._are_names(missing)
        named = [i for i, number in enumerate(numbers) if number is None and not missing[i]]
        if any(missing[1:]) or any(self._fits(i) for i in named) or any(self._recurs(i) for i in named):
            return False
        if len(set(counted)) < len(counted) or not all(_is_whole(number) for number in counted):
            return False
        if self._above_values(missing):
            return True
        if self.texts.height < LEAST_ROWS:
            return False
        unlike = [self._unlike(i, number) for i, number in enumerate(numbers) if number is not None]
        years = all(int(number) in YEARS for number in counted)
        counting = all(b - a == 1 for a, b in pairwise(counted))
        if len(counted) == 1:
            return bool(named) and years and unlike[0] and self._holds_no_years(numbers.index(counted[0]))
        if not (years or counting) or 2 * sum(unlike) < len(counted):
            return False
        return bool(named) or years or (counted[0] in (0.0, 1.0) and 2 * self._varied() >= len(counted))

    def _above_values(self, missing: Sequence[bool]) -> bool:
        """Whether a text stands above a column that is no text."""
        for i, (values, reading) in enumerate(zip(self.values, self.readings, strict=True)):
            known = values.null_count() < len(values)
            typed = reading.notation.kind not in ("text", "boolean")
            if not missing[i] and known and typed and not self._fits(i):
                return True
        return False

    def _fits(self, i: int) -> bool:
        """Whether a field is written as the numbers or dates below it are."""
        notation = self.readings[i].notation
        if notation.kind in ("text", "boolean"):
            return False
        return notation.read(pl.Series([self.fields[i]])).null_count() == 0

    def _holds_no_years(self, i: int) -> bool:
        values = self.values[i]
        return values.dtype != pl.String and not bool(values.is_between(YEARS.start, YEARS.stop - 1).any())

    def _varied(self) -> int:
        """How many columns hold texts, fractions, or a value more than once: what a table has, and a matrix has not."""
        return sum(column.dtype != pl.Int64 or column.n_unique() < len(column) for column in self.values)

    def _are_names(self, missing: Sequence[bool]) -> bool:
        known = [field for field, gone in zip(self.fields, missing, strict=True) if not gone]
        if any(missing[1:]) or (missing[0] and not self._counts_rows()) or len(set(known)) < len(known) or not known:
            return False
        return not any(self._recurs(i) for i in range(len(self.fields)) if not missing[i])

    def _counts_rows(self) -> bool:
        return counts_rows(self.values[0])

    def _recurs(self, i: int) -> bool:
        return bool((self.texts.to_series(i) == self.fields[i]).any())

    def _unlike(self, i: int, number: float) -> bool:
        """Whether a number of the first line is not such as stand below it."""
        values = self.values[i]
        if values.null_count() == len(values):
            return False
        if values.dtype not in (pl.Int64, pl.Float64):
            return self.readings[i].notation.kind != "text" or not _some_numbers(values)
        fractions = values.dtype == pl.Float64
        low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
        return fractions or not low <= number <= high


def _some_numbers(values: pl.Series) -> bool:
    return values.cast(pl.Float64, strict=False).null_count() < len(values)


def _numbers(fields: Sequence[str]) -> list[float | None]:
    """What each field is as a number without a unit, however it is written; None for a text."""
    parts = written_numbers.parts_of(pl.Series(fields, dtype=pl.String))  # all at once: there may be thousands
    bare = parts[written_numbers.BEFORE].is_null() & parts[written_numbers.AFTER].is_null()
    bare &= parts[written_numbers.NUMBER].is_not_null()
    return [_number(field, may_be) for field, may_be in zip(fields, bare, strict=True)]


def _number(field: str, may_be: bool = True) -> float | None:
    """may_be: whether it is known that it could be a number in some notation."""
    try:
        return float(field)
    except ValueError:
        pass
    if not may_be:
        return None
    text = pl.Series([field])
    written = written_numbers.written_as(text)
    if written is None or written.before or written.after:
        return None
    return float(written_numbers.read(text, written.styles[0])[0])


def is_number(field: str) -> bool:
    return _number(field) is not None


def _is_whole(number: float) -> bool:
    return abs(number) < 1e9 and number == int(number)


def is_units(
    fields: Sequence[str],
    values: Sequence[pl.Series],
    readings: Sequence[ColumnReading],
    markers: Markers,
    texts: pl.DataFrame,
) -> bool:
    """Whether these fields, right below a header, are units: not a value among them, texts above columns of numbers
    and fewer above columns of texts, and nothing that occurs again. values, readings, texts: the columns without this
    line.
    """
    above, beside = 0, 0
    for i, (field, column, reading) in enumerate(zip(fields, values, readings, strict=True)):
        if field in markers.always:
            continue
        if _number(field) is not None:
            return False
        if column.dtype != pl.String and column.null_count() < len(column):
            if field in markers.words or not reading.notation.read(pl.Series([field])).null_count():
                return False
            above += 1
        elif (texts.to_series(i) == field).any():
            return False
        else:
            beside += 1
    return above > beside


def counts_rows(values: pl.Series) -> bool:
    """Whether a column is 0, 1, 2, ... or 1, 2, 3, ..."""
    if values.dtype != pl.Int64 or values.null_count() or not len(values) or values[0] not in (0, 1):
        return False
    return bool((values == pl.Series(range(values[0], values[0] + len(values)))).all())


def names_of(fields: Sequence[str]) -> tuple[list[str], list[str]]:
    """(different names for all columns, remarks): a column without a name is called column_1 and so on; of several with
    the same name, the later ones get a number.
    """
    automatic = automatic_names(len(fields))
    wanted = [field or automatic[i] for i, field in enumerate(fields)]
    names = distinct(wanted)
    remarks = [
        f"Column {i + 1} has the same name as an earlier one, {old!r}: it is called {new!r} here."
        for i, (old, new) in enumerate(zip(wanted, names, strict=True))
        if old != new
    ]
    if len(remarks) > SHOWN:
        remarks[SHOWN - 1 :] = [
            f"{len(remarks) - SHOWN + 1:,} more columns with the names of earlier ones have numbers."
        ]
    return names, remarks


def row_names_of(fields: Sequence[str], names: Sequence[str], values: Sequence[pl.Series]) -> tuple[str, ...]:
    """Columns that number or name the rows: the first one if it has no name, or one that pandas or R gives, and its
    values are whole numbers, or texts that all differ. Fractions under the name index are measurements.
    """
    found = []
    for i, (field, name, column) in enumerate(zip(fields, names, values, strict=True)):
        named = field in INDEX_NAMES or (i == 0 and not field) or field.startswith("Unnamed: 0")
        if named and len(names) > 1 and _may_name_rows(column):
            found.append(name)
    return tuple(found) if len(found) < len(names) else ()


def _may_name_rows(column: pl.Series) -> bool:
    return column.dtype == pl.Int64 or (column.dtype != pl.Float64 and column.n_unique() == len(column))
