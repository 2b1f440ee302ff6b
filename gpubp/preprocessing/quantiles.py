"""Normal scores: what number of a normal distribution stands where a value stands among those of the training.

A value's rank, from 0 for the least to 1 for the largest, is interpolated between quantiles; its score is the normal
quantile of the rank. Equal values have the mean of the ranks that they take up, at both ends, too: where half of a
column is 0, and nothing is below it, a 0 has rank 0.25. (scikit-learn's QuantileTransformer gives values at the ends
rank 0 or 1 however many they are. TabM, arXiv 2410.24210, spreads them by a little noise, drawn for the fit: these are
the scores that its own tend to as the noise goes to 0.)
"""

from __future__ import annotations

import numpy as np

from gpubp.preprocessing.scaling import negligible_span

FEWEST, MOST, ROWS_EACH = 10, 1000, 30
"""Quantiles: one for each 30 rows, at least 10 and at most 1000 (TabM)."""
EDGE = 1e-7
"""Ranks are kept so far from 0 and 1, and scores within ±5.2."""

NEAR = 0.425
NEAR_SQUARED = 0.180625
FAR = 1.6
NUMERATOR = (
    *(3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4),
    *(4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
)
DENOMINATOR = (
    *(1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3),
    *(2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)
FAR_NUMERATOR = (
    *(1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0),
    *(1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
)
FAR_DENOMINATOR = (
    *(1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1),
    *(1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)
"""Coefficients, the constant first, of Wichura's algorithm AS 241 (1988, Applied Statistics 37), PPND16: 16 digits."""


def quantile_count(rows: int) -> int:
    """How many quantiles of a column are kept, for so many rows to fit on: at least its two ends."""
    return max(2, min(rows, MOST, max(FEWEST, rows // ROWS_EACH)))


def fitted_quantiles(known: np.ndarray, count: int) -> tuple[np.ndarray, bool]:
    """((count,) quantiles of the values (N,), ascending, evenly spaced in rank; whether the column is constant).

    Of a constant column, and of one without values, they are all the same.
    """
    if not len(known):
        return np.zeros(count), True
    low, high = float(known.min()), float(known.max())
    if high - low <= negligible_span(max(abs(low), abs(high))):
        return np.full(count, low), True
    found: np.ndarray = np.maximum.accumulate(np.quantile(known, np.linspace(0.0, 1.0, count)))
    return found, False


def normal_scores(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """(N, M) within ±5.2, in the order of each column of values (N, M), none of which is missing, by quantiles (M, Q);
    zeros for a constant column. Values (N,) by quantiles (Q,) of one column, too.
    """
    if values.ndim == 1:
        return normal_scores(values[:, None], quantiles[None])[:, 0]
    last, of = quantiles.shape[1] - 1, np.arange(len(quantiles))
    below, not_above = (  # how many quantiles are
        np.stack([known.searchsorted(its, side) for known, its in zip(quantiles, values.T, strict=True)], axis=1)
        for side in ("left", "right")
    )
    low = np.clip(not_above - 1, 0, last - 1)
    start = quantiles[of, low]
    with np.errstate(divide="ignore", invalid="ignore"):  # beyond equal ends; where values are quantiles
        share = np.clip((values - start) / (quantiles[of, low + 1] - start), 0.0, 1.0)
    place = np.where(below < not_above, 0.5 * (below + not_above - 1), low + share)
    scores = normal_quantile(np.clip(place / last, EDGE, 1.0 - EDGE))
    return np.where(quantiles[:, 0] < quantiles[:, -1], scores, 0.0)


def normal_quantile(ranks: np.ndarray) -> np.ndarray:
    """The numbers that a normal variable lies below with these probabilities, from 1e-11 to 1 - 1e-11."""
    centred = ranks - 0.5
    r = NEAR_SQUARED - centred * centred
    near = centred * polynomial(r, NUMERATOR) / polynomial(r, DENOMINATOR)
    r = np.sqrt(-np.log(np.minimum(ranks, 1.0 - ranks))) - FAR
    far = polynomial(r, FAR_NUMERATOR) / polynomial(r, FAR_DENOMINATOR)
    return np.where(np.abs(centred) <= NEAR, near, np.copysign(far, centred))


def polynomial(x: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """By Horner's rule."""
    found = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        found = found * x + coefficient
    return found
