"""What a training of large networks by fused kernels changes, and the memory that it works in."""

from __future__ import annotations

import numpy as np

from gpubp.backends import Array, Backend, Program
from gpubp.engines.arguments import named_state, optimizer_state, pack_hyperparameters, split_seeds
from gpubp.engines.array.buffers import Buffers
from gpubp.engines.array.fused_kernel import FusedKernel, Launcher, parts_of
from gpubp.networks.plan import MOST_UPDATES, TrainingPlan
from gpubp.operations.dropout import thresholds
from gpubp.operations.hyperparameters import Hyperparameters


class FusedState:
    """Parameters (P, K), state arrays (slots, P, K), loss sums (P,) on the device; `compact` drops networks that have
    stopped. In the place of the slot "steps" is the number of each network's updates, (P,) int32.
    """

    def __init__(self, backend: Backend, params: Array, plan: TrainingPlan, program: Program) -> None:
        """params (P, K), C-contiguous, is trained in place. program: of a FusedKernel."""
        self.backend, self.architecture, self.settings = backend, plan.architecture, plan.settings
        self.launch = Launcher(program)
        self.parts = parts_of(plan.architecture)
        self.params, self.batch_size = params, plan.batch_size
        self.slots = optimizer_state(plan, params)
        self.updates = backend.to_device(np.minimum(plan.updates, MOST_UPDATES).astype(np.int32))
        self.has_l2 = bool(np.any(plan.hyper["l2"]))
        self.loss_sum = backend.xp.zeros(len(params), dtype=np.float64)
        self.seeds = split_seeds(backend, plan.seeds)
        self.drop_below: list[Array] = []  # (P,) for each hidden layer: see dropout.h
        self.drop_scale: list[Array] = []
        if plan.dropout is not None:
            self.drop_below = [backend.to_device(thresholds(share)) for share in plan.dropout.T]
            self.drop_scale = [backend.to_device(1.0 / (1.0 - share), plan.dtype) for share in plan.dropout.T]
        self.epoch = 0
        self.set_hyperparameters(plan.hyper)

    def set_hyperparameters(self, hyper: dict[str, np.ndarray]) -> None:
        """(P,) float64 for each hyperparameter."""
        dtype = np.dtype(self.params.dtype)
        self.hyper = Hyperparameters(self.backend, hyper, dtype)
        self.table = self.backend.to_device(pack_hyperparameters(hyper, dtype))
        self._lay_out()

    def _lay_out(self) -> None:
        """Everything that follows from which networks are in."""
        dtype = np.dtype(self.params.dtype)
        kernel = FusedKernel(dtype.name, self.settings.loss, self.settings.optimizer, self.averages)
        self.steps = self.backend.xp.empty((kernel.step_numbers, len(self.params)), dtype=dtype)
        self.buffers = Buffers(self.backend, dtype)

    def compact(self, keep: Array) -> None:
        """Go on with the networks at the places `keep` (a device array of int64) alone."""
        xp = self.backend.xp
        self.params = self.params[keep]
        self.slots = None if self.slots is None else xp.ascontiguousarray(self.slots[:, keep])
        self.updates, self.loss_sum = self.updates[keep], self.loss_sum[keep]
        self.hyper = self.hyper.networks(keep)
        self.table = xp.ascontiguousarray(self.table[:, keep])
        self.seeds = (self.seeds[0][keep], self.seeds[1][keep])
        self.drop_below = [below[keep] for below in self.drop_below]
        self.drop_scale = [scale[keep] for scale in self.drop_scale]
        self._lay_out()

    @property
    def averages(self) -> bool:
        """Whether params is a running average of the weights that are trained."""
        return self.settings.average is not None

    @property
    def trained(self) -> Array:
        """(P, K): the weights that gradients are taken at."""
        return self.params if self.slots is None or not self.averages else self.slots[-1]

    @property
    def named_slots(self) -> dict[str, Array]:
        """The state arrays (P, K) by name: see `Settings.state_arrays`."""
        return named_state(self.settings, self.slots)

    def begin_epoch(self, epoch: int, dropout: tuple[Array, Array] | None = None) -> None:
        """dropout: thresholds and scales (P, hidden layers) of this epoch, where epochs differ in them."""
        self.epoch = epoch
        if dropout is not None:
            for layer in range(len(self.drop_below)):  # slices have views of them
                self.drop_below[layer][...] = dropout[0][:, layer]
                self.drop_scale[layer][...] = dropout[1][:, layer]
        self.loss_sum[...] = 0.0
