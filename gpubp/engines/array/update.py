"""One update of a slice of the population: gradient of the mean loss, L2, clipping, optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.engines.array.batches import Batch
from gpubp.engines.array.decay import Decay
from gpubp.networks.plan import TrainingPlan
from gpubp.networks.sampling import Step
from gpubp.operations.averaging import UNAVERAGED, update_average
from gpubp.operations.dropout import Dropout
from gpubp.operations.hyperparameters import Hyperparameters, cast
from gpubp.operations.network import Tape, loss_and_gradient
from gpubp.operations.regularization import clip_by_global_norm
from gpubp.operations.smoothing import Smoothing


class Learner:
    """The arrays that a training changes, for the networks still in it: parameters, optimizer slots, loss sums.

    All are (P, K) or (P, …) on the device; `compact` drops the networks that have stopped. trained: the weights that
    gradients are taken at; params itself, unless that is their running average.
    """

    def __init__(self, backend: Backend, params: Array, plan: TrainingPlan) -> None:
        """params (P, K) is trained in place."""
        xp = backend.xp
        self.backend, self.architecture, self.settings = backend, plan.architecture, plan.settings
        self.params = params
        self.trained = self._trained(plan)
        self.grads = xp.empty_like(params)
        self.scratch = xp.empty_like(params)
        self.slots = [self._slot(name, plan) for name in plan.settings.optimizer_rule.slots]
        self.has_l2 = bool(plan.hyper["l2"].any())
        self.loss_sum = xp.zeros(len(params), dtype=np.float64)
        self.dropout: Dropout | None = None
        if plan.dropout is not None:
            self.dropout = Dropout.of(backend, plan.seeds, plan.dropout, plan.dtype)
        self.epoch = 0
        self.served = int(plan.rows.count[0]), int(plan.seeds[0])
        self._slices: dict[tuple[int, int, int], Slice] = {}
        self.set_hyperparameters(plan.hyper)

    def _slot(self, name: str, plan: TrainingPlan) -> Array:
        if name == "steps":
            if not plan.updates.any():
                return self.backend.xp.zeros((len(self.params), 1), dtype=np.float64)
            return self.backend.to_device(plan.updates.astype(np.float64)[:, None])
        if name in plan.slots:
            return self.backend.to_device(plan.slots[name].astype(plan.dtype))
        return self.backend.xp.zeros_like(self.params)

    def _trained(self, plan: TrainingPlan) -> Array:
        if plan.settings.average is None:
            return self.params
        if UNAVERAGED in plan.slots:
            return self.backend.to_device(plan.slots[UNAVERAGED].astype(plan.dtype))
        return self.params.copy()

    def serve(self, plan: TrainingPlan) -> bool:
        """Whether a training of one network, on other rows, may go on in these buffers, as they are."""
        return (
            plan.n_networks == 1
            and plan.settings is self.settings  # estimators make the same ones once
            and plan.architecture == self.architecture
            and plan.dtype == self.params.dtype
            and plan.backend.shares_arrays(self.backend)
            and (int(plan.rows.count[0]), int(plan.seeds[0])) == self.served
        )

    def go_on(self, plan: TrainingPlan, params: Array) -> None:
        """Train other parameters of the same shape, by the same settings but for the rate."""
        self.params = params
        self.trained = self._trained(plan)
        self.slots = [self._slot(name, plan) for name in self.settings.optimizer_rule.slots]
        if plan.hyper["rate"][0] != self.hyper.exact["rate"][0, 0]:
            self.set_hyperparameters(plan.hyper)
        for (first, last, _), part in self._slices.items():
            part.bind(self, slice(first, last))

    def set_hyperparameters(self, hyper: dict[str, np.ndarray]) -> None:
        """(P,) float64 for each hyperparameter."""
        self.hyper = Hyperparameters(self.backend, hyper, np.dtype(self.params.dtype))
        self.rate_factors = self._rate_factors()
        self._slices.clear()

    def _rate_factors(self) -> Array | None:
        """(P, K): what the learning rate is multiplied by for each parameter; None where that is 1 for all."""
        xp, dtype = self.backend.xp, self.params.dtype
        rates = [
            (layer.factors(parameter, self.hyper.exact).rate, parameter.size)
            for layer in self.architecture.layers
            for parameter in layer.parameters
        ]
        if all(isinstance(rate, float) and rate == 1.0 for rate, _ in rates):
            return None
        ones = xp.ones((len(self.params), 1), dtype=dtype)
        return xp.concatenate([xp.repeat(ones * cast(rate, dtype), size, axis=1) for rate, size in rates], axis=1)

    def compact(self, keep: Array) -> None:
        """Go on with the networks at the places `keep` (a device array of int64) alone."""
        averages = self.trained is not self.params
        self.params, trained = self.params[keep], self.trained
        self.trained = trained[keep] if averages else self.params
        self.grads, self.scratch = (
            self.backend.xp.empty_like(self.params),
            self.backend.xp.empty_like(self.params),
        )
        self.slots = [slot[keep] for slot in self.slots]
        self.hyper = self.hyper.networks(keep)
        self.rate_factors = self._rate_factors()
        self.loss_sum = self.loss_sum[keep]
        if self.dropout is not None:
            self.dropout = self.dropout.networks(keep)
        self._slices.clear()

    @property
    def named_slots(self) -> dict[str, Array]:
        """The state arrays (P, K) by name: see `Settings.state_arrays`."""
        named = dict(zip(self.settings.optimizer_rule.slots, self.slots, strict=True)) | {UNAVERAGED: self.trained}
        return {name: named[name] for name in self.settings.state_arrays}

    def begin_epoch(self, epoch: int, dropout: tuple[Array, Array] | None = None) -> None:
        """dropout: thresholds and scales (P, hidden layers) of this epoch, where epochs differ in them."""
        self.epoch = epoch
        if self.dropout is not None and dropout is not None:
            self.dropout.below[...], self.dropout.scale[...] = dropout  # slices have views of them
        self.loss_sum[...] = 0.0

    def update(self, batch: Batch, rate: Array, decay: Array | None = None, smoothing: Smoothing | None = None) -> None:
        """Of all networks in the learner: rate (P, 1); decay (P, 1), by which L2 and weight decay are multiplied;
        smoothing of the batch's targets, (P, 1).
        """
        step = batch.step
        key = (step.first, step.last, step.size)
        part = self._slices.get(key)
        if part is None:
            part = self._slices[key] = Slice(self, *key)
        if not part.whole:
            own = slice(step.first, step.last)
            rate, decay = rate[own], None if decay is None else decay[own]
            smoothing = None if smoothing is None else smoothing.networks(own)
        part.update(batch, rate, decay, smoothing)


class Slice:
    """Views of a learner's arrays for networks first … last−1, and the buffers for batches of `size` rows."""

    def __init__(self, learner: Learner, first: int, last: int, size: int) -> None:
        self.backend, self.architecture = learner.backend, learner.architecture
        self.settings, self.learner = learner.settings, learner
        self.whole = first == 0 and last == learner.params.shape[0]
        part = slice(first, last)
        self.grads, self.scratch = learner.grads[part], learner.scratch[part]
        self.hyper = learner.hyper if self.whole else learner.hyper.networks(part)
        self.d_views = self.architecture.views(self.grads)
        self.decay: Decay | None = None
        if learner.has_l2 or self.settings.optimizer_rule.decoupled_decay:
            self.decay = Decay(self.architecture, self.hyper, self.d_views)
        self.bind(learner, part)
        self.loss_sum = learner.loss_sum[part]
        self.tape = Tape(self.backend, self.architecture, last - first, size, self.params.dtype)
        self.mean = 1.0 / size
        self.n_rows = float(size)
        self.dropout = learner.dropout
        if learner.dropout is not None and not self.whole:
            self.dropout = learner.dropout.networks(part)
        self.clips = self.settings.clip_norm is not None
        self.optimizer = self.settings.optimizer_rule
        self.rate_factors = None if learner.rate_factors is None else learner.rate_factors[part]
        self.loss = self.settings.loss_function
        self.loss_options = self.hyper.of_each_output(option.name for option in self.loss.options)

    def bind(self, learner: Learner, part: slice) -> None:
        self.params = learner.trained[part]
        self.average = None if learner.trained is learner.params else learner.params[part]
        self.slots = [slot[part] for slot in learner.slots]
        self.views = self.architecture.views(self.params)
        if self.decay is not None:
            self.decay.bind(self.views)

    def update(self, batch: Batch, rate: Array, decay: Array | None, smoothing: Smoothing | None) -> None:
        row_losses = self.tape.loss
        scale: Any = self.mean
        rows: Any = self.n_rows
        if batch.weights is not None:
            rows, scale = self._weighted(batch.weights)
        if self.dropout is not None:
            self.tape.drop(self.backend, self._keep_factors(self.dropout, batch.step))
        loss_and_gradient(
            self.backend,
            self.architecture,
            self.loss,
            self.views,
            batch.X,
            batch.T if smoothing is None else smoothing.smooth(self.backend.xp, batch.T),
            scale,
            self.tape,
            self.d_views,
            row_losses,
            self.loss_options,
        )
        if batch.weights is not None:
            row_losses *= batch.weights
        if row_losses.shape[1] == 1:
            self.loss_sum += row_losses[:, 0]
        else:
            self.loss_sum += row_losses.sum(axis=1)
        if self.learner.has_l2 and self.decay is not None:
            self.decay.add_l2(rows, self.loss_sum, decay)
        if self.clips:
            clip_by_global_norm(self.backend, self.grads, self.hyper.clip_norm)
        if self.optimizer.decoupled_decay and self.decay is not None:
            self.decay.shrink(rate if decay is None else rate * decay)
        if self.rate_factors is not None:
            rate = rate * self.rate_factors
        self.optimizer.update(self.backend, self.params, self.grads, self.slots, self.hyper, rate, self.scratch)
        if self.average is not None:
            update_average(self.backend, self.average, self.params, self.hyper, self.scratch)

    def _keep_factors(self, dropout: Dropout, step: Step) -> list[Array]:
        xp, epoch, dtype = self.backend.xp, self.learner.epoch, self.params.dtype
        places = range(step.start, step.start + step.size)
        layers = range(len(self.architecture.hidden))
        return [dropout.keep_factors(xp, i, self.architecture.neurons(i), epoch, places, dtype) for i in layers]

    def _weighted(self, weights: Array) -> tuple[Array, Array]:
        """The batch's total weight (P, 1, 1) and each row's share of it (P, B, 1); no weight at all is no gradient."""
        xp = self.backend.xp
        total = weights.sum(axis=1, keepdims=True)
        total = xp.where(total > 0, total, 1.0).astype(weights.dtype)
        return total[:, :, None], (weights / total)[:, :, None]
