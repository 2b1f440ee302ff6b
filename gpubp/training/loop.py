"""`train`: the epochs of a population, from the host's table to trained parameters and a history."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.backends.interruption import Interruption
from gpubp.backends.notices import warn_once
from gpubp.engines.base import Engine
from gpubp.engines.choose import EngineChoice, choose_engine
from gpubp.errors import BackendError, SettingsError
from gpubp.networks.plan import TrainingPlan
from gpubp.networks.population import Population
from gpubp.networks.preparation import prepare
from gpubp.networks.sampling import Rows
from gpubp.networks.settings import Settings, per_network
from gpubp.networks.state import TrainingState
from gpubp.operations.averaging import UNAVERAGED
from gpubp.training.early_stopping import EarlyStopper
from gpubp.training.history import Callback, EpochReport, History
from gpubp.training.log import Log, diverged_epochs
from gpubp.training.progress import progress_bar
from gpubp.training.snapshot import Snapshot, SnapshotSink

FINITE_AT_ONCE = 1 << 18  # parameters of each network that are looked at together
WATCHED_SECONDS = 1.0  # of a call; a watchdog gives it two or more
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
    resume: Snapshot | None = None,
    until: int | None = None,
    checkpoint: SnapshotSink | None = None,
) -> History:
    """Train every network of the population, in place.

    X (N, I) and T (N, O): one table for all networks; T one-hot for cross_entropy. They go to the device once; X may
    be there already.
    rows, validation_rows: None (all; no validation), an array of row numbers for all networks, or one array for each
    network. Rows may repeat (bagging). row_weights: (N,) or (P, N), not negative; they count in the loss, the mean
    being over the weights, and in the validation.
    engine: "auto" (see `choose_engine`), "lane", "block" or "array".
    callbacks are called after each epoch (see EpochReport); `progress` draws a bar on standard error.

    Three ways to go on. state: of a training that has ended; this one begins where that one left off, for
    settings.epochs more, and brings the state up to date; history and early stopping begin anew. until: pause after so
    many epochs of settings.epochs; with the same arguments and resume=history.snapshot another call goes on, to the
    bits of a training without a pause. checkpoint: keeps snapshots at intervals, for a training that may be killed (see
    `Checkpoint`).

    Ctrl-C ends the training after the update at hand (array engine) or the call at hand (the others: about 0.2 s, at
    least one epoch): the best weights so far are kept where early stopping keeps them, else the latest. Networks whose
    numbers stop being finite are marked in the history and disturb no other.

    Raises SettingsError, DataError and BackendError before anything is changed.
    """
    if until is not None and not 1 <= until <= settings.epochs:
        raise SettingsError(f"until={until}: pause after one of the {settings.epochs} epochs.")
    plan = prepare(population, X, T, settings, rows, validation_rows, row_weights, state)
    if checkpoint is not None:
        resume = checkpoint.begin(population, plan) or resume
    try:
        run = _Run(population, plan, engine, state, resume, until)
        with Interruption() as interruption, population.backend.quiet(), progress_bar(progress) as bar:
            return run.train([*callbacks], [*bar], interruption, checkpoint)
    finally:
        if checkpoint is not None:
            checkpoint.let_go()


class _Run:
    """One training: the networks still in it, sorted so that those with equally many rows are neighbours."""

    def __init__(
        self,
        population: Population,
        plan: TrainingPlan,
        engine: str,
        state: TrainingState | None,
        resume: Snapshot | None,
        until: int | None,
    ) -> None:
        self.state, self.first_epoch, self.settings = state, plan.first_epoch, plan.settings
        self.steps, self.updates = plan.steps, plan.updates
        self.rates = plan.hyper["rate"].copy()
        self.slots: dict[str, np.ndarray] = {}
        self.population, self.backend = population, population.backend
        self.validated = plan.validation is not None
        self.n_epochs, self.pauses = until or plan.settings.epochs, bool(until)
        self.stopper = EarlyStopper(plan.settings.early_stopping, len(population), self.validated)
        self.log = Log(self.backend, len(population), on_host=self.stopper.active)
        self.resumed, self.epoch, self.seconds = resume, 0, 0.0
        self.order = np.arange(plan.n_networks)
        if len(self.order) > 1:
            second = np.zeros_like(self.order) if plan.validation is None else plan.validation.count
            self.order = np.lexsort((self.order, second, -plan.rows.count))
        self.wanted = engine
        if resume is not None:
            self._resume(plan, engine, resume)
        elif not self._go_on(plan):
            self._begin(plan, choose_engine(plan, engine))

    def _go_on(self, plan: TrainingPlan) -> bool:
        """Whether the last call left buffers that serve these networks too: then no engine is chosen, and none is built
        from nothing. Both together take as long as a small network's update.
        """
        kept = None if self.state is None else self.state.take_buffers()
        if kept is None:
            return False
        wanted, choice, buffers = kept
        if wanted != self.wanted or not buffers.serve(plan):
            return False
        self.choice, self.in_place = choice, True
        self.engine = choice.build(plan, self.population.params, buffers)
        return True

    def _begin(self, plan: TrainingPlan, choice: EngineChoice, params: np.ndarray | None = None) -> None:
        """params (P, K): to go on from, instead of the population's."""
        self.choice, backend = choice, self.backend
        in_order = np.array_equal(self.order, np.arange(plan.n_networks))
        self.in_place = params is None and in_order
        if params is not None:
            on_device = backend.to_device(params[self.order])
        else:
            found = self.population.params
            on_device = found if self.in_place else found[backend.to_device(self.order)]
        self.engine = self._build(plan if in_order else plan.networks(self.order), on_device)

    def _build(self, plan: TrainingPlan, params: Array) -> Engine:
        """The chosen engine; the one that needs no compiler where nobody asked for another, and that cannot be had."""
        try:
            return self.choice.build(plan, params)
        except BackendError as error:
            if self.choice.asked_for or not self.choice.compiled:
                raise
            self.backend.compiling_failed(error)
            self.choice = self.choice.without_a_kernel(f"no kernel: {error}")
            return self.choice.build(plan, params)

    def _resume(self, plan: TrainingPlan, engine: str, snapshot: Snapshot) -> None:
        """Everything as it was in the pause; the population gets what it would have, had the training ended there."""
        snapshot.check(self.population, plan)
        if engine not in ("auto", snapshot.engine):
            raise SettingsError(
                f"The snapshot was taken of a training by the engine {snapshot.engine}, and another would not give the "
                f"same bits: resume it with engine={snapshot.engine!r}, or auto."
            )
        self.epoch, self.seconds, self.rates = snapshot.epoch, snapshot.seconds, snapshot.rates.copy()
        self.order = self.order[snapshot.active[self.order]]
        self.slots = {name: slot.copy() for name, slot in snapshot.slots.items()}
        self.log.go_on(snapshot.metrics, snapshot.epochs)
        best = snapshot.best_params
        self.stopper.restore(
            snapshot.best,
            snapshot.waited,
            snapshot.best_epoch,
            None if best is None else self.backend.to_device(best[self.order]),
        )
        self.population.params[...] = self.backend.to_device(snapshot.result)
        self.choice = EngineChoice(snapshot.engine, "as before the pause", {})
        if not self.ended:
            rest = snapshot.rest(plan)
            self._begin(rest, choose_engine(rest, snapshot.engine), snapshot.params)

    @property
    def ended(self) -> bool:
        return self.epoch >= self.n_epochs or len(self.order) == 0

    def train(
        self,
        callbacks: Sequence[Callback],
        onlookers: Sequence[Callback],
        interruption: Interruption,
        checkpoint: SnapshotSink | None,
    ) -> History:
        """onlookers: callbacks that cannot end the training, and need not hear of an epoch at once."""
        started, already = time.perf_counter(), self.ended
        ends, updates = False, 0
        at_once = 1 if callbacks or already else self._first_epochs()
        while not self.ended and not ends and not interruption.requested:
            began = time.perf_counter()
            count = min(at_once, self.n_epochs - self.epoch, self.stopper.sure_epochs(self.order))
            metrics, updates = self.engine.run(self.first_epoch + self.epoch, count, interruption)
            count = metrics.shape[1]
            fetched = _fetch_once(self.backend, metrics)
            reports = [
                EpochReport(self.epoch + e, self.n_epochs, self.order, _column(fetched, e)) for e in range(count)
            ]
            for report in reports:
                wishes = [callback(report) for callback in (*callbacks, *onlookers)]  # everyone hears of every epoch
                ends = ends or any(wishes)
            self.log.add(self.epoch, self.order, fetched() if self.stopper.active else metrics)
            if self.stopper.active:
                self._stop(reports)
            self.epoch += count
            ends = ends or bool(updates)
            at_once = 1 if callbacks else self._epochs_at_once(count, began)
            if checkpoint is not None and not updates:
                if checkpoint.due(self.epoch, interruption.requested):
                    checkpoint.keep(self._snapshot(time.perf_counter() - started))
                ends = ends or checkpoint.ends()
        seconds = time.perf_counter() - started
        snapshot = None
        if self.pauses and not updates:
            snapshot = self.resumed if already and len(self.order) else self._snapshot(seconds)
        if not already:
            self._finish()
        if self.state is not None:
            self._bring_up_to_date(self.state, updates)
        return self._history(interruption.requested, self.seconds + seconds, snapshot)

    def _first_epochs(self) -> int:
        """How many epochs the first call may take: by the estimate, with room for a machine four times as slow; where
        there is a watchdog, one.
        """
        if self.backend.watchdog:
            return 1
        estimate = self.choice.seconds.get(self.engine.name, np.inf) / (self.settings.epochs - self.epoch)
        return max(1, min(int(LONGEST_CALL / 4 / estimate), self.settings.epochs))

    def _epochs_at_once(self, count: int, began: float) -> int:
        """How many epochs the next call may take, by the time that the last one took."""
        self.engine.wait()
        seconds = max(time.perf_counter() - began, 1e-6)
        if self.backend.watchdog and count == 1 and seconds > WATCHED_SECONDS and self.choice.compiled:
            warn_once(
                f"An epoch takes {seconds:.1f} s on a CUDA device whose watchdog ends launches of a few seconds. "
                "Should the training fail, choose engine='array', a device without a display, or fewer rows."
            )
        return max(1, min(int(count * LONGEST_CALL / seconds), 8 * count))

    def _stop(self, reports: Sequence[EpochReport]) -> None:
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
        if self.settings.schedule_rule.steers:
            stopped = self._slow_down(stopped & ~lost_before, reports[-1].fetch()[0])
        stopped = stopped | lost_before
        self.log.epochs[self.order[stopped]] = ended[stopped]
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
        if self.state is not None or self.pauses:
            self._keep_slots(places)

    def _keep_slots(self, places: np.ndarray) -> None:
        for name, values in self.engine.slots_on_host().items():
            if name not in self.slots:
                self.slots[name] = np.zeros(self.population.params.shape, dtype=values.dtype)
            self.slots[name][self.order[places]] = values[places]

    def _finish(self) -> None:
        if len(self.order) and not (self.in_place and not self.stopper.keeps_best):
            self._write_back(np.arange(len(self.order)))
        elif self.state is not None and len(self.order) == len(self.population):  # all of them, in their order
            self.slots = self.engine.slots_on_host()

    def _snapshot(self, seconds: float) -> Snapshot:
        """After the last whole epoch. seconds: of this call."""
        networks, order, to_host = len(self.population), self.order, self.backend.to_host
        params = to_host(self.population.params).copy()  # of those that have left: what they ended with
        best = params.copy() if self.stopper.keeps_best else None
        slots = {name: slot.copy() for name, slot in self.slots.items()}
        if len(order):
            params[order] = to_host(self.engine.params)
            if best is not None:
                best[order] = to_host(self.stopper.kept(self.engine.params))
            for name, values in self.engine.slots_on_host().items():
                slots.setdefault(name, np.zeros(params.shape, dtype=values.dtype))[order] = values
        active = np.zeros(networks, dtype=bool)
        active[order] = True
        return Snapshot(
            epoch=self.epoch if len(order) else self.n_epochs,
            engine=self.choice.engine,
            validated=self.validated,
            params=params,
            slots=slots,
            updates=self.updates + self.log.epochs * self.steps,
            rates=self.rates.copy(),
            active=active,
            epochs=self.log.epochs.copy(),
            metrics=self.log.table(),
            best=self.stopper.best.copy(),
            waited=self.stopper.waited.copy(),
            best_epoch=self.stopper.best_epoch.copy(),
            best_params=best,
            seconds=self.seconds + seconds,
        )

    def _bring_up_to_date(self, state: TrainingState, further_updates: int) -> None:
        """further_updates: of an epoch that Ctrl-C cut short."""
        epochs = self.log.epochs
        rates = per_network("rate", self.settings.learning_rate, len(epochs))
        state.epoch = self.first_epoch + int(epochs.max(initial=0))
        state.updates = self.updates + epochs * self.steps + further_updates
        state.slots = self.slots
        if UNAVERAGED in state.slots and self.stopper.keeps_best:  # a new training begins with the best
            state.slots = {**state.slots, UNAVERAGED: self.population.state()["params"]}
        state.rate_factor = self.rates / rates
        buffers = self.engine.buffers if self.in_place else None
        state.buffers = None if buffers is None else (self.wanted, self.choice, buffers)

    def _history(self, interrupted: bool, seconds: float, snapshot: Snapshot | None) -> History:
        backend, table, epochs = self.backend, self.log.table(), self.log.epochs
        finite = backend.to_host(_all_finite(backend, self.population.params))
        return History(
            training_loss=table[0],
            validation_loss=table[1] if self.validated else None,
            validation_score=table[2] if self.validated else None,
            epochs=epochs,
            best_epoch=self.stopper.best_epoch,
            diverged_epoch=diverged_epochs(table, epochs, self.validated, finite),
            interrupted=interrupted,
            seconds=seconds,
            backend=backend.name,
            engine=self.choice.engine,
            engine_reason=self.choice.reason,
            bits_settings=backend.bits_settings(),
            snapshot=snapshot,
        )


def _all_finite(backend: Backend, params: Array) -> Array:
    """(P,) bool; a piece of the columns at a time, so that a large network's mask takes no memory."""
    finite = backend.xp.ones(len(params), dtype=bool)
    for start in range(0, params.shape[1], FINITE_AT_ONCE):
        finite &= backend.xp.isfinite(params[:, start : start + FINITE_AT_ONCE]).all(axis=1)
    return finite


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
