"""Tables with a column of many categories: vectors of them, from what people write to files, graphs, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import refused, succeeds

from gpubp import Ensemble, Model, Recipe, cross_validate, sweep, train_ensemble, train_model
from gpubp.backends import NumpyBackend
from gpubp.errors import SettingsError
from gpubp.fitting.dataset import Dataset
from gpubp.fitting.fold import Fold
from gpubp.models.onnx.graph import Graph
from gpubp.models.onnx.network import add_mean_of_networks
from gpubp.networks.population import Population
from gpubp.operations.architecture import Architecture
from gpubp.operations.embedding import Embedding
from gpubp.tables import Table

RANDOM = np.random.default_rng(8)
N = 120
TOWNS = np.array([f"town {i:02}" for i in range(12)])
town = RANDOM.integers(len(TOWNS), size=N)
FRAME = pl.DataFrame(
    {
        "a": RANDOM.normal(size=N),
        "town": pl.Series(TOWNS[town]).set(pl.Series(np.arange(N) % 11 == 5), None),
        "colour": RANDOM.choice(["red", "green", "blue"], N),
        "y": np.where(town % 3 == 0, "yes", "no"),
    }
)
TABLE = Table.from_frame(FRAME)
QUICK = Recipe(hidden=(6,), epochs=5, learning_rate=0.02, front=("embed", "pbld", "scale"))
ARRAYS = {"backend": "numpy", "engine": "array"}
encodings = pytest.mark.parametrize("encoding", ["one_hot", "signed", "scaled"])


@encodings
def test_columns_of_many_categories_alone(encoding: str) -> None:
    """Missing ones are a category of the encoding one_hot alone."""
    model = train_model(TABLE, "y", replace(QUICK, category_encoding=encoding), **ARRAYS).model
    embed, waves = model.architecture.layers[:2]
    assert isinstance(embed, Embedding)
    names = [name for column in model.preprocessing.columns for name in column.input_names]
    embedded = [names[place] for place in embed.embedded]
    assert embedded == [f"town={each}" for each in (*TOWNS, *(["(missing)"] if encoding == "one_hot" else []))]
    assert embed.n_outputs == 1 + 3 + 8
    assert waves.numbers == (0,)  # type: ignore[attr-defined]


def test_a_threshold_of_its_own() -> None:
    found = []
    for front in ("embed:4", "embed:4x2", "embed:4x13"):
        data = Dataset.of(TABLE, "y", None)
        fold = Fold.of(data, QUICK, np.arange(N))
        recipe = replace(QUICK, front=(front,))
        shape = recipe.architecture(fold.sheet.X.shape[1], 2, "classification", fold.indicators, fold.categories)
        found.append([len(group) for group in shape.layers[0].groups])  # type: ignore[attr-defined]
    assert found == [[13], [13, 3], []]


def test_unknown_and_missing_categories(tmp_path: Path) -> None:
    model = train_model(TABLE, "y", replace(QUICK, category_encoding="signed"), **ARRAYS).model
    model.save(tmp_path / "m")
    rows = pl.DataFrame({"a": [0.5] * 3, "town": [None, "nowhere", "town 03"], "colour": ["red"] * 3})
    found = np.asarray(Model.load(tmp_path / "m").predict(rows, NumpyBackend()).probabilities)
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


@encodings
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("front", [("embed", "pbld", "scale"), ("scale", "embed:3x2"), ("pl:2x2", "embed")])
def test_a_graph(encoding: str, dtype: str, front: tuple[str, ...]) -> None:
    """Inputs have another order there: all numbers come first."""
    runtime = pytest.importorskip("onnxruntime")
    recipe = replace(QUICK, category_encoding=encoding, front=front, dtype=dtype)
    table = Table.from_frame(FRAME.select("town", "a", "colour", "y"))
    model = train_model(table, "y", recipe, **ARRAYS).model
    session = runtime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    rows = FRAME.filter(pl.col("town").is_not_null())
    given: dict[str, np.ndarray] = {"numbers": rows["a"].to_numpy()[:, None]}
    given |= {name: rows[name].to_numpy()[:, None].astype(object) for name in ("town", "colour")}
    found = session.run(["probabilities"], given)[0]
    np.testing.assert_allclose(found, model.predict(rows, NumpyBackend()).probabilities, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("front", ["embed:3x1", "embed:3x1,pbld,scale", "scale,embed:2x0", "pl,embed:3x1"])
def test_a_graph_of_several_networks(front: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    shape = Architecture(6, (4,), 2, front=front, categories=[(0, 5), (2, 3)])
    networks = Population.initialize(shape, [1, 2], NumpyBackend())
    graph, X = Graph(), RANDOM.normal(size=(7, 6)).astype(np.float32)
    given = graph.input("x", np.float32, 6)
    graph.output("y", add_mean_of_networks(graph, given, shape, networks.params), np.float32, 2)
    written = graph.model("two networks", {}).SerializeToString()
    found = runtime.InferenceSession(written, providers=["CPUExecutionProvider"]).run(None, {"x": X})[0]
    np.testing.assert_allclose(found, networks.predict(X).mean(axis=0), rtol=1e-4, atol=1e-5)


def test_members_of_an_ensemble(tmp_path: Path) -> None:
    ensemble = train_ensemble(TABLE, "y", QUICK, members=2, **ARRAYS).ensemble
    ensemble.save(tmp_path / "e")
    again = Ensemble.load(tmp_path / "e").predict_proba(FRAME, NumpyBackend())
    np.testing.assert_array_equal(again, ensemble.predict_proba(FRAME, NumpyBackend()))


def test_sweeps_and_folds() -> None:
    space = {
        "front": ["none", "embed:3", "embed,pbld,scale"],
        "hidden": [(3,)],
        "epochs": 4,
        "embedding_rate": [0.5, 2],
    }
    ways = {"n_trials": 6, "cv": 2, "engine": "array", "backend": "numpy"}
    found = sweep(TABLE, "y", space, **ways)
    embedded = [trial for trial in found.ranked if trial.parameters["front"]]
    assert all("embedding_rate" in trial.parameters for trial in embedded)
    assert found.refit(embedded[0]).architecture.categories
    assert found.ensemble(3).predict_proba(FRAME, NumpyBackend()).shape == (N, 2)
    assert len(cross_validate(TABLE, "y", QUICK, folds=3, **ARRAYS).fold_scores) == 3
    with pytest.raises(
        SettingsError, match="The layer embed, of columns of categories, is for a Table or a data frame"
    ):
        sweep(FRAME["a"].to_numpy()[:, None], FRAME["y"].to_numpy(), space | {"front": "embed"}, **ways)


def test_the_command_line(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "t.csv")
    quick = ("--epochs", 2, "--hidden", 4, "--engine", "array", "--layer-option", "embedding_sigma=0.3")
    succeeds("train", tmp_path / "t.csv", *quick, "--front", "embed:4,pbld", "-o", tmp_path / "m")
    shown = succeeds("show", tmp_path / "m").out
    assert "embed:4 + pbld + 17-4-2" in shown
    assert "embed of 17" in shown
    refused(tmp_path, "train", tmp_path / "t.csv", "--front", "embed:x", words=("sizes are whole numbers",))


def test_a_table_without_such_columns(tmp_path: Path) -> None:
    """Everything passes, and there is nothing to learn in front."""
    runtime = pytest.importorskip("onnxruntime")
    table = Table.from_frame(FRAME.select("a", "colour", "y"))
    model = train_model(table, "y", replace(QUICK, front=("embed",)), **ARRAYS).model
    plain = train_model(table, "y", replace(QUICK, front=()), **ARRAYS).model
    np.testing.assert_array_equal(model.params, plain.params)
    model.save(tmp_path / "m")
    expected = np.asarray(Model.load(tmp_path / "m").predict(FRAME, NumpyBackend()).probabilities)
    session = runtime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    given = {"numbers": FRAME["a"].to_numpy()[:, None], "colour": FRAME["colour"].to_numpy()[:, None].astype(object)}
    np.testing.assert_allclose(session.run(["probabilities"], given)[0], expected, rtol=1e-4, atol=1e-6)
