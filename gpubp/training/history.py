"""The reports of a training: per epoch and network, and at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gpubp.training.snapshot import Snapshot


@dataclass(frozen=True)
class History:
    """Of P networks over E epochs. Numbers of epochs that a network did not train are NaN.

    training_loss (E, P): the mean over the epoch's rows, each taken before its own update, L2 term included.
    validation_loss, validation_score (E, P), or None without validation rows: the mean loss without the L2 term;
    accuracy for classification, R² for regression.
    epochs (P,): epochs completed. best_epoch (P,): the epoch (from 0) whose weights were kept, −1 where none was.
    diverged_epoch (P,): the epoch in which the numbers stopped being finite, −1 where they did not.
    """

    training_loss: np.ndarray
    validation_loss: np.ndarray | None
    validation_score: np.ndarray | None
    epochs: np.ndarray
    best_epoch: np.ndarray
    diverged_epoch: np.ndarray
    interrupted: bool
    seconds: float
    backend: str
    engine: str
    engine_reason: str  # why this engine, in a few words
    bits_settings: tuple[str, ...] = ()  # NAME=VALUE in the environment that changed the array engine's bits
    snapshot: Snapshot | None = field(default=None, repr=False)  # to be resumed, where `until` asked for it

    @property
    def diverged(self) -> np.ndarray:
        """(P,) bool."""
        return self.diverged_epoch >= 0

    @property
    def lost(self) -> np.ndarray:
        """(P,) bool: whose networks diverged and have no good weights to fall back on, none better than those of their
        first epoch.
        """
        return self.diverged & (self.best_epoch < 1)


@dataclass(frozen=True)
class EpochReport:
    """The report that a callback gets after each epoch; a callback that returns True ends the training.

    The numbers stay on the device until `metrics()` is called: a callback that looks only now and then costs nothing
    in between.
    """

    epoch: int  # from 0
    n_epochs: int
    networks: np.ndarray  # places, in the population, of those still training
    fetch: Callable[[], np.ndarray]

    def metrics(self) -> dict[str, np.ndarray]:
        """training_loss, validation_loss, validation_score of the networks still training; NaN where there is none."""
        values = self.fetch()
        return {"training_loss": values[0], "validation_loss": values[1], "validation_score": values[2]}


Callback = Callable[[EpochReport], "bool | None"]
