"""Which rows networks are trained on, and which they are scored on: folds that a table has rows enough for."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpubp.errors import SettingsError
from gpubp.fitting.table_data import TableData
from gpubp.search.run.folds import Split, splits_of

MANY_ROWS = 20_000
"""From more rows than this on, folds give way to time: a fifth of them says as much as all do of a small table."""
FOLDS_OF_MANY = 3


FEW_ROWS = 600
"""As many times as this is the rows of a table, its cross-validation is repeated: the scores of few rows are noisy, and
their networks take little time.
"""


def folds_for(data: TableData, wanted: int, groups: np.ndarray | None) -> int:
    """As many as wanted, or as many as the rows, their classes or their groups allow; fewer of many rows."""
    most = FOLDS_OF_MANY if data.n_rows > MANY_ROWS else wanted
    if groups is not None:
        return min(most, len(np.unique(groups)))
    rows = data.n_rows if data.index is None else int(np.bincount(data.index).max())
    return max(2, min(most, rows))


def divided(data: TableData, folds: int, repeats: int, cv: Any, groups: np.ndarray | None, seed: int) -> list[Split]:
    """(training rows, test rows) of each fold.

    cv: see `splits_of`; None for so many folds, of few rows up to `repeats` times. groups (N,): rows of one group are
    never on both sides.
    """
    if cv is not None:
        if groups is not None and hasattr(cv, "split"):
            return splits_of(data, list(cv.split(np.zeros((data.n_rows, 1)), data.truth, groups)), 1, seed)
        return splits_of(data, cv, 1, seed)
    if groups is not None:
        return splits_of(data, _by_groups(data, folds, groups, seed), 1, seed)
    return splits_of(data, folds, min(repeats, max(1, FEW_ROWS // data.n_rows)), seed)


def _by_groups(data: TableData, folds: int, groups: np.ndarray, seed: int) -> list[Split]:
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    if folds < 2:
        raise SettingsError("All rows are of one group: a cross-validation needs two groups at least.")
    nothing = np.zeros((data.n_rows, 1))
    if data.index is None:
        return list(GroupKFold(folds, shuffle=True, random_state=seed % 2**32).split(nothing, groups=groups))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    return [pair for pair in splitter.split(nothing, data.index, groups) if len(pair[0]) and len(pair[1])]
