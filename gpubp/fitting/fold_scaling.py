"""Trained networks as simpler ones that answer the same: scaling, and factors of inputs, go into the weights."""

from __future__ import annotations

import numpy as np

from gpubp.errors import SettingsError
from gpubp.fitting.job import Sheet
from gpubp.operations.architecture import Architecture


def unscaled(architecture: Architecture, params: np.ndarray, sheet: Sheet) -> np.ndarray:
    """(P, K) float64 for params (P, K) that were trained on `sheet`.

    The first layers take over x = (v − offset) / scale; an output y · spread + mean is a last layer times spread, plus
    mean. (Only identity outputs are ever standardised.) In float64, since an offset may be many times the scale.

    Inputs that are scaled in a way that is not linear stay so, since no layer can take that over; outputs that are
    logarithms stay logarithms.
    """
    found = np.array(params, dtype=np.float64)
    if not sheet.nonlinear:
        offset, scale = sheet.offset, sheet.scale
        for layer, its in zip(architecture.layers, architecture.views(found), strict=True):
            left = layer.take_over(its, offset, scale)
            if left is None:
                break
            offset, scale = left
    if (sheet.spread != 1.0).any() or (sheet.mean != 0.0).any():
        last = architecture.n_layers - 1
        W, b = architecture.weights(found, last), architecture.biases(found, last)
        W *= sheet.spread
        b *= sheet.spread
        b += sheet.mean
    return found


def without_front(architecture: Architecture, params: np.ndarray) -> tuple[Architecture, np.ndarray]:
    """Networks without layers in front that answer as those with params (P, K) do: (x ⊙ s) W is x (diag(s) W).

    Raises SettingsError for layers that do more than multiply their inputs.
    """
    if not architecture.front:
        return architecture, params
    params, place = params.copy(), len(architecture.front)
    views = architecture.views(params)
    factors = np.ones((len(params), architecture.n_inputs))
    for layer, its in zip(architecture.layers[:place], views, strict=False):
        if not layer.only_factors:
            raise SettingsError(f"The layer {layer.name} cannot go into the weights of a dense layer.")
        factors *= its["factors"]
    W = views[place]["weights"]
    W *= factors[:, :, None]
    plain = Architecture(
        architecture.n_inputs,
        architecture.hidden,
        architecture.n_outputs,
        architecture.activations[:-1],
        architecture.output_activation,
    )
    return plain, params[:, architecture.offset(0) :]
