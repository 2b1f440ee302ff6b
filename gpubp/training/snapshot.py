"""A training that pauses: everything that the rest of it depends on, in host arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np

from gpubp.errors import DataError, SettingsError
from gpubp.population import Population
from gpubp.training.engine import Work
from gpubp.training.state import TrainingState


@dataclass(frozen=True, eq=False)
class Snapshot:
    """P networks after some of the epochs of a training. `train(..., resume=snapshot)` does the others, to the bits of
    a training without a pause, schedules and early stopping included. Arrays are never changed in place.

    epoch: epochs done. engine: the one that did them. validated: whether there are validation rows.
    params (P, K), slots (P, K) by name, updates (P,) int64: as the next update needs them. rates (P,) float64: what the
    schedule "adaptive" has made of them. active (P,) bool: who is still in training; epochs (P,) int64 that each had.
    metrics (3, E, P): see Log. best, waited, best_epoch (P,), best_params (P, K) or None: see Stopper.
    seconds: of all calls so far.
    """

    epoch: int
    engine: str
    validated: bool
    params: np.ndarray
    slots: Mapping[str, np.ndarray]
    updates: np.ndarray
    rates: np.ndarray
    active: np.ndarray
    epochs: np.ndarray
    metrics: np.ndarray
    best: np.ndarray
    waited: np.ndarray
    best_epoch: np.ndarray
    best_params: np.ndarray | None
    seconds: float

    def __len__(self) -> int:
        return len(self.params)

    @property
    def result(self) -> np.ndarray:
        """(P, K): what the training would give if it ended here."""
        return self.params if self.best_params is None else self.best_params

    def state(self, rates: np.ndarray) -> TrainingState:
        """For a new training that goes on where this one ends. rates (P,): those that it began with."""
        return TrainingState(int(self.epochs.max(initial=0)), self.updates, dict(self.slots), self.rates / rates)

    def check(self, population: Population, work: Work) -> None:
        """SettingsError where this is no snapshot of such a training."""
        slots = sorted(work.settings.optimizer_rule.arrays)
        if self.params.shape != population.params.shape or self.params.dtype != population.dtype:
            raise SettingsError(
                f"The snapshot is of parameters {self.params.shape} in {self.params.dtype}, and this population has "
                f"{tuple(population.params.shape)} in {population.dtype}: resume the training that it was taken of."
            )
        if sorted(self.slots) != slots or self.validated != (work.held is not None):
            found, needed = ", ".join(sorted(self.slots)) or "nothing", ", ".join(slots) or "nothing"
            raise SettingsError(
                f"The snapshot's training kept the optimizer's {found}, with{'' if self.validated else 'out'} "
                f"validation; this one keeps {needed}, with{'' if work.held is not None else 'out'} validation: resume "
                "the training that it was taken of."
            )
        if self.epoch > work.settings.epochs:
            raise SettingsError(
                f"The snapshot was taken after epoch {self.epoch}, and this training has {work.settings.epochs}."
            )

    def rest(self, work: Work) -> Work:
        """What is left to do, of all networks."""
        return replace(
            work,
            settings=replace(work.settings, epochs=work.settings.epochs - self.epoch),
            first_epoch=work.first_epoch + self.epoch,
            hyper=work.hyper | {"rate": self.rates},
            updates=self.updates,
            slots=self.slots,
        )

    def take(self, networks: np.ndarray) -> Snapshot:
        """Of the networks at these places alone."""
        own: dict[str, Any] = {name: getattr(self, name)[networks] for name in _PER_NETWORK}
        return replace(
            self,
            **own,
            slots={name: slot[networks] for name, slot in self.slots.items()},
            metrics=self.metrics[:, :, networks],
            best_params=None if self.best_params is None else self.best_params[networks],
        )

    @staticmethod
    def join(snapshots: Sequence[Snapshot]) -> Snapshot:
        """Of trainings that are alike and have had as many epochs: their networks beside each other."""
        first = snapshots[0]
        own: dict[str, Any] = {name: np.concatenate([getattr(s, name) for s in snapshots]) for name in _PER_NETWORK}
        best = [snapshot.best_params for snapshot in snapshots if snapshot.best_params is not None]
        longest = max(snapshot.metrics.shape[1] for snapshot in snapshots)
        return replace(
            first,
            **own,
            slots={name: np.concatenate([snapshot.slots[name] for snapshot in snapshots]) for name in first.slots},
            metrics=np.concatenate([padded(snapshot.metrics, longest) for snapshot in snapshots], axis=2),
            best_params=np.concatenate(best) if best else None,
            seconds=sum(snapshot.seconds for snapshot in snapshots),
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """By name, for a file; with `to_metadata`, everything."""
        named = {name: getattr(self, name) for name in (*_PER_NETWORK, "metrics")}
        named |= {f"slots.{name}": slot for name, slot in self.slots.items()}
        if self.best_params is not None:
            named["best_params"] = self.best_params
        return {name: np.ascontiguousarray(array) for name, array in named.items()}

    def to_metadata(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _PLAIN}

    @classmethod
    def from_parts(cls, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> Snapshot:
        """DataError where these are not the parts of one."""
        slots = {name.removeprefix("slots."): slot for name, slot in arrays.items() if name.startswith("slots.")}
        try:
            plain = {name: kind(metadata[name]) for name, kind in _PLAIN.items()}
            own: dict[str, Any] = {name: arrays[name] for name in (*_PER_NETWORK, "metrics")}
            found = cls(**plain, **own, slots=slots, best_params=arrays.get("best_params"))
            n, shape = len(found), found.params.shape
            wide = [*slots.values(), *([] if found.best_params is None else [found.best_params])]
            good = len(shape) == 2 and all(len(own[name]) == n for name in _PER_NETWORK)
            good &= all(array.shape == shape for array in wide) and found.metrics.shape[::2] == (3, n)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the snapshot of the training is damaged ({type(error).__name__})") from error
        if not good:
            raise DataError("the snapshot of the training is damaged: its arrays do not fit together")
        return found


_PLAIN: dict[str, Any] = {"epoch": int, "engine": str, "validated": bool, "seconds": float}
_OTHERS = {*_PLAIN, "slots", "metrics", "best_params"}
_PER_NETWORK = tuple(field.name for field in fields(Snapshot) if field.name not in _OTHERS)


def padded(table: np.ndarray, epochs: int) -> np.ndarray:
    """A table (…, E, P) with so many epochs, NaN where it had none."""
    missing = epochs - table.shape[-2]
    if missing <= 0:
        return table
    return np.concatenate([table, np.full((*table.shape[:-2], missing, table.shape[-1]), np.nan)], axis=-2)


class Keeper(Protocol):
    """Keeps snapshots of a training while it goes on."""

    def begin(self, population: Population, work: Work) -> Snapshot | None:
        """Called once, before anything is changed: what to resume, if anything is kept of this training."""
        ...

    def let_go(self) -> None:
        """Called once the training has ended, or failed."""
        ...

    def due(self, epoch: int, interrupted: bool) -> bool:
        """Asked after each call of an engine, when `epoch` epochs are done: whether it is time to keep another
        snapshot. interrupted: Ctrl-C ends the training here.
        """
        ...

    def keep(self, snapshot: Snapshot) -> None: ...

    def ends(self) -> bool:
        """Asked after that: whether the training is to end here, as if it had been told to pause."""
        ...
