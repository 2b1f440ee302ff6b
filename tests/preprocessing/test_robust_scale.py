"""The scale robust: median, quartiles, a smooth clip; and a row far away that rules nothing any more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gpubp import Ensemble, Model, Range, cross_validate, sweep, train_ensemble, train_model
from gpubp.backends import get_backend
from gpubp.errors import DataError, SettingsError
from gpubp.fitting.recipe import Recipe
from gpubp.preprocessing import Column, Preprocessing
from gpubp.tables import Table

NUMPY = get_backend("numpy")
RNG = np.random.default_rng(5)
ONE = {"n_trials": 1, "cv": 2, "engine": "array", "backend": "numpy"}


def fitted(frame: pl.DataFrame, rows: np.ndarray | None = None, scale: str = "robust") -> Preprocessing:
    table = Table.from_frame(frame)
    columns = [
        Column(each.name, "numeric") if each.dtype.is_numeric() else Column(each.name, "categorical", ("u", "v"))
        for each in table.frame
    ]
    return Preprocessing.fit(table, columns, scale=scale, rows=rows)


def mixed_table(rows: int = 60) -> Table:
    x, colour = RNG.normal(size=rows), RNG.choice(["red", "blue"], rows)
    return Table.from_frame(pl.DataFrame({"x": x, "colour": colour, "y": 3 * x + (colour == "red")}))


def test_values_are_centred_divided_and_smoothly_clipped() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 1e6])
    found = fitted(pl.DataFrame({"a": values}))
    assert (found.offset.tolist(), found.scale.tolist()) == ([3.0], [2.0])
    z = (values - 3.0) / 2.0
    X = found.transform(Table.from_frame(pl.DataFrame({"a": values}))).X[:, 0]
    np.testing.assert_allclose(X, z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-15)
    assert np.abs(X).max() < 3


def test_equal_quartiles_give_half_the_range_and_constants_zero() -> None:
    frame = pl.DataFrame({"rare": [0.0] * 9 + [10.0], "same": [7.0] * 10})
    found = fitted(frame)
    assert found.scale.tolist() == [5.0, 1.0]
    X = found.transform(Table.from_frame(frame)).X
    assert X[0, 0] == 0
    assert X[9, 0] == pytest.approx(2 / np.sqrt(1 + 4 / 9))
    assert not X[:, 1].any()


def test_missing_values_do_not_narrow_the_spread() -> None:
    known = RNG.normal(size=20)
    gaps = pl.DataFrame({"a": [*known, *[None] * 80]})
    found = fitted(gaps)
    assert found.scale == pytest.approx(np.subtract(*np.quantile(known, (0.75, 0.25))))
    assert not found.transform(Table.from_frame(gaps)).X[20:].any()  # the median


def test_categories_stay_zeros_and_ones_and_few_rows_agree_with_many() -> None:
    frame = pl.DataFrame({"a": RNG.normal(size=5000) * 9, "c": ["u", "v"] * 2500})
    found = fitted(frame)
    X = found.transform(Table.from_frame(frame)).X
    assert set(X[:, 1:].ravel()) == {0.0, 1.0}
    for row in (0, 4999):
        np.testing.assert_array_equal(found.transform(Table.from_frame(frame[row : row + 1])).X, X[row : row + 1])
    np.testing.assert_array_equal(found.scaled(found.unscaled().transform(Table.from_frame(frame)).X), X)


@pytest.mark.parametrize("rows", [2, 5000])
def test_huge_values_are_clipped_and_those_beyond_all_measure_refused(rows: int) -> None:
    found = fitted(pl.DataFrame({"a": [1e-9, 2e-9, 3e-9, 4e-9]}))
    far = found.transform(Table.from_frame(pl.DataFrame({"a": [1e29, -1e29] * (rows // 2)})))
    assert far.X[:2].ravel() == pytest.approx([3.0, -3.0])
    with pytest.raises(DataError, match="within ±1e30"):
        found.transform(Table.from_frame(pl.DataFrame({"a": [1e31]})))


def test_one_row_far_away_does_not_rule_the_others() -> None:
    rows = 200
    x, z = RNG.normal(size=rows), RNG.normal(size=rows)
    y = 100 * x
    z[0] = 1e6
    table = Table.from_frame(pl.DataFrame({"x": x, "z": z, "y": y}))
    scores = {
        scale: cross_validate(table, "y", Recipe(hidden=(8,), epochs=30, learning_rate=0.02, scale=scale), folds=2,
                              backend="numpy", engine="array").values().min()
        for scale in ("standard", "robust")
    }  # fmt: skip
    assert scores["robust"] > 0.9
    assert scores["robust"] > scores["standard"]


def test_it_is_the_default_of_tables_and_not_of_arrays() -> None:
    table = mixed_table()
    assert train_model(table, "y", Recipe(epochs=1), backend="numpy", engine="array").model.preprocessing.scaling == (
        "robust"
    )
    assert sweep(table, "y", {"epochs": 1}, **ONE).refit().preprocessing.scaling == "robust"
    X, y = RNG.normal(size=(20, 2)), RNG.normal(size=20)
    assert sweep(X, y, {"epochs": 1}, **ONE).refit().scale == "standard"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"scale": "robust"}, "The scale robust is for a Table or a data frame"),
        ({"target_scale": "log"}, "The target scale log is for a Table or a data frame"),
        ({"clip_predictions": True}, "clip_predictions is for a Table or a data frame"),
    ],
)
def test_arrays_are_refused_what_no_layer_can_take_over(entry: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        sweep(RNG.normal(size=(20, 2)), RNG.normal(size=20), entry, **ONE)


def test_an_ensemble_of_differently_scaled_members_answers_as_its_networks(tmp_path: Path) -> None:
    table = mixed_table()
    space = {"hidden": [(3,), (4,)], "scale": ["robust", "standard", "minmax"], "epochs": 4}
    found = sweep(table, "y", space | {"learning_rate": Range(0.01, 0.1)}, **(ONE | {"n_trials": 8}))
    team = found.ensemble(6)
    scales = {found.trials[int(name.split()[1])].parameters["scale"] for name in team.names}
    assert len(scales) > 1
    outputs = team.member_outputs(table, "numpy")
    for name, output in zip(team.names, outputs, strict=True):
        model = found.refit(int(name.split()[1]))
        np.testing.assert_allclose(output[:, 0], model.predict(table, NUMPY).values, rtol=1e-3, atol=1e-3)
    team.save(tmp_path / "team")
    np.testing.assert_array_equal(Ensemble.load(tmp_path / "team").member_outputs(table, "numpy"), outputs)


def test_models_and_ensembles_keep_it(tmp_path: Path) -> None:
    table = mixed_table()
    recipe = Recipe(hidden=(3,), epochs=2)
    model = train_model(table, "y", recipe, backend="numpy", engine="array").model
    model.save(tmp_path / "model")
    again = Model.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(table, NUMPY).values, model.predict(table, NUMPY).values)
    team = train_ensemble(table, "y", recipe, members=2, backend="numpy", engine="array").ensemble
    team.save(tmp_path / "team")
    np.testing.assert_array_equal(Ensemble.load(tmp_path / "team").predict(table), team.predict(table))


def test_the_onnx_graph_clips_alike() -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = train_model(mixed_table(), "y", Recipe(hidden=(4,), epochs=2), backend="numpy", engine="array").model
    session = runtime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.array([-1e300, -5.0, 0.0, np.nan, 40.0, 1e20])
    (found,) = session.run(None, {"numbers": x[:, None], "colour": np.full((6, 1), "red", dtype=object)})
    table = Table.from_frame(pl.DataFrame({"x": [-1e20, *x[1:]], "colour": ["red"] * 6}).fill_nan(None))
    np.testing.assert_allclose(found, model.predict(table, NUMPY).values, rtol=1e-5, atol=1e-6)
