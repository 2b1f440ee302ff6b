"""`Table`: named columns of numbers, texts or times that remember where they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import polars as pl

from gpubp.errors import DataError, quoted
from gpubp.errors.suggestions import did_you_mean
from gpubp.tables.description import Reading
from gpubp.tables.frames import columns_of, normalised, series_of
from gpubp.tables.limits import CALENDAR, LARGEST, TIME
from gpubp.tables.markers import Markers


@dataclass(frozen=True, eq=False)
class Table:
    """N rows of named columns, each Int64, Float64, String or `TIME`; a missing value is a null, never a NaN.

    Numbers are finite and within ±1e30. Boolean columns are text: "true", "false". A column without any value
    is Float64. At least one row and one column.

    `source` names the table in messages. `has_header` is False when the names were made up (column_1, ...);
    columns are then found by position instead of by name. `lines` (N,) int64 holds the line of the file on
    which each row begins, counted from 1, line breaks inside quoted fields included; None where there are no
    lines (Parquet, frames, arrays).

    `row_names`: columns that number or name the rows, such as a data frame's index. They are neither inputs nor the
    target unless somebody asks for them by name. `notes`: sentences on how the table was read, `reading`: the same as
    values; None where it came from Python. `texts`: the fields of a text file as they are written, where they were kept
    to be read once more (`read_like`), and the `markers` of missing values that they were read by.
    `numbers` (N,): which rows (from 0) these were in the table that they were taken from; None for all of them.
    """

    frame: pl.DataFrame
    source: str
    has_header: bool
    lines: np.ndarray | None = None
    row_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reading: Reading | None = None
    texts: pl.DataFrame | None = None
    markers: Markers | None = None
    numbers: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.frame.width == 0 or self.frame.height == 0:
            raise DataError(f"{self.source}: found no {'columns' if self.frame.width == 0 else 'rows'} of data.")
        for name, dtype in self.frame.schema.items():
            if dtype not in (pl.Int64, pl.Float64, pl.String, TIME):
                raise DataError(f"{self.source}: column {name!r} has type {dtype}; use Table.from_frame.")
            if dtype == pl.Float64:
                self._refuse_huge(name)
            if dtype == TIME:
                self._refuse_no_year(name)

    def _refuse_huge(self, name: str) -> None:
        column = self.frame[name]
        low, high, total = (cast(float, each) for each in (column.min(), column.max(), column.sum()))
        if low is None or (low >= -LARGEST and high <= LARGEST and np.isfinite(total)):
            return  # soon told, which matters where there are thousands of columns
        bad = (~(column.abs() <= LARGEST)).arg_true()
        if len(bad):
            row = bad[0]
            raise DataError(
                f"{self.at(row, name)}: found {self.frame[name][row]!r}; numbers must be finite and within "
                "±1e30. Correct the value, or leave the field empty if it is unknown."
            )

    def _refuse_no_year(self, name: str) -> None:
        microseconds = self.frame[name].to_physical()
        low, high = microseconds.min(), microseconds.max()
        if low is None:
            return
        first, last = pl.Series(CALENDAR, dtype=TIME).to_physical()
        for found in (low, high):
            if not first <= found <= last:
                row = (microseconds == found).arg_true()[0]
                raise DataError(
                    f"{self.at(row, name)}: found a time outside of the years 1 to 9999. Correct the value, or leave "
                    "the field empty if it is unknown."
                )

    def take(self, rows: np.ndarray) -> Table:
        """These rows (indices (R,)) alone, which remember where they were."""
        numbers = np.arange(self.rows) if self.numbers is None else self.numbers
        return replace(
            self,
            frame=rows_of(self.frame, rows),
            lines=None if self.lines is None else self.lines[rows],
            numbers=numbers[rows],
            texts=None,
        )

    @property
    def names(self) -> list[str]:
        return self.frame.columns

    @property
    def rows(self) -> int:
        return self.frame.height

    def line(self, row: int) -> int | None:
        """The line (from 1) of the file on which `row` (from 0) begins; None where there are no lines."""
        return None if self.lines is None else int(self.lines[row])

    def where(self, row: int) -> str:
        """'line 12' of the file; 'row 11', counted from 1, where there are no lines."""
        line = self.line(row)
        return f"row {self._number(row)}" if line is None else f"line {line}"

    def _number(self, row: int) -> int:
        return 1 + (row if self.numbers is None else int(self.numbers[row]))

    def places(self, rows: Sequence[int], limit: int = 8) -> str:
        """'line 5'; 'lines 5, 17, 80, ...', at most `limit`; or rows, where there are no lines."""
        word = "row" if self.lines is None else "line"
        shown = ", ".join(str(self.line(row) or self._number(row)) for row in rows[:limit])
        return f"{word}{'s' if len(rows) != 1 else ''} {shown}{', ...' if len(rows) > limit else ''}"

    def at(self, row: int, name: str) -> str:
        """The beginning of a message about one value: source, line, column."""
        return f"{self.source}, {self.where(row)}, column {quoted(name)}"

    def stray(self, name: str) -> tuple[str, str] | None:
        """(where a value keeps a column of texts from being numbers or dates, the value); None where none does."""
        columns = () if self.reading is None else self.reading.columns
        found = next((column.stray for column in columns if column.name == name), "")
        text, _, sentence = found.partition("\0")
        if not sentence:
            return None
        rows = (self.frame[name] == text).arg_true().to_list()
        where = self.at(rows[0], name) if rows else f"{self.source}, column {quoted(name)}"  # on a row left out
        return f"{where}: {sentence}", text

    def require_rows(self, minimum: int = 2, purpose: str = "training") -> None:
        """DataError when there are too few rows for `purpose`; reading and predicting need only one."""
        if self.rows < minimum:
            raise DataError(f"{self.source}: found {self.rows} row(s); {purpose} needs at least {minimum}.")

    @classmethod
    def from_frame(cls, frame: Any, source: str = "the data frame") -> Table:
        """A polars or pandas DataFrame, an Arrow table (whatever has `__arrow_c_stream__`), or anything like them.

        The names count as a header, as texts; a name that comes again is given a number, and a note says so. Types are
        taken as they are: text stays text even if it looks like numbers, pandas' categories are text, and only null,
        None, NaN and NaT are missing. An index is not looked at. Lists and other types raise DataError.
        """
        columns, notes = columns_of(frame, source)
        return cls(pl.DataFrame([normalised(column, source) for column in columns]), source, True, notes=notes)

    @classmethod
    def from_arrays(
        cls, X: Any, y: Any = None, *, names: Sequence[str] | None = None, source: str = "the arrays"
    ) -> Table:
        """Inputs X (N, D) and optionally a target y (N,) as the last column, of numbers, text or objects."""
        inputs = np.asarray(X)
        if inputs.ndim != 2:
            raise DataError(f"{source}: X has shape {inputs.shape}; expected (rows, columns).")
        given = list(inputs.T)
        if y is not None:
            given.append(np.asarray(y))
            if given[-1].shape != (len(inputs),):
                raise DataError(f"{source}: y has shape {given[-1].shape}; expected ({len(inputs)},).")
        used = automatic_names(len(given)) if names is None else [str(name) for name in names]
        if len(used) != len(given):
            raise DataError(f"{source}: found {len(used)} names for {len(given)} columns.")
        refuse_duplicates(used, source)
        columns = [series_of(column, name, source) for column, name in zip(given, used, strict=True)]
        return cls(pl.DataFrame([normalised(column, source) for column in columns]), source, names is not None)


def rows_of(frame: pl.DataFrame, rows: np.ndarray) -> pl.DataFrame:
    """Column by column, which unlike `frame[rows]` works in a forked process (forks.py)."""
    return pl.DataFrame([column.gather(rows) for column in frame])


def without_column(frame: Any, place: int) -> Any:
    """A polars or pandas frame without the column at a place (from 0)."""
    rest = [i for i in range(frame.shape[1]) if i != place]
    if hasattr(frame, "iloc"):
        return frame.iloc[:, rest]
    return pl.DataFrame([frame.to_series(i) for i in rest])  # by this thread alone (forks.py)


def find_column(table: Table, name_or_position: str | int | None = None) -> str:
    """The name of a column given by name or by position: 1 is the first, -1 the last, None the last that names no rows.

    Text that names no column but is a whole number ("8", "-1") counts as a position.
    """
    names = table.names
    if name_or_position is None:
        return next((name for name in reversed(names) if name not in table.row_names), names[-1])
    if isinstance(name_or_position, str):
        if name_or_position in names:
            return name_or_position
        try:
            position = int(name_or_position)
        except ValueError:
            raise DataError(unknown_column(name_or_position, table)) from None
    else:
        position = name_or_position
    if not 1 <= abs(position) <= len(names):
        raise DataError(
            f"{table.source}: there is no column {position}; the {len(names)} columns count from 1 (the "
            f"first) to {len(names)}, or from -1 (the last) to -{len(names)}."
        )
    return names[position - 1 if position > 0 else position]


def unknown_column(name: str, table: Table) -> str:
    """A message that suggests the nearest name and lists the columns."""
    hint = did_you_mean(name, table.names)
    shown = ", ".join(quoted(each) for each in table.names[:30]) + (", ..." if len(table.names) > 30 else "")
    return f"{table.source}: there is no column {quoted(name)}.{hint} The columns are {shown}."


def automatic_names(count: int) -> list[str]:
    return [f"column_{i + 1}" for i in range(count)]


def refuse_duplicates(names: Sequence[str], source: str) -> None:
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            first = names.index(name)
            raise DataError(
                f"{source}: columns {first + 1} and {i + 1} are both named {quoted(name)}; give each its own name."
            )
        seen.add(name)
