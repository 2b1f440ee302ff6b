"""Numbers as people write them: 1,234.5 and 1.234,5, 45%, $1.50, (45) for −45, 70 kg."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

SPACES = "[\u00a0\u2007\u2009\u202f]"
CURRENCY = (
    r"[A-Z]{0,3}\p{Sc}|USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|NZD|SEK|NOK|DKK|PLN|BRL|MXN|ZAR|TRY|RUB|KRW|Rs\.?|kr\.?"
)
BODY = r"(?:[0-9][0-9.,' ]*|[.,][0-9][0-9.,' ]*)(?:[eE][+-]?[0-9]+)?"
UNIT = r"[^\s0-9.,:+()'\"/-][^():\"]{0,19}"
PATTERN = rf"^(\()?([+-])? ?({CURRENCY})? ?([+-])?({BODY}) ?({UNIT})?(\))?(-)?$"
OPEN, SIGN, BEFORE, INNER_SIGN, NUMBER, AFTER, CLOSE, LAST_SIGN = map(str, range(1, 9))
AM_PM = re.compile(r"(?i)[ap]\.?m\.?")
EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
WORD = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class NumberStyle:
    """decimal: "." or ","; thousands: what groups the digits, or ""."""

    decimal: str = "."
    thousands: str = ""

    @property
    def pattern(self) -> str:
        """Of a number without sign and unit."""
        decimal = re.escape(self.decimal)
        whole = "[0-9]+"
        if self.thousands:
            groups = re.escape(self.thousands)
            last = (
                rf"(?:{groups}[0-9]{{2,3}})*{groups}[0-9]{{3}}"
                if self.thousands == ","
                else rf"(?:{groups}[0-9]{{3}})+"
            )
            whole = rf"(?:[1-9][0-9]{{0,2}}{last}|[0-9]+)"
        return rf"^(?:{whole}(?:{decimal}[0-9]*)?|{decimal}[0-9]+){EXPONENT}$"

    def __str__(self) -> str:
        named = {",": "commas", ".": "points", " ": "spaces", "'": "apostrophes"}
        said = ["decimal commas"] if self.decimal == "," else []
        return " and ".join([*said, *([f"{named[self.thousands]} between thousands"] if self.thousands else [])])


PLAIN = NumberStyle()
STYLES = (
    PLAIN,
    NumberStyle(".", ","),
    NumberStyle(",", ""),
    NumberStyle(",", "."),
    NumberStyle(".", " "),
    NumberStyle(",", " "),
    NumberStyle(".", "'"),
    NumberStyle(",", "'"),
)


@dataclass(frozen=True)
class Written:
    """What a column of texts has in common as numbers: the styles that fit all of them, and the unit around each."""

    styles: tuple[NumberStyle, ...]
    before: str
    after: str

    def style(self, decimal: str | None, otherwise: str) -> tuple[NumberStyle, bool]:
        """(the style to read by, whether it had to be guessed): `decimal` is what the rest of the table says."""
        fitting = [style for style in self.styles if style.decimal == decimal] if decimal else list(self.styles)
        fitting = fitting or list(self.styles)
        marks = {style.decimal for style in fitting}
        if len(marks) == 1:
            return fitting[0], False
        return next(style for style in fitting if style.decimal == otherwise), True


def spelled_simply(texts: pl.Series) -> pl.Series:
    """Typographic minus signs, spaces and apostrophes as plain ones."""
    found = texts.str.replace_all(SPACES, " ")
    found = found.str.replace_all("[−–]([0-9.,$€£])", "-${1}").str.replace_all("[’`]", "'")
    return found.str.replace_all("−", "-")


def parts_of(texts: pl.Series) -> pl.DataFrame:
    """The groups of `PATTERN`: all null where a text is no number with something around it."""
    return spelled_simply(texts).str.extract_groups(PATTERN).struct.unnest()


def written_as(texts: pl.Series) -> Written | None:
    """Of distinct texts without missing ones. None where not all are numbers, or where their units differ."""
    parts = parts_of(texts)
    number = parts[NUMBER]
    if number.null_count() or not len(number):
        return None
    units = (_one(parts[BEFORE]), _one(parts[AFTER]))
    if None in units or AM_PM.fullmatch(units[1] or ""):
        return None
    if len(number) == 1 and WORD.search(units[1] or ""):  # one text on every row: it may as well be a phrase
        return None
    if (parts[OPEN].is_null() != parts[CLOSE].is_null()).any():
        return None
    body = number.str.strip_chars_end(" ")
    styles = tuple(style for style in STYLES if body.str.contains(style.pattern).all())
    if not styles:
        return None
    needed = "".join(body.unique().to_list())
    simplest = [style for style in styles if not style.thousands or style.thousands in needed]
    simplest = [style for style in simplest if style.decimal == "." or "," in needed] or [PLAIN]
    return Written(tuple(simplest), *units)  # type: ignore[arg-type]


def _one(units: pl.Series) -> str | None:
    """The unit that all have; "" where none has one, None where they differ."""
    found = units.fill_null("").str.strip_chars().unique()
    if len(found) == 1:
        return str(found[0])
    return None


def read(texts: pl.Series, style: NumberStyle, before: str = "", after: str = "") -> pl.Series:
    """Float64, null where a text is not written so; a plain number needs no unit."""
    if style == PLAIN and not before and not after:
        plain = texts.cast(pl.Float64, strict=False)
        if plain.null_count() == texts.null_count():
            return plain
    parts = parts_of(texts)
    body = parts[NUMBER].str.strip_chars_end(" ")
    body = body.set((~body.str.contains(style.pattern)).fill_null(True), None)
    if style.thousands:
        body = body.str.replace_all(style.thousands, "", literal=True)
    if style.decimal == ",":
        body = body.str.replace(",", ".", literal=True)
    number = body.cast(pl.Float64, strict=False)
    for column, unit in ((BEFORE, before), (AFTER, after)):
        found = parts[column].fill_null("").str.strip_chars()
        number = number.set((found != unit) & (found != ""), None)
    signs = parts[SIGN].fill_null("") + parts[INNER_SIGN].fill_null("") + parts[LAST_SIGN].fill_null("")
    negative = (signs == "-") ^ (parts[OPEN].is_not_null() & parts[CLOSE].is_not_null())
    return pl.Series(texts.name, number.zip_with(~negative, -number))
