"""Populations of the case study's network, 7-5-3, trained online in float32: microseconds per update of one network."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks import plain_python
from benchmarks.contest import Row, WrongAnswer
from benchmarks.engines import refusal, served_by
from gpubp.backends import Backend
from gpubp.kernels.architecture import Architecture
from gpubp.population import Population, network_seeds
from gpubp.training import train
from gpubp.tutorial import load_seeds, one_hot, online_settings

ARCHITECTURE = Architecture(7, 5, 3, "logistic", "logistic")
RATE = 0.3
CHECK_EPOCHS = 3
TOLERANCE = 1e-4  # of the epoch losses, float32 against plain Python's float64
SIZES = (1, 5, 100, 1000)


def online_row(n_networks: int, backend: Backend, quick: bool) -> Row:
    X, classes, names = load_seeds()
    T = one_hot(classes, len(names))
    # About as many updates for each size; a lane engine's launch needs some to be worth timing.
    epochs = 2 if quick else {1: 40, 5: 40, 100: 10, 1000: 4}[n_networks]
    contenders: dict[str, Callable[[], float]] = {}
    missing: dict[str, str] = {}
    engines: list[str] = []
    for name, engine in served_by():
        reason = refusal(lambda engine=engine: by_gpubp(backend, engine, n_networks, X, T, 1))  # type: ignore[misc]
        if reason is None:
            engines.append(engine)
            more = epochs * (25 if engine == "lane" else 1)
            contenders[name] = partial(per_update, partial(by_gpubp, backend, engine, n_networks, X, T, more))
        else:
            missing[name] = reason
    contenders["plain Python"] = partial(per_update, partial(by_plain_python, X, classes, 2 if quick else 20))
    try:
        import torch  # noqa: F401
    except ImportError:
        missing["PyTorch"] = "not installed"
    else:
        contenders["PyTorch"] = partial(per_update, partial(by_pytorch, X, T, 1 if quick else 3))
    return Row(
        f"online-{n_networks}",
        f"7-5-3 online, {n_networks} network{'s' * (n_networks > 1)}",
        "µs per network-update",
        partial(check, backend, engines, n_networks, X, T, classes),
        contenders,
        missing,
    )


def per_update(run: Callable[[], tuple[float, int, np.ndarray]]) -> float:
    seconds, updates, _ = run()
    return 1e6 * seconds / updates


def check(
    backend: Backend, engines: list[str], n_networks: int, X: np.ndarray, T: np.ndarray, classes: np.ndarray
) -> str:
    """The first and the last network of the population, against plain Python from the same weights."""
    chosen = sorted({0, n_networks - 1})
    expected = np.array([by_plain_python(X, classes, CHECK_EPOCHS, network)[2] for network in chosen])
    for engine in engines:
        losses = by_gpubp(backend, engine, n_networks, X, T, CHECK_EPOCHS)[2][:, chosen].T
        apart = np.abs(losses / expected - 1).max()
        if not apart < TOLERANCE:
            raise WrongAnswer(f"engine {engine}: epoch losses are {apart:.1e} apart from plain Python's")
    return f"epoch losses as plain Python's, to {TOLERANCE:g}"


def initial_population(backend: Backend, n_networks: int) -> Population:
    seeds = network_seeds(1, n_networks)
    return Population.initialize(ARCHITECTURE, seeds, backend, initializer="tutorial", dtype=np.float32)


def by_gpubp(
    backend: Backend, engine: str, n_networks: int, X: np.ndarray, T: np.ndarray, epochs: int
) -> tuple[float, int, np.ndarray]:
    """(seconds, updates of all networks, epoch losses (E, P))."""
    population = initial_population(backend, n_networks)
    started = time.perf_counter()
    history = train(population, X, T, online_settings(RATE, epochs), engine=engine)
    backend.synchronize()
    return time.perf_counter() - started, epochs * len(X) * n_networks, history.training_loss


def by_plain_python(X: np.ndarray, classes: np.ndarray, epochs: int, network: int = 0) -> tuple[float, int, np.ndarray]:
    """One network, however large the population: a thousand take a thousand times as long."""
    from gpubp.backends import NumpyBackend

    population = initial_population(NumpyBackend(), network + 1)
    layers: plain_python.Network = []
    for i in range(ARCHITECTURE.n_layers):
        W, b = population.weights(i)[network], population.biases(i)[network]
        layers.append([{"weights": [*map(float, W[:, j]), float(b[j])]} for j in range(len(b))])
    rows = [[*map(float, x), float(label)] for x, label in zip(X, classes, strict=True)]
    started = time.perf_counter()
    errors = plain_python.train_network(layers, rows, RATE, epochs, ARCHITECTURE.n_outputs)
    return time.perf_counter() - started, epochs * len(X), np.array(errors) / (2 * len(X))


def by_pytorch(X: np.ndarray, T: np.ndarray, epochs: int) -> tuple[float, int, np.ndarray]:
    """One network, eager, with autograd."""
    import torch

    inputs = torch.tensor(X, dtype=torch.float32).unsqueeze(1)
    targets = torch.tensor(T, dtype=torch.float32).unsqueeze(1)
    model = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Sigmoid(), torch.nn.Linear(5, 3), torch.nn.Sigmoid())
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
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
        losses.append(float(total) / len(X))
    return time.perf_counter() - started, epochs * len(X), np.array(losses)


ONLINE_ROWS = {f"online-{n_networks}": partial(online_row, n_networks) for n_networks in SIZES}
