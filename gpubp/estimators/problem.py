"""The problem that a solver is given, for every task: numbers, a network's architecture, and where to compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.estimators.inputs import Inputs
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES


@dataclass(frozen=True)
class Targets:
    """T (N, O) of the parameters' dtype, for a loss of gpubp's by name, and the output activation that it belongs to.

    classes (N,) for an early-stopping split by class, or None where rows are split as they come; every_class: whether
    a class that is too rare to be split is an error.
    """

    T: np.ndarray
    loss: str
    out_activation: str  # by scikit-learn's name
    classes: np.ndarray | None = None
    every_class: bool = False
    loss_options: Mapping[str, float] = field(default_factory=dict)

    @property
    def loss_outputs(self) -> int:
        """Outputs that gpubp's loss sums over where scikit-learn's takes their mean."""
        return self.T.shape[1] if LOSSES[self.loss].link is None else 1


@dataclass(frozen=True)
class Problem:
    """X (N, I) on the host or the device, of the dtype that is computed in; weights (N,) float64 or None for all alike.

    kept: the parameters' dtype after the training. It differs from X's for lbfgs alone, which computes in float64.
    """

    X: Array
    targets: Targets
    weights: np.ndarray | None
    architecture: Architecture
    backend: Backend
    kept: np.dtype[Any]

    @property
    def n_rows(self) -> int:
        return len(self.targets.T)


@dataclass(frozen=True)
class NetworkFit:
    """One network to be trained on a problem.

    mlp: the estimator of one network that is to have its record: the one that is fitted, or one of its members.
    params (K,): the weights to begin with. seed: of whatever is random in its training. rows: to train on, which may
    repeat; None for all. validation: for early stopping; None without. place: among the members.
    """

    mlp: Any
    params: np.ndarray
    seed: int
    rows: np.ndarray | None
    validation: np.ndarray | None
    place: int


@dataclass(frozen=True)
class Trained:
    """A learner's network afterwards. params (K,); good: whether a mean over members may count it."""

    params: np.ndarray
    good: bool


@dataclass(frozen=True)
class CheckedInput:
    """X, y and sample_weight, checked and converted. All estimators that receive the same rows in the same way can
    share one.

    inputs: as they are yet, see `Inputs`. learned: the attributes that an estimator has of it (classes_, …), by name.
    """

    inputs: Inputs
    dtype: np.dtype[Any]  # that is computed in
    kept: np.dtype[Any]  # of the parameters after the training
    targets: Targets
    weights: np.ndarray | None
    learned: Mapping[str, Any]
