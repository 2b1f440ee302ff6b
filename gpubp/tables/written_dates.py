"""Dates as people write them: 2020-01-31, 31.01.2020, 1/31/20, 31 Jan 2020, with or without a time of day."""

from __future__ import annotations

import polars as pl

from gpubp.tables.limits import CALENDAR, TIME

ORDERS = {
    "ymd": "dates, year-month-day",
    "dmy": "dates, day-month-year",
    "mdy": "dates, month/day/year",
    "dby": "dates, day month year with the month's name",
    "bdy": "dates, month day year with the month's name",
    "ym": "months, year-month",
    "by": "months, with the month's name",
    "compact": "dates, such as 20200131",
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAY = r"(?:[A-Za-z]{3,9},? )?"
NAME = r"([A-Za-z]{3,9})\.?"
TIME_OF_DAY = (
    r"(?:(?:[ T]|, ?)+([0-2]?[0-9]):([0-5][0-9])(?::([0-5][0-9])(?:[.,]([0-9]{1,9}))?)? ?([AaPp][Mm])?"
    r" ?(Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
PATTERNS = {
    "ymd": r"^([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})",
    "dmy": r"^([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4}|[0-9]{2})",
    "mdy": r"^([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4}|[0-9]{2})",
    "dby": rf"^{WEEKDAY}([0-9]{{1,2}})(?:st|nd|rd|th|\.)?[- ]{NAME}[-, ]+([0-9]{{4}}|[0-9]{{2}})",
    "bdy": rf"^{WEEKDAY}{NAME}[- ]([0-9]{{1,2}})(?:st|nd|rd|th)?,? ([0-9]{{4}})",
    "ym": r"^([0-9]{4})[-/](0[1-9]|1[0-2])()",
    "by": rf"^{NAME}[- ]([0-9]{{4}})()",
    "compact": r"^((?:19|20)[0-9]{2})(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])",
}
COMPACT = PATTERNS["compact"] + "$"
LEAST_COMPACT = 5
"""Distinct whole numbers such as 20200131, all of them dates, before they count as dates."""


def written_as(texts: pl.Series, day_first: bool | None) -> tuple[str, bool] | None:
    """(which of `ORDERS` fits all of these distinct texts, whether day or month first had to be guessed), or None.

    day_first: what is known of the table; None for nothing, which takes the day first beside points, else the month.
    """
    tried = [order for order in ORDERS if order != "compact" or len(texts) >= LEAST_COMPACT]
    fitting = [order for order in tried if _quickly(texts, order) and read(texts, order).null_count() == 0]
    if not fitting:
        return None
    if "dmy" in fitting and "mdy" in fitting:
        points = texts.str.contains(r"^[0-9]{1,2}\.").all()
        first = points if day_first is None else day_first
        return ("dmy" if first else "mdy"), day_first is None and not points
    return fitting[0], False


def _quickly(texts: pl.Series, order: str) -> bool:
    """Whether the first of many texts fit at all."""
    return bool(texts.head(20).str.contains(PATTERNS[order] + TIME_OF_DAY).all())


def read(texts: pl.Series, order: str) -> pl.Series:
    """`TIME`, null where a text is not written so, or is no day of the calendar. Times with an offset are UTC."""
    parts = texts.str.extract_groups(PATTERNS[order] + TIME_OF_DAY).struct.unnest()
    groups = [parts[str(i)] for i in range(1, 10)]
    hour, minute, second, fraction, half, zone = groups[3:]
    year, month, day = _ordered(groups[:3], order)
    hour = _of_half(hour, half)
    written = (
        year + "-" + month.str.zfill(2) + "-" + day.str.zfill(2) + " " + hour.fill_null("0").str.zfill(2) + ":"
        + minute.fill_null("00") + ":" + second.fill_null("00") + "." + fraction.fill_null("0").str.slice(0, 6)
    )  # fmt: skip
    found = written.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    if zone.is_not_null().any():
        found = found - _offset(zone)
    found = found.cast(TIME)
    outside = (~found.is_between(*CALENDAR)).fill_null(True)
    return found.to_physical().set(outside, None).cast(TIME).alias(texts.name)  # polars 1.0 sets numbers alone


def _ordered(groups: list[pl.Series], order: str) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Year, month and day of a pattern's groups, all as digits."""
    a, b, c = groups
    if order in ("ymd", "ym", "compact"):
        year, month, day = a, b, c
    elif order in ("dmy", "dby"):
        year, month, day = c, b, a
    elif order in ("mdy", "bdy"):
        year, month, day = c, a, b
    else:
        year, month, day = b, a, c
    if order in ("dby", "bdy", "by"):
        month = month.str.to_lowercase()
        number = month.str.slice(0, 3).replace_strict(
            dict(zip(MONTHS, map(str, range(1, 13)), strict=True)), default=None, return_dtype=pl.String
        )
        known = month.is_in([*MONTHS, *FULL, "sept"])
        month = number.set((~known).fill_null(True), None)
    if order in ("ym", "by"):
        day = day.str.replace("^$", "1")
    short = year.str.len_chars() == 2
    century = pl.Series([None, "19", "20"], dtype=pl.String).gather(
        ((year.cast(pl.Int64, strict=False) < 69).cast(pl.Int64) + 1).fill_null(0)
    )
    return year.zip_with(~short.fill_null(False), century + year), month, day


FULL = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip


def _of_half(hour: pl.Series, half: pl.Series) -> pl.Series:
    """Hours of a 12-hour clock as those of a 24-hour clock."""
    if half.is_null().all():
        return hour
    number = hour.cast(pl.Int64, strict=False)
    afternoon = half.str.to_lowercase().eq("pm")
    on_24 = (number % 12 + 12 * afternoon.cast(pl.Int64)).cast(pl.String)
    return hour.zip_with(half.is_null(), on_24)


def _offset(zone: pl.Series) -> pl.Series:
    parts = zone.str.extract_groups(r"^([+-])([0-9]{2}):?([0-9]{2})$").struct.unnest()
    hours, minutes = (parts[i].cast(pl.Int64, strict=False).fill_null(0) for i in "23")
    total = (3600 * hours + 60 * minutes) * 1_000_000
    signed = total.zip_with((parts["1"] != "-").fill_null(True), -total)
    return signed.cast(pl.Duration("us"))
