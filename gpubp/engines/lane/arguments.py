"""The arguments of the lane engine's kernels, declared once."""

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

TRAIN = Entry(
    "lane_train",
    "lane",
    task=(
        *NETWORKS,
        array("table", "real", "(N, stride)", "inputs, targets and, with WEIGHTS 1, the weight of each row"),
        number("stride", "of a table's row"),
        array("weights", "real", "(P, weights_stride)", "of the rows, with WEIGHTS 2", nullable=True),
        number("weights_stride", "of the weights of one network"),
        *ORDER,
        *VALIDATION,
        array("validation_table", "real", "(N, stride)", "as table, but for smoothed labels, which are of training"),
        SPREAD,
        *DROPOUT,
        *SMOOTHING,
        *RESULTS,
    ),
    call=RANGE,
    restrict=True,
)

PREDICT = Entry(
    "lane_predict",
    "lane",
    call=(
        array("params", "real", "(P, K)", "of the networks"),
        number("n_networks", "P", "P"),
        array("X", "real", "(n_rows, I)", "inputs"),
        array("out", "real", "(P, n_rows, O)", "outputs", written=True),
        number("n_rows", "N"),
        number("first", "of the rows that the call is for"),
        number("last", "one beyond the last"),
    ),
    restrict=True,
)
