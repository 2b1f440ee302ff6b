"""Populations of the case study's network, 7-5-3, trained online in float32: microseconds per update of one network.

Every network has its own rate and its own order of the rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np

from benchmarks import jax_online, plain_python
from benchmarks.contest import Row, WrongAnswer
from benchmarks.engines import refusal, served_by
from gpubp.backends import Backend, NumpyBackend
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.training.loop import train
from gpubp.tutorial import load_seeds, one_hot

ARCHITECTURE = Architecture(7, 5, 3, "logistic", "logistic")
CHECK_EPOCHS = 3
TOLERANCE = 1e-4  # of the epoch losses, float32 against plain Python's float64
# networks: epochs of the lane engine, of JAX, of gpubp's other engines. Long enough to be worth timing.
SIZES = {1: (5000, 400, 40), 5: (5000, 400, 40), 100: (1000, 40, 10), 1000: (400, 10, 4)}
JAX_GROUP = 100  # networks: more do not stay in the L1 cache

Result = tuple[float, int, np.ndarray]  # seconds, updates of all networks, epoch losses (E, networks)


@dataclass(frozen=True)
class Problem:
    X: np.ndarray  # (N, I)
    classes: np.ndarray  # (N,)
    rates: np.ndarray  # (P,)
    order: np.ndarray  # (P, N) row numbers

    @classmethod
    def of(cls, n_networks: int) -> Problem:
        X, classes, _ = load_seeds()
        random = np.random.default_rng(0)
        order = np.array([random.permutation(len(X)) for _ in range(n_networks)])
        return cls(X, classes, random.uniform(0.1, 0.5, n_networks), order)

    @property
    def n_networks(self) -> int:
        return len(self.rates)

    @property
    def T(self) -> np.ndarray:
        return one_hot(self.classes, ARCHITECTURE.n_outputs)

    def population(self, backend: Backend) -> Population:
        seeds = network_seeds(1, self.n_networks)
        return Population.initialize(ARCHITECTURE, seeds, backend, initializer="tutorial", dtype=np.float32)

    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """W (P, I, O), b (P, O) of each layer."""
        population = self.population(NumpyBackend())
        return [(population.weights(i), population.biases(i)) for i in range(ARCHITECTURE.n_layers)]


def online_row(n_networks: int, backend: Backend, quick: bool) -> Row:
    problem = Problem.of(n_networks)
    lane_epochs, jax_epochs, other_epochs = (2, 2, 2) if quick else SIZES[n_networks]
    runs: dict[str, tuple[Callable[[int], Result], int]] = {}  # the training, by its epochs; and how many to time
    missing: dict[str, str] = {}
    for name, engine in served_by():
        by_engine = partial(by_gpubp, problem, backend, engine)
        reason = refusal(partial(by_engine, 1))
        if reason is None:
            runs[name] = (by_engine, lane_epochs if engine == "lane" else other_epochs)
        else:
            missing[name] = reason
    runs["plain Python"] = (partial(by_plain_python, problem), 2 if quick else 20)
    for name, tuned in (("JAX", False), ("JAX tuned", True)):
        runs[name] = (partial(by_jax, problem, tuned), jax_epochs)
        if reason := jax_online.missing():
            missing[name] = reason
    runs["PyTorch"] = (partial(by_pytorch, problem), 1 if quick else 3)
    if find_spec("torch") is None:
        missing["PyTorch"] = "not installed"
    runs = {name: run for name, run in runs.items() if name not in missing}
    return Row(
        f"online-{n_networks}",
        f"7-5-3 online, {n_networks} network{'s' * (n_networks > 1)}",
        "µs per network-update",
        partial(check, problem, {name: run for name, (run, _) in runs.items()}),
        {name: partial(per_update, partial(run, epochs)) for name, (run, epochs) in runs.items()},
        missing,
    )


def per_update(run: Callable[[], Result]) -> float:
    seconds, updates, _ = run()
    return 1e6 * seconds / updates


def check(problem: Problem, runs: dict[str, Callable[[int], Result]]) -> str:
    """The first and the last network of the population, against plain Python from the same weights."""
    chosen = sorted({0, problem.n_networks - 1})
    expected = np.array([by_plain_python(problem, CHECK_EPOCHS, network)[2][:, 0] for network in chosen]).T
    for name, run in runs.items():
        losses = run(CHECK_EPOCHS)[2]
        whole = losses.shape[1] == problem.n_networks
        wanted = expected if whole else expected[:, :1]
        apart = np.abs(losses[:, chosen if whole else [0]] / wanted - 1).max()
        if not apart < TOLERANCE:
            raise WrongAnswer(f"{name}: epoch losses are {apart:.1e} apart from plain Python's")
    return f"epoch losses as plain Python's, to {TOLERANCE:g}"


def by_gpubp(problem: Problem, backend: Backend, engine: str, epochs: int) -> Result:
    population = problem.population(backend)
    settings = Settings(
        loss="squared_error",
        optimizer="sgd",
        learning_rate=problem.rates,
        batch_size=1,
        epochs=epochs,
        shuffle=False,
    )
    started = time.perf_counter()
    history = train(population, problem.X, problem.T, settings, rows=list(problem.order), engine=engine)
    backend.synchronize()
    return time.perf_counter() - started, epochs * problem.order.size, history.training_loss


def by_jax(problem: Problem, tuned: bool, epochs: int) -> Result:
    group = min(JAX_GROUP, problem.n_networks) if tuned else problem.n_networks
    training = jax_online.Training(tuned, epochs, group)
    order = problem.order[:, :, None]
    seconds, losses = jax_online.train(training, problem.layers(), problem.X, problem.T, problem.rates, order)
    return seconds, epochs * problem.order.size, losses


def by_plain_python(problem: Problem, epochs: int, network: int = 0) -> Result:
    """One network, however large the population: a thousand take a thousand times as long."""
    layers: plain_python.Network = []
    for W, b in problem.layers():
        neurons = zip(W[network].T, b[network], strict=True)
        layers.append([{"weights": [*map(float, weights), float(bias)]} for weights, bias in neurons])
    rows = [[*map(float, problem.X[i]), float(problem.classes[i])] for i in problem.order[network]]
    started = time.perf_counter()
    errors = plain_python.train_network(layers, rows, float(problem.rates[network]), epochs, ARCHITECTURE.n_outputs)
    seconds = time.perf_counter() - started
    return seconds, epochs * len(rows), np.array(errors)[:, None] / (2 * len(rows))


def by_pytorch(problem: Problem, epochs: int) -> Result:
    """The first network, eager, with autograd; on one thread, which is faster for so little work."""
    import torch

    torch.set_num_threads(1)
    order = problem.order[0]
    inputs = torch.tensor(problem.X[order], dtype=torch.float32).unsqueeze(1)
    targets = torch.tensor(problem.T[order], dtype=torch.float32).unsqueeze(1)
    model = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Sigmoid(), torch.nn.Linear(5, 3), torch.nn.Sigmoid())
    with torch.no_grad():
        for layer, (W, b) in zip((model[0], model[2]), problem.layers(), strict=True):
            layer.weight.copy_(torch.from_numpy(W[0].T.copy()))
            layer.bias.copy_(torch.from_numpy(b[0].copy()))
    optimizer = torch.optim.SGD(model.parameters(), lr=float(problem.rates[0]))
    losses = []
    started = time.perf_counter()
    for _ in range(epochs):
        total = torch.zeros(())
        for x, t in zip(inputs, targets, strict=True):
            optimizer.zero_grad(set_to_none=True)
            loss = 0.5 * (model(x) - t).square().sum()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        losses.append(float(total) / len(order))
    return time.perf_counter() - started, epochs * len(order), np.array(losses)[:, None]


ONLINE_ROWS = {f"online-{n_networks}": partial(online_row, n_networks) for n_networks in SIZES}
