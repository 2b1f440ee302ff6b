"""Layers in front of a table's network, from what people write to files, graphs, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import refused, succeeds
from safetensors.numpy import load_file

from gpubp import Ensemble, MLPClassifier, Model, Range, Recipe, Settings, sweep, train_ensemble, train_model
from gpubp.backends import NumpyBackend
from gpubp.backends.host_compiler import find_compiler
from gpubp.errors import SettingsError
from gpubp.models.onnx.graph import Graph
from gpubp.models.onnx.network import add_mean_of_networks
from gpubp.networks.population import Population
from gpubp.operations.architecture import Architecture, kind_of
from gpubp.operations.layer_kinds import FRONT
from gpubp.preprocessing.columns import numeric_values
from gpubp.preprocessing.dates import calendar, input_parts, time_values
from gpubp.search.space.space import Space
from gpubp.tables import Table
from gpubp.training.loop import train
from gpubp.training.snapshot import Snapshot

RANDOM = np.random.default_rng(2)
N = 80
a, b, colour = RANDOM.normal(size=N), RANDOM.normal(size=N) * 50 + 300, RANDOM.choice(["red", "blue"], N)
FRAME = pl.DataFrame({"a": a, "colour": colour, "b": b, "kind": np.where(a + (colour == "red") > 0.5, "yes", "no")})
TABLE = Table.from_frame(FRAME)
QUICK = Recipe(hidden=(4,), epochs=5, learning_rate=0.02)
ARRAYS = {"backend": "numpy", "engine": "array"}
compiled = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")
every_kind = pytest.mark.parametrize("kind", ["embed:3x0" if name == "embed" else name for name in FRONT])
"""Categories of any number are embedded, so that there is something to learn."""


def probabilities(trained: Model | Ensemble) -> np.ndarray:
    if isinstance(trained, Ensemble):
        return trained.predict_proba(FRAME, NumpyBackend())
    return np.asarray(trained.predict(FRAME, NumpyBackend()).probabilities)


@every_kind
def test_a_model_file_has_them(kind: str, tmp_path: Path) -> None:
    model = train_model(TABLE, "kind", replace(QUICK, front=(kind,)), **ARRAYS).model
    assert probabilities(model).shape == (N, 2)
    model.save(tmp_path / "m")
    loaded = Model.load(tmp_path / "m")
    assert loaded.architecture == model.architecture
    np.testing.assert_array_equal(probabilities(loaded), probabilities(model))
    layer = model.architecture.layers[0]
    tensors = load_file(tmp_path / "m")
    for parameter in layer.parameters:
        assert tensors[f"layers.0.{parameter.name}"].shape == parameter.shape
    assert tensors["layers.1.weights"].shape == (layer.n_outputs, 4)
    begun = train_model(TABLE, "kind", replace(QUICK, front=(kind,), epochs=1), **ARRAYS).model
    for name, values in model.architecture.views(begun.params[None, :])[0].items():
        assert (tensors[f"layers.0.{name}"] != values[0]).mean() > 0.5, "they are learned"


@every_kind
@pytest.mark.parametrize("scale", ["robust", "standard"])
def test_an_onnx_graph_has_them(kind: str, scale: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    given = {name: FRAME[name].to_numpy()[:, None] for name in ("a", "b")}
    numbers = np.concatenate([given["a"], given["b"]], axis=1)
    recipe = replace(QUICK, front=(kind,), scale=scale)
    model = train_model(TABLE, "kind", recipe, **ARRAYS).model
    session = runtime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(["probabilities"], {"numbers": numbers, "colour": colour[:, None].astype(object)})[0]
    np.testing.assert_allclose(found, probabilities(model), rtol=1e-4, atol=1e-6)


@every_kind
@pytest.mark.parametrize("encoding", ["one_hot", "signed", "scaled"])
def test_only_numbers_are_embedded(kind: str, encoding: str) -> None:
    """Not categories, nor what says that a number is missing, nor the sines of a date; in a graph neither, whose inputs
    have another order.
    """
    runtime = pytest.importorskip("onnxruntime")
    day = pl.Series("day", (np.datetime64("2024-01-01") + RANDOM.integers(0, 700, N)).astype("datetime64[D]"))
    gaps = pl.Series("a", np.where(np.arange(N) % 7, a, np.nan)).fill_nan(None)
    table = Table.from_frame(FRAME.with_columns(gaps, day).select("day", "a", "colour", "b", "kind"))
    recipe = replace(QUICK, front=(kind,), category_encoding=encoding, missing_numbers="indicate")
    model = train_model(table, "kind", recipe, **ARRAYS).model
    names = [name for column in model.preprocessing.columns for name in column.input_names]
    layer, shape = model.architecture.layers[0], model.architecture
    if layer.takes_indicators:
        numbers = [name for place, name in enumerate(names) if place not in shape.indicators]
        assert {"a", "b"} < {*numbers}
        assert all(name in ("a", "b") or "sine" not in name for name in numbers)
        assert not any("colour" in name or "(missing)" in name for name in numbers)
    session = runtime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    given: dict[str, np.ndarray] = {}
    for each in session.get_inputs():
        if each.name == "colour":
            given["colour"] = colour[:, None].astype(object)
        else:
            given[each.name] = _numbers_of(model, table, each.shape[1])
    found = session.run(["probabilities"], given)[0]
    expected = model.predict(table, NumpyBackend()).probabilities
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def _numbers_of(model: Model, table: Table, width: int) -> np.ndarray:
    """What the graph's input "numbers" takes: numbers, and the parts of dates, missing ones as NaN."""
    parts = []
    for column in model.preprocessing.columns:
        if column.kind == "numeric":
            parts.append(numeric_values(table, column.name)[:, None])
        elif column.kind == "date":
            once = [wave is None for _, wave in input_parts(column.parts)]
            parts.append(calendar(time_values(table, column.name), column.parts)[:, once])
    found = np.concatenate(parts, axis=1)
    assert found.shape[1] >= width
    return found


@every_kind
def test_a_graph_of_several_networks(kind: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    networks = Population.initialize(Architecture(3, (4,), 2, front=kind, categories=[(1, 2)]), [1, 2], NumpyBackend())
    networks.params += RANDOM.normal(size=networks.params.shape).astype(np.float32)
    graph, X = Graph(), RANDOM.normal(size=(7, 3)).astype(np.float32)
    given = graph.input("x", np.float32, 3)
    graph.output("y", add_mean_of_networks(graph, given, networks.architecture, networks.params), np.float32, 2)
    written = graph.model("two networks", {}).SerializeToString()
    found = runtime.InferenceSession(written, providers=["CPUExecutionProvider"]).run(None, {"x": X})[0]
    np.testing.assert_allclose(found, networks.predict(X).mean(axis=0), rtol=1e-4, atol=1e-5)


@every_kind
def test_an_ensemble_file_has_them(kind: str, tmp_path: Path) -> None:
    ensemble = train_ensemble(TABLE, "kind", replace(QUICK, front=(kind,)), members=2, **ARRAYS).ensemble
    ensemble.save(tmp_path / "e")
    np.testing.assert_array_equal(probabilities(Ensemble.load(tmp_path / "e")), probabilities(ensemble))


@compiled
@every_kind
@pytest.mark.parametrize("engine", ["array", "block"])
def test_a_pause_changes_no_bit(kind: str, engine: str) -> None:
    """By way of the snapshot's arrays and metadata, as a file has them."""
    X, T = RANDOM.normal(size=(20, 3)), np.eye(2)[RANDOM.integers(2, size=20)]
    rate = FRONT[kind_of(kind)].options[0]
    settings = Settings(
        optimizer="adamw",
        epochs=6,
        batch_size=8,
        learning_rate=0.05,
        layer_options={rate.name: [rate.default, 2.0]},
    )

    def fresh() -> Population:
        shape = Architecture(3, (4,), 2, "tanh", "softmax", kind, categories=[(0, 1)])
        return Population.initialize(shape, [1, 2], NumpyBackend())

    whole, paused = fresh(), fresh()
    train(whole, X, T, settings, engine=engine)
    kept = train(paused, X, T, settings, engine=engine, until=2).snapshot
    assert kept is not None
    again = fresh()
    train(again, X, T, settings, engine=engine, resume=Snapshot.from_parts(kept.to_arrays(), kept.to_metadata()))
    np.testing.assert_array_equal(again.params, whole.params)


def test_the_command_line(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "t.csv")
    quick = ("--epochs", 3, "--hidden", 4, "--engine", "array", "--front", "scale", "--layer-option", "scale_rate=2")
    recipe = succeeds("train", tmp_path / "t.csv", *quick, "-o", tmp_path / "m", "--json").json["recipe"]
    assert (recipe["front"], recipe["layer_options"]) == (["scale"], {"scale_rate": 2.0})
    shown = succeeds("show", tmp_path / "m").out
    assert "scale + 4-4-2" in shown
    assert "scale of 4" in shown
    assert (
        "no lanes: its kernel knows no layer scale"
        in succeeds("explain", tmp_path / "t.csv", *quick[:4], *quick[6:]).out
    )
    without = ("train", tmp_path / "t.csv", "-o", tmp_path / "n", "--layer-option", "scale_rate=2")
    refused(tmp_path, *without, words=("scale_rate is an option of the layer scale", "--front scale"))
    refused(tmp_path, *without, "--front", "scael", words=("Unknown layer in front 'scael'", "'scale'"))


def test_a_space_varies_them() -> None:
    space = Space({"front": ["none", "scale"], "scale_rate": Range(1.0, 10.0, log=True), "epochs": 2})
    drawn = space.sample(20, seed=1)
    assert {each["front"] for each in drawn} == {(), ("scale",)}
    assert all(("scale_rate" in each) == (each["front"] == ("scale",)) for each in drawn)
    with pytest.raises(
        SettingsError, match="scale_rate, which belongs to the front scale, and draws the front none alone"
    ):
        Space({"scale_rate": [1.0]})


def test_an_estimator_cannot_be_a_network_whose_layer_does_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a layer will that is more than factors."""
    space = {"front": "scale", "hidden": (3,), "epochs": 1}
    found = sweep(np.column_stack([a, b]), a > 0, space, n_trials=1, cv=2, engine="array", backend="numpy")
    monkeypatch.setattr(FRONT["scale"], "only_factors", False)
    with pytest.raises(SettingsError, match="A network with the layer scale is no MLPClassifier"):
        found.refit()


def test_a_sweep_of_a_table_and_one_of_arrays() -> None:
    space = {"front": ["none", "scale"], "hidden": [(3,)], "epochs": 4, "learning_rate": [0.01, 0.05]}
    ways = {"n_trials": 4, "cv": 2, "engine": "array", "backend": "numpy"}
    of_table = sweep(TABLE, "kind", space, **ways)
    assert {trial.parameters["front"] for trial in of_table.ranked} == {(), ("scale",)}
    assert probabilities(of_table.ensemble(4)).shape == (N, 2)
    behind = next(trial for trial in of_table.ranked if trial.parameters["front"])
    assert of_table.refit(behind).architecture.front == ("scale",)
    X = np.column_stack([a, b])
    of_arrays = sweep(X, FRAME["kind"].to_numpy(), space | {"front": "scale"}, **ways)
    found = of_arrays.refit()
    assert isinstance(found, MLPClassifier)
    assert found.get_params()["front"] == "scale"
    members = of_arrays.ensemble(1)
    np.testing.assert_allclose(found.predict_proba(X), members.predict_proba(X), rtol=1e-4, atol=1e-6)
