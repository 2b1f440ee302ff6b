"""Which epoch early stopping keeps: the first or the last of equally good ones, with patience that may never end."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from command_line import gpubp, succeeds
from numpy.testing import assert_array_equal

from gpubp import Architecture, EarlyStopping, Population, Recipe, Settings, get_backend, train
from gpubp.errors import SettingsError
from gpubp.training.checkpoint import Checkpoint
from gpubp.training.history import EpochReport
from gpubp.training.snapshot import Snapshot

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
T = np.eye(2)[(X[:, 0] + 0.5 * rng.normal(size=60) > 0).astype(int)]
HELD, ROWS = np.arange(12), np.arange(12, 60)  # few rows: many epochs have the same accuracy
BACKEND = get_backend("numpy")
SETTINGS = {"epochs": 30, "learning_rate": 0.01, "batch_size": 16}


def networks() -> Population:
    return Population.initialize(Architecture(3, (6,), 2, "relu", "softmax"), [1, 2, 3], BACKEND)


def kept(engine: str, **rule: object) -> tuple[Population, np.ndarray, np.ndarray]:
    """The networks, (P,) their best epochs and (E, P) their accuracies."""
    them = networks()
    settings = Settings(early_stopping=EarlyStopping(monitor="validation_score", **rule), **SETTINGS)  # type: ignore[arg-type]
    history = train(them, X, T, settings, rows=ROWS, validation_rows=HELD, engine=engine)
    assert history.validation_score is not None
    return them, history.best_epoch, history.validation_score


@pytest.mark.parametrize("engine", ["array", "block", "lane"])
def test_the_first_or_the_last_of_equally_good_epochs_is_kept(engine: str) -> None:
    first, early, scores = kept(engine, patience=None)
    last, late, again = kept(engine, patience=math.inf, ties="last")
    assert_array_equal(scores, again)
    assert_array_equal(early, scores.argmax(axis=0))
    assert_array_equal(late, len(scores) - 1 - scores[::-1].argmax(axis=0))
    assert (late > early).any()
    for them, epochs in ((first, early), (last, late)):
        for p, epoch in enumerate(epochs):
            shorter = networks().take([p])
            train(shorter, X, T, Settings(**{**SETTINGS, "epochs": int(epoch) + 1}), rows=ROWS, engine=engine)
            np.testing.assert_allclose(them.params[p], shorter.params[0], rtol=1e-4, atol=1e-5)


def test_infinite_patience_trains_every_epoch() -> None:
    for restore_best in (True, False):
        rule = EarlyStopping(math.inf, 1e9, "validation_score", restore_best)
        assert rule.patience is None
        history = train(networks(), X, T, Settings(early_stopping=rule, **SETTINGS), rows=ROWS, validation_rows=HELD)
        assert (history.epochs == 30).all()


@pytest.mark.parametrize("ties", ["first", "last"])
def test_a_pause_and_a_checkpoint_change_no_bit(ties: str, tmp_path: Path) -> None:
    rule = EarlyStopping(9, 0.02, "validation_score", ties=ties)
    settings = Settings(early_stopping=rule, **SETTINGS)
    common = {"rows": ROWS, "validation_rows": HELD, "engine": "array"}
    whole, paused, resumed = networks(), networks(), networks()
    history = train(whole, X, T, settings, **common)
    first = train(paused, X, T, settings, until=5, **common)
    assert isinstance(first.snapshot, Snapshot)
    second = train(paused, X, T, settings, resume=first.snapshot, **common)
    assert_array_equal(whole.params, paused.params)
    assert_array_equal(history.best_epoch, second.best_epoch)
    path = tmp_path / "checkpoint"

    def kill(report: EpochReport) -> None:
        if report.epoch == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(networks(), X, T, settings, callbacks=[kill], checkpoint=Checkpoint(path, seconds=0), **common)
    third = train(resumed, X, T, settings, checkpoint=Checkpoint(path, resume=True), **common)
    assert_array_equal(whole.params, resumed.params)
    assert_array_equal(history.best_epoch, third.best_epoch)


def test_recipes_pass_it_on() -> None:
    recipe = Recipe(early_stopping=True, patience=math.inf, monitor="validation_score", ties="last")
    assert recipe.settings("classification").early_stopping == EarlyStopping(
        None, monitor="validation_score", ties="last"
    )
    assert (recipe.to_dict()["patience"], recipe.to_dict()["ties"]) == (None, "last")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ties": "latest"}, "Unknown ties 'latest'"),
        ({"monitor": "accuracy"}, "Unknown monitor 'accuracy'"),
        ({"patience": -math.inf}, "Patience -inf"),
        ({"patience": math.nan}, "Patience nan"),
        ({"patience": 2.5}, "Patience 2.5"),
        ({"patience": "inf"}, "Patience 'inf'"),
    ],
)
def test_other_values_are_refused(given: dict[str, object], message: str) -> None:
    for kind in (EarlyStopping, Recipe):
        with pytest.raises(SettingsError, match=message):
            kind(**given)  # type: ignore[arg-type]


def test_the_command_line_has_it(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,b,kind\n" + "".join(f"{i % 7},{i % 5},{'xy'[i % 7 > 3]}\n" for i in range(60)))
    options = ("--early-stopping", "--patience", "inf", "--monitor", "validation_score", "--ties", "last")
    found = succeeds("train", table, "--epochs", 25, *options, "-o", tmp_path / "m", "--json").json
    recipe = found["recipe"]
    assert (recipe["patience"], recipe["monitor"], recipe["ties"]) == (None, "validation_score", "last")
    assert (found["epochs"], found["stopped_early"]) == (25, False)
    for words in (options[3:], options[1:3], ("--early-stopping", "--patience", "long")):
        assert gpubp("train", table, *words).code == 2
    space = ("--set", "early-stopping=true", "--set", "patience=inf", "--grid", "ties=first;last", "--set", "epochs=3")
    command = succeeds("sweep", table, *space, "--folds", 2, "-o", tmp_path / "s", "--json").json["command"]
    assert "--patience inf" in command
    assert "--ties" in command
