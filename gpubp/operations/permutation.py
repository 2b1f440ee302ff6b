"""Shuffles without state: a random permutation of 0 … n−1 whose every element can be computed by itself.

The swap-or-not shuffle (Hoang, Morris and Rogaway 2012, "An enciphering scheme based on a card shuffle"): in each
round the numbers are paired, i with (k − i) mod n, and a random bit of each pair says whether its members change
places. Any n works, there is no rejection and no table, so a kernel lane can draw its rows as it goes.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from gpubp.backends import Array
from gpubp.operations.philox import Stream, philox, seed_words

ROUNDS = 24
MIXER = np.uint32(0x846CA68B)  # an odd constant of a well-mixing 32-bit hash (Wellons 2018, "hash prospector")


def permutation(
    xp: ModuleType, seeds: Array, n: Array, places: range, epoch: Array | int, stream: Stream = Stream.SHUFFLE
) -> Array:
    """(P, places) int64: what stands at these places of each network's shuffle of 0 … n−1, keyed by (seed, epoch).

    seeds (P,) uint64; n (P,) uint64, at least 1 and below 2³²; epoch: one for all, or (P, 1) uint64. Places from a
    network's n on hold 0.
    """
    low, high = seed_words(seeds[:, None])
    rounds = xp.arange(ROUNDS, dtype=np.uint64)[None, :]
    # For each round and network (P, ROUNDS): the pairing constant, and two words that key the hash of a pair.
    pairing, addend, multiplier, _ = philox((low, high), (rounds, epoch, int(stream), 0))
    n_each = n[:, None]
    pairing = ((pairing * n_each) >> np.uint64(32)).astype(np.uint32)
    addend = addend.astype(np.uint32)
    multiplier = multiplier.astype(np.uint32) | np.uint32(1)
    n_each = n_each.astype(np.uint32)

    all_places = xp.arange(places.start, places.stop, dtype=np.uint32)[None, :]
    inside = all_places < n_each
    place = xp.where(inside, all_places, np.uint32(0))
    for r in range(ROUNDS):
        k = pairing[:, r : r + 1]
        partner = k - place  # modulo 2³²; where it wrapped around, n is added below
        partner += xp.where(place > k, n_each, np.uint32(0))
        coin = xp.maximum(place, partner)  # the same for both members of a pair
        coin += addend[:, r : r + 1]
        coin *= multiplier[:, r : r + 1]
        coin ^= coin >> np.uint32(15)
        coin *= MIXER
        place = xp.where(coin >> np.uint32(31) != 0, partner, place)
    return xp.where(inside, place, np.uint32(0)).astype(np.int64)
