"""Which arithmetic predicts: one array operation after the other, or a compiled kernel."""

from __future__ import annotations

from gpubp.backends import Array
from gpubp.engines.block import kernel as block
from gpubp.engines.lane import kernel as lane
from gpubp.errors import BackendError, SettingsError
from gpubp.networks.population import Population
from gpubp.operations import network


def predict(population: Population, X: Array, engine: str) -> Array:
    """Outputs (P, N, O) for X (N, I), or (P, N, I) where arrays predict, on the backend. See `Population.predict`."""
    backend, architecture = population.backend, population.architecture
    shared = X.ndim == 2
    if engine == "auto":
        if shared and block.prediction_pays(backend, architecture, len(population), X.shape[0]):
            try:
                return block.predict(backend, architecture, population.params, X)
            except BackendError as error:
                backend.compiling_failed(error)
        return network.predict(backend, architecture, population.params, X)
    if engine not in ("lane", "block") or not shared:
        raise SettingsError(
            f"Engine {engine!r} for X of {X.ndim} dimensions: choose array or auto, or for X (rows, inputs) lane or "
            "block."
        )
    kernels = lane if engine == "lane" else block
    return kernels.predict(backend, architecture, population.params, X)


Population._by_engine = staticmethod(predict)
