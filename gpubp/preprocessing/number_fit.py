"""What the training rows say about one input that is a number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpubp.preprocessing.quantiles import fitted_quantiles
from gpubp.preprocessing.scaling import offset_and_scale


@dataclass(frozen=True, eq=False)
class NumberFit:
    """fill: in place of missing values. offset, scale: x = (value - offset) / scale. quantiles (Q,): for the scale
    "quantile", None for others. missing: how many values are.
    """

    fill: float
    offset: float
    scale: float
    quantiles: np.ndarray | None
    is_constant: bool
    missing: int

    @classmethod
    def of(cls, values: np.ndarray, scale: str, count: int) -> NumberFit:
        """Of values (N,), NaN where one is missing; see `Preprocessing.fit`. count: Q, see `quantile_count`."""
        known = values[~np.isnan(values)]
        missing = len(values) - len(known)
        fill = float(np.median(known)) if len(known) else 0.0
        if scale == "quantile":
            quantiles, is_constant = fitted_quantiles(known, count)
            return cls(fill, 0.0, 1.0, quantiles, is_constant, missing)
        filled = np.where(np.isnan(values), fill, values)
        offset, divisor, is_constant = offset_and_scale(known if scale == "robust" and len(known) else filled, scale)
        return cls(fill, offset, divisor, None, is_constant, missing)
