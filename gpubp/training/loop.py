"""`train`: the epochs of a population, from the host's table to trained parameters and a history."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.errors import DataError
from gpubp.kernels.reference.losses import Loss, smooth_labels
from gpubp.population import Population
from gpubp.sampling import Rows, RowSets
from gpubp.training.batches import Batches, Table
from gpubp.training.early_stopping import Stopper
from gpubp.training.history import Callback, EpochReport, History
from gpubp.training.interruption import Interruption
from gpubp.training.progress import progress_bar
from gpubp.training.settings import Settings
from gpubp.training.update import Learner
from gpubp.training.validation import Validation, is_classification, target_spread

ENGINE = "array"


def train(
    population: Population,
    X: np.ndarray,
    T: np.ndarray,
    settings: Settings,
    *,
    rows: Rows = None,
    validation_rows: Rows = None,
    row_weights: np.ndarray | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
) -> History:
    """Train every network of the population, in place.

    X (N, I) and T (N, O): one table for all networks; T one-hot for cross_entropy. They go to the device once.
    rows, validation_rows: None (all; no validation), an array of row numbers for all networks, or one array for each
    network. Rows may repeat (bagging). row_weights: (N,) or (P, N), not negative; they count in the loss, the mean
    being over the weights, and in the validation.
    callbacks are called after each epoch (see EpochReport); `progress` draws a bar on standard error.

    Ctrl-C ends the training after the update at hand: the best weights so far are kept where early stopping keeps
    them, else the latest. Networks whose numbers stop being finite are marked in the history and disturb no other.

    Raises SettingsError and DataError before anything is changed.
    """
    run = _Run(population, X, T, settings, rows, validation_rows, row_weights)
    with Interruption() as interruption, population.backend.quiet(), progress_bar(progress) as bar:
        return run.train([*callbacks, *bar], interruption)


class _Run:
    """One training: the networks still in it, sorted so that those with equally many rows are neighbours."""

    def __init__(
        self,
        population: Population,
        X: np.ndarray,
        T: np.ndarray,
        settings: Settings,
        rows: Rows,
        validation_rows: Rows,
        row_weights: np.ndarray | None,
    ) -> None:
        settings.check_architecture(population.architecture)
        data = check_data(population, X, T, settings.loss_function, row_weights)
        n_networks = len(population)
        row_sets = RowSets.of(rows, n_networks, len(data.X))
        validation_sets = (
            None if validation_rows is None else RowSets.of(validation_rows, n_networks, len(data.X), "validation")
        )
        self.population, self.settings, self.backend = population, settings, population.backend
        self.stopper = Stopper(settings.early_stopping, n_networks, validation_sets is not None)

        second = validation_sets.count if validation_sets is not None else np.zeros(n_networks, dtype=np.int64)
        self.order = np.lexsort((np.arange(n_networks), second, -row_sets.count))
        self.in_place = bool(np.all(self.order == np.arange(n_networks)))
        self.rows = row_sets.networks(self.order)
        self.total_weight = _total_weights(data.weights, row_sets)[self.order]

        T_training = smooth_labels(data.T, settings.label_smoothing) if settings.label_smoothing else data.T
        weights = data.weights
        if weights is not None and weights.ndim == 2:
            weights = weights[self.order]
        to_device = self.backend.to_device
        self.table = Table(
            to_device(data.X, population.dtype),
            to_device(T_training, population.dtype),
            None if weights is None else to_device(weights, population.dtype),
        )
        self.validation: Validation | None = None
        if validation_sets is not None:
            table = self.table
            if settings.label_smoothing:  # validation is against the labels as they are
                table = Table(table.X, to_device(data.T, population.dtype), table.weights)
            sorted_sets = validation_sets.networks(self.order)
            spread = None
            if not is_classification(settings.loss_function):
                spread = target_spread(data.T, weights, sorted_sets)
            self.validation = Validation(
                self.backend, population.architecture, settings.loss_function, table, sorted_sets, spread
            )

        params = population.params if self.in_place else population.params[to_device(self.order)]
        self.learner = Learner(self.backend, population.architecture, params, settings, self.order)
        self._lay_out()

    def _lay_out(self) -> None:
        """Everything that follows from which networks are in: batches, totals, rates."""
        settings, backend = self.settings, self.backend
        batch_size = settings.batch_size or int(self.rows.count[0])
        seeds = self.population.seeds[self.order]
        self.batches = Batches(backend, self.table, self.rows, seeds, batch_size, settings.shuffle)
        self.denominator = backend.to_device(self.total_weight)
        steps = -(-self.rows.count // batch_size)
        self.steps_each = backend.to_device(steps.astype(np.float64)) if self._scheduled else None
        self.count_each = backend.to_device(self.rows.count.astype(np.float64)) if self._scheduled else None

    @property
    def _scheduled(self) -> bool:
        return self.settings.schedule != "constant"

    def _rates(self, epoch: int) -> Array | None:
        """(steps, P, 1): the learning rate of every update of this epoch, on the device; None where it is constant."""
        if not self._scheduled:
            return None
        xp, settings = self.backend.xp, self.settings
        step = xp.arange(self.batches.steps_per_epoch, dtype=np.float64)[:, None]
        moment = epoch + xp.minimum(step / self.steps_each, 1.0)
        factor = settings.schedule_rule.factor(
            xp, moment, self.count_each, settings.epochs, settings.all_schedule_options()
        )
        return (factor[:, :, None] * self.learner.hyper.exact["rate"]).astype(self.learner.params.dtype)

    def train(self, callbacks: Sequence[Callback], interruption: Interruption) -> History:
        started = time.perf_counter()
        n_epochs, n_networks = self.settings.epochs, len(self.population)
        watched = bool(callbacks) or self.stopper.active
        log = _Log(self.backend, n_epochs, n_networks, on_host=self.stopper.active)
        for epoch in range(n_epochs):
            if not self._epoch(epoch, interruption):
                break
            metrics = self._metrics()
            report = EpochReport(epoch, n_epochs, self.order, _fetch_once(self.backend, metrics))
            log.add(epoch, self.order, report.fetch() if self.stopper.active else metrics)
            if watched and self._after_epoch(report, callbacks):
                break
            if len(self.order) == 0:
                break
        interrupted = interruption.requested
        self._finish()
        return self._history(log, interrupted, time.perf_counter() - started)

    def _epoch(self, epoch: int, interruption: Interruption) -> bool:
        """One epoch; False if it was cut short by Ctrl-C."""
        learner, constant_rate, rates = self.learner, self.learner.hyper.rate, self._rates(epoch)
        learner.begin_epoch()
        for batch in self.batches.epoch(epoch):
            learner.update(batch, constant_rate if rates is None else rates[batch.step.number])
            if interruption.requested:
                return False
        return True

    def _metrics(self) -> Array:
        """(3, P) float64 on the device: training loss, validation loss, validation score."""
        xp, learner = self.backend.xp, self.learner
        metrics = xp.full((3, len(self.order)), np.nan, dtype=np.float64)
        metrics[0] = learner.loss_sum / self.denominator
        if self.validation is not None:
            metrics[1], metrics[2] = self.validation.evaluate(learner.params)
        return metrics

    def _after_epoch(self, report: EpochReport, callbacks: Sequence[Callback]) -> bool:
        """Tell the callbacks, stop networks; True ends the training."""
        if self.stopper.active:
            stopped = self.stopper.look(report.epoch, self.order, report.fetch(), self.learner.params, self.backend)
        wishes = [callback(report) for callback in callbacks]  # every callback hears of every epoch
        if self.stopper.active and stopped.any():
            self._retire(stopped)
        return any(wishes)

    def _retire(self, stopped: np.ndarray) -> None:
        """Write back the networks at these places, and go on without them."""
        places = np.flatnonzero(stopped)
        self._write_back(places)
        keep = np.flatnonzero(~stopped)
        on_device = self.backend.to_device(keep)
        self.order = self.order[keep]
        self.in_place = False
        if len(keep) == 0:
            return
        self.learner.compact(on_device)
        self.stopper.compact(on_device)
        self.rows = self.rows.networks(keep)
        self.total_weight = self.total_weight[keep]
        self.table = self.table.networks(on_device)
        if self.validation is not None:
            self.validation = self.validation.networks(keep)
        self._lay_out()

    def _write_back(self, places: np.ndarray) -> None:
        """The parameters of the networks at these places (of those still in) go to the population."""
        on_device = self.backend.to_device(places)
        params = self.stopper.kept(self.learner.params, self.backend)[on_device]
        self.population.params[self.backend.to_device(self.order[places])] = params

    def _finish(self) -> None:
        if len(self.order) and not (self.in_place and not self.stopper.keeps_best):
            self._write_back(np.arange(len(self.order)))

    def _history(self, log: _Log, interrupted: bool, seconds: float) -> History:
        backend = self.backend
        table = log.table()
        finite = backend.to_host(backend.xp.isfinite(self.population.params).all(axis=1))
        epochs = log.epochs
        lost = ~np.isfinite(table[0]) & (np.arange(len(table[0]))[:, None] < epochs)
        diverged = np.where(lost.any(axis=0), lost.argmax(axis=0), -1)
        diverged = np.where(~finite & (diverged < 0), np.maximum(epochs - 1, 0), diverged)
        validated = self.validation is not None
        return History(
            training_loss=table[0],
            validation_loss=table[1] if validated else None,
            validation_score=table[2] if validated else None,
            epochs=epochs,
            best_epoch=self.stopper.best_epoch,
            diverged_epoch=diverged,
            interrupted=interrupted,
            seconds=seconds,
            backend=backend.name,
            engine=ENGINE,
        )


class _Log:
    """The metrics of every epoch: on the device until the end, unless early stopping has them on the host anyway."""

    def __init__(self, backend: Backend, n_epochs: int, n_networks: int, on_host: bool) -> None:
        self.backend, self.on_host, self.n_networks = backend, on_host, n_networks
        self.rows: list[tuple[np.ndarray, Any]] = []
        self.epochs = np.zeros(n_networks, dtype=np.int64)

    def add(self, epoch: int, order: np.ndarray, metrics: Any) -> None:
        self.rows.append((order, metrics))
        self.epochs[order] = epoch + 1

    def table(self) -> np.ndarray:
        """(3, E, P) float64 on the host, in one transfer."""
        table = np.full((3, len(self.rows), self.n_networks), np.nan)
        if not self.rows:
            return table
        if self.on_host:
            for epoch, (order, metrics) in enumerate(self.rows):
                table[:, epoch, order] = metrics
        else:  # no network left, so all rows are of one order
            stacked = self.backend.xp.stack([metrics for _, metrics in self.rows], axis=1)
            table[:, :, self.rows[0][0]] = self.backend.to_host(stacked)
        return table


@dataclass(frozen=True)
class HostData:
    X: np.ndarray
    T: np.ndarray
    weights: np.ndarray | None


def check_data(
    population: Population, X: np.ndarray, T: np.ndarray, loss: Loss, weights: np.ndarray | None
) -> HostData:
    """Shapes, finite numbers, and targets that the loss can take."""
    X, T = np.asarray(X), np.asarray(T)
    architecture = population.architecture
    if X.ndim != 2 or X.shape[1] != architecture.n_inputs or len(X) == 0:
        raise DataError(f"X has shape {X.shape}: this network needs (rows, {architecture.n_inputs}), at least one row.")
    if T.shape != (len(X), architecture.n_outputs):
        raise DataError(f"T has shape {T.shape}: expected ({len(X)}, {architecture.n_outputs}), a row for each of X.")
    largest = float(np.finfo(population.dtype).max)
    for name, values in (("X", X), ("T", T)):
        bad = np.argwhere(~(np.abs(values) <= largest))
        if len(bad):
            row, column = bad[0]
            raise DataError(
                f"{name}[{row}, {column}] is {values[row, column]}: training needs finite numbers within "
                f"{population.dtype.name}."
            )
    _check_targets(T, loss)
    if weights is None:
        return HostData(X, T, None)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape not in ((len(X),), (len(population), len(X))):
        raise DataError(f"Row weights of shape {weights.shape}: expected ({len(X)},) or ({len(population)}, {len(X)}).")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise DataError("Row weights must be finite and not negative.")
    return HostData(X, T, weights)


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


def _total_weights(weights: np.ndarray | None, rows: RowSets) -> np.ndarray:
    """(P,) float64: the number of each network's rows, or the sum of their weights."""
    if weights is None:
        return rows.count.astype(np.float64)
    totals = np.empty(len(rows.count))
    for p, count in enumerate(rows.count):
        chosen = rows.index[0 if rows.shared else p, :count]
        totals[p] = (weights[p] if weights.ndim == 2 else weights)[chosen].sum()
    if not (totals > 0).all():
        raise DataError(f"Network {int(np.argmin(totals))} has training rows of weight 0 only.")
    return totals


def _fetch_once(backend: Backend, metrics: Array) -> Any:
    """A function that brings the metrics to the host when first called."""
    fetched: list[np.ndarray] = []

    def fetch() -> np.ndarray:
        if not fetched:
            fetched.append(backend.to_host(metrics))
        return fetched[0]

    return fetch
