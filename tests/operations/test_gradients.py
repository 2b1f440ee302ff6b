"""Whole networks: every activation x loss x regulariser x depth against finite differences, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import assert_close, numerical_gradient
from operation_cases import with_later_losses

from gpubp.backends import Backend
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES
from gpubp.operations.network import Tape, decaying, loss_and_gradient
from gpubp.operations.regularization import clip_by_global_norm, l2_penalty

HIDDEN = sorted(name for name, entry in ACTIVATIONS.items() if not entry.only_output)
P, B, I, O = 2, 5, 3, 2  # noqa: E741
ALPHA = np.array([0.3, 0.7])


def targets(loss: str) -> np.ndarray:
    random = np.random.default_rng(11)
    known = {
        "squared_error": random.normal(size=(P, B, O)),
        "cross_entropy": random.dirichlet(np.ones(O), size=(P, B)),
        "binary_cross_entropy": random.integers(0, 2, size=(P, B, O)).astype(float),
        "poisson": random.poisson(1.0, size=(P, B, O)).astype(float),
    }
    return with_later_losses(known)[loss]


def objective(
    backend: Backend,
    architecture: Architecture,
    loss: str,
    params: np.ndarray,
    X: np.ndarray,
    weights: np.ndarray | None,
    l2: bool,
) -> tuple[float, np.ndarray]:
    """The sum over networks of the mean loss, and its gradient (P, K)."""
    xp, to_device = backend.xp, backend.to_device
    flat = to_device(params.copy())
    grads = xp.full_like(flat, np.nan)
    views, d_views = architecture.views(flat), architecture.views(grads)
    tape = Tape(backend, architecture, P, B, np.float64)
    w = np.ones((P, B)) if weights is None else weights
    scale: Any = 1.0 / B if weights is None else to_device((w / w.sum(1, keepdims=True))[:, :, None])
    loss_and_gradient(
        backend, architecture, LOSSES[loss], views, to_device(X), to_device(targets(loss)), scale, tape, d_views,
        tape.loss, {option.name: to_device(np.full((P, 1, 1), option.default)) for option in LOSSES[loss].options},
    )  # fmt: skip
    total = (backend.to_host(tape.loss) * w).sum(axis=1)
    if l2:
        penalty = xp.zeros(P)
        rows = float(B) if weights is None else to_device(w.sum(1)[:, None, None])
        for (*_, W), (*_, dW) in zip(decaying(architecture, views), decaying(architecture, d_views), strict=True):
            l2_penalty([W], [dW], to_device(ALPHA[:, None, None]), rows, penalty)
        total = total + backend.to_host(penalty)
    return float((total / w.sum(1)).sum()), backend.to_host(grads)


def check(
    backend: Backend,
    architecture: Architecture,
    loss: str,
    weights: bool = False,
    l2: bool = False,
    shared: bool = False,
) -> None:
    random = np.random.default_rng(5)
    params = random.normal(size=(P, architecture.n_parameters)) * 0.7
    X = random.normal(size=(B, I) if shared else (P, B, I))
    w = random.uniform(0.1, 2.0, size=(P, B)) if weights else None
    _, analytic = objective(backend, architecture, loss, params, X, w, l2)
    numerical = numerical_gradient(lambda at: objective(backend, architecture, loss, at, X, w, l2)[0], params)
    assert_close(analytic, numerical)


def output_of(loss: str) -> str:
    return LOSSES[loss].link or "identity"


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("activation", HIDDEN)
def test_every_activation_with_every_loss(numpy_backend: Backend, activation: str, loss: str) -> None:
    check(numpy_backend, Architecture(I, (4,), O, activation, output_of(loss)), loss)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("l2", [False, True])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("hidden", [(), (3,), (3, 4), (2, 3, 2)])
def test_every_depth_and_regulariser(
    numpy_backend: Backend, loss: str, l2: bool, weights: bool, hidden: tuple[int, ...]
) -> None:
    check(numpy_backend, Architecture(I, hidden, O, "tanh", output_of(loss)), loss, weights, l2)


@pytest.mark.parametrize("output", HIDDEN)
def test_squared_error_after_any_output_activation(numpy_backend: Backend, output: str) -> None:
    check(numpy_backend, Architecture(I, (3,), O, "tanh", output), "squared_error", weights=True)


def test_on_every_backend_with_shared_rows(backend: Backend) -> None:
    check(backend, Architecture(I, (3, 2), O, ("silu", "relu"), "softmax"), "cross_entropy", True, True, shared=True)


def test_clipping_shortens_only_long_gradients(backend: Backend) -> None:
    grads = np.array([[3.0, 4.0], [0.3, 0.4], [3.0, 4.0], [0.0, 0.0]])
    on_device = backend.to_device(grads.copy())
    clip_by_global_norm(backend, on_device, backend.to_device(np.array([[1.0], [1.0], [np.inf], [1.0]])))
    np.testing.assert_allclose(backend.to_host(on_device), [[0.6, 0.8], [0.3, 0.4], [3.0, 4.0], [0, 0]], rtol=1e-15)
