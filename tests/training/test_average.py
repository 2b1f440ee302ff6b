"""A running average of the weights is what is validated, kept and given; training goes on with the weights."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import succeeds
from numpy.testing import assert_allclose, assert_array_equal

from gpubp import Architecture, EarlyStopping, Population, Recipe, Settings, TrainingState, get_backend, sweep, train
from gpubp.backends import Backend
from gpubp.errors import SettingsError
from gpubp.training.checkpoint import Checkpoint
from gpubp.training.history import EpochReport, History
from gpubp.training.snapshot import Snapshot

RNG = np.random.default_rng(3)
X = RNG.normal(size=(41, 3))
T = np.eye(3)[RNG.integers(0, 3, 41)]
HELD, ROWS = np.arange(11), np.arange(11, 41)
RAGGED = [np.arange(11, 41), np.arange(11, 39), np.arange(12, 41), np.arange(20, 41)]
SHAPE = Architecture(3, (5, 4), 3, "tanh", "softmax", front="scale")
DENSE = Architecture(3, (5, 4), 3, "tanh", "softmax")
DECAYS = [0.0, 0.5, 0.9, 0.99]
RATES = [0.05, 0.02, 0.1, 0.03]
ENGINES = ["array", "block", "lane"]
EPOCHS = 12


def networks(engine: str, dtype: str = "float64") -> Population:
    shape = DENSE if engine == "lane" else SHAPE
    return Population.initialize(shape, [3, 4, 5, 6], get_backend("numpy"), dtype=dtype)


def settings(**given: Any) -> Settings:
    usual = {"learning_rate": RATES, "batch_size": 8, "epochs": EPOCHS, "average": DECAYS, "dropout": 0.1}
    return Settings(**(usual | given))


def run(them: Population, chosen: Settings, engine: str, **given: Any) -> History:
    return train(them, X, T, chosen, **({"rows": RAGGED, "validation_rows": HELD, "engine": engine} | given))


# A kernel is compiled for each optimizer, with the average and without it; what it does then is the same for all.
OPTIMIZERS = [("array", name) for name in ("sgd", "momentum", "adam", "adamw", "amsgrad")]
OPTIMIZERS += [("block", "amsgrad"), ("block", "momentum"), ("lane", "sgd"), ("lane", "adamw")]


@pytest.mark.parametrize(("engine", "optimizer"), OPTIMIZERS)
def test_it_is_the_average_of_the_weights_after_each_update(engine: str, optimizer: str) -> None:
    """One batch an epoch, so that trainings of 1, 2, 3 … epochs give the weights after each update."""
    them, common = networks(engine), {"optimizer": optimizer, "batch_size": None, "l2": 0.1, "clip_norm": 0.5}
    run(them, settings(epochs=7, **common), engine)
    expected, d = networks(engine).params.copy(), np.array(DECAYS)[:, None]
    for epochs in range(1, 8):
        weights = networks(engine)
        run(weights, settings(epochs=epochs, average=None, **common), engine)
        expected = d * expected + (1 - d) * weights.params
    assert_allclose(them.params, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_average_is_an_average_of_which_nothing_stays(engine: str) -> None:
    for dtype in ("float32", "float64"):
        plain, averaged = networks(engine, dtype), networks(engine, dtype)
        expected = run(plain, settings(average=None), engine)
        found = run(averaged, settings(average=0.0), engine)
        assert_array_equal(plain.params, averaged.params)
        assert_array_equal(expected.validation_loss, found.validation_loss)
        assert_array_equal(expected.training_loss, found.training_loss)


@pytest.mark.parametrize("engine", ENGINES)
def test_training_goes_on_with_the_weights_and_validation_sees_the_average(engine: str) -> None:
    them, plain = networks(engine), networks(engine)
    averaged, usual = run(them, settings(), engine), run(plain, settings(average=None), engine)
    assert_array_equal(averaged.training_loss, usual.training_loss)
    assert averaged.validation_loss is not None
    outputs = them.predict(X[HELD])
    assert_allclose(averaged.validation_loss[-1], -np.log((outputs * T[HELD]).sum(-1)).mean(-1), rtol=1e-10)
    assert (outputs != plain.predict(X[HELD])).any(axis=(1, 2)).tolist() == [False, True, True, True]


def test_engines_agree() -> None:
    found = [networks("lane") for _ in ENGINES]
    for them, engine in zip(found, ENGINES, strict=True):
        run(them, settings(optimizer="adamw", l2=0.1), engine)
    assert_allclose(found[0].params, found[1].params, rtol=1e-9, atol=1e-11)
    assert_allclose(found[0].params, found[2].params, rtol=1e-9, atol=1e-11)


def test_every_backend_has_it(backend: Backend) -> None:
    expected, found = networks("array"), Population.initialize(SHAPE, [3, 4, 5, 6], backend, dtype="float64")
    run(expected, settings(), "array")
    run(found, settings(), "array")
    assert_allclose(backend.to_host(found.params), expected.params, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ties", ["first", "last"])
def test_the_best_epoch_is_the_averages_and_those_who_stop_leave(engine: str, ties: str) -> None:
    rule = EarlyStopping(2, 0.001, "validation_score", ties=ties)
    them = networks(engine)
    history = run(them, settings(early_stopping=rule, epochs=30), engine)
    assert len({*history.epochs}) > 1
    for p, epoch in enumerate(history.best_epoch):
        alone = networks(engine).take([p])
        chosen = settings(epochs=int(epoch) + 1, learning_rate=RATES[p], average=DECAYS[p])
        run(alone, chosen, engine, rows=RAGGED[p])
        assert_array_equal(alone.params[0], them.params[p])
    last = networks(engine)
    history = run(last, settings(early_stopping=replace(rule, restore_best=False), epochs=30), engine)
    for p, epochs in enumerate(history.epochs):
        alone = networks(engine).take([p])
        run(alone, settings(epochs=int(epochs), learning_rate=RATES[p], average=DECAYS[p]), engine, rows=RAGGED[p])
        assert_array_equal(alone.params[0], last.params[p])


STOPPING = {
    "none": None,
    "best": EarlyStopping(3, 0.001, "validation_score", ties="last"),
    "last": EarlyStopping(3, 0.001, "validation_score", restore_best=False),
    "for ever": EarlyStopping(math.inf, monitor="validation_score", ties="last"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("stopping", STOPPING)
def test_pauses_and_checkpoints_change_no_bit(engine: str, stopping: str, tmp_path: Path) -> None:
    chosen = settings(early_stopping=STOPPING[stopping], schedule="cosine")
    whole, paused = networks(engine, "float32"), networks(engine, "float32")
    expected = run(whole, chosen, engine)
    snapshot: Snapshot | None = None
    for until in (1, 4, 5, EPOCHS):
        snapshot = run(paused, chosen, engine, until=until, resume=snapshot).snapshot
        assert snapshot is not None
        assert_array_equal(snapshot.result, paused.params)
        snapshot = Snapshot.from_parts(snapshot.to_arrays(), snapshot.to_metadata())
    assert_array_equal(whole.params, paused.params)

    def kill(report: EpochReport) -> None:
        if report.epoch == 6:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        run(networks(engine, "float32"), chosen, engine, callbacks=[kill], checkpoint=Checkpoint(path, seconds=0))
    resumed = networks(engine, "float32")
    again = Checkpoint(path, resume=True)
    with pytest.raises(SettingsError, match="the average was"):
        run(networks(engine, "float32"), replace(chosen, average=None), engine, checkpoint=again)
    history = run(resumed, chosen, engine, checkpoint=again)
    assert_array_equal(whole.params, resumed.params)
    assert_array_equal(expected.validation_loss, history.validation_loss)


@pytest.mark.parametrize("engine", ENGINES)
def test_calls_that_go_on_from_each_other_are_one_training(engine: str) -> None:
    whole, pieces, state = networks(engine), networks(engine), TrainingState()
    run(whole, settings(epochs=5), engine)
    for epochs in (1, 1, 3):
        run(pieces, settings(epochs=epochs), engine, state=state)
    assert_array_equal(whole.params, pieces.params)
    with pytest.raises(SettingsError, match="holds the optimizer's mean, square, unaveraged, and"):
        run(pieces, settings(average=None), engine, state=state)
    one, alone, state = networks(engine).take([1]), networks(engine).take([1]), TrainingState()
    few = settings(epochs=1, learning_rate=0.1, average=0.9)
    for _ in range(3):  # in buffers that are used again
        run(alone, few, engine, rows=ROWS, state=state)
    run(one, replace(few, epochs=3), engine, rows=ROWS)
    assert_array_equal(one.params, alone.params)


def test_a_new_training_after_the_best_epoch_begins_with_its_weights() -> None:
    them, state = networks("array"), TrainingState()
    run(them, settings(early_stopping=EarlyStopping(3)), "array", state=state)
    assert_array_equal(state.slots["unaveraged"], them.params)


def test_large_networks_have_it_too() -> None:
    """A matrix that the block engine trains in the caller's arrays."""
    shape = Architecture(3, (464, 464), 3, "tanh", "softmax")
    found = []
    for engine in ("array", "block"):
        one = Population.initialize(shape, [1], get_backend("numpy"), dtype="float64")
        train(one, X, T, Settings(epochs=2, average=0.8, learning_rate=0.01), engine=engine, validation_rows=HELD)
        found.append(one.params)
    assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-9)


def test_a_sweep_searches_it() -> None:
    space = {"average": [None, 0.5, 0.9], "epochs": 6, "hidden": [(4,)], "learning_rate": 0.05}
    y = T.argmax(axis=1)
    found = sweep(X, y, space, n_trials=6, cv=2, engine="array")
    again = sweep(X, y, space, n_trials=2, cv=2, engine="array")
    assert {trial.parameters["average"] for trial in found.trials} == {None, 0.5, 0.9}
    for trial in again.trials:
        assert trial.score == found.trials[trial.number].score


def test_the_command_line_has_it(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,b,kind\n" + "".join(f"{i % 7},{i % 5},{'xy'[i % 7 > 3]}\n" for i in range(60)))
    found = succeeds("train", table, "--average", 0.9, "--epochs", 3, "-o", tmp_path / "m", "--json").json
    assert found["recipe"]["average"] == 0.9
    space = ("--grid", "average=0.5", "--set", "epochs=3", "--folds", 2, "-o", tmp_path / "s", "--json")
    assert "--average 0.5" in succeeds("sweep", table, *space).json["command"]


@pytest.mark.parametrize("value", [1.0, -0.1, math.nan, math.inf, "much", True])
def test_other_values_are_refused(value: Any) -> None:
    for kind in (Settings, Recipe):
        with pytest.raises(SettingsError, match="average"):
            kind(average=value)
