from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import assert_close, numerical_gradient
from operation_cases import with_later_losses

from gpubp.backends import Backend
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.losses import LOSSES, smooth_labels

P, B, O = 2, 3, 4  # noqa: E741
RANDOM = np.random.default_rng(7)
TARGETS = {
    "squared_error": RANDOM.normal(size=(P, B, O)),
    "cross_entropy": RANDOM.dirichlet(np.ones(O), size=(P, B)),
    "binary_cross_entropy": RANDOM.integers(0, 2, size=(P, B, O)).astype(float),
    "poisson": RANDOM.poisson(1.0, size=(P, B, O)).astype(float),
}
DELTAS = np.array([1.0, 0.5])[:, None, None]
TARGETS = with_later_losses(TARGETS)


def options(backend: Backend, name: str, dtype: Any) -> dict[str, Any]:
    """Of two networks that differ: each its own multiple of the default."""
    factors = DELTAS
    return {each.name: backend.to_device(each.default * factors, dtype) for each in LOSSES[name].options}


def evaluate(backend: Backend, name: str, z: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, ...]:
    xp, Z, T = backend.xp, backend.to_device(z), backend.to_device(t)
    Y, dZ, loss = xp.empty_like(Z), xp.empty_like(Z), xp.empty(z.shape[:2], dtype=z.dtype)
    LOSSES[name].evaluate(backend, Z, T, Y, dZ, loss, options(backend, name, z.dtype))
    return backend.to_host(loss), backend.to_host(Y), backend.to_host(dZ)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradients_are_the_finite_differences(backend: Backend, name: str) -> None:
    z, t = np.random.default_rng(1).normal(size=(P, B, O)), TARGETS[name]
    numerical = numerical_gradient(lambda at: float(evaluate(backend, name, at, t)[0].sum()), z)
    assert_close(evaluate(backend, name, z, t)[2], numerical)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_values_and_predictions(backend: Backend, name: str) -> None:
    z, t = np.random.default_rng(2).normal(size=(P, B, O)), TARGETS[name]
    loss, y, _ = evaluate(backend, name, z, t)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = {
            "squared_error": lambda: 0.5 * (z - t) ** 2,
            "cross_entropy": lambda: -t * np.log(np.exp(z) / np.exp(z).sum(-1, keepdims=True)),
            "binary_cross_entropy": lambda: np.log1p(np.exp(z)) - t * z,
            "poisson": lambda: np.where(t > 0, t * np.log(np.where(t > 0, t, 1) / np.exp(z)), 0) - t + np.exp(z),
            "huber": lambda: np.where(
                np.abs(z - t) < DELTAS, 0.5 * (z - t) ** 2, DELTAS * np.abs(z - t) - 0.5 * DELTAS**2
            ),
        }[name]()
    np.testing.assert_allclose(loss, expected.sum(-1), rtol=1e-12)
    link = LOSSES[name].link
    if link is None:
        np.testing.assert_array_equal(y, z)
    else:
        out = backend.xp.empty(z.shape)
        ACTIVATIONS[link].forward(backend, backend.to_device(z), out)
        np.testing.assert_allclose(y, backend.to_host(out), rtol=1e-15)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_predictions_may_overwrite_their_input(backend: Backend, name: str) -> None:
    z, t = np.random.default_rng(3).normal(size=(P, B, O)), TARGETS[name]
    expected = evaluate(backend, name, z, t)
    xp, Z, T = backend.xp, backend.to_device(z.copy()), backend.to_device(t)
    dZ, loss = xp.empty_like(Z), xp.empty((P, B))
    LOSSES[name].evaluate(backend, Z, T, Z, dZ, loss, options(backend, name, z.dtype))
    for found, wanted in zip((loss, Z, dZ), expected, strict=True):
        np.testing.assert_array_equal(backend.to_host(found), wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "squared_error"])
def test_logits_of_ten_thousand(backend: Backend, name: str, dtype: type) -> None:
    z = np.array([[[1e4, -1e4], [-1e4, 1e4]]], dtype=dtype)
    t = np.array([[[1.0, 0.0], [1.0, 0.0]]], dtype=dtype)
    loss, _, dz = evaluate(backend, name, z, t)
    assert np.isfinite(dz).all()
    right, wrong = loss[0]
    assert right == 0 if name != "squared_error" else np.isfinite(right)
    expected = {"cross_entropy": 2e4, "binary_cross_entropy": 2e4}.get(name, wrong)
    assert wrong == pytest.approx(expected)


def test_perfect_memory_has_no_loss_and_no_gradient(backend: Backend) -> None:
    z = np.array([[[40.0, -40.0, 0.0]]], dtype=np.float32)
    loss, _, dz = evaluate(backend, "cross_entropy", z, np.array([[[1.0, 0, 0]]], dtype=np.float32))
    assert abs(loss[0, 0]) < 1e-6
    assert np.abs(dz).max() < 1e-6


def test_smoothed_labels_still_sum_to_one() -> None:
    smoothed = smooth_labels(np.eye(4), 0.1)
    np.testing.assert_allclose(smoothed.sum(-1), 1.0, rtol=1e-15)
    np.testing.assert_allclose(np.diag(smoothed), 0.9 + 0.1 / 4)
