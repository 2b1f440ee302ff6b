"""What a sweep's refit says of itself is what it was trained with, and trains the same network again."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier

from gpubp import MLPClassifier, MLPRegressor, Recipe, sweep
from gpubp.backends.interruption import Interruption
from gpubp.errors import SettingsError
from gpubp.estimators.swept import SweptClassifier, SweptRegressor
from gpubp.estimators.translation import TRANSLATIONS, parameters_of, recipe_of_parameters
from gpubp.fitting.array_data import ArrayData
from gpubp.networks.settings import Settings
from gpubp.operations.initializers import INITIALIZERS
from gpubp.operations.layer_kinds import FRONT
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.parametric import PARAMETRIC
from gpubp.operations.registry import OPTIONS, kind_of_option, owners
from gpubp.operations.schedules import SCHEDULES
from gpubp.search.space.parameters import NAMES
from gpubp.tables import Table

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3)) * [1.0, 20.0, 0.1] + [0.0, 300.0, 5.0]
THREE = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-0.4, 0.4])]
TWO = X[:, 0] > 0
VALUES = X[:, 0] * 1000 + X[:, 1]
DEFAULTS = ArrayData.of(np.zeros((2, 1)), [0.5, 1.5], None).defaults
BASE = {"hidden": (4,), "epochs": 4, "learning_rate": 0.02}

VARIED: dict[str, list[Any]] = {
    "hidden": [(), (5,), (4, 3)],
    "activation": ["tanh", ("silu", "silu")],
    "loss": ["cross_entropy"],
    "initializer": sorted({"auto", *INITIALIZERS} - {"tutorial"}),
    "zero_last_layer": [True],
    "even_batches": [True],
    "average": [0.5],
    "optimizer": list(OPTIMIZERS),
    "learning_rate": [0.3],
    "l2": [0.5],
    "clip_norm": [0.01],
    "schedule": list(SCHEDULES),
    "dropout": [0.3, (0.1, 0.5)],
    "label_smoothing": [0.3],
    "dropout_schedule": ["flat_cos", "coslog4"],
    "decay_schedule": ["cosine"],
    "smoothing_schedule": ["coslog4"],
    "batch_size": [None, 7, 1000],
    "epochs": [9],
    "shuffle": [False],
    "early_stopping": [True],
    "patience": [1, None],
    "monitor": ["validation_score", "training_loss"],
    "ties": ["last"],
    "validation": [0.4],
    "scale": ["minmax", "none"],
    "target_scale": ["standard"],  # these four are for tables
    "category_encoding": ["one_hot"],
    "missing_numbers": ["median"],
    "clip_predictions": [False],
    "dtype": ["float64"],
    "momentum": [0.5],
    "beta1": [0.5],
    "beta2": [0.5],
    "epsilon": [0.1],
    "weight_decay": [0.3],
    "decay": [0.3],
    "power": [2.0],
    "every": [2.0],
    "factor": [0.5],
    "floor": [0.5],
    "warmup": [0.7],
    "start": [0.5],
    "least": [0.01],
    "flat": [0.2],
    "cycles": [2.0],
    "delta": [0.3],
    "front": ["scale"],
    "scale_rate": [2.0],
    "scale_decay": [0.5],
    "bias_rate": [0.1],
    "first_rate": [3.0],
    "fan_in_power": [0.5],
    "periodic_rate": [0.5],
    "periodic_decay": [2.0],
    "sigma": [1.0],
    "embedding_rate": [2.0],
    "embedding_decay": [0.5],
    "embedding_sigma": [0.3],
    "slope_rate": [0.5],
    "slope_decay": [2.0],
}
"""For each option that a space may name, values other than its default, as far as arrays take them."""
LOSS_OPTIONS = [name for name in VARIED if kind_of_option(name) == "loss"]


def configuration(name: str, value: Any) -> dict[str, Any]:
    """One in which the option has a say."""
    chosen = BASE | {name: value}
    if isinstance(value, tuple) and name in ("dropout", "activation"):
        chosen["hidden"] = (4, 3)
    if name == "dropout":
        chosen["hidden"] = (8,) * (len(value) if isinstance(value, tuple) else 1)
    kind = kind_of_option(name)
    if kind is not None:
        owner = owners(kind, name)[0]
        if owner == "parametric":
            chosen["activation"] = "parametric_mish"
        elif owner != "dense":  # layers that every network has
            chosen["front" if kind == "layer" else kind] = owner
    if name.endswith("_schedule"):
        chosen |= {"dropout": 0.3, "l2": 0.1} | ({"label_smoothing": 0.2} if name == "smoothing_schedule" else {})
    if name in ("patience", "validation", "monitor", "ties") or chosen.get("schedule") == "adaptive":
        chosen["early_stopping"] = True
    return chosen


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.coefs_, other.coefs_, strict=True))


def test_every_option_of_a_space_is_tried_here() -> None:
    assert set(VARIED) == set(NAMES)


def test_every_option_of_recipes_and_settings_is_translated() -> None:
    translated = {name for each in TRANSLATIONS for name in each.options}
    recipe = {field.name for field in dataclasses.fields(Recipe)} - {"by_task"}  # a trial knows its task
    assert translated == recipe
    assert {field.name for field in dataclasses.fields(Settings)} <= translated


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_no_option_is_lost_on_the_way_to_parameters_and_back(name: str, task: str) -> None:
    from gpubp.search.space.parameters import recipe_of

    kind = SweptClassifier if task == "classification" else SweptRegressor
    for value in VARIED[name]:
        if name in (("label_smoothing", "smoothing_schedule", "loss") if task == "regression" else LOSS_OPTIONS):
            continue
        recipe = recipe_of(configuration(name, value), seed=2**60 + 3, **DEFAULTS)
        estimator = clone(kind(**parameters_of(recipe, task)))
        if recipe.activation in PARAMETRIC:  # which no estimator can hold: it is said as soon as it is to be trained
            with pytest.raises(ValueError, match="activation"):
                estimator._validate_params()
        else:
            estimator._validate_params()
        again = recipe_of_parameters(estimator.get_params(), task)
        assert again.settings(task) == dataclasses.replace(
            recipe.settings(task),
            optimizer_options=recipe.settings(task).all_optimizer_options(),
            schedule_options=recipe.settings(task).all_schedule_options(),
        )
        assert again.architecture(3, 2, task) == recipe.architecture(3, 2, task)
        same_fields = ("initializer", "scale", "target_scale", "clip_predictions", "seed", "dtype", "early_stopping")
        for field in (*same_fields, "validation_share"):
            assert getattr(again, field) == getattr(recipe, field)


@pytest.mark.parametrize("name", NAMES)
def test_a_refit_trains_the_same_network_again(name: str) -> None:
    y = VALUES if name in LOSS_OPTIONS else THREE  # the losses that have options are for regression
    for value in VARIED[name][:2]:
        chosen = configuration(name, value)
        if chosen.get("front") == "embed":
            with pytest.raises(SettingsError, match="The layer embed, of columns of categories, is for a Table"):
                sweep(X, y, chosen, n_trials=1, cv=2, engine="array", seed=3)
            continue
        result = sweep(X, y, chosen, n_trials=1, cv=2, engine="array", seed=3)
        more = "front" in chosen and not FRONT[chosen["front"]].only_factors
        if more or chosen.get("activation") in PARAMETRIC:
            with pytest.raises(SettingsError, match="is no MLPClassifier"):
                result.refit()
            continue
        found = result.refit()
        assert same(found, clone(found).fit(X, y)), value


@pytest.mark.parametrize(("y", "kind"), [(TWO, MLPClassifier), (VALUES, MLPRegressor), (X[:, :2], MLPRegressor)])
@pytest.mark.parametrize("engine", ["array", "auto"])
def test_a_refit_of_other_targets(y: np.ndarray, kind: type, engine: str, tmp_path: Path) -> None:
    space = BASE | {"optimizer": "rmsprop", "early_stopping": True, "epochs": 20}
    found = sweep(X, y, space, n_trials=1, cv=2, engine=engine).refit()
    assert isinstance(found, kind)
    assert (found.solver, found.early_stopping, found.n_iter_no_change) == ("rmsprop", True, 10)
    assert same(found, clone(found).fit(X, y))
    assert same(found, pickle.loads(pickle.dumps(found)).fit(X, y))
    found.save(tmp_path / "network.safetensors")
    loaded = kind.load(tmp_path / "network.safetensors")  # type: ignore[attr-defined]
    assert loaded.get_params() == found.get_params()
    assert_array_equal(loaded.predict(X), found.predict(X))
    assert same(found, loaded.fit(X, y))
    other = clone(found).set_params(random_state=1).fit(X, y)
    assert not same(found, other)


def test_what_a_sweep_has_not_is_refused() -> None:
    found = sweep(X, THREE, BASE, n_trials=1, cv=2, engine="array").refit()
    with pytest.raises(SettingsError, match="no sample_weight"):
        clone(found).fit(X, THREE, np.ones(len(X)))
    with pytest.raises(SettingsError, match="no n_members, class_weight"):
        clone(found).set_params(n_members=2, class_weight="balanced").fit(X, THREE)
    with pytest.raises(ValueError, match="The 'solver' parameter"):
        clone(found).set_params(solver="lbfgs").fit(X, THREE)


@pytest.fixture(scope="module")
def refitted() -> SweptClassifier:
    found: SweptClassifier = sweep(X, THREE, BASE, n_trials=1, cv=2, engine="array").refit()
    return found


def test_a_refit_shows_what_is_not_the_default(refitted: SweptClassifier) -> None:
    shown = repr(refitted)
    assert "dropout" not in shown
    assert "..." not in shown
    again = eval(shown, {"SweptClassifier": SweptClassifier, "inf": np.inf})
    assert same(refitted, again.fit(X, THREE))


@pytest.mark.parametrize("frame", [pd.DataFrame, lambda X, columns: pl.DataFrame(X, schema=columns)])
def test_a_refit_learns_the_names_of_a_frame(refitted: SweptClassifier, frame: Any) -> None:
    names = [f"x{i}" for i in range(X.shape[1])]
    found = clone(refitted).fit(frame(X, columns=names), THREE)
    assert found.feature_names_in_.tolist() == names
    assert same(refitted, found)
    assert_array_equal(found.predict(frame(X, columns=names)), refitted.predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        found.predict(frame(X, columns=names[::-1]))
    assert not hasattr(found.fit(X, THREE), "feature_names_in_")


def test_a_refit_refuses_data_in_the_estimators_words(refitted: SweptClassifier) -> None:
    for features, y, message in (
        (X[:, 0], THREE, "Expected 2D array, got 1D array instead"),
        (X, None, "requires y to be passed, but the target y is None"),
        (X[:, :0], THREE, r"0 feature\(s\)"),
        (X, np.zeros(len(X), dtype=int), "y has one class only, 0; there"),
    ):
        with pytest.raises(ValueError, match=message):
            clone(refitted).fit(features, y)


def test_a_refit_serves_in_scikit_learns_ensembles(refitted: SweptClassifier) -> None:
    bag = BaggingClassifier(refitted, 2, random_state=0).fit(X, THREE)  # without sample weights, by drawn rows
    assert bag.score(X, THREE) == bag.fit(X, THREE).score(X, THREE)


def test_swept_estimators_have_usable_defaults() -> None:
    common = {"max_iter": 2, "engine": "array"}
    one = SweptClassifier((3,), **common)
    assert (one.batch_size, one.random_state) == ("auto", None)
    assert not same(clone(one).fit(X, THREE), clone(one).fit(X, THREE))  # another seed for each fit
    assert same(*(clone(one).set_params(random_state=np.random.RandomState(1)).fit(X, THREE) for _ in range(2)))
    assert SweptRegressor(hidden_layer_sizes=(3,), **common).fit(X, VALUES).batch_size == "auto"
    with pytest.raises(TypeError, match="unexpected keyword argument 'hidden'"):
        SweptClassifier(hidden=(3,))


def test_a_refit_goes_on_by_pieces() -> None:
    found = sweep(X, THREE, BASE | {"batch_size": None}, n_trials=1, cv=2, engine="array").refit()
    before, given = found.coefs_[0].copy(), found.get_params()
    found.partial_fit(X, THREE)
    assert not np.array_equal(before, found.coefs_[0])
    assert found.get_params() == given


def test_a_refit_that_was_interrupted_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = Table.from_arrays(X, THREE)
    results = [sweep(*given, BASE, n_trials=1, cv=2, engine="array") for given in ((frame, None), (X, THREE))]
    enter = Interruption.__enter__

    def enter_and_request(self: Interruption) -> Interruption:
        enter(self)
        self.requested = True
        return self

    monkeypatch.setattr(Interruption, "__enter__", enter_and_request)
    for result in results:
        with pytest.raises(KeyboardInterrupt):
            result.refit()


def test_options_have_one_name_each() -> None:
    """A parameter of an estimator never stands for two options of a sweep."""
    every = [name for options in OPTIONS.values() for name in options]
    assert len(every) == len({*every})
