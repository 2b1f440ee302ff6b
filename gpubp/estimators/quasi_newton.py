"""lbfgs: a fit by L-BFGS over the whole table, which suits small ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gpubp.errors import DivergenceError, SettingsError
from gpubp.estimators.networks import NonFiniteWeightsError
from gpubp.estimators.parameters import dropout
from gpubp.estimators.problem import NetworkFit, Problem, Trained
from gpubp.estimators.resolution import (
    NO_PROGRESS,
    mean_loss,
    tells_apart,
    warn_of_no_progress,
    warn_of_rounding,
    with_mean_error_0,
)
from gpubp.training.history import EpochReport
from gpubp.training.lbfgs import LbfgsResult, fit_lbfgs


def fit_whole(mlp: Any, problem: Problem, learners: Sequence[NetworkFit]) -> list[Trained]:
    """Up to max_iter iterations of each network, one network after the other; Ctrl-C leaves out those that are left.

    mlp: the estimator that is fitted. NonFiniteWeightsError where a single network diverged.
    """
    _refuse_what_needs_batches(mlp)
    trained: list[Trained] = []
    results: list[LbfgsResult] = []
    blurred = 0
    for learner in learners:
        if mlp.verbose and len(learners) > 1:
            print(f"Member {learner.place + 1} of {mlp.n_members}")
        try:
            result = _fit(mlp, problem, learner)
        except DivergenceError as error:
            if len(learners) == 1:
                raise NonFiniteWeightsError(f"Solver produced non-finite parameter weights. {error}") from error
            trained.append(Trained(learner.params, good=False))
            continue
        learner.mlp.n_iter_ = result.n_iter
        learner.mlp.loss_ = result.loss / problem.targets.loss_outputs
        results.append(result)
        rounded = _rounded(result.params, problem.kept)
        blurred += not tells_apart(problem, result.params, rounded)
        finite = rounded if mlp.dtype else result.params
        trained.append(Trained(result.params, good=bool(np.isfinite(finite).all())))
        if result.interrupted:
            break
    _warn(mlp, problem, results)
    if blurred and mlp.dtype:
        warn_of_rounding(blurred, len(learners), problem.kept)
    if not blurred or mlp.dtype:  # else they stay in float64, all of them, as scikit-learn's do
        trained = [replace(one, params=_rounded(one.params, problem.kept)) for one in trained]
    return trained + [Trained(learner.params, good=False) for learner in learners[len(trained) :]]


def _fit(mlp: Any, problem: Problem, learner: NetworkFit) -> LbfgsResult:
    callbacks = [*mlp.callbacks, *([_print_iteration] if mlp.verbose else [])]

    def tell(report: EpochReport) -> bool:
        wishes = [callback(report) for callback in callbacks]  # every callback hears of every iteration
        return any(wishes)

    weights = _weights(problem, learner.rows)

    def fit(params: np.ndarray, max_iter: int, max_fun: int) -> LbfgsResult:
        return fit_lbfgs(
            problem.architecture,
            params,
            problem.X,
            problem.targets.T,
            problem.targets.loss,
            float(mlp.alpha),
            weights,
            max_iter=max_iter,
            max_fun=max_fun,
            tol=float(mlp.tol),
            backend=problem.backend,
            callback=tell if callbacks else None,
            loss_options=problem.targets.loss_options,
        )

    result = fit(learner.params, int(mlp.max_iter), int(mlp.max_fun))
    iterations, evaluations = int(mlp.max_iter) - result.n_iter, int(mlp.max_fun) - result.n_evaluations
    stuck = result.converged and result.loss > NO_PROGRESS * mean_loss(problem, weights) > 0
    if not stuck or result.interrupted or min(iterations, evaluations) < 1:
        return result
    # Of a loss of 10¹⁸, what the first short steps change is less than the share of it at which SciPy ends.
    further = fit(with_mean_error_0(problem, result.params, weights), iterations, evaluations)
    return replace(
        further,
        n_iter=result.n_iter + further.n_iter,
        n_evaluations=result.n_evaluations + further.n_evaluations,
    )


def _weights(problem: Problem, rows: np.ndarray | None) -> np.ndarray | None:
    """(N,): a row that was drawn twice weighs twice."""
    if rows is None:
        return problem.weights
    times = np.bincount(rows, minlength=problem.n_rows).astype(np.float64)
    return times if problem.weights is None else times * problem.weights


def _rounded(params: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    with np.errstate(over="ignore"):  # what is not finite is reported
        return params.astype(dtype)


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


def _warn(mlp: Any, problem: Problem, results: Sequence[LbfgsResult]) -> None:
    restless = [result for result in results if not result.converged]
    if any(result.interrupted for result in results):
        warnings.warn("Training interrupted by user.", UserWarning, stacklevel=3)
    elif restless:
        last = restless[-1]
        limit = "max_iter" if last.n_iter >= mlp.max_iter else "max_fun"
        who = "" if mlp.n_members == 1 else f"; so did {len(restless)} of {mlp.n_members} members"
        warnings.warn(
            f"lbfgs failed to converge after {last.n_iter} iteration(s): {last.message}{who}. Raise {limit}, or scale "
            "the data, for example with StandardScaler.",
            ConvergenceWarning,
            stacklevel=3,
        )
    else:
        of_mean = mean_loss(problem, problem.weights)
        worse = [result.loss for result in results if result.loss > NO_PROGRESS * of_mean > 0]
        if worse:
            warn_of_no_progress(len(worse), mlp.n_members, worse[-1], of_mean)
