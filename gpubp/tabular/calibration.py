"""The temperature of an ensemble: how sure it may be of its answers."""

from __future__ import annotations

import math

import numpy as np

from gpubp.models.ensemble import tempered

HOT = 5.0
"""Temperatures from 1 / HOT to HOT are tried."""
LEAST = 1e-7  # a probability, so that one row alone does not decide


def temperature_of(probabilities: np.ndarray, index: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The temperature that makes the log-loss least (Guo, Pleiss, Sun and Weinberger 2017): probabilities (N, C) that
    sum to 1, of rows that the networks had not seen, of which index (N,) is the class, weights (N,) or None.

    The log-loss has one minimum only in 1 / temperature, so a bounded search finds it.
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(index))

    def loss(logarithm: float) -> float:
        of_truth = tempered(probabilities, math.exp(logarithm))[rows, index]
        return float(-np.average(np.log(np.maximum(of_truth, LEAST)), weights=weights))

    end = math.log(HOT)
    found = minimize_scalar(loss, bounds=(-end, end), method="bounded", options={"xatol": 1e-3})
    return math.exp(float(found.x)) if found.fun < loss(0.0) else 1.0
