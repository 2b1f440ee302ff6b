"""The scale quantile: normal scores, by scikit-learn's QuantileTransformer, with ties and constants as ours."""

from __future__ import annotations

import warnings
from pathlib import Path
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubp import Ensemble, Model, Range, cross_validate, sweep, train_ensemble, train_model
from gpubp.backends import get_backend
from gpubp.errors import DataError, ModelFileError, SettingsError
from gpubp.fitting.dataset import Dataset
from gpubp.fitting.fold import Fold
from gpubp.fitting.recipe import Recipe
from gpubp.preprocessing import Column, Preprocessing
from gpubp.preprocessing.quantiles import fitted_quantiles, normal_quantile, normal_scores, quantile_count
from gpubp.tables import Table

NUMPY = get_backend("numpy")
QUICK = Recipe(hidden=(4,), epochs=2, scale="quantile")
ALONE = {"backend": "numpy", "engine": "array"}


def random(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


def fitted(frame: pl.DataFrame, rows: np.ndarray | None = None) -> Preprocessing:
    table = Table.from_frame(frame)
    columns = [
        Column(each.name, "numeric") if each.dtype.is_numeric() else Column(each.name, "categorical", ("u", "v"))
        for each in table.frame
    ]
    return Preprocessing.fit(table, columns, scale="quantile", rows=rows)


def mixed_table(rows: int = 80, seed: int = 3) -> Table:
    """Numbers, skewed ones, ones with gaps and ties, dates and texts."""
    rng = random(seed)
    x, colour = rng.normal(size=rows), rng.choice(["red", "blue"], rows)
    tied = [None if i % 7 == 3 else float(i % 3) for i in range(rows)]
    days = np.datetime64("2023-01-05", "us") + rng.integers(0, 900, rows) * np.timedelta64(1, "D")
    frame = {"x": x, "heavy": np.exp(3 * x), "tied": tied, "day": days, "colour": colour}
    return Table.from_frame(pl.DataFrame(frame | {"y": 3 * x + (colour == "red")}))


def expected_scores(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """scikit-learn's, with the same quantiles."""
    from sklearn.preprocessing import QuantileTransformer

    count = quantile_count(len(known))
    peer = QuantileTransformer(n_quantiles=count, output_distribution="normal", subsample=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fewer rows than quantiles
        found: np.ndarray = peer.fit(known[:, None]).transform(values[:, None])[:, 0]
    return found


HOSTILE = {
    "normal": random().normal(size=5000),
    "skewed": np.exp(3 * random().normal(size=700)),
    "huge": np.array([-1e30, *random().normal(size=200), 1e30]),
    "tied inside": np.array([-1.0, *[0.0] * 60, *[2.0] * 30, *random().uniform(2.5, 3.0, size=40), 9.0]),
    "whole": np.array([-7.0, *np.arange(400) % 5, 11.0]),
    "three": np.array([1.0, 2.0, 4.0]),
    "two": np.array([-3.0, 5.0]),
    "gaps": np.where(np.arange(300) % 3 == 1, np.nan, random().normal(size=300)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_scores_agree_with_scikit_learn(name: str) -> None:
    values = HOSTILE[name]
    known = values[~np.isnan(values)]
    low, high = known.min(), known.max()
    inside = (known[1:] + known[:-1]) / 2  # not a value of the training, most of them
    far = np.array([low - 0.5, high + 0.5, 0.5 * low + 0.5 * high, -1e30, 1e30])
    asked = np.concatenate([known, inside, far])
    quantiles, is_constant = fitted_quantiles(known, quantile_count(len(known)))
    assert not is_constant
    found = normal_scores(asked, quantiles)
    np.testing.assert_allclose(found, expected_scores(known, asked), rtol=1e-7, atol=1e-9)


def test_missing_values_are_left_out_of_the_fit_and_have_the_median() -> None:
    values = HOSTILE["gaps"]
    table = Table.from_frame(pl.DataFrame({"a": values}).fill_nan(None))
    found = fitted(table.frame)
    known = values[~np.isnan(values)]
    asked = np.where(np.isnan(values), np.median(known), values)
    assert found.quantiles is not None
    np.testing.assert_array_equal(found.quantiles[0], np.quantile(known, np.linspace(0, 1, quantile_count(300))))
    np.testing.assert_array_equal(found.transform(table).X[:, 0], normal_scores(asked, found.quantiles[0]))


def test_ties_at_the_ends_have_the_middle_of_their_ranks_as_a_little_noise_would_give_them() -> None:
    values = np.array([0.0] * 3000 + [1.0] * 1000 + [*random().uniform(0.1, 0.9, 2000)])
    quantiles, _ = fitted_quantiles(values, quantile_count(len(values)))
    found = normal_scores(np.array([0.0, 1.0]), quantiles)
    ranks = [0.25, 1 - 1 / 12]
    np.testing.assert_allclose(found, [NormalDist().inv_cdf(rank) for rank in ranks], atol=0.02)
    noisy = values + 1e-6 * random().normal(size=len(values))
    np.testing.assert_allclose(normal_scores(np.array([0.0, 1.0]), fitted_quantiles(noisy, 200)[0]), found, atol=0.1)
    flags = fitted_quantiles(np.array([0.0, 1.0] * 50), 10)[0]
    np.testing.assert_allclose(normal_scores(np.array([0.0, 1.0]), flags), [-0.6, 0.6], atol=0.2)


def test_normal_quantiles_are_right_to_the_last_digits() -> None:
    ranks = np.concatenate([np.logspace(-7, np.log10(0.5), 500), 1 - np.logspace(-7, np.log10(0.5), 500), [0.075]])
    expected = [NormalDist().inv_cdf(rank) for rank in ranks.tolist()]
    np.testing.assert_allclose(normal_quantile(ranks), expected, rtol=4e-15, atol=1e-16)


@pytest.mark.parametrize(("rows", "count"), [(1, 2), (2, 2), (7, 7), (10, 10), (299, 10), (900, 30), (10**6, 1000)])
def test_there_is_a_quantile_for_each_30_rows(rows: int, count: int) -> None:
    assert quantile_count(rows) == count


@pytest.mark.parametrize("values", [[7.0], [7.0] * 40, [1.0, 1.0 + 2e-16], [None, None], [0.0, 1e-40]])
def test_constant_columns_are_zeros_whatever_comes(values: list[float | None]) -> None:
    frame = pl.DataFrame({"a": values, "b": np.arange(len(values))}, schema={"a": pl.Float64, "b": pl.Float64})
    found = fitted(frame)
    new = Table.from_frame(pl.DataFrame({"a": [-1e30, 7.0, 1e30, None], "b": [0.0] * 4}))
    assert found.transform(new).X[:, 0].tolist() == [0.0] * 4
    assert "a" in found.constant


finite = st.floats(-1e30, 1e30) | st.sampled_from([0.0, -0.0, 1.0, 5e-324, -5e-324, 1e-300, 1e30, -1e30])


@given(st.lists(finite, min_size=1, max_size=60), st.lists(finite, min_size=1, max_size=20))
def test_scores_are_finite_bounded_and_in_the_order_of_the_values(known: list[float], asked: list[float]) -> None:
    quantiles, is_constant = fitted_quantiles(np.array(known), quantile_count(len(known)))
    assert (np.diff(quantiles) >= 0).all()
    values = np.sort(np.array([*known, *asked]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = normal_scores(values, quantiles)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 5.2
    assert (np.diff(found) >= -1e-12).all()
    assert not is_constant or not found.any()


def test_categories_stay_and_few_rows_agree_with_many() -> None:
    frame = pl.DataFrame(
        {"c": ["u", "v"] * 2500, "a": random().normal(size=5000) * 9, "b": [0.0, 0.0, 3.0, 4.0] * 1250}
    )
    found = fitted(frame)
    X = found.transform(Table.from_frame(frame)).X
    assert set(X[:, :2].ravel()) == {0.0, 1.0}
    for row in (0, 17, 4999):
        np.testing.assert_array_equal(found.transform(Table.from_frame(frame[row : row + 1])).X, X[row : row + 1])
    np.testing.assert_array_equal(found.scaled(found.unscaled().transform(Table.from_frame(frame)).X), X)


def test_folds_are_fitted_on_their_training_rows_alone() -> None:
    table, rows = mixed_table(), np.arange(0, 80, 2)
    spoilt = table.frame.with_columns(
        x=pl.when(pl.int_range(80) % 2 == 0).then("x").otherwise(pl.col("x") * 1e6),
        tied=pl.when(pl.int_range(80) % 2 == 0).then("tied").otherwise(77.0),
    )
    one, two = (
        Fold.of(Dataset.of(each, "y"), QUICK, rows).sheet.X for each in (table, Table.from_frame(spoilt, table.source))
    )
    np.testing.assert_array_equal(one[rows], two[rows])
    assert (one != two).any()


def test_models_and_ensembles_keep_it(tmp_path: Path) -> None:
    table = mixed_table()
    model = train_model(table, "y", QUICK, **ALONE).model
    assert model.preprocessing.scaling == "quantile"
    assert np.abs(model.preprocessing.transform(table).X).max() <= 5.2
    model.save(tmp_path / "model")
    again = Model.load(tmp_path / "model")
    np.testing.assert_array_equal(again.preprocessing.quantiles, model.preprocessing.quantiles)
    np.testing.assert_array_equal(again.predict(table, NUMPY).values, model.predict(table, NUMPY).values)
    team = train_ensemble(table, "y", QUICK, members=2, **ALONE).ensemble
    team.save(tmp_path / "team")
    np.testing.assert_array_equal(Ensemble.load(tmp_path / "team").predict(table), team.predict(table))
    assert cross_validate(table, "y", QUICK, folds=2, **ALONE).values().shape == (2,)


@pytest.mark.parametrize(
    ("quantiles", "words"),
    [
        (None, "there is none"),
        (np.zeros((2, 10)), r"should be float64 \(1, any\)"),
        (np.zeros((1, 1)), "2 or more numbers in a row"),
        (np.array([[3.0, 2.0]]), "which never descend"),
        (np.array([[0.0, np.inf]]), "finite numbers"),
        (np.array([[0.0, 1e31]]), "up to 1e"),
        (np.array([[0, 1]]), "float64"),
    ],
)
def test_damaged_quantiles_are_refused(quantiles: np.ndarray | None, words: str) -> None:
    found = fitted(pl.DataFrame({"a": [1.0, 2.0, 3.0], "c": ["u", "v", "u"]}))
    arrays = found.to_arrays() | {"preprocessing.quantiles": quantiles}
    with pytest.raises(DataError, match=words):
        Preprocessing.from_parts(found.to_metadata(), arrays)


def test_a_table_of_texts_alone_has_no_quantiles(tmp_path: Path) -> None:
    frame = pl.DataFrame({"c": ["u", "v", "w"] * 5, "y": [0.5, 1.5, 2.5] * 5})
    model = train_model(frame, "y", QUICK, task="regression", **ALONE).model
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(Model.load(tmp_path / "model").predict(frame).values, model.predict(frame).values)


def test_an_ensemble_of_differently_scaled_members_answers_as_its_networks(tmp_path: Path) -> None:
    table = mixed_table(60)
    space = {"scale": ["quantile", "robust", "standard"], "epochs": 4, "learning_rate": Range(0.01, 0.1)}
    found = sweep(table, "y", space, n_trials=9, cv=2, **ALONE)
    team = found.ensemble(9)
    scales = {found.trials[int(name.split()[1])].parameters["scale"] for name in team.names}
    assert "quantile" in scales
    assert len(scales) > 1
    outputs = team.member_outputs(table, "numpy")
    for name, output in zip(team.names, outputs, strict=True):
        model = found.refit(int(name.split()[1]))
        np.testing.assert_allclose(output[:, 0], model.predict(table, NUMPY).values, rtol=1e-3, atol=1e-3)
    team.save(tmp_path / "team")
    again = Ensemble.load(tmp_path / "team")
    np.testing.assert_array_equal(again.member_outputs(table, "numpy"), outputs)
    assert [each.scaling for each in (again.preprocessing, *again.others)] == [
        each.scaling for each in (team.preprocessing, *team.others)
    ]


def test_an_ensemble_file_whose_members_read_what_is_not_there_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    team = train_ensemble(mixed_table(), "y", QUICK, members=2, **ALONE).ensemble
    odd = replace(team, members=(replace(team.members[0], view=3),))
    odd.save(tmp_path / "team")
    with pytest.raises(ModelFileError, match="reads a view of the table that is not there"):
        Ensemble.load(tmp_path / "team")


def test_arrays_are_refused_what_no_layer_can_take_over() -> None:
    with pytest.raises(SettingsError, match=r"scale quantile is for a Table.*no quantiles.*QuantileTransformer"):
        sweep(random().normal(size=(20, 2)), random().normal(size=20), {"scale": "quantile"}, n_trials=1, cv=2)


def test_the_onnx_graph_gives_the_same_scores() -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from gpubp.models.onnx.graph import Graph
    from gpubp.models.onnx.quantiles import add_normal_scores

    for name, values in HOSTILE.items():
        known = values[~np.isnan(values)]
        count = quantile_count(len(known))
        quantiles = np.stack([fitted_quantiles(each, count)[0] for each in (known, np.floor(known), np.ones(9))])
        graph = Graph()
        given = graph.input("x", np.float64, 3)
        graph.output("z", add_normal_scores(graph, given, quantiles), np.float64, 3)
        session = runtime.InferenceSession(
            graph.model("scores", {}).SerializeToString(), providers=["CPUExecutionProvider"]
        )
        ends = [known.min(), known.max(), -1e300, 1e300, -np.inf, np.inf, 1.0, 0.0, -0.0]
        asked = np.concatenate([known, np.floor(known), 0.5 * (known[1:] + known[:-1]), quantiles.ravel(), ends])
        (found,) = session.run(None, {"x": np.stack([asked] * 3, axis=1)})
        expected = np.stack([normal_scores(asked, each) for each in quantiles], axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_the_onnx_graph_of_a_model_predicts_alike(dtype: str, tolerance: float) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    table = mixed_table()
    table = Table.from_frame(table.frame.drop("day"))
    model = train_model(table, "y", Recipe(hidden=(4,), epochs=3, scale="quantile", dtype=dtype), **ALONE).model
    session = runtime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    numbers = table.frame.select("x", "heavy", "tied").to_numpy().astype(np.float64)
    assert np.isnan(numbers).any()
    (found,) = session.run(
        None, {"numbers": numbers, "colour": table.frame["colour"].to_numpy()[:, None].astype(object)}
    )
    np.testing.assert_allclose(found, model.predict(table, NUMPY).values, rtol=tolerance, atol=tolerance)
