"""Fits of MLPClassifier and MLPRegressor as jobs of a population: what `fit` does before the training, and after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gpubp.errors import GpubpError
from gpubp.estimators import networks
from gpubp.estimators.base import MLP
from gpubp.estimators.parameters import STOCHASTIC_SOLVERS, training_settings
from gpubp.estimators.places import to_host
from gpubp.estimators.problem import Problem, Reception
from gpubp.estimators.stochastic import (
    early_stopping_rows,
    keep_record,
    plateau_rule,
    warn_of_divergence,
    warn_unless_at_rest,
)
from gpubp.initializers import glorot_logistic, glorot_with_biases
from gpubp.sweeping.cohort import Cohort
from gpubp.sweeping.job import Job, Sheet


def why_alone(mlp: Any) -> str | None:
    """Why this estimator has to be fitted by itself; None where it can train in a population."""
    if not isinstance(mlp, MLP) or type(mlp).fit is not MLP.fit:
        return f"{type(mlp).__name__} is no MLPClassifier or MLPRegressor of gpubp's"
    if mlp.solver not in STOCHASTIC_SOLVERS:
        return f"the solver {mlp.solver} does not train in populations"
    for name in ("callbacks", "verbose", "progress", "warm_start"):
        if getattr(mlp, name):
            return f"{name} is for one network at a time"
    return None


@dataclass(frozen=True, eq=False)
class Packed:
    """An estimator that waits for its training. start (K,): the weights to fall back on."""

    mlp: Any
    problem: Problem
    job: Job
    start: np.ndarray


@dataclass(frozen=True)
class Known:
    """What fits share: the receptions of tables, and the sheets made of them."""

    receptions: dict[Any, Reception] = field(default_factory=dict)
    sheets: dict[Any, Sheet] = field(default_factory=dict)


def pack(mlp: Any, X: Any, y: Any, sample_weight: Any, known: Known, table_key: Any, owner: Any) -> Packed:
    """What `fit` does up to the training, for parameters that are checked. Raises as `fit` does.

    known: of other fits; what has the same table_key (X, y and sample_weight) and parameters shares it.
    """
    alike = table_key, mlp._receives_by()
    if alike not in known.receptions:
        known.receptions[alike] = mlp._receive(X, y, sample_weight, fresh=True, incremental=False)
    problem, start = mlp._begin(X, y, sample_weight, incremental=False, reception=known.receptions[alike])
    targets, architecture, n_rows = problem.targets, problem.architecture, len(problem.X)
    training, validation = early_stopping_rows(mlp, problem) if mlp.early_stopping else (np.arange(n_rows), None)
    settings = training_settings(mlp, targets.loss, len(training), targets.loss_outputs)
    if settings.batch_size is not None and settings.batch_size >= len(training):
        settings = replace(settings, batch_size=None)  # so that folds of different sizes may be together
    if alike not in known.sheets:
        known.sheets[alike] = Sheet.plain(to_host(problem.X), targets.T, problem.weights)
    initializer = glorot_logistic if mlp.activation == "logistic" else glorot_with_biases
    job = Job(
        architecture,
        settings,
        start.dtype,
        initializer,
        problem.seed,
        known.sheets[alike],
        training,
        validation,
        owner=owner,
    )
    return Packed(mlp, problem, job, start)


def unpack(packed: Packed, cohort: Cohort) -> Any:
    """The fitted estimator, from a cohort of its network alone: what `fit` does after the training. Raises as it does.

    The record (loss_curve_, n_iter_, …) and the optimizer's state for partial_fit are those of a fit alone.
    """
    mlp, problem, history = packed.mlp, packed.problem, cohort.history
    assert history is not None
    params = cohort.params_on_host()[0]
    mlp._state = cohort.state
    losses, scores = keep_record(mlp, problem, history, len(packed.job.rows))
    if mlp.early_stopping and not mlp.best_validation_score_ > -np.inf:
        params = packed.start
    plateau = None if packed.job.settings.early_stopping is None else plateau_rule(mlp, problem)
    if history.diverged[0] and np.isfinite(params).all():
        warn_of_divergence(history)
    elif len(losses) == packed.job.epochs:
        warn_unless_at_rest([-loss for loss in losses] if scores is None else scores, plateau)
    networks.require_finite(params)
    mlp.coefs_, mlp.intercepts_ = networks.unpack(problem.architecture, params)
    return mlp


def weights_of(params: Mapping[str, Any], name: str) -> Any:
    """The sample weights among the parameters of fit; GpubpError for any other parameter. name: of the weights."""
    others = [given for given in params if given != name]
    if others:
        raise GpubpError(f"fit was given {', '.join(others)}")
    return params.get(name)
