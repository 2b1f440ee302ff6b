"""Predicted numbers: within the training target's range, and of logarithms where the target is skewed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command_line import refused, succeeds
from safetensors import safe_open
from safetensors.numpy import save_file

from gpubp import Ensemble, Model, cross_validate, sweep, train_ensemble, train_model
from gpubp.backends import get_backend
from gpubp.errors import DataError, ModelFileError, SettingsError
from gpubp.fitting.recipe import Recipe
from gpubp.preprocessing import Target
from gpubp.preprocessing.skew import log_offer
from gpubp.storage.array_files import read_array_file
from gpubp.tables import Table

NUMPY = get_backend("numpy")
ARRAY = {"backend": "numpy", "engine": "array"}
LINEAR = {"hidden": (), "epochs": 60, "learning_rate": 0.05, "scale": "standard"}
RNG = np.random.default_rng(11)
X = RNG.normal(size=120)
PRICES = np.exp(2 * X + 0.1 * RNG.normal(size=120))
FAR = Table.from_frame(pl.DataFrame({"x": [-50.0, 0.0, 50.0, 60.0]}))


def table(y: np.ndarray) -> Table:
    return Table.from_frame(pl.DataFrame({"x": X, "y": y}))


def written(path: Path, y: np.ndarray) -> Path:
    pl.DataFrame({"x": X, "y": y}).write_csv(path)
    return path


def limits_of(y: np.ndarray, least: float = -np.inf) -> tuple[float, float]:
    more = 0.1 * (y.max() - y.min())
    return max(y.min() - more, least), y.max() + more


def test_predictions_stay_within_the_widened_range_and_a_note_counts_them() -> None:
    y = 3 * X
    bounded = train_model(table(y), "y", Recipe(**LINEAR), **ARRAY).model
    low, high = limits_of(y)
    assert bounded.target.limits == pytest.approx((low, high))
    found = bounded.predict(FAR, NUMPY)
    assert found.values[[0, 2, 3]].tolist() == pytest.approx([low, high, high])
    assert found.notes == (
        f"3 of 4 predictions lay outside the training target's range, widened by a tenth ({low:g} to {high:g}), and "
        "were set to its edge; train with --no-clip to let them out.",
    )
    free = train_model(table(y), "y", Recipe(**LINEAR, clip_predictions=False), **ARRAY).model
    assert free.target.limits is None
    assert free.predict(FAR, NUMPY).values[3] > 2 * high
    assert free.predict(FAR, NUMPY).notes == ()


def test_the_range_is_of_the_training_rows_alone() -> None:
    y = np.array([1.0, 2.0, 3.0, 1000.0])
    rows = np.array([0, 1, 2])
    found = Target.fit(Table.from_arrays(np.zeros((4, 0)), y, names=["y"]), "y", "regression", rows, clip=True)
    assert found.limits == pytest.approx((0.8, 3.2))


def test_counts_do_not_go_below_zero() -> None:
    counts = RNG.poisson(np.exp(0.5 + 0.3 * X)).astype(float)
    model = train_model(table(counts), "y", Recipe(loss="poisson", **LINEAR), task="regression", **ARRAY).model
    assert model.target.limits == pytest.approx(limits_of(counts, 0.0))


def test_scores_everywhere_are_of_bounded_predictions() -> None:
    x = np.append(X, 1e4)  # a row whose prediction is far away, unless it is held
    data = Table.from_frame(pl.DataFrame({"x": x, "y": np.append(3 * X, 0.0)}))
    for bounded in (True, False):
        recipe = Recipe(**LINEAR, clip_predictions=bounded)
        scores = cross_validate(data, "y", recipe, folds=3, **ARRAY)
        assert (scores.values("rmse").max() < 10) == bounded
        swept = sweep(data, "y", LINEAR | {"clip_predictions": bounded}, n_trials=1, cv=3, metric="loss", **ARRAY)
        assert (swept.best.scores.min() > -100) == bounded
        assert (np.abs(swept.out_of_fold(0)).max() < 20) == bounded


def test_ensembles_hold_each_member(tmp_path: Path) -> None:
    y = 3 * X
    team = train_ensemble(table(y), "y", Recipe(**LINEAR), members=2, **ARRAY).ensemble
    low, high = limits_of(y)
    answer = team.answer(FAR, "numpy")
    assert answer.values[[0, 3]].tolist() == pytest.approx([low, high])
    assert "For 3 of 4 rows a member's prediction lay outside the training target's range" in answer.notes[0]
    swept = sweep(table(y), "y", LINEAR | {"target_scale": "standard"}, n_trials=1, cv=2, **ARRAY).ensemble(1)
    assert swept.predict(FAR, "numpy")[[0, 3]].tolist() == pytest.approx([low, high])
    swept.save(tmp_path / "team")
    assert Ensemble.load(tmp_path / "team").predict(FAR, "numpy").tolist() == swept.predict(FAR, "numpy").tolist()


def test_logarithms_are_learned_and_decoded() -> None:
    fits = {
        scale: train_model(table(PRICES), "y", Recipe(**LINEAR, target_scale=scale), **ARRAY).model
        for scale in ("standard", "log")
    }
    errors = {scale: fit.evaluate(table(PRICES), NUMPY)["r2"] for scale, fit in fits.items()}
    assert errors["log"] > max(0.9, errors["standard"])
    assert fits["log"].target.mean == pytest.approx(np.log(PRICES).mean())
    assert fits["log"].predict(table(PRICES), NUMPY).values.min() > 0
    below = Table.from_frame(pl.DataFrame({"x": [0.0, 1.0], "y": [-1.0, 0.0]}))
    assert np.isfinite(fits["log"].evaluate(below, NUMPY)["rmse"])  # what is not above 0 can be compared with


def test_logarithms_in_all_ways_of_training(tmp_path: Path) -> None:
    data = table(PRICES)
    recipe = Recipe(**LINEAR, target_scale="log")
    scores = cross_validate(data, "y", recipe, folds=3, **ARRAY)
    assert scores.values().mean() > 0.8
    constant = cross_validate(data, "y", Recipe(**LINEAR), folds=3, **ARRAY)
    np.testing.assert_allclose(scores.baseline_values(), constant.baseline_values())  # the mean of the values
    team = train_ensemble(data, "y", recipe, members=2, **ARRAY).ensemble
    assert team.evaluate(data)["r2"] > 0.8
    space = LINEAR | {"target_scale": ["standard", "log"]}
    swept = sweep(data, "y", space, n_trials=2, cv=3, **ARRAY)
    assert swept.best.parameters["target_scale"] == "log"
    assert swept.refit().target.log
    both = swept.ensemble(1, candidates=2)
    np.testing.assert_allclose(both.predict(data), swept.refit().predict(data, NUMPY).values, rtol=0.2)
    both.save(tmp_path / "both")
    assert Ensemble.load(tmp_path / "both").predict(data).tolist() == both.predict(data).tolist()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"target_scale": "log", "loss": "poisson"}, "goes with the loss squared_error or huber, not with poisson"),
        ({"target_scale": "sqrt"}, "Unknown target scale 'sqrt'"),
        ({"clip_predictions": "no"}, "give True or False"),
    ],
)
def test_recipes_that_cannot_be(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Recipe(**given)


def test_logarithms_of_what_has_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 3.*found -1, and a target scaled by its logarithm has to be above 0"):
        train_model(table(np.array([1.0, 2.0, -1.0, *PRICES[3:]])), "y", Recipe(target_scale="log"), **ARRAY)
    with pytest.raises(SettingsError, match="for numbers to be predicted, and this is classification"):
        train_model(table(np.arange(120) % 2), "y", Recipe(target_scale="log"), **ARRAY)


def test_what_is_too_large_for_a_number_is_an_error_in_words() -> None:
    recipe = Recipe(**LINEAR, target_scale="log", clip_predictions=False)
    model = train_model(table(PRICES), "y", recipe, **ARRAY).model
    with pytest.raises(DataError, match="The prediction for row 1 is too large for a number"):
        model.predict(Table.from_frame(pl.DataFrame({"x": [1e5]})), NUMPY)


@pytest.mark.parametrize(
    ("values", "offered"),
    [
        (PRICES, True),
        (np.random.default_rng(0).pareto(1.5, 500) + 1, True),
        (RNG.normal(10, 1, 200), False),
        (np.append(RNG.normal(10, 1, 200), 1e9), False),  # one outlier is no long tail
        (1000 + RNG.exponential(size=200), False),  # nor do logarithms help here
        (PRICES - 1, False),
        (PRICES[:10], False),
        (np.full(50, 3.0), False),
    ],
)
def test_the_offer_of_logarithms(values: np.ndarray, offered: bool) -> None:
    assert (log_offer(values, "y") is not None) == offered


def test_the_command_line_offers_and_takes_them(tmp_path: Path) -> None:
    file, model = written(tmp_path / "prices.csv", PRICES), tmp_path / "m"
    options = ("--epochs", 2, "--hidden", 2, "--engine", "array")
    plain = succeeds("train", file, *options, "-o", model)
    assert "--target-scale log, which learns its logarithm, may do better" in plain.err
    assert "--target-scale log may do better" in plain.out
    found = json.loads(succeeds("train", file, *options, "-o", model, "--target-scale", "log", "--json").out)
    assert (found["target_scale"], found["target_scale_offer"]) == ("log", None)
    assert found["target_limits"] == pytest.approx(limits_of(PRICES))
    shown = succeeds("show", model).out
    assert "its logarithm in units of" in shown
    assert "predictions stay within" in shown
    assert "then smoothly clipped at ±3" in shown
    assert "median" in shown
    assert json.loads(succeeds("show", model, "--json").out)["target"]["log"] is True
    succeeds("train", file, *options, "-o", model, "--no-clip")
    assert Model.load(model).target.limits is None
    members = json.loads(succeeds("train", file, *options, "-o", model, "--members", 2, "--json").out)
    assert "--target-scale log" in members["target_scale_offer"]
    checked = succeeds("cross-validate", file, *options, "--folds", 2)
    assert "--target-scale log may do better" in checked.out
    small = ("--trials", 1, "--folds", 2, "--set", "epochs=1", "--engine", "array")
    swept = json.loads(succeeds("sweep", file, *small, "--no-clip", "--json").out)
    assert "--target-scale log" in swept["target_scale_offer"]
    assert "--no-clip" in swept["command"].split()
    swept = json.loads(succeeds("sweep", file, *small, "--set", "target-scale=log", "--json").out)
    assert swept["target_scale_offer"] is None
    assert "--target-scale log" in swept["command"]
    refused(tmp_path, "train", written(tmp_path / "zero.csv", PRICES.round()), "--target-scale", "log", words=("line",))


@pytest.mark.parametrize("kind", ["model", "ensemble"])
def test_files_of_version_1_answer_as_they_did(kind: str, tmp_path: Path) -> None:
    path, recipe = tmp_path / "file", Recipe(**LINEAR, clip_predictions=False)
    loader: Any = Model if kind == "model" else Ensemble
    if kind == "model":
        train_model(table(PRICES), "y", recipe, **ARRAY).model.save(path)
    else:
        train_ensemble(table(PRICES), "y", recipe, members=2, **ARRAY).ensemble.save(path)
    before = loader.load(path).predict(FAR, NUMPY)
    tensors, described = read_array_file(path, "a file", "")
    assert described["version"] == (2 if kind == "model" else 3)
    described["version"] = 1
    for name in ("log", "limits"):
        del described["target"][name]
    for group in described.get("members", ()):
        for name in ("unscaled", "log", "limited"):
            del group[name]
    with safe_open(path, "np") as file:
        key = next(iter(file.metadata()))
    save_file(dict(tensors), path, {key: json.dumps(described)})
    after = loader.load(path).predict(FAR, NUMPY)
    np.testing.assert_array_equal(getattr(after, "values", after), getattr(before, "values", before))


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("log", 1, "target.log should be true or false"),
        ("limits", [2.0, 1.0], "target.limits should be two numbers, the lower one first"),
        ("limits", [1.0], "target.limits should be two numbers"),
        ("limits", "all", "target.limits should be a list"),
    ],
)
def test_damaged_targets(entry: str, value: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    train_model(table(PRICES), "y", Recipe(hidden=(), epochs=1), **ARRAY).model.save(path)
    tensors, described = read_array_file(path, "a file", "")
    described["target"][entry] = value
    with safe_open(path, "np") as file:
        key = next(iter(file.metadata()))
    save_file(dict(tensors), path, {key: json.dumps(described)})
    with pytest.raises(ModelFileError, match=words):
        Model.load(path)


@pytest.mark.parametrize("scale", ["standard", "log"])
def test_the_onnx_graph_decodes_alike(scale: str) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = train_model(table(PRICES), "y", Recipe(**LINEAR, target_scale=scale), **ARRAY).model
    session = runtime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.array([-50.0, -1.0, 0.0, 1.0, 50.0])
    (found,) = session.run(None, {"numbers": x[:, None]})
    expected = model.predict(Table.from_frame(pl.DataFrame({"x": x})), NUMPY).values
    assert expected[-1] == model.target.limits[1]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
