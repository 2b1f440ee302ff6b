"""What the block engine's kernels are given: the one list of their arguments."""

from __future__ import annotations

from gpubp.engines.arguments import (
    DROPOUT,
    NETWORKS,
    ORDER,
    RANGE,
    RESULTS,
    SMOOTHING,
    SPREAD,
    VALIDATION,
    Entry,
    array,
    number,
)

SHAPE = array("shape", "int", "(S,)", "layers, sizes (layers + 1), activations and kinds (layers each), as codes")
MEMORY = (
    array("memory", "real", "(M, memory_stride)", "to work in, for each network or item at hand", written=True),
    number("memory_stride", "numbers of one of them"),
    array("layout", "int", "(T,)", "where a network's arrays lie: see engines/block/memory.py"),
)

TRAIN = Entry(
    "block_train",
    "block",
    task=(
        SHAPE,
        *NETWORKS,
        array("inputs", "real", "(N, I)", "of all rows"),
        array("targets", "real", "(N, O)", "of all rows"),
        array("weights", "real", "(P, weights_stride) or (N,)", "of the rows; stride 0: for all networks; null: none",
              nullable=True),
        number("weights_stride", "of the weights of one network"),
        *ORDER,
        *VALIDATION,
        array("validation_targets", "real", "(N, O)", "as targets, but for smoothed labels, which are of training"),
        SPREAD,
        *DROPOUT,
        array("groups", "real", "(G, P)", "factors of each layer: see block_update.h; null: all are 1", nullable=True),
        *SMOOTHING,
        number("has_l2", "some network has L2"),
        number("has_clip", "gradients are clipped"),
        *RESULTS,
    ),
    call=(
        *MEMORY,
        array("meeting", "int", "", "where a team meets: see block_cpu.h, block_cuda.h; null: no team", written=True,
              nullable=True),
        number("member", "of the team, on a CPU"),
        number("members", "of the team"),
        *RANGE,
    ),
)  # fmt: skip

PREDICT = Entry(
    "block_predict",
    "block",
    call=(
        SHAPE,
        array("params", "real", "(P, K)", "of the networks"),
        array("X", "real", "(n_rows, I)", "inputs"),
        array("out", "real", "(P, n_rows, O)", "outputs", written=True),
        number("n_rows", "N"),
        number("rows_at_once", "of an item, which is a piece of the rows of one network"),
        *MEMORY,
        *RANGE,
    ),
)
