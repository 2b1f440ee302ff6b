"""Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy
as 1, 2, 3").

A random number is a pure function of a key and a counter: no state to carry, no order to keep, the same bits on every
backend. Here the key is a network's seed and the counter says what the number is for: (index, epoch, stream, extra).
"""

from __future__ import annotations

from enum import IntEnum
from types import ModuleType

import numpy as np

from gpubp.backends import Array

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_INCREMENTS = (0x9E3779B9, 0xBB67AE85)  # the golden ratio and √3 − 1, in 32 bits
MASK = 0xFFFFFFFF


class Stream(IntEnum):
    """What a random number is for; streams never overlap."""

    INITIAL_WEIGHTS = 0
    SHUFFLE = 1
    NETWORK_SEED = 2
    SPLIT = 3
    DROPOUT = 4
    BOOTSTRAP = 5
    INITIAL_ROWS = 6
    INITIAL_BIASES = 7
    WAVES = 8
    EMBEDDINGS = 9


def philox(
    key: tuple[Array, Array],
    counter: tuple[Array | int, Array | int, Array | int, Array | int],
    rounds: int = 10,
) -> tuple[Array, Array, Array, Array]:
    """Four random 32-bit words for each counter.

    key: two and counter: four arrays (or ints) of 32-bit words in uint64, broadcast against each other. Returns four
    uint64 arrays with values below 2³². uint64 throughout, since the products need 64 bits.
    """
    k0, k1 = key
    # Ints become host scalars, not arrays: a scalar travels to a device with the kernel's launch, at no cost.
    c0, c1, c2, c3 = (np.uint64(word) if isinstance(word, int) else word for word in counter)
    for _ in range(rounds):
        product0 = c0 * np.uint64(MULTIPLIERS[0])
        product1 = c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (product1 >> np.uint64(32)) ^ c1 ^ k0,
            product1 & np.uint64(MASK),
            (product0 >> np.uint64(32)) ^ c3 ^ k1,
            product0 & np.uint64(MASK),
        )
        k0 = (k0 + np.uint64(KEY_INCREMENTS[0])) & np.uint64(MASK)
        k1 = (k1 + np.uint64(KEY_INCREMENTS[1])) & np.uint64(MASK)
    return c0, c1, c2, c3


def seed_words(seeds: Array) -> tuple[Array, Array]:
    """The Philox key of 64-bit seeds: their low and their high 32 bits."""
    return seeds & np.uint64(MASK), seeds >> np.uint64(32)


def uniform(xp: ModuleType, seeds: Array, n: int, stream: Stream, extra: int = 0) -> Array:
    """(P, n) float64 uniform in the open interval (0, 1), on a grid of 2⁻⁵³, for seeds (P,) uint64.

    The number at an index does not depend on n.
    """
    index = xp.arange(n, dtype=xp.uint64)
    low, high = seed_words(seeds[:, None])
    word0, word1, _, _ = philox((low, high), (index, 0, int(stream), extra))
    bits = ((word0 << np.uint64(32)) | word1) >> np.uint64(12)
    return (bits.astype(xp.float64) + 0.5) * 2.0**-52
