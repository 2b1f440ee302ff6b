"""The rows that each network trains on, and those that it is scored on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from gpubp.errors import SettingsError
from gpubp.fitting.fold_data import Data
from gpubp.fitting.splits import cross_validation_folds, rare_classes

Split = tuple[np.ndarray, np.ndarray]


def splits_of(data: Data, cv: Any, repeats: int, seed: int) -> list[Split]:
    """(training rows, test rows) of each fold, repeat after repeat.

    cv: a number of folds (shuffled by the seed, stratified for classification), one of scikit-learn's splitters, or an
    iterable of such pairs. Raises SettingsError for what cannot be split that way.
    """
    if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool):
        tests = cross_validation_folds(data.index, data.n_rows, int(cv), repeats, seed)
        return [(np.setdiff1d(np.arange(data.n_rows), test), test) for test in tests]
    if repeats != 1:
        raise SettingsError("repeats goes with a number of folds; a splitter repeats by itself (RepeatedKFold).")
    if hasattr(cv, "split") and not isinstance(cv, (str, bytes)):
        pairs: Iterable[Any] = _pairs(cv, data)
    elif isinstance(cv, Iterable) and not isinstance(cv, (str, bytes)):
        pairs = cv
    else:
        raise SettingsError(f"cv {cv!r:.60}: give a number of folds, a splitter, or pairs of row numbers.")
    found = [_checked(pair, data.n_rows) for pair in pairs]
    if not found:
        raise SettingsError("cv gives no folds at all.")
    return found


def fold_notes(data: Data, cv: Any) -> tuple[str, ...]:
    """On classes that are missing from some of the folds of `splits_of`. A splitter has its own way to tell of them."""
    if data.index is None or data.classes is None or not isinstance(cv, (int, np.integer)):
        return ()
    counts = np.bincount(data.index, minlength=len(data.classes))
    return rare_classes(int(cv), {str(label): int(n) for label, n in zip(data.classes, counts, strict=True)})


def _pairs(cv: Any, data: Data) -> list[Any]:
    """Of a splitter, which may look at the features."""
    try:
        return list(cv.split(data.features(), data.truth))
    except ValueError as error:
        raise SettingsError(f"The splitter {cv!r:.80} cannot split these rows: {error}") from error


def _checked(pair: Any, n_rows: int) -> Split:
    try:
        training, test = (_rows(part, n_rows) for part in pair)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"A fold of cv is no pair of training and test rows: {error}.") from None
    if not len(training) or not len(test):
        raise SettingsError("A fold of cv has no training rows or no test rows.")
    return training, test


def _rows(given: Any, n_rows: int) -> np.ndarray:
    rows = np.asarray(given)
    if rows.dtype == bool and rows.shape == (n_rows,):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(f"found {given!r:.60}")
    if len(rows) and (rows.min() < 0 or rows.max() >= n_rows):
        raise ValueError(f"row {rows.max()} of a table of {n_rows}")
    return rows.astype(np.int64)
