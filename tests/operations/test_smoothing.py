from __future__ import annotations

import numpy as np
import pytest

from gpubp.operations.losses import smooth_labels
from gpubp.operations.smoothing import Smoothing

AMOUNTS = np.array([0.0, 0.05, 0.1, 0.3, 0.97])


def on_the_device(smoothing: Smoothing) -> Smoothing:
    return Smoothing(smoothing.hit[:, None], smoothing.miss[:, None])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_outputs", [1, 3, 7])
def test_one_hot_targets_get_the_bits_of_one_amount_for_all(n_outputs: int, dtype: type) -> None:
    T = np.eye(n_outputs, dtype=dtype)
    found = on_the_device(Smoothing.of(AMOUNTS, n_outputs, T.dtype)).smooth(np, T)
    assert found.dtype == dtype
    for own, amount in zip(found, AMOUNTS.tolist(), strict=True):
        np.testing.assert_array_equal(own, smooth_labels(T, amount))


def test_targets_between_agree_to_rounding() -> None:
    T = np.random.default_rng(1).dirichlet(np.ones(4), size=6)
    found = on_the_device(Smoothing.of(AMOUNTS, 4, T.dtype)).smooth(np, T)
    for own, amount in zip(found, AMOUNTS.tolist(), strict=True):
        np.testing.assert_allclose(own, smooth_labels(T, amount), rtol=1e-15, atol=1e-16)
    np.testing.assert_array_equal(found[0], T, err_msg="no smoothing changes nothing")


def test_factors_multiply_the_amount() -> None:
    T = np.eye(3)
    whole = on_the_device(Smoothing.of(AMOUNTS, 3, T.dtype))
    half = on_the_device(Smoothing.of(AMOUNTS * 0.5, 3, T.dtype))
    np.testing.assert_allclose(whole.times(np.full((5, 1), 0.5)).smooth(np, T), half.smooth(np, T), rtol=1e-14)
