"""Fits of MLPClassifier and MLPRegressor as jobs of a population: what `fit` does before the training, and after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gpubp.backends.placement import to_host
from gpubp.errors import GpubpError
from gpubp.estimators.base import MLP
from gpubp.estimators.learners import keep_networks
from gpubp.estimators.parameters import STOCHASTIC_SOLVERS
from gpubp.estimators.problem import CheckedInput, NetworkFit, Problem
from gpubp.estimators.states import of_network
from gpubp.estimators.stochastic import Outcome, conclude, jobs_of, n_training, settings_for
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.histories import side_by_side
from gpubp.fitting.job import Job, Sheet


def why_alone(mlp: Any) -> str | None:
    """Why this estimator has to be fitted by itself; None where it can train in a population."""
    if isinstance(mlp, MLP) and type(mlp).fit is not MLP.fit:
        return f"{type(mlp).__name__} has a fit of its own"
    if not isinstance(mlp, MLP):
        return f"{type(mlp).__name__} is no MLPClassifier or MLPRegressor of gpubp's"
    if mlp.solver not in STOCHASTIC_SOLVERS:
        return f"the solver {mlp.solver} does not train in populations"
    for name in ("callbacks", "verbose", "progress", "warm_start"):
        if getattr(mlp, name):
            return f"{name} is for one network at a time"
    return None


@dataclass(frozen=True, eq=False)
class Packed:
    """An estimator that waits for the training of its networks, each with a job."""

    mlp: Any
    problem: Problem
    learners: list[NetworkFit]
    jobs: list[Job]


@dataclass(frozen=True)
class Known:
    """Tables that several fits share: as they were received, and the sheets made of them."""

    receptions: dict[Any, CheckedInput] = field(default_factory=dict)
    sheets: dict[Any, Sheet] = field(default_factory=dict)


def pack(mlp: Any, X: Any, y: Any, sample_weight: Any, known: Known, table_key: Any, owner: Any) -> Packed:
    """Does what `fit` does before the training, for parameters that are checked. Raises as `fit` does.

    known: of other fits; what has the same table_key (X, y and sample_weight) and parameters shares it. A job's owner
    is (owner, place of the network among the learners).
    """
    alike = table_key, mlp._receives_by()
    if alike not in known.receptions:
        known.receptions[alike] = mlp._receive(X, y, sample_weight, fresh=True, incremental=False)
    problem, learners = mlp._begin(X, y, sample_weight, incremental=False, reception=known.receptions[alike])
    first = learners[0]
    settings = settings_for(mlp, problem, first)
    if settings.batch_size is not None and settings.batch_size >= n_training(problem, first):
        settings = replace(settings, batch_size=None)  # so that folds of different sizes may be together
    if alike not in known.sheets:
        known.sheets[alike] = Sheet.plain(to_host(problem.X), problem.targets.T, problem.weights)
    jobs = jobs_of(mlp, problem, learners, settings, known.sheets[alike], owner)
    return Packed(mlp, problem, learners, jobs)


def unpack(packed: Packed, cohorts: Sequence[Cohort]) -> Any:
    """The fitted estimator, from a cohort for each of its networks alone: what `fit` does after the training. Raises as
    it does.

    The record (loss_curve_, n_iter_, …) and the optimizer's state for partial_fit are those of a fit alone.
    """
    mlp, outcomes, histories = packed.mlp, [], []
    for cohort in cohorts:
        assert cohort.history is not None
        state = of_network(cohort.state, 0, int(cohort.history.epochs[0]))
        outcomes.append(Outcome(cohort.params_on_host()[0], state, cohort.history, place=0))
        histories.append(cohort.history)
    mlp.history_ = histories[0] if len(histories) == 1 else side_by_side(histories)
    trained = conclude(packed.problem, packed.learners, outcomes, packed.jobs[0].settings)
    keep_networks(mlp, packed.problem, packed.learners, trained)
    return mlp


def weights_of(params: Mapping[str, Any], name: str) -> Any:
    """The sample weights among the parameters of fit; GpubpError for any other parameter. name: of the weights."""
    others = [given for given in params if given != name]
    if others:
        raise GpubpError(f"fit was given {', '.join(others)}")
    return params.get(name)
