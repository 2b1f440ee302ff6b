"""A population by mini-batch Adam, 256 networks 16-32-3: microseconds per update of one network.

Every network has its own order of the rows, the same in each epoch, so that all answers can be compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np

from benchmarks import jax_peer
from benchmarks.contest import Row, WrongAnswer
from benchmarks.engines import refusal, served_by
from benchmarks.trainers import Problem, torch_network
from gpubp.backends import Backend, NumpyBackend
from gpubp.population import Population, network_seeds
from gpubp.training import Settings, train

SIZES, BATCH_SIZE, BATCHES, N_NETWORKS = (16, 32, 3), 32, 32, 256
EPOCHS = {"gpubp array": 2, "JAX": 2, "JAX tuned": 4, "PyTorch": 4}  # timed, of each contender
EPOCHS_COMPILED = 32
JAX_GROUP = 16  # networks: the fastest of 1, 16 and 256
CHECK_EPOCHS = 2
TOLERANCE = 2e-3  # of the epoch losses: float32, and Adam divides small numbers by small numbers

Result = tuple[float, int, np.ndarray]  # seconds, updates of all networks, epoch losses (E, networks)


def many_row(backend: Backend, quick: bool) -> Row:
    problem = Problem.of(SIZES, BATCH_SIZE, BATCHES)
    runs: dict[str, Callable[[int], Result]] = {}
    missing: dict[str, str] = {}
    for name, engine in served_by():
        runs[name] = partial(by_gpubp, problem, backend, engine)
        if reason := refusal(partial(runs[name], 1)):
            missing[name] = reason
    for name, tuned in (("JAX", False), ("JAX tuned", True)):
        runs[name] = partial(by_jax, problem, tuned)
        if reason := jax_peer.missing():
            missing[name] = reason
    runs["PyTorch"] = partial(by_pytorch, problem)
    if find_spec("torch") is None:
        missing["PyTorch"] = "not installed"
    runs = {name: run for name, run in runs.items() if name not in missing}
    return Row(
        "minibatch-many",
        f"{problem.architecture}, Adam, batch {BATCH_SIZE}, {N_NETWORKS} networks",
        "µs per network-update",
        partial(check, runs),
        {
            name: partial(per_update, partial(run, 1 if quick else EPOCHS.get(name, EPOCHS_COMPILED)))
            for name, run in runs.items()
        },
        missing,
    )


def per_update(run: Callable[[], Result]) -> float:
    seconds, updates, _ = run()
    return 1e6 * seconds / updates


def check(runs: dict[str, Callable[[int], Result]]) -> str:
    """From the same weights, on the same batches; of PyTorch the first network."""
    first, *others = runs
    expected = runs[first](CHECK_EPOCHS)[2]
    for name in others:
        losses = runs[name](CHECK_EPOCHS)[2]
        apart = np.abs(losses / expected[:, : losses.shape[1]] - 1).max()
        if not apart < TOLERANCE:
            raise WrongAnswer(f"{name}: epoch losses are {apart:.1e} apart from {first}'s")
    return f"the same epoch losses from the same weights and batches, to {TOLERANCE:g}"


def orders(problem: Problem) -> np.ndarray:
    """(P, N) row numbers."""
    random = np.random.default_rng(1)
    return np.array([random.permutation(len(problem.X)) for _ in range(N_NETWORKS)])


def population(problem: Problem, backend: Backend) -> Population:
    return Population.initialize(problem.architecture, network_seeds(1, N_NETWORKS), backend)


def layers(problem: Problem) -> list[tuple[np.ndarray, np.ndarray]]:
    """W (P, I, O), b (P, O) of each layer."""
    networks = population(problem, NumpyBackend())
    return [(networks.weights(i), networks.biases(i)) for i in range(problem.architecture.n_layers)]


def by_gpubp(problem: Problem, backend: Backend, engine: str, epochs: int) -> Result:
    networks, rows, targets = population(problem, backend), list(orders(problem)), problem.one_hot
    settings = Settings(
        learning_rate=problem.rate, batch_size=problem.batch_size, epochs=epochs, shuffle=False
    )  # cross-entropy and Adam are the defaults
    started = time.perf_counter()
    history = train(networks, problem.X, targets, settings, rows=rows, engine=engine)
    backend.synchronize()
    return time.perf_counter() - started, epochs * BATCHES * N_NETWORKS, history.training_loss


def by_jax(problem: Problem, tuned: bool, epochs: int) -> Result:
    training = jax_peer.Training("cross_entropy", tuned, epochs, JAX_GROUP if tuned else N_NETWORKS)
    order = orders(problem).reshape(N_NETWORKS, BATCHES, BATCH_SIZE)
    rates = np.full(N_NETWORKS, problem.rate)
    seconds, losses = jax_peer.train(training, layers(problem), problem.X, problem.one_hot, rates, order)
    return seconds, epochs * BATCHES * N_NETWORKS, losses


def by_pytorch(problem: Problem, epochs: int) -> Result:
    """The first network, eager, with autograd and the fused Adam; on one thread, which is faster for so little work."""
    import torch

    torch.set_num_threads(1)
    model = torch_network([(W[0], b[0]) for W, b in layers(problem)])
    optimizer = torch.optim.Adam(model.parameters(), lr=problem.rate, fused=True)
    order = torch.from_numpy(orders(problem)[0])
    X, classes = torch.from_numpy(problem.X)[order], torch.from_numpy(problem.classes)[order]
    losses = []
    started = time.perf_counter()
    for _ in range(epochs):
        total = torch.zeros(())
        for x, y in zip(X.split(BATCH_SIZE), classes.split(BATCH_SIZE), strict=True):
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        losses.append(float(total) / BATCHES)
    return time.perf_counter() - started, epochs * BATCHES, np.array(losses)[:, None]


MANY_ROWS = {"minibatch-many": many_row}
