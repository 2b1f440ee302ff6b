"""Predictions by gpubp's engines and by JAX: nanoseconds per row of one network.

To compare with, not a contender that predicts: the time that two operations for each parameter and row would take at
the speed of a large matrix product on all cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.contest import Row, WrongAnswer
from benchmarks.engines import refusal, served_by
from benchmarks.sgemm import SIDE, sgemm_picoseconds
from gpubp.backends import Backend
from gpubp.networks.population import Population, network_seeds
from gpubp.operations.architecture import Architecture

FLOOR = f"as many operations of sgemm {SIDE}"
CHECKED_ROWS, QUICK_ROWS = 1000, 100
TOLERANCE = 1e-5  # of the probabilities


@dataclass(frozen=True)
class Size:
    sizes: tuple[int, ...]
    n_networks: int
    n_rows: int


SIZES = {
    "small": Size((16, 64, 64, 3), 1, 200_000),
    "middle": Size((64, 256, 256, 10), 1, 50_000),
    "many": Size((16, 64, 64, 3), 64, 5_000),
}


def prediction_row(name: str, backend: Backend, quick: bool) -> Row:
    size = SIZES[name]
    architecture = Architecture(size.sizes[0], size.sizes[1:-1], size.sizes[-1], "relu", "softmax")
    networks = Population.initialize(architecture, network_seeds(1, size.n_networks), backend)
    n_rows = QUICK_ROWS if quick else size.n_rows
    X = np.random.default_rng(0).normal(size=(n_rows, architecture.n_inputs)).astype(np.float32)
    runs: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    missing: dict[str, str] = {}
    for label, engine in served_by():
        by_engine = partial(by_gpubp, networks, engine)
        if reason := refusal(partial(by_engine, X[:1])):
            missing[label] = reason
        else:
            runs[label] = by_engine
    if find_spec("jax") is None:
        missing["JAX"] = "not installed"
    else:
        runs["JAX"] = partial(by_jax, networks)
    cells = len(X) * size.n_networks
    return Row(
        f"predict-{name}",
        f"{architecture}, prediction of {n_rows:,} rows by {size.n_networks} network{'s' * (size.n_networks > 1)}",
        "ns per row and network",
        partial(check, runs, X[:CHECKED_ROWS]),
        {label: partial(nanoseconds, partial(run, X), cells) for label, run in runs.items()}
        | {FLOOR: lambda: 2e-3 * architecture.n_parameters * sgemm_picoseconds(2 if quick else 40, None)},
        missing,
    )


def nanoseconds(run: Callable[[], np.ndarray], cells: int) -> float:
    started = time.perf_counter()
    run()
    return 1e9 * (time.perf_counter() - started) / cells


def check(runs: dict[str, Callable[[np.ndarray], np.ndarray]], X: np.ndarray) -> str:
    first, *others = runs
    expected = runs[first](X)
    for name in others:
        apart = np.abs(runs[name](X) - expected).max()
        if not apart < TOLERANCE:
            raise WrongAnswer(f"{name}: probabilities are {apart:.1e} apart from {first}'s")
    return f"the same probabilities, to {TOLERANCE:g}"


def by_gpubp(networks: Population, engine: str, X: np.ndarray) -> np.ndarray:
    """(P, N, O)."""
    return networks.backend.to_host(networks.predict(X, engine))


def by_jax(networks: Population, X: np.ndarray) -> np.ndarray:
    """(P, N, O), of parameters and rows that have to be made JAX's, as they have to be gpubp's."""
    import jax

    layers = range(networks.architecture.n_layers)
    to_host = networks.backend.to_host
    params = [to_host(part) for i in layers for part in (networks.weights(i), networks.biases(i))]
    return np.asarray(jax.block_until_ready(_jax_program(len(networks))(params, X)))


@lru_cache(maxsize=4)
def _jax_program(n_networks: int) -> Any:
    import jax

    def one_network(params: Any, X: Any) -> Any:
        for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            X = jax.nn.relu(X @ W + b)
        return jax.nn.softmax(X @ params[-2] + params[-1])

    return jax.jit(jax.vmap(one_network, in_axes=(0, None)))


PREDICTION_ROWS = {f"predict-{name}": partial(prediction_row, name) for name in SIZES}
