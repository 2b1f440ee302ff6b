"""Parametric activations of a table's network, from what people write to files, graphs, sweeps, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command_line import refused, succeeds
from safetensors.numpy import load_file, save_file

from gpubp import (
    Ensemble,
    MLPClassifier,
    Model,
    PopulationSearchCV,
    Range,
    Recipe,
    cross_validate,
    sweep,
    train_ensemble,
    train_model,
)
from gpubp.backends import NumpyBackend
from gpubp.errors import ModelFileError, SettingsError
from gpubp.models.onnx.graph import Graph
from gpubp.models.onnx.network import add_mean_of_networks
from gpubp.networks.population import Population
from gpubp.operations.architecture import Architecture
from gpubp.operations.parametric import PARAMETRIC
from gpubp.search.space.space import Space
from gpubp.tables import Table

RNG = np.random.default_rng(2)
N = 80
a, b, colour = RNG.normal(size=N), RNG.normal(size=N) * 50 + 300, RNG.choice(["red", "blue"], N)
FRAME = pl.DataFrame({"a": a, "colour": colour, "b": b, "kind": np.where(a + (colour == "red") > 0.5, "yes", "no")})
TABLE = Table.from_frame(FRAME)
QUICK = Recipe(hidden=(4, 3), activation="parametric_mish", epochs=5, learning_rate=0.05)
ARRAYS: dict[str, Any] = {"backend": "numpy", "engine": "array"}


def probabilities(trained: Model | Ensemble) -> np.ndarray:
    if isinstance(trained, Ensemble):
        return trained.predict_proba(FRAME, NumpyBackend())
    return np.asarray(trained.predict(FRAME, NumpyBackend()).probabilities)


def test_a_model_file_has_slopes(tmp_path: Path) -> None:
    model = train_model(TABLE, "kind", QUICK, **ARRAYS).model
    model.save(tmp_path / "m")
    loaded = Model.load(tmp_path / "m")
    assert loaded.architecture == model.architecture
    np.testing.assert_array_equal(probabilities(loaded), probabilities(model))
    tensors = load_file(tmp_path / "m")
    assert (tensors["layers.0.slopes"].shape, tensors["layers.1.slopes"].shape) == ((4,), (3,))
    assert "layers.2.slopes" not in tensors
    assert (tensors["layers.0.slopes"] != 1.0).all(), "they are learned"


@pytest.mark.parametrize("activation", PARAMETRIC)
def test_an_onnx_graph_has_slopes(activation: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    numbers = np.column_stack([a, b])
    recipe = replace(QUICK, activation=activation, layer_options={"slope_rate": 3.0})
    model = train_model(TABLE, "kind", recipe, **ARRAYS).model
    session = runtime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(["probabilities"], {"numbers": numbers, "colour": colour[:, None].astype(object)})[0]
    np.testing.assert_allclose(found, probabilities(model), rtol=1e-4, atol=1e-6)


def test_a_graph_of_several_networks() -> None:
    runtime = pytest.importorskip("onnxruntime")
    networks = Population.initialize(Architecture(3, (4, 5), 2, "parametric_selu"), [1, 2], NumpyBackend())
    networks.params += RNG.normal(size=networks.params.shape).astype(np.float32)
    graph, X = Graph(), RNG.normal(size=(7, 3)).astype(np.float32)
    given = graph.input("x", np.float32, 3)
    graph.output("y", add_mean_of_networks(graph, given, networks.architecture, networks.params), np.float32, 2)
    written = graph.model("two networks", {}).SerializeToString()
    found = runtime.InferenceSession(written, providers=["CPUExecutionProvider"]).run(None, {"x": X})[0]
    np.testing.assert_allclose(found, networks.predict(X).mean(axis=0), rtol=1e-4, atol=1e-5)


def test_an_ensemble_file_has_slopes(tmp_path: Path) -> None:
    ensemble = train_ensemble(TABLE, "kind", QUICK, members=2, **ARRAYS).ensemble
    ensemble.save(tmp_path / "e")
    np.testing.assert_array_equal(probabilities(Ensemble.load(tmp_path / "e")), probabilities(ensemble))


def test_folds_are_trained_with_them() -> None:
    found = cross_validate(TABLE, "kind", replace(QUICK, epochs=40), **ARRAYS)
    assert np.mean([each["accuracy"] for each in found.fold_scores]) > 0.7


def test_the_command_line(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "t.csv")
    quick = ("--epochs", 3, "--hidden", 4, "--activation", "parametric_selu")
    own = ("--engine", "array", "--layer-option", "slope_rate=0.5")
    written = succeeds("train", tmp_path / "t.csv", *quick, *own, "-o", tmp_path / "m", "--json").json
    assert (written["recipe"]["activation"], written["recipe"]["layer_options"]) == (
        "parametric_selu",
        {"slope_rate": 0.5},
    )
    shown = succeeds("show", tmp_path / "m").out
    assert "parametric_selu" in shown
    assert "34" in shown  # 4 · 4 + 4 + 4 slopes, 4 · 2 + 2
    assert "no lanes: its kernel knows no layer parametric" in succeeds("explain", tmp_path / "t.csv", *quick).out
    assert succeeds("cross-validate", tmp_path / "t.csv", *quick, "--folds", 2, "--json").json
    without = ("train", tmp_path / "t.csv", "-o", tmp_path / "n")
    words = ("slope_rate is an option of the layer parametric", "--activation parametric_mish")
    refused(tmp_path, *without, "--layer-option", "slope_rate=2", words=words)
    refused(tmp_path, *without, "--activation", "parametric_identity", words=("Unknown activation",))


def test_a_space_varies_them() -> None:
    space = Space({"activation": ["mish", "parametric_mish"], "slope_rate": Range(0.03, 1.0, log=True), "epochs": 2})
    drawn = space.sample(20, seed=1)
    assert {each["activation"] for each in drawn} == {"mish", "parametric_mish"}
    assert all(("slope_rate" in each) == (each["activation"] == "parametric_mish") for each in drawn)
    with pytest.raises(SettingsError, match="slope_rate, which belongs to the activation parametric_logistic or"):
        Space({"slope_rate": [1.0]})
    by_layer = Space({"hidden": [(3, 2)], "activation": [("relu", "parametric_mish")], "slope_decay": [0.0]})
    assert by_layer.sample(1, seed=1)[0]["slope_decay"] == 0.0


def test_a_sweep_of_a_table_and_one_of_arrays() -> None:
    space = {"activation": ["mish", "parametric_mish"], "hidden": [(3,)], "epochs": 4, "slope_rate": [0.1, 1.0]}
    ways = {"n_trials": 5, "cv": 2, "engine": "array", "backend": "numpy", "seed": 3}
    of_table = sweep(TABLE, "kind", space, **ways)
    own = next(trial for trial in of_table.ranked if trial.parameters["activation"] == "parametric_mish")
    assert probabilities(of_table.ensemble(4)).shape == (N, 2)
    assert of_table.refit(own).architecture.special == ("parametric",)
    X, y = np.column_stack([a, b]), FRAME["kind"].to_numpy()
    of_arrays = sweep(X, y, space | {"activation": ["parametric_mish"]}, **ways)
    with pytest.raises(SettingsError, match="A network with the layer parametric is no MLPClassifier"):
        of_arrays.refit()
    assert of_arrays.ensemble(1).predict_proba(X).shape == (N, 2)


def test_an_estimator_has_none(tmp_path: Path) -> None:
    """Its coefs_ and intercepts_ have no place for slopes; a file that says otherwise is refused."""
    X, y = np.column_stack([a, b]), FRAME["kind"].to_numpy()
    with pytest.raises(ValueError, match="The 'activation' parameter of MLPClassifier"):
        MLPClassifier(activation="parametric_relu").fit(X, y)
    with pytest.raises(ValueError, match="The 'activation' parameter of MLPClassifier"):
        PopulationSearchCV(MLPClassifier(max_iter=2), {"activation": ["parametric_relu"]}, n_iter=1, cv=2).fit(X, y)
    fitted = MLPClassifier((3,), learning_rate_init=0.5, tol=9.0, engine="array", backend="numpy").fit(X, y)
    fitted.set_params(activation="parametric_relu")
    with pytest.raises(ValueError, match="activation"):
        fitted.save(tmp_path / "e")


def test_a_model_file_whose_slopes_are_missing(tmp_path: Path) -> None:
    train_model(TABLE, "kind", QUICK, **ARRAYS).model.save(tmp_path / "m")
    from safetensors import safe_open

    with safe_open(tmp_path / "m", "numpy") as file:
        metadata = file.metadata()
    tensors = load_file(tmp_path / "m")
    for broken in ({}, {"layers.0.slopes": np.ones(5, np.float32)}):
        kept = {name: values for name, values in tensors.items() if name != "layers.0.slopes"} | broken
        save_file(kept, tmp_path / "n", metadata=metadata)
        with pytest.raises(ModelFileError):
            Model.load(tmp_path / "n")
