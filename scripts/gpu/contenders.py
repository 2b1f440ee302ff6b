"""The rows on which gpubp and its peers meet: the same networks, weights, batches and rules, in float32.

Every network has its own order of the rows, the same in each epoch. Peers get their batches cut and on the device
before the clock starts; gpubp takes the rows from the table as it goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gpu.trainings import Training
from gpubp.backends import Backend, NumpyBackend
from gpubp.networks.population import Population

Layers = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Contest:
    """engines: of gpubp, the fastest counts. epochs: of a peer's timed run, and of the losses that are compared.
    unroll: updates of JAX's scan in one piece of its program: several where an update is short, for they take long to
    compile.
    """

    name: str
    training: Training
    n_networks: int
    engines: tuple[str, ...]
    epochs: int
    unroll: int = 1

    @property
    def rate(self) -> float:
        return float(np.asarray(self.training.how(1).learning_rate))

    @property
    def updates(self) -> int:
        """Of all networks in an epoch."""
        return self.training.updates * self.n_networks

    @cached_property
    def order(self) -> np.ndarray:
        """(P, N) row numbers."""
        rows = np.broadcast_to(np.arange(self.training.rows, dtype=np.int32), (self.n_networks, self.training.rows))
        return np.random.default_rng(1).permuted(rows, axis=-1)

    @property
    def rows(self) -> list[np.ndarray]:
        """As `train` takes them."""
        return list(self.order)

    @property
    def batches(self) -> tuple[np.ndarray, np.ndarray]:
        """X (P, steps, B, I) and T (P, steps, B, O)."""
        X, T = self.training.table()
        shape = (self.n_networks, self.training.updates, self.training.batch_size, -1)
        return X[self.order].reshape(shape), T[self.order].reshape(shape)

    def population(self, backend: Backend) -> Population:
        return self.training.population(backend, self.n_networks)

    @cached_property
    def layers(self) -> Layers:
        """W (P, I, O) and b (P, O) of each layer, to begin with."""
        networks = self.population(NumpyBackend())
        return [(networks.weights(i), networks.biases(i)) for i in range(self.training.architecture.n_layers)]


CONTESTS = (
    Contest("7-5-3 online, 50,000", Training((7, 5, 3), 1, 128, tutorial=True), 50_000, ("lane",), 8),
    Contest("16-64-64-3 b32, 1,056", Training((16, 64, 64, 3), 32, 1024), 1056, ("block",), 4, unroll=4),
    Contest("64-256-256-256-10 b256, 132", Training((64, 256, 256, 256, 10), 256, 2048), 132, ("block", "array"), 4),
    Contest("784-1024-1024-10 b256, 1", Training((784, 1024, 1024, 10), 256, 4096), 1, ("block", "array"), 8, unroll=2),
)
TINY = (
    Contest("2-2-3 online, 3", Training((2, 2, 3), 1, 5, tutorial=True), 3, ("array",), 2),
    Contest("3-5-3 b4, 2", Training((3, 5, 3), 4, 12), 2, ("array",), 2),
    Contest("3-5-3 b4, 1", Training((3, 5, 3), 4, 12), 1, ("array",), 2),
)
