"""Every optimizer against its formula, written out for one number at a time in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from gpubp.backends import Backend
from gpubp.operations.hyperparameters import Hyperparameters
from gpubp.operations.optimizers import OPTIMIZERS, decay_weights

RATES = np.array([0.1, 0.02])
STEPS = 5


def gradient(step: int) -> np.ndarray:
    return np.random.default_rng(step).normal(size=(2, 3))


def momentum_rule(nesterov: bool) -> Callable[[float, list[float], float, dict[str, float]], float]:
    def run(w: float, gradients: list[float], rate: float, h: dict[str, float]) -> float:
        v = 0.0
        for g in gradients:
            v = h["momentum"] * v - rate * g
            w += h["momentum"] * v - rate * g if nesterov else v
        return w

    return run


def adam_rule(w: float, gradients: list[float], rate: float, h: dict[str, float]) -> float:
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m = h["beta1"] * m + (1 - h["beta1"]) * g
        v = h["beta2"] * v + (1 - h["beta2"]) * g * g
        w -= rate * (m / (1 - h["beta1"] ** t)) / (math.sqrt(v / (1 - h["beta2"] ** t)) + h["epsilon"])
    return w


def amsgrad_rule(w: float, gradients: list[float], rate: float, h: dict[str, float]) -> float:
    m = v = largest = 0.0
    for t, g in enumerate(gradients, start=1):
        m = h["beta1"] * m + (1 - h["beta1"]) * g
        v = h["beta2"] * v + (1 - h["beta2"]) * g * g
        largest = max(largest, v)
        w -= rate * (m / (1 - h["beta1"] ** t)) / (math.sqrt(largest / (1 - h["beta2"] ** t)) + h["epsilon"])
    return w


def rmsprop_rule(w: float, gradients: list[float], rate: float, h: dict[str, float]) -> float:
    v = 0.0
    for g in gradients:
        v = h["decay"] * v + (1 - h["decay"]) * g * g
        w -= rate * g / (math.sqrt(v) + h["epsilon"])
    return w


RULES = {
    "sgd": lambda w, gradients, rate, h: w - rate * sum(gradients),
    "momentum": momentum_rule(nesterov=False),
    "nesterov": momentum_rule(nesterov=True),
    "adam": adam_rule,
    "adamw": adam_rule,
    "rmsprop": rmsprop_rule,
    "amsgrad": amsgrad_rule,
}
PER_NETWORK = {
    "momentum": [0.9, 0.5], "beta1": [0.9, 0.8], "beta2": [0.999, 0.9], "epsilon": [1e-8, 1e-2], "decay": [0.99, 0.7],
    "weight_decay": [0.1, 0.0],
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_formula(backend: Backend, name: str, dtype: type, tolerance: float) -> None:
    optimizer, xp = OPTIMIZERS[name], backend.xp
    start = np.random.default_rng(99).normal(size=(2, 3))
    params = backend.to_device(start.astype(dtype))
    slots = [
        xp.zeros((2, 1), dtype=np.float64) if slot == "steps" else xp.zeros_like(params) for slot in optimizer.slots
    ]
    chosen = {key: np.array(PER_NETWORK[key]) for key in optimizer.hyperparameters}
    hyper = Hyperparameters(backend, {**chosen, "rate": RATES}, np.dtype(dtype))
    for step in range(STEPS):
        grads = backend.to_device(gradient(step).astype(dtype))
        optimizer.update(backend, params, grads, slots, hyper, hyper.rate, xp.empty_like(params))
    expected = np.empty((2, 3))
    for p, k in np.ndindex(2, 3):
        gradients = [float(gradient(step)[p, k]) for step in range(STEPS)]
        expected[p, k] = RULES[name](start[p, k], gradients, RATES[p], {key: v[p] for key, v in chosen.items()})
    found = backend.to_host(params)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_every_rule_is_tested() -> None:
    assert RULES.keys() == OPTIMIZERS.keys()


def test_decoupled_decay_shrinks_weights(backend: Backend) -> None:
    W = backend.to_device(np.ones((2, 3, 2)))
    decay_weights([W], backend.to_device(np.array([[[0.1]], [[0.0]]])))
    np.testing.assert_allclose(backend.to_host(W)[0], 0.9)
    np.testing.assert_allclose(backend.to_host(W)[1], 1.0)


def test_small_complements_keep_their_digits(backend: Backend) -> None:
    """1 − 0.9999 in float32 arithmetic has an error of 1e-4 of its value; taken in float64 first it has none."""
    hyper = Hyperparameters(backend, {"beta2": np.array([0.9999])}, np.dtype(np.float32))
    assert backend.to_host(hyper.complement("beta2"))[0, 0] == np.float32(1.0 - 0.9999)
    with pytest.raises(AttributeError):
        _ = hyper.beta3
