"""Trainings that several parts use: made-up rows, relu networks with softmax outputs or logistic ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from gpubp.backends import Backend
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture


@dataclass(frozen=True)
class Training:
    """sizes: inputs, hidden layers, outputs. tutorial: logistic layers, squared error, SGD; else relu, softmax,
    cross-entropy, Adam. rows: of the table; all are trained on.
    """

    sizes: tuple[int, ...]
    batch_size: int
    rows: int
    tutorial: bool = False
    dtype: str = "float32"
    settings: dict[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        how = "SGD" if self.tutorial else "Adam"
        return f"{'-'.join(map(str, self.sizes))}, {how}, batch {self.batch_size}"

    @property
    def architecture(self) -> Architecture:
        kind = ("logistic", "logistic") if self.tutorial else ("relu", "softmax")
        return Architecture(self.sizes[0], self.sizes[1:-1], self.sizes[-1], *kind)

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        return _table(self.sizes[0], self.sizes[-1], self.rows)

    def how(self, epochs: int, **more: Any) -> Settings:
        kind: dict[str, Any] = {"learning_rate": 1e-3}
        if self.tutorial:
            kind = {"loss": "squared_error", "optimizer": "sgd", "learning_rate": 0.3}
        return Settings(**(kind | {"batch_size": self.batch_size, "epochs": epochs} | self.settings | more))

    def population(self, backend: Backend, n_networks: int) -> Population:
        """Networks with weights by Glorot's rule. Not by `Population.initialize`, whose random numbers, network by
        network in float64, take seconds for what large populations need here."""
        seeds = network_seeds(0, n_networks)
        params = _weights(self.architecture, n_networks).astype(self.dtype)
        return Population.from_host(self.architecture, params, seeds, backend)

    @property
    def updates(self) -> int:
        """Of a network in an epoch."""
        return -(-self.rows // self.batch_size)

    @property
    def operations(self) -> float:
        """Of a network in an epoch, counted as 6 for each parameter and row: a multiply-add forward, two backward."""
        return 6.0 * self.architecture.n_parameters * self.rows

    def bytes_through_memory(self, engine: str) -> float:
        """Of a network in an epoch, at the least, where its state lies in device memory: in each update the parameters
        and the optimizer's arrays are read and written once, and the batch is read. By lanes only the batch: their
        state stays in registers.
        """
        arrays = 0 if engine == "lane" else 1 + len(self.how(1).optimizer_rule.arrays)
        state = 2.0 * arrays * self.architecture.n_parameters * self.updates
        return np.dtype(self.dtype).itemsize * (state + self.rows * (self.sizes[0] + self.sizes[-1]))


@lru_cache(maxsize=2)
def _weights(architecture: Architecture, n_networks: int) -> np.ndarray:
    """Flat parameters (P, K) float32; biases are zero."""
    random = np.random.default_rng(1)
    params = np.zeros((n_networks, architecture.n_parameters), np.float32)
    for layer in range(architecture.n_layers):
        W = architecture.weights(params, layer)
        bound = np.sqrt(6 / (W.shape[1] + W.shape[2])).astype(np.float32)
        W[...] = (2 * random.random(W.shape, np.float32) - 1) * bound
    return params


@lru_cache(maxsize=8)
def _table(n_inputs: int, n_outputs: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """X (N, I) and one-hot T (N, O) float32."""
    random = np.random.default_rng(0)
    X = random.normal(size=(n_rows, n_inputs)).astype(np.float32)
    teacher = random.normal(size=(n_inputs, n_outputs))
    classes = np.argmax(X @ teacher + random.normal(size=(n_rows, n_outputs)), axis=1)
    return X, np.eye(n_outputs, dtype=np.float32)[classes]
