"""First weights that fit the rows of a training, layer by layer, from the inputs on.

Every dense layer's weights are drawn from N(0, 1), and each neuron's are divided by the standard deviation of its sum
x W over the rows, so that it is 1 in every layer, however deep and whatever the inputs' scale (Mishkin and Matas 2016,
"All you need is a good init"). Each bias is minus a random mean of the neuron's sums at five of the rows: where an
activation bends, there are rows (Holzmüller, Grinsztajn and Steinwart 2024, "Better by default", section 3: RealMLP).

The same bits whatever sums the products: both factors of x W are rounded to so few bits (22 each for 256 inputs, so
that variances are 1 within about 1e-6) that all sums are exact in float64. This also rounds away, all but always, the
last bits of logarithms and exponentials, in which machines differ.
"""

from __future__ import annotations

import numpy as np

from gpubp.backends.numpy_backend import NumpyBackend
from gpubp.operations.architecture import Architecture
from gpubp.operations.dense import Dense
from gpubp.operations.philox import Stream, uniform

EXACT = 53  # bits of a float64
OF_A_ROW = 30  # bits that are kept of the row that differences are taken to
DRAW = 4  # 2⁴ is more than any weight that is drawn
CONSTANT = 2.0**-40  # of the largest input: less is no difference between rows
TINY = -100  # 2⁻¹⁰⁰: inputs that are all smaller are zeros, for weights that scale them up would not be float32
ROWS_OF_A_BIAS = 5


def fit_to_rows(architecture: Architecture, params: np.ndarray, seeds: np.ndarray, X: np.ndarray) -> None:
    """Change params (P, K), drawn from N(0, 1), so that they fit the rows X (P, N, I), all in float64."""
    backend, place = NumpyBackend(), 0
    with backend.quiet():
        for layer, its in zip(architecture.layers, architecture.views(params), strict=True):
            if not isinstance(layer, Dense):
                values = layer.values(backend, len(seeds), X.shape[1], np.float64, False)
                X = layer.forward(backend, X, its, values)
                continue
            Z, differ = unit_variance(X, its["weights"])
            its["biases"][...] = np.where(differ, biases_at_rows(Z, seeds, place), 0.0)
            Z += its["biases"][:, None, :]
            X = np.empty_like(Z)
            layer.f.forward(backend, Z, X)
            place += 1


def unit_variance(X: np.ndarray, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change W (P, I, O) so that X W has variance 1 over the rows of X (P, N, I). Returns X W (P, N, O), and in which
    columns the rows differ, (P, O); where they do not, W is divided by √I.
    """
    fan_in = W.shape[1]
    bits = (EXACT - (fan_in - 1).bit_length()) // 2
    W[...] = _rounded(W, DRAW, bits)
    exponent = _exponent(X)  # everything is computed as if the largest input were about 1
    X = np.ldexp(X, -exponent)
    first = X[:, :1]
    differences = X - first
    differences[np.abs(differences).max(axis=(1, 2)) <= CONSTANT] = 0.0
    differences[exponent[:, 0, 0] < TINY] = 0.0
    sums = _rounded(differences, _exponent(differences), bits) @ W
    deviations = sums - sums.mean(axis=1, keepdims=True)
    deviation = np.sqrt((deviations * deviations).mean(axis=1))
    differ = deviation > 0.0
    divisor = np.where(differ, deviation, np.sqrt(fan_in))[:, None, :]
    sums += (_rounded(first, 0, OF_A_ROW)[:, 0, :, None] * W).sum(axis=1)[:, None, :]
    sums = np.ldexp(sums / divisor, np.where(differ[:, None, :], 0, exponent))
    W /= np.ldexp(divisor, np.where(differ[:, None, :], exponent, 0))
    return sums, differ


def biases_at_rows(Z: np.ndarray, seeds: np.ndarray, place: int) -> np.ndarray:
    """(P, O): minus a mean of each column's Z (P, N, O) at five random rows, weighted at random: by the pieces that
    four random numbers cut an interval into. place: of the dense layer, from 0 on.
    """
    networks, rows, neurons = Z.shape
    count = 2 * ROWS_OF_A_BIAS - 1
    units = uniform(np, seeds, count * neurons, Stream.INITIAL_BIASES, extra=place).reshape(networks, neurons, count)
    cuts = np.sort(units[:, :, : ROWS_OF_A_BIAS - 1], axis=2)
    shares = np.diff(cuts, axis=2, prepend=0.0, append=1.0)
    chosen = np.minimum((units[:, :, ROWS_OF_A_BIAS - 1 :] * rows).astype(np.int64), rows - 1)
    found = np.zeros((networks, neurons))
    for i in range(ROWS_OF_A_BIAS):
        found -= shares[:, :, i] * np.take_along_axis(Z, chosen[:, None, :, i], axis=1)[:, 0]
    return found


def _exponent(values: np.ndarray) -> np.ndarray:
    """(P, 1, 1): a power of 2 that no number of each network's (P, …) exceeds."""
    return np.frexp(np.abs(values).max(axis=(1, 2), keepdims=True))[1]


def _rounded(values: np.ndarray, exponent: np.ndarray | int, bits: int) -> np.ndarray:
    """To multiples of 2^(exponent − bits), of numbers below 2^exponent."""
    return np.ldexp(np.rint(np.ldexp(values, bits - exponent)), exponent - bits)
