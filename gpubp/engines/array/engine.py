"""The array engine: matrix products by a library, update by update, on whichever backend. It serves everything.

Between the products it runs the reference kernels, one NumPy or CuPy call after the other; for large networks, where
each of these calls is a pass over memory, fused kernels (fused_learner.py).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gpubp.backends import Array, Program
from gpubp.backends.interruption import Interruption
from gpubp.engines.array.batches import Batches, DeviceTable
from gpubp.engines.array.fused_batches import FusedBatches
from gpubp.engines.array.fused_kernel import FusedKernel
from gpubp.engines.array.fused_kernel import refusal as fused_refusal
from gpubp.engines.array.fused_learner import FusedLearner
from gpubp.engines.array.update import Learner
from gpubp.engines.array.validation import Validation
from gpubp.errors import BackendError
from gpubp.networks.plan import TrainingPlan
from gpubp.networks.settings import SCHEDULED
from gpubp.operations.dense import has_own_rates
from gpubp.operations.dropout import thresholds
from gpubp.operations.smoothing import Smoothing

# Parameters from which on a network is large: below, an update's calls of kernels take as long as what they save.
FUSED_PARAMETERS = 200_000


def uses_fused_kernels(plan: TrainingPlan) -> bool:
    """Whether the networks are large, and the machine can compile.

    By the network alone, not by how many there are or how long they are trained: so a network gives the same bits
    alone and among others, and in one training and in several that go on from each other.
    """
    large = plan.architecture.n_parameters >= FUSED_PARAMETERS
    served = fused_refusal(plan.architecture, plan.settings.loss, plan.batch_size) is None
    served = served and not has_own_rates(plan.hyper)
    return large and served and plan.backend.compiler_missing() is None


def fused_program(plan: TrainingPlan) -> Program | None:
    """The compiled kernels; None, with a warning, where the compiler is there but does not work."""
    settings = plan.settings
    kernel = FusedKernel(plan.dtype.name, settings.loss, settings.optimizer, settings.average is not None)
    try:
        return plan.backend.compile(kernel.source, kernel.definitions())
    except BackendError as error:
        plan.backend.compiling_failed(error)
        return None


class ArrayEngine:
    name = "array"

    def __init__(
        self, plan: TrainingPlan, params: Array, program: Program | None = None, buffers: Learner | None = None
    ) -> None:
        """params (P, K) is trained in place. program: fused kernels to use, whatever the networks' size. buffers: of an
        earlier training, which serve this one.
        """
        self.backend, self.plan = plan.backend, plan
        to_device = self.backend.to_device
        weights = None if plan.weights is None else to_device(plan.weights, plan.dtype)
        self.table = DeviceTable(to_device(plan.X, plan.dtype), to_device(plan.T, plan.dtype), weights)
        self.validation_table = self.table
        if plan.T_validation is not plan.T:
            self.validation_table = DeviceTable(self.table.X, to_device(plan.T_validation, plan.dtype), weights)
        if program is None and buffers is None and uses_fused_kernels(plan):
            program = fused_program(plan)
        self.learner: Learner | FusedLearner
        if buffers is not None:
            self.learner = buffers
            buffers.go_on(plan, params)
        elif program is None:
            self.learner = Learner(self.backend, params, plan)
        else:
            self.learner = FusedLearner(self.backend, params, plan, program)
        self.plan = replace(plan, slots={})
        self._lay_out()

    @property
    def buffers(self) -> Learner | None:
        alone = self.plan.n_networks == 1 and self.plan.settings.epochs == 1 and self.backend.on_host
        return self.learner if alone and isinstance(self.learner, Learner) else None

    def _lay_out(self) -> None:
        """Everything that follows from which networks are in: batches, totals, rates."""
        plan, backend = self.plan, self.backend
        kind = FusedBatches if isinstance(self.learner, FusedLearner) else Batches
        self.batches = kind(backend, self.table, plan.rows, plan.seeds, plan.batch_size, plan.settings.shuffle)
        self.denominator = backend.to_device(plan.total_weight)
        self.validation: Validation | None = None
        if plan.validation is not None:
            loss = plan.settings.loss_function
            options = self.learner.hyper.of_each_output(option.name for option in loss.options)
            self.validation = Validation(
                backend, plan.architecture, loss, self.validation_table, plan.validation, plan.spread, options
            )
        self.smoothing: Smoothing | None = None
        if plan.smoothing is not None:
            ends = (plan.smoothing.hit, plan.smoothing.miss)
            self.smoothing = Smoothing(*(backend.to_device(each, plan.dtype)[:, None] for each in ends))
        self.varying = [what for what in SCHEDULED if plan.varies(what)]
        if self.varying:
            self.steps = backend.to_device(plan.steps.astype(np.float64))
            self.count = backend.to_device(plan.rows.count.astype(np.float64))

    @property
    def params(self) -> Array:
        return self.learner.params

    def run(self, epoch: int, n_epochs: int, interruption: Interruption) -> tuple[Array, int]:
        done: list[Array] = []
        dropout = self._dropout(epoch, n_epochs)
        for e in range(epoch, epoch + n_epochs):
            updates = self._epoch(e, interruption, None if dropout is None else dropout[e - epoch])
            if updates:
                return self._stacked(done), updates
            done.append(self._metrics())
        return self._stacked(done), 0

    def _stacked(self, metrics: list[Array]) -> Array:
        if not metrics:
            return self.backend.xp.empty((3, 0, self.plan.n_networks), dtype=np.float64)
        return metrics[0][:, None] if len(metrics) == 1 else self.backend.xp.stack(metrics, axis=1)

    def _dropout(self, epoch: int, n_epochs: int) -> list[tuple[Array, Array]] | None:
        """Thresholds and scales (P, hidden layers) for each epoch; None where all have the same."""
        if "dropout" not in self.varying:
            return None
        shares = self.plan.dropout_shares(epoch, n_epochs)
        below = self.backend.to_device(thresholds(shares))
        scale = self.backend.to_device(1.0 / (1.0 - shares), self.plan.dtype)
        return [(below[e], scale[e]) for e in range(len(below))]

    def _epoch(self, epoch: int, interruption: Interruption, dropout: tuple[Array, Array] | None) -> int:
        """One epoch; the number of its updates if it was cut short by Ctrl-C, else 0."""
        learner, constant_rate, rates = self.learner, self.learner.hyper.rate, self._rates(epoch)
        decays, smoothing = self._factors("decay", epoch), self.smoothing
        amounts = self._factors("smoothing", epoch)
        if smoothing is not None and amounts is not None:
            smoothing = smoothing.times(amounts)
        learner.begin_epoch(epoch, dropout)
        for batch in self.batches.epoch(epoch):
            at = batch.step.number
            learner.update(
                batch,
                constant_rate if rates is None else rates[at],
                None if decays is None else decays[at],
                smoothing if smoothing is None or amounts is None else smoothing.networks(at),
            )
            if interruption.requested:
                return batch.step.number + 1
        return 0

    def _rates(self, epoch: int) -> Array | None:
        """(steps, P, 1): the learning rate of every update of this epoch, on the device; None where it is constant."""
        factor = self._moments("rate", epoch)
        if factor is None:
            return None
        return (factor[:, :, None] * self.learner.hyper.exact["rate"]).astype(self.params.dtype)

    def _factors(self, what: str, epoch: int) -> Array | None:
        """(steps, P, 1), as `_rates`: by what L2 and weight decay, or the labels' smoothing, are multiplied."""
        factor = self._moments(what, epoch)
        return None if factor is None else factor[:, :, None].astype(self.params.dtype)

    def _moments(self, what: str, epoch: int) -> Array | None:
        """(steps, P) float64: a schedule's factors for the updates of this epoch."""
        if what not in self.varying:
            return None
        xp = self.backend.xp
        step = xp.arange(self.batches.steps_per_epoch, dtype=np.float64)[:, None]
        moment = epoch + xp.minimum(step / self.steps, 1.0)
        return self.plan.settings.factor(what, xp, moment, self.count, self.plan.n_epochs)

    def _metrics(self) -> Array:
        """(3, P) float64 on the device: training loss, validation loss, validation score."""
        metrics = self.backend.xp.full((3, self.plan.n_networks), np.nan, dtype=np.float64)
        metrics[0] = self.learner.loss_sum / self.denominator
        if self.validation is not None:
            metrics[1], metrics[2] = self.validation.evaluate(self.params)
        return metrics

    def compact(self, keep: np.ndarray) -> None:
        on_device = self.backend.to_device(keep)
        self.plan = self.plan.networks(keep)
        self.learner.compact(on_device)
        shared, self.table = self.table is self.validation_table, self.table.networks(on_device)
        self.validation_table = self.table if shared else self.validation_table.networks(on_device)
        self._lay_out()

    def set_rates(self, rates: np.ndarray) -> None:
        self.plan = replace(self.plan, hyper=self.plan.hyper | {"rate": rates})
        self.learner.set_hyperparameters(self.plan.hyper)

    def slots_on_host(self) -> dict[str, np.ndarray]:
        return {name: self.backend.to_host(slot) for name, slot in self.learner.named_slots.items()}

    def wait(self) -> None:
        self.backend.synchronize()
