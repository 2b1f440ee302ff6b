"""Clock times and durations as seconds: 10:30, 1:02:03.5, 3:45 PM, 2 days 00:10:00, 1h 30m, PT45M."""

from __future__ import annotations

import polars as pl

CLOCKS = {
    "h:m": "hours:minutes, in seconds",
    "m:s": "minutes:seconds, in seconds",
    "h:m:s": "hours:minutes:seconds, in seconds",
    "12h": "times with AM and PM, in seconds after midnight",
    "days": "days and hours:minutes:seconds, in seconds",
    "units": "durations such as 1h 30m, in seconds",
}
PATTERNS = {
    "h:m:s": r"^([+-])?()([0-9]+):([0-5]?[0-9]):([0-5]?[0-9](?:[.,][0-9]+)?)()$",
    "h:m": r"^([+-])?()([0-9]+):([0-5][0-9])()()$",
    "m:s": r"^([+-])?()()([0-9]+):([0-5][0-9](?:[.,][0-9]+)?)()$",
    "12h": r"^()()(1[0-2]|0?[0-9])(?::([0-5][0-9]))?(?::([0-5][0-9](?:\.[0-9]+)?))? ?([AaPp])\.?[Mm]\.?$",
    "days": r"^([+-])?([0-9]+) days?,? \+?([0-9]+):([0-5]?[0-9]):([0-5]?[0-9](?:\.[0-9]+)?)()$",
    "units": (
        r"^([+-])?P?(?:([0-9]+) ?[dD](?:ays?)?)?[ ,T]*(?:([0-9]+) ?[hH](?:ours?|rs?)?)?[ ,]*"
        r"(?:([0-9]+) ?[mM](?:inutes?|ins?)?)?[ ,]*(?:([0-9]+(?:\.[0-9]+)?) ?[sS](?:econds?|ecs?)?)?()$"
    ),
}


def written_as(texts: pl.Series) -> str | None:
    """Which of `CLOCKS` fits all of these distinct texts, none of them missing; None for none of them."""
    for clock, pattern in PATTERNS.items():
        if texts.str.contains(pattern).all() and not read(texts, clock).null_count():
            if clock == "h:m" and texts.str.extract(r"^[+-]?([0-9]+)", 1).cast(pl.Int64, strict=False).max() > 23:  # type: ignore[operator]
                return "m:s"
            return clock
    return None


def read(texts: pl.Series, clock: str) -> pl.Series:
    """Seconds, Float64; null where a text is not written so."""
    parts = texts.str.extract_groups(PATTERNS[clock]).struct.unnest()
    sign, days, hours, minutes, seconds, half = (parts[str(i)] for i in range(1, 7))
    fits = hours.is_not_null() | minutes.is_not_null() | seconds.is_not_null() | days.is_not_null()
    total = pl.Series(texts.name, [0.0], dtype=pl.Float64).new_from_index(0, len(texts))
    for part, factor in ((days, 86400.0), (hours, 3600.0), (minutes, 60.0), (seconds, 1.0)):
        number = part.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False).fill_null(0.0)
        if clock == "12h" and factor == 3600.0:
            number = number % 12 + 12.0 * half.str.to_lowercase().eq("p").fill_null(False).cast(pl.Float64)
        total = total + factor * number
    total = total.zip_with((sign != "-").fill_null(True), -total)
    return total.set(~fits, None).alias(texts.name)
