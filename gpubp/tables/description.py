"""How a table was read: what the file was, and how each column's values were written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpubp.errors import quoted
from gpubp.storage.schema import Given
from gpubp.tables.notation import ISO, Notation

SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "vertical bars", "whitespace": "spaces"}
ENCODINGS = {
    "cp1252": "Windows-1252",
    "iso8859-1": "Latin-1",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
}
SHOWN = 6


@dataclass(frozen=True)
class ColumnReading:
    """missing: how often each text that means a missing value occurs; blank: how many fields are empty.

    guess: what could not be told, and what was taken; signs: what stands for minus, where it is no hyphen; why: why
    numbers stayed texts; stray: "value NUL sentence" on a value that keeps the column from being numbers or dates.
    """

    name: str
    notation: Notation
    missing: Mapping[str, int] = field(default_factory=dict)
    blank: int = 0
    guess: str = ""
    why: str = ""
    stray: str = ""
    signs: str = ""

    def to_metadata(self) -> dict[str, Any]:
        return {"name": self.name, **self.notation.to_metadata()}

    @classmethod
    def from_given(cls, given: Given) -> ColumnReading:
        return cls(given["name"].text(), Notation.from_given(given))


@dataclass(frozen=True)
class Reading:
    """format: "CSV", "Parquet", ...; separator: a character, "whitespace", or "" where there is none.

    remarks: sentences on what was skipped, renamed or guessed about the lines and names. missing, not_missing: texts
    that were named as such.
    """

    format: str
    rows: int
    columns: tuple[ColumnReading, ...]
    header: bool
    encoding: str = ""
    compression: str = ""
    separator: str = ""
    remarks: tuple[str, ...] = ()
    row_names: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    not_missing: tuple[str, ...] = ()

    def notes(self) -> Iterator[str]:
        """A few sentences for people."""
        yield self._file()
        yield from self.remarks
        yield from self._notations()
        yield from self._missing()
        for column in self.columns:
            if column.guess:
                yield f"Column {column.name!r}: {column.guess}."

    def _file(self) -> str:
        parts = [
            f"{self.rows:,} row{'s' * (self.rows != 1)} of {len(self.columns):,} column{'s' * (len(self.columns) != 1)}"
        ]
        if self.separator:
            named = SEPARATORS.get(self.separator, repr(self.separator))
            parts.append(f"separated by {named}")
        if self.encoding not in ("", "utf-8", "ascii"):
            parts.append(f"in {ENCODINGS.get(self.encoding, self.encoding)}")
        if self.compression:
            parts.append(f"compressed with {self.compression}")
        if self.format not in ("Parquet", "Arrow"):  # which have names always
            parts.append("with a header" if self.header else "without a header")
        return f"Read as {self.format}: {', '.join(parts)}."

    def _notations(self) -> Iterator[str]:
        grouped: dict[str, list[str]] = {}
        for column in self.columns:
            if column.notation == ISO:  # what becomes of it says it
                continue
            if said := str(column.notation):
                grouped.setdefault(said, []).append(column.name)
            elif column.signs:
                grouped.setdefault(f"numbers with {column.signs} for minus", []).append(column.name)
            elif column.why:
                grouped.setdefault(f"texts, for {column.why}", []).append(column.name)
        for said, names in grouped.items():
            yield f"{_named(names)}: {said}."

    def _missing(self) -> Iterator[str]:
        """Which texts were taken as missing; empty fields go without saying."""
        counts: dict[str, int] = {}
        names: list[str] = []
        for column in self.columns:
            names += [column.name] * bool(column.missing)
            for text, count in column.missing.items():
                counts[text] = counts.get(text, 0) + count
        if counts:
            often = sorted(counts.items(), key=lambda item: -item[1])
            shown = ", ".join(f"{quoted(text)} ({_times(count)})" for text, count in often[:SHOWN])
            more = f" and {len(often) - SHOWN} more" if len(often) > SHOWN else ""
            yield f"Taken as missing: {shown}{more}, in c{_named(names)[1:]}."

    def to_metadata(self) -> dict[str, Any]:
        """What a model keeps of it, to read other tables alike."""
        return {
            "format": self.format,
            "header": self.header,
            "encoding": self.encoding,
            "separator": self.separator,
            "missing": list(self.missing),
            "not_missing": list(self.not_missing),
            "columns": [column.to_metadata() for column in self.columns],
        }

    @classmethod
    def from_given(cls, given: Given) -> Reading:
        """The inverse of `to_metadata`, without counts and sentences; DataError for what is none."""
        return cls(
            given["format"].text(),
            0,
            given["columns"].each(ColumnReading.from_given),
            given["header"].flag(),
            given["encoding"].text(),
            separator=given["separator"].text(),
            missing=given["missing"].distinct_texts(),
            not_missing=given["not_missing"].distinct_texts(),
        )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _named(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:SHOWN])) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return f"Column{'s' * (len(names) > 1)} {shown}"
