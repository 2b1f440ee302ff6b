"""What every compiled kernel is given alike: names of number types, hyperparameters by rows, seeds in two halves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.networks.plan import TrainingPlan
from gpubp.networks.settings import Settings
from gpubp.operations.philox import seed_words
from gpubp.operations.registry import HYPERPARAMETERS, PER_NETWORK

REAL_NAMES = {"float32": "float", "float64": "double"}


def pack_hyperparameters(values: Mapping[str, np.ndarray], dtype: Any) -> np.ndarray:
    """(len(HYPERPARAMETERS), P) from (P,) float64 values by name; what is derived from them is taken in float64."""
    n_networks = len(values["rate"])
    table = np.zeros((len(HYPERPARAMETERS), n_networks))
    for name, given in values.items():
        table[HYPERPARAMETERS.index(name)] = given
        for row, derive in PER_NETWORK[name].derived.items() if name in PER_NETWORK else ():
            table[HYPERPARAMETERS.index(row)] = derive(given)
    return np.minimum(table, np.finfo(dtype).max).astype(dtype)


def optimizer_state(plan: TrainingPlan, params: Array) -> Array | None:
    """(slots, P, K): the optimizer's state arrays, one after the other; as the plan has them from before, else zeros.
    None for an optimizer that has none.
    """
    names = plan.settings.optimizer_rule.arrays
    if not names:
        return None
    state = plan.backend.xp.zeros((len(names), *params.shape), dtype=plan.dtype)
    for i, name in enumerate(names):
        if name in plan.slots:
            state[i] = plan.backend.to_device(plan.slots[name], plan.dtype)
    return state


def named_state(settings: Settings, state: Array | None) -> dict[str, Array]:
    """The state arrays (P, K) of `optimizer_state` by name."""
    names = settings.optimizer_rule.arrays
    return {} if state is None else {name: state[i] for i, name in enumerate(names)}


def split_seeds(backend: Backend, seeds: np.ndarray) -> tuple[Array, Array]:
    """(P,) uint32 each on the device: the low and the high half of every seed."""
    low, high = seed_words(seeds)
    return backend.to_device(low.astype(np.uint32)), backend.to_device(high.astype(np.uint32))
