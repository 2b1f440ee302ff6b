"""What `train_tabular` is given beside the table, checked: a time limit, weights, groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpubp.errors import SettingsError
from gpubp.fitting.table_data import TableData
from gpubp.tabular.presets import Preset


def checked_limit(given: Any, preset: Preset) -> float:
    """Seconds. SettingsError for what is no time."""
    if given is None:
        return preset.seconds
    if isinstance(given, bool) or not isinstance(given, (int, float, np.integer, np.floating)) or not given > 0:
        raise SettingsError(f"time_limit {given!r:.40}: give a number of seconds above 0, or None.")
    return float(given)


def of_kept_rows(given: Any, data: TableData, what: str) -> np.ndarray | None:
    """Weights or groups of the rows that have a target."""
    if given is None:
        return None
    values, kept = np.asarray(given), data.dataset.kept
    n_given = data.n_rows if kept is None else None
    if (
        values.ndim != 1
        or (n_given is not None and len(values) != n_given)
        or (kept is not None and len(values) <= kept.max())
    ):
        raise SettingsError(f"{what} of shape {values.shape}: give one for each row of the table.")
    values = values if kept is None else values[kept]
    if what == "weights":
        values = values.astype(np.float64)
        if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
            raise SettingsError("weights have to be finite numbers, not below 0, and not all 0.")
    return values
