"""sgd, adam and adamw: a fit is a cohort of jobs, as everywhere, and what scikit-learn's users expect afterwards."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from gpubp.backends.turns import in_turn
from gpubp.estimators.parameters import (
    FULL_LENGTH_SCHEDULES,
    is_adaptive,
    patience,
    plateau_tolerance,
    training_settings,
)
from gpubp.estimators.plateau import ADAPTIVE_FACTOR, Plateau
from gpubp.estimators.problem import NetworkFit, Problem, Targets, Trained
from gpubp.estimators.resolution import NO_PROGRESS, mean_loss, warn_of_no_progress
from gpubp.estimators.states import continued, joined, of_network
from gpubp.estimators.verbose import VerbosePrinter
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.histories import of_networks, side_by_side
from gpubp.fitting.job import Job, Sheet
from gpubp.networks.population import Population
from gpubp.networks.settings import Settings
from gpubp.networks.state import TrainingState
from gpubp.operations.initializers import glorot_logistic, glorot_with_biases
from gpubp.training.history import Callback, History
from gpubp.training.loop import train


def reset_record(mlp: Any) -> None:
    """The attributes that a fit from scratch begins with, and that warm-started ones and partial_fit add to."""
    mlp.loss_curve_ = []
    mlp.best_loss_ = None if mlp.early_stopping else math.inf
    mlp.validation_scores_ = [] if mlp.early_stopping else None
    mlp.best_validation_score_ = -math.inf if mlp.early_stopping else None


def fit_epochs(mlp: Any, problem: Problem, learners: Sequence[NetworkFit]) -> list[Trained]:
    """Up to max_iter epochs of each network, all in one population; the records are kept on the learners' estimators.

    mlp: the estimator that is fitted.
    """
    settings = settings_for(mlp, problem, learners[0])
    plateau = None if settings.early_stopping is None else plateau_rule(mlp, problem)
    outcomes = _train(mlp, problem, learners, settings, plateau, TrainingState())
    mlp.history_ = outcomes[0].history
    return conclude(problem, learners, outcomes, settings)


def fit_one_epoch(mlp: Any, problem: Problem, learners: Sequence[NetworkFit]) -> list[Trained]:
    """partial_fit: one epoch, with the optimizer's states as the last call left them.

    Members that early stopping ended after different numbers of epochs shuffle by different keys, and go on in a
    population each.
    """
    settings = settings_for(mlp, problem, learners[0], one_epoch_at=float(mlp.learning_rate_init))
    populations: dict[tuple[int, float], list[tuple[NetworkFit, TrainingState]]] = {}
    for learner in learners:
        rate = float(mlp.learning_rate_init)
        if mlp.solver == "sgd" and mlp.learning_rate == "invscaling" and learner.mlp.t_:
            rate /= (learner.mlp.t_ + 1) ** float(mlp.power_t)
        state = continued(getattr(learner.mlp, "_state", None), settings, learner.params)
        populations.setdefault((state.epoch, rate), []).append((learner, state))
    found: dict[int, Trained] = {}
    histories = []
    for (_, rate), group in populations.items():
        together = [learner for learner, _ in group]
        state = joined([state for _, state in group])
        own = settings if rate == settings.learning_rate else replace(settings, learning_rate=rate)
        outcomes = _train(mlp, problem, together, own, None, state, whole=False)
        histories.append(outcomes[0].history)
        for learner, outcome in zip(together, outcomes, strict=True):
            learner.mlp._state = outcome.state
            losses, _ = keep_record(learner, problem, outcome)
            if is_adaptive(mlp) and losses:
                _lower_rate_on_plateau(learner.mlp, problem, losses[0])
            found[learner.place] = Trained(outcome.params, not outcome.diverged)
    mlp.history_ = histories[0]
    if len(histories) > 1:
        mlp.history_ = of_networks(side_by_side(histories), np.argsort([*found]))
    return [found[learner.place] for learner in learners]


def settings_for(mlp: Any, problem: Problem, learner: NetworkFit, one_epoch_at: float | None = None) -> Settings:
    """All networks of an estimator train on as many rows, and so by the same settings."""
    targets = problem.targets
    return training_settings(mlp, targets, n_training(problem, learner), one_epoch_at=one_epoch_at)


def n_training(problem: Problem, learner: NetworkFit) -> int:
    return problem.n_rows if learner.rows is None else len(learner.rows)


@dataclass(frozen=True)
class Outcome:
    """The result of training one learner's network: params (K,), its own state, and the history, of which it is the
    network at `place`.
    """

    params: np.ndarray
    state: TrainingState
    history: History
    place: int

    @property
    def diverged(self) -> bool:
        return bool(self.history.diverged[self.place])


def conclude(
    problem: Problem, learners: Sequence[NetworkFit], outcomes: Sequence[Outcome], settings: Settings
) -> list[Trained]:
    """After a whole training: the records, the weights that stay, and warnings, one of a kind for all members."""
    trained, restless, stuck = [], 0, []
    for learner, outcome in zip(learners, outcomes, strict=True):
        own, params = learner.mlp, outcome.params
        own._state = outcome.state
        before = _best_score(own)
        losses, scores = keep_record(learner, problem, outcome)
        if own.early_stopping and not own.best_validation_score_ > before:
            params = learner.params  # no epoch was better than what a warm start came with, or every score was NaN
        finite = bool(np.isfinite(params).all())
        if outcome.diverged and finite and len(learners) == 1:
            _warn_of_divergence(outcome)
        elif not outcome.history.interrupted and len(losses) == settings.epochs:
            goodness = [-loss for loss in losses] if scores is None else scores
            plateau = None if settings.early_stopping is None else plateau_rule(own, problem)
            restless += not _at_rest(goodness, plateau)
        elif not outcome.history.interrupted and losses and _blind(losses[-1], params.dtype, own, problem):
            stuck.append(losses[-1])
        trained.append(Trained(params, finite and (not outcome.diverged or _kept_before(outcome, before))))
    if restless:
        _warn_of_max_iter(settings.epochs, restless, len(learners))
    if stuck and stuck[-1] > NO_PROGRESS * (of_mean := mean_loss(problem, problem.weights)) > 0:
        warn_of_no_progress(len(stuck), len(learners), stuck[-1], of_mean)
    return trained


def _blind(loss: float, dtype: np.dtype[Any], mlp: Any, problem: Problem) -> bool:
    """Whether a loss is so large that its dtype has no changes as small as `tol`: standing still means nothing then."""
    return math.isfinite(loss) and bool(
        np.finfo(dtype).eps * loss > plateau_tolerance(mlp, problem.targets.loss_outputs)
    )


def _kept_before(outcome: Outcome, score: float) -> bool:
    """Whether early stopping kept weights from before a divergence: better ones than those of the first epoch, or those
    of a warm start, with this score.
    """
    validated = outcome.history.validation_score is not None
    return validated and (score > -math.inf or int(outcome.history.best_epoch[outcome.place]) >= 1)


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
    learners: Sequence[NetworkFit],
    settings: Settings,
    plateau: Plateau | None,
    state: TrainingState,
    whole: bool = True,
) -> list[Outcome]:
    """All learners' networks as one population, from `state` on.

    A whole training is a cohort's. An epoch of partial_fit, which may come row by row, is asked of `train` itself, for
    it takes no longer than the calls in between.
    """
    seeds = np.array([learner.seed for learner in learners], dtype=np.uint64)
    if len(learners) == 1 and not mlp.early_stopping:  # which may go back to the weights that it began with
        params = learners[0].params[None, :]
    else:
        params = np.stack([learner.params for learner in learners])
    population = Population(problem.architecture, problem.backend.to_device(params), seeds, problem.backend)
    callbacks: list[Callback] = [*mlp.callbacks]
    if mlp.verbose:
        callbacks.append(VerbosePrinter(mlp, problem.targets.loss_outputs, plateau))
    ways: dict[str, Any] = {
        "engine": mlp.engine,
        "callbacks": callbacks,
        "progress": bool(mlp.progress),
        "state": state,
    }
    if not whole:
        X, T, weights = problem.X, problem.targets.T, problem.weights
        rows = [learner.rows for learner in learners if learner.rows is not None]
        history = train(population, X, T, settings, rows=rows or None, row_weights=weights, **ways)
    else:
        sheet = Sheet.plain(problem.X, problem.targets.T, problem.weights)
        jobs = jobs_of(mlp, problem, learners, settings, sheet)
        cohort = Cohort(tuple(jobs), population, np.zeros(len(jobs))).train(**ways)
        assert cohort.history is not None
        population, history = cohort.population, cohort.history
    if history.interrupted:
        warnings.warn("Training interrupted by user.", UserWarning, stacklevel=2)
    fitted = problem.backend.to_host(population.params)
    first = state.epoch - int(history.epochs.max(initial=0))  # epochs done before
    states = [of_network(state, p, first + int(history.epochs[p])) for p in range(len(learners))]
    if len(learners) == 1:
        return [Outcome(fitted[0], states[0], history, 0)]
    return [Outcome(fitted[p].copy(), own, history, p) for p, own in enumerate(states)]


def jobs_of(
    mlp: Any, problem: Problem, learners: Sequence[NetworkFit], settings: Settings, sheet: Sheet, owner: Any = None
) -> list[Job]:
    """A job for each learner's network; its owner is (owner, place of the network among the learners)."""
    initializer = glorot_logistic if mlp.activation == "logistic" else glorot_with_biases
    return [
        Job(
            problem.architecture,
            settings,
            learner.params.dtype,
            initializer,
            learner.seed,
            sheet,
            learner.rows,
            learner.validation,
            owner=(owner, place),
        )
        for place, learner in enumerate(learners)
    ]


@in_turn()
def early_stopping_rows(
    mlp: Any, targets: Targets, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """The rows to train on and those to validate on, by class where that can be."""
    n_rows = len(targets.T)
    by_class = targets.classes
    if by_class is not None and not targets.every_class:
        counts = np.unique(by_class, return_counts=True)[1]
        n_validation = math.ceil(n_rows * mlp.validation_fraction)
        if counts.min() < 2 or min(n_validation, n_rows - n_validation) < len(counts):
            by_class = None
    training, validation = train_test_split(
        np.arange(n_rows), random_state=random_state, test_size=mlp.validation_fraction, stratify=by_class
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


def keep_record(learner: NetworkFit, problem: Problem, outcome: Outcome) -> tuple[list[float], list[float] | None]:
    """Bring the record of the learner's estimator up to date; this call's losses on gpubp's scale, and its scores."""
    mlp, history, p = learner.mlp, outcome.history, outcome.place
    epochs = int(history.epochs[p])
    losses = history.training_loss[:epochs, p].tolist()
    mlp.n_iter_ = len(losses)
    mlp.t_ += n_training(problem, learner) * len(losses)
    curve = [loss / problem.targets.loss_outputs for loss in losses]
    mlp.loss_curve_ = [*getattr(mlp, "loss_curve_", []), *curve]
    if curve:
        mlp.loss_ = curve[-1]
    if not mlp.early_stopping:
        before = getattr(mlp, "best_loss_", None)
        mlp.best_loss_ = min((loss for loss in curve if loss == loss), default=math.inf)
        mlp.best_loss_ = mlp.best_loss_ if before is None else min(before, mlp.best_loss_)
        return losses, None
    assert history.validation_score is not None
    scores = [s if math.isfinite(s) else math.nan for s in history.validation_score[:epochs, p].tolist()]
    mlp.validation_scores_ = [*(getattr(mlp, "validation_scores_", None) or []), *scores]
    best = max((score for score in scores if score == score), default=-math.inf)
    mlp.best_validation_score_ = max(_best_score(mlp), best)
    return losses, scores


def _best_score(mlp: Any) -> float:
    """The best validation score so far; −inf before the first."""
    best = getattr(mlp, "best_validation_score_", None)
    return -math.inf if best is None else best


def _warn_of_divergence(outcome: Outcome) -> None:
    epoch = int(outcome.history.diverged_epoch[outcome.place])
    warnings.warn(
        f"The loss was no finite number any more in epoch {epoch + 1}, and training ended there; the weights kept are "
        "finite. Scale the data, or lower learning_rate_init.",
        ConvergenceWarning,
        stacklevel=2,
    )


def _at_rest(goodness: list[float], plateau: Plateau | None) -> bool:
    """Whether the rule ended the training in the epoch in which max_iter did."""
    verdicts = [plateau.look(value) for value in goodness] if plateau else [None]
    return verdicts[-1] == "end"


def _warn_of_max_iter(epochs: int, restless: int, n_networks: int) -> None:
    who = "" if n_networks == 1 else f" for {restless} of {n_networks} members"
    warnings.warn(
        f"Stochastic Optimizer: Maximum iterations ({epochs}) reached and the optimization hasn't converged yet{who}. "
        "Raise max_iter or learning_rate_init, or tol if the loss is good enough.",
        ConvergenceWarning,
        stacklevel=2,
    )


def _lower_rate_on_plateau(mlp: Any, problem: Problem, loss: float) -> None:
    """ "adaptive" over calls of partial_fit: each counts as an epoch."""
    rule: Plateau | None = getattr(mlp, "_plateau", None)
    if rule is None:
        rule = mlp._plateau = plateau_rule(mlp, problem)
    if rule.look(-loss) == "lower the rate":
        mlp._state.rate_factor = mlp._state.rate_factor * ADAPTIVE_FACTOR
