"""The interfaces of engines: one that trains a plan's networks, and its kind, which is known before any training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.backends.interruption import Interruption
from gpubp.networks.plan import TrainingPlan
from gpubp.operations.architecture import Architecture
from gpubp.operations.dense import Dense


class Engine(Protocol):
    """Trains the networks of a plan. `params` (P, K) is theirs, on the device."""

    name: str

    @property
    def params(self) -> Array: ...

    @property
    def buffers(self) -> Any:
        """Memory that a next training may work in, without this one's table; None where nothing is worth keeping."""
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


@dataclass(frozen=True)
class Costs:
    """The constants of an engine's estimates: those of this class, and in each engine's own one those of its work.

    The usual ones were measured on a few machines; what is measured on this one can take their place (`choose_engine`).
    A name that begins with `cuda_` is for CUDA devices, the others are for CPUs.
    """

    compiling: float = 0.0  # seconds that a kernel takes to compile, if it is not in the cache
    cuda_compiling: float = 0.0
    trainings: int = 1  # that are to pay for it, since it stays in the cache

    def compile_seconds(self, backend: Backend) -> float:
        return self.compiling if backend.on_host else self.cuda_compiling

    def compile_share(self, backend: Backend) -> float:
        """Seconds of a kernel's compilation that one training has to be worth."""
        return self.compile_seconds(backend) / self.trainings


C = TypeVar("C", bound=Costs)


class EngineKind(ABC, Generic[C]):
    """One engine: what it serves, what its work costs, how it is made, how it predicts.

    All its answers depend on the plan's counts and settings and on the backend's traits (all that
    `choose.depends_on` names), never on the numbers in a table or in a network.
    """

    name: ClassVar[str]
    help: ClassVar[str]  # a few words for the help of --engine
    costs: C  # the usual ones
    compiled: ClassVar[bool] = True  # whether whole epochs are a call of a compiled kernel; or one update after another
    every_architecture: ClassVar[bool] = False  # whether one kernel serves them all, for a loss, an optimizer, a dtype
    layers: ClassVar[tuple[str, ...]] = ("dense",)  # the kinds of layers that it serves
    absence: ClassVar[str] = ""  # how the reason of a choice begins to say that it cannot serve; "": it need not say so

    def refuses_layers(self, architecture: Architecture) -> str | None:
        """Why it cannot serve a network of these layers, in words; None if it can."""
        unknown = dict.fromkeys(layer.name for layer in architecture.layers if layer.name not in self.layers)
        return f"its kernel knows no layer {' or '.join(unknown)}" if unknown else None

    def refuses_groups(self, plan: TrainingPlan) -> str | None:
        """Why it cannot train groups of parameters at rates of their own, in words; None if nobody asks for it."""
        given = [option.name for option in Dense.options if option.name in plan.hyper]
        return f"its kernel knows no {' or '.join(given)}" if given else None

    @abstractmethod
    def refuses(self, plan: TrainingPlan) -> str | None:
        """Why it cannot train these networks, in words; None if it can."""

    @abstractmethod
    def seconds(self, plan: TrainingPlan, costs: C) -> float:
        """The estimated time of the whole training, all epochs, without compiling."""

    def serves_auto(self, plan: TrainingPlan, seconds: float) -> bool:
        """Whether "auto" may take it, by its estimate. Who asks for it by name gets it anyway."""
        return True

    @abstractmethod
    def make(self, plan: TrainingPlan, params: Array, buffers: Any = None) -> Engine:
        """The engine, which trains params (P, K) in place. buffers: those of an earlier one that serve this plan.

        Raises BackendError where its kernel cannot be had.
        """

    def networks_to_fill(self, backend: Backend) -> int:
        """How many networks the machine can have in training at the same time, if they wait for each other; else 1."""
        return 1

    def refuses_prediction(self, backend: Backend, architecture: Architecture, dtype: np.dtype[Any]) -> str | None:
        """Why it cannot predict with such networks, in words; None if it can."""
        return None

    @abstractmethod
    def predict(self, backend: Backend, architecture: Architecture, params: Array, X: Array) -> Array:
        """Outputs (P, N, O) for params (P, K) and X (N, I), by an engine that does not refuse."""

    def prediction_pays(self, backend: Backend, architecture: Architecture, n_networks: int, n_rows: int) -> bool:
        """Whether prediction by its kernel is likely to save more seconds than its compilation takes."""
        return False
