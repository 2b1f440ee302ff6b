"""JAX as a contender for online training: whole populations, all epochs in one compiled program, parameters donated,
float32, squared error, logistic layers.

Two arrangements of the same training. `vmapped`: what JAX is made for, one network's step, differentiated, vmapped over
the networks and scanned over the updates. `tuned`: the fastest of those tried here (on a CPU): groups of networks that
stay in the caches, one after the other, the networks along the last axis, products and sums written out, which XLA then
makes into vector loops instead of calling a matrix product for each network.
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
    """What a program is compiled for. group: networks side by side."""

    tuned: bool
    epochs: int
    group: int


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

    params = [grouped(part, training.tuned) for layer in layers for part in layer]
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
    from jax import lax

    def losses_of(Z: Any, T: Any, axis: int) -> Any:
        """Of every row; `axis` has the outputs."""
        return 0.5 * ((jax.nn.sigmoid(Z) - T) ** 2).sum(axis)

    def one_network(params: Any, X: Any, T: Any) -> Any:
        """X (B, I), T (B, O)."""
        for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            X = jax.nn.sigmoid(X @ W + b)
        return losses_of(X @ params[-2] + params[-1], T, -1).mean()

    def networks_last(params: Any, X: Any, T: Any) -> Any:
        """Of a row for each network: X (I, P), T (O, P), W (I, O, P)."""
        for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            X = jax.nn.sigmoid((X[:, None] * W).sum(0) + b)
        losses = losses_of((X[:, None] * params[-2]).sum(0) + params[-1], T, 0)
        return losses.sum(), losses

    def changed(params: Any, gradients: Any, rate: Any) -> Any:
        return [w - rate * g for w, g in zip(params, gradients, strict=True)]

    def group(params: Any, rate: Any, rows: Any, X: Any, T: Any) -> Any:
        def network_update(params: Any, rate: Any, rows: Any) -> Any:
            loss, gradients = jax.value_and_grad(one_network)(params, X[rows], T[rows])
            return changed(params, gradients, rate), loss

        def update(params: Any, rows: Any) -> Any:
            if not training.tuned:
                return jax.vmap(network_update)(params, rate, rows)
            (_, losses), gradients = jax.value_and_grad(networks_last, has_aux=True)(params, *rows)
            return changed(params, gradients, rate), losses

        def epoch(params: Any, _: Any) -> Any:
            params, losses = lax.scan(update, params, taken, unroll=UNROLL)
            return params, losses.mean(0)

        taken = rows
        if training.tuned:
            taken = (X[rows[:, :, 0]].transpose(0, 2, 1), T[rows[:, :, 0]].transpose(0, 2, 1))
        return lax.scan(epoch, params, None, training.epochs)

    def population(params: Any, rate: Any, rows: Any, X: Any, T: Any) -> Any:
        return lax.map(lambda part: group(*part, X, T), (params, rate, rows))

    return jax.jit(population, donate_argnums=0)
