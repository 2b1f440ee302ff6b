"""Populations by mini-batch Adam: microseconds per update of one network.

Every network has its own order of the rows, the same in each epoch, so that all answers can be compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.util import find_spec

import numpy as np

from benchmarks import jax_scan
from benchmarks.contest import Goal, Row, WrongAnswer
from benchmarks.engines import refusal, served_by
from benchmarks.trainers import Problem, PyTorch
from gpubp.backends import Backend, NumpyBackend
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.training.loop import train

VMAP = ("JAX", "JAX donated")
CHECK_EPOCHS = 2
TOLERANCE = 2e-3  # of the epoch losses: float32, and Adam divides small numbers by small numbers

Result = tuple[float, int, np.ndarray]  # seconds, updates of all networks, epoch losses (E, networks)


@dataclass(frozen=True)
class Size:
    """compiled_epochs: to be timed, of lane and block engine; epochs: of the others. jax_unroll: of the scan with all
    networks side by side, the fastest of 1, 2 and 4. jax_tuned: networks side by side, and unroll.
    """

    sizes: tuple[int, ...]
    batch_size: int
    batches: int  # of an epoch
    n_networks: int
    compiled_epochs: int
    epochs: int
    jax_unroll: int
    jax_tuned: tuple[int, int]
    goals: tuple[Goal, ...] = ()


SIZES = {
    "minibatch-many": Size((16, 32, 3), 32, 32, 256, 32, 4, 4, (16, 2)),
    "many-small": Size((16, 64, 64, 3), 32, 32, 64, 16, 4, 4, (4, 1), goals=(Goal(3.5, VMAP),)),
    "many-middle": Size((64, 256, 256, 10), 128, 32, 64, 2, 1, 2, (2, 2), goals=(Goal(2.3, VMAP),)),
    "many-wide": Size((784, 128, 10), 128, 16, 64, 2, 1, 1, (2, 1), goals=(Goal(2, VMAP),)),
}


@dataclass(frozen=True)
class Crowd:
    """A problem for many networks, each with its own weights and its own order of the rows."""

    problem: Problem
    n_networks: int

    @cached_property
    def seeds(self) -> np.ndarray:
        return network_seeds(1, self.n_networks)

    @cached_property
    def order(self) -> np.ndarray:
        """(P, N) row numbers."""
        random = np.random.default_rng(1)
        return np.array([random.permutation(len(self.problem.X)) for _ in range(self.n_networks)])

    @cached_property
    def batches(self) -> tuple[np.ndarray, np.ndarray]:
        """X (P, steps, B, I) and T (P, steps, B, O)."""
        shape = (self.n_networks, self.problem.batches, self.problem.batch_size, -1)
        return self.problem.X[self.order].reshape(shape), self.problem.one_hot[self.order].reshape(shape)

    def population(self, backend: Backend) -> Population:
        return Population.initialize(self.problem.architecture, self.seeds, backend)

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """W (P, I, O), b (P, O) of each layer."""
        networks = self.population(NumpyBackend())
        return [(networks.weights(i), networks.biases(i)) for i in range(self.problem.architecture.n_layers)]

    @property
    def first(self) -> Problem:
        """The first network's."""
        order = self.order[0]
        return replace(
            self.problem, X=self.problem.X[order], classes=self.problem.classes[order], seed=int(self.seeds[0])
        )


def many_row(name: str, backend: Backend, quick: bool) -> Row:
    size = SIZES[name]
    if quick:
        size = replace(size, batches=2, n_networks=2, jax_tuned=(1, 1))
    crowd = Crowd(Problem.of(size.sizes, size.batch_size, size.batches), size.n_networks)
    runs: dict[str, Callable[[int], Result]] = {}
    missing: dict[str, str] = {}
    epochs: dict[str, int] = {}
    for label, engine in served_by():
        runs[label] = partial(by_gpubp, crowd, backend, engine)
        epochs[label] = size.epochs if engine == "array" else size.compiled_epochs
        if reason := refusal(partial(runs[label], 1)):
            missing[label] = reason
    for label, group, unroll, donated in (
        ("JAX", size.n_networks, size.jax_unroll, False),
        ("JAX donated", size.n_networks, size.jax_unroll, True),
        ("JAX tuned", *size.jax_tuned, True),
    ):
        runs[label] = partial(by_jax, crowd, group, unroll, donated)
        if find_spec("jax") is None:
            missing[label] = "not installed"
    runs["PyTorch"] = partial(by_pytorch, crowd)
    if reason := PyTorch().missing(crowd.first):
        missing["PyTorch"] = reason
    runs = {label: run for label, run in runs.items() if label not in missing}
    return Row(
        name,
        f"{crowd.problem.architecture}, Adam, batch {size.batch_size}, {size.n_networks} networks",
        "µs per network-update",
        partial(check, runs, 1 if quick else CHECK_EPOCHS),
        {
            label: partial(per_update, partial(run, 1 if quick else epochs.get(label, size.epochs)))
            for label, run in runs.items()
        },
        missing,
        size.goals,
    )


def per_update(run: Callable[[], Result]) -> float:
    seconds, updates, _ = run()
    return 1e6 * seconds / updates


def check(runs: dict[str, Callable[[int], Result]], epochs: int) -> str:
    """From the same weights, on the same batches; of PyTorch the first network."""
    first, *others = runs
    expected = runs[first](epochs)[2]
    for name in others:
        losses = runs[name](epochs)[2]
        apart = np.abs(losses / expected[:, : losses.shape[1]] - 1).max()
        if not apart < TOLERANCE:
            raise WrongAnswer(f"{name}: epoch losses are {apart:.1e} apart from {first}'s")
    return f"the same epoch losses from the same weights and batches, to {TOLERANCE:g}"


def by_gpubp(crowd: Crowd, backend: Backend, engine: str, epochs: int) -> Result:
    problem, networks, rows = crowd.problem, crowd.population(backend), list(crowd.order)
    targets = problem.one_hot
    settings = Settings(
        learning_rate=problem.rate, batch_size=problem.batch_size, epochs=epochs, shuffle=False
    )  # cross-entropy and Adam are the defaults
    started = time.perf_counter()
    history = train(networks, problem.X, targets, settings, rows=rows, engine=engine)
    backend.synchronize()
    return time.perf_counter() - started, epochs * problem.batches * crowd.n_networks, history.training_loss


def by_jax(crowd: Crowd, group: int, unroll: int, donated: bool, epochs: int) -> Result:
    training = jax_scan.Training(group, unroll, epochs, donated, crowd.problem.rate)
    seconds, losses = jax_scan.train(training, crowd.layers, *crowd.batches)
    return seconds, epochs * crowd.problem.batches * crowd.n_networks, losses


def by_pytorch(crowd: Crowd, epochs: int) -> Result:
    """The first network."""
    seconds, losses = PyTorch().train(crowd.first, epochs)
    return seconds, epochs * crowd.problem.batches, losses[:, None]


MANY_ROWS = {name: partial(many_row, name) for name in SIZES}
