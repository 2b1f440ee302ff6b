"""The estimators' parameters: which values they may have, and which settings of gpubp's training they stand for.

The names and ranges are scikit-learn's; its own machinery checks them at every fit (InvalidParameterError, a
ValueError, names the parameter, what it may be and what it was).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np

from gpubp.backends import BACKENDS
from gpubp.engines.registry import ENGINES
from gpubp.estimators.problem import Targets
from gpubp.networks.settings import EarlyStopping, Settings
from gpubp.operations.activations import HIDDEN
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.options import Option
from gpubp.operations.registry import OPTIONS
from gpubp.operations.schedules import SCHEDULES
from gpubp.search._sklearn import Interval, Options, StrOptions

MOMENTUM = {"sgd": None, "momentum": False, "nesterov": True}
"""nesterovs_momentum of the solver sgd, which stands for all of these."""
OPTIMIZER_OPTIONS = {name: {"beta1": "beta_1", "beta2": "beta_2"}.get(name, name) for name in OPTIONS["optimizer"]}
"""What the options of optimizers are called as parameters of estimators."""
OWN_OPTIONS = ("momentum", "beta1", "beta2", "epsilon", "weight_decay")
"""Those that MLPClassifier and MLPRegressor have."""
STOCHASTIC_SOLVERS = tuple(
    name
    for name, rule in OPTIMIZERS.items()
    if name not in MOMENTUM.keys() - {"sgd"} and all(option.name in OWN_OPTIONS for option in rule.options)
)
FULL_LENGTH_SCHEDULES = tuple(name for name, schedule in SCHEDULES.items() if not schedule.endless)
"""They need to know how long a training will be."""

CONSTRAINTS: Mapping[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(set(HIDDEN))],
    "solver": [StrOptions({"lbfgs", *STOCHASTIC_SOLVERS})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", *FULL_LENGTH_SCHEDULES})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "backend": [StrOptions(set(BACKENDS))],
    "engine": [StrOptions(set(ENGINES))],
    "dtype": [StrOptions({"float32", "float64"}), None],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "callbacks": [tuple, list],
    "progress": ["boolean"],
    "n_members": [Interval(Integral, 1, None, closed="left")],
    "bootstrap": ["boolean"],
}


def interval(option: Option) -> Interval:
    """What an option of an operation may be, in scikit-learn's words."""
    low, high = max(option.least, option.above), min(option.most, option.below)
    left, right = bool(np.isfinite(option.least)), bool(np.isfinite(option.most))
    closed = {(True, True): "both", (True, False): "left", (False, True): "right", (False, False): "neither"}
    bounds = (None if np.isinf(low) else low, None if np.isinf(high) else high)
    return Interval(Real, *bounds, closed=closed[left, right])


def hidden_sizes(mlp: Any) -> tuple[int, ...]:
    """hidden_layer_sizes as a tuple; ValueError for anything but neurons of each layer."""
    given = mlp.hidden_layer_sizes
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    if any(isinstance(size, bool) or not isinstance(size, Integral) for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be whole numbers, one for each hidden layer, got {sizes}.")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return tuple(sizes)


def dropout(mlp: Any) -> float | tuple[float, ...]:
    """One share for all hidden layers, or one for each; 0.0 where nothing is dropped."""
    if type(mlp.dropout) is float and mlp.dropout == 0.0:
        return 0.0
    shares = tuple(float(share) for share in np.atleast_1d(mlp.dropout))
    if not any(shares):
        return 0.0
    return shares if np.ndim(mlp.dropout) else shares[0]


def batch_rows(mlp: Any, n_rows: int) -> int:
    """Rows of a batch; "auto" is 200, or all if there are fewer."""
    if mlp.batch_size == "auto":
        return min(200, n_rows)
    if mlp.batch_size > n_rows:
        warnings.warn(
            f"batch_size={mlp.batch_size} is larger than the {n_rows} training rows: all of them make one batch.",
            UserWarning,
            stacklevel=2,
        )
    return min(int(mlp.batch_size), n_rows)


def patience(mlp: Any) -> int:
    """n_iter_no_change; infinity is longer than any training."""
    return int(min(mlp.n_iter_no_change, 2**62))


def plateau_tolerance(mlp: Any, loss_outputs: int) -> float:
    """tol, on the scale of gpubp's loss, which is the sum over `loss_outputs` outputs where theirs is the mean."""
    return float(mlp.tol) * (1 if mlp.early_stopping else loss_outputs)


def is_adaptive(mlp: Any) -> bool:
    return bool(mlp.solver == "sgd" and mlp.learning_rate == "adaptive")


def training_settings(mlp: Any, targets: Targets, n_rows: int, *, one_epoch_at: float | None = None) -> Settings:
    """gpubp's Settings for one fit over n_rows training rows.

    one_epoch_at: for partial_fit, the learning rate of its one epoch; without it, max_iter epochs by the schedule.
    """
    batch = batch_rows(mlp, n_rows)
    optimizer, options = _optimizer(mlp)
    whole = one_epoch_at is None
    schedule, schedule_options = _schedule(mlp) if whole else ("constant", {})
    return _settings(
        (*options.items(),),
        (*schedule_options.items(),),
        (*targets.loss_options.items(),),
        loss=targets.loss,
        optimizer=optimizer,
        learning_rate=float(mlp.learning_rate_init) if one_epoch_at is None else one_epoch_at,
        l2=float(mlp.alpha),
        clip_norm=mlp.clip_norm,
        schedule=schedule,
        batch_size=batch,
        epochs=int(mlp.max_iter) if whole else 1,
        shuffle=bool(mlp.shuffle) and batch < n_rows,  # the order within one batch of all rows does not matter
        early_stopping=_early_stopping(mlp, targets.loss_outputs) if whole else None,
        dropout=dropout(mlp),
    )


@lru_cache(maxsize=256)
def _settings(
    options: tuple[Any, ...], schedule_options: tuple[Any, ...], loss_options: tuple[Any, ...], **others: Any
) -> Settings:
    """Made and checked once: partial_fit asks for the same at every call."""
    return Settings(
        optimizer_options=dict(options),
        schedule_options=dict(schedule_options),
        loss_options=dict(loss_options),
        **others,
    )


def _optimizer(mlp: Any) -> tuple[str, dict[str, float]]:
    if mlp.solver == "sgd":
        if mlp.momentum == 0:
            return "sgd", {}
        # 1 itself never forgets; gpubp's optimizers want to, if only by a bit
        momentum = min(float(mlp.momentum), float(np.nextafter(1.0, 0.0)))
        return ("nesterov" if mlp.nesterovs_momentum else "momentum"), {"momentum": momentum}
    names = [option.name for option in OPTIMIZERS[mlp.solver].options]
    return str(mlp.solver), {name: float(getattr(mlp, OPTIMIZER_OPTIONS[name])) for name in names}


def _schedule(mlp: Any) -> tuple[str, dict[str, float]]:
    """constant, invscaling and adaptive matter to sgd alone, as in scikit-learn."""
    if mlp.learning_rate in FULL_LENGTH_SCHEDULES:
        return str(mlp.learning_rate), {}
    if mlp.solver == "sgd" and mlp.learning_rate == "invscaling":
        return "inverse_scaling", {"power": float(mlp.power_t)}
    return ("adaptive", {}) if is_adaptive(mlp) else ("constant", {})


def _early_stopping(mlp: Any, loss_outputs: int) -> EarlyStopping | None:
    """The rule by which a fit ends; None where it could not end one within max_iter, which spares looking."""
    tolerance = plateau_tolerance(mlp, loss_outputs)
    if mlp.early_stopping:
        return EarlyStopping(patience(mlp), tolerance, "validation_score", restore_best=True)
    if patience(mlp) >= mlp.max_iter and not is_adaptive(mlp):
        return None
    return EarlyStopping(patience(mlp), tolerance, "training_loss", restore_best=False)
