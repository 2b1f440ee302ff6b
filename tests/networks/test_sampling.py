from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubp.errors import DataError, SettingsError
from gpubp.networks.sampling import RowSets, epoch_steps, runs


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=12).map(lambda c: np.array(sorted(c, reverse=True))),
    batch_size=st.integers(1, 50),
)
def test_every_network_takes_the_batches_that_it_would_take_alone(counts: np.ndarray, batch_size: int) -> None:
    taken: list[list[tuple[int, int]]] = [[] for _ in counts]
    for step in epoch_steps(counts, batch_size):
        for p in range(step.first, step.last):
            assert step.number == len(taken[p])
            taken[p].append((step.start, step.size))
    for p, count in enumerate(counts):
        alone = [(start, min(batch_size, count - start)) for start in range(0, count, batch_size)]
        assert taken[p] == alone


def test_unsorted_networks_are_a_programming_error() -> None:
    with pytest.raises(ValueError, match="sorted"):
        epoch_steps(np.array([3, 5]), 2)


def test_runs() -> None:
    assert runs(np.array([4, 4, 2, 7, 7]), 10) == [(10, 12), (12, 13), (13, 15)]
    assert runs(np.array([])) == []


def test_row_sets() -> None:
    assert RowSets.of(None, 3, 5).shared
    assert RowSets.of(None, 3, 5).count.tolist() == [5, 5, 5]
    ragged = RowSets.of([np.array([4, 4, 0]), np.array([1])], 2, 5)  # rows may repeat, as in bagging
    assert ragged.index.tolist() == [[4, 4, 0], [1, 0, 0]]
    assert ragged.networks(np.array([1])).count.tolist() == [1]


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ([np.array([0])], SettingsError, "1 sets of training rows for 2 networks"),
        (np.array([0, 5]), DataError, "row 5 is not among the 5 rows"),
        (np.array([-1]), DataError, "row -1"),
        ([np.array([0]), np.array([], dtype=int)], DataError, r"network 1.*at least one"),
        (np.array([0.5]), DataError, "row numbers"),
    ],
)
def test_bad_rows(rows: object, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        RowSets.of(rows, 2, 5)  # type: ignore[arg-type]


def test_rows_that_change_while_they_are_checked() -> None:
    """Kernels take them unseen. Here the one who looks at them changes them; in the field it is another thread."""

    class Fickle(np.ndarray):
        def __ge__(self, other: object) -> np.ndarray:
            found = np.asarray(self) >= np.asarray(other)
            given[:] = 10**6
            return found

    given = np.arange(5)
    for rows in (given.view(Fickle), [given.view(Fickle)] * 2):
        given[:] = np.arange(5)
        assert RowSets.of(rows, 2, 5).index.max() == 4
