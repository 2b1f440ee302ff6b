"""A fitted estimator, alone or at the end of a scikit-learn pipeline, as one ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from gpubp.backends import float_dtype
from gpubp.errors import SettingsError
from gpubp.estimators.networks import architecture_of, is_ensemble, members_of, packed
from gpubp.models.onnx.graph import Graph, Tensor
from gpubp.models.onnx.network import add_mean_of_networks, add_network


def to_onnx(estimator: Any, *, dtype: Any = None) -> Any:
    """The onnx.ModelProto of a fitted MLPClassifier or MLPRegressor, gpubp's or scikit-learn's, or of a Pipeline of
    StandardScaler and MinMaxScaler (or nothing) that ends in one.

    Input: `X` (rows, features) of `dtype`, float32 or float64; by default that of the network. The network computes in
    it as well; scalers compute in float64.
    Outputs of a classifier: `label` (rows,), of integers, numbers, booleans or texts as classes_ has them, and
    `probabilities` (rows, classes), in the order of classes_; with several labels for a row, both are (rows, labels).
    Of a regressor: `value` (rows,), or (rows, outputs) where there are several. feature_names_in_ is in the metadata.
    Of several members, the graph puts out the mean.

    The dtype of gelu networks' erf is float32 at most: see gpubp.models.onnx.network.

    Raises SettingsError for any other step of a pipeline, and where the package onnx is missing; scikit-learn's
    NotFittedError before fit.
    """
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    scalers, mlp = [step for step in steps[:-1] if step not in (None, "passthrough")], steps[-1]
    _check(scalers, mlp)
    params = packed(mlp, float_dtype(members_of(mlp)[0].coefs_[0].dtype if dtype is None else dtype))
    architecture = architecture_of(mlp)
    graph = Graph()
    X = graph.input("X", params.dtype, architecture.n_inputs)
    if scalers:
        X = graph.cast(X, np.float64)
        for scaler in scalers:
            X = _standardise(graph, X, scaler) if isinstance(scaler, StandardScaler) else _to_range(graph, X, scaler)
        X = graph.cast(X, params.dtype)
    if is_ensemble(mlp):
        Y = add_mean_of_networks(graph, X, architecture, params)
    else:
        Y = add_network(graph, X, architecture, params[0])
    if is_classifier(mlp):
        _add_labels(graph, Y, mlp, params.dtype)
    else:
        one = architecture.n_outputs == 1
        values = graph.add("Squeeze", Y, graph.constant([1], np.int64)) if one else Y
        graph.output("value", values, params.dtype, None if one else architecture.n_outputs)
    names = getattr(steps[0], "feature_names_in_", None)
    return graph.model(
        f"{type(mlp).__name__} {architecture}", {} if names is None else {"features": [str(name) for name in names]}
    )


def _check(scalers: list[Any], mlp: Any) -> None:
    for scaler in scalers:
        if type(scaler) not in (StandardScaler, MinMaxScaler):
            raise SettingsError(
                f"The step {type(scaler).__name__} has no place in gpubp's ONNX graphs: before the network there may "
                "be StandardScaler, MinMaxScaler or nothing. Apply it before, or convert the pipeline with skl2onnx."
            )
        check_is_fitted(scaler)
    if not hasattr(mlp, "hidden_layer_sizes"):
        raise SettingsError(f"{type(mlp).__name__} is no network: expected a fitted MLPClassifier or MLPRegressor.")
    check_is_fitted(mlp)


def _standardise(graph: Graph, X: Tensor, scaler: StandardScaler) -> Tensor:
    """(x − mean) / scale, each where the scaler does it."""
    if scaler.with_mean:
        X = graph.add("Sub", X, graph.constant(scaler.mean_, np.float64))
    return graph.add("Div", X, graph.constant(scaler.scale_, np.float64)) if scaler.with_std else X


def _to_range(graph: Graph, X: Tensor, scaler: MinMaxScaler) -> Tensor:
    X = graph.add("Mul", X, graph.constant(scaler.scale_, np.float64))
    X = graph.add("Add", X, graph.constant(scaler.min_, np.float64))
    if scaler.clip:
        low, high = (graph.constant(bound, np.float64) for bound in scaler.feature_range)
        X = graph.add("Clip", X, low, high)
    return X


def _add_labels(graph: Graph, Y: Tensor, mlp: Any, dtype: Any) -> None:
    if mlp.out_activation_ == "logistic" and mlp.n_outputs_ > 1:  # several labels for a row
        above = graph.add("Greater", Y, graph.constant(0.5, dtype))
        graph.output("label", graph.cast(above, np.int64), np.int64, mlp.n_outputs_)
        graph.output("probabilities", Y, dtype, mlp.n_outputs_)
        return
    labels = _label_values(mlp.classes_)
    if mlp.n_outputs_ == 1:
        Y = graph.add("Concat", graph.add("Sub", graph.constant(1.0, dtype), Y), Y, axis=1)
        labels = labels if len(labels) == 2 else labels.repeat(2)  # one class alone is always the answer
    best = graph.add("ArgMax", Y, axis=1, keepdims=0)
    kind = str if labels.dtype == object else labels.dtype
    graph.output("label", graph.add("Gather", graph.constant(labels), best), kind, None)
    graph.output("probabilities", Y, dtype, max(2, mlp.n_outputs_))


def _label_values(classes: np.ndarray) -> np.ndarray:
    """int64, float64, bool or objects that are texts: what a graph can gather."""
    if classes.dtype.kind == "b":
        return classes
    if classes.dtype.kind in "iu" and classes.max() < 2**63:
        return classes.astype(np.int64)
    if classes.dtype.kind == "f":
        return classes.astype(np.float64)
    if classes.dtype.kind == "U" or all(isinstance(label, str) for label in classes):
        return np.array([str(label) for label in classes], dtype=object)
    raise SettingsError(
        f"Classes of type {classes.dtype} ({classes[0]!r} is one) cannot be labels in an ONNX graph: train on integers "
        "up to 2^63, numbers, booleans or texts."
    )
