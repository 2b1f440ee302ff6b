"""How a table's rows are divided: scikit-learn's folds and splits, row for row, and what is said of rare classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold, train_test_split

from gpubp.errors import SettingsError
from gpubp.fitting.splits import cross_validation_folds, rare_classes, validation_notes, validation_split

SEEDS = st.integers(0, 2**32 - 1)
LABELS = st.integers(2, 12).flatmap(
    lambda n_classes: st.lists(st.integers(0, n_classes - 1), min_size=4, max_size=90).map(np.array)
)


def generator(seed: int) -> np.random.RandomState:
    return np.random.RandomState(np.random.MT19937(seed))


@given(n_rows=st.integers(2, 60), n_folds=st.integers(2, 12), repeats=st.integers(1, 3), seed=SEEDS)
def test_plain_folds_are_scikit_learns(n_rows: int, n_folds: int, repeats: int, seed: int) -> None:
    n_folds = min(n_folds, n_rows)
    found = cross_validation_folds(None, n_rows, n_folds, repeats, seed)
    splitter = RepeatedKFold(n_splits=n_folds, n_repeats=repeats, random_state=generator(seed))
    np.testing.assert_equal(found, [test for _, test in splitter.split(np.zeros(n_rows))])


@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
@given(labels=LABELS, n_folds=st.integers(2, 12), repeats=st.integers(1, 3), seed=SEEDS)
def test_stratified_folds_are_scikit_learns(labels: np.ndarray, n_folds: int, repeats: int, seed: int) -> None:
    """Rare classes and all."""
    n_folds = min(n_folds, int(np.bincount(labels).max()))
    if n_folds < 2:
        return
    found = cross_validation_folds(labels, len(labels), n_folds, repeats, seed)
    splitter = RepeatedStratifiedKFold(n_splits=n_folds, n_repeats=repeats, random_state=generator(seed))
    np.testing.assert_equal(found, [test for _, test in splitter.split(np.zeros(len(labels)), labels)])


@given(n_rows=st.integers(2, 90), labels=LABELS, share=st.floats(0.05, 0.7), seed=SEEDS)
def test_validation_splits_are_scikit_learns(n_rows: int, labels: np.ndarray, share: float, seed: int) -> None:
    for classes in (None, labels):
        n = n_rows if classes is None else len(labels)
        held = max(1, round(n * share))
        if held == n:
            continue
        training, validation = validation_split(classes, n, share, seed)
        assert sorted([*training, *validation]) == list(range(n))
        assert len(validation) == held
        try:
            wanted = train_test_split(np.arange(n), test_size=held, stratify=classes, random_state=generator(seed))
        except ValueError:  # a rare class: see below
            continue
        np.testing.assert_array_equal(training, np.sort(wanted[0]))
        np.testing.assert_array_equal(validation, np.sort(wanted[1]))


@given(labels=LABELS, share=st.floats(0.05, 0.7), seed=SEEDS)
def test_every_class_is_divided_by_the_share(labels: np.ndarray, share: float, seed: int) -> None:
    """As nearly as whole rows allow, however rare it is."""
    held = validation_split(labels, len(labels), share, seed)[1]
    share = len(held) / len(labels)
    for label in np.unique(labels):
        assert abs(np.sum(labels[held] == label) - share * np.sum(labels == label)) < 1.0 + 1e-9


def test_folds_keep_the_classes_even() -> None:
    labels = np.repeat([0, 1, 2], [30, 20, 10])
    folds = cross_validation_folds(labels, 60, 5, 2, seed=3)
    assert len(folds) == 10
    assert all(np.bincount(labels[fold]).tolist() == [6, 4, 2] for fold in folds)
    assert not np.array_equal(folds[0], folds[5])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((10, 1, 1, 0), "at least 2"),
        ((10, 11, 1, 0), "11 folds for 10 rows"),
        ((10, 2, 0, 0), "0 repeats"),
        ((10, 2, 10**9, 0), "1000000000 repeats"),
    ],
)
def test_impossible_folds(arguments: tuple, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        cross_validation_folds(None, *arguments)


def test_folds_of_rare_classes_alone() -> None:
    labels = np.array([0, 0, 1, 1, 1, 2])
    with pytest.raises(SettingsError, match="4 folds, but no class has more than 3 rows: use at most 3 folds"):
        cross_validation_folds(labels, 6, 4, 1, seed=0)
    with pytest.raises(SettingsError, match="2 folds, but no class has more than 1 row: add rows"):
        cross_validation_folds(np.arange(6), 6, 2, 1, seed=0)


def test_what_is_said_of_classes_with_fewer_rows_than_folds() -> None:
    assert rare_classes(3, {"a": 3, "b": 9}) == ()
    assert rare_classes(5, {"a": 3, "b": 9}) == (
        "Class 'a' has only 3 rows, fewer than the 5 folds: 2 of them cannot test it.",
    )
    assert rare_classes(5, {"a": 1, "b": 9}) == (
        "Class 'a' has only 1 row, fewer than the 5 folds: 4 of them cannot test it, and the one that does has none of "
        "it to train on.",
    )
    assert rare_classes(5, {"a": 4, "b": 9, "c": 1}) == (
        "2 classes have fewer rows than the 5 folds ('c' 1, 'a' 4): each is missing from the test rows of some folds, "
        "and a class of one row from the training rows of the fold that tests it.",
    )
    (many,) = rare_classes(5, {**{str(i): 2 for i in range(2000)}, "b": 9})
    assert many == (
        "2,000 classes have fewer rows than the 5 folds ('0' 2, '1' 2, '2' 2, '3' 2, '4' 2, ...): each is missing from "
        "the test rows of some folds."
    )


def test_the_only_row_of_a_class_is_trained_on() -> None:
    labels = np.array([0] * 50 + [1] + [2] * 49)
    for seed in range(10):
        training, validation = validation_split(labels, 100, 0.2, seed)
        assert 50 in training
        assert np.bincount(labels[validation]).tolist() == [10, 0, 10]
    assert validation_notes(labels, ("a", "b", "c"), training, validation) == (
        "The 20 validation rows have none of class 'b', and say nothing of it.",
    )
    assert validation_notes(labels, ("a", "b", "c"), validation, training) == (
        "The 20 training rows have none of class 'b': too rare to learn.",
    )
    assert validation_notes(labels, ("a", "b", "c"), np.arange(100), np.arange(100)) == ()


def test_senseless_shares() -> None:
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(SettingsError, match="Validation share"):
            validation_split(None, 10, share, seed=1)
    with pytest.raises(SettingsError, match="leaves no training rows"):
        validation_split(None, 2, 0.9, seed=1)
