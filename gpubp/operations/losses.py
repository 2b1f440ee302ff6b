"""Losses, each giving its value per row and its gradient in one sweep, since both need the same residual.

A loss is either defined on the network's outputs (squared error, after any output activation), or on the
pre-activations of the last layer together with the output activation that belongs to it (its canonical link), which
keeps it exact where the probability itself would round to 0 or 1.

evaluate(backend, Z, T, Y, dZ, loss, options):
    Z (P, B, O)   outputs (link None) or pre-activations
    T (P, B, O)   or (B, O): targets; for cross-entropy each row sums to 1
    Y (P, B, O)   gets the predictions (may be Z itself)
    dZ (P, B, O)  gets the gradient of the row's loss; not yet divided by the batch size
    loss (P, B)   gets the row's loss, summed over the outputs
    options       the loss's own options by name, each (P, 1, 1)

Weighting rows and taking the mean over the batch is the caller's part: see `operations.network`.

A new loss is one function and one entry, and its line in engines/dialect/losses.h; then run
scripts/generate_operations.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpubp.operations.activations import logistic_forward
from gpubp.operations.options import Option

if TYPE_CHECKING:
    from gpubp.backends import Array, Backend

Options = Mapping[str, "Array"]
Evaluate = Callable[["Backend", "Array", "Array", "Array", "Array", "Array", Options], None]


@dataclass(frozen=True)
class Loss:
    """link: the output activation it belongs to; None: it is defined on the activated outputs. tasks: what it is for,
    "classification", "regression" or both; default_for: the one whose usual loss it is. target_rule: what targets must
    be: "any", "distribution", "probability", "count". options: numbers that may differ from network to network.
    """

    name: str
    evaluate: Evaluate
    link: str | None
    tasks: tuple[str, ...]
    default_for: str | None = None
    target_rule: str = "any"
    options: tuple[Option, ...] = ()

    @property
    def is_for_counts(self) -> bool:
        """Whether targets are counts, which stay as they are: they are not standardised."""
        return self.target_rule == "count"

    @property
    def takes_smooth_labels(self) -> bool:
        return self.target_rule == "distribution"

    @property
    def takes_logarithms(self) -> bool:
        """Whether it is for numbers that may be anything, such as the logarithms of the target's."""
        return self.target_rule == "any"

    @property
    def is_classification(self) -> bool:
        """Whether the outputs are probabilities of classes, and the score is accuracy instead of R²."""
        return self.link in ("softmax", "logistic")


def squared_error(backend: Backend, Z: Array, T: Array, Y: Array, dZ: Array, loss: Array, options: Options) -> None:
    """½ Σ (y − t)²; gradient y − t."""
    xp = backend.xp
    xp.subtract(Z, T, out=dZ)
    if Y is not Z:
        xp.copyto(Y, Z)
    xp.square(dZ).sum(axis=-1, out=loss)
    loss *= 0.5


def cross_entropy(backend: Backend, Z: Array, T: Array, Y: Array, dZ: Array, loss: Array, options: Options) -> None:
    """−Σ t log softmax(z) = log Σ exp(z) − Σ t z; gradient softmax(z) − t."""
    xp = backend.xp
    xp.subtract(Z, Z.max(axis=-1, keepdims=True), out=Y)
    xp.multiply(T, Y, out=dZ)
    dZ.sum(axis=-1, out=loss)
    xp.exp(Y, out=Y)
    normalizer = Y.sum(axis=-1, keepdims=True)
    Y /= normalizer
    xp.subtract(xp.log(normalizer[..., 0]), loss, out=loss)
    xp.subtract(Y, T, out=dZ)


def binary_cross_entropy(
    backend: Backend, Z: Array, T: Array, Y: Array, dZ: Array, loss: Array, options: Options
) -> None:
    """Σ log(1 + exp(z)) − t z over the outputs (independent yes/no labels); gradient logistic(z) − t."""
    xp = backend.xp
    xp.logaddexp(Z, 0.0, out=dZ)
    dZ -= T * Z
    dZ.sum(axis=-1, out=loss)
    logistic_forward(backend, Z, Y)
    xp.subtract(Y, T, out=dZ)


def poisson(backend: Backend, Z: Array, T: Array, Y: Array, dZ: Array, loss: Array, options: Options) -> None:
    """Half the Poisson deviance, Σ t log t − t z − t + exp(z) (t log t is 0 at t = 0); gradient exp(z) − t."""
    xp = backend.xp
    saturated = xp.where(T > 0, T, 1.0).astype(T.dtype)
    xp.log(saturated, out=saturated)
    saturated -= 1.0
    saturated *= T
    xp.multiply(T, Z, out=dZ)
    xp.exp(Z, out=Y)
    xp.subtract(Y, dZ, out=dZ)
    dZ += saturated
    dZ.sum(axis=-1, out=loss)
    xp.subtract(Y, T, out=dZ)


def huber(backend: Backend, Z: Array, T: Array, Y: Array, dZ: Array, loss: Array, options: Options) -> None:
    """Σ ½ r² where |r| ≤ delta, else delta · (|r| − ½ delta), r = y − t (Huber 1964); gradient r, within ±delta."""
    xp, delta = backend.xp, options["delta"]
    xp.subtract(Z, T, out=dZ)
    if Y is not Z:
        xp.copyto(Y, Z)
    size = xp.abs(dZ)
    capped = xp.minimum(size, delta)
    size -= 0.5 * capped
    size *= capped
    size.sum(axis=-1, out=loss)
    xp.minimum(dZ, delta, out=dZ)
    xp.maximum(dZ, -delta, out=dZ)


DELTA = Option(
    "delta", 1.0, "the error from which on it counts by its size, not by its square", above=0.0,
    searched=(0.1, 10.0), log=True,
)  # fmt: skip

LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss(
            "squared_error",
            squared_error,
            link=None,
            tasks=("regression", "classification"),
            default_for="regression",
        ),
        Loss(
            "cross_entropy",
            cross_entropy,
            link="softmax",
            tasks=("classification",),
            default_for="classification",
            target_rule="distribution",
        ),
        Loss(
            "binary_cross_entropy",
            binary_cross_entropy,
            link="logistic",
            tasks=("classification",),
            target_rule="probability",
        ),
        Loss("poisson", poisson, link="exponential", tasks=("regression",), target_rule="count"),
        Loss("huber", huber, link=None, tasks=("regression",), options=(DELTA,)),
    )
}


def usual_loss(task: str) -> str:
    """The name of the one that a task has where nobody says otherwise."""
    return next(loss.name for loss in LOSSES.values() if loss.default_for == task)


def smooth_labels(T: Array, amount: float) -> Array:
    """(1 − amount) · t + amount / classes: label smoothing (Szegedy et al. 2016, section 7)."""
    return T * (1.0 - amount) + amount / T.shape[-1]
