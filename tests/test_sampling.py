from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubp.errors import DataError, SettingsError
from gpubp.sampling import RowSets, check_folds, cross_validation_folds, epoch_steps, runs, validation_split


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


def test_folds_partition_the_rows_and_keep_the_classes_even() -> None:
    labels = np.repeat([0, 1, 2], [30, 20, 10])
    folds = cross_validation_folds(labels, 60, 5, 2, seed=3)
    assert len(folds) == 10
    for repeat in (folds[:5], folds[5:]):
        assert sorted(np.concatenate(repeat).tolist()) == list(range(60))
        for fold in repeat:
            assert np.bincount(labels[fold]).tolist() == [6, 4, 2]
    assert not np.array_equal(folds[0], folds[5])
    again = cross_validation_folds(labels, 60, 5, 2, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(folds, again, strict=True))
    plain = cross_validation_folds(None, 7, 3, 1, seed=0)
    assert sorted(np.concatenate(plain).tolist()) == list(range(7))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((10, 1, 1, 0), "at least 2"), ((10, 11, 1, 0), "11 folds for 10 rows"), ((10, 2, 0, 0), "0 repeats")],
)
def test_impossible_folds(arguments: tuple, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        cross_validation_folds(None, *arguments)


def test_more_folds_than_rows_of_a_class() -> None:
    check_folds(3, {"a": 3, "b": 9})
    with pytest.raises(SettingsError, match="class 'a' has only 3 rows: use at most 3 folds"):
        check_folds(4, {"a": 3, "b": 9})
    with pytest.raises(SettingsError, match="add rows of that class"):
        check_folds(4, {"a": 1, "b": 9})


def test_validation_split() -> None:
    labels = np.repeat([0, 1], [90, 10])
    training, validation = validation_split(labels, 100, 0.2, seed=1)
    assert len(validation) == 20
    assert np.bincount(labels[validation]).tolist() == [18, 2]
    assert sorted([*training, *validation]) == list(range(100))
    lone = np.array([0] * 9 + [1])  # one row of a class: cannot be stratified, is split all the same
    assert len(validation_split(lone, 10, 0.2, seed=1)[1]) == 2
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(SettingsError, match="Validation share"):
            validation_split(None, 10, share, seed=1)
    with pytest.raises(SettingsError, match="leaves no training rows"):
        validation_split(None, 2, 0.9, seed=1)
