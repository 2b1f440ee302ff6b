"""What every compiled kernel is given alike: names of number types, hyperparameters by rows, seeds in two halves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.operations.philox import seed_words

REAL_NAMES = {"float32": "float", "float64": "double"}

HYPERPARAMETERS = (  # the rows of the kernel's table, in the order of its enum
    "rate", "l2", "clip_norm", "momentum", "beta1", "rest1", "log1", "beta2", "rest2", "log2", "epsilon", "decay",
    "rest_decay", "weight_decay",
)  # fmt: skip


def pack_hyperparameters(values: Mapping[str, np.ndarray], dtype: Any) -> np.ndarray:
    """(len(HYPERPARAMETERS), P) from (P,) float64 values by name; 1 − beta and log(beta) are taken in float64."""
    n_networks = len(values["rate"])
    table = np.zeros((len(HYPERPARAMETERS), n_networks))
    derived = dict(values)
    for beta, rest, logarithm in (("beta1", "rest1", "log1"), ("beta2", "rest2", "log2")):
        if beta in values:
            derived[rest] = 1.0 - values[beta]
            with np.errstate(divide="ignore"):
                derived[logarithm] = np.maximum(np.log(values[beta]), -1e4)  # a beta of 0: no memory at all
    if "decay" in values:
        derived["rest_decay"] = 1.0 - values["decay"]
    for i, name in enumerate(HYPERPARAMETERS):
        if name in derived:
            table[i] = derived[name]
    return np.minimum(table, np.finfo(dtype).max).astype(dtype)


def split_seeds(backend: Backend, seeds: np.ndarray) -> tuple[Array, Array]:
    """(P,) uint32 each on the device: the low and the high half of every seed."""
    low, high = seed_words(seeds)
    return backend.to_device(low.astype(np.uint32)), backend.to_device(high.astype(np.uint32))
