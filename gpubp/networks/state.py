"""Where a training stands between two calls of `train`: what the parameters do not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpubp.errors import SettingsError
from gpubp.networks.population import Population


@dataclass
class TrainingState:
    """A fresh one begins a training; `train(..., state=state)` goes on from it, and brings it up to date in place.

    Two calls of `train` with the same state give the same bits as one call of as many epochs (with a schedule that
    does not depend on the length of the training). Everything is on the host.

    epoch: epochs done, which key shuffles and dropout masks. updates (P,) int64: updates done, Adam's t.
    slots: the optimizer's state arrays (P, K) by name ("velocity"; "mean" and "square"; "square"), and "unaveraged",
    the weights themselves, where the parameters are their running average.
    rate_factor (P,) float64: what the schedule "adaptive" has made of the learning rate.
    buffers: what the last call of one epoch of one network has worked in, with its engine, for a next call alike;
    copies and pickles go without.
    """

    epoch: int = 0
    updates: np.ndarray | None = None
    slots: Mapping[str, np.ndarray] = field(default_factory=dict)
    rate_factor: np.ndarray | None = None
    buffers: Any = field(default=None, repr=False, compare=False)

    def take_buffers(self) -> Any:
        """The buffers, which nobody else gets: two trainings at a time never work in the same ones."""
        return vars(self).pop("buffers", None)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "buffers"}

    def check(self, population: Population, names: tuple[str, ...]) -> None:
        """SettingsError where this is the state of other networks, or of another optimizer. names: of the slots."""
        if self.epoch == 0 and self.updates is None and not self.slots:
            return  # a fresh one
        if sorted(self.slots) != sorted(names):
            raise SettingsError(
                f"The training state holds the optimizer's {', '.join(self.slots) or 'nothing'}, and this optimizer "
                f"keeps {', '.join(names) or 'nothing'}: go on with the optimizer that it came from."
            )
        for what, array in (*self.slots.items(), ("updates", self.updates), ("rate_factor", self.rate_factor)):
            shape = population.params.shape if what in self.slots else (len(population),)
            if array is None or array.shape != shape:
                found = None if array is None else array.shape
                raise SettingsError(
                    f"The training state's {what} has the shape {found}, and this population needs {shape}: go on "
                    "with the population that it came from."
                )
