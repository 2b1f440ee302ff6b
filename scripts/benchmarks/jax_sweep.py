"""JAX as a contender for sweeps: networks of equal shape train together, vmapped and jitted, by Adam with
cross-entropy, float32.

A program for each width: all its configurations × folds side by side, whatever their rates, penalties, activations and
numbers of epochs; a network that has had its epochs keeps its weights while the others go on. Every network has its own
order of the rows in each epoch; they are drawn before the clock starts, since sorting random numbers in the program
takes XLA longer than training. Two programs run side by side, on a thread each, as gpubp's populations do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.machine import usable_cores

Tables = Sequence[Sequence[np.ndarray]]
"""Of each fold: X and classes to train on, X and classes to score on; folds have as many rows as each other."""


def sweep(configurations: Sequence[Mapping[str, Any]], folds: Tables, batch_size: int) -> tuple[float, np.ndarray]:
    """(seconds, the mean accuracy over the folds of each configuration)."""
    by_width: dict[int, list[int]] = {}
    for place, each in enumerate(configurations):
        by_width.setdefault(each["hidden"][0], []).append(place)
    scores = np.empty(len(configurations))
    n_networks, n_rows = max(map(len, by_width.values())) * len(folds), len(folds[0][0])
    longest = max(each["epochs"] for each in configurations)
    orders = _orders(n_networks, longest, n_rows)
    started = time.perf_counter()
    tables = [np.stack(part) for part in zip(*folds, strict=True)]

    def train(width: int) -> None:
        places = by_width[width]
        chosen = [configurations[place] for place in places]
        epochs = max(each["epochs"] for each in chosen)
        drawn = orders[:epochs, : len(chosen) * len(folds)]
        scores[places] = _scores(width, chosen, drawn, tables, batch_size)

    largest_first = sorted(by_width, key=lambda width: -len(by_width[width]))
    with ThreadPoolExecutor(usable_cores()) as threads:
        list(threads.map(train, largest_first))
    return time.perf_counter() - started, scores


@lru_cache(maxsize=2)
def _orders(n_networks: int, epochs: int, n_rows: int) -> np.ndarray:
    """(epochs, networks, rows) int32."""
    rows = np.broadcast_to(np.arange(n_rows, dtype=np.int32), (epochs, n_networks, n_rows))
    return np.random.default_rng(0).permuted(rows, axis=-1)


def _scores(
    width: int, chosen: Sequence[Mapping[str, Any]], orders: np.ndarray, tables: Sequence[np.ndarray], batch_size: int
) -> np.ndarray:
    """orders (epochs, P, rows)."""
    import jax

    n_folds = len(tables[0])

    def each(values: list[Any], dtype: Any) -> np.ndarray:
        """(P,): of every configuration, fold after fold."""
        return np.repeat(np.array(values, dtype), n_folds)

    program = _program(width, batch_size)
    accuracy = program(
        jax.random.split(jax.random.key(width), n_folds * len(chosen)),
        np.tile(np.arange(n_folds), len(chosen)),
        each([one["learning_rate"] for one in chosen], np.float32),
        each([one["l2"] for one in chosen], np.float32),
        each([one["activation"] == "tanh" for one in chosen], bool),
        each([one["epochs"] for one in chosen], np.int32),
        orders,
        *tables,
    )
    return np.asarray(accuracy).reshape(len(chosen), n_folds).mean(axis=1)


@lru_cache(maxsize=64)
def _program(width: int, batch_size: int) -> Any:
    import jax
    import jax.numpy as jnp
    from jax import lax

    def logits(params: Any, tanh: Any, X: Any) -> Any:
        W, b, V, c = params
        Z = X @ W + b
        return jnp.where(tanh, jnp.tanh(Z), jax.nn.relu(Z)) @ V + c

    def loss(params: Any, tanh: Any, l2: Any, X: Any, classes: Any) -> Any:
        """scikit-learn's: the penalty is ½ · l2 · Σ W² / rows."""
        penalty = 0.5 * l2 * ((params[0] ** 2).sum() + (params[2] ** 2).sum()) / len(X)
        likelihoods = jnp.take_along_axis(jax.nn.log_softmax(logits(params, tanh, X)), classes[:, None], axis=1)
        return penalty - likelihoods.mean()

    def update(state: Any, tanh: Any, l2: Any, rate: Any, X: Any, classes: Any) -> Any:
        params, m, v, number = state
        gradients = jax.grad(loss)(params, tanh, l2, X, classes)
        m = [0.9 * a + 0.1 * g for a, g in zip(m, gradients, strict=True)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, gradients, strict=True)]
        size = rate * jnp.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        params = [w - size * a / (jnp.sqrt(b) + 1e-8) for w, a, b in zip(params, m, v, strict=True)]
        return params, m, v, number + 1

    def epoch(state: Any, order: Any, tanh: Any, l2: Any, rate: Any, X: Any, classes: Any) -> Any:
        whole = len(X) // batch_size
        batches = order[: whole * batch_size].reshape(whole, batch_size)

        def step(state: Any, rows: Any) -> Any:
            return update(state, tanh, l2, rate, X[rows], classes[rows]), None

        state, _ = lax.scan(step, state, batches)
        rest = order[whole * batch_size :]
        return update(state, tanh, l2, rate, X[rest], classes[rest]) if len(rest) else state

    def start(key: Any, n_inputs: int, n_classes: int) -> Any:
        first, second = jax.random.split(key)
        bounds = [jnp.sqrt(6 / (n_inputs + width)), jnp.sqrt(6 / (width + n_classes))]
        W = jax.random.uniform(first, (n_inputs, width), minval=-bounds[0], maxval=bounds[0])
        V = jax.random.uniform(second, (width, n_classes), minval=-bounds[1], maxval=bounds[1])
        params = [W, jnp.zeros(width), V, jnp.zeros(n_classes)]
        slots = [jnp.zeros_like(w) for w in params]
        return params, slots, slots, jnp.float32(1)

    def population(keys: Any, fold: Any, rate: Any, l2: Any, tanh: Any, epochs: Any, orders: Any, *tables: Any) -> Any:
        X, classes, X_test, truth = (table[fold] for table in tables)
        state = jax.vmap(lambda key: start(key, X.shape[-1], 3))(keys)

        def go_on(state: Any, at: Any) -> Any:
            number, order = at
            after = jax.vmap(epoch)(state, order, tanh, l2, rate, X, classes)
            goes = number < epochs
            kept = jax.tree.map(lambda a, b: jnp.where(goes.reshape(-1, *[1] * (a.ndim - 1)), a, b), after, state)
            return kept, None

        (params, *_), _ = lax.scan(go_on, state, (jnp.arange(len(orders)), orders))
        return (jax.vmap(logits)(params, tanh, X_test).argmax(-1) == truth).mean(-1)

    return jax.jit(population)
