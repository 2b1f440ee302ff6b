"""A saved estimator comes back whole: predictions, parameters, and the next epoch to the same bits; or not at all."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save as to_bytes
from sklearn.exceptions import NotFittedError

from gpubp.errors import ModelFileError
from gpubp.estimators import MLPClassifier, MLPRegressor
from gpubp.estimators.files import load, save
from gpubp.fitting.fit import train_model
from gpubp.fitting.recipe import Recipe
from gpubp.tables import Table

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 3))
CLASS = (X[:, 0] > 0.3).astype(int) + (X[:, 1] > 0)
LABELS = (X > 0).astype(int)
QUICK: dict[str, Any] = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0, "batch_size": 20}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # a few epochs will do


def there_and_back(estimator: Any, folder: Path) -> Any:
    save(estimator, folder / "estimator")
    return load(folder / "estimator")


def public(estimator: Any) -> dict[str, Any]:
    """The fitted attributes that a file keeps, as plain values."""
    names = [
        name for name in vars(estimator) if name.endswith("_") and name not in ("history_", "coefs_", "intercepts_")
    ]
    return {name: np.asarray(getattr(estimator, name)).tolist() for name in names}


def same(first: Any, second: Any) -> None:
    assert type(first) is type(second)
    assert public(first) == public(second)
    for name in ("coefs_", "intercepts_"):
        for mine, theirs in zip(getattr(first, name), getattr(second, name), strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)
    for name in ("predict", "predict_proba"):
        if hasattr(first, name):
            mine, theirs = getattr(first, name)(X), getattr(second, name)(X)
            if scipy.sparse.issparse(mine):
                mine, theirs = mine.toarray(), theirs.toarray()
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    "classes",
    [
        np.array([0, 1]),
        np.array([3, -5, 2**62]),
        np.array([3, 5, 7], dtype="uint8"),
        np.array([-1.0, 0.0, 1e15]),
        np.array([1.0, 2.0], dtype="float32"),
        np.array([False, True]),
        np.array(["ja", "nein", "vielleicht ☂"]),
        np.array(["ja", "nein", ""], dtype=object),
        np.array(["alone"]),
    ],
    ids=lambda classes: f"{len(classes)} {classes.dtype.name}",
)
def test_classes_of_every_type(classes: np.ndarray, tmp_path: Path) -> None:
    mlp = MLPClassifier(**QUICK).fit(X, classes[CLASS % len(classes)])
    loaded = there_and_back(mlp, tmp_path)
    same(mlp, loaded)
    assert loaded.classes_.dtype == mlp.classes_.dtype


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_matrix], ids=["dense", "sparse"])
def test_several_labels_for_a_row(make: Any, tmp_path: Path) -> None:
    mlp = MLPClassifier(**QUICK).fit(X, make(LABELS))
    same(mlp, there_and_back(mlp, tmp_path))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": "poisson", "activation": "mish", "hidden_layer_sizes": ()},
        {"solver": "lbfgs"},
        {"early_stopping": True, "validation_fraction": 0.3, "hidden_layer_sizes": [4, 3]},
        {"hidden_layer_sizes": np.array([4, 3]), "n_iter_no_change": np.inf, "alpha": np.float32(0.5), "max_fun": 7},
        {"solver": "adamw", "dropout": (0.2,), "clip_norm": 3, "learning_rate": "cosine", "dtype": "float64"},
    ],
    ids=str,
)
def test_regressors_of_every_kind(changes: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    y = X[:, :2] ** 2 if "clip_norm" in changes else np.abs(X[:, 0])
    mlp = MLPRegressor(**QUICK | changes).fit(X.astype(dtype), y)
    loaded = there_and_back(mlp, tmp_path)
    same(mlp, loaded)
    given, kept = mlp.get_params(), loaded.get_params()
    for name in given:
        assert np.array_equal(given[name], kept[name]), name
        assert isinstance(given[name], tuple) == isinstance(kept[name], tuple)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"solver": "adamw", "dropout": 0.2},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 1e9, "n_iter_no_change": 1},
        {"solver": "sgd", "learning_rate": "invscaling", "momentum": 0.0},
        {"class_weight": {0: 2.0, 1: 1.0, 2: 0.5}, "random_state": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("begun_by", ["fit", "partial_fit"])
def test_training_goes_on_to_the_same_bits(changes: dict[str, Any], begun_by: str, tmp_path: Path) -> None:
    mlp = MLPClassifier(**QUICK | changes)
    if begun_by == "fit":
        mlp.fit(X, CLASS)
    for _ in range(3 if begun_by == "partial_fit" else 0):
        mlp.partial_fit(X, CLASS, classes=[0, 1, 2])
    loaded = there_and_back(mlp, tmp_path)
    for _ in range(3):
        mlp.partial_fit(X, CLASS)
        loaded.partial_fit(X, CLASS)
        same(mlp, loaded)


def test_names_of_features(tmp_path: Path) -> None:
    import polars as pl

    frame = pl.DataFrame(X, schema=["a", "größe", "c"])
    loaded = there_and_back(MLPRegressor(**QUICK).fit(frame, X[:, 0]), tmp_path)
    assert [*loaded.feature_names_in_] == ["a", "größe", "c"]
    loaded.predict(frame)
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame.rename({"a": "b"}))


def test_a_subclass_is_loaded_as_what_is_asked_for(tmp_path: Path) -> None:
    class Mine(MLPClassifier):
        pass

    save(Mine(**QUICK).fit(X, CLASS), tmp_path / "mine")
    assert type(load(tmp_path / "mine")) is MLPClassifier
    assert type(load(tmp_path / "mine", Mine)) is Mine
    assert type(load(tmp_path / "mine", MLPClassifier)) is MLPClassifier
    with pytest.raises(
        ModelFileError, match=r"holds a MLPClassifier, not a MLPRegressor: load it with MLPClassifier\.load"
    ):
        load(tmp_path / "mine", MLPRegressor)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"callbacks": [print]}, r"cannot hold its parameter callbacks, <built-in function print>: save a copy"),
        ({"random_state": np.random.RandomState(0)}, "its parameter random_state, RandomState"),
        (
            {"classes_": np.array([1, "a", None], dtype=object)},
            "Its classes are object such as 1, and the file can hold",
        ),
        ({"classes_": np.array(["2020", "2021", "2022"], dtype="datetime64[Y]")}, "Its classes are datetime64"),
        (
            {"coefs_": [np.full((3, 5), np.nan), np.ones((5, 3))]},
            "'layers.0.weights' should hold finite numbers only; found nan at .0, 0.",
        ),
        ({"coefs_": [np.ones((3, 4)), np.ones((5, 3))]}, "layer 0 has weights"),
        ({"loss_": "low"}, "loss_ should be a finite number; found 'low'"),
    ],
)
def test_what_a_file_cannot_hold(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    mlp = MLPClassifier(**QUICK).fit(X, CLASS)
    vars(mlp).update(changes)
    (tmp_path / "estimator").write_bytes(b"as it was")
    with pytest.raises(ModelFileError, match=f"Cannot save this MLPClassifier.*{message}"):
        save(mlp, tmp_path / "estimator")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"as it was"]


def test_before_fit(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        save(MLPRegressor(), tmp_path / "estimator")


def test_a_place_that_takes_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"Cannot save this MLPRegressor\. Cannot write"):
        save(MLPRegressor(**QUICK).fit(X, X[:, 0]), tmp_path / "nowhere" / "estimator")


def test_files_of_other_kinds(tmp_path: Path) -> None:
    table = Table.from_arrays(X, CLASS.astype(str))
    train_model(table, None, Recipe(hidden=(3,), epochs=1)).model.save(tmp_path / "model")
    with pytest.raises(
        ModelFileError, match=r"a model on tables.*load it with gpubp\.Model\.load.*MLPClassifier\.save"
    ):
        load(tmp_path / "model")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "arrays").write_bytes(to_bytes({"a": np.ones(3)}))
    (tmp_path / "list").write_bytes(to_bytes({"a": np.ones(3)}, {"gpubp": "[1]"}))
    for name, message in (
        ("text", "cut short or damaged"),
        ("arrays", "is a safetensors file, but not an estimator"),
        ("list", "is not an estimator of gpubp"),
        (".", "is a folder"),
        ("nothing", "There is no estimator file"),
    ):
        with pytest.raises(ModelFileError, match=message):
            load(tmp_path / name)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["version"], 2, "format version 2; this gpubp reads version 1"),
        (
            ["estimator"],
            "MLPTransformer",
            "one of MLPClassifier, MLPRegressor, .*; found 'MLPTransformer'",
        ),
        (["estimator"], ["MLPClassifier"], "unknown estimator"),
        (["parameters", "gates"], 3, "differ in their parameters: gates"),
        (["parameters", "alpha"], -1.0, "'alpha' parameter .* must be"),
        (["parameters", "tol"], {"code": "print(1)"}, "stands for nothing"),
        (["layers"], 10**9, "layers should be a whole number from 1 to .*; found 1000000000"),
        (["out_activation"], "identity", "out_activation should be one of logistic, softmax; found 'identity'"),
        (["labels", "values"], [0, 1], "2 classes of multiclass labels, and 3 outputs"),
        (["labels", "values"], [0, 1, 1], "3 classes of multiclass"),
        (["labels", "values"], [0, 1, "2"], "labels.values should be a list of int64"),
        (["labels", "dtype"], "O8", "labels.dtype should be one of .* found 'O8'"),
        (["labels", "dtype"], "int8", None),
        (["labels", "values"], [0, 1, 2**70], "a whole number of more than 64 bits"),
        (["features"], ["a"], "features should be the names of 3 inputs"),
        (["record", "loss_curve_"], ["a"], r"loss_curve_\[0\] should be a finite number; found 'a'"),
        (["state", "seed"], -1, "seed should be .*; found -1"),
        (["state", "epoch"], -1, "epoch should be .*; found -1"),
        (["state", "slots"], ["mean", "elsewhere"], "'state.slots.elsewhere' should be float64"),
        (["state", "plateau"], {"mapping": []}, "plateau.tolerance is missing"),
    ],
)
def test_a_false_description(path: list[str], value: Any, message: str | None, tmp_path: Path) -> None:
    save(MLPClassifier(**QUICK).fit(X, CLASS), tmp_path / "true")
    tensors, described = parts((tmp_path / "true").read_bytes())
    place = described
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    (tmp_path / "false").write_bytes(to_bytes(tensors, {"gpubp": json.dumps(described)}))
    if message is None:
        load(tmp_path / "false")
        return
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path / "false")


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("estimators")
    save(MLPClassifier(**QUICK).fit(X, CLASS), folder / "classes")
    adaptive = MLPRegressor(**QUICK, solver="sgd", learning_rate="adaptive")
    save(adaptive.partial_fit(X, X[:, 0]), folder / "values")
    save(MLPClassifier(**QUICK, n_members=2, bootstrap=True).fit(X, CLASS), folder / "members")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def must_end_well(folder: Path, content: bytes) -> None:
    """A ModelFileError, or an estimator that predicts, can be trained on, and can be saved again."""
    (folder / "bad").write_bytes(content)
    try:
        loaded = load(folder / "bad")
    except ModelFileError:
        return
    rows = np.zeros((2, loaded.n_features_in_))
    assert len(loaded.predict(rows)) == 2
    save(loaded, folder / "again")


@given(st.sampled_from(["classes", "values", "members"]), st.data())
def test_a_file_cut_short(contents: dict[str, bytes], tmp_path_factory: Any, name: str, data: st.DataObject) -> None:
    content = contents[name][: data.draw(st.integers(0, len(contents[name]) - 1))]
    (tmp_path_factory.getbasetemp() / "short").write_bytes(content)
    with pytest.raises(ModelFileError):
        load(tmp_path_factory.getbasetemp() / "short")


@given(
    st.sampled_from(["classes", "values", "members"]),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1),
)
@settings(max_examples=90)
def test_bytes_changed(contents: dict[str, bytes], tmp_path_factory: Any, name: str, changes: Any) -> None:
    content = bytearray(contents[name])
    for place, value in changes:
        content[place % len(content)] = value
    must_end_well(tmp_path_factory.getbasetemp(), bytes(content))


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x02" + b"\0" * 7 + b"{}")
def test_arbitrary_bytes(tmp_path_factory: Any, content: bytes) -> None:
    must_end_well(tmp_path_factory.getbasetemp(), content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["softmax", "exp"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["tuple", "float", "a"]), inner),
    max_leaves=6,
)
SHAPES = st.lists(st.integers(0, 3), max_size=3)


@given(st.sampled_from(["classes", "values", "members"]), st.data())
@settings(max_examples=120)
def test_one_thing_changed(contents: dict[str, bytes], tmp_path_factory: Any, name: str, data: st.DataObject) -> None:
    tensors, described = parts(contents[name])
    if data.draw(st.booleans(), label="change an array"):
        changed = data.draw(st.sampled_from(sorted(tensors)))
        kind = data.draw(st.sampled_from(["float32", "float64", "int64", "float16"]))
        if data.draw(st.booleans(), label="of the right form"):
            value = data.draw(st.sampled_from([0.0, -1.0, 1e300, np.inf, np.nan]))
            with np.errstate(invalid="ignore"):
                tensors[changed] = np.full_like(tensors[changed], np.array(value).astype(tensors[changed].dtype))
        else:
            tensors[changed] = np.ones(data.draw(SHAPES), kind)
    else:
        described = deepcopy(described)
        path = data.draw(st.sampled_from(paths(described)))
        place: Any = described
        for step in path[:-1]:
            place = place[step]
        if data.draw(st.booleans(), label="remove it") and isinstance(place, dict):
            del place[path[-1]]
        else:
            place[path[-1]] = data.draw(JSON)
    must_end_well(tmp_path_factory.getbasetemp(), to_bytes(tensors, {"gpubp": json.dumps(described)}))


def parts(content: bytes) -> tuple[dict[str, np.ndarray], Any]:
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    described = json.loads(metadata["gpubp"])
    del described["sha256"]
    return dict(from_bytes(content)), described


def paths(value: Any) -> list[tuple[Any, ...]]:
    """The way to every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in [(key,), *((key, *rest) for rest in paths(item))]]
