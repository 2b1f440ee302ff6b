"""A network for tables, waves and factors before its hidden layers: what they cost, and what PyTorch takes for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.contest import Goal, Row, WrongAnswer
from benchmarks.engines import refusal
from gpubp.backends import Backend, NumpyBackend
from gpubp.networks.population import Population
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.training.loop import train

BARE = "bare gpubp block"  # the same without layers in front: no contender for the goals
PYTORCH, COMPILED = "PyTorch", "PyTorch compiled"
TOLERANCE = 2e-3  # of the epoch losses, float32
RATE = 1e-3
# One rate for all parameters, as PyTorch's one group has it.
OPTIONS = {"periodic_rate": 1.0, "scale_rate": 1.0}


@dataclass(frozen=True)
class Work:
    """16 numbers, 3 × 256, four classes, batches of 256; Adam."""

    batches: int
    epochs: int
    front: tuple[str, ...] = ("pbld", "scale")
    batch_size: int = 256

    def architecture(self, front: tuple[str, ...]) -> Architecture:
        return Architecture(16, (256, 256, 256), 4, "relu", "softmax", front)

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(0)
        X = random.normal(size=(self.batches * self.batch_size, 16)).astype(np.float32)
        return X, np.argmax(X @ random.normal(size=(16, 4)), axis=1)

    def first_weights(self, backend: Backend, front: tuple[str, ...]) -> Population:
        return Population.initialize(self.architecture(front), 1, backend)


def by_gpubp(work: Work, backend: Backend, engine: str, front: tuple[str, ...]) -> tuple[float, np.ndarray]:
    """(seconds, each epoch's mean training loss)"""
    X, classes = work.data()
    T = np.eye(4, dtype=np.float32)[classes]
    population = work.first_weights(backend, front)
    settings = Settings(
        learning_rate=RATE, batch_size=work.batch_size, epochs=work.epochs, shuffle=False,
        layer_options=OPTIONS if front else {},
    )  # fmt: skip
    started = time.perf_counter()
    history = train(population, X, T, settings, engine=engine)
    backend.synchronize()
    return time.perf_counter() - started, history.training_loss[:, 0]


def by_pytorch(work: Work, compiled: bool) -> tuple[float, np.ndarray]:
    import torch

    torch.set_num_threads(1)
    X, classes = (torch.from_numpy(values) for values in work.data())
    model, run = _torch_network(work, compiled)
    _begin_anew(model, work)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    batches = list(zip(X.split(work.batch_size), classes.split(work.batch_size), strict=True))
    if compiled:
        torch.nn.functional.cross_entropy(run(batches[0][0]), batches[0][1]).backward()  # compiles it
        optimizer.zero_grad(set_to_none=True)
    losses = []
    started = time.perf_counter()
    for _ in range(work.epochs):
        total = torch.zeros(())
        for x, y in batches:
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(run(x), y)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        losses.append(float(total) / work.batches)
    return time.perf_counter() - started, np.array(losses)


@lru_cache
def _torch_network(work: Work, compiled: bool) -> tuple[Any, Callable[[Any], Any]]:
    """The module, and what runs it; made once, since compiling takes a minute."""
    import torch

    networks = work.first_weights(NumpyBackend(), work.front)
    first = [
        {name: torch.nn.Parameter(torch.from_numpy(values[0].copy())) for name, values in its.items()}
        for its in networks.architecture.views(networks.params)
    ]

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.its = torch.nn.ModuleList([torch.nn.ParameterDict(values) for values in first])

        def forward(self, x: Any) -> Any:
            waves, scale, *dense = self.its
            u = (2 * math.pi * x)[:, None, :] * waves["frequencies"] + waves["phases"]
            z = torch.einsum("bcm,cdm->bdm", torch.cos(u), waves["weights"]) + waves["biases"]
            h = torch.cat([z.flatten(1), x], dim=1) * scale["factors"]
            for i, layer in enumerate(dense):
                h = torch.addmm(layer["biases"], h, layer["weights"])
                h = h if i == len(dense) - 1 else torch.relu(h)
            return h

    model = Network()
    return model, torch.compile(model) if compiled else model


def _begin_anew(model: Any, work: Work) -> None:
    """With the first weights."""
    import torch

    networks = work.first_weights(NumpyBackend(), work.front)
    with torch.no_grad():
        for its, values in zip(model.its, networks.architecture.views(networks.params), strict=True):
            for name, value in values.items():
                its[name].copy_(torch.from_numpy(value[0].copy()))


def front_row(backend: Backend, quick: bool) -> Row:
    work = Work(batches=2 if quick else 10, epochs=1 if quick else 5)
    trainings: dict[str, Callable[[], tuple[float, np.ndarray]]] = {
        "gpubp block": partial(by_gpubp, work, backend, "block", work.front),
        "gpubp array": partial(by_gpubp, work, backend, "array", work.front),
    }
    missing = {name: refusal(training) for name, training in trainings.items()}
    for name, compiled in ((PYTORCH, False), (COMPILED, True)):
        trainings[name] = partial(by_pytorch, work, compiled)
        missing[name] = "not installed" if find_spec("torch") is None else None
    present = {name: training for name, training in trainings.items() if missing[name] is None}
    timed = dict(present)
    if "gpubp block" in present:
        timed[BARE] = partial(by_gpubp, work, backend, "block", ())
    updates = work.epochs * work.batches
    return Row(
        "waves",
        f"{work.architecture(work.front)}, Adam, batch {work.batch_size}, one thread",
        "µs per update",
        partial(check, present),
        {name: partial(_per_update, training, updates) for name, training in timed.items()},
        {name: reason for name, reason in missing.items() if reason is not None},
        (Goal(1 / 1.15, (BARE,), ours="gpubp block"), Goal(4, (PYTORCH,)), Goal(2, (COMPILED,))),
    )


def _per_update(training: Callable[[], tuple[float, np.ndarray]], updates: int) -> float:
    return 1e6 * training()[0] / updates


def check(trainings: dict[str, Callable[[], tuple[float, np.ndarray]]]) -> str:
    """From the same weights, on the same batches, everybody's epoch losses are the same."""
    (first, training), *others = trainings.items()
    expected = training()[1]
    for name, other in others:
        apart = np.abs(other()[1] / expected - 1).max()
        if not apart < TOLERANCE:
            raise WrongAnswer(f"{name}: epoch losses are {apart:.1e} apart from {first}'s")
    return f"the same epoch losses from the same weights and batches, to {TOLERANCE:g}"


FRONT_ROWS = {"waves": front_row}
