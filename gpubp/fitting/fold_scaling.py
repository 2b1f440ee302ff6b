"""Networks on scaled inputs as networks on the values themselves: the scaling goes into the first and last layer."""

from __future__ import annotations

import numpy as np

from gpubp.fitting.job import Sheet
from gpubp.operations.architecture import Architecture


def unscaled(architecture: Architecture, params: np.ndarray, sheet: Sheet) -> np.ndarray:
    """(P, K) float64 for params (P, K) that were trained on `sheet`.

    x W + b with x = (v − offset) / scale is v (W / scale) + (b − (offset / scale) W); an output y · spread + mean is a
    last layer times spread, plus mean. (Only identity outputs are ever standardised.) In float64, since an offset may
    be many times the scale.

    Inputs that are clipped after the scaling stay scaled, since no layer can take over a clip; outputs that are
    logarithms stay logarithms.
    """
    found = np.array(params, dtype=np.float64)
    if not sheet.clipped:
        W, b = architecture.weights(found, 0), architecture.biases(found, 0)
        W /= sheet.scale[:, None]
        b -= np.einsum("i,pio->po", sheet.offset, W)
    if (sheet.spread != 1.0).any() or (sheet.mean != 0.0).any():
        last = architecture.n_layers - 1
        W, b = architecture.weights(found, last), architecture.biases(found, last)
        W *= sheet.spread
        b *= sheet.spread
        b += sheet.mean
    return found
