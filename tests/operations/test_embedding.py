"""Vectors of categories: which columns have them, what a row becomes, and layers before and behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import assert_close, numerical_gradient

from gpubp import Settings
from gpubp.backends import NumpyBackend
from gpubp.errors import DataError, SettingsError
from gpubp.fitting.fold_scaling import unscaled
from gpubp.fitting.job import Sheet
from gpubp.networks.population import Population
from gpubp.operations.architecture import Architecture
from gpubp.operations.embedding import Embedding
from gpubp.operations.losses import LOSSES
from gpubp.operations.network import Tape, loss_and_gradient, predict
from gpubp.storage.schema import Given
from gpubp.training.loop import train

BACKEND = NumpyBackend()
RANDOM = np.random.default_rng(5)
I, O, N = 9, 2, 30  # noqa: E741
COLUMNS = ((1, 2), (3, 4, 5), (7, 8))
FRONTS = ("embed:3x2", "embed:3x0", "scale,embed:2x1", "embed:2x1,pbld:2x3,scale", "pbld:2x3,embed:2x2",
          "embed:2x2,plr:2x2", "pl:2x1,embed:1x1", "scale,embed:2x2,pl:2x1")  # fmt: skip
every_front = pytest.mark.parametrize("front", FRONTS)


def table_like(n: int = N, scattered: bool = False) -> np.ndarray:
    """Numbers at 0 and 6; ones and zeros of three columns, some rows without."""
    X = RANDOM.normal(size=(n, I))
    for group in scatter(COLUMNS) if scattered else COLUMNS:
        X[:, group] = np.eye(len(group) + 1)[RANDOM.integers(len(group) + 1, size=n)][:, :-1]
    return X


def scatter(groups: Any) -> tuple[tuple[int, ...], ...]:
    """Their inputs are no neighbours."""
    place = np.random.default_rng(1).permutation(I).tolist()
    return tuple(tuple(sorted(place[each] for each in group)) for group in groups)


def network(front: str, scattered: bool = False) -> Architecture:
    groups = scatter(COLUMNS) if scattered else COLUMNS
    return Architecture(I, (4,), O, "tanh", "softmax", front, categories=groups)


X, T = table_like(), np.eye(O)[RANDOM.integers(O, size=N)]


def embedding_of(shape: Architecture) -> Embedding:
    return next(layer for layer in shape.layers if isinstance(layer, Embedding))


def test_a_row_has_the_vectors_of_its_categories() -> None:
    layer = embedding_of(network("embed:4x2"))
    assert (layer.groups, layer.passing) == (((3, 4, 5),), (0, 1, 2, 6, 7, 8))
    assert layer.n_outputs == 6 + 4
    E = RANDOM.normal(size=(2, 3, 4))
    values = layer.values(BACKEND, 2, N, np.float64, False)
    Y = layer.forward(BACKEND, X, {"vectors": E}, values)
    for row, found in zip(X, Y.swapaxes(0, 1), strict=True):
        np.testing.assert_array_equal(found[:, :6], np.stack([row[list(layer.passing)]] * 2))
        chosen = np.flatnonzero(row[3:6])
        expected = E[:, chosen[0]] if len(chosen) else np.zeros((2, 4))
        np.testing.assert_array_equal(found[:, 6:], expected)


@pytest.mark.parametrize(
    ("front", "embedded"),
    [("embed", 0), ("embed:5", 0), ("embed:5x3", 0), ("embed:5x2", 1), ("embed:5x1", 3), ("embed:5x0", 3)],
)
def test_columns_of_few_inputs_pass(front: str, embedded: int) -> None:
    layer = embedding_of(network(front))
    assert len(layer.groups) == embedded
    assert layer.size == (8 if front == "embed" else 5)


def test_what_is_no_number_stays_so() -> None:
    """Waves are of numbers, whatever stands before them."""
    embed, waves, scale, _, _ = network("embed:2x2,pbld:2x3,scale").layers
    assert waves.numbers == (0, 3)  # type: ignore[attr-defined]
    assert waves.n_outputs == 2 * 2 + embed.n_outputs == scale.n_inputs
    waves, embed, _, _ = network("pbld:2x3,embed:2x2").layers
    assert embed.groups == ((7, 8, 9),)  # type: ignore[attr-defined]
    assert embed.n_outputs == waves.n_outputs - 3 + 2


@every_front
@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_gradients(front: str, scattered: bool, shared: bool) -> None:
    shape = network(front, scattered)
    params = 0.4 * RANDOM.normal(size=(2, shape.n_parameters))
    rows = table_like(5, scattered) if shared else np.stack([table_like(5, scattered), table_like(5, scattered)])
    tape = Tape(BACKEND, shape, 2, 5, np.float64)

    def objective(at: np.ndarray) -> tuple[float, np.ndarray]:
        grads = np.full_like(at, np.nan)
        views, d_views = shape.views(at.copy()), shape.views(grads)
        loss_and_gradient(BACKEND, shape, LOSSES["cross_entropy"], views, rows, T[:5], 1.0, tape, d_views, tape.loss)
        return float(tape.loss.sum()), grads

    assert_close(objective(params)[1], numerical_gradient(lambda at: objective(at)[0], params))


@every_front
@pytest.mark.parametrize("scattered", [False, True])
def test_the_same_as_another_network(front: str, scattered: bool) -> None:
    """A scaling goes into it; and its inputs may change places."""
    shape, rows = network(front, scattered), table_like(N, scattered)
    params = RANDOM.normal(size=(2, shape.n_parameters))
    expected = predict(BACKEND, shape, params, rows)
    offset, scale = RANDOM.normal(size=I), RANDOM.uniform(0.5, 2.0, size=I)
    found = unscaled(shape, params, Sheet(rows, T, offset, scale, np.zeros(O), np.ones(O)))
    np.testing.assert_allclose(predict(BACKEND, shape, found, rows * scale + offset), expected, rtol=1e-9)
    order = RANDOM.permutation(I)
    other, moved, next_order = shape.reordered(order), params.copy(), order
    for layer, its in zip(shape.layers, shape.views(moved), strict=True):
        next_order = layer.reorder(its, next_order) if next_order is not None else None
    np.testing.assert_allclose(predict(BACKEND, other, moved, rows[:, order]), expected, rtol=1e-9)


def test_first_vectors_are_as_long_as_asked_for() -> None:
    shape = Architecture(400, (3,), O, front="embed:50", categories=[range(1, 400)])
    for sigma in (1.0, 0.1):
        params = Population.initialize(shape, [3, 4], BACKEND, layer_options={"embedding_sigma": sigma}).params
        vectors = shape.views(params)[0]["vectors"]
        assert np.std(vectors) == pytest.approx(sigma, rel=0.02)
        assert (vectors[0] != vectors[1]).all()


def test_rare_categories_keep_their_first_vectors() -> None:
    """One that no row has learns nothing; without decay, not a bit of it changes."""
    shape, rows = network("embed:3x2"), X.copy()
    rows[:, 4] = 0.0
    population = Population.initialize(shape, [1], BACKEND, dtype=np.float64)
    before = shape.views(population.params.copy())[0]["vectors"]
    train(population, rows, T, Settings(epochs=3, learning_rate=0.01), engine="array")
    after = shape.views(np.asarray(population.params))[0]["vectors"]
    np.testing.assert_array_equal(after[0, 1], before[0, 1])
    assert (after[0, [0, 2]] != before[0, [0, 2]]).all()


def test_one_update_of_them() -> None:
    """By plain descent: their own rate, and their own decay."""

    def step(l2: float = 0.0, **options: float) -> np.ndarray:
        population = Population.initialize(network("embed:3x2"), [1], BACKEND, dtype=np.float64)
        before = population.params.copy()
        settings = Settings(
            optimizer="sgd", epochs=1, batch_size=None, shuffle=False, learning_rate=0.1, l2=l2, layer_options=options
        )
        train(population, X, T, settings, engine="array")
        return (population.params - before)[0]

    usual, own, n = step(), step(embedding_rate=3.0), 3 * 3
    np.testing.assert_allclose(own[:n], 3.0 * usual[:n])
    np.testing.assert_array_equal(own[n:], usual[n:])
    first = Population.initialize(network("embed:3x2"), [1], BACKEND, dtype=np.float64).params[0, :n]
    np.testing.assert_allclose(step(0.5, embedding_decay=2.0)[:n] - usual[:n], -0.1 * 2.0 * 0.5 / N * first)
    np.testing.assert_array_equal(step(0.5, embedding_decay=0.0)[:n], usual[:n])


def test_files() -> None:
    shape = network("embed:3x2,pbld:2x3")
    assert Architecture.from_given(Given(shape.to_dict())) == shape
    assert shape.indicators == (1, 2, 3, 4, 5, 7, 8)
    assert Architecture(I, (4,), O, front="pbld", categories=COLUMNS).categories == ()  # which does not care
    with pytest.raises(DataError, match="a network has the inputs 0 to 8"):
        Architecture.from_given(Given(shape.to_dict() | {"categories": [[1, 9]]}))
    with pytest.raises(DataError, match="belongs to one column alone"):
        Architecture.from_given(Given(shape.to_dict() | {"categories": [[1, 2], [2, 3]]}))
    for wrong in (3, [3], [[]], [["a"]], [[-1]]):
        with pytest.raises(DataError):
            Architecture.from_given(Given(shape.to_dict() | {"categories": wrong}))


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ("embed:0", "such as embed:8 or embed:8x9, the first from 1 to 1,024; found 0"),
        ("embed:2000", "found 2000"),
        ("embed:8x9x9", "found 8x9x9"),
        ("embed:8x9999999", "found 8x9999999"),
        ("embed:", "sizes are whole numbers"),
    ],
)
def test_sizes_that_cannot_be(front: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        network(front)
