"""Offset and scale of one column, and which rows they are fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpubp.errors import DataError

if TYPE_CHECKING:
    from gpubp.tables import Table

SCALES = ("robust", "quantile", "standard", "minmax", "none")
LINEAR = ("standard", "minmax", "none")
"""Those that a dense layer can take over."""
LARGEST = 1e30
CLIP = 3.0
"""Where the scale "robust" bends numbers to: see `smoothly_clipped`."""
SMALLEST_SPAN = 1e-30
"""Columns that vary by less count as constant: dividing by so little would leave the float32 range."""


def offset_and_scale(values: np.ndarray, scale: str) -> tuple[float, float, bool]:
    """(offset, scale, is constant) of finite values (N,) for x = (value - offset) / scale.

    "robust": median and interquartile range; half of the whole range where the quartiles are equal (Holzmüller et al.
    2024, arXiv 2407.04491). "standard": mean and standard deviation (divisor N, as in scikit-learn). "minmax": minimum
    and range. A column that varies by no more than rounding is constant: offset its value, scale 1.
    """
    low, high = float(values.min()), float(values.max())
    span = high - low
    if span <= negligible_span(max(abs(low), abs(high))):
        return (0.0 if scale == "none" else low), 1.0, True
    if scale == "none":
        return 0.0, 1.0, False
    if scale == "minmax":
        return low, span, False
    if scale == "robust":
        first, median, third = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
        spread = third - first
        return median, 0.5 * span if spread <= negligible_span(max(abs(first), abs(third))) else spread, False
    return float(values.mean()), float(values.std()), False


def negligible_span(size: float) -> float:
    """How far apart two values near ±`size` may be and still count as one: 4 units in the last place."""
    return max(SMALLEST_SPAN, 4 * float(np.spacing(abs(size))))


def smoothly_clipped(scaled: np.ndarray) -> np.ndarray:
    """x / sqrt(1 + (x / 3)²): within ±3, nearly x near 0, and in the same order as x. Infinities count as ±1e30."""
    bounded = np.clip(scaled, -LARGEST, LARGEST)
    found: np.ndarray = bounded / np.hypot(1.0, bounded / CLIP)
    return found


def scaled_values(values: np.ndarray, offset: float, scale: float, table: Table, name: str) -> np.ndarray:
    """(values - offset) / scale; DataError, naming the line, where that is beyond ±1e30."""
    with np.errstate(over="ignore"):
        scaled = (values - offset) / scale
    far = np.abs(scaled) > LARGEST
    if far.any():
        row = int(far.argmax())
        raise DataError(
            f"{table.at(row, name)}: {values[row]:g} lies too far outside the values of the training rows "
            f"(scaled: {scaled[row]:g}). Correct the value, or leave the field empty if it is unknown."
        )
    return scaled


def selected(rows: np.ndarray | None, table: Table) -> np.ndarray:
    """`rows` as indices; None means all. DataError where there are none, or none such in the table."""
    if rows is None:
        return np.arange(table.rows)
    chosen = np.asarray(rows)
    if chosen.dtype == bool and chosen.shape == (table.rows,):
        chosen = np.flatnonzero(chosen)
    if chosen.ndim != 1 or not np.issubdtype(chosen.dtype, np.integer) or not len(chosen):
        raise DataError(f"{table.source}: found no rows to fit on; give row indices or a mask of all rows.")
    if chosen.min() < 0 or chosen.max() >= table.rows:
        raise DataError(f"{table.source}: found row {chosen.max()} to fit on; the table has {table.rows} rows.")
    return chosen
