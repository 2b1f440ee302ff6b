"""JAX as a contender: whole populations, all epochs in one compiled program, parameters donated, float32.

Two arrangements of the same training. `vmapped`: what JAX is made for, one network's step, differentiated, vmapped over
the networks and scanned over the updates. `tuned`: the fastest of those tried here (on a CPU): groups of networks that
stay in the caches, one after the other; for online training the networks along the last axis, products and sums
written out, which XLA then makes into vector loops instead of calling a matrix product for each network.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

UNROLL = 8  # updates of the scan in one piece; 1 and 4 are slower for few networks


@dataclass(frozen=True)
class Training:
    """What a program is compiled for. loss: squared_error (logistic layers, SGD) or cross_entropy (relu, Adam)."""

    loss: str
    tuned: bool
    epochs: int
    group: int  # networks side by side

    @property
    def networks_last(self) -> bool:
        return self.tuned and self.loss == "squared_error"


def missing() -> str | None:
    return None if find_spec("jax") else "not installed"


def train(
    training: Training,
    layers: list[tuple[np.ndarray, np.ndarray]],
    X: np.ndarray,
    T: np.ndarray,
    rates: np.ndarray,
    order: np.ndarray,
) -> tuple[float, np.ndarray]:
    """(seconds, epoch losses (E, P)). layers: W (P, I, O) and b (P, O) each; order (P, steps, B) row numbers."""
    import jax
    import jax.numpy as jnp

    n_groups = len(rates) // training.group

    def grouped(values: np.ndarray, networks_last: bool) -> Any:
        """(P, …) to (groups, group, …), or (groups, …, group)."""
        parts = values.reshape(n_groups, training.group, *values.shape[1:])
        return jnp.asarray(np.moveaxis(parts, 1, -1) if networks_last else parts)

    params = [grouped(part, training.networks_last) for layer in layers for part in layer]
    data = [jnp.asarray(X, jnp.float32), jnp.asarray(T, jnp.float32)]
    rate = grouped(rates.astype(np.float32), False)
    rows = grouped(order.astype(np.int32), False).swapaxes(1, 2)  # (groups, steps, group, B)
    program = _program(training)
    jax.block_until_ready([params, data, rate, rows])
    started = time.perf_counter()
    _, losses = jax.block_until_ready(program(params, rate, rows, *data))
    seconds = time.perf_counter() - started
    return seconds, np.moveaxis(np.asarray(losses), 0, 1).reshape(training.epochs, -1)


@lru_cache(maxsize=16)
def _program(training: Training) -> Any:
    import jax
    import jax.numpy as jnp
    from jax import lax

    squared = training.loss == "squared_error"
    activation = jax.nn.sigmoid if squared else jax.nn.relu

    def loss_of(Z: Any, T: Any, axis: int) -> Any:
        """Of every row; `axis` has the outputs."""
        if squared:
            return 0.5 * ((jax.nn.sigmoid(Z) - T) ** 2).sum(axis)
        return -(T * jax.nn.log_softmax(Z, axis)).sum(axis)

    def one_network(params: Any, X: Any, T: Any) -> Any:
        """X (B, I), T (B, O)."""
        for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            X = activation(X @ W + b)
        return loss_of(X @ params[-2] + params[-1], T, -1).mean()

    def networks_last(params: Any, X: Any, T: Any) -> Any:
        """Of a row for each network: X (I, P), T (O, P), W (I, O, P)."""
        for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            X = activation((X[:, None] * W).sum(0) + b)
        losses = loss_of((X[:, None] * params[-2]).sum(0) + params[-1], T, 0)
        return losses.sum(), losses

    def changed(params: Any, m: Any, v: Any, gradients: Any, rate: Any, number: Any) -> Any:
        if squared:
            return [w - rate * g for w, g in zip(params, gradients, strict=True)], m, v
        m = [0.9 * a + 0.1 * g for a, g in zip(m, gradients, strict=True)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, gradients, strict=True)]
        size, correction = rate / (1 - 0.9**number), 1 / (1 - 0.999**number)
        moved = [w - size * a / (jnp.sqrt(b * correction) + 1e-8) for w, a, b in zip(params, m, v, strict=True)]
        return moved, m, v

    def group(params: Any, rate: Any, rows: Any, X: Any, T: Any) -> Any:
        def network_update(params: Any, m: Any, v: Any, rate: Any, number: Any, rows: Any) -> Any:
            loss, gradients = jax.value_and_grad(one_network)(params, X[rows], T[rows])
            return *changed(params, m, v, gradients, rate, number), loss

        def update(state: Any, rows: Any) -> Any:
            params, m, v, number = state
            if training.networks_last:
                (_, losses), gradients = jax.value_and_grad(networks_last, has_aux=True)(params, *rows)
                params, m, v = changed(params, m, v, gradients, rate, number)
            else:
                each = jax.vmap(network_update, in_axes=(0, 0, 0, 0, None, 0))
                params, m, v, losses = each(params, m, v, rate, number, rows)
            return (params, m, v, number + 1), losses

        def epoch(state: Any, _: Any) -> Any:
            state, losses = lax.scan(update, state, taken, unroll=UNROLL if squared else 1)
            return state, losses.mean(0)

        taken = rows
        if training.networks_last:
            taken = (X[rows[:, :, 0]].transpose(0, 2, 1), T[rows[:, :, 0]].transpose(0, 2, 1))
        slots = [] if squared else [jnp.zeros_like(w) for w in params]
        state, losses = lax.scan(epoch, (params, slots, slots, jnp.float32(1)), None, training.epochs)
        return state[0], losses

    def population(params: Any, rate: Any, rows: Any, X: Any, T: Any) -> Any:
        return lax.map(lambda part: group(*part, X, T), (params, rate, rows))

    return jax.jit(population, donate_argnums=0)
