"""Whoever trains one network by mini-batches: gpubp's engines, JAX, PyTorch, scikit-learn. One more is one more class.

All of them start from the same weights, take the same batches in the rows' own order, and report each epoch's mean
training loss, so that their answers can be compared.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from benchmarks import jax_scan
from benchmarks.engines import refusal
from benchmarks.machine import usable_cores
from gpubp.backends import Backend, NumpyBackend
from gpubp.networks.population import Population
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.training.loop import train


@dataclass(frozen=True)
class Problem:
    """Classification by a relu network with cross-entropy and Adam, in float32."""

    architecture: Architecture
    X: np.ndarray  # (N, I)
    classes: np.ndarray  # (N,)
    batch_size: int
    rate: float = 1e-3
    seed: int = 1  # of the first weights

    @classmethod
    def of(cls, sizes: tuple[int, ...], batch_size: int, batches: int) -> Problem:
        random = np.random.default_rng(0)
        X = random.normal(size=(batches * batch_size, sizes[0])).astype(np.float32)
        teacher = random.normal(size=(sizes[0], sizes[-1]))
        classes = np.argmax(X @ teacher + random.normal(size=(len(X), sizes[-1])), axis=1)
        return cls(Architecture(sizes[0], sizes[1:-1], sizes[-1], "relu", "softmax"), X, classes, batch_size)

    @property
    def batches(self) -> int:
        return len(self.X) // self.batch_size

    @property
    def one_hot(self) -> np.ndarray:
        return np.eye(self.architecture.n_outputs, dtype=np.float32)[self.classes]

    def population(self, backend: Backend) -> Population:
        return Population.initialize(self.architecture, self.seed, backend)

    def initial_layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(W (I, O), b (O,)) of each layer."""
        population = self.population(NumpyBackend())
        return [(population.weights(i)[0], population.biases(i)[0]) for i in range(self.architecture.n_layers)]


class Trainer(Protocol):
    name: str

    def missing(self, problem: Problem) -> str | None:
        """Why it cannot train this here; None if it can."""
        ...

    def train(self, problem: Problem, epochs: int) -> tuple[float, np.ndarray]:
        """(seconds, each epoch's mean training loss)."""
        ...


class Gpubp:
    def __init__(self, name: str, engine: str, backend: Backend) -> None:
        self.name, self.engine, self.backend = name, engine, backend

    def missing(self, problem: Problem) -> str | None:
        return refusal(lambda: self.train(problem, 1))

    def train(self, problem: Problem, epochs: int) -> tuple[float, np.ndarray]:
        population = problem.population(self.backend)
        settings = Settings(
            learning_rate=problem.rate, batch_size=problem.batch_size, epochs=epochs, shuffle=False
        )  # cross-entropy and Adam are the defaults
        targets = problem.one_hot
        started = time.perf_counter()
        history = train(population, problem.X, targets, settings, engine=self.engine)
        self.backend.synchronize()
        return time.perf_counter() - started, history.training_loss[:, 0]


class ScikitLearn:
    name = "scikit-learn"

    def missing(self, problem: Problem) -> str | None:
        return None if find_spec("sklearn") else "not installed"

    def train(self, problem: Problem, epochs: int) -> tuple[float, np.ndarray]:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        model = MLPClassifier(
            problem.architecture.hidden,
            alpha=0.0,
            batch_size=problem.batch_size,
            learning_rate_init=problem.rate,
            shuffle=False,
            max_iter=1,
            n_iter_no_change=10**9,
            warm_start=True,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is given
            model.fit(problem.X, problem.classes)  # builds it; the weights are then replaced, and the optimizer anew
            layers = problem.initial_layers()
            model.coefs_, model.intercepts_ = [W.copy() for W, _ in layers], [b.copy() for _, b in layers]
            model.max_iter = epochs
            started = time.perf_counter()
            model.fit(problem.X, problem.classes)
            return time.perf_counter() - started, np.array(model.loss_curve_[-epochs:])


class Jax:
    """jit and scan. The batches are cut before the clock starts: see jax_scan.py."""

    def __init__(self, name: str, unroll: int, donated: bool) -> None:
        self.name, self.unroll, self.donated = name, unroll, donated

    def missing(self, problem: Problem) -> str | None:
        return None if find_spec("jax") else "not installed"

    def train(self, problem: Problem, epochs: int) -> tuple[float, np.ndarray]:
        training = jax_scan.Training(1, self.unroll, epochs, self.donated, problem.rate)
        layers = [(W[None], b[None]) for W, b in problem.initial_layers()]
        X, T = (
            rows.reshape(1, problem.batches, problem.batch_size, -1) for rows in (problem.X, problem.one_hot)
        )  # (P, steps, B, columns)
        seconds, losses = jax_scan.train(training, layers, X, T)
        return seconds, losses[:, 0]


WORTH_THREADS = 1_000_000  # parameters times rows of a batch; with less, PyTorch is faster on one thread


class PyTorch:
    """Eager, with autograd; batches are views of the table, without a DataLoader.

    as_it_comes: Adam and the number of threads as they are by default, else fused and one where that is faster.
    """

    def __init__(self, name: str = "PyTorch", as_it_comes: bool = False) -> None:
        self.name, self.as_it_comes = name, as_it_comes

    def missing(self, problem: Problem) -> str | None:
        return None if find_spec("torch") else "not installed"

    def train(self, problem: Problem, epochs: int) -> tuple[float, np.ndarray]:
        import torch

        large = problem.batch_size * problem.architecture.n_parameters > WORTH_THREADS
        torch.set_num_threads(usable_cores() if large or self.as_it_comes else 1)
        model = torch_network(problem.initial_layers())
        optimizer = torch.optim.Adam(model.parameters(), lr=problem.rate, fused=None if self.as_it_comes else True)
        X, classes = torch.from_numpy(problem.X), torch.from_numpy(problem.classes)
        batches = list(zip(X.split(problem.batch_size), classes.split(problem.batch_size), strict=True))
        losses = []
        started = time.perf_counter()
        for _ in range(epochs):
            total = torch.zeros(())
            for x, y in batches:
                optimizer.zero_grad(set_to_none=True)
                loss = torch.nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                total += loss.detach()
            losses.append(float(total) / problem.batches)
        return time.perf_counter() - started, np.array(losses)


def torch_network(layers: list[tuple[np.ndarray, np.ndarray]]) -> Any:
    """Of relu layers with these W (I, O) and b (O,)."""
    import torch

    parts: list[Any] = []
    for W, b in layers:
        layer = torch.nn.Linear(*W.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(W.T.copy()))
            layer.bias.copy_(torch.from_numpy(b.copy()))
        parts += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])
