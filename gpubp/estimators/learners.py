"""The networks of an estimator: itself if n_members is 1, else its members, which are estimators of one network too.

A member is what its class makes of its own parameters: `clone(member).fit` on the same data gives the same network, to
the bit with a named engine. That members are trained, kept and asked together changes how long it takes, nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from gpubp.errors import DataError, SettingsError
from gpubp.estimators import networks
from gpubp.estimators.parameters import STOCHASTIC_SOLVERS
from gpubp.estimators.problem import NetworkFit, Problem, Targets, Trained
from gpubp.estimators.stochastic import early_stopping_rows, reset_record
from gpubp.networks.population import network_seeds
from gpubp.networks.sampling import bootstrap_rows
from gpubp.operations.architecture import Architecture

REMEDY = "Scale the data, for example with StandardScaler, or lower learning_rate_init."
MOST = int(np.iinfo(np.int32).max)  # of a random_state
OWN_AFFAIRS = {"n_members": 1, "callbacks": (), "verbose": False, "progress": False}
"""Parameters that members do not have from their ensemble."""

SHARED = (
    *("n_features_in_", "feature_names_in_", "n_outputs_", "n_layers_", "out_activation_"),
    *("classes_", "_label_binarizer"),
)
"""Attributes that members have from their ensemble."""


def begin_networks(
    mlp: Any,
    architecture: Architecture,
    targets: Targets,
    weights: np.ndarray | None,
    dtype: np.dtype[Any],
    fresh: bool,
    incremental: bool,
) -> list[NetworkFit]:
    """The networks that are to be trained: new ones (fresh), or those of the last fit.

    SettingsError where what is gone on from is of another number or architecture.
    """
    if not fresh:
        _check_number(mlp)
    anew = fresh or not incremental  # whether what is random is drawn again
    random_state = _draw_seed(mlp, anew)
    chosen = [(0, mlp, random_state)]
    if mlp.n_members > 1:
        chosen = [(place, member, _draw_seed(member, anew)) for place, member in _members(mlp, fresh, anew)]
    learners = []
    for place, own, random_state in chosen:
        params = (_begun if fresh else _continued)(own, architecture, dtype)
        rows, validation = _rows(own, targets, weights, random_state, incremental)
        learners.append(NetworkFit(own, params, own._seed, rows, validation, place))
    return learners


def keep_networks(mlp: Any, problem: Problem, learners: Sequence[NetworkFit], trained: Sequence[Trained]) -> None:
    """Give the estimator its trained networks; members that diverged are left out, with a ConvergenceWarning.

    Raises NonFiniteWeightsError where there is none.
    """
    if mlp.n_members == 1:
        networks.require_finite(trained[0].params)
        mlp.coefs_, mlp.intercepts_ = networks.views(problem.architecture, trained[0].params)
        for name in ("estimators_", "left_out_"):  # of a fit before
            vars(mlp).pop(name, None)
        return
    good = [(learner, found.params) for learner, found in zip(learners, trained, strict=True) if found.good]
    if not good:
        raise networks.NonFiniteWeightsError(
            f"All {len(learners)} members diverged: none has finite weights and a finite loss. {REMEDY}"
        )
    for learner, params in good:
        learner.mlp.coefs_, learner.mlp.intercepts_ = networks.views(problem.architecture, params)
    for name in networks.OF_ONE_NETWORK:  # of a fit before
        vars(mlp).pop(name, None)
    mlp.estimators_ = [learner.mlp for learner, _ in good]
    share(mlp, mlp.estimators_)
    mlp.left_out_ = sorted({*range(mlp.n_members)} - {learner.place for learner, _ in good})
    mlp.n_iter_ = max(member.n_iter_ for member in mlp.estimators_)
    if losses := [member.loss_ for member in mlp.estimators_ if hasattr(member, "loss_")]:  # none before an epoch's end
        mlp.loss_ = float(np.mean(losses))
    if len(good) < len(learners):
        warnings.warn(
            f"{len(learners) - len(good)} of {len(learners)} members diverged or were not trained, and are left out; "
            f"left_out_ has their places. {REMEDY}",
            ConvergenceWarning,
            stacklevel=2,
        )


def _check_number(mlp: Any) -> None:
    found = len(mlp.estimators_) + len(mlp.left_out_) if networks.is_ensemble(mlp) else 1
    if found != mlp.n_members:
        raise SettingsError(
            f"The fitted estimator has n_members={found}, and the parameter is {mlp.n_members} now: keep it, or begin "
            "anew with warm_start=False and fit."
        )


def _members(mlp: Any, fresh: bool, anew: bool) -> list[tuple[int, Any]]:
    """Each with its place. Its random_state (drawn where `anew`) does not depend on how many there are."""
    drawn = (network_seeds(mlp._seed, mlp.n_members) % np.uint64(MOST)).tolist()
    if fresh:
        return [(place, new_member(mlp, drawn[place])) for place in range(mlp.n_members)]
    places = sorted({*range(mlp.n_members)} - {*mlp.left_out_})
    members = [*zip(places, mlp.estimators_, strict=True)]
    for place, member in members:  # parameters may have changed since
        vars(member).update(_parameters(mlp, drawn[place] if anew else member.random_state))
    return members


def new_member(mlp: Any, random_state: int) -> Any:
    """An estimator of one network with the parameters of this one; not fitted."""
    return type(mlp)(**_parameters(mlp, random_state))


def _parameters(mlp: Any, random_state: int) -> dict[str, Any]:
    return mlp.get_params(deep=False) | OWN_AFFAIRS | {"random_state": random_state}


def share(mlp: Any, members: Sequence[Any]) -> None:
    """Give members the attributes that they have in common with their ensemble."""
    shared = {name: value for name, value in vars(mlp).items() if name in SHARED}
    for member in members:
        vars(member).update(shared)


def _draw_seed(mlp: Any, anew: bool) -> np.random.RandomState | None:
    """Give the estimator the seed of its training; and what its other random choices are drawn from: None where it
    keeps its seed, for then there are none.
    """
    if not anew and hasattr(mlp, "_seed"):
        given = mlp.random_state
        if type(given) is not int or not 0 <= given < 2**32:  # making a generator of a number takes a while
            check_random_state(given)
        return None
    random_state: np.random.RandomState = check_random_state(mlp.random_state)
    mlp._seed = int(random_state.randint(MOST))
    return random_state


def _begun(mlp: Any, architecture: Architecture, dtype: np.dtype[Any]) -> np.ndarray:
    """(K,): weights to begin with, and a record that is empty."""
    mlp.n_iter_ = mlp.t_ = 0
    for name in ("_state", "_plateau"):
        vars(mlp).pop(name, None)
    if mlp.solver in STOCHASTIC_SOLVERS:
        reset_record(mlp)
    return networks.initial(architecture, mlp._seed, dtype, mlp.activation)


def _continued(mlp: Any, architecture: Architecture, dtype: np.dtype[Any]) -> np.ndarray:
    """(K,): the weights that a warm start or partial_fit goes on from; SettingsError where their shape is another."""
    found = networks.architecture_of(mlp)
    if found != architecture:
        raise SettingsError(
            f"The fitted network is {found}, and the parameters and data now ask for {architecture}: keep them, or "
            "begin anew with warm_start=False and fit."
        )
    return networks.pack(mlp.coefs_, mlp.intercepts_, dtype)


def _rows(
    mlp: Any,
    targets: Targets,
    weights: np.ndarray | None,
    random_state: np.random.RandomState | None,
    incremental: bool,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The rows to train on, None for all, and those for early stopping, which are split off before any are drawn."""
    rows = validation = None
    if mlp.early_stopping and mlp.solver in STOCHASTIC_SOLVERS:
        assert random_state is not None  # partial_fit refuses early stopping
        rows, validation = early_stopping_rows(mlp, targets, random_state)
        _require_weight(mlp, targets, weights, rows, validation)
    if mlp.bootstrap:
        rows = np.arange(len(targets.T)) if rows is None else rows
        state = getattr(mlp, "_state", None) if incremental else None
        rows = bootstrap_rows(rows, weights, mlp._seed, draw=0 if state is None else state.epoch)
    return rows, validation


def _require_weight(
    mlp: Any, targets: Targets, weights: np.ndarray | None, rows: np.ndarray, validation: np.ndarray
) -> None:
    """DataError where early stopping leaves too few rows that count: 1 to train on; 1 for an accuracy, 2 for an R²."""
    needed = 1 if targets.out_activation in ("softmax", "logistic") else 2
    for what, chosen, least in (("to train on", rows, 1), ("to validate on", validation, needed)):
        counted = len(chosen) if weights is None else int(np.count_nonzero(weights[chosen]))
        if weights is not None and counted < least:
            raise DataError(
                f"Of the {len(chosen)} rows that early stopping leaves {what}, {counted} have a weight above 0, and "
                f"{least} are needed (of all {len(weights)} rows, {np.count_nonzero(weights)} have one, by "
                f"sample_weight or class_weight). Leave out the rows of weight 0, change validation_fraction="
                f"{float(mlp.validation_fraction):g} or random_state, or set early_stopping=False."
            )
