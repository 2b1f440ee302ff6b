"""A training that pauses: everything that the rest of it depends on, in host arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np

from gpubp.engines.registry import ENGINE_KINDS
from gpubp.errors import DataError, SettingsError
from gpubp.networks.plan import TrainingPlan
from gpubp.networks.population import Population
from gpubp.networks.state import TrainingState
from gpubp.operations.averaging import UNAVERAGED
from gpubp.storage.array_files import array
from gpubp.storage.schema import Given


@dataclass(frozen=True, eq=False)
class Snapshot:
    """P networks after some of the epochs of a training. `train(..., resume=snapshot)` does the others, to the bits of
    a training without a pause, schedules and early stopping included. Arrays are never changed in place.

    epoch: epochs done. engine: the one that did them. validated: whether there are validation rows.
    params (P, K), slots (P, K) by name, updates (P,) int64: as the next update needs them. rates (P,) float64: what the
    schedule "adaptive" has made of them. active (P,) bool: who is still in training; epochs (P,) int64 that each had.
    metrics (3, E, P): see Log. best, waited, best_epoch (P,), best_params (P, K) or None: see EarlyStopper.
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
        slots = dict(self.slots)
        if UNAVERAGED in slots and self.best_params is not None:
            slots[UNAVERAGED] = self.best_params
        return TrainingState(int(self.epochs.max(initial=0)), self.updates, slots, self.rates / rates)

    def check(self, population: Population, plan: TrainingPlan) -> None:
        """SettingsError where this is no snapshot of such a training, DataError where it is none at all."""
        self.check_arrays()
        slots = sorted(plan.settings.state_arrays)
        if self.params.shape != population.params.shape or self.params.dtype != population.dtype:
            raise SettingsError(
                f"The snapshot is of parameters {self.params.shape} in {self.params.dtype}, and this population has "
                f"{tuple(population.params.shape)} in {population.dtype}: resume the training that it was taken of."
            )
        if sorted(self.slots) != slots or self.validated != (plan.validation is not None):
            found, needed = ", ".join(sorted(self.slots)) or "nothing", ", ".join(slots) or "nothing"
            validates = "with" if plan.validation is not None else "without"
            raise SettingsError(
                f"The snapshot's training kept the optimizer's {found}, with{'' if self.validated else 'out'} "
                f"validation; this one keeps {needed}, {validates} validation: resume the training that it was taken "
                "of."
            )
        rule = plan.settings.early_stopping
        if (self.best_params is None) != (rule is None or not rule.restore_best):
            kept = "no best weights" if self.best_params is None else "each network's best weights"
            raise SettingsError(f"The snapshot's training kept {kept}: resume the training that it was taken of.")
        if self.epoch > plan.settings.epochs:
            raise SettingsError(
                f"The snapshot was taken after epoch {self.epoch}, and this training has {plan.settings.epochs}."
            )

    def rest(self, plan: TrainingPlan) -> TrainingPlan:
        """The plan of the epochs that are left, for all networks."""
        return replace(
            plan,
            settings=replace(plan.settings, epochs=plan.settings.epochs - self.epoch),
            first_epoch=plan.first_epoch + self.epoch,
            hyper=plan.hyper | {"rate": self.rates},
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
    def from_parts(cls, arrays: Mapping[str, np.ndarray], metadata: Any) -> Snapshot:
        """The inverse of `to_arrays` and `to_metadata`; DataError where these are not the parts of one."""
        given = Given(metadata, "snapshot")
        own: dict[str, Any] = {name: arrays.get(name) for name in (*_PER_NETWORK, "metrics", "best_params")}
        found = cls(
            epoch=given["epoch"].whole(1, MOST_EPOCHS),
            engine=given["engine"].choice([*ENGINE_KINDS]),
            validated=given["validated"].flag(),
            seconds=given["seconds"].number(0.0),
            slots={name.removeprefix("slots."): slot for name, slot in arrays.items() if name.startswith("slots.")},
            **own,
        )
        found.check_arrays()
        return found

    def check_arrays(self) -> None:
        """DataError where an array has another type or shape than the class says, or numbers that cannot be."""
        arrays: dict[str, Any] = {f"slots.{name}": slot for name, slot in self.slots.items()}
        arrays |= {name: getattr(self, name) for name in (*_PER_NETWORK, "metrics", "best_params")}
        shape = array(arrays, "params", (None, None), np.float32, np.float64, finite=False).shape
        if 0 in shape:
            raise DataError(f"array 'params' should have networks and parameters; found {shape}.")
        for name in (*(f"slots.{slot}" for slot in self.slots), *(["best_params"] * (self.best_params is not None))):
            array(arrays, name, shape, self.params.dtype, finite=False)
        each = shape[:1]
        array(arrays, "updates", each, np.int64, least=0, most=MOST_EPOCHS**2)
        array(arrays, "rates", each, np.float64, least=0.0)
        array(arrays, "active", each, np.bool_)
        array(arrays, "epochs", each, np.int64, least=0, most=self.epoch)
        array(arrays, "metrics", (3, None, each[0]), np.float64, finite=False)
        array(arrays, "best", each, np.float64, finite=False)
        array(arrays, "waited", each, np.int64, least=0, most=self.epoch)
        array(arrays, "best_epoch", each, np.int64, least=-1, most=self.epoch - 1)
        least, measured = int(self.epochs.max()), self.metrics.shape[1]
        if self.active.any():
            least = self.epoch
            array({"epochs": self.epochs[self.active]}, "epochs", (None,), np.int64, least=self.epoch, most=self.epoch)
        if not least <= measured <= self.epoch:
            raise DataError(f"array 'metrics' should be of {least} to {self.epoch} epochs; found {measured}.")


MOST_EPOCHS = 2**31
_PLAIN = ("epoch", "engine", "validated", "seconds")
_OTHERS = {*_PLAIN, "slots", "metrics", "best_params"}
_PER_NETWORK = tuple(field.name for field in fields(Snapshot) if field.name not in _OTHERS)


def padded(table: np.ndarray, epochs: int) -> np.ndarray:
    """A table (…, E, P) with so many epochs, NaN where it had none."""
    missing = epochs - table.shape[-2]
    if missing <= 0:
        return table
    return np.concatenate([table, np.full((*table.shape[:-2], missing, table.shape[-1]), np.nan)], axis=-2)


class SnapshotSink(Protocol):
    """Keeps snapshots of a training while it goes on."""

    def begin(self, population: Population, plan: TrainingPlan) -> Snapshot | None:
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
