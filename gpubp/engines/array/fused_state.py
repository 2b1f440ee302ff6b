"""What a training of large networks by fused kernels changes, and the memory that it works in."""

from __future__ import annotations

import numpy as np

from gpubp.backends import Array, Backend, Program
from gpubp.engines.arguments import pack_hyperparameters, split_seeds
from gpubp.engines.array.buffers import Buffers
from gpubp.engines.array.fused_kernel import STEP_NUMBERS, Launcher, parts_of
from gpubp.networks.plan import MOST_UPDATES, TrainingPlan
from gpubp.operations.dropout import thresholds
from gpubp.operations.optimizers import Hyperparameters


class FusedState:
    """Parameters, optimizer slots, loss sums, all (P, K) or (P, …) on the device; `compact` drops networks that have
    stopped. In the place of the slot "steps" is the number of each network's updates, (P,) int32.
    """

    def __init__(self, backend: Backend, params: Array, plan: TrainingPlan, program: Program) -> None:
        """params (P, K), C-contiguous, is trained in place. program: of a kernels.fused.FusedKernel."""
        self.backend, self.architecture, self.settings = backend, plan.architecture, plan.settings
        self.launch = Launcher(program)
        self.parts = parts_of(plan.architecture)
        self.params, self.batch_size = params, plan.batch_size
        self.slots = [self._slot(name, plan) for name in plan.settings.optimizer_rule.slots]
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

    def _slot(self, name: str, plan: TrainingPlan) -> Array:
        if name in plan.slots:
            return self.backend.to_device(plan.slots[name].astype(plan.dtype))
        return None if name == "steps" else self.backend.xp.zeros_like(self.params)

    def set_hyperparameters(self, hyper: dict[str, np.ndarray]) -> None:
        """(P,) float64 for each hyperparameter."""
        dtype = np.dtype(self.params.dtype)
        self.hyper = Hyperparameters(self.backend, hyper, dtype)
        self.table = self.backend.to_device(pack_hyperparameters(hyper, dtype))
        self._lay_out()

    def _lay_out(self) -> None:
        """Everything that follows from which networks are in."""
        dtype = np.dtype(self.params.dtype)
        self.steps = self.backend.xp.empty((STEP_NUMBERS, len(self.params)), dtype=dtype)
        self.buffers = Buffers(self.backend, dtype)

    def compact(self, keep: Array) -> None:
        """Go on with the networks at the places `keep` (a device array of int64) alone."""
        xp = self.backend.xp
        self.params = self.params[keep]
        self.slots = [None if slot is None else slot[keep] for slot in self.slots]
        self.updates, self.loss_sum = self.updates[keep], self.loss_sum[keep]
        self.hyper = self.hyper.networks(keep)
        self.table = xp.ascontiguousarray(self.table[:, keep])
        self.seeds = (self.seeds[0][keep], self.seeds[1][keep])
        self.drop_below = [below[keep] for below in self.drop_below]
        self.drop_scale = [scale[keep] for scale in self.drop_scale]
        self._lay_out()

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.loss_sum[...] = 0.0
