"""Which rows each network sees, and when: row sets, and the plan of an epoch. Stateless throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gpubp.errors import DataError, SettingsError
from gpubp.operations.philox import Stream, uniform

Rows = np.ndarray | Sequence[np.ndarray] | None


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
