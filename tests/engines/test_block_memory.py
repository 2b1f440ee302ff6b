"""The layout of a network's working memory: no two arrays lie in one place, and each has the room that it needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpubp.engines.block.kernel import refusal
from gpubp.engines.block.memory import (
    NOWHERE,
    OF_LAYER,
    OF_NETWORK,
    PARTIAL_SUMS,
    WIDEST,
    MemoryLayout,
    Vectors,
    forward_layout,
    padded,
    training_layout,
)
from gpubp.operations.architecture import Architecture

NETWORK = Architecture(5, (33, 3), 7, ("silu", "relu"), "softmax")
NARROW = Vectors(4, 4, 2)


def read(layout: MemoryLayout, slots: int, n_layers: int) -> tuple[dict[str, int], list[dict[str, int]]]:
    """What the table says of the network, and of each layer; its slots are "slot 0", …"""
    names = [*OF_LAYER, *(f"slot {s}" for s in range(slots))]
    net, rest = layout.table[: len(OF_NETWORK)], layout.table[len(OF_NETWORK) :].reshape(n_layers, len(names))
    as_ints = [dict(zip(names, map(int, row), strict=True)) for row in rest]
    return dict(zip(OF_NETWORK, map(int, net), strict=True)), as_ints


def needed(net: dict[str, int], layers: list[dict[str, int]], shape: Architecture, members: int) -> dict[int, int]:
    """By place, how many numbers the kernel puts there at the most."""
    rows = net["batch_rows"]
    sizes = {net["parts"]: PARTIAL_SUMS, net["x"]: rows * net["ldx"], net["sums"]: 2 * layers[-1]["ldw"]}
    sizes |= {net[name]: rows for name in ("row_loss", "row_weight", "row_right", "rows")}
    sizes |= {net["d"]: rows * max(at["ldu"] for at in layers[:-1]), net["gradients"]: members * net["panel_numbers"]}
    for at, fan_in in zip(layers, shape.sizes, strict=False):
        sizes |= {at[name]: rows * at["ldh"] for name in ("h", "z", "raw", "keep")}
        sizes |= {place: (fan_in + 1) * at["ldw"] for name, place in at.items() if name in "wg" or "slot" in name}
    sizes |= {layers[-1]["d"]: rows * layers[-1]["ldd"]}
    return {place: size for place, size in sizes.items() if place != NOWHERE and size}


@pytest.mark.parametrize("shared", [0, 1000, 100_000])
@pytest.mark.parametrize(
    ("machine", "how"),
    [
        ({"vectors": WIDEST}, {"dropout": True, "clips": True}),
        ({"vectors": NARROW, "members": 3}, {"dropout": True}),
        ({"vectors": None}, {"clips": True}),
        ({"vectors": None}, {}),
    ],
)
def test_no_arrays_overlap(machine: dict[str, Any], how: dict[str, bool], shared: int) -> None:
    layout = training_layout(NETWORK, 20, 3, **machine, **how, shared=shared)
    net, layers = read(layout, 3, NETWORK.n_layers)
    assert net["batch_rows"] == 32
    sizes = needed(net, layers, NETWORK, machine.get("members", 1))
    if machine["vectors"] is not None:
        vectors = machine["vectors"]
        sizes[net["scratch"]] = machine.get("members", 1) * vectors.tile_vectors * vectors.numbers * net["packed_steps"]
    own = sorted((place, size) for place, size in sizes.items() if place >= 0)
    in_shared = sorted((-2 - place, size) for place, size in sizes.items() if place < NOWHERE)
    for places, total in ((own, layout.numbers), (in_shared, layout.shared_numbers)):
        ends = [place + size for place, size in places]
        assert all(end <= start for end, (start, _) in zip(ends, places[1:], strict=False))
        assert max(ends, default=0) <= total
    assert layout.shared_numbers <= shared
    assert bool(in_shared) == bool(shared)
    assert bool(own) == (shared < 100_000)


def test_large_weights_stay_with_the_caller_on_a_cpu() -> None:
    large = Architecture(300, (448, 301), 2, "tanh")
    on_cpu = read(training_layout(large, 5, 1), 1, 3)[1]
    on_cuda = read(training_layout(large, 5, 1, vectors=None), 1, 3)[1]
    assert [at["w"] == NOWHERE for at in on_cpu] == [True, False, False]
    assert [at["slot 0"] == NOWHERE for at in on_cpu] == [True, False, False]
    assert on_cpu[0]["ldw"] == 448
    assert all(at["w"] != NOWHERE for at in on_cuda)


@pytest.mark.parametrize(("columns", "on_cuda", "on_cpu"), [(1, 4, 16), (17, 20, 32), (128, 128, 144), (130, 132, 144)])
def test_rows_are_whole_vectors_apart(columns: int, on_cuda: int, on_cpu: int) -> None:
    assert padded(columns, None) == on_cuda
    assert padded(columns, WIDEST) == on_cpu


def test_a_prediction_needs_less() -> None:
    alone = forward_layout(NETWORK, 20)
    net, layers = read(alone, 0, NETWORK.n_layers)
    assert net["d"] == net["sums"] == NOWHERE
    assert all(at["z"] == at["h"] and at["keep"] == NOWHERE for at in layers)
    assert alone.numbers < training_layout(NETWORK, 20, 0).numbers


def test_what_is_too_large_is_refused() -> None:
    told = refusal(Architecture(60_000, (60_000,), 1, "relu"), 32, 2)
    assert told is not None
    assert "counts them up to 2^31" in told
    assert training_layout(Architecture(60_000, (60_000,), 1, "relu"), 32, 2, vectors=None).table.dtype == np.int32
