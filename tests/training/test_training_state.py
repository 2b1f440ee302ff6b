"""Going on from where a training stopped, and rates that fall on a plateau."""

from __future__ import annotations

import numpy as np
import pytest

from gpubp.backends import get_backend
from gpubp.errors import SettingsError
from gpubp.networks.population import Population
from gpubp.networks.settings import EarlyStopping, Settings
from gpubp.networks.state import TrainingState
from gpubp.operations.architecture import Architecture
from gpubp.training.loop import train

RNG = np.random.default_rng(7)
X = RNG.normal(size=(61, 5))
T = np.eye(3)[RNG.integers(0, 3, size=61)]
SHAPE = Architecture(5, (7,), 3, "tanh", "softmax")
ROWS = [np.arange(40), np.arange(61), np.arange(13, 50)]


def fresh(dtype: str = "float32") -> Population:
    return Population.initialize(SHAPE, [3, 4, 5], get_backend("numpy"), dtype=dtype)


@pytest.mark.parametrize("optimizer", ["adam", "nesterov", "rmsprop", "sgd"])
def test_two_calls_are_one_call_to_the_bit(engine: str, optimizer: str) -> None:
    settings = {"optimizer": optimizer, "learning_rate": 0.02, "batch_size": 8, "l2": 0.1}
    whole, parts = fresh(), fresh()
    train(whole, X, T, Settings(epochs=7, **settings), rows=ROWS, engine=engine)
    state = TrainingState()
    for epochs in (2, 1, 4):
        train(parts, X, T, Settings(epochs=epochs, **settings), rows=ROWS, engine=engine, state=state)
    np.testing.assert_array_equal(parts.params, whole.params)
    assert state.epoch == 7
    assert state.updates.tolist() == [7 * 5, 7 * 8, 7 * 5]


def test_a_state_is_of_its_population_and_optimizer() -> None:
    state = TrainingState()
    train(fresh(), X, T, Settings(epochs=1), engine="array", state=state)
    with pytest.raises(SettingsError, match="mean, square, and this optimizer keeps velocity"):
        train(fresh(), X, T, Settings(epochs=1, optimizer="momentum"), engine="array", state=state)
    other = Population.initialize(SHAPE, [1], get_backend("numpy"))
    with pytest.raises(SettingsError, match=r"mean has the shape \(3, 66\), and this population needs \(1, "):
        train(other, X, T, Settings(epochs=1), engine="array", state=state)


def test_the_state_of_networks_that_stopped_early_is_kept() -> None:
    state = TrainingState()
    stopping = EarlyStopping(patience=1, tolerance=0.05, monitor="training_loss")
    rates = [1e-5, 0.05, 0.02]  # the first one hardly learns, and stops
    history = train(
        fresh(), X, T, Settings(epochs=12, learning_rate=rates, early_stopping=stopping), engine="array", state=state
    )
    assert history.epochs[0] < history.epochs[1]
    assert state.epoch == history.epochs.max()
    assert (state.updates == history.epochs * 2).all()
    assert all(np.abs(slot).sum(axis=1).all() for slot in state.slots.values())


def test_adaptive_divides_the_rate_where_others_would_stop(engine: str) -> None:
    stopping = EarlyStopping(patience=1, tolerance=1e9, monitor="training_loss", restore_best=False)
    options = {"optimizer": "sgd", "learning_rate": [0.1, 1e-7, 0.01], "batch_size": 61, "l2": 0.01}
    state = TrainingState()
    slowed = fresh("float64")
    settings = Settings(epochs=9, schedule="adaptive", early_stopping=stopping, **options)
    history = train(slowed, X, T, settings, engine=engine, state=state)
    # epoch 3 is one too many, then every second one: rates fall after epochs 3, 5, 7, 9; the low one stops at once
    assert history.epochs.tolist() == [9, 3, 9]
    np.testing.assert_allclose(state.rate_factor, [0.2**4, 1.0, 0.2**4])

    by_hand = fresh("float64")
    for done in range(9):
        rate = 0.2 ** max(0, (done - 1) // 2) * np.array(options["learning_rate"])
        still = Settings(epochs=1, **(options | {"learning_rate": rate, "batch_size": 61}))
        train(by_hand, X, T, still, engine=engine, state=TrainingState(epoch=done, updates=np.full(3, done),
              rate_factor=np.ones(3)))  # fmt: skip
    np.testing.assert_allclose(slowed.params[[0, 2]], by_hand.params[[0, 2]], rtol=1e-9, atol=1e-12)


def test_adaptive_needs_a_plateau_rule() -> None:
    with pytest.raises(SettingsError, match="adaptive lowers the rate where early stopping would stop"):
        Settings(schedule="adaptive")


def test_a_state_from_before_the_first_epochs_end_is_checked_too() -> None:
    """Ctrl-C in the first epoch leaves a state of epoch 0 that is not fresh."""
    state = TrainingState(updates=np.array([2]), slots={"mean": np.zeros((1, 5)), "square": np.zeros((1, 5))},
                          rate_factor=np.ones(1))  # fmt: skip
    with pytest.raises(SettingsError, match=r"mean has the shape \(1, 5\), and this population needs \(3, 66\)"):
        train(fresh(), X, T, Settings(epochs=1), engine="array", state=state)
