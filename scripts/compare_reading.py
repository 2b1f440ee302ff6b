#!/usr/bin/env python3
"""Time `read_table` beside `polars.read_csv` on the same files, after comparing the values that both read.

    python scripts/compare_reading.py              all kinds of tables, the best of three
    python scripts/compare_reading.py wide -n 5

wide: 100 rows of 3,000 numbers. long: 1,000,000 rows of 10 numbers. mixed: 200,000 rows of texts, dates, currencies,
units and clock times, which polars leaves texts. The two take turns. Files lie in a temporary folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gpubp.tables import read_table


def wide(source: np.random.Generator) -> pl.DataFrame:
    return pl.DataFrame(source.normal(size=(100, 3000)).round(6), schema=[f"c{i}" for i in range(3000)])


def long(source: np.random.Generator) -> pl.DataFrame:
    rows = 1_000_000
    numbers = {f"c{i}": source.normal(size=rows).round(6) for i in range(8)}
    return pl.DataFrame({**numbers, "c8": source.integers(0, 1000, rows), "c9": source.integers(0, 9, rows)})


def mixed(source: np.random.Generator) -> pl.DataFrame:
    rows = 200_000
    days = [date(2015, 1, 1) + timedelta(int(each)) for each in source.integers(0, 3000, rows)]
    return pl.DataFrame(
        {
            "city": source.choice(["Oslo", "Paris", "Rome", "New York"], rows),
            "note": [f"note {i} of many" for i in source.integers(0, rows, rows)],
            "day": [f"{day:%Y-%m-%d}" for day in days],
            "tag": [f"{day:%d.%m.%Y}" for day in days],
            "price": [f"${each:,.2f}" for each in source.lognormal(7, 1, rows)],
            "share": [f"{each}%" for each in source.integers(0, 100, rows)],
            "mass": [f"{each:.1f} kg" for each in source.lognormal(3, 1, rows)],
            "clock": [f"{each // 60:02d}:{each % 60:02d}" for each in source.integers(0, 1440, rows)],
            "x": source.integers(0, 100, rows),
            "y": source.normal(size=rows),
        }
    )


KINDS: dict[str, Callable[[np.random.Generator], pl.DataFrame]] = {"wide": wide, "long": long, "mixed": mixed}


def by_polars(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, infer_schema_length=None)


def check(path: Path) -> None:
    """SystemExit where a column of numbers, or of plain texts, is not what polars reads."""
    theirs, ours = by_polars(path), read_table(path).frame
    for column in theirs:
        found = ours[column.name]
        alike = column.dtype.is_numeric() or found.dtype == pl.String
        if alike and not (column.cast(found.dtype) == found).all():
            raise SystemExit(f"column {column.name} is read differently")


def seconds(read: Callable[[Path], Any], path: Path) -> float:
    began = time.perf_counter()
    read(path)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help=", ".join(KINDS))
    parser.add_argument("-n", type=int, default=3, help="times; the best counts")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for kind in given.kinds or KINDS:
            path = Path(folder) / f"{kind}.csv"
            KINDS[kind](np.random.default_rng(0)).write_csv(path)
            check(path)
            pairs = [(seconds(by_polars, path), seconds(read_table, path)) for _ in range(given.n)]
            theirs, ours = (min(each) for each in zip(*pairs, strict=True))
            print(f"{kind:<6} polars {theirs:7.3f} s   gpubp {ours:7.3f} s   {ours / theirs:5.1f} times", flush=True)


if __name__ == "__main__":
    main()
