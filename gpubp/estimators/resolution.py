"""Targets far from 0: whether a network's numbers can tell them apart, and whether a training that came to rest got
anywhere with them.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gpubp.estimators.problem import Problem
from gpubp.networks.plan import target_spread
from gpubp.networks.population import Population
from gpubp.networks.sampling import RowSets

LOSS_BY_ROUNDING = 1e-4  # of an R², that parameters may lose when they are rounded to their dtype
NO_PROGRESS = 2.0  # times the loss of the mean: what no training ends with that has come anywhere
REMEDY = "Scale y, for example with TransformedTargetRegressor(…, transformer=StandardScaler())."


def tells_apart(problem: Problem, params: np.ndarray, rounded: np.ndarray) -> bool:
    """Whether a network with the parameters rounded (K,) answers like one with params (K,), for the targets' spread: in
    float32, 1.7e9 and 1.7e9 + 60 are the same number.
    """
    if params.dtype == rounded.dtype or problem.targets.out_activation not in ("identity", "exp"):
        return True
    exact, found = (_outputs(problem, each) for each in (params, rounded))
    weights = np.ones(problem.n_rows) if problem.weights is None else problem.weights
    with np.errstate(over="ignore", invalid="ignore"):
        error = (weights[:, None] * (exact - found) ** 2).sum(axis=0)
    spread = _spread(problem, problem.weights)
    return bool(((spread == 0) | (error <= LOSS_BY_ROUNDING * spread)).all())


def mean_loss(problem: Problem, weights: np.ndarray | None) -> float:
    """The loss on gpubp's scale of answering with the mean of the targets, for squared errors; infinite for others."""
    if problem.targets.loss != "squared_error":
        return np.inf
    total = float(problem.n_rows) if weights is None else float(weights.sum())
    return 0.5 * float(_spread(problem, weights).sum()) / total


def with_mean_error_0(problem: Problem, params: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """params (K,) with the last biases moved to where the mean of the errors is 0: a copy."""
    moved = params.copy()
    last = problem.architecture.n_layers - 1
    errors = problem.targets.T - _outputs(problem, params)
    problem.architecture.biases(moved[None], last)[0] += np.average(errors, axis=0, weights=weights)
    return moved


def warn_of_rounding(count: int, n_networks: int, dtype: np.dtype[Any]) -> None:
    """count: networks that cannot tell the targets apart."""
    warnings.warn(
        f"y lies so far from 0 for its spread that {_who(count, n_networks)} cannot tell its values apart in "
        f"{dtype.name}. {REMEDY} Or leave dtype at None.",
        ConvergenceWarning,
        stacklevel=4,
    )


def warn_of_no_progress(count: int, n_networks: int, loss: float, of_mean: float) -> None:
    """count: networks that came to rest at a loss above that of the mean; loss: of the last of them."""
    warnings.warn(
        f"The training of {_who(count, n_networks)} stood still at a loss of {loss:.6g}, and the mean of y alone has "
        f"{of_mean:.6g}: y is too far from 0 for its spread, or too small. {REMEDY}",
        ConvergenceWarning,
        stacklevel=4,
    )


def _who(count: int, n_networks: int) -> str:
    return "the network" if n_networks == 1 else f"{count} of {n_networks} members"


def _spread(problem: Problem, weights: np.ndarray | None) -> np.ndarray:
    """(O,): Σ (t − t̄)² over all rows, weighted."""
    found: np.ndarray = target_spread(problem.targets.T, weights, RowSets.of(None, 1, problem.n_rows))[0]
    return found


def _outputs(problem: Problem, params: np.ndarray) -> np.ndarray:
    """(N, O) float64, computed in the dtype of the parameters (K,)."""
    backend = problem.backend
    population = Population.from_host(problem.architecture, params[None], np.zeros(1), backend)
    found: np.ndarray = backend.to_host(population.predict(problem.X))[0].astype(np.float64)
    return found
