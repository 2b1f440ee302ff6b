"""Training on tables, model files, cross-validation: through the public functions."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import gpubp
from gpubp import Model, Recipe, cross_validate, read_table, train_model
from gpubp.backends import Backend, NumpyBackend
from gpubp.errors import DataError, DivergenceError, ModelFileError, SettingsError
from gpubp.storage.files import write_whole
from gpubp.tables import Table

SEEDS = Path(__file__).parents[2] / "data" / "wheat-seeds.csv"
QUICK = Recipe(hidden=(6,), epochs=8, learning_rate=0.01)


def flowers(n: int = 90, seed: int = 0) -> Table:
    """Numbers, a category, missing values, text labels; and a number to regress on."""
    random = np.random.default_rng(seed)
    length, width = random.normal(5, 1, n), random.normal(2, 0.5, n)
    colour = random.choice(["red", "blue", "white"], n)
    label = np.where(length + 2 * width + (colour == "red") > 9.3, "iris", "rose")
    frame = pl.DataFrame(
        {"length": length, "width": width, "colour": colour, "height": 3 * length - width, "kind": label}
    )
    holes = frame.with_columns(
        pl.when(pl.int_range(pl.len()) % 11 == 0).then(None).otherwise(pl.col("length")).alias("length"),
        pl.when(pl.int_range(pl.len()) % 13 == 0).then(None).otherwise(pl.col("colour")).alias("colour"),
    )
    return Table.from_frame(holes, source="flowers")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_trained_model_survives_its_file(backend: Backend, task: str, tmp_path: Path) -> None:
    table = flowers()
    target = "kind" if task == "classification" else "height"
    fit = train_model(table, target, QUICK, backend=backend)
    fit.model.save(tmp_path / "model.safetensors")
    loaded = Model.load(tmp_path / "model.safetensors")
    assert loaded.task == task
    first, second = fit.model.predict(table, backend), loaded.predict(table, backend)
    np.testing.assert_array_equal(first.values, second.values)
    assert loaded.training["recipe"]["hidden"] == [6]
    assert loaded.training["rows"] == 90
    score = loaded.evaluate(table, backend)
    assert score["rows"] == 90
    if task == "classification":
        assert first.probabilities is not None
        np.testing.assert_allclose(first.probabilities.sum(axis=1), 1.0, rtol=1e-6)
        assert score["accuracy"] == pytest.approx((first.values == table.frame["kind"].to_numpy()).mean())
    else:
        error = first.values - table.frame["height"].to_numpy()
        assert score["rmse"] == pytest.approx(np.sqrt((error**2).mean()))


def test_a_model_file_reads_in_any_framework(tmp_path: Path) -> None:
    train_model(flowers(), "kind", QUICK).model.save(tmp_path / "m.safetensors")
    tensors = load_file(tmp_path / "m.safetensors")
    assert tensors["layers.0.weights"].shape == (2 + 4 + 1, 6)  # two numbers, three colours and "missing", a number
    assert tensors["layers.1.biases"].shape == (2,)
    assert tensors["layers.1.biases"].dtype == np.float32


def test_validation_and_early_stopping() -> None:
    recipe = Recipe(hidden=(8,), epochs=300, learning_rate=0.02, early_stopping=True, patience=3)
    fit = train_model(flowers(200), "kind", recipe)
    assert fit.n_validation == 40
    assert fit.n_training == 160
    assert fit.history.epochs[0] < 300
    assert fit.validation is not None
    assert fit.validation["accuracy"] > 0.7
    assert fit.model.training["kept_epoch"] == fit.history.best_epoch[0] + 1
    report = train_model(flowers(), "height", Recipe(validation=0.3, epochs=3)).validation
    assert report is not None
    assert set(report) == {"r2", "rmse", "mae"}


def test_validation_rows_do_not_touch_the_preprocessing() -> None:
    table = flowers()
    recipe = Recipe(epochs=1, validation=0.3)
    from gpubp.fitting.splits import validation_split

    labels = (table.frame["kind"] == "rose").to_numpy().astype(int)
    _, held = validation_split(labels, table.rows, 0.3, recipe.seed)
    changed = table.frame.with_columns(
        pl.when(pl.int_range(pl.len()).is_in(held.tolist())).then(1e6).otherwise(pl.col("width")).alias("width")
    )
    first = train_model(table, "kind", recipe).model
    second = train_model(Table.from_frame(changed), "kind", recipe).model
    np.testing.assert_array_equal(first.preprocessing.scale, second.preprocessing.scale)
    np.testing.assert_array_equal(first.params, second.params)


def test_counts_with_the_poisson_loss() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=300)
    table = Table.from_frame(pl.DataFrame({"x": x, "n": random.poisson(np.exp(1 + x))}))
    fit = train_model(table, "n", Recipe(loss="poisson", hidden=(8,), epochs=60, learning_rate=0.01), task="regression")
    values = fit.model.predict(table, NumpyBackend()).values
    assert (values > 0).all()
    assert fit.model.evaluate(table, NumpyBackend())["r2"] > 0.6


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_logistic_outputs_classify_too(loss: str) -> None:
    fit = train_model(flowers(), "kind", Recipe(loss=loss, epochs=60, learning_rate=0.01))
    prediction = fit.model.predict(flowers(), NumpyBackend())
    assert prediction.probabilities is not None
    np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1.0)
    assert fit.model.evaluate(flowers(), NumpyBackend())["accuracy"] > 0.8


def test_divergence_leaves_no_model() -> None:
    with pytest.raises(DivergenceError, match=r"in epoch \d+\. Try a smaller --learning-rate"):
        train_model(flowers(), "height", Recipe(optimizer="sgd", learning_rate=1e6, scale="none", epochs=50))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hidden": (0,)}, "0 neurons in hidden layer 1"),
        ({"learning_rate": -1.0}, "learning rate -1"),
        ({"loss": "hinge"}, "Unknown loss"),
        ({"dtype": "float16"}, "float16"),
        ({"validation": 1.5}, "Validation share 1.5"),
        ({"seed": -1}, "Seed -1"),
        ({"loss": "squared_error", "label_smoothing": 0.1}, "Label smoothing"),
    ],
)
def test_impossible_recipes_are_refused_before_a_table_is_read(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Recipe(**options)


@pytest.mark.parametrize(
    ("target", "loss", "words"),
    [("kind", "poisson", "is for regression"), ("height", "cross_entropy", "is for classification")],
)
def test_losses_for_the_other_task(target: str, loss: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        train_model(flowers(), target, Recipe(loss=loss))


def test_cross_validation_is_one_population(backend: Backend) -> None:
    table = read_table(SEEDS)
    result = cross_validate(
        table, recipe=Recipe(hidden=(8,), epochs=40, learning_rate=0.01), repeats=2, backend=backend
    )
    assert result.history.training_loss.shape == (40, 10)
    assert result.metric == "accuracy"
    assert len(result.values()) == 10
    assert result.values().mean() > 0.85
    assert result.baseline_values().mean() == pytest.approx(1 / 3, abs=0.01)
    assert result.values("macro_f1").mean() > 0.85


def test_cross_validation_of_a_regression_with_early_stopping() -> None:
    recipe = Recipe(hidden=(8,), epochs=100, learning_rate=0.02, early_stopping=True, patience=5)
    result = cross_validate(flowers(150), "height", recipe, folds=3)
    assert result.metric == "r2"
    assert result.values().min() > 0.7
    assert result.baseline_values().max() < 0.05


def test_test_rows_do_not_touch_their_folds_training() -> None:
    """Wild values in the rows of one test fold change no other thing than the scores of that fold... and of the
    folds that train on these rows."""
    table = flowers()
    recipe = Recipe(hidden=(4,), epochs=5)
    from gpubp.fitting.splits import cross_validation_folds

    labels = (table.frame["kind"] == "rose").to_numpy().astype(int)
    first = cross_validation_folds(labels, table.rows, 3, 1, recipe.seed)[0]
    wild = table.frame.with_columns(
        pl.when(pl.int_range(pl.len()).is_in(first.tolist())).then(1e6).otherwise(pl.col("width")).alias("width")
    )
    plain, changed = (cross_validate(t, "kind", recipe, folds=3) for t in (table, Table.from_frame(wild)))
    np.testing.assert_array_equal(plain.history.training_loss[:, 0], changed.history.training_loss[:, 0])
    assert not np.array_equal(plain.history.training_loss[:, 1], changed.history.training_loss[:, 1])


def test_cross_validation_refuses() -> None:
    with pytest.raises(SettingsError, match="at most"):
        cross_validate(flowers(20), "kind", QUICK, folds=19)
    with pytest.raises(DivergenceError, match="fold 1 of repeat 1"):
        cross_validate(flowers(), "height", Recipe(optimizer="sgd", learning_rate=1e6, scale="none", epochs=50))
    with pytest.raises(DataError, match="needs at least 2"):
        cross_validate(Table.from_frame(pl.DataFrame({"x": [1.0], "y": [2.0]})))


def saved(folder: Path) -> Path:
    path = folder / "model.safetensors"
    train_model(flowers(), "kind", QUICK).model.save(path)
    return path


def described(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    described = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["gpubp"])
    assert len(described.pop("sha256")) == 64
    return load_file(path), described


def test_model_files_that_are_none(tmp_path: Path) -> None:
    path = saved(tmp_path)
    whole = path.read_bytes()
    tensors, metadata = described(path)
    cases: dict[str, Any] = {
        "cut short": lambda: path.write_bytes(whole[: len(whole) // 2]),
        "empty": lambda: path.write_bytes(b""),
        "a table": lambda: path.write_text("1,2,3\n4,5,6\n"),
        "another program's": lambda: save_file(tensors, path),
        "no JSON": lambda: save_file(tensors, path, {"gpubp": "{"}),
        "not a model": lambda: save_file(tensors, path, {"gpubp": "[1]"}),
    }
    for name, spoil in cases.items():
        spoil()
        with pytest.raises(ModelFileError, match="not a model"):
            Model.load(path)
        assert path.exists(), name
    save_file(tensors, path, {"gpubp": json.dumps(metadata | {"version": 99})})
    with pytest.raises(ModelFileError, match="version 99; this gpubp reads versions 1 and 2"):
        Model.load(path)
    with pytest.raises(ModelFileError, match="no model file"):
        Model.load(tmp_path / "none.safetensors")
    with pytest.raises(ModelFileError, match="is a folder"):
        Model.load(tmp_path)


def test_model_files_that_contradict_themselves(tmp_path: Path) -> None:
    path = saved(tmp_path)
    tensors, metadata = described(path)
    spoils: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"layers.0.weights": np.zeros((2, 2), np.float32)}, {}),
        ({"layers.0.weights": tensors["layers.0.weights"].astype(np.float16)}, {}),
        ({"layers.1.biases": np.array([np.nan, 0], np.float32)}, {}),
        ({}, {"architecture": {"sizes": [1, 10**9, 2], "activations": ["relu", "softmax"]}}),
        ({}, {"architecture": {"sizes": [], "activations": []}}),
        ({}, {"architecture": None}),
        ({}, {"architecture": {"sizes": ["a", "b"], "activations": ["relu"]}}),
        ({}, {"training": 3}),
        ({}, {"target": {}}),
        ({}, {"preprocessing": {"columns": 7}}),
    ]
    for arrays, texts in spoils:
        save_file(tensors | arrays, path, {"gpubp": json.dumps(metadata | texts)})
        with pytest.raises(ModelFileError):
            Model.load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    change=st.dictionaries(st.sampled_from(["architecture", "preprocessing", "target", "training"]), JSON, min_size=1)
)
def test_no_description_ends_in_anything_but_an_error(tmp_path_factory: pytest.TempPathFactory, change: dict) -> None:
    folder = tmp_path_factory.getbasetemp() / "hostile"
    if not folder.exists():
        folder.mkdir()
        saved(folder)
    tensors, metadata = described(folder / "model.safetensors")
    save_file(tensors, folder / "hostile.safetensors", {"gpubp": json.dumps(metadata | change)})
    with contextlib.suppress(ModelFileError):  # anything else fails the test
        Model.load(folder / "hostile.safetensors")


def test_files_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    path = tmp_path / "file"
    write_whole(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    with pytest.raises(DataError, match="is a folder"):
        write_whole(tmp_path, b"")
    with pytest.raises(DataError, match="No such file"):
        write_whole(tmp_path / "nowhere" / "file", b"")
    with pytest.raises(ModelFileError, match="Cannot write"):
        train_model(flowers(), "kind", QUICK).model.save(tmp_path / "nowhere" / "m")


def test_replaced_files_keep_their_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"1")
    path.chmod(0o640)
    write_whole(path, b"2")
    assert path.stat().st_mode & 0o777 == 0o640


def test_rows_far_from_the_training_are_refused() -> None:
    model = train_model(flowers(), "height", Recipe(hidden=(4,), epochs=2, dtype="float32")).model
    huge = Model(model.architecture, model.params * np.float32(1e37), model.preprocessing, model.target, {})
    with pytest.raises(DataError, match="not a finite number"):
        huge.predict(flowers(), NumpyBackend())


def test_the_package_offers_what_it_lists() -> None:
    for name in gpubp.__all__:
        assert getattr(gpubp, name) is not None
        assert name in dir(gpubp)
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        _ = gpubp.magic


def test_an_estimators_file_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "estimator.safetensors"
    gpubp.MLPRegressor(solver="lbfgs").fit(np.eye(3), np.arange(3.0)).save(path)
    with pytest.raises(ModelFileError, match=r"estimator\.safetensors is an estimator's file: read it with MLP"):
        Model.load(path)
