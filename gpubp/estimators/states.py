"""Optimizers' states between calls of `partial_fit`: of one network, and of several that train together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpubp.networks.settings import Settings
from gpubp.networks.state import TrainingState


def continued(state: TrainingState | None, settings: Settings, params: np.ndarray) -> TrainingState:
    """The state to go on from; a fresh one where it is another optimizer's, or another network's."""
    if state is None or sorted(state.slots) != sorted(settings.optimizer_rule.arrays):
        return TrainingState()
    fits = all(slot.shape == (1, len(params)) for slot in state.slots.values())
    return state if fits else TrainingState()


def of_network(state: TrainingState, p: int, epoch: int) -> TrainingState:
    """The state of one network of a population's, after so many epochs of its own."""
    assert state.updates is not None
    assert state.rate_factor is not None
    if len(state.updates) == 1:
        return TrainingState(epoch, state.updates, state.slots, state.rate_factor, state.take_buffers())
    slots = {name: slot[p : p + 1].copy() for name, slot in state.slots.items()}
    return TrainingState(epoch, state.updates[p : p + 1].copy(), slots, state.rate_factor[p : p + 1].copy())


def joined(states: Sequence[TrainingState]) -> TrainingState:
    """The states of networks after as many epochs, as a population's."""
    first = states[0]
    if first.updates is None:
        return TrainingState()
    if len(states) == 1:  # training makes new arrays, and does not change these
        return TrainingState(first.epoch, first.updates, first.slots, first.rate_factor, first.take_buffers())
    return TrainingState(
        first.epoch,
        np.concatenate([state.updates for state in states]),
        {name: np.concatenate([state.slots[name] for state in states]) for name in first.slots},
        np.concatenate([state.rate_factor for state in states]),
    )
