"""An ensemble as an ONNX graph: all its members, the mean of what they say, its temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpubp.errors import SettingsError
from gpubp.models.onnx.graph import Graph, Tensor
from gpubp.models.onnx.network import add_networks
from gpubp.models.onnx.tables import add_inputs, add_label, add_shares, described, reordered, squeezed, table_graph

if TYPE_CHECKING:
    from gpubp.models.ensemble import Ensemble, Members


def ensemble_to_onnx(ensemble: Ensemble) -> Any:
    """The onnx.ModelProto of an ensemble on tables; inputs, outputs and errors are those of `tables.model_to_onnx`.

    Members compute in float64, as they do in `Ensemble.predict`.
    """
    first, target = ensemble.preprocessing, ensemble.target
    if first is None or target is None:
        raise SettingsError(
            "This ensemble was made from arrays, and a graph needs the names and kinds of a table's columns: give the "
            "sweep a data frame."
        )
    graph, views = table_graph(first), (first, *ensemble.others)
    read: dict[tuple[int, bool], tuple[Tensor, np.ndarray]] = {}
    means: list[Tensor] = []
    total = float(ensemble.counts.sum())
    for group in ensemble.members:
        key = group.view, group.unscaled
        if key not in read:
            fitted = views[group.view].unscaled() if group.unscaled else views[group.view]
            read[key] = add_inputs(graph, fitted, np.float64)
        means.append(_mean(graph, _outputs(graph, group, *read[key], ensemble), group.counts / total))
    found = means[0] if len(means) == 1 else graph.add("Sum", *means)
    if target.task == "classification":
        add_label(graph, _tempered(graph, found, ensemble), target)
    else:
        graph.output("value", squeezed(graph, found), np.float64, None)
    return graph.model(f"gpubp ensemble of {ensemble.n_members} for {target.name}", described(first, target))


def _outputs(graph: Graph, group: Members, X: Tensor, order: np.ndarray, ensemble: Ensemble) -> Tensor:
    """(M, rows, O): probabilities that sum to 1, or values in their own units."""
    target = ensemble.target
    assert target is not None
    moved = [reordered(group.architecture, params, order) for params in group.params]
    outputs = add_networks(graph, X, moved[0][0], np.stack([params for _, params in moved]))
    if ensemble.task == "classification":
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


def _tempered(graph: Graph, probabilities: Tensor, ensemble: Ensemble) -> Tensor:
    """See `models.ensemble.tempered`."""
    if ensemble.temperature == 1.0:
        return probabilities
    largest = graph.add("ReduceMax", probabilities, axes=[1], keepdims=1)
    shares = graph.add("Div", probabilities, largest)
    powers = graph.add("Pow", shares, graph.constant(1.0 / ensemble.temperature, np.float64))
    return graph.add("Div", powers, graph.add("ReduceSum", powers, graph.constant([1], np.int64), keepdims=1))
