"""One update by fused kernels: the mean loss's gradient, L2, clipping, optimizer, for some of a learner's networks.

A layer's weights are changed as soon as the gradient has gone through them towards the layer below, a panel of rows at
a time: neither the whole gradient nor room for temporaries is kept. Clipping takes the norm of the whole gradient, so
with clipping it is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpubp.backends import Array
from gpubp.engines.array.batches import Batch
from gpubp.engines.array.fused_kernel import PARTS, Part, activation_code
from gpubp.engines.array.fused_state import FusedState
from gpubp.networks.sampling import Step
from gpubp.operations.dropout import PLACES_OF_A_CALL
from gpubp.operations.smoothing import Smoothing


class FusedSlice:
    """Networks first … last−1 of a learner, for batches of `size` rows whose first network is `batch_first`."""

    def __init__(self, learner: FusedState, batch_first: int, first: int, last: int, size: int) -> None:
        self.learner, self.first, self.last, self.size = learner, first, last, size
        self.in_batch = slice(first - batch_first, last - batch_first)
        self.n_networks, own = last - first, slice(first, last)
        self.backend, self.launch, self.architecture = learner.backend, learner.launch, learner.architecture
        self.params, self.updates, self.loss_sum = learner.trained[own], learner.updates[own], learner.loss_sum[own]
        self.average = learner.params[own] if learner.averages else None
        self.low, self.high = (half[own] for half in learner.seeds)
        self.drop_below = [below[own] for below in learner.drop_below]
        self.drop_scale = [scale[own] for scale in learner.drop_scale]
        self.views = self.architecture.views(self.params)
        self.weights, self.biases = learner.parts[::2], learner.parts[1::2]
        self.codes = [activation_code(name) for name in self.architecture.activations]
        self.has_link = learner.settings.loss_function.link is not None
        self.clips = learner.settings.clip_norm is not None
        self._take_memory()

    def _take_memory(self) -> None:
        """H[i] (P, B, O): a layer's values, and then, in their place, the gradient at its pre-activations; Z[i]: its
        pre-activations, where the derivative reads them; D[i]: what dropout leaves of the values; d: the gradient at
        the values of the layer at hand.
        """
        take, dense = self.learner.buffers.take, self.architecture.dense
        sizes, last = self.architecture.sizes[1:], self.architecture.n_layers - 1
        shapes = [(self.n_networks, self.size, columns) for columns in sizes]
        self.H = [take(f"values {i}", *shape) for i, shape in enumerate(shapes)]
        self.Z, self.D = list(self.H), list(self.H)
        flat = take("gradient at the values", self.n_networks * self.size * max(sizes))
        self.d = [flat[: H.size].reshape(H.shape) for H in self.H]
        for i in range(last if self.has_link else last + 1):
            if dense[i].f.needs_input:
                self.Z[i] = take(f"pre-activations {i}", *shapes[i])
            if self.drop_below and i < last:
                self.D[i] = take(f"dropped {i}", *shapes[i])
        self.row_loss = take("row losses", self.n_networks, self.size)
        self.ones = self.backend.xp.ones((1, self.size), dtype=self.params.dtype)
        if self.clips or self.learner.has_l2:
            self.sums = take("sums", self.n_networks, PARTS * sum(part.chunks for part in self.learner.parts))
        if self.clips:
            self.gradient = take("gradient", *self.params.shape)
            self.d_views = self.architecture.views(self.gradient)
        else:
            self.panels = [self._cut(part) for part in self.weights]

    def _cut(self, part: Part) -> list[tuple[slice, slice]]:
        """Networks and rows of a layer's panels: some rows of one network, or all rows of some networks.

        A panel's rows depend on the layer alone, so that a network's products are the same whatever networks stand
        beside it.
        """
        most = self.backend.at_once.panel
        rows = -(-part.rows // -(-part.numbers // most))  # about equal ones
        networks = max(1, most // part.numbers)
        return [
            (slice(p, min(p + networks, self.n_networks)), slice(r, min(r + rows, part.rows)))
            for p in range(0, self.n_networks, networks)
            for r in range(0, part.rows, rows)
        ]

    def update(self, batch: Batch, rate: Array, decay: Array | None, smoothing: Smoothing | None) -> None:
        """rate (P, 1), and so on, of this slice's networks: see `update.Learner.update`."""
        X, T, weights = self._own(batch.X), self._own(batch.T), batch.weights
        totals = shares = None
        if weights is not None:
            weights = weights[self.in_batch] if len(weights) > 1 else weights
            totals, shares = self._weighted(weights)
        strengths = (rate, decay, totals)
        self.launch("fused_begin", self.n_networks, *self._networks(), *strengths, self.updates, self.size)
        self._forward(X, batch.step)
        self._loss(T, smoothing, shares)
        self._add_losses(weights, decay)
        if self.clips:
            self._clipped_update(X)
        else:
            self._backward(X)

    def _own(self, rows: Array) -> Array:
        """This slice's part of a batch's X or T. Networks that share their rows have them without a first axis."""
        return rows if rows.ndim == 2 else rows[self.in_batch]

    def _weighted(self, weights: Array) -> tuple[Array, Array]:
        """The batch's total weight (P,) and each row's share of it (P, B); no weight at all is no gradient."""
        xp, shape = self.backend.xp, (self.n_networks, self.size)
        total = weights.sum(axis=1, keepdims=True)
        total = xp.where(total > 0, total, 1.0).astype(weights.dtype)
        shares = xp.ascontiguousarray(xp.broadcast_to(weights / total, shape))
        return xp.ascontiguousarray(xp.broadcast_to(total[:, 0], shape[:1])), shares

    def _networks(self, start: int = 0) -> list[Any]:
        """What a kernel needs to find the numbers of the slice's networks from `start` on."""
        learner = self.learner
        return [learner.table, learner.steps, len(learner.params), self.first + start]

    def _forward(self, X: Array, step: Step) -> None:
        xp, last = self.backend.xp, self.architecture.n_layers - 1
        stride, epoch = self.params.shape[1], self.learner.epoch
        first_quad, last_quad = step.start // PLACES_OF_A_CALL, (step.start + self.size - 1) // PLACES_OF_A_CALL
        for i, (H, bias) in enumerate(zip(self.H, self.biases, strict=True)):
            xp.matmul(X if i == 0 else self.D[i - 1], self.views[i]["weights"], out=self.Z[i])
            if i == last and self.has_link:
                return
            columns, at = bias.columns, (self.params, stride, bias.offset, bias.columns, self.size)
            self.launch("fused_forward", H.size, self.codes[i], self.Z[i], H, *at)
            if self.drop_below and i < last:
                cells = self.n_networks * (last_quad - first_quad + 1) * columns
                draw = (self.low, self.high, self.drop_below[i], self.drop_scale[i])
                place = (step.start, epoch, self.architecture.neurons(i).start)
                self.launch("fused_drop", cells, H, self.D[i], *draw, columns, self.size, *place)

    def _loss(self, T: Array, smoothing: Smoothing | None, shares: Array | None) -> None:
        """The gradient at the last pre-activations, and the losses of the rows."""
        last, bias = self.architecture.n_layers - 1, self.biases[-1]
        d = self.H[last] if self.has_link else self.d[last]
        biases = (self.params, self.params.shape[1], bias.offset)
        ends = (None, None) if smoothing is None else (smoothing.hit, smoothing.miss)
        targets = (T, 0 if T.ndim == 2 else self.size * bias.columns, *ends)
        into = (self.row_loss, bias.columns, self.size)
        matrices = (self.H[last], d)
        self.launch("fused_loss", self.row_loss.size, *self._networks(), *matrices, *biases, *targets, shares, *into)
        if not self.has_link:
            self._through_activation(last)

    def _add_losses(self, weights: Array | None, decay: Array | None) -> None:
        """To the networks' sums, with the L2 term."""
        if weights is not None:
            self.row_loss *= weights
        self.loss_sum += self.row_loss.sum(axis=1)
        if self.learner.has_l2:
            penalty = self._sum_of_squares(self.params, self.weights, decaying=False)
            l2 = self.learner.hyper.exact["l2"][self.first : self.last, 0]
            self.loss_sum += 0.5 * (l2 if decay is None else l2 * decay[:, 0]) * penalty

    def _through_activation(self, i: int) -> None:
        """From d[i], at what a layer gives, the gradient at its pre-activations, into H[i]."""
        drops = bool(self.drop_below) and i < self.architecture.n_layers - 1
        dropped = (self.D[i], self.drop_scale[i]) if drops else (None, None)
        H, shape = self.H[i], (self.architecture.sizes[i + 1], self.size)
        self.launch("fused_backward", H.size, self.codes[i], self.d[i], self.Z[i], H, *dropped, *shape)

    def _backward(self, X: Array) -> None:
        """From the gradient at the last pre-activations to new parameters, layer by layer."""
        matmul, take = self.backend.xp.matmul, self.learner.buffers.take
        for i in reversed(range(self.architecture.n_layers)):
            dZ, bias = self.H[i], self.biases[i]
            if i:
                matmul(dZ, self.views[i]["weights"].swapaxes(-1, -2), out=self.d[i - 1])
            for networks, rows in self.panels[i]:
                self._update_panel(self.weights[i], networks, rows, self.D[i - 1] if i else X, dZ)
            d_bias = take("panel", self.n_networks, 1, bias.columns)
            matmul(self.ones, dZ, out=d_bias)
            self._update(slice(0, self.n_networks), bias, 0, bias.columns, (d_bias, bias.columns, 0, None))
            if i:
                self._through_activation(i - 1)

    def _update_panel(self, part: Part, networks: slice, rows: slice, X: Array, dZ: Array) -> None:
        """The gradient Xᵀ dZ of some rows of a layer's weights, and with it the new weights."""
        n, count = networks.stop - networks.start, rows.stop - rows.start
        panel = self.learner.buffers.take("panel", n, count, part.columns)
        X = X[:, rows] if X.ndim == 2 else X[networks, :, rows]
        self.backend.xp.matmul(X.swapaxes(-1, -2), dZ[networks], out=panel)
        numbers = count * part.columns
        self._update(networks, part, rows.start * part.columns, numbers, (panel, numbers, 0, None))

    def _update(self, networks: slice, part: Part, start: int, count: int, gradient: tuple[Any, ...]) -> None:
        """New values for the numbers start … start+count−1 of a part; gradient: see fused_update."""
        average = None if self.average is None else self.average[networks]
        arrays = (self.params[networks], average, self.learner.slots)
        where = (*self._networks(networks.start), *arrays, self.params.shape[1], part.offset + start)
        n = networks.stop - networks.start
        self.launch("fused_update", n * count, *where, int(part.is_bias), *gradient, count)

    def _clipped_update(self, X: Array) -> None:
        """The whole gradient, clipped by its norm (Pascanu, Mikolov and Bengio 2013, algorithm 1), then the update."""
        for i in reversed(range(self.architecture.n_layers)):
            below, d_its = self.d[i - 1] if i else None, self.d_views[i]
            self.architecture.dense[i].backward_from_sums(
                self.backend, self.H[i], self.D[i - 1] if i else X, self.views[i], below, d_its
            )
            if i:
                self._through_activation(i - 1)
        xp, limit = self.backend.xp, self.learner.hyper.exact["clip_norm"][self.first : self.last, 0]
        norm = xp.sqrt(self._sum_of_squares(self.gradient, self.learner.parts, decaying=True))
        too_long = norm > limit
        factors = xp.where(too_long, limit / xp.where(too_long, norm, 1.0), 1.0).astype(self.params.dtype)
        for part in self.learner.parts:
            gradient = (self.gradient, self.params.shape[1], part.offset, factors)
            self._update(slice(0, self.n_networks), part, 0, part.numbers, gradient)

    def _sum_of_squares(self, flat: Array, parts: list[Part], decaying: bool) -> Array:
        """(P,) float64: over the parts of flat (P, K); decaying: of gradients, with the L2 terms that they get."""
        numbers, start = PARTS * sum(part.chunks for part in parts), 0
        for part in parts:
            weights = self.params if decaying and self.learner.has_l2 and not part.is_bias else None
            where = (flat, weights, flat.shape[1], part.offset, part.numbers)
            cells = self.n_networks * part.chunks * PARTS
            self.launch("fused_squares", cells, *self._networks(), *where, self.sums, self.sums.shape[1], start)
            start += PARTS * part.chunks
        return self.sums[:, :numbers].sum(axis=1, dtype=np.float64)
