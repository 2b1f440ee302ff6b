"""What a missing value looks like in a text file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from gpubp.errors import SettingsError

ALWAYS = frozenset(
    {
        "", "NA", "N/A", "n/a", "na", "N.A.", "n.a.", "#N/A", "#N/A N/A", "#NA", "<NA>", "NaN", "nan", "NAN", "-NaN",
        "-nan", "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN", "NaT", "null", "NULL", "Null", "(null)", "\\N", "?", ".",
        "..", "...", "-", "--", "---", "—", "–", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "#NAME?", "#NULL!", "#ERROR!",
        "0000-00-00", "0000-00-00 00:00:00",
    }
)  # fmt: skip
"""Missing in every column: pandas' list, and what databases, spreadsheets and statistics packages write."""

DOUBTFUL = frozenset({"NA", "na", "N/A", "n/a", "null", "NULL", "Null", "-", "--", "—", "–", "."})
"""Of these, what may be a class as well: North America, the other strand."""

WORDS = frozenset(
    {
        "None", "none", "NONE", "Unknown", "unknown", "UNKNOWN", "missing", "Missing", "MISSING", "(missing)", "nil",
        "Nil",
    }
)  # fmt: skip
"""Missing among numbers and dates. Among other texts they may mean something, such as a class None beside Mild and
Severe: there they stay texts, a category of their own."""


@dataclass(frozen=True)
class Markers:
    """always: missing in every column; words: missing in columns of numbers, times and dates."""

    always: frozenset[str] = ALWAYS
    words: frozenset[str] = WORDS
    numbers: tuple[float, ...] = ()
    """Numbers that mean "missing", however they are written: -999, -999.0."""
    named: frozenset[str] = frozenset()
    """Those that somebody has named as missing."""
    spared: frozenset[str] = frozenset()
    """Those that somebody has named as not missing."""

    @classmethod
    def of(cls, missing: Iterable[str] = (), not_missing: Iterable[str] = ()) -> Markers:
        """The usual ones, with some more, and without some."""
        more, less = {text.strip() for text in missing}, {text.strip() for text in not_missing}
        if both := sorted(more & less):
            raise SettingsError(f"{both[0]!r} is given as missing and as not missing: leave one of them out.")
        if "" in less:
            raise SettingsError("An empty field is always missing: --not-missing needs a text.")
        numbers = []
        for text in sorted(more):
            try:
                numbers.append(float(text))
            except ValueError:
                continue
        return cls(
            frozenset(ALWAYS | more) - less, WORDS - more - less, tuple(numbers), frozenset(more), frozenset(less)
        )

    def together(self, missing: Iterable[str], not_missing: Iterable[str]) -> Markers:
        """These, and those of another table; where they disagree, these win."""
        return Markers.of(self.named | {*missing} - self.spared, self.spared | {*not_missing} - self.named)

    def found_in(self, texts: pl.Series, among_numbers: bool) -> dict[str, int]:
        """How often each marker occurs; the empty field is not told of."""
        which = self.always | self.words if among_numbers else self.always
        found = texts.filter(texts.is_in(sorted(which - {""})))
        if found.is_empty():
            return {}
        counts = found.value_counts(sort=True)
        return dict(zip(counts.to_series(0).to_list(), counts.to_series(1).to_list(), strict=True))
