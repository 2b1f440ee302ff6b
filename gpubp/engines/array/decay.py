"""L2 and weight decay of a slice's networks: of all parameters but biases, by the factors of their groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gpubp.backends import Array
from gpubp.operations.architecture import Architecture
from gpubp.operations.dense import has_own_rates
from gpubp.operations.hyperparameters import Hyperparameters, cast
from gpubp.operations.layers import Layer, Parameter
from gpubp.operations.network import LayerViews, decaying
from gpubp.operations.optimizers import decay_weights
from gpubp.operations.regularization import l2_penalty


@dataclass(eq=False)
class _Alike:
    """Arrays W (P, …) of one group and as many axes, and their gradients. l2, weight_decay (P, 1, …): how strongly they
    are shrunk, the latter by the learning rate; None for optimizers without it.
    """

    l2: Array
    weight_decay: Array | None
    gradients: list[Array] = field(default_factory=list)
    parameters: list[Array] = field(default_factory=list)


class Decay:
    """What is shrunk, and how strongly."""

    def __init__(self, architecture: Architecture, hyper: Hyperparameters, d_views: LayerViews) -> None:
        self.architecture, self.hyper = architecture, hyper
        self.apart = has_own_rates(hyper.exact)  # dense layers, one from another
        self.alike: dict[tuple[Any, ...], _Alike] = {}
        for layer, parameter, dW in decaying(architecture, d_views):
            self._of(layer, parameter, dW.ndim).gradients.append(dW)

    def _of(self, layer: Layer, parameter: Parameter, axes: int) -> _Alike:
        key = parameter.group, axes, layer if self.apart else None
        if key not in self.alike:
            named, dtype = self.hyper.named, self.hyper.dtype
            rate, l2, decay = (cast(each, dtype) for each in layer.factors(parameter, self.hyper.exact))
            each = (len(named["l2"]), *[1] * (axes - 1))
            weight_decay = None
            if "weight_decay" in named:
                weight_decay = (named["weight_decay"] * decay * rate).reshape(each)
            self.alike[key] = _Alike((named["l2"] * l2).reshape(each), weight_decay)
        return self.alike[key]

    def bind(self, views: LayerViews) -> None:
        """From now on, of these parameters."""
        for alike in self.alike.values():
            alike.parameters.clear()
        for layer, parameter, W in decaying(self.architecture, views):
            self._of(layer, parameter, W.ndim).parameters.append(W)

    def add_l2(self, rows: Array | float, penalty: Array, times: Array | None = None) -> None:
        """To the gradients, and to penalty (P,). rows: the batch's size, or the sum of its row weights, (P, 1, 1), or
        (1, 1, 1) where the networks share them. times (P, 1): what the strength is multiplied by.
        """
        for alike in self.alike.values():
            divisor = rows if isinstance(rows, float) else rows.reshape(-1, *alike.l2.shape[1:])
            l2 = alike.l2 if times is None else alike.l2 * times.reshape(alike.l2.shape)
            l2_penalty(alike.parameters, alike.gradients, l2, divisor, penalty)

    def shrink(self, rate: Array) -> None:
        """By decoupled weight decay; rate (P, 1): the learning rate, times what decay is multiplied by."""
        for alike in self.alike.values():
            if alike.weight_decay is not None:
                decay_weights(alike.parameters, rate.reshape(alike.l2.shape) * alike.weight_decay)
