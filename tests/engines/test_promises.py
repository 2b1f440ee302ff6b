"""What every engine promises, one body for each promise: a network is alone; the same seed gives the same bits.

(That a training in several calls is the training in one: tests/training/test_snapshots.py and test_training_state.py,
on every engine as well.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gpubp.backends import NumpyBackend
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import EarlyStopping, Settings
from gpubp.operations.architecture import Architecture
from gpubp.training.history import History
from gpubp.training.loop import train

BACKEND = NumpyBackend()
RANDOM = np.random.default_rng(8)
N, P = 30, 19  # more networks than a vector has lanes
X = RANDOM.normal(size=(N, 3))
T = np.eye(3)[RANDOM.integers(3, size=N)]
SHAPE = Architecture(3, (5, 4), 3, ("gelu", "relu"), "softmax")
SEEDS = network_seeds(5, P)
ROWS = [np.random.default_rng(p).permutation(N)[: 17 + p % 3] for p in range(P)]  # three left-over batches
HELD = [np.random.default_rng(P + p).permutation(N)[: 6 + p % 2] for p in range(P)]
WEIGHTS = RANDOM.uniform(0.2, 2.0, size=(P, N))
OWN: dict[str, np.ndarray] = {
    "learning_rate": np.geomspace(1e-3, 0.1, P),
    "l2": np.where(np.arange(P) % 3 == 0, 0.0, 0.05),
    "dropout": np.stack([np.arange(P) % 4 * 0.2, np.zeros(P)], axis=1),
    "label_smoothing": np.arange(P) % 3 * 0.15,
}
"""Settings that each network has for itself; some have no L2, some drop nothing, some have labels as they are."""
WAYS: dict[str, dict[str, Any]] = {
    "adamw": {"optimizer": "adamw"},
    "clipped": {"optimizer": "momentum", "clip_norm": 0.5},
    "one table": {"optimizer": "momentum"},
    "stopping": {"optimizer": "adamw", "early_stopping": EarlyStopping(patience=1, tolerance=0.01), "epochs": 12},
    "scheduled": {
        "optimizer": "adamw",
        "early_stopping": EarlyStopping(patience=1, tolerance=0.01),
        "epochs": 12,
        "dropout_schedule": "flat_cos",
        "decay_schedule": "cosine",
        "smoothing_schedule": "coslog4",
    },
    "averaged": {"optimizer": "momentum", "average": 0.8, "early_stopping": EarlyStopping(patience=1, ties="last")},
}
SCHEDULES = [
    ("flat_cos", "cosine", "coslog4"), ("inverse_scaling", "inverse_scaling", "inverse_scaling"),
    ("constant", "coslog4", "constant"),
]  # fmt: skip
"""Of dropout, decay and label smoothing."""


def networks(chosen: Sequence[int]) -> Population:
    return Population.initialize(SHAPE, SEEDS[[*chosen]], BACKEND)


def trained(
    engine: str, way: str, chosen: Sequence[int], start: Population | None = None
) -> tuple[np.ndarray, History]:
    """The networks at these places: parameters and history."""
    population = networks(chosen) if start is None else start
    own = {name: values[[*chosen]] for name, values in OWN.items()}
    settings = Settings(**({"batch_size": 8, "epochs": 3} | own | WAYS[way]))
    rows: dict[str, Any] = {"rows": [ROWS[p] for p in chosen], "validation_rows": [HELD[p] for p in chosen]}
    if way == "one table":
        rows = {"rows": ROWS[0], "validation_rows": HELD[0]}
    weights = WEIGHTS[0] if way == "one table" else WEIGHTS[[*chosen]]
    history = train(population, X, T, settings, row_weights=weights, engine=engine, **rows)
    assert history.engine == engine
    return np.asarray(population.params), history


@pytest.mark.parametrize("way", WAYS)
def test_a_network_is_alone(engine: str, way: str) -> None:
    """Its result does not depend on who else is in the population, where it stands, or whether others have stopped."""
    together, history = trained(engine, way, range(P))
    if way in ("stopping", "scheduled"):
        assert len(set(history.epochs.tolist())) > 1, "nobody left early: the case shows nothing"
    for some in ([7], [0], [18, 3, 4]):
        found, its = trained(engine, way, some)
        np.testing.assert_array_equal(found, together[some])
        for name in ("training_loss", "validation_loss", "validation_score"):
            epochs = len(getattr(its, name))
            np.testing.assert_array_equal(getattr(its, name), getattr(history, name)[:epochs, some], err_msg=name)


@pytest.mark.parametrize("way", WAYS)
def test_a_network_that_is_lost_leaves_the_others_alone(engine: str, way: str) -> None:
    expected, _ = trained(engine, way, range(P))
    poisoned = networks(range(P))
    poisoned.params[6, 0] = np.nan
    found, history = trained(engine, way, range(P), poisoned)
    others = np.arange(P) != 6
    np.testing.assert_array_equal(found[others], expected[others])
    assert np.isnan(found[6]).any()
    assert np.flatnonzero(history.lost).tolist() == [6]


def test_the_same_seed_gives_the_same_bits(engine: str) -> None:
    first, second = (trained(engine, "adamw", range(P)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1].training_loss, second[1].training_loss)
    assert len(np.unique(first[0], axis=0)) == P, "each has a seed of its own"


@pytest.mark.parametrize(("name", "batch_size"), [("l2", 8), ("l2", 1), ("dropout", 8), ("label_smoothing", 8)])
def test_what_no_network_but_a_neighbour_has(engine: str, name: str, batch_size: int) -> None:
    """Kernels are compiled with it where any network has some: one that has none must not notice."""

    def params(chosen: list[int], value: Any) -> np.ndarray:
        population = networks(chosen)
        settings = Settings(batch_size=batch_size, epochs=2, optimizer="sgd", **{name: value})
        train(population, X, T, settings, engine=engine)
        return np.asarray(population.params)

    values = {
        "l2": [0.3, 0.0],
        "dropout": np.array([[0.5, 0.5], [0.0, 0.0]]),
        "label_smoothing": [0.3, 0.0],
    }[name]
    together, alone = params([1, 2], values), params([2], 0.0)
    np.testing.assert_array_equal(together[1], alone[0])
    assert not np.array_equal(together[0], params([1], 0.0)[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_smoothing_of_each_is_that_of_all(engine: str, dtype: str) -> None:
    """To the bit: what the engines do to a network's one-hot targets, and what the table has where all are alike."""

    def params(chosen: list[int], amount: Any) -> np.ndarray:
        population = Population.initialize(SHAPE, SEEDS[chosen], BACKEND, dtype=dtype)
        settings = Settings(batch_size=8, epochs=2, label_smoothing=amount)
        train(population, X, T.astype(dtype), settings, engine=engine)
        return np.asarray(population.params)

    together = params([1, 2, 3], [0.0, 0.1, 0.7])
    for place, amount in enumerate((0.0, 0.1, 0.7)):
        np.testing.assert_array_equal(together[place], params([place + 1], amount)[0])


@pytest.mark.parametrize("schedules", SCHEDULES, ids="-".join)
@pytest.mark.parametrize("more", [{}, {"clip_norm": 0.5, "batch_size": 1, "optimizer": "sgd"}], ids=["adamw", "online"])
def test_schedules_agree_with_the_array_engine(engine: str, schedules: tuple[str, ...], more: dict[str, Any]) -> None:
    names = ("dropout_schedule", "decay_schedule", "smoothing_schedule")
    given = {"optimizer": "adamw", "batch_size": 8, "epochs": 4} | OWN | more | dict(zip(names, schedules, strict=True))

    def run(by: str, settings: Settings) -> tuple[np.ndarray, History]:
        population = Population.initialize(SHAPE, SEEDS, BACKEND, dtype="float64")
        history = train(population, X, T, settings, engine=by, rows=ROWS, validation_rows=HELD, row_weights=WEIGHTS)
        return np.asarray(population.params), history

    found, its = run(engine, Settings(**given))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpubp.engines.array.engine.FUSED_PARAMETERS", 10**9)
        expected, history = run("array", Settings(**given))
        without, _ = run("array", Settings(**given | dict.fromkeys(names, "constant")))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(its.training_loss, history.training_loss, rtol=1e-10)
    np.testing.assert_allclose(its.validation_loss, history.validation_loss, rtol=1e-10)
    assert np.abs(without - expected).max() > 1e-4, "the schedules have no effect: the case shows nothing"


def test_who_decays_may_leave(engine: str) -> None:
    """The only network with L2 stops first: the others, and the kernel that was compiled for its factors, go on."""
    own = {"l2": np.array([0.1, 0.0, 0.0]), "learning_rate": np.array([1e-7, 0.05, 0.05])}
    settings = Settings(
        optimizer="sgd", batch_size=8, epochs=9, decay_schedule="cosine", early_stopping=EarlyStopping(2, 1e-4), **own
    )
    population = networks([0, 1, 2])
    history = train(population, X, T, settings, engine=engine, validation_rows=np.arange(9))
    assert history.epochs[0] < max(history.epochs[1:])
    alone = networks([1])
    without = Settings(
        optimizer="sgd", batch_size=8, epochs=9, learning_rate=0.05, early_stopping=EarlyStopping(2, 1e-4)
    )
    train(alone, X, T, without, engine=engine, validation_rows=np.arange(9))
    np.testing.assert_array_equal(population.params[1], alone.params[0])
