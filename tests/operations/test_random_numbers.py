from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubp.backends import Backend
from gpubp.operations.permutation import permutation
from gpubp.operations.philox import Stream, philox, uniform


# The known answers of Random123, the authors' own library (file kat_vectors, philox 4x32, 10 rounds).
@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 2, (2**32 - 1,) * 4, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0xA4093822, 0x299F31D0),
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers(
    backend: Backend, key: tuple[int, int], counter: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    def on_device(words: tuple[int, ...]) -> list:
        return [backend.to_device(np.array([word], dtype=np.uint64)) for word in words]

    found = philox(tuple(on_device(key)), tuple(on_device(counter)))
    assert tuple(int(backend.to_host(word)[0]) for word in found) == expected


def test_uniform_numbers_are_uniform_and_their_own() -> None:
    seeds = np.arange(50, dtype=np.uint64)
    numbers = uniform(np, seeds, 2000, Stream.INITIAL_WEIGHTS)
    assert numbers.min() > 0
    assert numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 4 * math.sqrt(1 / 12 / numbers.size)
    assert len(np.unique(numbers)) == numbers.size
    np.testing.assert_array_equal(uniform(np, seeds[3:4], 10, Stream.INITIAL_WEIGHTS)[0], numbers[3, :10])


def shuffles(n: int, n_seeds: int, epoch: int = 0) -> np.ndarray:
    seeds = np.arange(n_seeds, dtype=np.uint64)
    return permutation(np, seeds, np.full(n_seeds, n, dtype=np.uint64), range(n), epoch)


@given(n=st.integers(1, 300), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 2**31))
def test_every_shuffle_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    seeds, count = np.array([seed], dtype=np.uint64), np.array([n], dtype=np.uint64)
    whole = permutation(np, seeds, count, range(n), epoch)
    np.testing.assert_array_equal(np.sort(whole[0]), np.arange(n))
    middle = range(n // 3, n // 2 + 1)
    np.testing.assert_array_equal(permutation(np, seeds, count, middle, epoch)[0], whole[0, middle.start : middle.stop])


def test_places_beyond_a_networks_rows_hold_zero(backend: Backend) -> None:
    seeds = backend.to_device(np.array([3, 4], dtype=np.uint64))
    found = backend.to_host(permutation(backend.xp, seeds, backend.to_device(np.array([5, 2], np.uint64)), range(5), 1))
    assert sorted(found[0]) == [0, 1, 2, 3, 4]
    assert sorted(found[1, :2]) == [0, 1]
    assert found[1, 2:].tolist() == [0, 0, 0]


def test_all_orders_of_five_come_up_equally_often() -> None:
    n_seeds = 60_000
    codes = shuffles(5, n_seeds) @ 5 ** np.arange(5)
    orders, counts = np.unique(codes, return_counts=True)
    assert len(orders) == math.factorial(5)
    chi_square = ((counts - n_seeds / 120) ** 2 / (n_seeds / 120)).sum()
    assert chi_square < 173  # 119 degrees of freedom; above it lies 0.1 %


def test_every_row_comes_to_every_place_equally_often() -> None:
    n, n_seeds = 24, 20_000
    found = shuffles(n, n_seeds)
    for place in range(n):
        counts = np.bincount(found[:, place], minlength=n)
        assert ((counts - n_seeds / n) ** 2 / (n_seeds / n)).sum() < 61  # 23 degrees of freedom; 0.003 %


def test_neighbours_are_independent() -> None:
    """Pairs of neighbouring rows stay neighbours as often as chance has it, and epochs do not repeat each other."""
    n, n_seeds = 50, 4000
    first, second = shuffles(n, n_seeds, 0), shuffles(n, n_seeds, 1)
    together = (np.diff(first, axis=1) == 1).sum(axis=1).mean()
    assert abs(together - (n - 1) / n) < 4 / math.sqrt(n_seeds)
    same_place = (first == second).sum(axis=1).mean()
    assert abs(same_place - 1.0) < 4 / math.sqrt(n_seeds)


def test_different_keys_give_different_orders() -> None:
    orders = [tuple(shuffles(40, 3, epoch)[seed]) for epoch, seed in itertools.product(range(3), range(3))]
    assert len(set(orders)) == 9
