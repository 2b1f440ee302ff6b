"""Initial weights, drawn on the host from counter-based numbers: the same bits on every backend.

A new initializer is one function and one entry. draw(seeds, layer, fan_in, fan_out) gives (P, fan_in + 1, fan_out) in
float64: the weights, and the biases as the last row. What becomes of the draws of one that looks at rows is in
data_dependent.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Draw = Callable[["np.ndarray", int, int, int], "np.ndarray"]


@dataclass(frozen=True)
class Initializer:
    """needs_rows: whether draws are made to fit the rows that a network is trained on. help: for one line of help."""

    name: str
    draw: Draw
    help: str = ""
    needs_rows: bool = False


def _units(seeds: np.ndarray, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """(P, fan_in + 1, fan_out) uniform in (0, 1), one stream for each layer."""
    import numpy as np

    from gpubp.operations.philox import Stream, uniform

    numbers = uniform(np, seeds, (fan_in + 1) * fan_out, Stream.INITIAL_WEIGHTS, extra=layer)
    return numbers.reshape(len(seeds), fan_in + 1, fan_out)


def _symmetric_uniform(bound: float, units: np.ndarray) -> np.ndarray:
    """Weights uniform in (−bound, bound), biases 0."""
    drawn = (2.0 * units - 1.0) * bound
    drawn[:, -1] = 0.0
    return drawn


def _normal(deviation: float, units: np.ndarray) -> np.ndarray:
    """Weights normal with the given standard deviation, biases 0."""
    from scipy.special import ndtri

    drawn = ndtri(units) * deviation
    drawn[:, -1] = 0.0
    return drawn


def tutorial(seeds: np.ndarray, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """Weights and biases uniform in [0, 1), as the tutorial has them (`gpubp.tutorial` draws its exact numbers)."""
    return _units(seeds, layer, fan_in, fan_out)


def glorot_uniform(seeds: np.ndarray, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """±√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, equation 16)."""
    return _symmetric_uniform(math.sqrt(6.0 / (fan_in + fan_out)), _units(seeds, layer, fan_in, fan_out))


def glorot_with_biases(seeds: np.ndarray, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """±√(6 / (fan_in + fan_out)), biases from the same interval: scikit-learn's rule (`gpubp.estimators` uses it)."""
    return (2.0 * _units(seeds, layer, fan_in, fan_out) - 1.0) * math.sqrt(6.0 / (fan_in + fan_out))


def glorot_logistic(seeds: np.ndarray, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """±√(2 / (fan_in + fan_out)), biases from the same interval: scikit-learn's rule for logistic networks."""
    return (2.0 * _units(seeds, layer, fan_in, fan_out) - 1.0) * math.sqrt(2.0 / (fan_in + fan_out))


def glorot_normal(seeds: np.ndarray, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """Variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return _normal(math.sqrt(2.0 / (fan_in + fan_out)), _units(seeds, layer, fan_in, fan_out))


def he_uniform(seeds: np.ndarray, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """±√(6 / fan_in) (He et al. 2015, section 2.2)."""
    return _symmetric_uniform(math.sqrt(6.0 / fan_in), _units(seeds, layer, fan_in, fan_out))


def he_normal(seeds: np.ndarray, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """Variance 2 / fan_in (He et al. 2015, equation 10)."""
    return _normal(math.sqrt(2.0 / fan_in), _units(seeds, layer, fan_in, fan_out))


def lecun_uniform(seeds: np.ndarray, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """±√(3 / fan_in), variance 1 / fan_in (LeCun et al. 1998, equation 16)."""
    return _symmetric_uniform(math.sqrt(3.0 / fan_in), _units(seeds, layer, fan_in, fan_out))


def lecun_normal(seeds: np.ndarray, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """Variance 1 / fan_in (LeCun et al. 1998, equation 16)."""
    return _normal(math.sqrt(1.0 / fan_in), _units(seeds, layer, fan_in, fan_out))


def ntk_normal(seeds: np.ndarray, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """Weights of variance 1 / fan_in, biases of variance 1: the start of the NTK parametrisation, x W / √fan_in + b
    with W and b ~ N(0, 1) (Jacot, Gabriel and Hongler 2018, section 2).
    """
    drawn = standard_normal(seeds, layer, fan_in, fan_out)
    drawn[:, :-1] /= math.sqrt(fan_in)
    return drawn


def standard_normal(seeds: np.ndarray, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """Weights and biases ~ N(0, 1)."""
    from scipy.special import ndtri

    found: np.ndarray = ndtri(_units(seeds, layer, fan_in, fan_out))
    return found


INITIALIZERS = {
    entry.name: entry
    for entry in (
        Initializer("glorot_uniform", glorot_uniform),
        Initializer("glorot_normal", glorot_normal),
        Initializer("he_uniform", he_uniform),
        Initializer("he_normal", he_normal),
        Initializer("lecun_uniform", lecun_uniform),
        Initializer("lecun_normal", lecun_normal),
        Initializer("ntk_normal", ntk_normal, "lecun_normal with normal biases"),
        Initializer(
            "data_dependent",
            standard_normal,
            "on the training rows, every neuron's sum has variance 1, and changes its sign among them",
            needs_rows=True,
        ),
        Initializer("tutorial", tutorial),
    )
}
