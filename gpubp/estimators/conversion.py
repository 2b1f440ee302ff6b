"""A fitted gpubp estimator as scikit-learn's, and back: the same predictions, and the same training to go on from."""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import Any

import numpy as np
import sklearn.neural_network as peers
from sklearn.utils.validation import check_is_fitted

from gpubp.errors import SettingsError
from gpubp.estimators.kinds import KINDS
from gpubp.estimators.networks import architecture_of, is_ensemble, pack, unpack
from gpubp.estimators.parameters import STOCHASTIC_SOLVERS, dropout
from gpubp.networks.state import TrainingState
from gpubp.search._sklearn import AdamOptimizer, SGDOptimizer

PEERS = {"MLPClassifier": peers.MLPClassifier, "MLPRegressor": peers.MLPRegressor}
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
SOLVERS = ("lbfgs", "sgd", "adam")
SCHEDULES = ("constant", "invscaling", "adaptive")
FITTED = (  # attributes that both have, with the same meaning
    *("n_features_in_", "feature_names_in_", "n_layers_", "n_outputs_", "out_activation_", "n_iter_", "t_", "loss_"),
    *("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_", "classes_", "_label_binarizer"),
)


def to_sklearn(estimator: Any) -> Any:
    """A fitted sklearn.neural_network.MLPClassifier or MLPRegressor with the same predictions.

    Weights, classes, record and optimizer state are copied, so partial_fit goes on where the estimator stood (to
    rounding; with its own random order of the rows). Parameters that scikit-learn lacks are left out: backend, engine,
    dtype, callbacks and progress silently; those that only training needs (dropout, clip_norm, label_smoothing,
    class_weight, the solver adamw, schedules of gpubp's own such as cosine) with a UserWarning where they are in use.

    Raises SettingsError for an activation that scikit-learn lacks, and for several members; scikit-learn's
    NotFittedError before fit.
    """
    kind = next((name for name in PEERS if isinstance(estimator, KINDS[name])), None)
    if kind is None:
        raise SettingsError(f"{type(estimator).__name__} is not gpubp's MLPClassifier or MLPRegressor.")
    check_is_fitted(estimator)
    if is_ensemble(estimator):
        raise SettingsError(
            f"scikit-learn's {PEERS[kind].__name__} is one network, and this one has {len(estimator.estimators_)}: "
            "convert each of its members, [to_sklearn(member) for member in estimator.estimators_], or export their "
            "mean with to_onnx."
        )
    if estimator.activation not in ACTIVATIONS:
        raise SettingsError(
            f"scikit-learn has no activation {estimator.activation!r}; its networks know {', '.join(ACTIVATIONS)}. To "
            "use this network elsewhere, export it with to_onnx."
        )
    _warn_of_what_training_loses(estimator)
    given = estimator.get_params(deep=False)
    given |= {"solver": "adam"} if given["solver"] not in SOLVERS else {}
    given |= {"learning_rate": "constant"} if given["learning_rate"] not in SCHEDULES else {}
    given |= {"batch_size": "auto"} if given["batch_size"] is None else {}
    names = PEERS[kind]._get_param_names()
    peer = PEERS[kind](**{name: deepcopy(value) for name, value in given.items() if name in names})
    _copy_fitted(estimator, peer)
    if peer.solver != "lbfgs":
        peer._best_coefs, peer._best_intercepts = deepcopy(peer.coefs_), deepcopy(peer.intercepts_)
        plateau = getattr(estimator, "_plateau", None)
        peer._no_improvement_count = plateau.waited if plateau is not None else 0
        _give_optimizer(estimator, peer)
    return peer


def from_sklearn(fitted: Any) -> Any:
    """gpubp's MLPClassifier or MLPRegressor from scikit-learn's fitted one: the same parameters, predictions, and
    optimizer state for partial_fit; what only gpubp has is at its defaults.

    Raises SettingsError for anything else, or for a parameter that gpubp does not know; scikit-learn's NotFittedError
    before fit.
    """
    kind = next((KINDS[name] for name, peer in PEERS.items() if isinstance(fitted, peer)), None)
    if kind is None:
        raise SettingsError(
            f"{type(fitted).__name__} is not scikit-learn's MLPClassifier or MLPRegressor. Of a pipeline or a search, "
            "give the network alone: pipeline[-1], search.best_estimator_."
        )
    check_is_fitted(fitted)
    given = fitted.get_params(deep=False)
    if unknown := sorted(set(given) - set(kind._get_param_names())):
        raise SettingsError(f"gpubp's {kind.__name__} has no parameter {', '.join(unknown)}, which this one uses.")
    estimator = kind(**deepcopy(given))
    _copy_fitted(fitted, estimator)
    optimizer = getattr(fitted, "_optimizer", None)
    if fitted.solver in STOCHASTIC_SOLVERS and optimizer is not None:
        estimator._state = _state_of(fitted, optimizer)
    return estimator


def _copy_fitted(source: Any, target: Any) -> None:
    target.coefs_ = [np.array(W) for W in source.coefs_]
    target.intercepts_ = [np.array(b) for b in source.intercepts_]
    vars(target).update({name: deepcopy(vars(source)[name]) for name in FITTED if name in vars(source)})


def _warn_of_what_training_loses(estimator: Any) -> None:
    lost = [f"dropout={estimator.dropout!r}"] if dropout(estimator) else []
    for name, default in (("clip_norm", None), ("label_smoothing", 0.0), ("class_weight", None)):
        value = getattr(estimator, name, default)
        lost += [f"{name}={value!r:.60}"] if value is not None and value != default else []
    if estimator.solver not in SOLVERS:
        lost.append(f"solver={estimator.solver!r} (it gets adam)")
    if estimator.learning_rate not in SCHEDULES:
        lost.append(f"learning_rate={estimator.learning_rate!r} (it gets constant)")
    if lost:
        warnings.warn(
            f"scikit-learn lacks {', '.join(lost)}. The predictions are the same, but it would train on without.",
            UserWarning,
            stacklevel=3,
        )


def _give_optimizer(estimator: Any, peer: Any) -> None:
    """scikit-learn's optimizer with the slots of gpubp's state; without a state, its first partial_fit makes one."""
    state: TrainingState | None = getattr(estimator, "_state", None)
    if state is None or state.epoch == 0:
        return
    params = peer.coefs_ + peer.intercepts_

    def parts(slot: str) -> list[np.ndarray]:
        if slot not in state.slots:
            return [np.zeros_like(part) for part in params]
        weights, biases = unpack(architecture_of(estimator), state.slots[slot][0])
        return weights + biases

    if peer.solver == "adam":
        optimizer: Any = AdamOptimizer(params, peer.learning_rate_init, peer.beta_1, peer.beta_2, peer.epsilon)
        optimizer.ms, optimizer.vs = parts("mean"), parts("square")
        optimizer.t = int(state.updates[0]) if state.updates is not None else 0
    else:
        optimizer = SGDOptimizer(
            params,
            peer.learning_rate_init,
            peer.learning_rate,
            peer.momentum,
            peer.nesterovs_momentum,
            peer.power_t,
        )
        optimizer.velocities = parts("velocity")
        if state.rate_factor is not None:
            optimizer.learning_rate *= float(state.rate_factor[0])
        optimizer.iteration_ends(peer.t_)  # invscaling's rate follows from the rows seen
    peer._optimizer = optimizer


def _state_of(fitted: Any, optimizer: Any) -> TrainingState:
    n_layers, epochs = len(fitted.coefs_), max(1, len(fitted.loss_curve_))

    def flat(parts: list[np.ndarray]) -> np.ndarray:
        return pack(parts[:n_layers], parts[n_layers:])[None, :]

    if fitted.solver == "adam":
        slots = {"mean": flat(optimizer.ms), "square": flat(optimizer.vs)}
        return TrainingState(epochs, np.array([optimizer.t]), slots, np.ones(1))
    slots = {"velocity": flat(optimizer.velocities)} if fitted.momentum else {}
    adaptive = fitted.learning_rate == "adaptive"
    factor = optimizer.learning_rate / optimizer.learning_rate_init if adaptive else 1.0
    return TrainingState(epochs, np.array([epochs]), slots, np.array([factor]))
