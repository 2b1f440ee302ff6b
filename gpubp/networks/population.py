"""P networks of one architecture: their parameters, on a backend, and the seeds they grew from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from gpubp.backends import Array, Backend, float_dtype
from gpubp.errors import DataError, SettingsError, quoted
from gpubp.networks.first_weights import first_parameters
from gpubp.networks.sampling import Rows
from gpubp.networks.settings import PerNetwork
from gpubp.operations.architecture import Architecture
from gpubp.operations.initializers import Draw
from gpubp.operations.network import predict
from gpubp.operations.philox import Stream, philox, seed_words

MOST_NETWORKS = 2**53  # no memory holds as many


def network_seeds(seed: int, n_networks: int) -> np.ndarray:
    """(P,) uint64: seeds for the networks of one experiment; network p's does not depend on how many there are."""
    key = seed_words(np.array([check_seed(seed)], dtype=np.uint64))
    if n_networks > MOST_NETWORKS:
        raise SettingsError(f"{quoted(n_networks)} networks: give a whole number from 1 to {MOST_NETWORKS:,}.")
    counter = np.arange(n_networks, dtype=np.uint64)
    low, high, _, _ = philox(key, (counter, 0, int(Stream.NETWORK_SEED), 0))
    return low | (high << np.uint64(32))


def check_seed(seed: Any) -> int:
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= int(seed) < 2**64:
        raise SettingsError(f"Seed {seed!r}: a seed is a whole number from 0 to 2^64 − 1.")
    return int(seed)


class Population:
    """P networks of one architecture. One network is P = 1.

    params (P, K): flat parameters on the backend, with named views by `weights(layer)` and `biases(layer)`.
    seeds (P,) uint64, on the host: whatever is random in a network's training is keyed by its own seed alone, so a
    network's result does not depend on the population that it is trained in.
    """

    _by_engine: ClassVar[Callable[[Population, Array, str], Array] | None] = None
    """Predicts by an engine's kernel. Networks import no engines: engines/prediction.py sets it when it is imported."""

    def __init__(self, architecture: Architecture, params: Array, seeds: np.ndarray, backend: Backend) -> None:
        self.architecture = architecture
        self.params = params
        self.seeds = seeds
        self.backend = backend

    @classmethod
    def initialize(
        cls,
        architecture: Architecture,
        seeds: int | Sequence[int] | np.ndarray,
        backend: Backend,
        *,
        initializer: str | Draw = "auto",
        dtype: Any = np.float32,
        X: Array | None = None,
        rows: Rows = None,
        zero_last_layer: bool = False,
        layer_options: Mapping[str, PerNetwork] | None = None,
    ) -> Population:
        """One network for each seed. The weights are drawn on the host, in float64, and rounded to `dtype`.

        initializer: one of gpubp.operations.initializers.INITIALIZERS, or "auto", what suits each layer's activation.
        X (N, I), rows: what the networks will be trained on, as in `train`, for an initializer that looks at it
        (data_dependent). zero_last_layer: the output layer's weights and biases are 0, whatever the initializer.
        layer_options: as in `Settings`; those that say how a layer in front begins matter.
        """
        listed = [seeds] if isinstance(seeds, (int, np.integer)) else list(seeds)
        if not listed:
            raise SettingsError("A population needs at least one seed: one for each network.")
        checked = np.array([check_seed(seed) for seed in listed], dtype=np.uint64)
        drawn = first_parameters(architecture, checked, backend, initializer, zero_last_layer, X, rows, layer_options)
        return cls(architecture, backend.to_device(drawn.astype(float_dtype(dtype))), checked, backend)

    @classmethod
    def from_host(
        cls, architecture: Architecture, params: np.ndarray, seeds: np.ndarray, backend: Backend
    ) -> Population:
        """Networks with given flat parameters (P, K), for instance restored by `state()`."""
        params = np.asarray(params)
        if params.ndim != 2 or params.shape[1] != architecture.n_parameters:
            raise DataError(
                f"Parameters of shape {params.shape} for {architecture}: expected (networks, "
                f"{architecture.n_parameters})."
            )
        if len(seeds) != len(params):
            raise DataError(f"{len(seeds)} seeds for {len(params)} networks: give one for each.")
        float_dtype(params.dtype)
        return cls(architecture, backend.to_device(params.copy()), np.asarray(seeds, dtype=np.uint64), backend)

    def __len__(self) -> int:
        return int(self.params.shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.params.dtype)

    def weights(self, layer: int) -> Array:
        """A view W (P, I, O)."""
        return self.architecture.weights(self.params, layer)

    def biases(self, layer: int) -> Array:
        """A view b (P, O)."""
        return self.architecture.biases(self.params, layer)

    def predict(self, X: Array, engine: str = "array") -> Array:
        """Outputs (P, N, O), on the backend, for X (N, I) shared by all or (P, N, I), on the backend or the host.

        engine: "array"; or, for X (N, I), a compiled kernel: "block", or "lane" for tiny networks; or "auto": block for
        so many rows that it saves more than its compilation takes.
        """
        on_device = rows_on_device(self, X)
        if engine == "array":
            with self.backend.quiet():
                return predict(self.backend, self.architecture, self.params, on_device)
        if Population._by_engine is None:
            raise SettingsError(
                f"The engine {engine!r} is not loaded: import Population from gpubp, or import gpubp.engines first."
            )
        return Population._by_engine(self, on_device, engine)

    def copy(self) -> Population:
        return Population(self.architecture, self.backend.xp.array(self.params), self.seeds.copy(), self.backend)

    def take(self, networks: Sequence[int] | np.ndarray) -> Population:
        """A new population of the networks at these places."""
        chosen = np.asarray(networks, dtype=np.int64)
        params = self.params[self.backend.to_device(chosen)]
        return Population(self.architecture, params, self.seeds[chosen], self.backend)

    @staticmethod
    def concatenate(populations: Sequence[Population]) -> Population:
        """One population of all networks, in order. They must share architecture, backend and dtype."""
        first = populations[0]
        for other in populations[1:]:
            for what in ("architecture", "dtype"):
                mine, theirs = getattr(first, what), getattr(other, what)
                if mine != theirs:
                    raise SettingsError(f"Populations of different {what} cannot be joined: {mine} and {theirs}.")
            if not other.backend.shares_arrays(first.backend):
                raise SettingsError(
                    f"Populations on different backends cannot be joined: {first.backend.name} and "
                    f"{other.backend.name}."
                )
        params = first.backend.xp.concatenate([population.params for population in populations])
        seeds = np.concatenate([population.seeds for population in populations])
        return Population(first.architecture, params, seeds, first.backend)

    def state(self) -> dict[str, np.ndarray]:
        """Everything but the architecture, as host arrays: `Population.from_host(architecture, **state, backend=…)`."""
        return {"params": self.backend.to_host(self.params).copy(), "seeds": self.seeds.copy()}


def rows_on_device(population: Population, X: Array) -> Array:
    """X (N, I) or (P, N, I) on the population's backend, in its dtype. DataError where I is not the networks'."""
    if X.ndim not in (2, 3) or X.shape[-1] != population.architecture.n_inputs:
        raise DataError(
            f"Rows of shape {tuple(X.shape)}: this network takes {population.architecture.n_inputs} inputs a row."
        )
    with population.backend.quiet():
        return population.backend.to_device(X, population.dtype)
