"""`Notation`: how the values of one column are written, and what they are once they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from gpubp.storage.schema import Given
from gpubp.tables import written_dates, written_numbers, written_times
from gpubp.tables.written_numbers import NumberStyle

KINDS = ("number", "duration", "date", "boolean", "text")
ORDERS = tuple(written_dates.ORDERS)


@dataclass(frozen=True)
class Notation:
    """kind: "number", "duration" (clock times too: seconds), "date", "boolean" or "text".

    style: of numbers. before, after: what stands around each number, as "$" or "kg". order: of a date's parts.
    """

    kind: str
    style: NumberStyle = written_numbers.PLAIN
    before: str = ""
    after: str = ""
    order: str = ""
    clock: str = ""

    @property
    def is_plain(self) -> bool:
        return self in (NUMBER, TEXT)

    def read(self, texts: pl.Series) -> pl.Series:
        """Values of texts without surrounding spaces, null where one is not written so."""
        if self.kind == "number":
            return written_numbers.read(texts, self.style, self.before, self.after)
        if self.kind == "duration":
            return written_times.read(texts, self.clock)
        if self.kind == "date":
            return written_dates.read(texts, self.order)
        if self.kind == "boolean":
            lower = texts.str.to_lowercase()
            return lower.set(~lower.is_in(["true", "false"]), None)
        return texts

    def __str__(self) -> str:
        """What is special about it, in a few words; "" for plain numbers and texts."""
        if self.kind == "date":
            return written_dates.ORDERS[self.order]
        if self.kind == "duration":
            return written_times.CLOCKS[self.clock]
        if self.kind == "number":
            around = [f"{text!r} {where}" for text, where in ((self.before, "before"), (self.after, "after")) if text]
            parts = [*([str(self.style)] if str(self.style) else []), *around]
            return f"numbers with {' and '.join(parts)}" if parts else ""
        return ""

    def to_metadata(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "decimal": self.style.decimal,
            "thousands": self.style.thousands,
            "before": self.before,
            "after": self.after,
            "order": self.order,
            "clock": self.clock,
        }

    @classmethod
    def from_given(cls, given: Given) -> Notation:
        """The inverse of `to_metadata`; DataError for what is none."""
        kind = given["kind"].choice(KINDS)
        style = NumberStyle(given["decimal"].choice((".", ",")), given["thousands"].choice(("", ",", ".", " ", "'")))
        if style not in written_numbers.STYLES:
            raise given["thousands"].wrong("a separator of thousands that goes with the decimal mark")
        order = given["order"].choice((ORDERS) if kind == "date" else ("",))
        clock = given["clock"].choice(tuple(written_times.CLOCKS) if kind == "duration" else ("",))
        return cls(kind, style, given["before"].text(), given["after"].text(), order, clock)


NUMBER, TEXT, BOOLEAN = Notation("number"), Notation("text"), Notation("boolean")
ISO = Notation("date", order="ymd")
