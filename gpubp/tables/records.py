"""Text into records: where each begins and ends, which quotes enclose fields, and which lines do not fit.

polars pads short lines with nulls and has its own reading of stray quotes, so every line's fields are counted
here first, with NumPy, over the whole text; what reaches polars can then be read in one way only.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

import numpy as np

from gpubp.errors import DataError

NEWLINE, QUOTE = ord("\n"), ord('"')
UNUSED = "\x1f\x1e\x1d\x1c"
"""Control characters, one of which stands in as the separator of a file that has one column."""


@dataclass(frozen=True, eq=False)
class Records:
    """The R records of a text (a record is a line, unless a quoted field holds line breaks). No blank ones.

    starts, ends (R,): byte positions in `text`; lines (R,): the line on which each begins, from 1;
    fields (R,): how many fields each has. All int64. `quoting` is False when double quotes are ordinary
    characters.
    """

    text: bytes
    separator: str
    quoting: bool
    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    fields: np.ndarray
    whole: bool = True
    """Whether each record reaches from its start to the next line break."""

    @property
    def width(self) -> int:
        """The usual number of fields: the most common one, the first record's where several are as common."""
        counts = np.bincount(self.fields)
        first = int(self.fields[0])
        return first if counts[first] == counts.max() else int(counts.argmax())

    @property
    def share(self) -> float:
        """The part of the records that has the usual number of fields."""
        return float(np.mean(self.fields == self.width))

    @property
    def consistent(self) -> bool:
        return bool((self.fields == self.fields[0]).all())

    def body(self) -> bytes:
        """The records alone, for polars: `text` without its blank lines."""
        if self.whole and len(self.ends) == self.lines[-1] and self.ends[-1] >= len(self.text) - 1:
            return self.text  # nothing was left out
        return b"\n".join(self.text[a:b] for a, b in zip(self.starts, self.ends, strict=True)) + b"\n"

    def keep(self, chosen: np.ndarray) -> Records:
        """Those that a mask (R,) or indices name."""
        starts, ends, lines, fields = (each[chosen] for each in (self.starts, self.ends, self.lines, self.fields))
        return Records(self.text, self.separator, self.quoting, starts, ends, lines, fields, self.whole)

    def cut(self, width: int) -> Records | None:
        """Records of at most `width` fields, without the empty ones after it; None where one of those is not empty."""
        ends, fields = self.ends.copy(), self.fields.copy()
        for i in np.flatnonzero(fields > width).tolist():
            rest = self.text[self.starts[i] : ends[i]]
            for _ in range(fields[i] - width):
                head, found, last = rest.rpartition(self.separator.encode())
                if not found or last.strip():
                    return None
                rest = head
            ends[i], fields[i] = self.starts[i] + len(rest), width
        return Records(self.text, self.separator, self.quoting, self.starts, ends, self.lines, fields, whole=False)

    def values(self, i: int) -> list[str]:
        """The fields of one record, without quotes and surrounding spaces."""
        line = self.text[self.starts[i] : self.ends[i]].decode("utf-8", errors="replace")
        if not self.quoting:
            return [field.strip() for field in line.split(self.separator)]
        return [field.strip() for field in next(csv.reader([line], delimiter=self.separator), [""])]


def split_records(text: bytes, separator: str, source: str) -> Records:
    """Split at `separator` (one ASCII character) outside quoted fields. `text` is not blank."""
    data = np.frombuffer(text, np.uint8)
    is_newline, is_separator = data == NEWLINE, data == ord(separator)
    newlines = np.flatnonzero(is_newline)
    quoting = b'"' in text and _quotes_delimit(data, ord(separator), newlines, source)
    if quoting:
        outside = np.cumsum(data == QUOTE, dtype=np.uint8) & 1 == 0  # an even number of quotes so far
        is_separator &= outside
        ends = np.flatnonzero(is_newline & outside)
    else:
        ends = newlines
    if not len(ends) or ends[-1] != len(text) - 1:
        ends = np.append(ends, len(text))
    starts = np.append(0, ends[:-1] + 1)
    lines = np.searchsorted(newlines, starts) + 1
    fields = np.diff(np.searchsorted(np.flatnonzero(is_separator), ends), prepend=0) + 1
    keep = _not_blank(text, starts, ends, fields)
    return Records(text, separator, quoting, starts[keep], ends[keep], lines[keep], fields[keep])


def collapse_whitespace(text: bytes) -> bytes:
    """Every run of spaces and tabs outside quoted fields as one tab, none at a line's ends."""
    if b'"' not in text:
        return b"\n".join([b"\t".join(line.split()) for line in text.split(b"\n")])
    token = re.compile(rb'(?<!\S)("(?:[^"]|"")*")|[^\S\n]+')
    return re.sub(rb"(?m)^\t+|\t+$", b"", token.sub(lambda match: match[1] or b"\t", text))


def _quotes_delimit(data: np.ndarray, separator: int, newlines: np.ndarray, source: str) -> bool:
    """Whether double quotes enclose fields (RFC 4180); False when no field begins with one, as in 5" pipe.

    DataError when both occur: such a text can be read in several ways.
    """
    quotes = np.flatnonzero(data == QUOTE)
    before, after = data[np.maximum(quotes - 1, 0)], data[np.minimum(quotes + 1, len(data) - 1)]
    before[quotes == 0], after[quotes == len(data) - 1] = NEWLINE, NEWLINE  # as if a line ended there
    begins = (before == separator) | (before == NEWLINE)
    if not begins.any():
        return False
    opens = begins | (before == QUOTE)
    closes = (after == separator) | (after == NEWLINE) | (after == QUOTE)
    proper = np.where(np.arange(len(quotes)) % 2 == 0, opens, closes)
    if proper.all() and len(quotes) % 2 == 0:
        return True
    stray = quotes[-1] if proper.all() else quotes[np.argmin(proper)]
    raise DataError(
        f"{source}, line {np.searchsorted(newlines, stray) + 1}: a double quote "
        + ("is opened and never closed. " if proper.all() else "stands in the middle of a field. ")
        + 'A quoted field begins and ends with " right beside the separators, and a quote inside it is '
        'doubled: "a ""b"" c".'
    )


def _not_blank(text: bytes, starts: np.ndarray, ends: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """Mask (R,) of the records to keep; an inner blank line of a one-column table is a missing value."""
    keep = np.ones(len(starts), bool)
    several = fields.max() > 1
    alone = np.flatnonzero(fields == 1)
    for order in [alone] if several else [alone, alone[::-1]]:
        for i in order:
            keep[i] = bool(text[starts[i] : ends[i]].strip())
            if keep[i] and not several:
                break
    return keep


def ragged_error(records: Records, source: str) -> DataError:
    """Which line has how many fields, how many were expected, and what probably happened."""
    width, fields = records.width, records.fields
    odd = np.flatnonzero(fields != width)
    found, line = int(fields[odd[0]]), int(records.lines[odd[0]])
    others = ", ".join(str(n) for n in records.lines[odd[1:8]]) + (", ..." if len(odd) > 8 else "")
    message = (
        f"{source}, line {line}: found {found} field{'s' * (found != 1)}, expected {width} "
        f"(as on {len(fields) - len(odd)} of {len(fields)} lines)."
        + (f" The same trouble on line(s) {others}." if others else "")
    )

    def without_empty(i: np.integer) -> int:
        parts = records.text[records.starts[i] : records.ends[i]].split(records.separator.encode())
        return sum(bool(part.strip()) for part in parts)

    if (fields[odd] > width).all() and all(without_empty(i) == width for i in odd):
        if records.separator == "\t":
            return DataError(f"{message} Repeated tabs? Then give the separator as whitespace.")
        return DataError(
            f"{message} Without its empty fields every such line has {width}: it looks as if repeated tabs "
            f"or spaces had become one {records.separator!r} each. Read the original file instead: gpubp takes "
            "a run of tabs or spaces as one separator where that gives every line the same number of fields."
        )
    if len(odd) == 1 and odd[0] == 0:
        return DataError(f"{message} Give the first line one name per column, or remove it if it is a title.")
    if found < width:
        return DataError(f"{message} If a value is missing, leave its field empty and keep its separator.")
    return DataError(f"{message} If a text holds the separator, put the whole field in double quotes.")
