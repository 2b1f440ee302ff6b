"""ONNX graphs answer as the estimators and models that they were made from: onnxruntime is asked."""

from __future__ import annotations

import builtins
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from onnx.reference import ReferenceEvaluator
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from gpubp.backends import NumpyBackend
from gpubp.errors import SettingsError
from gpubp.estimators.onnx import to_onnx
from gpubp.fitting.fit import train_model
from gpubp.fitting.recipe import Recipe
from gpubp.models.model import Model
from gpubp.models.onnx import network
from gpubp.models.onnx.graph import Graph
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.architecture import Architecture
from gpubp.operations.network import predict
from gpubp.preprocessing.dates import PARTS, calendar, input_parts
from gpubp.tables import Table

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(loc=3.0, scale=[1.0, 0.1, 40.0], size=(60, 3))
CLASS = (X[:, 0] > 3.3).astype(int) + (X[:, 1] > 3.05)
TOLERANCE = {"float32": {"rtol": 2e-5, "atol": 2e-6}, "float64": {"rtol": 1e-12, "atol": 1e-13}}


def answers(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def quick(kind: Any = MLPClassifier, **settings: Any) -> Any:
    """A network of a few steps: what matters is that it is one."""
    return kind(
        **{"hidden_layer_sizes": (5,), "solver": "lbfgs", "max_iter": 200, "tol": 1e-1, "random_state": 0} | settings
    )


def fitted(y: np.ndarray, kind: Any = MLPClassifier, dtype: str = "float64", **settings: Any) -> Any:
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    mlp = quick(kind, **settings).fit(scaled, y)
    mlp.coefs_, mlp.intercepts_ = [W.astype(dtype) for W in mlp.coefs_], [b.astype(dtype) for b in mlp.intercepts_]
    return mlp


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation(name: str, dtype: str) -> None:
    """Over everyday numbers and far out, in both runtimes."""
    Z = np.concatenate([np.linspace(-12, 12, 97), [-80, -30.5, 30.5, 80]]).astype(dtype).reshape(-1, 1)
    last = ACTIVATIONS[name].only_output
    width = 3 if name == "softmax" else 1
    shape = Architecture(1, (), width, output_activation=name) if last else Architecture(1, (1,), 1, name)
    params = RANDOM.normal(size=shape.n_parameters).astype(dtype)
    if not last:
        params[:] = [1, 0, 1, 0]  # the activation and nothing else
    graph = Graph()
    outputs = network.add_network(graph, graph.input("X", dtype, 1), shape, params)
    graph.output("Y", outputs, dtype, width)
    model = graph.model("an activation", {})
    expected = predict(NumpyBackend(), shape, params[None], Z)[0]
    tolerance = TOLERANCE["float32" if name == "gelu" else dtype]
    for found in (answers(model, {"X": Z})["Y"], ReferenceEvaluator(model).run(None, {"X": Z})[0]):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, **tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "classes",
    [
        np.array([2, 5, 9]),
        np.array([-1.0, 0.0, 2.0]),
        np.array(["rose", "iris", "lily"]),
        np.array(["rose", "iris", "lily"], dtype=object),
        np.array([7, 8]),
        np.array([False, True]),
        np.array(["no", "yes"]),
    ],
    ids=["integers", "numbers", "texts", "objects", "two", "booleans", "two texts"],
)
def test_a_classifier(classes: np.ndarray, dtype: str) -> None:
    y = classes[CLASS % len(classes)]
    mlp = fitted(y, dtype=dtype)
    rows = X.astype(dtype)
    found = answers(to_onnx(mlp), {"X": rows})
    np.testing.assert_allclose(found["probabilities"], mlp.predict_proba(rows), **TOLERANCE[dtype])
    np.testing.assert_array_equal(found["label"], mlp.predict(rows))
    assert found["label"].dtype.kind == mlp.classes_.dtype.kind.replace("U", "O")


def test_several_labels_for_a_row() -> None:
    Y = np.column_stack([CLASS > 0, CLASS > 1, X[:, 2] > 0]).astype(int)
    mlp = fitted(Y)
    found = answers(to_onnx(mlp), {"X": X})
    np.testing.assert_array_equal(found["label"], mlp.predict(X))
    np.testing.assert_allclose(found["probabilities"], mlp.predict_proba(X), **TOLERANCE["float64"])


def test_one_class_alone() -> None:
    mlp = fitted(np.full(60, 4), solver="adam", max_iter=9, n_iter_no_change=1, tol=1e9)
    mlp.intercepts_[-1][:] = [5.0]  # as if the other class were the likelier one
    np.testing.assert_array_equal(answers(to_onnx(mlp), {"X": X})["label"], mlp.predict(X))


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_a_regressor(loss: str, outputs: int) -> None:
    y = np.abs(X[:, 0]) if outputs == 1 else np.abs(X[:, [0, 1, 0]])
    mlp = fitted(y, MLPRegressor, loss=loss)
    rows = X * [1.0, 1.0, 0.02]
    found = answers(to_onnx(mlp), {"X": rows})["value"]
    assert found.shape == mlp.predict(rows).shape
    np.testing.assert_allclose(found, mlp.predict(rows), **TOLERANCE["float64"])


@pytest.mark.parametrize(
    "scalers",
    [
        [StandardScaler()],
        [StandardScaler(with_mean=False)],
        [StandardScaler(with_std=False)],
        [MinMaxScaler((-1, 1))],
        [MinMaxScaler((0, 2), clip=True), StandardScaler()],
        ["passthrough"],
        [],
    ],
    ids=str,
)
def test_a_pipeline(scalers: list[Any]) -> None:
    pipeline = make_pipeline(*scalers, quick(max_iter=2000)).fit(X, CLASS)
    rows = 2.0 * X  # some lie outside the range
    found = answers(to_onnx(pipeline), {"X": rows})
    np.testing.assert_allclose(found["probabilities"], pipeline.predict_proba(rows), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found["label"], pipeline.predict(rows))


def test_a_float64_pipeline_in_float32_scales_in_float64() -> None:
    """Numbers near 1e6 that differ by 1: a mean rounded to float32 would be off by 3 % of their spread."""
    far = np.add(X, [1e6, 1e6 + 0.03, 1e6]).astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), quick()).fit(far.astype(np.float64), CLASS)
    found = answers(to_onnx(pipeline, dtype="float32"), {"X": far})
    assert found["probabilities"].dtype == np.float32
    expected = pipeline.predict_proba(far.astype(np.float64))
    np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-4, atol=1e-5)


def test_what_the_graph_says_of_itself() -> None:
    mlp = fitted(CLASS)
    mlp.feature_names_in_ = np.array(["length", "width", "height"], dtype=object)
    model = to_onnx(mlp)
    onnx.checker.check_model(model, full_check=True)
    assert (model.producer_name, model.opset_import[0].version) == ("gpubp", 15)
    assert json.loads({prop.key: prop.value for prop in model.metadata_props}["features"]) == [
        "length",
        "width",
        "height",
    ]
    assert [node.name for node in model.graph.input] == ["X"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "rows"


@pytest.mark.parametrize(
    ("estimator", "error", "message"),
    [
        (make_pipeline(FunctionTransformer(), quick()), SettingsError, "The step FunctionTransformer has no place"),
        (StandardScaler(), SettingsError, "StandardScaler is no network"),
        (quick(), NotFittedError, "not fitted"),
        (make_pipeline(StandardScaler(), quick()), NotFittedError, "not fitted"),
    ],
)
def test_what_has_no_graph(estimator: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        to_onnx(estimator)


@pytest.mark.parametrize("classes", [np.array([2**63, 2**63 + 1], dtype="uint64"), np.array([1, 2], dtype=object)])
def test_labels_that_a_graph_cannot_hold(classes: np.ndarray) -> None:
    mlp = fitted(CLASS % 2)
    mlp.classes_ = classes
    with pytest.raises(SettingsError, match="cannot be labels in an ONNX graph"):
        to_onnx(mlp)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    importer = builtins.__import__

    def without_onnx(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return importer(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    with pytest.raises(SettingsError, match=r"pip install 'gpubp\[onnx\]'"):
        to_onnx(fitted(CLASS))


def flowers(n: int = 80) -> Table:
    random = np.random.default_rng(1)
    length, colour = random.normal(5, 1, n), random.choice(["red", "blue", "white"], n)
    holes = pl.int_range(pl.len())
    return Table.from_frame(
        pl.DataFrame(
            {
                "colour": colour,
                "length": length,
                "code": random.choice(["1", "2", "3+"], n),
                "width": 1e6 + random.normal(2, 0.5, n),
                "kind": np.where(length + (colour == "red") > 5.4, "iris", "rose"),
                "height": 3 * length,
            }
        ).with_columns(
            pl.when(holes % 11 == 0).then(None).otherwise(pl.col("length")).alias("length"),
            pl.when(holes % 13 == 0).then(None).otherwise(pl.col("colour")).alias("colour"),
        )
    )


def model_inputs(model: Model, table: Table) -> dict[str, np.ndarray]:
    numeric = [column.name for column in model.preprocessing.columns if column.kind == "numeric"]
    texts = [column.name for column in model.preprocessing.columns if column.kind == "categorical"]
    given = {name: table.frame.select(pl.col(name).fill_null("")).to_numpy().astype(object) for name in texts}
    if numeric:
        given["numbers"] = table.frame.select(pl.col(numeric).cast(pl.Float64)).to_numpy()
    return given


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error", "binary_cross_entropy"])
def test_a_model_that_classifies_tables(loss: str, dtype: str) -> None:
    recipe = Recipe(hidden=(6,), activation="silu", loss=loss, epochs=8, learning_rate=0.01, dtype=dtype)
    model = train_model(flowers(), "kind", recipe).model
    new = flowers(40)
    new = replace(new, frame=new.frame.with_columns(pl.col("colour").replace("blue", "green")))
    found, expected = answers(model.to_onnx(), model_inputs(model, new)), model.predict(new, NumpyBackend())
    assert expected.probabilities is not None
    np.testing.assert_allclose(found["probabilities"], expected.probabilities, **TOLERANCE[dtype])
    np.testing.assert_array_equal(found["label"], expected.values)
    assert found["probabilities"].dtype == np.float64


@pytest.mark.parametrize(("loss", "scale"), [("squared_error", "minmax"), ("poisson", "none")])
def test_a_model_that_predicts_numbers(loss: str, scale: str) -> None:
    table = flowers()
    table = replace(table, frame=table.frame.drop("width"))  # too large as it is
    recipe = Recipe(hidden=(6,), loss=loss, scale=scale, epochs=8, learning_rate=0.01)
    model = train_model(table, "height", recipe).model
    found = answers(model.to_onnx(), model_inputs(model, table))["value"]
    np.testing.assert_allclose(found, model.predict(table, NumpyBackend()).values, rtol=2e-5)


@pytest.mark.parametrize("kept", [["colour", "code", "kind"], ["length", "width", "kind"]], ids=["texts", "numbers"])
def test_a_model_of_one_kind_of_column(kept: list[str]) -> None:
    table = flowers()
    table = replace(table, frame=table.frame.select(kept))
    model = train_model(table, "kind", Recipe(hidden=(4,), epochs=3)).model
    found = answers(model.to_onnx(), model_inputs(model, table))
    expected = model.predict(table, NumpyBackend())
    np.testing.assert_allclose(found["probabilities"], expected.probabilities, **TOLERANCE["float32"])


def test_columns_named_like_the_graphs_own_tensors() -> None:
    frame = flowers().frame.rename({"colour": "label", "code": "numbers", "length": "gemm"})
    model = train_model(Table.from_frame(frame), "kind", Recipe(hidden=(4,), epochs=3)).model
    exported = model.to_onnx()
    inputs = {name: frame.select(pl.col(name).fill_null("")).to_numpy().astype(object) for name in ("label", "numbers")}
    inputs["numbers_1"] = frame.select("gemm", "width", "height").cast(pl.Float64).to_numpy()
    found = answers(exported, inputs)
    expected = model.predict(Table.from_frame(frame), NumpyBackend())
    np.testing.assert_array_equal(found["label_1"], expected.values)
    told = {prop.key: json.loads(prop.value) for prop in exported.metadata_props}
    assert told["labels"] == ["iris", "rose"]
    assert told["target"] == "kind"
    assert [column["name"] for column in told["columns"]] == ["label", "gemm", "numbers", "width", "height"]


def test_a_column_that_a_graph_cannot_take() -> None:
    model = train_model(flowers(), "kind", Recipe(hidden=(4,), epochs=1)).model
    columns = tuple(
        replace(column, kind="categorical") if column.name == "length" else column
        for column in model.preprocessing.columns
    )
    odd = replace(model, preprocessing=replace(model.preprocessing, columns=columns))
    with pytest.raises(SettingsError, match="Column 'length' is categorical with 0"):
        odd.to_onnx()


def test_a_graph_takes_the_parts_of_dates() -> None:
    days = [datetime(2023, 12, 29, 6) + timedelta(hours=31 * i) for i in range(40)]
    frame = pl.DataFrame({"n": [float(i % 7) for i in range(40)], "when": [*days[:-1], None], "c": ["a", "b"] * 20})
    frame = frame.with_columns(y=pl.col("n") * 2 + 1)
    model = train_model(
        frame, "y", Recipe(hidden=(4,), epochs=2, dtype="float64"), task="regression", engine="array"
    ).model
    graph = model.to_onnx()
    described = json.loads(next(each.value for each in graph.metadata_props if each.key == "columns"))
    assert [column.get("parts") for column in described] == [None, list(PARTS), None]
    numbers = calendar(frame["when"].to_numpy().astype("datetime64[us]"), PARTS)
    numbers = numbers[:, [i for i, (_, wave) in enumerate(input_parts(PARTS)) if wave is None]]
    given = {"numbers": np.column_stack([frame["n"].to_numpy(), numbers]), "c": frame["c"].to_numpy()[:, None]}
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["value"], given)[0], model.predict(frame).values, rtol=1e-10)
