"""A table's rows divided at random: the folds of a cross-validation, and rows held back for validation.

The divisions are those of scikit-learn's RepeatedKFold, RepeatedStratifiedKFold and train_test_split, row for row; made
here, because its import takes longer than most trainings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpubp.errors import SettingsError, quoted

MOST_REPEATS = 100_000  # of a cross-validation: each splits all rows anew
NAMED = 5  # classes in a note, at most


def cross_validation_folds(
    labels: np.ndarray | None, n_rows: int, n_folds: int, n_repeats: int, seed: int
) -> list[np.ndarray]:
    """The test rows of each fold, repeat after repeat: shuffled, stratified where class `labels` (N,) are given.

    A class with fewer rows than there are folds is tested in as many folds as it has rows (see `rare_classes`).
    SettingsError for what cannot be divided so, and where all classes are as rare as that.
    """
    if n_folds < 2:
        raise SettingsError(f"{n_folds} folds: cross-validation needs at least 2.")
    if n_repeats < 1:
        raise SettingsError(f"{n_repeats} repeats: cross-validation needs at least 1.")
    if n_repeats > MOST_REPEATS:
        raise SettingsError(f"{quoted(n_repeats)} repeats: give a whole number from 1 to {MOST_REPEATS:,}.")
    if n_folds > n_rows:
        raise SettingsError(f"{n_folds} folds for {n_rows} rows: use at most as many folds as rows.")
    generator = _generator(seed)
    if labels is None:
        return [test for _ in range(n_repeats) for test in _plain_folds(n_rows, n_folds, generator)]
    groups = _in_order_of_appearance(labels)
    most = max(map(len, groups))
    if n_folds > most:
        remedy = f"use at most {most} folds, or add rows" if most > 1 else "add rows, or choose another target"
        raise SettingsError(f"{n_folds} folds, but no class has more than {_rows(most)}: {remedy}.")
    return [test for _ in range(n_repeats) for test in _stratified_folds(groups, n_folds, generator)]


def rare_classes(n_folds: int, class_counts: Mapping[str, int]) -> tuple[str, ...]:
    """A note on the classes with fewer rows than there are folds, the rarest first; () where there are none."""
    rare = sorted(((label, n) for label, n in class_counts.items() if n < n_folds), key=lambda each: each[1])
    if not rare:
        return ()
    if len(rare) == 1:
        label, n = rare[0]
        untested = f"{n_folds - n} of them" if n < n_folds - 1 else "one of them"
        follows = f"{untested} cannot test it"
        follows += ", and the one that does has none of it to train on" if n == 1 else ""
        return (f"Class {quoted(label)} has only {_rows(n)}, fewer than the {n_folds} folds: {follows}.",)
    named = ", ".join(f"{quoted(label)} {n}" for label, n in rare[:NAMED]) + (", ..." if len(rare) > NAMED else "")
    follows = "each is missing from the test rows of some folds"
    follows += ", and a class of one row from the training rows of the fold that tests it" if rare[0][1] == 1 else ""
    return (f"{len(rare):,} classes have fewer rows than the {n_folds} folds ({named}): {follows}.",)


def validation_split(
    labels: np.ndarray | None, n_rows: int, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(training rows, validation rows), in the table's order; stratified where class `labels` (N,) are given.

    Each class is divided by the fraction. What whole rows do not allow goes to the training for the classes whose share
    of it was rounded down the most, at random among equals: so the row of a class that has no other is trained on as
    long as there are few such classes (see `missing_classes`).
    """
    if not 0.0 < fraction < 1.0:
        raise SettingsError(f"Validation share {fraction}: give a number between 0 and 1, such as 0.2.")
    n_validation = max(1, round(n_rows * fraction))
    if n_validation >= n_rows:
        raise SettingsError(
            f"A validation share of {fraction} leaves no training rows of {n_rows}: use a smaller share or more rows."
        )
    generator = _generator(seed)
    validation = np.zeros(n_rows, dtype=bool)
    if labels is None:
        validation[generator.permutation(n_rows)[:n_validation]] = True
        return np.flatnonzero(~validation), np.flatnonzero(validation)
    groups = _by_class(labels)
    counts = np.array([len(rows) for rows in groups])
    trained = _shares(counts, n_rows - n_validation, generator)
    _shares(counts - trained, n_validation, generator)  # all that is left; scikit-learn draws for it, too
    for rows, n_trained in zip(groups, trained.tolist(), strict=True):
        validation[rows[generator.permutation(len(rows))[n_trained:]]] = True
    return np.flatnonzero(~validation), np.flatnonzero(validation)


def missing_classes(index: np.ndarray, labels: Sequence[Any] | np.ndarray, rows: np.ndarray) -> list[str]:
    """The labels of which no row is among `rows`; index (N,): the place of each row's class among `labels` (C,)."""
    counts = np.bincount(index[rows], minlength=len(labels))
    return [str(labels[place]) for place in np.flatnonzero(counts == 0).tolist()]


def validation_notes(
    index: np.ndarray, labels: Sequence[str], training: np.ndarray, validation: np.ndarray
) -> tuple[str, ...]:
    """What a split into training and validation rows leaves out."""
    untrained, unvalidated = (missing_classes(index, labels, rows) for rows in (training, validation))
    notes = []
    if untrained:
        notes.append(f"The {len(training):,} training rows have none of {named_classes(untrained)}: too rare to learn.")
    if unvalidated:
        notes.append(
            f"The {len(validation):,} validation rows have none of {named_classes(unvalidated)}, and say nothing of it."
        )
    return tuple(notes)


def early_stopping_notes(missing: Sequence[str]) -> tuple[str, ...]:
    """missing: classes of which the rows that early stopping looks at have none, in some fold."""
    if not missing:
        return ()
    return (f"In some folds, the rows that early stopping looks at have none of {named_classes(missing)}.",)


def named_classes(labels: Sequence[str]) -> str:
    """ "class 'a'", or "3 classes ('a', 'b', 'c')"."""
    if len(labels) == 1:
        return f"class {quoted(labels[0])}"
    named = ", ".join(map(quoted, labels[:NAMED])) + (", ..." if len(labels) > NAMED else "")
    return f"{len(labels):,} classes ({named})"


def _generator(seed: int) -> np.random.RandomState:
    return np.random.RandomState(np.random.MT19937(seed))


def _plain_folds(n_rows: int, n_folds: int, generator: np.random.RandomState) -> list[np.ndarray]:
    order = np.arange(n_rows)
    generator.shuffle(order)
    return [np.sort(test) for test in np.array_split(order, n_folds)]


def _stratified_folds(groups: Sequence[np.ndarray], n_folds: int, generator: np.random.RandomState) -> list[np.ndarray]:
    """groups: the rows of each class. Dealt to the folds in turn, class after class, then shuffled in each class."""
    dealt = np.arange(sum(map(len, groups))) % n_folds
    fold_of, first = np.empty_like(dealt), 0
    for rows in groups:
        folds = np.sort(dealt[first : first + len(rows)])
        generator.shuffle(folds)
        fold_of[rows] = folds
        first += len(rows)
    return np.split(np.argsort(fold_of, kind="stable"), np.cumsum(np.bincount(fold_of, minlength=n_folds))[:-1])


def _by_class(labels: np.ndarray) -> list[np.ndarray]:
    """The rows of each class that occurs, in the table's order; the classes sorted."""
    _, counts = np.unique(labels, return_counts=True)
    return np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])


def _in_order_of_appearance(labels: np.ndarray) -> list[np.ndarray]:
    return sorted(_by_class(labels), key=lambda rows: int(rows[0]))


def _shares(counts: np.ndarray, n_drawn: int, generator: np.random.RandomState) -> np.ndarray:
    """(C,) int64: n_drawn rows out of classes of `counts` (C,) rows, each in proportion: the largest remainders are
    rounded up, at random among equals. scikit-learn's `_approximate_mode`, to the draw.
    """
    exact = counts / counts.sum() * n_drawn
    shares = np.floor(exact)
    remainders = exact - shares
    missing = int(n_drawn - shares.sum())
    for value in np.unique(remainders)[::-1]:
        if missing <= 0:
            break
        equal = np.flatnonzero(remainders == value)
        chosen = generator.choice(equal, size=min(len(equal), missing), replace=False)
        shares[chosen] += 1
        missing -= len(chosen)
    return shares.astype(np.int64)


def _rows(n: int) -> str:
    return f"{n:,} row" + ("" if n == 1 else "s")
