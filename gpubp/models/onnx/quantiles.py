"""Normal scores of `preprocessing.quantiles` as nodes of an ONNX graph, all in float64."""

from __future__ import annotations

import numpy as np

from gpubp.models.onnx.graph import Graph, Tensor
from gpubp.preprocessing.quantiles import (
    DENOMINATOR,
    EDGE,
    FAR,
    FAR_DENOMINATOR,
    FAR_NUMERATOR,
    NEAR,
    NEAR_SQUARED,
    NUMERATOR,
)


def add_normal_scores(graph: Graph, values: Tensor, quantiles: np.ndarray) -> Tensor:
    """(rows, M) of values (rows, M), none of which is missing, by quantiles (M, Q).

    Where a value stands among its quantiles is found by a binary search of as many steps as Q has bits, each a Gather
    from all columns' quantiles in a row: no tensor is larger than the values, or the quantiles.
    """
    last = quantiles.shape[1] - 1
    steps = [1 << bit for bit in reversed(range((last + 1).bit_length()))]
    width = sum(steps)  # of a column's quantiles with what fills them up, which no value is above
    padded = np.full((len(quantiles), width), np.inf)
    padded[:, : last + 1] = quantiles
    table = graph.constant(padded.ravel(), np.float64)
    starts = np.arange(len(quantiles)) * width
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)

    def pick(places: Tensor, shift: int = 0) -> Tensor:
        """The quantiles (rows, M) at these places (rows, M) of each column."""
        return graph.add("Gather", table, graph.add("Add", places, graph.constant(starts + shift, np.int64)))

    def count(or_equal: bool) -> Tensor:
        """How many quantiles are below each value, or not above it."""
        found = graph.cast(graph.add("Less", values, values), np.int64)  # zeros, (rows, M)
        for step in steps:
            there = pick(found, step - 1)
            below = graph.add("Less", there, values)
            if or_equal:
                below = graph.add("Not", graph.add("Less", values, there))
            further = graph.add("Mul", graph.cast(below, np.int64), graph.constant(step, np.int64))
            found = graph.add("Add", found, further)
        return graph.add("Clip", found, zero, graph.constant(last + 1, np.int64))

    below, not_above = count(or_equal=False), count(or_equal=True)
    low = graph.add("Clip", graph.add("Sub", not_above, one), zero, graph.constant(last - 1, np.int64))
    start = pick(low)
    share = graph.add("Div", graph.add("Sub", values, start), graph.add("Sub", pick(low, 1), start))
    share = graph.add("Clip", share, graph.constant(0.0, np.float64), graph.constant(1.0, np.float64))
    between = graph.add("Add", graph.cast(low, np.float64), share)
    both = graph.cast(graph.add("Sub", graph.add("Add", below, not_above), one), np.float64)
    middle = graph.add("Mul", both, graph.constant(0.5, np.float64))
    place = graph.add("Where", graph.add("Less", below, not_above), middle, between)
    rank = graph.add("Div", place, graph.constant(float(last), np.float64))
    least, most = (graph.constant(end, np.float64) for end in (EDGE, 1.0 - EDGE))
    scores = _normal_quantile(graph, graph.add("Clip", rank, least, most))
    varies = graph.constant(quantiles[:, 0] < quantiles[:, -1])
    return graph.add("Where", varies, scores, graph.constant(0.0, np.float64))


def _normal_quantile(graph: Graph, ranks: Tensor) -> Tensor:
    """See `normal_quantile`."""

    def number(value: float) -> Tensor:
        return graph.constant(value, np.float64)

    centred = graph.add("Sub", ranks, number(0.5))
    size = graph.add("Abs", centred)
    r = graph.add("Sub", number(NEAR_SQUARED), graph.add("Mul", centred, centred))
    near = graph.add("Div", graph.add("Mul", centred, _polynomial(graph, r, NUMERATOR)),
                     _polynomial(graph, r, DENOMINATOR))  # fmt: skip
    tail = graph.add("Min", ranks, graph.add("Sub", number(1.0), ranks))
    r = graph.add("Sub", graph.add("Sqrt", graph.add("Neg", graph.add("Log", tail))), number(FAR))
    far = graph.add("Div", _polynomial(graph, r, FAR_NUMERATOR), _polynomial(graph, r, FAR_DENOMINATOR))
    negative = graph.add("Less", centred, number(0.0))
    far = graph.add("Where", negative, graph.add("Neg", far), far)
    return graph.add("Where", graph.add("Greater", size, number(NEAR)), far, near)


def _polynomial(graph: Graph, x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    found = graph.constant(coefficients[-1], np.float64)
    for coefficient in coefficients[-2::-1]:
        found = graph.add("Add", graph.add("Mul", found, x), graph.constant(coefficient, np.float64))
    return found
