"""PyTorch as a contender for many different networks with one hidden layer and one output: SGD, squared error, float32,
batches in the rows' order.

One by one: eager, with autograd. ParallelMLPs (Farias, Ludermir and Bastos-Filho 2022, "Embarrassingly parallel
independent training of multi-layer perceptrons with heterogeneous architectures"): the hidden layers of all networks
are one layer, its activations slices of it, and each network sums its own neurons' shares of the output. Neurons come
first and a batch's rows last, so that these sums add up whole rows: the fastest of index_add, scatter_add and
segment_reduce, in either arrangement. In pieces: as several such networks, one after the other, that stay in the
caches. On one thread or all, whatever is faster just then.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.machine import usable_cores

NAMES = ("PyTorch one by one", "PyTorch ParallelMLPs", "PyTorch ParallelMLPs in pieces")


@dataclass(frozen=True)
class Network:
    """W (I, H), b (H,), V (H,), c: the weights to begin with; activation: by gpubp's name."""

    activation: str
    W: np.ndarray
    b: np.ndarray
    V: np.ndarray
    c: float


@dataclass(frozen=True)
class Task:
    """X (N, I) and T (N, 1) float32."""

    X: np.ndarray
    T: np.ndarray
    batch_size: int
    rate: float

    def batches(self) -> list[tuple[Any, Any]]:
        import torch

        X, T = torch.from_numpy(self.X), torch.from_numpy(self.T)
        return list(zip(X.split(self.batch_size), T.split(self.batch_size), strict=True))


def one_by_one(networks: Sequence[Network], task: Task, updates: int) -> tuple[float, np.ndarray]:
    """(seconds, losses (updates, networks), each taken before its update). On one thread, which is faster here."""
    import torch

    torch.set_num_threads(1)
    modules = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "logistic": torch.nn.Sigmoid}
    batches, seconds = task.batches(), 0.0
    losses = np.empty((updates, len(networks)), np.float32)
    for place, network in enumerate(networks):
        model = torch.nn.Sequential(
            torch.nn.Linear(*network.W.shape), modules[network.activation](), torch.nn.Linear(len(network.V), 1)
        )
        with torch.no_grad():
            for parameter, value in zip(
                model.parameters(), (network.W.T, network.b, network.V[None], [network.c]), strict=True
            ):
                parameter.copy_(torch.tensor(np.ascontiguousarray(value)))
        optimizer = torch.optim.SGD(model.parameters(), lr=task.rate, fused=True)
        told = []
        started = time.perf_counter()
        for update in range(updates):
            X, T = batches[update % len(batches)]
            optimizer.zero_grad(set_to_none=True)
            loss = 0.5 * torch.nn.functional.mse_loss(model(X), T)
            loss.backward()
            optimizer.step()
            told.append(loss.detach())
        seconds += time.perf_counter() - started
        losses[:, place] = torch.stack(told).numpy()
    return seconds, losses


def parallel(networks: Sequence[Network], task: Task, updates: int, piece: int) -> tuple[float, np.ndarray]:
    """As one_by_one. piece: networks that are one big network."""
    import torch

    first = networks[:: max(1, len(networks) // piece)][:piece]  # of all sizes
    tried = {}
    for threads in (1, usable_cores()):
        torch.set_num_threads(threads)
        tried[threads] = min(_as_one(sorted(first, key=lambda each: each.activation), task, 2)[0] for _ in range(2))
    torch.set_num_threads(min(tried, key=lambda threads: tried[threads]))
    by_activation = sorted(range(len(networks)), key=lambda place: networks[place].activation)
    losses, seconds = np.empty((updates, len(networks)), np.float32), 0.0
    for first in range(0, len(networks), piece):
        places = by_activation[first : first + piece]
        taken, losses[:, places] = _as_one([networks[place] for place in places], task, updates)
        seconds += taken
    return seconds, losses


def _as_one(networks: Sequence[Network], task: Task, updates: int) -> tuple[float, np.ndarray]:
    """networks: sorted by their activation."""
    import torch

    functions = {"relu": torch.relu, "tanh": torch.tanh, "logistic": torch.sigmoid}
    W, b, V = (
        torch.from_numpy(np.concatenate(parts)).requires_grad_()
        for parts in zip(*((each.W.T, each.b[:, None], each.V[:, None]) for each in networks), strict=True)
    )
    c = torch.tensor([[each.c] for each in networks], dtype=torch.float32, requires_grad=True)
    owner = torch.from_numpy(np.repeat(np.arange(len(networks)), [len(each.V) for each in networks]))
    neurons = {name: sum(len(each.V) for each in networks if each.activation == name) for name in sorted(functions)}
    optimizer = torch.optim.SGD([W, b, V, c], lr=task.rate, fused=True)
    batches, told = task.batches(), []
    started = time.perf_counter()
    for update in range(updates):
        X, T = batches[update % len(batches)]
        optimizer.zero_grad(set_to_none=True)
        slices = torch.addmm(b, W, X.T).split([*neurons.values()])
        H = torch.cat([functions[name](Z) for name, Z in zip(neurons, slices, strict=True)])
        Y = torch.zeros(len(networks), len(X)).index_add(0, owner, H * V) + c
        each_loss = 0.5 * (Y - T.T).square().mean(dim=1)
        each_loss.sum().backward()
        optimizer.step()
        told.append(each_loss.detach())
    seconds = time.perf_counter() - started
    return seconds, torch.stack(told).numpy()
