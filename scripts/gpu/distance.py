"""How far two trainings' results are apart."""

from __future__ import annotations

import numpy as np

from gpu.work import Row

States = dict[str, np.ndarray]
METRICS = ("training_loss", "validation_loss", "validation_score")  # NaN after a network has stopped


def apart(found: States, expected: States, close: float) -> Row:
    """How many numbers of how many differ, and by how much at most: absolute, and relative to the array's largest.

    Raises ValueError where the expected parameters are not all finite: equal bits would say nothing.
    """
    differing, numbers, most, relative = 0, 0, 0.0, 0.0
    for name, ours in expected.items():
        theirs = found[name]
        if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
            raise ValueError(f"{name}: {theirs.dtype} {theirs.shape}, expected {ours.dtype} {ours.shape}")
        numbers += ours.size
        unequal = _bits(theirs) != _bits(ours)
        if name not in METRICS and not np.isfinite(ours).all():
            raise ValueError(f"{name}: of the expected numbers not all are finite")
        if unequal.any():
            differing += int(unequal.sum())
            distance = float(np.abs(theirs.astype(np.float64) - ours.astype(np.float64))[unequal].max())
            distance = np.inf if np.isnan(distance) else distance  # NaN on one side alone
            most = max(most, distance)
            relative = max(relative, distance / (float(np.nanmax(np.abs(ours))) or 1.0))
    row = {"numbers": numbers, "differing": differing, "most": most, "relative": relative}
    return row | {"passed": relative <= close if close else differing == 0}


def _bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")
