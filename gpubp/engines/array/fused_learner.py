"""Updates of large networks: the fused kernels' `update.Learner`.

Matrix products are the library's. Everything between two of them is one kernel (fused.h), so that it is read and
written once; see fused_slice.py for an update.
"""

from __future__ import annotations

from gpubp.backends import Array
from gpubp.engines.array.batches import Batch
from gpubp.engines.array.fused_kernel import MOST_CELLS
from gpubp.engines.array.fused_slice import FusedSlice
from gpubp.engines.array.fused_state import FusedState
from gpubp.operations.smoothing import Smoothing


class FusedLearner(FusedState):
    """Slices of the networks, each updated by itself."""

    _slices: dict[tuple[int, int, int], list[FusedSlice]]

    def _lay_out(self) -> None:
        super()._lay_out()
        self._slices = {}

    def update(self, batch: Batch, rate: Array, decay: Array | None = None, smoothing: Smoothing | None = None) -> None:
        """As `update.Learner.update`."""
        step = batch.step
        key = (step.first, step.last, step.size)
        slices = self._slices.get(key)
        if slices is None:
            slices = self._slices[key] = self._cut(*key)
        for part in slices:
            own = slice(part.first, part.last)
            part.update(
                batch,
                rate[own],
                None if decay is None else decay[own],
                None if smoothing is None else smoothing.networks(own),
            )

    def _cut(self, first: int, last: int, size: int) -> list[FusedSlice]:
        """Slices of networks first … last−1, not too many at a time."""
        neurons, numbers = sum(self.architecture.sizes[1:]), self.architecture.n_parameters
        count = max(1, min(self.backend.at_once.values // (self.batch_size * neurons), MOST_CELLS // numbers))
        starts = range(first, last, count)
        return [FusedSlice(self, first, start, min(start + count, last), size) for start in starts]
