"""sgd, adam and adamw: a fit by gpubp's `train`, and what scikit-learn's users expect to find afterwards."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from gpubp.estimators.parameters import (
    FULL_LENGTH_SCHEDULES,
    is_adaptive,
    patience,
    plateau_tolerance,
    training_settings,
)
from gpubp.estimators.plateau import ADAPTIVE_FACTOR, Plateau
from gpubp.estimators.problem import Problem
from gpubp.estimators.verbose import Narrator
from gpubp.population import Population
from gpubp.training import Callback, History, Settings, TrainingState, train


def reset_record(mlp: Any) -> None:
    """The attributes that a fit from scratch begins with, and that warm-started ones and partial_fit add to."""
    mlp.loss_curve_ = []
    mlp.best_loss_ = None if mlp.early_stopping else math.inf
    mlp.validation_scores_ = [] if mlp.early_stopping else None
    mlp.best_validation_score_ = -math.inf if mlp.early_stopping else None


def fit_epochs(mlp: Any, problem: Problem, params: np.ndarray) -> np.ndarray:
    """Up to max_iter epochs from params (K,) on; the trained ones (K,), with the record kept on the estimator."""
    training, validation = early_stopping_rows(mlp, problem) if mlp.early_stopping else (None, None)
    n_rows = len(problem.targets.T) if training is None else len(training)
    settings = training_settings(mlp, problem.targets.loss, n_rows, problem.targets.loss_outputs)
    plateau = None if settings.early_stopping is None else plateau_rule(mlp, problem)
    mlp._state = TrainingState()
    before = _best_score(mlp)
    fitted, history = _train(mlp, problem, params, settings, plateau, training, validation)
    losses, scores = keep_record(mlp, problem, history, n_rows)
    if mlp.early_stopping and not mlp.best_validation_score_ > before:
        fitted = params  # no epoch was better than what a warm start came with, or every score was NaN
    if history.diverged[0] and np.isfinite(fitted).all():
        warn_of_divergence(history)
    elif not history.interrupted and len(losses) == settings.epochs:
        goodness = [-loss for loss in losses] if scores is None else scores
        warn_unless_at_rest(goodness, None if plateau is None else plateau_rule(mlp, problem))
    return fitted


def fit_one_epoch(mlp: Any, problem: Problem, params: np.ndarray) -> np.ndarray:
    """partial_fit: one epoch from params (K,) on, with the optimizer's state as the last call left it."""
    rate = float(mlp.learning_rate_init)
    if mlp.solver == "sgd" and mlp.learning_rate == "invscaling" and mlp.t_:
        rate /= (mlp.t_ + 1) ** float(mlp.power_t)
    n_rows, loss_outputs = len(problem.targets.T), problem.targets.loss_outputs
    settings = training_settings(mlp, problem.targets.loss, n_rows, loss_outputs, one_epoch_at=rate)
    mlp._state = _continued(getattr(mlp, "_state", None), settings, params)
    fitted, history = _train(mlp, problem, params, settings, None, None, None)
    losses, _ = keep_record(mlp, problem, history, n_rows)
    if is_adaptive(mlp):
        _lower_rate_on_plateau(mlp, problem, losses[0])
    return fitted


def refuse_partial_fit(mlp: Any) -> None:
    """ValueError for parameters that make sense for whole trainings alone."""
    if mlp.early_stopping:
        raise ValueError("partial_fit does not support early_stopping=True: set it to False, or use fit.")
    if mlp.learning_rate in FULL_LENGTH_SCHEDULES:
        raise ValueError(
            f"partial_fit does not support learning_rate={mlp.learning_rate!r}, which needs to know how long the "
            "training will be: use fit, or another learning_rate."
        )


def _train(
    mlp: Any,
    problem: Problem,
    params: np.ndarray,
    settings: Settings,
    plateau: Plateau | None,
    training: np.ndarray | None,
    validation: np.ndarray | None,
) -> tuple[np.ndarray, History]:
    """The trained parameters (K,) on the host, and the history."""
    seeds = np.array([problem.seed], dtype=np.uint64)
    population = Population.from_host(problem.architecture, params[None, :], seeds, problem.backend)
    callbacks: list[Callback] = [*mlp.callbacks]
    if mlp.verbose:
        callbacks.append(Narrator(mlp, problem.targets.loss_outputs, plateau))
    history = train(
        population,
        problem.X,
        problem.targets.T,
        settings,
        rows=training,
        validation_rows=validation,
        row_weights=problem.weights,
        engine=mlp.engine,
        callbacks=callbacks,
        progress=bool(mlp.progress),
        state=mlp._state,
    )
    if history.interrupted:
        warnings.warn("Training interrupted by user.", UserWarning, stacklevel=2)
    return problem.backend.to_host(population.params)[0], history


def early_stopping_rows(mlp: Any, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """The rows to train on and those to validate on, by class where that can be."""
    targets, n_rows = problem.targets, len(problem.targets.T)
    by_class = targets.classes
    if by_class is not None and not targets.every_class:
        counts = np.unique(by_class, return_counts=True)[1]
        n_held = math.ceil(n_rows * mlp.validation_fraction)
        if counts.min() < 2 or min(n_held, n_rows - n_held) < len(counts):
            by_class = None
    training, validation = train_test_split(
        np.arange(n_rows), random_state=problem.random_state, test_size=mlp.validation_fraction, stratify=by_class
    )
    if len(validation) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset: "
            f"{mlp.validation_fraction:g} of {n_rows} rows leaves {len(validation)}, and 2 are needed."
        )
    return training, validation


def plateau_rule(mlp: Any, problem: Problem) -> Plateau:
    rate = float(mlp.learning_rate_init) if is_adaptive(mlp) else None
    return Plateau(plateau_tolerance(mlp, problem.targets.loss_outputs), patience(mlp), rate)


def keep_record(mlp: Any, problem: Problem, history: History, n_rows: int) -> tuple[list[float], list[float] | None]:
    """Bring the estimator's record up to date; this call's losses on gpubp's scale, and its scores."""
    losses = history.training_loss[:, 0].tolist()
    mlp.n_iter_ = len(losses)
    mlp.t_ += n_rows * len(losses)
    curve = [loss / problem.targets.loss_outputs for loss in losses]
    mlp.loss_curve_ = [*getattr(mlp, "loss_curve_", []), *curve]
    if curve:
        mlp.loss_ = curve[-1]
    mlp.history_ = history
    if not mlp.early_stopping:
        before = getattr(mlp, "best_loss_", None)
        mlp.best_loss_ = min((loss for loss in curve if loss == loss), default=math.inf)
        mlp.best_loss_ = mlp.best_loss_ if before is None else min(before, mlp.best_loss_)
        return losses, None
    assert history.validation_score is not None
    scores = [s if math.isfinite(s) else math.nan for s in history.validation_score[:, 0].tolist()]
    mlp.validation_scores_ = [*(getattr(mlp, "validation_scores_", None) or []), *scores]
    best = max((score for score in scores if score == score), default=-math.inf)
    mlp.best_validation_score_ = max(_best_score(mlp), best)
    return losses, scores


def _best_score(mlp: Any) -> float:
    """The best validation score so far; −inf before the first."""
    best = getattr(mlp, "best_validation_score_", None)
    return -math.inf if best is None else best


def warn_of_divergence(history: History) -> None:
    warnings.warn(
        f"The loss was no finite number any more in epoch {int(history.diverged_epoch[0]) + 1}, and training ended "
        "there; the weights kept are finite. Scale the data, or lower learning_rate_init.",
        ConvergenceWarning,
        stacklevel=2,
    )


def warn_unless_at_rest(goodness: list[float], plateau: Plateau | None) -> None:
    """ConvergenceWarning where max_iter ended the training, and not the rule in the same epoch."""
    verdicts = [plateau.look(value) for value in goodness] if plateau else [None]
    if verdicts[-1] != "end":
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({len(goodness)}) reached and the optimization hasn't "
            "converged yet. Raise max_iter or learning_rate_init, or tol if the loss is good enough.",
            ConvergenceWarning,
            stacklevel=2,
        )


def _continued(state: TrainingState | None, settings: Settings, params: np.ndarray) -> TrainingState:
    """The state to go on from; a fresh one where it is another optimizer's, or another network's."""
    if state is None or sorted(state.slots) != sorted(settings.optimizer_rule.arrays):
        return TrainingState()
    fits = all(slot.shape == (1, len(params)) for slot in state.slots.values())
    return state if fits else TrainingState()


def _lower_rate_on_plateau(mlp: Any, problem: Problem, loss: float) -> None:
    """ "adaptive" over calls of partial_fit: each counts as an epoch."""
    rule: Plateau | None = getattr(mlp, "_plateau", None)
    if rule is None:
        rule = mlp._plateau = plateau_rule(mlp, problem)
    if rule.look(-loss) == "lower the rate":
        mlp._state.rate_factor = mlp._state.rate_factor * ADAPTIVE_FACTOR
