"""Inputs that say where numbers and dates are missing: through folds, files, ensembles and ONNX graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gpubp import Ensemble, Model, cross_validate, sweep, train_model
from gpubp.backends import get_backend
from gpubp.errors import DataError, SettingsError
from gpubp.fitting.dataset import Dataset
from gpubp.fitting.recipe import Recipe
from gpubp.preprocessing import InputRules, Preprocessing, choose_inputs
from gpubp.preprocessing.dates import calendar, input_parts
from gpubp.preprocessing.scaling import SCALES
from gpubp.tables import Table

NUMPY = get_backend("numpy")
ALONE = {"backend": "numpy", "engine": "array"}
INDICATE = Recipe(hidden=(4,), epochs=3, missing_numbers="indicate", dtype="float64")


def gappy_table(rows: int = 90) -> Table:
    """Numbers with gaps that say something, whole ones, dates with gaps, and texts."""
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=rows), rng.normal(size=rows)
    gaps = rng.random(rows) < 0.2
    days = np.datetime64("2023-01-05", "us") + rng.integers(0, 900, rows) * np.timedelta64(1, "D")
    return Table.from_frame(
        pl.DataFrame(
            {
                "x": [None if gap else value for gap, value in zip(gaps, x.tolist(), strict=True)],
                "z": z,
                "day": [None if i % 11 == 4 else day for i, day in enumerate(days.tolist())],
                "c": rng.choice(["u", "v", "w"], rows),
                "y": z + 3 * gaps,
            }
        )
    )


def fitted(table: Table, scale: str = "robust", rows: np.ndarray | None = None) -> Preprocessing:
    columns = InputRules(scale, "one_hot", "indicate").columns(table, choose_inputs(table, "y").columns)
    return Preprocessing.fit(table, columns, scale=scale, rows=rows)


@pytest.mark.parametrize("scale", SCALES)
def test_there_is_one_for_each_column_with_gaps(scale: str) -> None:
    table = gappy_table(3000)
    found = fitted(table, scale)
    assert [name for name in found.input_names if "(missing)" in name] == ["x=(missing)", "day=(missing)"]
    X = found.transform(table).X
    for name in ("x", "day"):
        place = found.input_names.index(f"{name}=(missing)")
        np.testing.assert_array_equal(X[:, place], table.frame[name].is_null().to_numpy())
    plain = Preprocessing.fit(table, choose_inputs(table, "y").columns, scale=scale)
    others = [i for i, name in enumerate(found.input_names) if "(missing)" not in name]
    np.testing.assert_array_equal(X[:, others], plain.transform(table).X)
    for row in (0, 4, 5, 2999):
        np.testing.assert_array_equal(found.transform(table.take(np.array([row]))).X, X[row : row + 1])
    np.testing.assert_array_equal(found.scaled(found.unscaled().transform(table).X), X)
    assert "Inputs of their own say where values are missing: 'x', 'day'." in found.notes


def test_new_gaps_in_other_columns_have_the_median_alone() -> None:
    table = gappy_table()
    found = fitted(table)
    new = found.transform(Table.from_frame(pl.DataFrame({"x": [None], "z": [None], "day": [None], "c": ["u"]})))
    assert new.X[0, :2].tolist() == [0.0, 1.0]
    assert new.X[0, found.input_names.index("z")] == 0.0
    assert any("replaced by medians" in note for note in new.notes)


def test_folds_without_gaps_have_the_same_inputs() -> None:
    data = Dataset.of(gappy_table(), "y")
    rules = InputRules("robust", "one_hot", "indicate")
    whole = np.flatnonzero(data.table.frame["x"].is_not_null().to_numpy())
    assert data.preprocessing(rules, whole).input_names == data.preprocessing(rules).input_names
    scores = cross_validate(gappy_table(), "y", INDICATE, folds=3, **ALONE)
    assert scores.values().shape == (3,)


def test_a_network_learns_from_them(tmp_path: Path) -> None:
    table = gappy_table(300)
    how = {"hidden": (8,), "epochs": 60, "learning_rate": 0.01}
    told, untold = (
        cross_validate(table, "y", Recipe(missing_numbers=each, **how), folds=3, **ALONE).values().mean()
        for each in ("indicate", "median")
    )
    assert told > 0.9 > untold
    model = train_model(table, "y", Recipe(missing_numbers="indicate", **how), **ALONE).model
    model.save(tmp_path / "model")
    again = Model.load(tmp_path / "model")
    assert again.preprocessing.columns == model.preprocessing.columns
    np.testing.assert_array_equal(again.predict(table, NUMPY).values, model.predict(table, NUMPY).values)


def test_a_sweep_tries_them_and_its_ensemble_answers_as_its_networks(tmp_path: Path) -> None:
    table = gappy_table()
    space = {"missing_numbers": ["median", "indicate"], "scale": ["quantile", "minmax"], "epochs": 5}
    found = sweep(table, "y", space | {"learning_rate": 0.03}, n_trials=4, strategy="grid", cv=2, **ALONE)
    team = found.ensemble(6)
    outputs = team.member_outputs(table, "numpy")
    for name, output in zip(team.names, outputs, strict=True):
        model = found.refit(int(name.split()[1]))
        np.testing.assert_allclose(output[:, 0], model.predict(table, NUMPY).values, rtol=1e-3, atol=1e-3)
    team.save(tmp_path / "team")
    np.testing.assert_array_equal(Ensemble.load(tmp_path / "team").member_outputs(table, "numpy"), outputs)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"Unknown missing numbers 'indicator'. Did you mean 'indicate'"):
        Recipe(missing_numbers="indicator")
    with pytest.raises(SettingsError, match="missing_numbers is for a Table"):
        sweep(np.ones((20, 2)), np.arange(20.0), {"missing_numbers": "indicate"}, n_trials=1, cv=2)
    found = fitted(gappy_table())
    metadata = found.to_metadata()
    assert [column.get("has_indicator") for column in metadata["columns"]] == [True, None, True, None]
    metadata["columns"][3]["has_indicator"] = True
    with pytest.raises(DataError, match="without an indicator, since column 'c' is categorical"):
        Preprocessing.from_parts(metadata, found.to_arrays())
    metadata["columns"][3]["has_indicator"] = "yes"
    with pytest.raises(DataError, match="has_indicator should be"):
        Preprocessing.from_parts(metadata, found.to_arrays())


@pytest.mark.parametrize("scale", ["robust", "quantile"])
@pytest.mark.parametrize("kept", [["x", "z", "day", "c"], ["x"], ["day"], ["c", "day", "x"]], ids="-".join)
def test_the_onnx_graph_has_them(kept: list[str], scale: str) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    table = Table.from_frame(gappy_table().frame.select(*kept, "y"))
    recipe = Recipe(hidden=(4,), epochs=3, missing_numbers="indicate", dtype="float64", scale=scale)
    model = train_model(table, "y", recipe, **ALONE).model
    numbers = []
    for column in model.preprocessing.columns:
        if column.kind == "numeric":
            numbers.append(table.frame.select(column.name).to_numpy().astype(np.float64))
        elif column.kind == "date":
            parts = calendar(table.frame[column.name].to_numpy().astype("datetime64[us]"), column.parts)
            numbers.append(parts[:, [wave is None for _, wave in input_parts(column.parts)]])
    given = {"numbers": np.column_stack(numbers)}
    if "c" in kept:
        given["c"] = table.frame.select("c").to_numpy().astype(object)
    session = runtime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, given)[0], model.predict(table, NUMPY).values, rtol=1e-9, atol=1e-9)
