"""What a training needs from an engine."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from gpubp.backends import Array
from gpubp.backends.interruption import Interruption


class Engine(Protocol):
    """Trains the networks of a plan. `params` (P, K) is theirs, on the device."""

    name: str

    @property
    def params(self) -> Array: ...

    @property
    def buffers(self) -> Any:
        """What a next training might work in as well, without this one's table; None where nothing is worth keeping."""
        ...

    def run(self, epoch: int, n_epochs: int, interruption: Interruption) -> tuple[Array, int]:
        """Train from `epoch` on, for `n_epochs` epochs.

        Gives (3, epochs, P) float64 on the device: training loss, validation loss, validation score (see EpochReport);
        and how many updates of a further epoch were taken before Ctrl-C cut it short: 0 if it did not.
        """
        ...

    def compact(self, keep: np.ndarray) -> None:
        """Go on with the networks at the places `keep` alone."""
        ...

    def set_rates(self, rates: np.ndarray) -> None:
        """Go on with these learning rates (P,)."""
        ...

    def slots_on_host(self) -> dict[str, np.ndarray]:
        """The optimizer's state arrays (P, K) by name; on the host itself they are the engine's own memory."""
        ...

    def wait(self) -> None:
        """Until the device has done what it was asked for."""
        ...
