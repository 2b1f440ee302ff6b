"""The plan of a training: the networks, sorted, their rows and their numbers, as engines are given them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.networks.sampling import RowSets
from gpubp.networks.settings import PerNetwork, Settings, per_network
from gpubp.operations.architecture import Architecture
from gpubp.operations.registry import PER_NETWORK
from gpubp.operations.smoothing import Smoothing

MOST_UPDATES = 2**30  # that kernels count: Adam's corrections have long been 1 by then


@dataclass(frozen=True)
class TrainingPlan:
    """P networks, sorted so that those with equally many training and validation rows are neighbours. On the host.

    T is what is trained on, with labels smoothed, unless `smoothing` says that engines smooth them; T_validation what
    is validated on. hyper: (P,) float64 for each name.
    total_weight (P,): the number of each network's training rows, or the sum of their weights. spread (P, O): the
    denominator of R², where the loss is no classification.
    """

    backend: Backend
    architecture: Architecture
    settings: Settings
    dtype: np.dtype[Any]
    X: Array  # on the host, or there already
    T: np.ndarray
    T_validation: np.ndarray
    weights: np.ndarray | None  # (N,) or (P, N)
    seeds: np.ndarray
    rows: RowSets
    validation: RowSets | None
    total_weight: np.ndarray
    spread: np.ndarray | None
    hyper: dict[str, np.ndarray]
    dropout: np.ndarray | None  # (P, hidden layers) float64
    smoothing: Smoothing | None  # each (P,)
    first_epoch: int  # epochs done before this training
    updates: np.ndarray  # (P,) updates done before
    slots: Mapping[str, np.ndarray]  # (P, K) by name, from before; missing ones are zeros

    @property
    def n_epochs(self) -> int:
        """Of the whole training, with those done before: what a schedule runs over."""
        return self.first_epoch + self.settings.epochs

    @property
    def n_networks(self) -> int:
        return len(self.seeds)

    @property
    def batch_size(self) -> int:
        return self.settings.batch_rows(int(self.rows.count[0]))

    @property
    def steps(self) -> np.ndarray:
        """(P,) updates of an epoch."""
        return -(-self.rows.count // self.batch_size)

    def varies(self, what: str) -> bool:
        """Whether the "rate", "dropout", "decay" (of L2 and weights) or "smoothing" of a network changes by a schedule:
        not where there is none of it.
        """
        if not self.settings.varies(what):
            return False
        # By the settings, which stay when networks leave: a kernel is compiled for factors, or for none.
        decays = self.settings.optimizer_rule.decoupled_decay or bool(np.any(self.settings.l2))
        there = {"decay": decays, "dropout": self.dropout is not None, "smoothing": self.smoothing is not None}
        return there.get(what, True)

    def dropout_shares(self, epoch: int, n_epochs: int) -> np.ndarray:
        """(E, P, hidden layers) float64: the shares of each epoch from `epoch` on, times the schedule's factor in the
        epoch's middle; E = 1 where all epochs have the same.
        """
        assert self.dropout is not None
        if not self.varies("dropout"):
            return self.dropout[None]
        middle = epoch + np.arange(n_epochs)[:, None] + 0.5
        factor = self.settings.factor("dropout", np, middle, self.rows.count.astype(np.float64), self.n_epochs)
        return self.dropout * factor[:, :, None]

    def networks(self, keep: np.ndarray) -> TrainingPlan:
        """The plan of the networks at the places `keep` alone."""
        return replace(
            self,
            weights=self.weights if self.weights is None or self.weights.ndim == 1 else self.weights[keep],
            seeds=self.seeds[keep],
            rows=self.rows.networks(keep),
            validation=None if self.validation is None else self.validation.networks(keep),
            total_weight=self.total_weight[keep],
            spread=None if self.spread is None else self.spread[keep],
            hyper={name: values[keep] for name, values in self.hyper.items()},
            dropout=None if self.dropout is None else self.dropout[keep],
            smoothing=None if self.smoothing is None else self.smoothing.networks(keep),
            updates=self.updates[keep],
            slots={name: values[keep] for name, values in self.slots.items()},
        )


def total_weights(weights: np.ndarray | None, rows: RowSets) -> np.ndarray:
    """(P,) float64: the number of each network's rows, or the sum of their weights."""
    if weights is None:
        return rows.count.astype(np.float64)
    totals = np.empty(len(rows.count))
    for p, count in enumerate(rows.count):
        chosen = rows.index[0 if rows.shared else p, :count]
        totals[p] = (weights[p] if weights.ndim == 2 else weights)[chosen].sum()
    return totals


def target_spread(T: np.ndarray, weights: np.ndarray | None, rows: RowSets) -> np.ndarray:
    """(P, O) float64: Σ (t − t̄)² over each network's rows, weighted; the denominator of R². All on the host."""
    spread = np.empty((len(rows.count), T.shape[1]))
    for p, count in enumerate(rows.count):
        if p and rows.shared and (weights is None or weights.ndim == 1):
            spread[p] = spread[0]
            continue
        chosen = rows.index[0 if rows.shared else p, :count]
        t = T[chosen].astype(np.float64)
        w = np.ones(len(chosen)) if weights is None else (weights[p] if weights.ndim == 2 else weights)[chosen]
        center = (t * w[:, None]).sum(axis=0) / w.sum()
        spread[p] = (w[:, None] * (t - center) ** 2).sum(axis=0)
    return spread


def hyperparameters(settings: Settings, architecture: Architecture, n_networks: int) -> dict[str, np.ndarray]:
    """(P,) float64 for every hyperparameter of the settings and of the architecture's layers, by name; but for those of
    first values.
    """
    named: dict[str, PerNetwork] = settings.all_optimizer_options() | settings.all_loss_options()
    of_layers = settings.all_layer_options(architecture)
    named |= {name: value for name, value in of_layers.items() if name in PER_NETWORK} if of_layers else {}
    named |= {"rate": settings.learning_rate, "l2": settings.l2}
    if settings.average is not None:
        named["average"] = settings.average
    named["clip_norm"] = np.inf if settings.clip_norm is None else settings.clip_norm
    if all(type(value) is float for value in named.values()):  # small trainings are many calls: one array for all
        numbers = np.array([[value] for value in named.values()])
        return dict(zip(named, numbers if n_networks == 1 else np.repeat(numbers, n_networks, axis=1), strict=True))
    return {name: per_network(name, value, n_networks) for name, value in named.items()}
