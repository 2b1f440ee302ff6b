"""What a column holds, in a few numbers: missing values, how many different ones, its range or its commonest values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

COMMONEST = 3


@dataclass(frozen=True)
class Summary:
    """missing: rows without a value. distinct: different values. lowest, median, highest: of numbers and times (as ISO
    texts), None for texts. commonest: (value, how often), the most frequent first, of texts.
    """

    missing: int
    distinct: int
    lowest: Any = None
    median: Any = None
    highest: Any = None
    commonest: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, column: pl.Series) -> Summary:
        known = column.drop_nulls()
        missing, distinct = column.null_count(), known.n_unique()
        if not len(known):
            return cls(missing, 0)
        if column.dtype == pl.String:
            counts = known.value_counts().sort(["count", known.name], descending=[True, False]).head(COMMONEST)
            pairs = zip(counts[known.name].to_list(), counts["count"].to_list(), strict=True)
            return cls(missing, distinct, commonest=tuple(pairs))
        return cls(missing, distinct, *(_plain(value) for value in (known.min(), known.median(), known.max())))


def _plain(value: Any) -> Any:
    return value.isoformat(sep=" ").removesuffix(" 00:00:00") if hasattr(value, "isoformat") else value
