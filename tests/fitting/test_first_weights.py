"""Jobs whose first weights look at their training rows: each at its own, alone as among others, resumed as begun."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import gpubp, succeeds
from numpy.testing import assert_array_equal

from gpubp import Architecture, Recipe, Settings, cross_validate, get_backend, sweep, train_ensemble, train_model
from gpubp.errors import SettingsError
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.job import Job, Sheet, population_key

BACKEND = get_backend("numpy")
RNG = np.random.default_rng(5)
X = RNG.normal(size=(90, 4)) * [1.0, 30.0, 0.2, 1.0]
Y = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-0.4, 0.4])]
TABLE = np.column_stack([X, np.digitize(X[:, 0], [-0.4, 0.4])])
RECIPE = Recipe(hidden=(8, 5), epochs=4, learning_rate=0.01, initializer="data_dependent", activation="selu")


def job(seed: int, sheet: Sheet, rows: np.ndarray | None, **given: object) -> Job:
    shape = Architecture(4, (8, 5), 3, "selu", "softmax")
    return replace(Job(shape, Settings(), np.dtype("float32"), "data_dependent", seed, sheet, rows), **given)  # type: ignore[arg-type]


def test_each_job_looks_at_the_rows_that_it_trains_on() -> None:
    T = np.eye(3)[RNG.integers(0, 3, 90)]
    one, two = Sheet.plain(X, T), Sheet.plain(2.0 * X + 1.0, T)
    jobs = [job(3, one, None), job(3, one, np.arange(40)), job(3, two, np.arange(40)), job(4, one, np.arange(30, 70))]
    among = Cohort.start(jobs, BACKEND).population.params
    for p, each in enumerate(jobs):
        assert_array_equal(Cohort.start([each], BACKEND).population.params[0], among[p])
    assert len({each.tobytes() for each in among}) == 4
    zero = [replace(each, zero_last_layer=True) for each in jobs]
    assert (Cohort.start(zero, BACKEND).population.params[:, -18:] == 0).all()
    assert population_key(zero[0]) != population_key(jobs[0])


@pytest.mark.parametrize("strategy", ["random", "halving"])
def test_a_sweep_trains_as_a_smaller_one_does(strategy: str) -> None:
    space = {"hidden": [(8,)], "initializer": ["data_dependent"], "zero_last_layer": [True, False], "epochs": 9}
    space |= {"learning_rate": [0.01], "activation": ["selu"]}
    many = sweep(X, Y, space, n_trials=6, cv=3, engine="array", strategy=strategy)
    few = sweep(X, Y, space, n_trials=2, cv=3, engine="array")
    for trial in few.trials:
        assert trial.parameters == many.trials[trial.number].parameters
        if strategy == "random":
            assert trial.score == many.trials[trial.number].score
    zero = next(each for each in many.trials if each.parameters["zero_last_layer"])
    assert_array_equal(many.refit(zero).coefs_[0], many.refit(zero).coefs_[0])


def test_models_ensembles_and_folds_have_it() -> None:
    recipe = replace(RECIPE, zero_last_layer=True, early_stopping=True)
    fit = train_model(TABLE, recipe=recipe, task="classification", engine="array")
    assert fit.model.training["recipe"]["initializer"] == "data_dependent"
    assert fit.model.training["recipe"]["zero_last_layer"] is True
    again = train_model(TABLE, recipe=recipe, task="classification", engine="array")
    assert_array_equal(fit.model.params, again.model.params)
    team = train_ensemble(TABLE, None, recipe, members=2, bootstrap=True, task="classification", engine="array")
    assert len(team.ensemble.members[0].names) == 2
    assert len(cross_validate(TABLE, recipe=recipe, task="classification", folds=3, engine="array").fold_scores) == 3


def test_deep_narrow_networks_learn_from_the_start() -> None:
    """Twelve layers of logistic neurons, which usual weights leave at the baseline."""
    recipe = replace(RECIPE, hidden=(16,) * 12, activation="logistic", epochs=30)
    losses = [
        train_model(TABLE, recipe=each, task="classification", engine="array").history.training_loss[-1, 0]
        for each in (recipe, replace(recipe, initializer="auto"))
    ]
    assert losses[0] < 0.8 * losses[1]


def test_the_command_line_has_it(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,b,kind\n" + "".join(f"{i % 7},{i % 5},{'xy'[i % 7 > 3]}\n" for i in range(60)))
    options = ("--initializer", "data_dependent", "--zero-last-layer", "--epochs", 3)
    recipe = succeeds("train", table, *options, "-o", tmp_path / "m", "--json").json["recipe"]
    assert (recipe["initializer"], recipe["zero_last_layer"]) == ("data_dependent", True)
    assert "data_dependent" in gpubp("train", table, "--initializer", "lsuv").err
    space = ("--grid", "initializer=data_dependent", "--set", "zero-last-layer=true", "--set", "epochs=3")
    command = succeeds("sweep", table, *space, "--folds", 2, "-o", tmp_path / "s", "--json").json["command"]
    assert "--initializer data_dependent" in command
    assert "--zero-last-layer" in command


def test_other_values_are_refused() -> None:
    with pytest.raises(SettingsError, match="zero_last_layer 1: give True or False"):
        Recipe(zero_last_layer=1)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="zero_last_layer: 'yes': give True or False"):
        sweep(X, Y, {"zero_last_layer": ["yes"]}, n_trials=1)
