"""A trained model on tables as an ONNX graph: imputation, scaling, one-hot categories, network, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpubp.errors import SettingsError
from gpubp.models.onnx.graph import ML_DOMAIN, Graph, Tensor
from gpubp.models.onnx.network import add_network
from gpubp.models.onnx.quantiles import add_normal_scores
from gpubp.operations.architecture import Architecture
from gpubp.preprocessing import Column, Preprocessing, Target
from gpubp.preprocessing.dates import CYCLES, input_parts
from gpubp.preprocessing.scaling import CLIP, LARGEST

NUMBERS = "numbers"


def model_to_onnx(architecture: Architecture, params: np.ndarray, preprocessing: Preprocessing, target: Target) -> Any:
    """The onnx.ModelProto of a model on tables. params: (K,).

    Inputs: `numbers` (rows, numbers) float64, in the order of the training table, NaN where a value is missing: the
    value of each numeric column, and of each column of dates those parts that the metadata names (month 1 to 12, and so
    on: see `preprocessing.dates`); and one (rows, 1) input of texts for each categorical column, by its name. Texts are
    spelled as `gpubp show` spells the categories (7, not 7.0); any other text counts as missing, as a missing value
    does: "", for example. The metadata entry "columns" says all of this as JSON.

    Outputs: `label` (rows,) texts and `probabilities` (rows, C) float64 for classification, in the order of the
    metadata entry "labels"; `value` (rows,) float64 for regression. A name that a column has already gets a number.

    What a graph cannot do is refuse: numbers out of all proportion give what the arithmetic gives, with no error.

    Raises SettingsError where the package onnx is missing, or a column is of a kind that a graph cannot take.
    """
    graph = table_graph(preprocessing)
    X, order = add_inputs(graph, preprocessing, params.dtype)
    outputs = graph.cast(add_network(graph, X, *reordered(architecture, params, order)), np.float64)
    if target.task == "classification":
        add_label(graph, add_shares(graph, outputs, len(target.labels)), target)
    else:
        graph.output("value", squeezed(graph, _values(graph, outputs, target)), np.float64, None)
    return graph.model(f"gpubp model {architecture} for {target.name}", described(preprocessing, target))


def table_graph(preprocessing: Preprocessing) -> Graph:
    """An empty one, in which nothing else takes the names of the table's columns of categories."""
    return Graph(reserved=[column.name for column in preprocessing.columns if column.kind == "categorical"])


def described(preprocessing: Preprocessing, target: Target) -> dict[str, Any]:
    """The metadata: what a graph's inputs and outputs mean."""
    return {
        "columns": [
            {"name": column.name, "kind": column.kind, "categories": list(column.categories)}
            | ({"parts": list(column.parts)} if column.kind == "date" else {})
            for column in preprocessing.columns
        ],
        "target": target.name,
        "labels": list(target.labels),
    }


def add_inputs(graph: Graph, preprocessing: Preprocessing, dtype: Any) -> tuple[Tensor, np.ndarray]:
    """What a network reads (rows, I), and which of its inputs stand where: numbers, waves, indicators, categories. The
    graph's own inputs are there once, however often this is called with preprocessings of the same columns.
    """
    numbers: list[int] = []
    waves: list[tuple[int, str, str]] = []  # which of the numbers has an angle, of which part, and sine or cosine
    of_waves: list[int] = []
    indicated: list[int] = []  # which of the numbers has an indicator
    of_indicators: list[int] = []
    categorical: list[int] = []
    pieces: list[Tensor] = []
    d = 0
    for column in preprocessing.columns:
        places = list(range(d, d + len(column.input_names)))
        d += len(places)
        if column.has_indicator:
            of_indicators.append(places.pop())
            indicated.append(len(numbers))  # its first number, which is as missing as the others
        if column.kind == "categorical" and column.categories:
            categorical += places
            encoded = _categories(graph, column)
            if any(column.is_scaled):
                encoded = _scaled(graph, graph.cast(encoded, np.float64), preprocessing, places)
            pieces.append(graph.cast(encoded, dtype))
        elif column.kind == "categorical":
            raise SettingsError(
                f"Column {column.name!r} is categorical with 0 categories: an ONNX graph can take numbers, and texts "
                "of known categories. Leave the column out and train again."
            )
        elif column.kind == "numeric":
            numbers += places
        else:
            for place, (part, wave) in zip(places, input_parts(column.parts), strict=True):
                if wave is None:
                    numbers.append(place)
                else:
                    waves.append((len(numbers) - 1, part, wave))
                    of_waves.append(place)
    if numbers:
        given = graph.input(NUMBERS, np.float64, len(numbers), renamed=True)
        pieces.insert(0, graph.cast(_numbers(graph, given, preprocessing, numbers), dtype))
        if waves:
            pieces.insert(1, graph.cast(_waves(graph, given, waves), dtype))
        if indicated:
            their = graph.add("Gather", given, graph.constant(indicated, np.int64), axis=1)
            pieces.insert(1 + bool(waves), graph.cast(graph.add("IsNaN", their), dtype))
    X = graph.add("Concat", *pieces, axis=1) if len(pieces) > 1 else pieces[0]
    return X, np.array([*numbers, *of_waves, *of_indicators, *categorical])


def _numbers(graph: Graph, given: Tensor, preprocessing: Preprocessing, places: Sequence[int]) -> Tensor:
    """The numbers, filled in and scaled."""
    fill = graph.constant(preprocessing.fill[places], np.float64)
    filled = graph.add("Where", graph.add("IsNaN", given), fill, given)
    return _scaled(graph, filled, preprocessing, places)


def _scaled(graph: Graph, values: Tensor, preprocessing: Preprocessing, places: Sequence[int]) -> Tensor:
    """(value − offset) / scale, in float64; x / sqrt(1 + (x / 3)²) of that where the scaling is robust. Normal scores
    where it is quantile.
    """
    if preprocessing.quantiles is not None:
        return add_normal_scores(graph, values, np.stack([preprocessing.quantiles_of(d) for d in places]))
    offset, scale = (graph.constant(getattr(preprocessing, name)[places], np.float64) for name in ("offset", "scale"))
    scaled = graph.add("Div", graph.add("Sub", values, offset), scale)
    if preprocessing.scaling != "robust":
        return scaled
    least, most = (graph.constant(end, np.float64) for end in (-LARGEST, LARGEST))  # whose squares are numbers
    scaled = graph.add("Clip", scaled, least, most)
    third = graph.add("Div", scaled, graph.constant(CLIP, np.float64))
    squares = graph.add("Add", graph.add("Mul", third, third), graph.constant(1.0, np.float64))
    return graph.add("Div", scaled, graph.add("Sqrt", squares))


def _waves(graph: Graph, given: Tensor, waves: Sequence[tuple[int, str, str]]) -> Tensor:
    """(rows, waves) float64: sine or cosine of the angle of each part of a date, 0 where it is missing."""
    values = graph.add("Gather", given, graph.constant([place for place, _, _ in waves], np.int64), axis=1)
    first, period = (graph.constant([CYCLES[part][i] for _, part, _ in waves], np.float64) for i in (0, 1))
    turns = graph.add("Div", graph.add("Sub", values, first), period)
    angles = graph.add("Mul", turns, graph.constant(2.0 * np.pi, np.float64))
    quarter = graph.constant([0.0 if wave == "sine" else np.pi / 2 for _, _, wave in waves], np.float64)
    found = graph.add("Sin", graph.add("Add", angles, quarter))  # onnxruntime has no cosine of float64
    return graph.add("Where", graph.add("IsNaN", values), graph.constant(0.0, np.float64), found)


def _categories(graph: Graph, column: Column) -> Tensor:
    """(rows, inputs of the column) float32, before they are scaled."""
    given = graph.input(column.name, str, 1)
    encoded = graph.add("OneHotEncoder", given, domain=ML_DOMAIN, cats_strings=list(column.categories), zeros=1)
    known = squeezed(graph, encoded)
    if column.is_signed:
        return graph.add("MatMul", known, graph.constant([[-1.0], [1.0]], np.float32))
    if not column.tells_missing:
        return known
    found = graph.add("ReduceSum", known, graph.constant([1], np.int64), keepdims=1)
    missing = graph.add("Sub", graph.constant(1.0, np.float32), found)
    return graph.add("Concat", known, missing, axis=1)


def reordered(architecture: Architecture, params: np.ndarray, order: np.ndarray) -> tuple[Architecture, np.ndarray]:
    """The network for inputs in the order that the graph has them in: its architecture, its parameters (K,)."""
    params = params.copy()
    next_order: np.ndarray | None = order
    for layer, its in zip(architecture.layers, architecture.views(params[None, :]), strict=True):
        if next_order is not None:
            next_order = layer.reorder(its, next_order)
    return architecture.reordered(order), params


def add_shares(graph: Graph, outputs: Tensor, n_classes: int) -> Tensor:
    """Outputs (…, C) as probabilities that sum to 1; even ones where all outputs are 0."""
    zero, one = graph.constant(0.0, np.float64), graph.constant(1.0, np.float64)
    total = graph.add("ReduceSum", outputs, graph.constant([-1], np.int64), keepdims=1)
    positive = graph.add("Greater", total, zero)
    shares = graph.add("Div", outputs, graph.add("Where", positive, total, one))
    even = graph.constant(1.0 / n_classes, np.float64)
    return graph.add("Where", positive, shares, even)


def add_label(graph: Graph, probabilities: Tensor, target: Target) -> None:
    """The outputs: the label of the first largest of the probabilities (rows, C), and these."""
    best = graph.add("ArgMax", probabilities, axis=1, keepdims=0)
    labels = graph.constant(np.array(target.labels, dtype=object))
    graph.output("label", graph.add("Gather", labels, best), str, None)
    graph.output("probabilities", probabilities, np.float64, len(target.labels))


def _values(graph: Graph, outputs: Tensor, target: Target) -> Tensor:
    """In the target's own units, within its limits."""
    scaled = graph.add("Mul", outputs, graph.constant(target.scale, np.float64))
    values = graph.add("Add", scaled, graph.constant(target.mean, np.float64))
    if target.log:
        values = graph.add("Exp", values)
    if target.limits is not None:
        values = graph.add("Clip", values, *(graph.constant(end, np.float64) for end in target.limits))
    return values


def squeezed(graph: Graph, tensor: Tensor) -> Tensor:
    """Without the second of its dimensions, which is 1."""
    return graph.add("Squeeze", tensor, graph.constant([1], np.int64))
