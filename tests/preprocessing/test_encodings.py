"""How categories become inputs: one_hot, signed, scaled; through folds, files, ensembles and ONNX graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gpubp import Ensemble, Model, cross_validate, sweep, train_ensemble, train_model
from gpubp.backends import get_backend
from gpubp.errors import DataError, ModelFileError, SettingsError
from gpubp.fitting.dataset import Dataset
from gpubp.fitting.recipe import Recipe
from gpubp.preprocessing import InputRules, Preprocessing, choose_inputs
from gpubp.preprocessing.columns import ENCODINGS
from gpubp.preprocessing.scaling import SCALES
from gpubp.tables import Table

NUMPY = get_backend("numpy")
ALONE = {"backend": "numpy", "engine": "array"}
BENT = 2 / np.sqrt(1 + 4 / 9)


def table_of(**columns: object) -> Table:
    return Table.from_frame(pl.DataFrame(columns))


def fitted(table: Table, encoding: str, scale: str = "none", rows: np.ndarray | None = None) -> Preprocessing:
    columns = choose_inputs(table, categorical=table.names).columns
    return Preprocessing.fit(table, InputRules(scale, encoding).columns(table, columns), scale=scale, rows=rows)


def mixed_table(rows: int = 90, seed: int = 3) -> Table:
    """Numbers, two categories, two with gaps, and four."""
    rng = np.random.default_rng(seed)
    x, sex = rng.normal(size=rows), rng.choice(["f", "m"], rows)
    smokes = [None if i % 8 == 5 else ("no", "yes")[i % 5 == 0] for i in range(rows)]
    town = rng.choice(["Bern", "Basel", "Chur", "Zug"], rows, p=[0.7, 0.1, 0.1, 0.1])
    y = 2 * x + (sex == "m") - (town == "Zug")
    return Table.from_frame(pl.DataFrame({"x": x, "sex": sex, "smokes": smokes, "town": town, "y": y}))


SMALL = {"sex": ["f", "m", "m", "f"], "smokes": ["no", None, "yes", "no"], "town": ["a", "b", "c", None]}


def test_two_categories_are_one_signed_input_and_more_are_one_each() -> None:
    found = fitted(table_of(**SMALL), "signed")
    assert found.input_names == ("sex: f -1, m +1", "smokes: no -1, yes +1", "town=a", "town=b", "town=c")
    encoded = found.transform(table_of(**SMALL))
    assert encoded.X.tolist() == [[-1, -1, 1, 0, 0], [1, 0, 0, 1, 0], [1, 1, 0, 0, 1], [-1, -1, 0, 0, 0]]
    assert encoded.notes == ()
    assert found.notes == ("Missing texts are zeros: 'smokes' (1), 'town' (1).",)


def test_what_is_unknown_or_missing_is_zero() -> None:
    found = fitted(table_of(**SMALL), "signed")
    encoded = found.transform(table_of(sex=["x", None], smokes=["Yes", "?"], town=["d", None]))
    assert encoded.X.tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert encoded.notes == (
        "Column 'sex': 1 value(s) not seen in training become zeros: 'x'.",
        "Column 'sex': 1 missing value(s) become zeros; training had none.",
        "Column 'smokes': taken as training spelled them: 'Yes' as 'yes'.",
        "Column 'smokes': 1 value(s) not seen in training become zeros: '?'.",
        "Column 'town': 1 value(s) not seen in training become zeros: 'd'.",
    )


def test_one_category_and_none() -> None:
    table = table_of(one=["a", None, "a"], none=pl.Series([None] * 3, dtype=pl.String), x=[1.0, 2.0, 3.0])
    for encoding in ENCODINGS:
        found = fitted(table, encoding)
        names = ("one=a", "one=(missing)") if encoding == "one_hot" else ("one=a",)
        assert found.input_names[: len(names)] == names
        assert found.transform(table).X[:, 0].tolist() == [1, 0, 1]
        assert "none=(missing)" in found.input_names


def test_scaled_is_what_realmlp_does() -> None:
    """Holzmüller et al. 2024: signed and one-hot inputs go through the robust scale and the smooth clip, too."""
    town = ["a"] * 6 + ["b"] * 2 + ["c"] * 2  # a: median 1, quartiles 0 and 1; b, c: equal quartiles, range 1
    table = table_of(sex=["f"] * 9 + ["m"], town=town)
    found = fitted(table, "scaled", "robust")
    assert found.offset.tolist() == [-1.0, 1.0, 0.0, 0.0]
    assert found.scale.tolist() == [1.0, 1.0, 0.5, 0.5]
    X = found.transform(table).X
    one = 1 / np.sqrt(1 + 1 / 9)
    np.testing.assert_allclose(X[[0, 6, 9]], [[0, 0, 0, 0], [0, -one, BENT, 0], [BENT, -one, 0, BENT]], rtol=1e-15)
    new = found.transform(table_of(sex=["?"], town=[None]))
    np.testing.assert_allclose(new.X, [[one, -one, 0, 0]], rtol=1e-15)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_few_rows_are_encoded_as_among_many_and_files_keep_it(encoding: str, scale: str) -> None:
    table = mixed_table(3000)
    found = Preprocessing.fit(
        table, InputRules(scale, encoding).columns(table, choose_inputs(table, "y").columns), scale=scale
    )
    X = found.transform(table).X
    assert np.isfinite(X).all()
    for row in (0, 5, 2999):
        np.testing.assert_array_equal(found.transform(table.take(np.array([row]))).X, X[row : row + 1])
    np.testing.assert_allclose(found.scaled(found.unscaled().transform(table).X), X, rtol=1e-15, atol=1e-15)
    again = Preprocessing.from_parts(found.to_metadata(), found.to_arrays())
    assert again.columns == found.columns
    np.testing.assert_array_equal(again.transform(table).X, X)
    assert ("encoding" in found.to_metadata()["columns"][1]) == (encoding != "one_hot")  # else as files ever were


def test_folds_have_the_same_inputs_and_are_fitted_on_their_training_rows_alone() -> None:
    data = Dataset.of(mixed_table(), "y")
    rows = np.flatnonzero((data.table.frame["town"] != "Zug").to_numpy())
    for encoding in ENCODINGS:
        rules = InputRules("robust", encoding)
        some = data.preprocessing(rules, rows)
        assert some.input_names == data.preprocessing(rules).input_names
        frame = data.table.frame.with_columns(sex=pl.when(pl.col("town") == "Zug").then(pl.lit("m")).otherwise("sex"))
        other = replace(data, table=replace(data.table, frame=frame)).preprocessing(rules, rows)
        np.testing.assert_array_equal(other.transform(data.table).X, some.transform(data.table).X)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoding": "hashed"}, "should be one of one_hot, signed, scaled; found 'hashed'"),
        ({"encoding": 3}, "encoding should be"),
        ({"kind": "numeric", "encoding": "signed", "categories": [], "has_missing": False}, "without categories"),
        ({"encoding": "one_hot"}, r"should be float64 \(6,\); found"),
    ],
)
def test_damaged_descriptions_are_refused(change: dict[str, object], words: str) -> None:
    found = fitted(table_of(sex=["f", "m", None], town=["a", "b", "c"]), "signed")
    metadata = found.to_metadata()
    metadata["columns"][0] |= change
    with pytest.raises(DataError, match=words):
        Preprocessing.from_parts(metadata, found.to_arrays())


@pytest.mark.parametrize("encoding", ["signed", "scaled"])
def test_training_scoring_and_files(encoding: str, tmp_path: Path) -> None:
    table, recipe = mixed_table(), Recipe(hidden=(4,), epochs=3, category_encoding=encoding)
    fit = train_model(table, "y", recipe, **ALONE)
    assert "sex: f -1, m +1" in fit.model.preprocessing.input_names
    assert any("Missing texts are zeros: 'smokes'" in note for note in fit.notes)
    fit.model.save(tmp_path / "model")
    again = Model.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(table, NUMPY).values, fit.model.predict(table, NUMPY).values)
    team = train_ensemble(table, "y", recipe, members=2, **ALONE).ensemble
    team.save(tmp_path / "team")
    np.testing.assert_array_equal(Ensemble.load(tmp_path / "team").predict(table), team.predict(table))
    assert cross_validate(table, "y", recipe, folds=3, **ALONE).values().shape == (3,)


def test_a_sweep_tries_encodings_and_its_ensemble_answers_as_its_networks(tmp_path: Path) -> None:
    table = mixed_table()
    space = {"category_encoding": list(ENCODINGS), "scale": ["quantile", "robust", "minmax"], "epochs": 4}
    found = sweep(table, "y", space | {"learning_rate": 0.03}, n_trials=9, strategy="grid", cv=2, **ALONE)
    team = found.ensemble(9)
    used = {found.trials[int(name.split()[1])].parameters["category_encoding"] for name in team.names}
    assert len(used) > 1
    assert len({group.architecture.n_inputs for group in team.members}) > 1
    outputs = team.member_outputs(table, "numpy")
    for name, output in zip(team.names, outputs, strict=True):
        model = found.refit(int(name.split()[1]))
        np.testing.assert_allclose(output[:, 0], model.predict(table, NUMPY).values, rtol=1e-3, atol=1e-3)
    team.save(tmp_path / "team")
    np.testing.assert_array_equal(Ensemble.load(tmp_path / "team").member_outputs(table, "numpy"), outputs)


def test_a_sweep_tells_of_missing_texts_as_its_space_has_them() -> None:
    how = {"n_trials": 1, "cv": 2, **ALONE}
    notes = sweep(mixed_table(), "y", {"category_encoding": "signed", "epochs": 1}, **how).notes
    assert any("Missing texts are zeros" in note for note in notes)
    notes = sweep(mixed_table(), "y", {"epochs": 1}, **how).notes
    assert any("Missing texts are a category of their own" in note for note in notes)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"Unknown category encoding 'onehot'. Did you mean 'one_hot'"):
        Recipe(category_encoding="onehot")
    with pytest.raises(SettingsError, match="The category encoding is for a Table"):
        sweep(np.ones((20, 2)), np.arange(20.0), {"category_encoding": "signed"}, n_trials=1, cv=2)


@pytest.mark.parametrize("scale", ["robust", "quantile", "standard"])
@pytest.mark.parametrize("encoding", ["signed", "scaled"])
def test_the_onnx_graph_encodes_alike(encoding: str, scale: str) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    recipe = Recipe(hidden=(4,), epochs=3, scale=scale, category_encoding=encoding, dtype="float64")
    table = mixed_table()
    model = train_model(table, "y", recipe, **ALONE).model
    new = table.frame.drop("y").with_columns(
        x=pl.when(pl.int_range(90) % 9 == 2).then(None).otherwise("x"),
        sex=pl.when(pl.int_range(90) % 9 == 3).then(pl.lit("")).otherwise("sex"),
        smokes=pl.col("smokes").fill_null("perhaps"),
        town=pl.when(pl.int_range(90) % 9 == 4).then(pl.lit("Thun")).otherwise("town"),
    )
    session = runtime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    given = {name: new.select(name).to_numpy().astype(object) for name in ("sex", "smokes", "town")}
    (found,) = session.run(None, given | {"numbers": new.select("x").to_numpy().astype(np.float64)})
    np.testing.assert_allclose(found, model.predict(new, NUMPY).values, rtol=1e-9, atol=1e-9)


def test_an_ensemble_file_of_views_of_different_columns_is_refused(tmp_path: Path) -> None:
    table = mixed_table()
    team = train_ensemble(table, "y", Recipe(hidden=(2,), epochs=1), members=2, **ALONE).ensemble
    odd = fitted(Table.from_frame(table.frame.select("sex", "town")), "signed")
    replace(team, others=(odd,)).save(tmp_path / "team")
    with pytest.raises(ModelFileError, match="preprocessing should be preprocessings of the same columns"):
        Ensemble.load(tmp_path / "team")
    assert team.preprocessing is not None
    replace(team, others=(team.preprocessing,)).save(tmp_path / "team")
    np.testing.assert_array_equal(Ensemble.load(tmp_path / "team").predict(table), team.predict(table))
