"""Dates and times as what a network can read: the parts of the calendar that vary, as numbers and as angles.

A part is a number, and one that comes round again (all but the year) also the sine and cosine of its angle, so that
December stands next to January:

    month 1 to 12              2π (month − 1) / 12
    day of year 1 to 366       2π (day − 1) / 365.25
    day of week 1 (Monday) to 7    2π (day − 1) / 7
    hour 0 to below 24, minutes and seconds as its fraction    2π hour / 24
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import numpy as np

from gpubp.errors import DataError, quoted

if TYPE_CHECKING:
    import polars as pl

    from gpubp.tables import Table

CYCLES = {"month": (1.0, 12.0), "day of year": (1.0, 365.25), "day of week": (1.0, 7.0), "hour": (0.0, 24.0)}
"""Where each part that comes round again begins, and after how much it does."""
PARTS = ("year", *CYCLES)
WAVES = ("sine", "cosine")
ISO = re.compile(r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}")


def input_parts(parts: Iterable[str]) -> tuple[tuple[str, str | None], ...]:
    """(part, None) for the number, (part, "sine") and (part, "cosine") for its angle: the inputs, in order."""
    return tuple((part, wave) for part in parts for wave in ((None, *WAVES) if part in CYCLES else (None,)))


def varying_parts(times: np.ndarray) -> tuple[str, ...]:
    """The parts that have more than one value; times (N,) datetime64, NaT where there is none."""
    known = times[~np.isnat(times)]
    return tuple(part for part in PARTS if len(known) and np.ptp(_part(known, part)) > 0)


def calendar(times: np.ndarray, parts: Sequence[str]) -> np.ndarray:
    """(N, inputs) float64, as `input_parts` has them. Without a time: NaN for numbers, 0 for sine and cosine."""
    missing = np.isnat(times)
    known = np.where(missing, np.datetime64(0, "us"), times)
    columns = []
    for part, wave in input_parts(parts):
        values = _part(known, part)
        if wave is None:
            columns.append(np.where(missing, np.nan, values))
        else:
            angle = angle_of(values, part)
            columns.append(np.where(missing, 0.0, np.sin(angle) if wave == "sine" else np.cos(angle)))
    return np.stack(columns, axis=1)


def angle_of(values: np.ndarray, part: str) -> np.ndarray:
    first, period = CYCLES[part]
    angle: np.ndarray = 2.0 * np.pi * (values - first) / period
    return angle


def _part(times: np.ndarray, part: str) -> np.ndarray:
    """(N,) float64, of datetime64 without NaT. By NumPy: polars would need its threads (tables.forks)."""
    days, years, months = (times.astype(f"datetime64[{unit}]") for unit in "DYM")
    if part == "year":
        found = years.astype(np.int64) + 1970
    elif part == "month":
        found = (months - years.astype("datetime64[M]")).astype(np.int64) + 1
    elif part == "day of year":
        found = (days - years.astype("datetime64[D]")).astype(np.int64) + 1
    elif part == "day of week":
        found = (days.astype(np.int64) + 3) % 7 + 1  # 1970-01-01 was a Thursday
    else:
        return (times - days).astype("timedelta64[us]").astype(np.float64) / 3.6e9
    return found.astype(np.float64)


def time_values(table: Table, name: str) -> np.ndarray:
    """A column of dates as datetime64[us] (N,), NaT where there is none.

    Texts are taken as dates where they are that in ISO 8601. DataError where the column holds anything else.
    """
    import polars as pl

    from gpubp.tables.limits import TIME

    series = table.frame[name]
    if series.dtype == TIME:
        missing = series.is_null()
        times = series.cast(pl.Int64).set(missing, 0).to_numpy().astype("datetime64[us]")
        times[missing.to_numpy()] = np.datetime64("NaT", "us")
        return times
    if series.null_count() == len(series):
        return np.full(len(series), np.datetime64("NaT", "us"), dtype="datetime64[us]")
    if series.dtype == pl.String:
        return _from_texts(table, name)
    row = int(series.is_not_null().arg_max() or 0)
    raise DataError(
        f"{table.at(row, name)}: found the number {series[row]}, expected a date. Correct the column, or leave its "
        "fields empty where the date is unknown."
    )


def are_iso_dates(series: pl.Series) -> bool:
    """Whether a column of texts has nothing but dates in ISO 8601, as data frames often have them."""
    if str(series.dtype) != "String":
        return False
    texts = series.drop_nulls().unique().to_list()
    return bool(texts) and all(ISO.match(text) and _time_of(text) is not None for text in texts)


def _time_of(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.strip().removesuffix("Z"))
    except ValueError:
        return None
    return time.astimezone(timezone.utc).replace(tzinfo=None) if time.tzinfo else time


def _from_texts(table: Table, name: str) -> np.ndarray:
    texts = table.frame[name].to_list()
    times = {text: None if text is None else _time_of(text) for text in {*texts}}
    for row, text in enumerate(texts):
        if text is not None and times[text] is None:
            raise DataError(
                f"{table.at(row, name)}: found the text {quoted(text)}, expected a date. Write it as 2026-03-01, or "
                "leave the field empty if it is unknown."
            )
    return np.array([times[text] for text in texts], dtype="datetime64[us]")
