"""Optimizers: pure functions that update flat parameters in place.

A new one is one function and one entry, and its rule in engines/dialect/optimizers.h; then run
scripts/generate_operations.py.

update(backend, params, grads, slots, hyper, rate, scratch):
    params (P, K), grads (P, K) (may be overwritten), slots: the optimizer's state arrays (P, K), in the order in which
    the entry names them; hyper: the hyperparameters, each (P, 1); rate (P, 1): this step's learning rate;
    scratch (P, K): free to use.

Every hyperparameter is an array over networks, so members of one population may differ in each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpubp.operations.options import Option, complement, defaults, logarithm

if TYPE_CHECKING:
    from gpubp.backends import Array, Backend
    from gpubp.operations.hyperparameters import Hyperparameters

Update = Callable[["Backend", "Array", "Array", Sequence["Array"], "Hyperparameters", "Array", "Array"], None]


@dataclass(frozen=True)
class Optimizer:
    """slots: names of its state arrays; "steps" is (P, 1) float64, the others are (P, K). options: its hyperparameters,
    each of which may differ from network to network. decoupled_decay: it uses hyper.weight_decay, on weights and not on
    biases. update_numbers: what its kernel computes once for each update, besides the rate. divides: the kernel divides
    for each parameter, which takes registers on a GPU; divides_apart: by what nothing else of the update needs, which
    takes more.
    """

    name: str
    update: Update
    slots: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    decoupled_decay: bool = False
    update_numbers: tuple[str, ...] = ()
    divides: bool = False
    divides_apart: bool = False

    @property
    def hyperparameters(self) -> dict[str, float]:
        """The defaults of its options."""
        return defaults(self.options)

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
    mean, square, steps = slots
    steps += 1.0
    _adam_moments(backend, grads, mean, square, hyper, scratch)
    _adam_step(backend, params, mean, square, steps, hyper, rate, scratch)


def _adam_moments(
    backend: Backend, grads: Array, mean: Array, square: Array, hyper: Hyperparameters, scratch: Array
) -> None:
    mean *= hyper.beta1
    backend.xp.multiply(grads, hyper.complement("beta1"), out=scratch)
    mean += scratch
    square *= hyper.beta2
    grads *= grads
    grads *= hyper.complement("beta2")
    square += grads


def _adam_step(
    backend: Backend,
    params: Array,
    mean: Array,
    square: Array,
    steps: Array,
    hyper: Hyperparameters,
    rate: Array,
    scratch: Array,
) -> None:
    xp = backend.xp
    correction = xp.sqrt(1.0 - hyper.exact["beta2"] ** steps)
    step_size = (rate * correction / (1.0 - hyper.exact["beta1"] ** steps)).astype(params.dtype)
    epsilon = (hyper.exact["epsilon"] * correction).astype(params.dtype)
    xp.sqrt(square, out=scratch)
    scratch += epsilon
    xp.divide(mean, scratch, out=scratch)
    scratch *= step_size
    params -= scratch


def amsgrad(
    backend: Backend,
    params: Array,
    grads: Array,
    slots: Sequence[Array],
    hyper: Hyperparameters,
    rate: Array,
    scratch: Array,
) -> None:
    """Adam, but v̂ is made of the largest v so far (Reddi, Kale and Kumar 2018, algorithm 2), as PyTorch has it."""
    mean, square, largest, steps = slots
    steps += 1.0
    _adam_moments(backend, grads, mean, square, hyper, scratch)
    backend.xp.maximum(largest, square, out=largest)
    _adam_step(backend, params, mean, largest, steps, hyper, rate, scratch)


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


MOMENTUM = Option("momentum", 0.9, "how much of the last update goes on", least=0.0, below=1.0)
BETA1 = Option(
    "beta1", 0.9, "how much of the mean gradient stays", least=0.0, below=1.0,
    derived={"rest1": complement, "log1": logarithm},
)  # fmt: skip
BETA2 = Option(
    "beta2", 0.999, "how much of the mean square stays", least=0.0, below=1.0,
    derived={"rest2": complement, "log2": logarithm},
)  # fmt: skip
EPSILON = Option("epsilon", 1e-8, "added to what is divided by", above=0.0)
WEIGHT_DECAY = Option("weight_decay", 0.01, "of the weights, times the rate", least=0.0)
DECAY = Option(
    "decay", 0.99, "how much of the mean square stays", least=0.0, below=1.0, derived={"rest_decay": complement}
)
ADAM = (BETA1, BETA2, EPSILON)

OPTIMIZERS: dict[str, Optimizer] = {
    optimizer.name: optimizer
    for optimizer in (
        Optimizer("sgd", sgd),
        Optimizer("momentum", momentum, ("velocity",), (MOMENTUM,)),
        Optimizer("nesterov", nesterov, ("velocity",), (MOMENTUM,)),
        Optimizer(
            "adam",
            adam,
            ("mean", "square", "steps"),
            ADAM,
            update_numbers=("step_size", "step_epsilon"),
            divides=True,
        ),
        Optimizer(
            "adamw",
            adam,
            ("mean", "square", "steps"),
            (*ADAM, WEIGHT_DECAY),
            decoupled_decay=True,
            update_numbers=("step_size", "step_epsilon", "keep"),
            divides=True,
        ),
        Optimizer("rmsprop", rmsprop, ("square",), (DECAY, EPSILON), divides=True, divides_apart=True),
        Optimizer(
            "amsgrad",
            amsgrad,
            ("mean", "square", "largest", "steps"),
            ADAM,
            update_numbers=("step_size", "step_epsilon"),
            divides=True,
        ),
    )
}


def decay_weights(weights: list[Array], strength: Array) -> None:
    """W −= strength · W of arrays of parameters (P, …), strength (P, 1, …) = rate · weight_decay; biases are free.

    The decoupled weight decay of AdamW (Loshchilov and Hutter 2019, algorithm 2, line 12), taken before the update.
    """
    keep = 1.0 - strength
    for W in weights:
        W *= keep
