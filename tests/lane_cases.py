"""Small trainings that between them use everything the lane kernel has, for tests that compare bits.

Networks of at most 170 numbers, so that a CUDA thread takes them; P is a multiple of no vector width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np

from gpubp.backends import Backend, Program
from gpubp.kernels.architecture import Architecture
from gpubp.kernels.reference.losses import LOSSES
from gpubp.population import Population, network_seeds
from gpubp.training import History, Settings, train
from gpubp.training.interruption import Interruption
from gpubp.training.lane_engine import LaneEngine
from gpubp.training.loop import prepare

N, I, P = 23, 3, 37  # noqa: E741
EPOCHS = 5
RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=(N, I))
TARGETS = {
    "squared_error": RANDOM.normal(size=(N, 2)),
    "cross_entropy": np.eye(3)[RANDOM.integers(0, 3, N)],
    "binary_cross_entropy": RANDOM.integers(0, 2, size=(N, 2)).astype(float),
    "poisson": RANDOM.poisson(1.5, size=(N, 1)).astype(float),
}
HIDDEN = (3, 2, 2)
RATES = {"sgd": 0.05, "momentum": 0.02, "nesterov": 0.02, "adam": 0.01, "adamw": 0.01, "rmsprop": 0.01}
PER_NETWORK = [np.random.default_rng(p).permutation(N)[:15] for p in range(P)]
RAGGED = [np.random.default_rng(p).permutation(N)[: 15 + p % 3] for p in range(P)]
ROWS = {"all": None, "shared": RANDOM.permutation(N)[:17], "own": PER_NETWORK, "ragged": RAGGED}
RAGGED_HELD = [np.arange(4 + p % 2) for p in range(P)]
HELD = {"none": None, "shared": np.arange(7), "ragged": RAGGED_HELD}
WEIGHTS = {"none": None, "rows": RANDOM.uniform(0.2, 2, N), "each": RANDOM.uniform(0.2, 2, (P, N))}


@dataclass(frozen=True)
class Case:
    """One training; the names are those of ROWS, HELD and WEIGHTS, and of the settings."""

    activation: str
    loss: str
    optimizer: str
    schedule: str
    depth: int
    batch_size: int | None
    rows: str
    held: str
    weights: str
    shuffle: bool
    l2: float
    clip_norm: float | None
    dtype: str

    def __str__(self) -> str:
        return f"{self.activation}-{self.loss}-{self.optimizer}-{self.batch_size}-{self.dtype}"


OPTIONS: dict[str, tuple[Any, ...]] = {
    "activation": (
        "logistic", "tanh", "relu", "leaky_relu", "elu", "selu", "silu", "gelu", "gelu_tanh", "mish", "softplus",
        "identity", "tanh",
    ),
    "loss": ("squared_error", "cross_entropy", "binary_cross_entropy", "poisson"),
    "optimizer": ("sgd", "adam", "momentum", "adamw", "nesterov", "rmsprop"),
    "schedule": ("constant", "cosine", "one_cycle", "step", "inverse_scaling"),
    "depth": (1, 2, 1, 3, 1, 2, 1, 2, 3, 1, 2, 1, 0),
    "batch_size": (1, 4, None),
    "rows": ("ragged", "all", "own", "shared"),
    "held": ("ragged", "none", "shared"),
    "weights": ("none", "rows", "each", "none", "each"),
    "shuffle": (False, True, True, False, True),
    "l2": (0.0, 0.05),
    "clip_norm": (None, None, 0.5, None, 0.5),
    # a CUDA thread has registers for half as many double numbers
    "dtype": (
        "float32", "float32", "float64", "float32", "float32", "float32", "float64", "float32", "float32", "float32",
        "float32", "float64", "float64",
    ),
}  # fmt: skip
CASES = [
    Case(**dict(zip(OPTIONS, values, strict=True)))
    for values in islice(zip(*map(cycle, OPTIONS.values()), strict=True), len(OPTIONS["activation"]))
]


def setting(case: Case, **more: Any) -> Settings:
    options: dict[str, Any] = {
        "loss": case.loss,
        "optimizer": case.optimizer,
        "learning_rate": RATES[case.optimizer] * np.linspace(0.5, 1.5, P),
        "l2": case.l2,
        "clip_norm": case.clip_norm,
        "schedule": case.schedule,
        "batch_size": case.batch_size,
        "epochs": EPOCHS,
        "shuffle": case.shuffle,
        "label_smoothing": 0.1 if case.loss == "cross_entropy" else 0.0,
    }
    return Settings(**(options | more))


def population(backend: Backend, case: Case) -> Population:
    n_outputs = TARGETS[case.loss].shape[1]
    shape = Architecture(I, HIDDEN[: case.depth], n_outputs, case.activation, LOSSES[case.loss].link or "tanh")
    return Population.initialize(shape, network_seeds(7, P), backend, dtype=case.dtype)


def arguments(case: Case) -> dict[str, Any]:
    """Of train and prepare."""
    rows, held, weights = ROWS[case.rows], HELD[case.held], WEIGHTS[case.weights]
    return {"rows": rows, "validation_rows": held, "row_weights": weights}


def trained(backend: Backend, case: Case, **more: Any) -> tuple[np.ndarray, History]:
    """(P, K) parameters on the host after a training by the lane engine, and its history."""
    networks = population(backend, case)
    history = train(networks, X, TARGETS[case.loss], setting(case, **more), engine="lane", **arguments(case))
    assert history.engine == "lane"
    return backend.to_host(networks.params), history


def engine(
    backend: Backend,
    case: Case,
    *,
    epochs: int,
    program: Program | None = None,
    keep: np.ndarray | None = None,
    poison: int | None = None,
) -> LaneEngine:
    """The engine alone, with its networks sorted as `train` sorts them (see sorted_places).

    keep: the networks (places in the population, ascending) that are trained; None: all. poison: a network whose first
    parameter is NaN before it begins.
    """
    networks = population(backend, case)
    work = prepare(networks, X, TARGETS[case.loss], setting(case, epochs=epochs), **arguments(case))
    if poison is not None:
        networks.params[poison, 0] = np.nan
    order = sorted_places(case, keep)
    return LaneEngine(work.networks(order), networks.params[backend.to_device(order)], program)


def sorted_places(case: Case, keep: np.ndarray | None = None) -> np.ndarray:
    """Networks with equally many rows, and validation rows, are neighbours."""
    count = np.array([len(rows) for rows in RAGGED]) if case.rows == "ragged" else np.zeros(P)
    held = np.array([len(rows) for rows in RAGGED_HELD]) if case.held == "ragged" else np.zeros(P)
    order = np.lexsort((np.arange(P), held, -count))
    return order if keep is None else order[np.isin(order, keep)]


def run_in_calls(engine: LaneEngine, calls: Sequence[int]) -> np.ndarray:
    """Metrics (3, epochs, networks) on the host of a training of `calls` epochs at a time."""
    epoch, parts = 0, []
    with engine.backend.quiet():
        for count in calls:
            metrics, _ = engine.run(epoch, count, Interruption())
            parts.append(engine.backend.to_host(metrics))
            epoch += count
    return np.concatenate(parts, axis=1)


def trained_in_calls(
    backend: Backend,
    case: Case,
    calls: Sequence[int],
    program: Program | None = None,
    keep: np.ndarray | None = None,
    poison: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(networks, K) parameters and (3, epochs, networks) metrics, in the population's order; see `engine`."""
    one = engine(backend, case, epochs=sum(calls), program=program, keep=keep, poison=poison)
    metrics = run_in_calls(one, calls)
    back = np.argsort(sorted_places(case, keep))
    return backend.to_host(one.params)[back], metrics[:, :, back]


def bits(array: np.ndarray) -> np.ndarray:
    """The patterns of the numbers: -0 is not 0."""
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def assert_same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(bits(found), bits(expected))
