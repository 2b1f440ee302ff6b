"""PyTorch as a contender: a population's parameters stacked, trained eagerly, by CUDA graphs, compiled, or vmapped.

The products of all networks are one batched product; of a single network, a plain one. Adam and SGD are the fused
ones. A CUDA graph holds one update (a batch is copied into its place before each replay) or a whole epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu.contenders import Contest

WARM_UP = 3  # updates before a graph is captured
TIMED = 3  # runs, of which the fastest counts


@dataclass(frozen=True)
class Way:
    """graph: "" (eager), "update" or "epoch", what a CUDA graph holds. compiled: the losses, by torch.compile.
    vmapped: torch.func's grad of one network, vmapped, instead of batched products.
    """

    graph: str = ""
    compiled: bool = False
    vmapped: bool = False


class Trainer:
    """The stacked networks of a contest on PyTorch's device."""

    def __init__(self, contest: Contest, way: Way, device: str) -> None:
        import torch

        self.contest, self.way, self.device, self.torch = contest, way, device, torch
        self.alone = contest.n_networks == 1 and not way.vmapped
        self.first = [self._to_device(part) for layer in contest.layers for part in layer]
        X, T = contest.batches
        # (steps, P, B, columns): a batch is one piece of memory; of a network alone (steps, B, columns)
        self.X, self.T = (self._to_device(np.ascontiguousarray(part.swapaxes(0, 1)), 1) for part in (X, T))
        self.losses_of = self._vmapped_losses if way.vmapped else self._losses
        if way.compiled:
            self.losses_of = torch.compile(self._losses)
        self._begin()

    def _to_device(self, array: np.ndarray, axis: int = 0) -> Any:
        return self.torch.tensor(array.squeeze(axis) if self.alone else array, device=self.device)

    def _begin(self) -> None:
        """From the first weights, with a new optimizer; the optimizer's state lies in the same place afterwards."""
        torch = self.torch
        self.params = [part.clone().requires_grad_(not self.way.vmapped) for part in self.first]
        kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        kind = self.contest.training.how(1).optimizer
        more = {"capturable": True} if kind == "adam" and self.way.graph else {}
        self.optimizer = kinds[kind](self.params, lr=self.contest.rate, fused=True, **more)
        self.total = torch.zeros(() if self.alone else self.contest.n_networks, device=self.device)

    def _losses(self, params: list[Any], X: Any, T: Any) -> Any:
        """Mean over the batch, (P,) or of a network alone (); X (P, B, I) or (B, I)."""
        product = self.torch.addmm if X.dim() == 2 else self.torch.baddbmm
        for place in range(0, len(params), 2):
            W, b = params[place], params[place + 1]
            X = product(b if X.dim() == 2 else b.unsqueeze(1), X, W)
            if place < len(params) - 2:
                X = self._activation(X)
        return self._loss(X, T)

    def _vmapped_losses(self, params: list[Any], X: Any, T: Any) -> Any:
        """Of one network, X (B, I); vmapped by the update."""
        for place in range(0, len(params), 2):
            X = X @ params[place] + params[place + 1]
            if place < len(params) - 2:
                X = self._activation(X)
        return self._loss(X, T)

    def _activation(self, X: Any) -> Any:
        return self.torch.sigmoid(X) if self.contest.training.tutorial else self.torch.relu(X)

    def _loss(self, Z: Any, T: Any) -> Any:
        if self.contest.training.tutorial:
            return 0.5 * (self.torch.sigmoid(Z) - T).square().sum(-1).mean(-1)
        return -(T * self.torch.log_softmax(Z, -1)).sum(-1).mean(-1)

    def update(self, X: Any, T: Any) -> None:
        torch = self.torch
        if self.way.vmapped:
            both = torch.func.vmap(torch.func.grad_and_value(self.losses_of))
            gradients, losses = both(self.params, X, T)
            for param, gradient in zip(self.params, gradients, strict=True):
                param.grad = gradient
        else:
            self.optimizer.zero_grad(set_to_none=True)
            losses = self.losses_of(self.params, X, T)
            losses.sum().backward()
        self.optimizer.step()
        self.total += losses.detach()

    def epoch(self) -> None:
        for X, T in zip(self.X, self.T, strict=True):
            self.update(X, T)

    def one_epoch(self) -> Callable[[], None]:
        """What trains an epoch: eagerly, or by a graph that is captured here. Afterwards everything begins anew."""
        if not self.way.graph:
            return self.epoch
        torch = self.torch
        X, T = self.X[0].clone(), self.T[0].clone()
        held = self.epoch if self.way.graph == "epoch" else lambda: self.update(X, T)
        before = torch.cuda.Stream()
        before.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(before):
            for _ in range(WARM_UP):
                self.update(X, T)
        torch.cuda.current_stream().wait_stream(before)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            held()
        self._back_to_the_start()
        if self.way.graph == "epoch":
            return graph.replay

        def by_updates() -> None:
            for x, t in zip(self.X, self.T, strict=True):
                X.copy_(x)
                T.copy_(t)
                graph.replay()

        return by_updates

    def _back_to_the_start(self) -> None:
        """In place: a graph knows addresses."""
        with self.torch.no_grad():
            for param, first in zip(self.params, self.first, strict=True):
                param.copy_(first)
            for state in self.optimizer.state.values():
                for value in state.values():
                    if self.torch.is_tensor(value):
                        value.zero_()
            self.total.zero_()

    def measure(self, epochs: int) -> tuple[float, np.ndarray]:
        """(seconds of an epoch, losses (epochs, P) from the first weights on)."""
        train = self.one_epoch()
        losses = []
        for _ in range(epochs):
            self.total.zero_()
            train()
            losses.append(self.total.cpu().numpy().reshape(-1) / self.contest.training.updates)
        return min(self._timed(train, epochs) for _ in range(TIMED)) / epochs, np.array(losses)

    def _timed(self, train: Callable[[], None], epochs: int) -> float:
        self._wait()
        started = time.perf_counter()
        for _ in range(epochs):
            train()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()
