"""Working memory that parts of a training take turns with."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend


class Buffers:
    """One array for each role, as large as the largest that was taken: take the largest first, or both stay."""

    def __init__(self, backend: Backend, dtype: np.dtype[Any]) -> None:
        self.xp, self.dtype = backend.xp, dtype
        self.flat: dict[str, Array] = {}

    def take(self, role: str, *shape: int) -> Array:
        """An array of this shape, C-contiguous, that holds whatever was there before."""
        size = prod(shape)
        if role not in self.flat or self.flat[role].size < size:
            self.flat[role] = self.xp.empty(size, dtype=self.dtype)
        return self.flat[role][:size].reshape(shape)
