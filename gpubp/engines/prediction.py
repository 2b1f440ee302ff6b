"""Prediction: by one array operation after the other, or by a compiled kernel where that is likely to be faster."""

from __future__ import annotations

from typing import Any

from gpubp.backends import Array, Backend
from gpubp.engines.base import EngineKind
from gpubp.engines.registry import ENGINE_KINDS, FALLBACK
from gpubp.errors import BackendError, SettingsError
from gpubp.networks.population import Population, rows_on_device
from gpubp.operations import network
from gpubp.operations.architecture import Architecture


def predict(population: Population, X: Array, engine: str) -> Array:
    """Outputs (P, N, O) for X (N, I), or (P, N, I) where arrays predict, on the backend. See `Population.predict`."""
    with population.backend.quiet():
        return _predict(population, X, engine)


def _predict(population: Population, X: Array, engine: str) -> Array:
    backend, architecture, params = population.backend, population.architecture, population.params
    shared = X.ndim == 2
    if engine == "auto":
        kind = worth_a_kernel(backend, architecture, len(population), X.shape[0]) if shared else None
        if kind is not None:
            try:
                return kind.predict(backend, architecture, params, X)
            except BackendError as error:
                backend.compiling_failed(error)
        return network.predict(backend, architecture, params, X)
    compiled = [name for name, kind in ENGINE_KINDS.items() if kind.compiled]
    if engine not in compiled or not shared:
        raise SettingsError(
            f"Engine {engine!r} for X of {X.ndim} dimensions: choose {FALLBACK} or auto, or for X (rows, inputs) "
            f"{' or '.join(compiled)}."
        )
    refusal = ENGINE_KINDS[engine].refuses_prediction(backend, architecture, population.dtype)
    if refusal is not None:
        raise SettingsError(f"The engine {engine} cannot predict: {refusal}. Choose engine {FALLBACK}.")
    return ENGINE_KINDS[engine].predict(backend, architecture, params, X)


def worth_a_kernel(
    backend: Backend, architecture: Architecture, n_networks: int, n_rows: int
) -> EngineKind[Any] | None:
    """The engine whose kernel is likely to save more seconds of a prediction than its compilation takes; or None."""
    kinds = ENGINE_KINDS.values()
    return next((kind for kind in kinds if kind.prediction_pays(backend, architecture, n_networks, n_rows)), None)


Population._by_engine = staticmethod(predict)


def predict_rows(population: Population, X: Array) -> Array:
    """Outputs (P, N, O) for X (N, I) by whatever is likely to take least time: `Population.predict` with "auto"."""
    return predict(population, rows_on_device(population, X), "auto")
