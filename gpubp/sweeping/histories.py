"""Histories of trainings cut and joined: epochs after each other, networks beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpubp.training import History


def of_networks(history: History, networks: np.ndarray) -> History:
    """The history of the networks at these places, without the epochs that none of them had."""
    epochs = history.epochs[networks]
    longest = int(epochs.max(initial=0))

    def part(table: np.ndarray | None) -> np.ndarray | None:
        return None if table is None else table[:longest, networks]

    loss = part(history.training_loss)
    assert loss is not None
    return replace(
        history,
        training_loss=loss,
        validation_loss=part(history.validation_loss),
        validation_score=part(history.validation_score),
        epochs=epochs,
        best_epoch=history.best_epoch[networks],
        diverged_epoch=history.diverged_epoch[networks],
    )


def one_after_the_other(before: History, after: History) -> History:
    """Of the same networks: two calls of `train` as one history. Networks that early stopping ended have no second."""

    def part(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
        return None if first is None or second is None else np.concatenate([first, second])

    done, loss = len(before.training_loss), part(before.training_loss, after.training_loss)
    assert loss is not None
    return replace(
        after,
        training_loss=loss,
        validation_loss=part(before.validation_loss, after.validation_loss),
        validation_score=part(before.validation_score, after.validation_score),
        epochs=before.epochs + after.epochs,
        best_epoch=np.where(after.best_epoch >= 0, after.best_epoch + done, before.best_epoch),
        diverged_epoch=first_lost(before.diverged_epoch, after.diverged_epoch, done),
        seconds=before.seconds + after.seconds,
    )


def side_by_side(histories: Sequence[History]) -> History:
    """Of different networks: their histories as one, as long as the longest."""
    first, longest = histories[0], max(len(h.training_loss) for h in histories)

    def table(name: str) -> Any:
        if getattr(first, name) is None:
            return None
        parts = [getattr(h, name) for h in histories]
        ends = [((0, longest - len(part)), (0, 0)) for part in parts]
        return np.concatenate(
            [np.pad(part, end, constant_values=np.nan) for part, end in zip(parts, ends, strict=True)], axis=1
        )

    tables = ("training_loss", "validation_loss", "validation_score")
    found = {name: table(name) for name in tables}
    for name in ("epochs", "best_epoch", "diverged_epoch"):
        found[name] = np.concatenate([getattr(h, name) for h in histories])
    return replace(first, seconds=sum(h.seconds for h in histories), **found)


def first_lost(before: np.ndarray, found: np.ndarray, done: int) -> np.ndarray:
    """The first epoch of divergence over several calls; −1 for none."""
    return np.where(before >= 0, before, np.where(found >= 0, found + done, -1))
