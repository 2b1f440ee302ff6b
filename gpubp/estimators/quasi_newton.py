"""lbfgs: a fit by L-BFGS over the whole table, which suits small ones."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gpubp.errors import DivergenceError, SettingsError
from gpubp.estimators.networks import NonFiniteWeightsError
from gpubp.estimators.parameters import dropout
from gpubp.estimators.problem import Problem
from gpubp.training import EpochReport
from gpubp.training.lbfgs import LbfgsResult, fit_lbfgs


def fit_whole(mlp: Any, problem: Problem, params: np.ndarray) -> np.ndarray:
    """Up to max_iter iterations from params (K,) on; the trained ones (K,)."""
    _refuse_what_needs_batches(mlp)
    callbacks = [*mlp.callbacks, *([_print_iteration] if mlp.verbose else [])]

    def tell(report: EpochReport) -> bool:
        wishes = [callback(report) for callback in callbacks]  # every callback hears of every iteration
        return any(wishes)

    try:
        result = fit_lbfgs(
            problem.architecture,
            params,
            problem.X,
            problem.targets.T,
            problem.targets.loss,
            float(mlp.alpha),
            problem.weights,
            max_iter=int(mlp.max_iter),
            max_fun=int(mlp.max_fun),
            tol=float(mlp.tol),
            backend=problem.backend,
            callback=tell if callbacks else None,
        )
    except DivergenceError as error:
        raise NonFiniteWeightsError(f"Solver produced non-finite parameter weights. {error}") from error
    mlp.n_iter_ = result.n_iter
    mlp.loss_ = result.loss / problem.targets.loss_outputs
    _warn(mlp, result)
    return result.params


def _refuse_what_needs_batches(mlp: Any) -> None:
    """Parameters beyond scikit-learn's that would be ignored; scikit-learn's own are, as they are there."""
    for name, wanted in (("dropout", dropout(mlp) != 0.0), ("clip_norm", mlp.clip_norm is not None)):
        if wanted:
            raise SettingsError(
                f"{name} is for the stochastic solvers; solver='lbfgs' has none. Leave it at its default, or choose "
                "adam, adamw or sgd."
            )


def _print_iteration(report: EpochReport) -> None:
    print(f"Iteration {report.epoch + 1}, loss = {float(report.metrics()['training_loss'][0]):.8f}")


def _warn(mlp: Any, result: LbfgsResult) -> None:
    if result.interrupted:
        warnings.warn("Training interrupted by user.", UserWarning, stacklevel=3)
    elif not result.converged:
        limit = "max_iter" if result.n_iter >= mlp.max_iter else "max_fun"
        warnings.warn(
            f"lbfgs failed to converge after {result.n_iter} iteration(s): {result.message}. Raise {limit}, or scale "
            "the data, for example with StandardScaler.",
            ConvergenceWarning,
            stacklevel=3,
        )
