"""Recipes with names, from Python and from the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command_line import refused, succeeds

from gpubp import Ensemble, Model, Recipe, cross_validate, train_ensemble, train_model
from gpubp.backends import NumpyBackend
from gpubp.errors import SettingsError
from gpubp.fitting.named_recipes import NAMED_RECIPES
from gpubp.tables import Table

RANDOM = np.random.default_rng(4)
N = 90
a, b, colour = RANDOM.normal(size=N), RANDOM.lognormal(size=N), RANDOM.choice(["red", "blue", "green"], N)
FRAME = pl.DataFrame({
    "a": a,
    "colour": colour,
    "b": b,
    "kind": np.where(a + (colour == "red") > 0.5, "yes", "no"),
    "price": a * b + 3,
})  # fmt: skip
SMALL = {"hidden": (6, 5), "epochs": 4}
ARRAYS = {"backend": "numpy", "engine": "array"}


def table(target: str) -> Table:
    return Table.from_frame(FRAME.drop("price" if target == "kind" else "kind"))


@pytest.mark.parametrize("name", NAMED_RECIPES)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_recipe_is_one_for_either_task(name: str, task: str) -> None:
    recipe = Recipe.named(name).for_task(task)
    assert not recipe.by_task
    recipe.settings(task)
    changed = NAMED_RECIPES[name].by_task.get(task, {})
    for field, value in {**NAMED_RECIPES[name].fields, **changed}.items():
        assert getattr(recipe, field) == value
    assert recipe.for_task(task) is recipe


def test_a_recipe_for_either_task_reads_its_fields_as_one_for_a_single_task_does() -> None:
    recipe = Recipe.realmlp(hidden=64, clip_norm=math.inf)
    assert recipe.hidden == (64,)
    assert recipe.clip_norm is None
    assert recipe.to_dict()["hidden"] == [64]
    assert recipe.for_task("regression").hidden == (64,)
    for wrong in ({"validation": 2.0}, {"ties": "middle"}, {"monitor": "luck"}, {"hidden": 0}, {"clip_norm": -1.0}):
        with pytest.raises(SettingsError):
            Recipe.realmlp(**wrong)


def test_realmlp_is_what_its_authors_have() -> None:
    """Table A.1 of arXiv 2407.04491, as far as the fields go."""
    classes, numbers = (Recipe.realmlp().for_task(task) for task in ("classification", "regression"))
    assert (classes.activation, classes.learning_rate, classes.label_smoothing) == ("parametric_selu", 0.04, 0.1)
    assert (numbers.activation, numbers.learning_rate, numbers.label_smoothing) == ("parametric_mish", 0.2, 0.0)
    for recipe in (classes, numbers):
        assert (recipe.hidden, recipe.batch_size, recipe.epochs) == ((256, 256, 256), 256, 256)
        assert (recipe.schedule, recipe.dropout, recipe.optimizer_options["beta2"]) == ("coslog4", 0.15, 0.95)
        assert (recipe.monitor, recipe.ties, recipe.patience) == ("validation_score", "last", None)


def test_changes_are_for_every_task_and_options_one_by_one() -> None:
    recipe = Recipe.realmlp(activation="relu", layer_options={"sigma": 1.0}, seed=3)
    for task in ("classification", "regression"):
        assert recipe.for_task(task).activation == "relu"
    assert recipe.layer_options["sigma"] == 1.0
    assert recipe.layer_options["fan_in_power"] == 0.5
    assert "sigma" not in Recipe.realmlp().layer_options  # which nobody else sees


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"front": "none"}, {"layer_options": ("scale_rate", "scale_decay")}),
        ({"front": ("pbld",)}, {"layer_options": ("scale_rate", "scale_decay")}),
        ({"optimizer": "adam"}, {"optimizer_options": ("weight_decay",)}),
        ({"optimizer": "sgd"}, {"optimizer_options": ("weight_decay", "beta2")}),
    ],
)
def test_options_of_what_is_changed_go_with_it(changes: dict[str, Any], gone: dict[str, tuple[str, ...]]) -> None:
    recipe = Recipe.realmlp(**changes)
    for field, names in gone.items():
        assert {*names}.isdisjoint(getattr(recipe, field))
    assert recipe.layer_options["fan_in_power"] == 0.5
    assert not recipe.for_task("regression").idle_schedules
    fit = train_model(table("price"), "price", Recipe.realmlp(**SMALL, **changes), **ARRAYS)
    assert np.isfinite(fit.history.training_loss).all()


def test_schedules_of_nothing_go_too() -> None:
    assert Recipe.realmlp(dropout=0.0).dropout_schedule == "constant"
    assert Recipe.realmlp(optimizer_options={"weight_decay": 0.0}).decay_schedule == "constant"
    assert Recipe.realmlp().dropout_schedule == "flat_cos"


def test_a_loss_of_one_task() -> None:
    """Label smoothing is of classes alone, and so are losses of numbers of the other task."""
    huber = Recipe.realmlp(loss="huber")
    assert huber.for_task("regression").label_smoothing == 0.0
    with pytest.raises(SettingsError, match="The loss huber is for regression"):
        huber.for_task("classification").settings("classification")
    with pytest.raises(SettingsError, match="Dropout for 3 hidden layers, but this network has 1"):
        Recipe.realmlp(hidden=(4,), dropout=(0.1, 0.2, 0.3))


def test_names_that_are_none() -> None:
    with pytest.raises(SettingsError, match=r"Unknown recipe 'realmpl'\. Did you mean 'realmlp'"):
        Recipe.named("realmpl")
    with pytest.raises(TypeError, match="epoch"):
        Recipe.realmlp(epoch=3)


@pytest.mark.parametrize("target", ["kind", "price"])
def test_a_model_is_trained_by_it_saved_and_exported(target: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model = train_model(table(target), target, Recipe.realmlp(**SMALL), **ARRAYS).model
    described = model.training["recipe"]
    assert described["activation"] == ("parametric_selu" if target == "kind" else "parametric_mish")
    assert "by_task" not in described
    model.save(tmp_path / "m")
    loaded = Model.load(tmp_path / "m")
    found, again = (each.predict(table(target), NumpyBackend()) for each in (model, loaded))
    outputs = found.probabilities if target == "kind" else found.values
    np.testing.assert_array_equal(again.probabilities if target == "kind" else again.values, outputs)
    session = runtime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    given = {"numbers": np.column_stack([a, b]), "colour": colour[:, None].astype(object)}
    exported = session.run(["probabilities" if target == "kind" else "value"], given)[0]
    np.testing.assert_allclose(np.squeeze(exported), np.squeeze(outputs), rtol=1e-4, atol=1e-5)


def test_folds_and_members_are_trained_by_it(tmp_path: Path) -> None:
    recipe = Recipe.realmlp(**SMALL)
    scores = cross_validate(table("price"), "price", recipe, folds=3, **ARRAYS)
    assert len(scores.fold_scores) == 3
    ensemble = train_ensemble(table("kind"), "kind", recipe, members=2, **ARRAYS).ensemble
    ensemble.save(tmp_path / "e")
    assert Ensemble.load(tmp_path / "e").description["recipe"]["schedule"] == "coslog4"


def test_the_command_line_begins_with_it(tmp_path: Path) -> None:
    table("price").frame.write_csv(tmp_path / "t.csv")
    quick = ("--hidden", "6", "--epochs", "3", "--engine", "array", "-o", tmp_path / "m", "--json")
    command = ("train", tmp_path / "t.csv", "--target", "price", "--recipe", "realmlp", *quick)
    recipe = succeeds(*command).json["recipe"]
    assert (recipe["hidden"], recipe["epochs"], recipe["activation"]) == ([6], 3, "parametric_mish")
    given = (
        "--activation",
        "relu",
        "--layer-option",
        "sigma=2",
        "--optimizer-option",
        "beta2=0.9",
        "--scale",
        "robust",
    )
    recipe = succeeds(*command, *given, "--patience", 2).json["recipe"]
    assert (recipe["activation"], recipe["patience"]) == ("relu", 2)
    assert recipe["layer_options"]["sigma"] == 2.0
    assert recipe["layer_options"]["scale_rate"] == 6.0
    assert recipe["optimizer_options"] == {"beta2": 0.9, "weight_decay": 0.02}
    (tmp_path / "c.toml").write_text("[train]\nrecipe = 'realmlp'\ndropout = '0.3'\n", encoding="utf-8")
    from_file = succeeds(*command[:4], "--config", tmp_path / "c.toml", *quick).json["recipe"]
    assert (from_file["dropout"], from_file["schedule"]) == (0.3, "coslog4")
    none = succeeds(*command, "--dropout", "0", "--front", "none").json["recipe"]
    assert (none["dropout"], none.get("dropout_schedule"), none.get("front")) == (0.0, None, None)
    refused(tmp_path, *command[:4], "--recipe", "realmpl", words=("Unknown recipe 'realmpl'", "'realmlp'"))


def test_what_is_said_by_default_changes_nothing(tmp_path: Path) -> None:
    """An option given with the value that it has by default is given all the same."""
    table("kind").frame.write_csv(tmp_path / "t.csv")
    command = (
        "train",
        tmp_path / "t.csv",
        "--target",
        "kind",
        "--recipe",
        "realmlp",
        "--epochs",
        2,
        "--engine",
        "array",
    )
    recipe = succeeds(*command, "-o", tmp_path / "m", "--hidden", "64", "--json").json["recipe"]
    assert recipe["hidden"] == [64]
    plain = json.loads(json.dumps(Recipe().to_dict()))
    assert succeeds(*command[:4], "--epochs", 2, "-o", tmp_path / "n", "--json").json["recipe"] == plain | {"epochs": 2}
