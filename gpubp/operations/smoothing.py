"""Label smoothing where networks differ in it, or where it changes in training: engines smooth a batch's targets.

(One amount for all networks and all the time is in the table of targets instead: see losses.smooth_labels.)
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from gpubp.backends import Array


@dataclass(frozen=True)
class Smoothing:
    """hit, miss: what a one-hot target's 1 and 0 become, 1 − amount + amount / O and amount / O. Of P networks: (P,) on
    the host, (P, 1) where engines work on them.
    """

    hit: Array
    miss: Array

    @classmethod
    def of(cls, amounts: np.ndarray, n_outputs: int, dtype: np.dtype[Any]) -> Smoothing:
        """amounts (P,) float64; dtype: of the targets. One-hot targets get the bits of `losses.smooth_labels`."""
        miss = (amounts / n_outputs).astype(dtype)
        return cls((1.0 - amounts).astype(dtype) + miss, miss)

    def networks(self, selection: Any) -> Smoothing:
        return Smoothing(self.hit[selection], self.miss[selection])

    def times(self, factor: Array) -> Smoothing:
        """Of amounts that are multiplied by the factors."""
        return Smoothing(1.0 - factor * (1.0 - self.hit), factor * self.miss)

    def smooth(self, xp: ModuleType, T: Array) -> Array:
        """(P, B, O): (1 − amount) · t + amount / O for targets T (P, B, O) or (B, O); a 1 exactly `hit`, a 0 `miss`."""
        hit, miss = self.hit[:, :, None], self.miss[:, :, None]
        return xp.where(T == 1, hit, T * (hit - miss) + miss)
