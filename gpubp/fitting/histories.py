"""Histories of trainings cut and joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpubp.training.history import History
from gpubp.training.snapshot import padded

TABLES = ("training_loss", "validation_loss", "validation_score")
EACH = ("epochs", "best_epoch", "diverged_epoch")


def of_networks(history: History, networks: np.ndarray) -> History:
    """The history of the networks at these places, without the epochs that none of them had."""
    longest = int(history.epochs[networks].max(initial=0))
    found: dict[str, Any] = {name: getattr(history, name)[networks] for name in EACH}
    for name in TABLES:
        table = getattr(history, name)
        found[name] = None if table is None else table[:longest, networks]
    return replace(history, snapshot=None, **found)


def side_by_side(histories: Sequence[History]) -> History:
    """Of different networks: their histories as one, as long as the longest."""
    first, longest = histories[0], max(len(history.training_loss) for history in histories)
    found: dict[str, Any] = {name: np.concatenate([getattr(h, name) for h in histories]) for name in EACH}
    for name in TABLES:
        tables = [getattr(history, name) for history in histories]
        known = tables[0] is not None
        found[name] = np.concatenate([padded(table, longest) for table in tables], axis=1) if known else None
    return replace(first, seconds=sum(history.seconds for history in histories), snapshot=None, **found)
