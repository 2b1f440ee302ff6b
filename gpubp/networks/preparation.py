"""Everything that a training is given, checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpubp.backends import Array
from gpubp.errors import DataError, SettingsError
from gpubp.networks.plan import TrainingPlan, hyperparameters, target_spread, total_weights
from gpubp.networks.population import Population
from gpubp.networks.sampling import Rows, RowSets
from gpubp.networks.settings import Settings
from gpubp.networks.state import TrainingState
from gpubp.operations.losses import Loss, smooth_labels
from gpubp.operations.smoothing import Smoothing


def prepare(
    population: Population,
    X: Array,
    T: np.ndarray,
    settings: Settings,
    rows: Rows = None,
    validation_rows: Rows = None,
    row_weights: np.ndarray | None = None,
    state: TrainingState | None = None,
) -> TrainingPlan:
    """Everything checked, in the population's order: see `train` for the arguments and errors."""
    settings.check_architecture(population.architecture)
    n_networks = len(population)
    state = state or TrainingState()
    state.check(population, settings.state_arrays)
    hyper = hyperparameters(settings, population.architecture, n_networks)
    if state.rate_factor is not None:
        hyper["rate"] *= state.rate_factor
    data = check_data(population, X, T, settings.loss_function, row_weights)
    training = RowSets.of(rows, n_networks, len(data.X))
    if settings.even_batches and len({settings.batch_rows(int(count)) for count in np.unique(training.count)}) > 1:
        raise SettingsError(
            f"Networks that train on {training.count.min()} to {training.count.max()} rows have even batches of "
            "different sizes: train those with equally many rows together."
        )
    validation = None if validation_rows is None else RowSets.of(validation_rows, n_networks, len(data.X), "validation")
    total = total_weights(data.weights, training)
    _require_weight(data.weights, training, population.dtype, "training")
    if validation is not None:
        _require_weight(data.weights, validation, population.dtype, "validation")
    spread = None
    if validation is not None and not settings.loss_function.is_classification:
        spread = target_spread(data.T, data.weights, validation)
    amounts = settings.smoothing_amounts(n_networks)
    smoothing = None if amounts is None else Smoothing.of(amounts, data.T.shape[1], (data.T[:1] * 1.0).dtype)
    return TrainingPlan(
        backend=population.backend,
        architecture=population.architecture,
        settings=settings,
        dtype=population.dtype,
        X=data.X,
        T=_trained_on(data.T, settings, smoothing),
        T_validation=data.T,
        weights=data.weights,
        seeds=population.seeds,
        rows=training,
        validation=validation,
        total_weight=total,
        spread=spread,
        hyper=hyper,
        dropout=settings.dropout_shares(n_networks, len(population.architecture.hidden)),
        smoothing=smoothing,
        first_epoch=state.epoch,
        updates=np.zeros(n_networks, dtype=np.int64) if state.updates is None else state.updates,
        slots=state.slots,
    )


def _trained_on(T: np.ndarray, settings: Settings, smoothing: Smoothing | None) -> np.ndarray:
    """The targets, smoothed where that is not the engines' part."""
    amount: Any = settings.label_smoothing
    if smoothing is not None or (not isinstance(amount, float) and np.ndim(amount)):
        return T
    return smooth_labels(T, amount) if amount else T


@dataclass(frozen=True)
class CheckedData:
    X: Array  # on the host, or where the population is
    T: np.ndarray
    weights: np.ndarray | None


def check_data(population: Population, X: Array, T: np.ndarray, loss: Loss, weights: np.ndarray | None) -> CheckedData:
    """Shapes, finite numbers, and targets that the loss can take."""
    X, T = X if isinstance(X, population.backend.xp.ndarray) else np.asarray(X), np.asarray(T)
    architecture = population.architecture
    if X.ndim != 2 or X.shape[1] != architecture.n_inputs or len(X) == 0:
        raise DataError(f"X has shape {X.shape}: this network needs (rows, {architecture.n_inputs}), at least one row.")
    if T.shape != (len(X), architecture.n_outputs):
        raise DataError(f"T has shape {T.shape}: expected ({len(X)}, {architecture.n_outputs}), a row for each of X.")
    largest = float(np.finfo(population.dtype).max)
    for name, values in (("X", X), ("T", T)):
        if not (values.max() <= largest and values.min() >= -largest):  # no copy of a large table; false for NaN
            values = values if isinstance(values, np.ndarray) else population.backend.to_host(values)
            row, column = np.argwhere(~(np.abs(values) <= largest))[0]
            raise DataError(
                f"{name}[{row}, {column}] is {values[row, column]}: training needs finite numbers within "
                f"{population.dtype.name}."
            )
    _check_targets(T, loss)
    if weights is None:
        return CheckedData(X, T, None)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape not in ((len(X),), (len(population), len(X))):
        raise DataError(f"Row weights of shape {weights.shape}: expected ({len(X)},) or ({len(population)}, {len(X)}).")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise DataError("Row weights must be finite and not negative.")
    return CheckedData(X, T, weights)


def _require_weight(weights: np.ndarray | None, rows: RowSets, dtype: np.dtype[Any], what: str) -> None:
    """DataError for a network whose rows count for nothing in the dtype of the training, where the mean over them would
    be 0 / 0.
    """
    if weights is None:
        return
    with np.errstate(over="ignore", under="ignore"):
        total = total_weights(weights.astype(dtype), rows)
    if not (total > 0).all():
        rounded = "" if (total_weights(weights, rows) == 0).any() else f", once rounded to {dtype.name}"
        raise DataError(
            f"Network {int(np.argmin(total))} has {what} rows of weight 0 only{rounded}: give some of them a weight "
            "above 0."
        )
    if not (total <= np.finfo(dtype).max).all():
        raise DataError(
            f"The weights of network {int(np.argmax(total))}'s {what} rows add up to more than {dtype.name} holds: "
            "divide all weights by their mean."
        )


def _check_targets(T: np.ndarray, loss: Loss) -> None:
    if loss.target_rule == "any":
        return
    good, rule = {
        "distribution": (
            (T >= 0).all(axis=1) & (np.abs(T.sum(axis=1) - 1.0) < 1e-4),
            "rows that sum to 1, such as one-hot",
        ),
        "probability": (((T >= 0) & (T <= 1)).all(axis=1), "values from 0 to 1"),
        "count": ((T >= 0).all(axis=1), "values of 0 or more"),
    }[loss.target_rule]
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise DataError(f"T[{row}] is {T[row].tolist()}: the loss {loss.name} needs {rule}.")
