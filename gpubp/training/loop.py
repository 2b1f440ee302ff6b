"""`train`: the epochs of a population, from the host's table to trained parameters and a history."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.errors import DataError
from gpubp.kernels.reference.losses import Loss, smooth_labels
from gpubp.population import Population
from gpubp.sampling import Rows, RowSets
from gpubp.training.choice import choose_engine
from gpubp.training.early_stopping import Stopper
from gpubp.training.engine import Work, hyperparameters, total_weights
from gpubp.training.history import Callback, EpochReport, History
from gpubp.training.interruption import Interruption
from gpubp.training.progress import progress_bar
from gpubp.training.settings import Settings
from gpubp.training.state import TrainingState
from gpubp.training.validation import is_classification, target_spread

FINITE_AT_ONCE = 1 << 18  # parameters of each network that are looked at together
LONGEST_CALL = 0.2  # seconds that one call of an engine may take, since Ctrl-C and the progress bar wait for it


def train(
    population: Population,
    X: Array,
    T: np.ndarray,
    settings: Settings,
    *,
    rows: Rows = None,
    validation_rows: Rows = None,
    row_weights: np.ndarray | None = None,
    engine: str = "auto",
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
    state: TrainingState | None = None,
) -> History:
    """Train every network of the population, in place.

    X (N, I) and T (N, O): one table for all networks; T one-hot for cross_entropy. They go to the device once; X may
    be there already.
    rows, validation_rows: None (all; no validation), an array of row numbers for all networks, or one array for each
    network. Rows may repeat (bagging). row_weights: (N,) or (P, N), not negative; they count in the loss, the mean
    being over the weights, and in the validation.
    engine: "auto" (see `choose_engine`), "lane", "block" or "array".
    callbacks are called after each epoch (see EpochReport); `progress` draws a bar on standard error.
    state: where an earlier call left off; this one goes on from there for settings.epochs more, and brings the state up
    to date. The history, and early stopping, begin anew.

    Ctrl-C ends the training after the update at hand (array engine) or the call at hand (the others: about 0.2 s, at
    least one epoch): the best weights so far are kept where early stopping keeps them, else the latest. Networks whose
    numbers stop being finite are marked in the history and disturb no other.

    Raises SettingsError, DataError and BackendError before anything is changed.
    """
    run = _Run(population, X, T, settings, rows, validation_rows, row_weights, engine, state)
    with Interruption() as interruption, population.backend.quiet(), progress_bar(progress) as bar:
        return run.train([*callbacks], [*bar], interruption)


class _Run:
    """One training: the networks still in it, sorted so that those with equally many rows are neighbours."""

    def __init__(
        self,
        population: Population,
        X: Array,
        T: np.ndarray,
        settings: Settings,
        rows: Rows,
        validation_rows: Rows,
        row_weights: np.ndarray | None,
        engine: str,
        state: TrainingState | None,
    ) -> None:
        work = prepare(population, X, T, settings, rows, validation_rows, row_weights, state)
        self.state, self.first_epoch = state, work.first_epoch
        self.steps, self.updates = work.steps, work.updates
        self.rates = work.hyper["rate"].copy()
        self.slots: dict[str, np.ndarray] = {}
        self.population, self.settings, self.backend = population, settings, population.backend
        self.stopper = Stopper(settings.early_stopping, len(population), work.held is not None)
        self.validated = work.held is not None
        self.choice = choose_engine(work, engine)
        second = np.zeros(work.n_networks, dtype=np.int64) if work.held is None else work.held.count
        self.order = np.lexsort((np.arange(work.n_networks), second, -work.rows.count))
        self.in_place = bool(np.all(self.order == np.arange(work.n_networks)))
        params = population.params if self.in_place else population.params[self.backend.to_device(self.order)]
        self.engine = self.choice.build(work.networks(self.order), params)

    def train(
        self, callbacks: Sequence[Callback], onlookers: Sequence[Callback], interruption: Interruption
    ) -> History:
        """onlookers: callbacks that cannot end the training, and need not hear of an epoch at once."""
        started = time.perf_counter()
        n_epochs, n_networks = self.settings.epochs, len(self.population)
        log = _Log(self.backend, n_networks, on_host=self.stopper.active)
        epoch, at_once, ends, updates = 0, 1, False, 0
        while epoch < n_epochs and not ends and not interruption.requested:
            began = time.perf_counter()
            count = min(at_once, n_epochs - epoch, self.stopper.sure_epochs(self.order))
            metrics, updates = self.engine.run(self.first_epoch + epoch, count, interruption)
            count = metrics.shape[1]
            fetched = _fetch_once(self.backend, metrics)
            reports = [EpochReport(epoch + e, n_epochs, self.order, _column(fetched, e)) for e in range(count)]
            for report in reports:
                wishes = [callback(report) for callback in (*callbacks, *onlookers)]  # everyone hears of every epoch
                ends = ends or any(wishes)
            log.add(epoch, self.order, fetched() if self.stopper.active else metrics)
            if self.stopper.active:
                self._stop(reports, log)
            epoch += count
            ends = ends or bool(updates) or len(self.order) == 0
            at_once = 1 if callbacks else self._epochs_at_once(count, began)
        self._finish()
        if self.state is not None:
            self._bring_up_to_date(self.state, log.epochs, updates)
        return self._history(log, interruption.requested, time.perf_counter() - started)

    def _epochs_at_once(self, count: int, began: float) -> int:
        """How many epochs the next call may take, by the time that the last one took."""
        self.engine.wait()
        seconds = max(time.perf_counter() - began, 1e-6)
        return max(1, min(int(count * LONGEST_CALL / seconds), 8 * count))

    def _stop(self, reports: Sequence[EpochReport], log: _Log) -> None:
        """Look at each epoch of a call, and go on without the networks that stop: those at the end of their patience
        with the last epoch, those that are lost with the one that lost them.
        """
        ended = np.zeros(len(self.order), dtype=np.int64)  # the number of epochs after which a network stopped, or 0
        for report in reports:
            stopped = self.stopper.look(report.epoch, self.order, report.fetch(), self.engine.params, self.backend)
            ended = np.where(stopped & (ended == 0), report.epoch + 1, ended)
        if not ended.any():
            return
        lost_before = (ended > 0) & (ended <= reports[-1].epoch)
        if self.settings.schedule == "adaptive":
            stopped = self._slow_down(stopped & ~lost_before, reports[-1].fetch()[0])
        stopped = stopped | lost_before
        log.epochs[self.order[stopped]] = ended[stopped]
        self._retire(stopped)

    def _slow_down(self, stopped: np.ndarray, losses: np.ndarray) -> np.ndarray:
        """The schedule "adaptive": who would stop goes on at a lower rate, unless that is low already or the network is
        lost. Who still stops, as a mask.
        """
        options = self.settings.all_schedule_options()
        slower = stopped & (self.rates[self.order] > options["least"]) & np.isfinite(losses)
        if slower.any():
            self.rates[self.order[slower]] *= options["factor"]
            self.stopper.go_on(self.order[slower])
            self.engine.set_rates(self.rates[self.order])
        return stopped & ~slower

    def _retire(self, stopped: np.ndarray) -> None:
        """Write back the networks at these places, and go on without them."""
        if not stopped.any():
            return
        self._write_back(np.flatnonzero(stopped))
        keep = np.flatnonzero(~stopped)
        self.order = self.order[keep]
        self.in_place = False
        if len(keep):
            self.engine.compact(keep)
            self.stopper.compact(self.backend.to_device(keep))

    def _write_back(self, places: np.ndarray) -> None:
        """The parameters of the networks at these places (of those still in) go to the population."""
        on_device = self.backend.to_device(places)
        params = self.stopper.kept(self.engine.params)[on_device]
        self.population.params[self.backend.to_device(self.order[places])] = params
        if self.state is not None:
            self._keep_slots(places)

    def _keep_slots(self, places: np.ndarray) -> None:
        for name, values in self.engine.slots_on_host().items():
            if name not in self.slots:
                self.slots[name] = np.zeros(self.population.params.shape, dtype=values.dtype)
            self.slots[name][self.order[places]] = values[places]

    def _finish(self) -> None:
        if len(self.order) and not (self.in_place and not self.stopper.keeps_best):
            self._write_back(np.arange(len(self.order)))
        elif self.state is not None:
            self._keep_slots(np.arange(len(self.order)))

    def _bring_up_to_date(self, state: TrainingState, epochs: np.ndarray, further_updates: int) -> None:
        """epochs (P,) that each network was trained; further_updates: of an epoch that Ctrl-C cut short."""
        rates = hyperparameters(self.settings, len(epochs))["rate"]
        state.epoch = self.first_epoch + int(epochs.max(initial=0))
        state.updates = self.updates + epochs * self.steps + further_updates
        state.slots = self.slots
        state.rate_factor = self.rates / rates

    def _history(self, log: _Log, interrupted: bool, seconds: float) -> History:
        backend = self.backend
        table = log.table()
        finite = backend.to_host(_all_finite(backend, self.population.params))
        epochs = log.epochs
        diverged = _first_lost(table[0], epochs)
        if self.validated:  # too far out for the validation rows, though not yet for the training rows
            never_back = ~np.isfinite(table[1][epochs - 1, np.arange(len(epochs))]) if len(table[1]) else False
            diverged = np.where(never_back & (diverged < 0), _first_lost(table[1], epochs), diverged)
        diverged = np.where(~finite & (diverged < 0), np.maximum(epochs - 1, 0), diverged)
        return History(
            training_loss=table[0],
            validation_loss=table[1] if self.validated else None,
            validation_score=table[2] if self.validated else None,
            epochs=epochs,
            best_epoch=self.stopper.best_epoch,
            diverged_epoch=diverged,
            interrupted=interrupted,
            seconds=seconds,
            backend=backend.name,
            engine=self.engine.name,
            engine_reason=self.choice.reason,
        )


def _all_finite(backend: Backend, params: Array) -> Array:
    """(P,) bool; a piece of the columns at a time, so that a large network's mask takes no memory."""
    finite = backend.xp.ones(len(params), dtype=bool)
    for start in range(0, params.shape[1], FINITE_AT_ONCE):
        finite &= backend.xp.isfinite(params[:, start : start + FINITE_AT_ONCE]).all(axis=1)
    return finite


def _first_lost(losses: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """(P,): the first of each network's epochs whose loss (E, P) is not finite, −1 where there is none."""
    lost = ~np.isfinite(losses) & (np.arange(len(losses))[:, None] < epochs)
    return np.where(lost.any(axis=0), lost.argmax(axis=0) if len(lost) else -1, -1)


class _Log:
    """The metrics of every epoch: on the device until the end, unless early stopping has them on the host anyway."""

    def __init__(self, backend: Backend, n_networks: int, on_host: bool) -> None:
        self.backend, self.on_host, self.n_networks = backend, on_host, n_networks
        self.parts: list[tuple[np.ndarray, Any]] = []
        self.epochs = np.zeros(n_networks, dtype=np.int64)

    def add(self, epoch: int, order: np.ndarray, metrics: Any) -> None:
        """metrics (3, epochs, networks), from `epoch` on, of the networks at the places `order`."""
        self.parts.append((order, metrics))
        self.epochs[order] = epoch + metrics.shape[1]

    def table(self) -> np.ndarray:
        """(3, E, P) float64 on the host, in one transfer."""
        if not self.parts:
            return np.full((3, 0, self.n_networks), np.nan)
        if not self.on_host:  # no network left on the way, so all parts are of one order
            order = self.parts[0][0]
            joined = self.backend.xp.concatenate([metrics for _, metrics in self.parts], axis=1)
            self.parts = [(order, self.backend.to_host(joined))]
        table = np.full((3, sum(metrics.shape[1] for _, metrics in self.parts), self.n_networks), np.nan)
        epoch = 0
        for order, metrics in self.parts:
            table[:, epoch : epoch + metrics.shape[1], order] = metrics
            epoch += metrics.shape[1]
        return table


def prepare(
    population: Population,
    X: Array,
    T: np.ndarray,
    settings: Settings,
    rows: Rows = None,
    validation_rows: Rows = None,
    row_weights: np.ndarray | None = None,
    state: TrainingState | None = None,
) -> Work:
    """Everything checked, in the population's order: see `train` for the arguments and errors."""
    settings.check_architecture(population.architecture)
    n_networks = len(population)
    state = state or TrainingState()
    state.check(population, settings.optimizer_rule.arrays)
    hyper = hyperparameters(settings, n_networks)
    if state.rate_factor is not None:
        hyper["rate"] *= state.rate_factor
    data = check_data(population, X, T, settings.loss_function, row_weights)
    training = RowSets.of(rows, n_networks, len(data.X))
    held = None if validation_rows is None else RowSets.of(validation_rows, n_networks, len(data.X), "validation")
    total = total_weights(data.weights, training)
    if not (total > 0).all():
        raise DataError(f"Network {int(np.argmin(total))} has training rows of weight 0 only.")
    spread = None
    if held is not None and not is_classification(settings.loss_function):
        spread = target_spread(data.T, data.weights, held)
    return Work(
        backend=population.backend,
        architecture=population.architecture,
        settings=settings,
        dtype=population.dtype,
        X=data.X,
        T=smooth_labels(data.T, settings.label_smoothing) if settings.label_smoothing else data.T,
        T_held=data.T,
        weights=data.weights,
        seeds=population.seeds,
        rows=training,
        held=held,
        total_weight=total,
        spread=spread,
        hyper=hyper,
        dropout=settings.dropout_shares(n_networks, len(population.architecture.hidden)),
        first_epoch=state.epoch,
        updates=np.zeros(n_networks, dtype=np.int64) if state.updates is None else state.updates,
        slots=state.slots,
    )


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


def _fetch_once(backend: Backend, metrics: Array) -> Any:
    """A function that brings the metrics to the host when first called."""
    fetched: list[np.ndarray] = []

    def fetch() -> np.ndarray:
        if not fetched:
            fetched.append(backend.to_host(metrics))
        return fetched[0]

    return fetch


def _column(fetch: Callable[[], np.ndarray], epoch: int) -> Callable[[], np.ndarray]:
    return lambda: fetch()[:, epoch]
