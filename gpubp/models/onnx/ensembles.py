"""An ensemble as an ONNX graph: all its members, the mean of what they say, its temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from gpubp.models.onnx.graph import Graph, Tensor
from gpubp.models.onnx.network import add_networks
from gpubp.models.onnx.tables import add_inputs, add_label, add_shares, described, reordered, squeezed, table_graph
from gpubp.operations.architecture import Architecture
from gpubp.preprocessing import Preprocessing, Target


class Group(Protocol):
    """Members of one architecture, as `models.ensemble.Members` describes them."""

    @property
    def architecture(self) -> Architecture: ...
    @property
    def params(self) -> np.ndarray: ...
    @property
    def counts(self) -> np.ndarray: ...
    @property
    def unscaled(self) -> bool: ...
    @property
    def log(self) -> bool: ...
    @property
    def limited(self) -> bool: ...
    @property
    def view(self) -> int: ...


def ensemble_to_onnx(
    members: Sequence[Group], views: Sequence[Preprocessing], target: Target, temperature: float
) -> Any:
    """The onnx.ModelProto of an ensemble on tables; inputs, outputs and errors are those of `tables.model_to_onnx`.

    Members compute in float64, as they do in `Ensemble.predict`.
    """
    graph = table_graph(views[0])
    read: dict[tuple[int, bool], tuple[Tensor, np.ndarray]] = {}
    means: list[Tensor] = []
    total = float(sum(group.counts.sum() for group in members))
    for group in members:
        key = group.view, group.unscaled
        if key not in read:
            fitted = views[group.view].unscaled() if group.unscaled else views[group.view]
            read[key] = add_inputs(graph, fitted, np.float64)
        means.append(_mean(graph, _outputs(graph, group, *read[key], target), group.counts / total))
    found = means[0] if len(means) == 1 else graph.add("Sum", *means)
    if target.task == "classification":
        add_label(graph, _tempered(graph, found, temperature), target)
    else:
        graph.output("value", squeezed(graph, found), np.float64, None)
    networks = sum(len(group.params) for group in members)
    return graph.model(f"gpubp ensemble of {networks} for {target.name}", described(views[0], target))


def _outputs(graph: Graph, group: Group, X: Tensor, order: np.ndarray, target: Target) -> Tensor:
    """(M, rows, O): probabilities that sum to 1, or values in their own units."""
    moved = [reordered(group.architecture, params, order) for params in group.params]
    outputs = add_networks(graph, X, moved[0][0], np.stack([params for _, params in moved]))
    if target.task == "classification":
        return add_shares(graph, outputs, len(target.labels))
    if group.log:
        outputs = graph.add("Exp", outputs)
    if group.limited and target.limits is not None:
        outputs = graph.add("Clip", outputs, *(graph.constant(end, np.float64) for end in target.limits))
    return outputs


def _mean(graph: Graph, outputs: Tensor, shares: np.ndarray) -> Tensor:
    """(rows, O): the members' outputs (M, rows, O), each times its share (M,), added up."""
    weighted = graph.add("Mul", outputs, graph.constant(shares[:, None, None], np.float64))
    return graph.add("ReduceSum", weighted, graph.constant([0], np.int64), keepdims=0)


def _tempered(graph: Graph, probabilities: Tensor, temperature: float) -> Tensor:
    """See `models.ensemble.tempered`."""
    if temperature == 1.0:
        return probabilities
    largest = graph.add("ReduceMax", probabilities, axes=[1], keepdims=1)
    shares = graph.add("Div", probabilities, largest)
    powers = graph.add("Pow", shares, graph.constant(1.0 / temperature, np.float64))
    return graph.add("Div", powers, graph.add("ReduceSum", powers, graph.constant([1], np.int64), keepdims=1))
