"""Columns of texts into columns of values: what each one's notation is, decided by all of its values and its table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl

from gpubp.errors import quoted
from gpubp.tables import written_dates, written_numbers, written_times
from gpubp.tables.description import ColumnReading
from gpubp.tables.limits import LARGEST
from gpubp.tables.markers import Markers
from gpubp.tables.notation import BOOLEAN, NUMBER, TEXT, Notation
from gpubp.tables.written_numbers import PLAIN, NumberStyle, Written

EXACT = 2.0**53
"""Whole numbers beyond it are not all floats: such a column holds identifiers."""
FEW = 20
"""A column of some numbers and some texts may be codes with at most this many different ones."""
CLOCK = r"^[0-9]{1,3}:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?$"
LEADING_ZERO, EXPONENT = r"^[+-]?0[0-9]+$", r"^[0-9]+[eE][0-9]+$"


@dataclass(frozen=True)
class Conventions:
    """What is known of the whole table before its columns are read; None for nothing.

    decimal: "." or ","; usual_decimal: what is taken where neither the option nor any column says it.
    """

    markers: Markers
    decimal: str | None = None
    usual_decimal: str = "."
    day_first: bool | None = None


def read_columns(texts: pl.DataFrame, given: Conventions) -> tuple[list[pl.Series], list[ColumnReading]]:
    """Values and readings of columns of texts without surrounding spaces."""
    plain = _plain_numbers(texts, given.markers)
    drafts = {name: Draft.of(texts[name], given) for name, values in plain.items() if values is None}
    settled = _settled([*drafts.values()], given)
    if settled.decimal != given.decimal or any(draft.is_open for draft in drafts.values()):
        surely = r"^[+-]?0*\.[0-9]|\.(?:[0-9]{1,2}|[0-9]{4,})$" if given.usual_decimal == "," else r"\.[0-9]"
        floats = [texts[name] for name, values in plain.items() if values is not None and values.dtype == pl.Float64]
        points = any(column.str.contains(surely).any() for column in floats)
        if points and given.decimal is None:  # columns of both kinds leave it open
            settled = replace(settled, decimal=None if settled.decimal == "," else ".")
    columns, readings = [], []
    for name, values in plain.items():
        if values is not None and not (settled.decimal == "," and _grouped_by_points(texts[name], values)):
            columns.append(values)
            missing = given.markers.found_in(texts[name], True) if values.null_count() else {}
            blank = int((texts[name] == "").sum()) if values.null_count() else 0
            readings.append(ColumnReading(name, NUMBER, missing, blank))
        else:
            draft = drafts.get(name) or Draft.of(texts[name], given)
            column, reading = draft.read(settled)
            columns.append(column)
            readings.append(reading)
    return columns, readings


def read_by(texts: pl.Series, notation: Notation, markers: Markers) -> pl.Series | None:
    """Values of texts in a notation that is known from another table; None where one of them is not written so."""
    known = _without(texts, markers, notation.kind not in ("text", "boolean"))
    values = notation.read(known)
    if values.null_count() > known.null_count():
        return None
    return _whole_where_it_is(_as_missing(values, markers)) if notation.kind == "number" else values


def _whole_where_it_is(values: pl.Series) -> pl.Series:
    """Int64 where all values are whole numbers that it can hold."""
    whole = values.cast(pl.Int64, strict=False)
    fits = len(values) > values.null_count() == whole.null_count() and bool((whole == values).all())
    return whole if fits else values


def _plain_numbers(texts: pl.DataFrame, markers: Markers) -> dict[str, pl.Series | None]:
    """Int64 or Float64 of the columns that hold plain numbers and nothing else; None for the others. For thousands of
    columns, so each question is put to all of them at once.
    """
    every = sorted(markers.always | markers.words)
    found: dict[str, pl.Series | None] = dict.fromkeys(texts.columns)
    columns: list[pl.Series] = []
    for values in texts.select(pl.all().cast(pl.Float64, strict=False)):
        if values.null_count() and not texts[values.name].filter(values.is_null()).is_in(every).all():
            continue
        columns.append(values.fill_nan(None) if math.isnan(float(values.sum())) else values)
    if not columns:
        return found
    names = [values.name for values in columns]
    largest = [_largest(values) for values in columns]
    chosen = texts.select(names)
    codes = chosen.select(pl.all().str.contains(f"{LEADING_ZERO}|{EXPONENT}").any()).row(0)
    wholes = chosen.select(pl.all().cast(pl.Int64, strict=False))
    as_wholes = [wholes[values.name].null_count() - values.null_count() for values in columns]
    for i, (name, values) in enumerate(zip(names, columns, strict=True)):
        if (top := largest[i]) is None:  # no value at all
            found[name] = pl.Series(name, [], dtype=pl.Float64).extend_constant(None, len(values))
        elif (
            codes[i]
            or (as_wholes[i] == 0 and _may_be_compact(chosen[name], top))
            or (EXACT < top <= LARGEST and (as_wholes[i] or _is_long_number(chosen[name])))
        ):
            continue
        else:
            found[name] = _as_missing(wholes[name] if not as_wholes[i] else values, markers)
    return found


def _largest(values: pl.Series) -> float | None:
    low, high = values.min(), values.max()
    return None if low is None else max(-float(low), float(high))  # type: ignore[arg-type]


def _may_be_compact(texts: pl.Series, largest: float) -> bool:
    """Whether whole numbers, of which the largest is known, are written as 20200131 is."""
    return 1.9e7 < largest < 2.1e7 and bool(texts.str.contains(written_dates.COMPACT).all())


def _is_long_number(texts: pl.Series) -> bool:
    return bool(texts.str.contains("^[+-]?[0-9]{16,}$").any())


def _as_missing(values: pl.Series, markers: Markers) -> pl.Series:
    for number in markers.numbers:
        values = values.set((values == number).fill_null(False), None)
    return values


def _grouped_by_points(texts: pl.Series, values: pl.Series) -> bool:
    """Whether what looks like 1.234 is to be 1234 in a table of decimal commas: every point stands before thousands."""
    if values.dtype != pl.Float64:
        return False
    points = texts.filter(texts.str.contains(".", literal=True))
    return len(points) > 0 and bool(points.str.contains(r"^[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+$").all())


def _without(texts: pl.Series, markers: Markers, words: bool) -> pl.Series:
    """Texts with null for what is missing."""
    return texts.set(texts.is_in(sorted(markers.always | markers.words if words else markers.always)), None)


@dataclass(frozen=True)
class Draft:
    """A column that is not of plain numbers alone, and what it may be: numbers in some style, or a notation."""

    texts: pl.Series
    markers: Markers
    written: Written | None = None
    notation: Notation | None = None
    why: str = ""
    either_order: bool = False
    stray: str = ""

    @classmethod
    def of(cls, texts: pl.Series, given: Conventions) -> Draft:
        distinct = texts.unique(maintain_order=True)
        every = sorted(given.markers.always | given.markers.words)
        values = distinct.filter(~distinct.is_in(every))
        if not len(values):  # nothing but words such as Unknown
            return cls(texts, given.markers, notation=TEXT)
        if why := _codes(values):
            return cls(texts, given.markers, notation=TEXT, why=why)
        if _are_compact_dates(values):
            return cls(texts, given.markers, notation=Notation("date", order="compact"))
        if written := written_numbers.written_as(values):
            return cls(texts, given.markers, written=written)
        if clock := written_times.written_as(values):
            return cls(texts, given.markers, notation=Notation("duration", clock=clock))
        if dated := written_dates.written_as(values, given.day_first):
            order, guessed = dated
            return cls(texts, given.markers, notation=Notation("date", order=order), either_order=guessed)
        lower = values.str.to_lowercase()
        if lower.is_in(["true", "false"]).all():
            return cls(texts, given.markers, notation=BOOLEAN)
        return cls(texts, given.markers, notation=TEXT, stray=_stray(texts, every))

    @property
    def is_open(self) -> bool:
        """Whether its decimal mark is left open."""
        return self.written is not None and len({style.decimal for style in self.written.styles}) > 1

    def _signs(self) -> str:
        """What stands for minus in numbers, where it is no hyphen before them; "" where it is."""
        if self.written is None:
            return ""
        signs = {"parentheses": r"^\(", "typographic signs": "^\\(?[−–]", "a sign at the end": "[0-9.]-$"}
        return " and ".join(named for named, pattern in signs.items() if self.texts.str.contains(pattern).any())

    def read(self, settled: Conventions) -> tuple[pl.Series, ColumnReading]:
        notation, guess = self.notation, ""
        if self.written is not None:
            style, guessed = self.written.style(settled.decimal, settled.usual_decimal)
            if PLAIN in self.written.styles and settled.decimal == "," and _points_group(self.texts):
                style = NumberStyle(",", ".")
            notation = Notation("number", style, self.written.before, self.written.after)
            if guessed:
                other = "." if style.decimal == "," else ","
                guess = (
                    f"a comma may stand between thousands or be the decimal mark: taken as {style}; "
                    f"--decimal {quoted(other)} for the other"
                )
        assert notation is not None
        if self.either_order:
            if settled.day_first is not None:
                notation = Notation("date", order="dmy" if settled.day_first else "mdy")
            else:
                first = "day" if notation.order == "dmy" else "month"
                other = "--month-first" if first == "day" else "--day-first"
                guess = f"day or month may come first: taken as {first} first; {other} for the other"
        among_numbers = notation.kind not in ("text", "boolean")
        known = _without(self.texts, self.markers, among_numbers)
        values = _read_once(known, notation)
        if notation.kind == "number":
            values = _whole_where_it_is(_as_missing(values, self.markers))
        missing = self.markers.found_in(self.texts, among_numbers)
        blank = int((self.texts == "").sum())
        return values.alias(self.texts.name), ColumnReading(
            self.texts.name, notation, missing, blank, guess, self.why, self.stray, self._signs()
        )


def _read_once(texts: pl.Series, notation: Notation) -> pl.Series:
    """`notation.read`, of each different text once where most come again, as dates do."""
    distinct = texts.unique().drop_nulls() if notation.kind not in ("text", "boolean") else texts
    if 2 * len(distinct) > len(texts):
        return notation.read(texts)
    values = notation.read(distinct)
    return texts.replace_strict(distinct, values, default=None, return_dtype=values.dtype)


def _points_group(texts: pl.Series) -> bool:
    points = texts.filter(texts.str.contains(".", literal=True))
    return len(points) > 0 and bool(points.str.contains(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+(?:[^0-9]|$)").all())


def _codes(values: pl.Series) -> str:
    """Why these distinct texts are codes and no numbers, although each could be one; "" if they are not."""
    digits = values.str.contains(r"^[+-]?[0-9]+$")
    numbers = values.cast(pl.Float64, strict=False)
    if numbers.null_count() or not numbers.is_finite().all():
        return ""
    if values.str.contains(LEADING_ZERO).any() and digits.all():
        return "leading zeros"
    if values.filter(digits).str.contains("^[+-]?[0-9]{16,}$").any():
        return "more digits than a number can hold"
    exponents = values.str.contains(EXPONENT).any() and not values.str.contains(".", literal=True).any()
    if exponents and numbers.n_unique() < len(values):
        return "different texts that would be the same number"
    return ""


def _are_compact_dates(values: pl.Series) -> bool:
    """Whether these distinct texts are dates such as 20200131, and enough of them to be no chance."""
    if len(values) < written_dates.LEAST_COMPACT or not values.str.contains(written_dates.COMPACT).all():
        return False
    return not written_dates.read(values, "compact").null_count()


def _settled(drafts: Sequence[Draft], given: Conventions) -> Conventions:
    """What the columns that leave no doubt say about the others."""
    decimal, day_first = given.decimal, given.day_first
    if decimal is None:
        marks = {
            next(iter({style.decimal for style in draft.written.styles}))
            for draft in drafts
            if draft.written is not None
            and len({style.decimal for style in draft.written.styles}) == 1
            and (draft.written.styles[0].decimal == "," or draft.written.styles[0].thousands == ",")
        }
        decimal = marks.pop() if len(marks) == 1 else None
    if day_first is None:
        orders = {
            draft.notation.order
            for draft in drafts
            if draft.notation is not None and draft.notation.order in ("dmy", "mdy") and not draft.either_order
        }
        day_first = orders == {"dmy"} if len(orders) == 1 else True if decimal == "," and not orders else None
    return Conventions(given.markers, decimal, given.usual_decimal, day_first)


def _stray(texts: pl.Series, every: list[str]) -> str:
    """What keeps a column from being dates, clock times, or numbers in some style: said where more than half of the
    values are, but for codes: few different values, each text among them more than once.
    """
    counts = texts.filter(~texts.is_in(every)).value_counts()
    values, times = counts.to_series(0), counts.to_series(1)
    half = int(times.sum()) / 2
    for kind, fits in _kinds_of_most(values, times):
        if times.filter(fits).sum() <= half or fits.all():
            continue
        if len(values) <= FEW and times.filter(~fits).min() >= 2:  # type: ignore[operator]
            return ""
        first, example = (texts.filter(texts.is_in(values.filter(each).to_list()))[0] for each in (~fits, fits))
        return f"{first}\0found {quoted(first)} in a column of {kind} such as {quoted(example)}"
    return ""


def _kinds_of_most(values: pl.Series, times: pl.Series) -> Iterator[tuple[str, pl.Series]]:
    """What most of the distinct values may be, and which of them are: dates and clock times first, whose beginnings
    look like numbers with a unit.
    """
    order = next((order for order in written_dates.ORDERS if _mostly_dates(values, times, order)), None)
    if order is not None:
        yield "dates", written_dates.read(values, order).is_not_null()
    clock = values.str.contains(CLOCK)
    if clock.any():
        yield "clock times", clock
    parts = written_numbers.parts_of(values)
    numbers = parts[written_numbers.NUMBER].is_not_null()
    if not numbers.any():
        return
    units = parts[written_numbers.BEFORE].fill_null("") + "\0" + parts[written_numbers.AFTER].fill_null("")
    numbers &= (units == units.filter(numbers).mode().sort()[0]).fill_null(False)
    body = parts[written_numbers.NUMBER].str.strip_chars_end(" ")
    in_style = [numbers & body.str.contains(style.pattern).fill_null(False) for style in written_numbers.STYLES]
    fits = max(in_style, key=lambda fits: int(times.filter(fits).sum()))
    if fits.sum() > 1:  # 1. Never Married, 2. Married: one text more than once is no column of numbers
        yield "numbers", fits


def _mostly_dates(values: pl.Series, times: pl.Series, order: str) -> bool:
    sample = values.head(50)
    if not sample.str.contains(written_dates.PATTERNS[order]).any():
        return False
    return bool(2 * times.filter(written_dates.read(values, order).is_not_null()).sum() > times.sum())
