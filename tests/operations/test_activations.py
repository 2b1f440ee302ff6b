from __future__ import annotations

import mpmath
import numpy as np
import pytest
from finite_differences import assert_close, numerical_gradient

from gpubp.backends import Backend
from gpubp.operations.activations import ACTIVATIONS

ELEMENTWISE = sorted(name for name, entry in ACTIVATIONS.items() if not entry.only_output)
EXTREMES = np.array([-1e4, -745.0, -104.0, -88.8, -30.0, -1e-8, 0.0, 1e-8, 30.0, 88.8, 104.0, 745.0, 1e4])

# The definitions, in 50 digits.
EXACT = {
    "identity": lambda z: z,
    "logistic": lambda z: 1 / (1 + mpmath.exp(-z)),
    "tanh": mpmath.tanh,
    "relu": lambda z: max(z, mpmath.mpf(0)),
    "leaky_relu": lambda z: z if z > 0 else mpmath.mpf(0.01) * z,
    "elu": lambda z: z if z > 0 else mpmath.expm1(z),
    "selu": lambda z: (
        mpmath.mpf("1.0507009873554805") * (z if z > 0 else mpmath.mpf("1.6732632423543772") * mpmath.expm1(z))
    ),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
    "gelu": lambda z: z * (1 + mpmath.erf(z / mpmath.sqrt(2))) / 2,
    "gelu_tanh": lambda z: z * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (z + mpmath.mpf("0.044715") * z**3))) / 2,
    "mish": lambda z: z * mpmath.tanh(mpmath.log1p(mpmath.exp(z))),
    "softplus": lambda z: mpmath.log1p(mpmath.exp(z)),
    "softsign": lambda z: z / (1 + abs(z)),
}


def run(backend: Backend, name: str, z: np.ndarray) -> np.ndarray:
    Z = backend.to_device(z)
    out = backend.xp.empty_like(Z)
    ACTIVATIONS[name].forward(backend, Z, out)
    return backend.to_host(out)


def slope(backend: Backend, name: str, z: np.ndarray, dh: np.ndarray) -> np.ndarray:
    activation, Z = ACTIVATIONS[name], backend.to_device(z)
    H, dH = backend.xp.empty_like(Z), backend.to_device(dh.copy())
    activation.forward(backend, Z, H)
    activation.backward(backend, dH, Z if activation.needs_input else None, H, dH)  # in place, as in training
    return backend.to_host(dH)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_values_are_the_definition(backend: Backend, name: str) -> None:
    z = np.array([-20.0, -3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0, 20.0])
    with mpmath.workdps(50):
        exact = np.array([float(EXACT[name](mpmath.mpf(value))) for value in z])
    np.testing.assert_allclose(run(backend, name, z), exact, rtol=1e-13, atol=1e-16)
    np.testing.assert_allclose(run(backend, name, z.astype(np.float32)), exact, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gradients_are_the_finite_differences(backend: Backend, name: str) -> None:
    z = np.array([[-4.0, -1.3, -0.4, -1e-3], [1e-3, 0.3, 1.7, 5.0]])
    dh = np.linspace(-1.0, 2.0, z.size).reshape(z.shape)
    numerical = numerical_gradient(lambda at: float((run(backend, name, at) * dh).sum()), z)
    assert_close(slope(backend, name, z, dh), numerical)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stable_up_to_ten_thousand(backend: Backend, name: str, dtype: type) -> None:
    """No overflow, no invalid operation (pytest makes warnings errors), and the right limits."""
    z = EXTREMES.astype(dtype)
    values, slopes = run(backend, name, z), slope(backend, name, z, np.ones_like(z))
    assert np.isfinite(values).all()
    assert np.isfinite(slopes).all()
    with mpmath.workdps(50):
        exact = np.array([float(EXACT[name](mpmath.mpf(float(value)))) for value in z])
    np.testing.assert_allclose(values, exact, rtol=1e-5 if dtype is np.float32 else 1e-12, atol=2e-7)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_forward_may_overwrite_its_input(backend: Backend, name: str) -> None:
    z = np.linspace(-5, 5, 11)
    Z = backend.to_device(z.copy())
    ACTIVATIONS[name].forward(backend, Z, Z)
    np.testing.assert_array_equal(backend.to_host(Z), run(backend, name, z))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nan_stays_nan(backend: Backend, name: str) -> None:
    with backend.quiet():
        assert np.isnan(run(backend, name, np.array([np.nan, 1.0]))).tolist() == [True, False]


@pytest.mark.parametrize("name", ["softmax", "exponential"])
def test_output_activations(backend: Backend, name: str) -> None:
    z = np.array([[0.3, -1.2, 2.0], [1.0, 1.0, 1.0]])
    dh = np.array([[0.5, -0.2, 1.0], [1.0, 0.0, -1.0]])
    numerical = numerical_gradient(lambda at: float((run(backend, name, at) * dh).sum()), z)
    assert_close(slope(backend, name, z, dh), numerical)


def test_softmax_of_huge_numbers(backend: Backend) -> None:
    z = np.array([[1e4, -1e4, 1e4], [-1e4, -1e4, -1e4]], dtype=np.float32)
    np.testing.assert_allclose(run(backend, "softmax", z), [[0.5, 0, 0.5], [1 / 3] * 3], rtol=1e-6)
