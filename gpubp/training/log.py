"""The measurements of a training: the numbers of every epoch and network, and the history that they make."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpubp.backends import Backend


class Log:
    """The metrics of every epoch: on the device until somebody asks, unless early stopping has them on the host anyway.

    epochs (P,) int64: completed by each network.
    """

    def __init__(self, backend: Backend, n_networks: int, on_host: bool) -> None:
        self.backend, self.on_host = backend, on_host
        self.done = np.full((3, 0, n_networks), np.nan)
        self.parts: list[tuple[np.ndarray, Any]] = []
        self.epochs = np.zeros(n_networks, dtype=np.int64)

    def go_on(self, metrics: np.ndarray, epochs: np.ndarray) -> None:
        """Begin with what an earlier call measured: metrics (3, E, P), epochs (P,)."""
        self.done, self.epochs = metrics, epochs.copy()

    def add(self, epoch: int, order: np.ndarray, metrics: Any) -> None:
        """metrics (3, epochs, networks), from `epoch` on, of the networks at the places `order`."""
        self.parts.append((order, metrics))
        self.epochs[order] = epoch + metrics.shape[1]

    def table(self) -> np.ndarray:
        """(3, E, P) float64 on the host: training loss, validation loss, validation score. In one transfer."""
        if self.parts:
            fetched = self._fetched()
            self.done = np.concatenate([self.done, fetched], axis=1) if self.done.shape[1] else fetched
            self.parts = []
        return self.done

    def _fetched(self) -> np.ndarray:
        if not self.on_host:  # no network left on the way, so all parts are of one order
            order = self.parts[0][0]
            joined = self.parts[0][1]
            if len(self.parts) > 1:
                joined = self.backend.xp.concatenate([metrics for _, metrics in self.parts], axis=1)
            self.parts = [(order, self.backend.to_host(joined))]
        table = np.full((3, sum(metrics.shape[1] for _, metrics in self.parts), self.done.shape[2]), np.nan)
        epoch = 0
        for order, metrics in self.parts:
            table[:, epoch : epoch + metrics.shape[1], order] = metrics
            epoch += metrics.shape[1]
        return table


def diverged_epochs(metrics: np.ndarray, epochs: np.ndarray, validated: bool, finite: np.ndarray) -> np.ndarray:
    """(P,): the epoch in which each network's numbers stopped being finite; −1 where they did not.

    metrics (3, E, P), epochs (P,): see Log. finite (P,) bool: whether all parameters are.
    """
    if not validated and finite.all() and np.isfinite(metrics[0]).all():
        return np.full(len(epochs), -1)
    diverged = _first_lost(metrics[0], epochs)
    if validated and metrics.shape[1]:  # too far out for the validation rows, though not yet for the training rows
        never_back = ~np.isfinite(metrics[1][epochs - 1, np.arange(len(epochs))])
        diverged = np.where(never_back & (diverged < 0), _first_lost(metrics[1], epochs), diverged)
    return np.where(~finite & (diverged < 0), np.maximum(epochs - 1, 0), diverged)


def _first_lost(losses: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """(P,): the first of each network's epochs whose loss (E, P) is not finite, −1 where there is none."""
    lost = ~np.isfinite(losses) & (np.arange(len(losses))[:, None] < epochs)
    return np.where(lost.any(axis=0), lost.argmax(axis=0) if len(lost) else -1, -1)
