"""A training that pauses and goes on is the training without a pause, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpubp.backends import get_backend
from gpubp.errors import SettingsError
from gpubp.networks.population import Population
from gpubp.networks.settings import EarlyStopping, Settings
from gpubp.networks.state import TrainingState
from gpubp.operations.architecture import Architecture
from gpubp.training.history import History
from gpubp.training.loop import train
from gpubp.training.snapshot import Snapshot

RNG = np.random.default_rng(17)
X = RNG.normal(size=(70, 5))
T = np.eye(3)[(X[:, 0] + RNG.normal(size=70) > 0).astype(int) + (X[:, 1] > 0.5)]
SHAPE = Architecture(5, (7,), 3, "tanh", "softmax")
ROWS = [np.arange(40), np.arange(50), np.arange(13, 50), np.arange(1, 41)]
HELD = [np.arange(50, 70), np.arange(55, 70), np.arange(50, 60), np.arange(50, 70)]
STOPPING = EarlyStopping(patience=2, tolerance=0.01)
CASES: dict[str, dict[str, Any]] = {
    "plain": {"optimizer": "adam"},
    "momentum": {"optimizer": "momentum", "l2": [0.0, 0.1, 0.2, 0.3]},
    "sgd": {"optimizer": "sgd", "clip_norm": 0.5},
    "dropout": {"optimizer": "rmsprop", "dropout": 0.3},
    "cosine": {"optimizer": "adamw", "schedule": "cosine"},
    "schedules": {
        "optimizer": "adamw", "l2": 0.1, "dropout": 0.3, "label_smoothing": [0.0, 0.1, 0.1, 0.3],
        "dropout_schedule": "flat_cos", "decay_schedule": "cosine", "smoothing_schedule": "coslog4",
        "early_stopping": STOPPING,
    },
    "one cycle": {"optimizer": "nesterov", "schedule": "one_cycle", "batch_size": None},
    "stopping": {"early_stopping": STOPPING},
    "stopping, last weights": {"early_stopping": EarlyStopping(patience=2, tolerance=0.01, restore_best=False)},
    "adaptive": {"optimizer": "sgd", "schedule": "adaptive", "early_stopping": STOPPING},
    "lost": {"optimizer": "sgd", "learning_rate": [0.05, 1e30, 0.05, 0.05], "early_stopping": STOPPING},
}  # fmt: skip
EPOCHS = 12


def fresh() -> Population:
    return Population.initialize(SHAPE, [3, 4, 5, 6], get_backend("numpy"))


def settings(case: str, epochs: int = EPOCHS) -> Settings:
    return Settings(**({"learning_rate": [0.05, 0.3, 1e-5, 0.1], "batch_size": 8, "epochs": epochs} | CASES[case]))


def run(population: Population, case: str, **given: Any) -> History:
    return train(population, X, T, settings(case), rows=ROWS, validation_rows=HELD, **given)


def same(one: History, other: History) -> None:
    for name in ("training_loss", "validation_loss", "validation_score", "epochs", "best_epoch", "diverged_epoch"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.engine == other.engine


@pytest.mark.parametrize("case", CASES)
def test_pauses_change_no_bit(case: str, engine: str) -> None:
    whole, paused = fresh(), fresh()
    expected = run(whole, case, engine=engine)
    snapshot: Snapshot | None = None
    for until in (1, 4, 5, 9, EPOCHS):
        history = run(paused, case, engine=engine, until=until, resume=snapshot)
        snapshot = history.snapshot
        assert snapshot is not None
        assert snapshot.epoch == until
        np.testing.assert_array_equal(snapshot.result, paused.params)
    np.testing.assert_array_equal(paused.params, whole.params)
    same(history, expected)
    if case in ("schedules", "stopping", "adaptive", "lost"):
        assert len(set(expected.epochs)) > 1, "nobody left early: the case shows nothing"


@pytest.mark.parametrize("case", ["plain", "adaptive"])
def test_a_pause_gives_what_a_shorter_training_gives(case: str) -> None:
    short, paused = fresh(), fresh()
    train(short, X, T, settings(case, epochs=5), rows=ROWS, validation_rows=HELD, engine="array")
    run(paused, case, engine="array", until=5)
    np.testing.assert_array_equal(paused.params, short.params)


@pytest.mark.parametrize("case", ["stopping", "one cycle"])
def test_networks_may_leave_and_join_in_a_pause(case: str) -> None:
    """Each network alone, from one snapshot's parts; and parts joined again."""
    whole, paused = fresh(), fresh()
    run(whole, case, engine="array")
    given = settings(case)
    rates = np.array([0.05, 0.3, 1e-5, 0.1])
    snapshot = run(paused, case, engine="array", until=4).snapshot
    assert snapshot is not None
    for chosen in ([2], [3, 0]):
        part = paused.take(chosen)
        own = Settings(**{**vars(given), "learning_rate": rates[chosen]})
        train(
            part, X, T, own, rows=[ROWS[p] for p in chosen], validation_rows=[HELD[p] for p in chosen],
            engine="array", resume=snapshot.take(np.array(chosen)),
        )  # fmt: skip
        np.testing.assert_array_equal(part.params, whole.params[chosen])
    joined = Snapshot.join([snapshot.take(np.array([p])) for p in range(4)])
    again = fresh()
    run(again, case, engine="array", resume=joined)
    np.testing.assert_array_equal(again.params, whole.params)


def test_a_snapshot_comes_through_a_file_whole() -> None:
    whole = fresh()
    expected = run(whole, "adaptive", engine="array")
    snapshot = run(fresh(), "adaptive", engine="array", until=6).snapshot
    assert snapshot is not None
    read = Snapshot.from_parts(snapshot.to_arrays(), snapshot.to_metadata())
    again = fresh()
    same(run(again, "adaptive", resume=read), expected)
    np.testing.assert_array_equal(again.params, whole.params)


def test_a_state_and_a_snapshot_go_together() -> None:
    """A second training after a first, with a pause in the second."""
    states = TrainingState(), TrainingState()
    whole, paused = fresh(), fresh()
    for population, state in zip((whole, paused), states, strict=True):
        run(population, "plain", engine="array", state=state)
    begun = TrainingState(states[1].epoch, states[1].updates, dict(states[1].slots), states[1].rate_factor)
    run(whole, "plain", engine="array", state=states[0])
    snapshot = run(paused, "plain", engine="array", state=states[1], until=5).snapshot
    run(paused, "plain", engine="array", state=begun, resume=snapshot)
    np.testing.assert_array_equal(paused.params, whole.params)
    assert begun.epoch == states[0].epoch == 2 * EPOCHS
    np.testing.assert_array_equal(begun.updates, states[0].updates)


def test_what_cannot_be_resumed_is_refused() -> None:
    snapshot = run(fresh(), "plain", engine="array", until=5).snapshot
    assert snapshot is not None
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("plain", {"engine": "block"}, "by the engine array, and another would not give the same bits"),
        ("sgd", {}, "kept the optimizer's mean, square, with validation; this one keeps nothing"),
    ]
    for case, given, message in cases:
        with pytest.raises(SettingsError, match=message):
            run(fresh(), case, resume=snapshot, **given)
    with pytest.raises(SettingsError, match="with validation; this one keeps mean, square, without validation"):
        train(fresh(), X, T, settings("plain"), rows=ROWS, resume=snapshot)
    with pytest.raises(SettingsError, match=r"of parameters \(4, 66\) in float32, and this population has \(1, 66\)"):
        train(fresh().take([0]), X, T, Settings(epochs=9), resume=snapshot)
    with pytest.raises(SettingsError, match="after epoch 5, and this training has 4"):
        train(fresh(), X, T, settings("plain", 4), rows=ROWS, validation_rows=HELD, resume=snapshot)
    with pytest.raises(SettingsError, match="pause after one of the 12 epochs"):
        run(fresh(), "plain", until=13)
