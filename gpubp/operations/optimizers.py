"""Optimizers: pure functions that update flat parameters in place. A new one is one function and one entry.

update(backend, params, grads, slots, hyper, rate, scratch):
    params (P, K), grads (P, K) (may be overwritten), slots: the optimizer's state arrays (P, K), in the order in which
    the entry names them; hyper: the hyperparameters, each (P, 1); rate (P, 1): this step's learning rate;
    scratch (P, K): free to use.

Every hyperparameter is an array over networks, so members of one population may differ in each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend

Update = Callable[[Backend, Array, Array, Sequence[Array], "Hyperparameters", Array, Array], None]


class Hyperparameters:
    """Per-network hyperparameters, (P, 1), in float64 and in the parameters' dtype.

    `hyper.beta1` has the parameters' dtype. Differences such as 1 − beta lose digits in float32, so they are taken
    in float64 first: `hyper.complement("beta1")`. Bias corrections use `hyper.exact["beta1"]`.
    """

    def __init__(self, backend: Backend, values: Mapping[str, np.ndarray], dtype: np.dtype[Any]) -> None:
        """values: one (P,) float64 host array for each name."""
        packed = backend.to_device(np.array([*values.values()], dtype=np.float64)[:, :, None])  # one transfer
        self.dtype = dtype
        self.exact: dict[str, Array] = {name: packed[i] for i, name in enumerate(values)}
        cast, complements = packed.astype(dtype), (1.0 - packed).astype(dtype)
        self._cast = {name: cast[i] for i, name in enumerate(values)}
        self._complements = {name: complements[i] for i, name in enumerate(values)}

    def __getattr__(self, name: str) -> Array:
        try:
            return self.__dict__["_cast"][name]
        except KeyError:
            raise AttributeError(name) from None

    def complement(self, name: str) -> Array:
        """1 − value."""
        return self._complements[name]

    def networks(self, selection: slice | Array) -> Hyperparameters:
        """The hyperparameters of some of the networks."""
        chosen = object.__new__(Hyperparameters)
        chosen.dtype = self.dtype
        for table in ("exact", "_cast", "_complements"):
            setattr(chosen, table, {name: value[selection] for name, value in getattr(self, table).items()})
        return chosen


@dataclass(frozen=True)
class Optimizer:
    name: str
    update: Update
    slots: tuple[str, ...] = ()  # names of its state arrays; "steps" is (P, 1) float64, the others are (P, K)
    hyperparameters: Mapping[str, float] = field(default_factory=dict)  # with their defaults
    decoupled_decay: bool = False  # uses hyper.weight_decay, on weights and not on biases

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of its state arrays (P, K); the count of steps is no such array."""
        return tuple(name for name in self.slots if name != "steps")


def sgd(
    backend: Backend,
    params: Array,
    grads: Array,
    slots: Sequence[Array],
    hyper: Hyperparameters,
    rate: Array,
    scratch: Array,
) -> None:
    """w −= rate · g."""
    grads *= rate
    params -= grads


def momentum(
    backend: Backend,
    params: Array,
    grads: Array,
    slots: Sequence[Array],
    hyper: Hyperparameters,
    rate: Array,
    scratch: Array,
) -> None:
    """v = momentum · v − rate · g; w += v (Polyak 1964; scikit-learn's form)."""
    (velocity,) = slots
    velocity *= hyper.momentum
    grads *= rate
    velocity -= grads
    params += velocity


def nesterov(
    backend: Backend,
    params: Array,
    grads: Array,
    slots: Sequence[Array],
    hyper: Hyperparameters,
    rate: Array,
    scratch: Array,
) -> None:
    """v = momentum · v − rate · g; w += momentum · v − rate · g (Sutskever et al. 2013; scikit-learn's form)."""
    (velocity,) = slots
    velocity *= hyper.momentum
    grads *= rate
    velocity -= grads
    backend.xp.multiply(velocity, hyper.momentum, out=scratch)
    scratch -= grads
    params += scratch


def adam(
    backend: Backend,
    params: Array,
    grads: Array,
    slots: Sequence[Array],
    hyper: Hyperparameters,
    rate: Array,
    scratch: Array,
) -> None:
    """w −= rate · m̂ / (√v̂ + epsilon), with m̂ = m / (1 − beta1ᵗ), v̂ = v / (1 − beta2ᵗ).

    (Kingma and Ba 2015, algorithm 1: epsilon stands outside the root and is added after the bias correction.) Both
    corrections are folded into the rate and epsilon, as in the paper's section 2: one root and one division each.
    """
    xp = backend.xp
    mean, square, steps = slots
    steps += 1.0
    mean *= hyper.beta1
    xp.multiply(grads, hyper.complement("beta1"), out=scratch)
    mean += scratch
    square *= hyper.beta2
    grads *= grads
    grads *= hyper.complement("beta2")
    square += grads

    correction = xp.sqrt(1.0 - hyper.exact["beta2"] ** steps)
    step_size = (rate * correction / (1.0 - hyper.exact["beta1"] ** steps)).astype(params.dtype)
    epsilon = (hyper.exact["epsilon"] * correction).astype(params.dtype)
    xp.sqrt(square, out=scratch)
    scratch += epsilon
    xp.divide(mean, scratch, out=scratch)
    scratch *= step_size
    params -= scratch


def rmsprop(
    backend: Backend,
    params: Array,
    grads: Array,
    slots: Sequence[Array],
    hyper: Hyperparameters,
    rate: Array,
    scratch: Array,
) -> None:
    """v = decay · v + (1 − decay) · g²; w −= rate · g / (√v + epsilon) (Hinton 2012, lecture 6e)."""
    xp = backend.xp
    (square,) = slots
    square *= hyper.decay
    xp.square(grads, out=scratch)
    scratch *= hyper.complement("decay")
    square += scratch
    xp.sqrt(square, out=scratch)
    scratch += hyper.epsilon
    grads /= scratch
    grads *= rate
    params -= grads


ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}

OPTIMIZERS: dict[str, Optimizer] = {
    optimizer.name: optimizer
    for optimizer in (
        Optimizer("sgd", sgd),
        Optimizer("momentum", momentum, ("velocity",), {"momentum": 0.9}),
        Optimizer("nesterov", nesterov, ("velocity",), {"momentum": 0.9}),
        Optimizer("adam", adam, ("mean", "square", "steps"), ADAM),
        Optimizer("adamw", adam, ("mean", "square", "steps"), ADAM | {"weight_decay": 0.01}, decoupled_decay=True),
        Optimizer("rmsprop", rmsprop, ("square",), {"decay": 0.99, "epsilon": 1e-8}),
    )
}


def decay_weights(weights: list[Array], strength: Array) -> None:
    """W −= strength · W for every layer, strength (P, 1, 1) = rate · weight_decay; biases are free.

    The decoupled weight decay of AdamW (Loshchilov and Hutter 2019, algorithm 2, line 12), taken before the update.
    """
    keep = 1.0 - strength
    for W in weights:
        W *= keep
