"""What a table's values may be: how large numbers, from when to when dates, and their type."""

from __future__ import annotations

from datetime import datetime

import polars as pl

LARGEST = 1e30
"""Numbers beyond ±1e30 are refused: sums of a few of them would leave the float32 range of training."""
TIME = pl.Datetime("us")
"""The type of columns of dates and times: microseconds, without a time zone (UTC where the source named one)."""
CALENDAR = (datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))
"""What Python's own dates reach from and to."""
