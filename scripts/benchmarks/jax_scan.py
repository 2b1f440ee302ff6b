"""JAX as a contender for mini-batch Adam with cross-entropy: jit, all updates of all epochs in nested scans, float32.

One network's step is differentiated by `value_and_grad`, vmapped over a group of networks, and groups are trained one
after the other. One group of all networks is what JAX is made for; small groups stay in the caches, and a group of one
gets along without vmap. Several updates of the scan in one piece of the program (`unroll`) take up to a sixth less, or
half as much again. The batches are cut before the clock starts: gathering their rows in the program would take up to a
twentieth longer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Training:
    """What a program is compiled for. group: networks side by side. unroll: updates in one piece. donated: it may reuse
    the parameters' memory.
    """

    group: int
    unroll: int
    epochs: int
    donated: bool
    rate: float


def train(
    training: Training, layers: list[tuple[np.ndarray, np.ndarray]], X: np.ndarray, T: np.ndarray
) -> tuple[float, np.ndarray]:
    """(seconds of the compiled program, epoch losses (E, P)).

    layers: W (P, I, O) and b (P, O) each. Batches X (P, steps, B, I), T (P, steps, B, O).
    """
    import jax
    import jax.numpy as jnp

    def grouped(values: np.ndarray, batches: bool) -> Any:
        """(groups, group, …), of batches (groups, steps, group, …); without the axes of length 1."""
        if training.group > 1:
            values = values.reshape(-1, training.group, *values.shape[1:])
            values = values.swapaxes(1, 2) if batches else values
        return jnp.array(values[0] if len(values) == 1 else values, jnp.float32)

    params = [grouped(part, batches=False) for layer in layers for part in layer]
    batches = (grouped(X, batches=True), grouped(T, batches=True))
    program = _program(training, n_groups=len(X) // training.group)
    jax.block_until_ready((params, batches))
    started = time.perf_counter()
    trained, losses = jax.block_until_ready(program(params, batches))
    seconds = time.perf_counter() - started
    assert all(part.dtype == jnp.float32 for part in trained)
    losses = np.asarray(losses).reshape(-1, training.epochs, training.group)  # (groups, E, group)
    return seconds, losses.swapaxes(0, 1).reshape(training.epochs, -1)


@lru_cache(maxsize=32)
def _program(training: Training, n_groups: int) -> Any:
    import jax
    import jax.numpy as jnp
    from jax import lax

    def mean_loss(params: Any, X: Any, T: Any) -> Any:
        """Of one network, X (B, I), T (B, O)."""
        for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            X = jax.nn.relu(X @ W + b)
        return -(T * jax.nn.log_softmax(X @ params[-2] + params[-1])).sum(-1).mean()

    def step(params: Any, m: Any, v: Any, number: Any, X: Any, T: Any) -> Any:
        loss, gradients = jax.value_and_grad(mean_loss)(params, X, T)
        m = [0.9 * a + 0.1 * g for a, g in zip(m, gradients, strict=True)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, gradients, strict=True)]
        size, correction = training.rate / (1 - 0.9**number), 1 / (1 - 0.999**number)
        params = [w - size * a / (jnp.sqrt(b * correction) + 1e-8) for w, a, b in zip(params, m, v, strict=True)]
        return params, m, v, loss

    group_step = jax.vmap(step, in_axes=(0, 0, 0, None, 0, 0)) if training.group > 1 else step

    def group(params: Any, batches: Any) -> Any:
        def update(state: Any, batch: Any) -> Any:
            params, m, v, number = state
            params, m, v, loss = group_step(params, m, v, number, *batch)
            return (params, m, v, number + 1), loss

        def epoch(state: Any, _: Any) -> Any:
            state, losses = lax.scan(update, state, batches, unroll=training.unroll)
            return state, losses.mean(0)

        slots = [jnp.zeros_like(w) for w in params]
        state, losses = lax.scan(epoch, (params, slots, slots, jnp.float32(1)), None, training.epochs)
        return state[0], losses

    def groups(params: Any, batches: Any) -> Any:
        return lax.map(lambda part: group(*part), (params, batches))

    return jax.jit(group if n_groups == 1 else groups, donate_argnums=0 if training.donated else ())
