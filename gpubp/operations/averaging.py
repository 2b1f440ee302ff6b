"""A running average of the weights, taken along in a training (Polyak and Juditsky 1992, "Acceleration of stochastic
approximation by averaging", with exponentially decaying shares).

It begins with the first weights. Where one is kept, it is what is validated, and what a training gives: the
population's parameters are the average, and the weights that gradients are taken at are a state array beside the
optimizer's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpubp.operations.options import Option, complement

if TYPE_CHECKING:
    from gpubp.backends import Array, Backend
    from gpubp.operations.hyperparameters import Hyperparameters

AVERAGE = Option(
    "average", 0.99, "how much of the running average of the weights stays", least=0.0, below=1.0,
    derived={"rest_average": complement},
)  # fmt: skip
UNAVERAGED = "unaveraged"  # the state array (P, K) of the weights themselves


def update_average(backend: Backend, average: Array, params: Array, hyper: Hyperparameters, scratch: Array) -> None:
    """average = d · average + (1 − d) · params, all (P, K), after an update; d = hyper.average (P, 1)."""
    average *= hyper.average
    backend.xp.multiply(params, hyper.complement("average"), out=scratch)
    average += scratch
