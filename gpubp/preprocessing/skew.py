"""Whether the logarithms of a target are easier to learn than the target itself."""

from __future__ import annotations

import numpy as np

SKEWED = 0.4
"""Kelly's skewness of a log-normal whose third-moment skewness is 2.5; an exponential has 0.46, and 2."""
LESS = 0.7
"""The logarithms' skewness has to be below this share of the values' own, in size: 0.65 for a heavy Pareto tail."""
FEWEST = 20
"""Rows: deciles of fewer tell nothing."""


def log_offer(values: np.ndarray, name: str) -> str | None:
    """A sentence that offers the target scale log, for values (N,) above 0 with a long upper tail that their logarithms
    have less of; else None.

    By deciles, not by the third moment, which a single outlier makes as large as it likes.
    """
    if len(values) < FEWEST or values.min() <= 0:
        return None
    skewness = kelly_skewness(values)
    if skewness < SKEWED or abs(kelly_skewness(np.log(values))) > LESS * skewness:
        return None
    low, median, high = np.quantile(values, (0.1, 0.5, 0.9)).tolist()
    return (
        f"The target {name!r} is above 0 and heavily skewed (a tenth of its values lie below {low:.4g}, half below "
        f"{median:.4g}, a tenth above {high:.4g}): --target-scale log, which learns its logarithm, may do better."
    )


def kelly_skewness(values: np.ndarray) -> float:
    """((q90 − q50) − (q50 − q10)) / (q90 − q10), from −1 to 1; 0 where the deciles are equal."""
    low, median, high = np.quantile(values, (0.1, 0.5, 0.9)).tolist()
    return ((high - median) - (median - low)) / (high - low) if high > low else 0.0
