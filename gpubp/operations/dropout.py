"""Dropout (Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting").

In training, each output of a hidden layer is set to 0 with probability `share`, and divided by 1 − share otherwise, so
that nothing has to change in prediction. Which ones is a pure function of the network's seed, the epoch, the place of
the row in the epoch, and the neuron: no state, the same bits on every backend, whatever the batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.operations.philox import Stream, philox, seed_words

PLACES_OF_A_CALL = 4  # Philox gives four words: a neuron's, at four neighbouring places of the epoch


def thresholds(shares: np.ndarray) -> np.ndarray:
    """uint32: a random word below it means "dropped"; shares from 0 to below 1, in float64."""
    return np.minimum(np.floor(shares * 2.0**32), 2.0**32 - 1).astype(np.uint32)


@dataclass(frozen=True)
class Dropout:
    """Of P networks with L hidden layers. seeds (P,) uint64; below (P, L) uint64; scale (P, L) of the networks' dtype:
    all on the backend.
    """

    seeds: Array
    below: Array
    scale: Array

    @classmethod
    def of(cls, backend: Backend, seeds: np.ndarray, shares: np.ndarray, dtype: Any) -> Dropout:
        """shares (P, L) float64."""
        below = thresholds(shares).astype(np.uint64)
        scale = (1.0 / (1.0 - shares)).astype(dtype)
        return cls(backend.to_device(seeds), backend.to_device(below), backend.to_device(scale))

    def networks(self, selection: slice | Array) -> Dropout:
        return Dropout(self.seeds[selection], self.below[selection], self.scale[selection])

    def keep_factors(self, xp: ModuleType, layer: int, neurons: range, epoch: int, places: range, dtype: Any) -> Array:
        """(P, places, neurons): what the outputs of a hidden layer are multiplied by.

        layer: among the hidden ones, from 0; neurons: its own, counted over all hidden layers; places: of the epoch.
        """
        first, last = places.start // PLACES_OF_A_CALL, -(-places.stop // PLACES_OF_A_CALL)
        quads = xp.arange(first, last, dtype=np.uint64)[None, :, None]
        columns = xp.arange(neurons.start, neurons.stop, dtype=np.uint64)
        key = seed_words(self.seeds[:, None, None])
        words = xp.stack(philox(key, (quads, epoch, int(Stream.DROPOUT), columns)), axis=2)
        words = words.reshape(words.shape[0], -1, len(neurons))  # (P, places of the whole quads, neurons)
        start = places.start - first * PLACES_OF_A_CALL
        kept = words[:, start : start + len(places)] >= self.below[:, layer, None, None]
        return xp.where(kept, self.scale[:, layer, None, None], np.dtype(dtype).type(0))
