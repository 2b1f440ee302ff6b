"""Dropout: which values are dropped, the gradient of what is left, and what it must not touch."""

from __future__ import annotations

import finite_differences
import numpy as np
import pytest

from gpubp.backends import NumpyBackend
from gpubp.errors import SettingsError
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.operations.dropout import Dropout
from gpubp.operations.losses import LOSSES
from gpubp.operations.network import Tape, loss_and_gradient
from gpubp.training.loop import train

BACKEND = NumpyBackend()
RNG = np.random.default_rng(3)
X, T = RNG.normal(size=(50, 4)), np.eye(3)[RNG.integers(0, 3, 50)]
SHAPE = Architecture(4, (9, 6), 3, "tanh", "softmax")


def keep_factors(shares: np.ndarray, places: range, epoch: int = 0, neurons: range = range(8)) -> np.ndarray:
    seeds = network_seeds(1, len(shares))
    dropout = Dropout.of(BACKEND, seeds, shares[:, None], np.float64)
    return dropout.keep_factors(np, 0, neurons, epoch, places, np.float64)


def test_the_share_dropped_and_the_mean_kept() -> None:
    shares = np.array([0.0, 0.1, 0.5, 0.9])
    keep = keep_factors(shares, range(4000), neurons=range(25))
    dropped = (keep == 0).mean(axis=(1, 2))
    assert dropped[0] == 0
    np.testing.assert_allclose(dropped, shares, atol=4 * np.sqrt(0.25 / 1e5))  # four standard deviations
    np.testing.assert_allclose(keep.max(axis=(1, 2)), 1 / (1 - shares))
    # rows, neurons and networks go their own ways
    half = keep[2] != 0
    assert abs(np.corrcoef(half[:, 0], half[:, 1])[0, 1]) < 0.07
    assert abs(np.corrcoef(half[:-1, 0], half[1:, 0])[0, 1]) < 0.07
    assert (half.any(axis=1)).all()


def test_masks_depend_on_the_place_alone_not_on_the_batch() -> None:
    shares = np.array([0.5, 0.3])
    whole = keep_factors(shares, range(23))
    for start in range(23):
        for stop in range(start + 1, 23, 5):
            np.testing.assert_array_equal(keep_factors(shares, range(start, stop)), whole[:, start:stop])
    np.testing.assert_array_equal(keep_factors(shares[:1], range(23), neurons=range(3, 5)), whole[:1, :, 3:5])
    assert (keep_factors(shares, range(23), epoch=1) != whole).any()


@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu"])
def test_the_gradient_with_a_mask(activation: str) -> None:
    shape = Architecture(4, (9, 6), 3, activation, "softmax")
    networks = Population.initialize(shape, [5, 6], BACKEND, dtype="float64")
    shares = np.array([[0.5, 0.2], [0.3, 0.0]])
    dropout = Dropout.of(BACKEND, networks.seeds, shares, np.float64)
    tape = Tape(BACKEND, shape, 2, 7, np.float64)
    tape.drop(BACKEND, [dropout.keep_factors(np, i, shape.neurons(i), 3, range(7), np.float64) for i in range(2)])
    grads = np.zeros_like(networks.params)

    def loss(flat: np.ndarray) -> float:
        views, d_views = shape.views(flat), shape.views(grads)
        losses = tape.loss
        loss_and_gradient(BACKEND, shape, LOSSES["cross_entropy"], views, X[:7], T[:7], 1.0 / 7, tape, d_views, losses)
        return float(losses.mean(axis=1).sum())

    loss(networks.params)
    found = grads.copy()
    finite_differences.assert_close(found, finite_differences.numerical_gradient(loss, networks.params.copy()))


def test_validation_and_prediction_drop_nothing(engine: str) -> None:
    networks = Population.initialize(SHAPE, [1], BACKEND, dtype="float64")
    settings = Settings(epochs=1, batch_size=50, dropout=0.6, learning_rate=1e-12)
    history = train(networks, X, T, settings, validation_rows=np.arange(50), engine=engine)
    Y = networks.predict(X)[0]
    exact = -np.log(Y[T == 1]).mean()
    assert history.validation_loss is not None
    assert history.validation_loss[0, 0] == pytest.approx(exact, rel=1e-9)
    assert abs(history.training_loss[0, 0] - exact) > 1e-3  # the training loss is that of the thinned network


def test_dropout_that_does_not_fit() -> None:
    for wrong in (-0.1, 1.0, [0.2, float("nan")]):
        with pytest.raises(SettingsError, match="dropout"):
            Settings(dropout=wrong)
    networks = Population.initialize(SHAPE, [1], BACKEND)
    with pytest.raises(SettingsError, match="Dropout for 3 hidden layers, but this network has 2"):
        train(networks, X, T, Settings(dropout=[0.1, 0.2, 0.3]))
    with pytest.raises(SettingsError, match=r"Dropout of shape \(2, 2\) for 1 networks with 2 hidden layers"):
        train(networks, X, T, Settings(dropout=np.full((2, 2), 0.1)))
