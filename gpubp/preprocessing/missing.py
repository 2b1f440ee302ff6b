"""Labels and numbers to be predicted that are not there, by whatever sign."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpubp.errors import DataError


def refuse_missing(y: np.ndarray) -> None:
    """DataError where one of y is missing (None, NaN, NaT, pandas' NA), or infinite, with its place."""
    if y.dtype.kind == "f":
        bad = ~np.isfinite(y)
    elif y.dtype.kind == "O":
        bad = np.array([is_missing(value) for value in y.ravel()], dtype=bool).reshape(y.shape)
    elif y.dtype.kind in "mM":
        bad = np.isnat(y)
    else:
        return
    if not bad.any():
        return
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    where, value = ", ".join(map(str, place)), y[place]
    if y.dtype.kind == "f" and np.isinf(value):
        raise DataError(f"Input y contains infinity: y[{where}] is {value}, which is not a finite number.")
    raise DataError(f"Input y contains NaN: y[{where}] is missing ({value}). Every row needs a label or number.")


def is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ == "NAType":  # pandas' NA, which is not to be compared
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # an array in an array, say: whatever it is, it is there
        return False
