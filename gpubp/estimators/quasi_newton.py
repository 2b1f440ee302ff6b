"""lbfgs: a fit by L-BFGS over the whole table, which suits small ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gpubp.errors import DivergenceError, SettingsError
from gpubp.estimators.networks import NonFiniteWeightsError
from gpubp.estimators.parameters import dropout
from gpubp.estimators.problem import Learner, Problem, Trained
from gpubp.training import EpochReport
from gpubp.training.lbfgs import LbfgsResult, fit_lbfgs


def fit_whole(mlp: Any, problem: Problem, learners: Sequence[Learner]) -> list[Trained]:
    """Up to max_iter iterations of each network, one network after the other; Ctrl-C leaves out those that are left.

    mlp: the estimator that is fitted. NonFiniteWeightsError where a single network diverged.
    """
    _refuse_what_needs_batches(mlp)
    trained: list[Trained] = []
    results: list[LbfgsResult] = []
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
        trained.append(Trained(result.params, good=bool(np.isfinite(result.params).all())))
        if result.interrupted:
            break
    _warn(mlp, results)
    return trained + [Trained(learner.params, good=False) for learner in learners[len(trained) :]]


def _fit(mlp: Any, problem: Problem, learner: Learner) -> LbfgsResult:
    callbacks = [*mlp.callbacks, *([_print_iteration] if mlp.verbose else [])]

    def tell(report: EpochReport) -> bool:
        wishes = [callback(report) for callback in callbacks]  # every callback hears of every iteration
        return any(wishes)

    return fit_lbfgs(
        problem.architecture,
        learner.params,
        problem.X,
        problem.targets.T,
        problem.targets.loss,
        float(mlp.alpha),
        _weights(problem, learner.rows),
        max_iter=int(mlp.max_iter),
        max_fun=int(mlp.max_fun),
        tol=float(mlp.tol),
        backend=problem.backend,
        callback=tell if callbacks else None,
    )


def _weights(problem: Problem, rows: np.ndarray | None) -> np.ndarray | None:
    """(N,): a row that was drawn twice weighs twice."""
    if rows is None:
        return problem.weights
    times = np.bincount(rows, minlength=problem.n_rows).astype(np.float64)
    return times if problem.weights is None else times * problem.weights


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


def _warn(mlp: Any, results: Sequence[LbfgsResult]) -> None:
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
