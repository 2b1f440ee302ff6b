"""Numbers that are too small or too large: the native engines stay fast, right, and apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bit_cases import ENGINES, TARGETS, I, X, assert_same_bits

from gpubp.backends import NumpyBackend
from gpubp.backends.host_compiler import find_compiler
from gpubp.backends.interruption import Interruption
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.preparation import prepare
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES
from gpubp.training.history import History
from gpubp.training.loop import train

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")

BACKEND = NumpyBackend()
NATIVE = list(ENGINES)
TINY = np.finfo(np.float32).tiny


@pytest.mark.parametrize("engine", NATIVE)
def test_a_memorised_network_holds_no_denormal_number(engine: str) -> None:
    """Gradients that have become zero let Adam's moments shrink by a tenth a step: through all denormal numbers, if
    they were kept, and each operation with one takes a CPU some hundred cycles."""
    population = Population.initialize(Architecture(I, 17, 2, "relu", "softmax"), network_seeds(1, 3), BACKEND)
    T = np.eye(2)[(X[:, 0] > 0).astype(int)]
    settings = Settings(learning_rate=0.1, batch_size=None, epochs=3000)
    trained = ENGINES[engine](prepare(population, X * 100, T, settings), population.params)
    seen_small = False
    for epoch in range(0, 3000, 50):
        trained.run(epoch, 50, Interruption())
        for slot in trained.slots_on_host().values():
            size = np.abs(slot)
            assert not ((size > 0) & (size < TINY)).any(), epoch
            seen_small |= bool(((size > 0) & (size < 1e-30)).any())
    assert seen_small  # they did come near
    assert (trained.slots_on_host()["mean"] == 0).any()
    assert np.isfinite(population.params).all()


def trained_from(engine: str, loss: str, optimizer: str, dtype: str, params: np.ndarray, **more: Any) -> History:
    """One epoch of networks without a hidden layer from `params` (P, K), which are trained in place."""
    n_outputs = TARGETS[loss].shape[1]
    population = Population.initialize(
        Architecture(I, (), n_outputs, output_activation=LOSSES[loss].link or "identity"),
        network_seeds(1, len(params)), BACKEND, dtype=dtype,
    )  # fmt: skip
    population.params[...] = params
    settings = Settings(
        **({"loss": loss, "optimizer": optimizer, "epochs": 1, "batch_size": 4, "shuffle": False} | more)
    )
    history = train(population, X, TARGETS[loss], settings, engine=engine, validation_rows=np.arange(7))
    params[...] = population.params
    return history


@pytest.mark.parametrize("engine", NATIVE)
@pytest.mark.parametrize(
    ("loss", "optimizer", "dtype"),
    [("cross_entropy", "adam", "float32"), ("binary_cross_entropy", "momentum", "float64")],
)
def test_logits_of_ten_thousand(engine: str, loss: str, optimizer: str, dtype: str) -> None:
    """exp(1e4) is far beyond every number; the losses are sums of the logits all the same, and agree."""
    n_outputs = TARGETS[loss].shape[1]
    start = np.random.default_rng(3).normal(size=(5, (I + 1) * n_outputs)) * 1e4
    found, expected = start.copy(), start.copy()
    history = trained_from(engine, loss, optimizer, dtype, found)
    reference = trained_from("array", loss, optimizer, "float64", expected)
    assert (reference.training_loss > 1e3).all()
    for name in ("training_loss", "validation_loss"):
        np.testing.assert_allclose(getattr(history, name), getattr(reference, name), rtol=1e-5)
    np.testing.assert_array_equal(history.validation_score, reference.validation_score)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
    assert not history.diverged.any()


@pytest.mark.parametrize("engine", NATIVE)
@pytest.mark.parametrize(
    ("loss", "optimizer", "rate", "bias"), [("poisson", "adamw", 0.01, 1e3), ("squared_error", "sgd", 1e38, 0.0)],
    ids=["exp of a thousand", "a rate of 1e38"],
)  # fmt: skip
def test_an_overflow_stays_in_its_network(engine: str, loss: str, optimizer: str, rate: float, bias: float) -> None:
    """Its neighbours keep their bits; it is marked as diverged."""
    n_outputs, poisoned, P = TARGETS[loss].shape[1], 7, 18
    start = np.random.default_rng(3).normal(size=(P, (I + 1) * n_outputs)) * 0.1

    def run(rates: np.ndarray, bias: float) -> tuple[np.ndarray, History]:
        params = start.copy()
        params[poisoned, -n_outputs:] += bias
        return params, trained_from(engine, loss, optimizer, "float32", params, learning_rate=rates, epochs=2)

    rates = np.full(P, 0.01)
    expected, its_history = run(rates, 0.0)
    rates[poisoned] = rate
    found, history = run(rates, bias)
    others = np.arange(P) != poisoned
    assert not its_history.diverged.any()
    np.testing.assert_array_equal(history.diverged, ~others)
    assert not np.isfinite(history.training_loss[-1, poisoned])
    assert_same_bits(found[others], expected[others])
    for name in ("training_loss", "validation_loss", "validation_score"):
        assert_same_bits(getattr(history, name)[:, others], getattr(its_history, name)[:, others])
