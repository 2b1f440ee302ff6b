"""Which rows each network sees, and when: row sets, folds, splits, and the plan of an epoch. Stateless throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from gpubp.errors import DataError, SettingsError, quoted
from gpubp.kernels.reference.philox import Stream, uniform
from gpubp.turns import in_turn

Rows = np.ndarray | Sequence[np.ndarray] | None

MOST_REPEATS = 100_000  # of a cross-validation: each splits all rows anew


@dataclass(frozen=True)
class RowSets:
    """The rows of each of P networks, padded to one table.

    index (P, L) int64, or (1, L) where all networks share their rows; count (P,) rows of each; padding repeats row 0
    of the table and is never used.
    """

    index: np.ndarray
    count: np.ndarray

    @property
    def shared(self) -> bool:
        return len(self.index) == 1

    @classmethod
    def of(cls, rows: Rows, n_networks: int, n_rows: int, what: str = "training") -> RowSets:
        """rows: None (all), one array of row numbers for all networks, or one array for each network."""
        if rows is None:
            return cls(np.arange(n_rows)[None, :], np.full(n_networks, n_rows, dtype=np.int64))
        if isinstance(rows, np.ndarray) and rows.ndim == 1 and rows.dtype != object:
            index = _check_rows(rows, n_rows, what)[None, :]
            return cls(index, np.full(n_networks, index.shape[1], dtype=np.int64))
        if len(rows) != n_networks:
            raise SettingsError(f"{len(rows)} sets of {what} rows for {n_networks} networks: give one for each.")
        sets = [_check_rows(np.asarray(one), n_rows, f"{what} (network {p})") for p, one in enumerate(rows)]
        count = np.array([len(one) for one in sets], dtype=np.int64)
        index = np.zeros((n_networks, count.max()), dtype=np.int64)
        for p, one in enumerate(sets):
            index[p, : len(one)] = one
        return cls(index, count)

    def networks(self, chosen: np.ndarray) -> RowSets:
        return RowSets(self.index if self.shared else self.index[chosen], self.count[chosen])


def _check_rows(rows: np.ndarray, n_rows: int, what: str) -> np.ndarray:
    """A copy, and it is the copy that is checked: kernels take rows unseen, and another thread may write to `rows`."""
    rows = np.array(rows)
    if rows.ndim != 1 or len(rows) == 0 or not np.issubdtype(rows.dtype, np.integer):
        raise DataError(f"{what} rows: expected a list of row numbers, at least one; found {rows!r:.80}.")
    outside = rows[(rows < 0) | (rows >= n_rows)]
    if len(outside):
        raise DataError(f"{what} rows: row {outside[0]} is not among the {n_rows} rows (0 to {n_rows - 1}).")
    return rows.astype(np.int64, copy=False)


def bootstrap_rows(rows: np.ndarray, weights: np.ndarray | None, seed: int, draw: int = 0) -> np.ndarray:
    """As many of the rows (n,) as they are, drawn with replacement: a pure function of (seed, draw), for bagging.

    weights: (N,) of the whole table; rows of weight 0 are not drawn, so that a network cannot end up with them alone.
    """
    counted = rows if weights is None else rows[weights[rows] > 0]
    counted = counted if len(counted) else rows
    units = uniform(np, np.array([seed], dtype=np.uint64), len(rows), Stream.BOOTSTRAP, extra=draw)[0]
    places = np.minimum((units * len(counted)).astype(np.int64), len(counted) - 1)  # 1 − 2⁻⁵³ may round up
    return counted[places]


@dataclass(frozen=True)
class Step:
    """Networks first … last−1 take one update on `size` rows, from place `start` of their epoch's order on."""

    number: int
    first: int
    last: int
    start: int
    size: int


def epoch_steps(count: np.ndarray, batch_size: int) -> list[Step]:
    """The updates of one epoch, for networks sorted by their number of rows, the most first.

    No batch is padded: networks that still have a full batch are a leading slice, and those with the same remainder
    are neighbours. So every network takes exactly the batches that it would take alone, to the bit.
    """
    rows, starts = int(count[0]), range(0, int(count[0]), batch_size)
    if (count == rows).all():
        return [Step(i, 0, len(count), start, min(batch_size, rows - start)) for i, start in enumerate(starts)]
    if np.any(np.diff(count) > 0):
        raise ValueError("networks must be sorted by their number of rows, the most first")
    steps = []
    for number, start in enumerate(starts):
        full = int(np.searchsorted(-count, -(start + batch_size), side="right"))
        if full:
            steps.append(Step(number, 0, full, start, batch_size))
        left = int(np.searchsorted(-count, -start, side="left"))
        steps += [Step(number, f, last, start, int(count[f]) - start) for f, last in runs(count[full:left], full)]
    return steps


def runs(values: np.ndarray, offset: int = 0) -> list[tuple[int, int]]:
    """(first, last) of each run of equal neighbours; of a table, of equal neighbouring columns."""
    table = np.atleast_2d(values)
    if table.shape[1] == 0:
        return []
    edges = np.flatnonzero(np.diff(table, axis=1).any(axis=0)) + 1
    bounds = [0, *edges.tolist(), table.shape[1]]
    return [(offset + first, offset + last) for first, last in pairwise(bounds)]


def cross_validation_folds(
    labels: np.ndarray | None, n_rows: int, n_folds: int, n_repeats: int, seed: int
) -> list[np.ndarray]:
    """The test rows of each fold, repeat after repeat: shuffled, stratified where class `labels` are given."""
    from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold

    if n_folds < 2:
        raise SettingsError(f"{n_folds} folds: cross-validation needs at least 2.")
    if n_repeats < 1:
        raise SettingsError(f"{n_repeats} repeats: cross-validation needs at least 1.")
    if n_repeats > MOST_REPEATS:
        raise SettingsError(f"{quoted(n_repeats)} repeats: give a whole number from 1 to {MOST_REPEATS:,}.")
    if n_folds > n_rows:
        raise SettingsError(f"{n_folds} folds for {n_rows} rows: use at most as many folds as rows.")
    random_state = np.random.RandomState(np.random.MT19937(seed))
    splitter: Any
    if labels is None:
        splitter = RepeatedKFold(n_splits=n_folds, n_repeats=n_repeats, random_state=random_state)
    else:
        splitter = RepeatedStratifiedKFold(n_splits=n_folds, n_repeats=n_repeats, random_state=random_state)
    with in_turn():
        return [test for _, test in splitter.split(np.zeros((n_rows, 1)), labels)]


def check_folds(n_folds: int, class_counts: dict[str, int]) -> None:
    """Refuse more folds than the rarest class has rows: some folds would have none of it."""
    rarest = min(class_counts, key=lambda label: class_counts[label])
    if n_folds > class_counts[rarest]:
        raise SettingsError(
            f"{n_folds} folds, but class {quoted(rarest)} has only {class_counts[rarest]} rows: use at most "
            f"{max(class_counts[rarest], 2)} folds{_or_more_rows(class_counts[rarest])}."
        )


def _or_more_rows(count: int) -> str:
    return ", and add rows of that class" if count < 2 else ""


def validation_split(
    labels: np.ndarray | None, n_rows: int, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(training rows, validation rows), in the table's order; stratified where class `labels` are given."""
    from sklearn.model_selection import train_test_split

    if not 0.0 < fraction < 1.0:
        raise SettingsError(f"Validation share {fraction}: give a number between 0 and 1, such as 0.2.")
    n_validation = max(1, round(n_rows * fraction))
    if labels is not None:
        counts = np.bincount(labels)
        counts = counts[counts > 0]
        if counts.min() < 2 or n_validation < len(counts) or n_rows - n_validation < len(counts):
            labels = None  # too few rows to have every class on both sides
    if n_validation >= n_rows:
        raise SettingsError(
            f"A validation share of {fraction} leaves no training rows of {n_rows}: use a smaller share or more rows."
        )
    training, validation = train_test_split(
        np.arange(n_rows),
        test_size=n_validation,
        stratify=labels,
        random_state=np.random.RandomState(np.random.MT19937(seed)),
    )
    return np.sort(training), np.sort(validation)
