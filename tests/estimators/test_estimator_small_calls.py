"""Calls on a few rows: what they keep from call to call, and the checks that they leave out, change no answer."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network

from gpubp import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))
NUMBERS = X @ np.arange(1.0, 6.0)
LABELS = np.array(["ash", "elm", "oak"])[np.arange(60) % 3]


def fed(*pieces: slice, **parameters: Any) -> MLPRegressor:
    """A regressor after partial_fit on these rows."""
    regressor = MLPRegressor(**({"hidden_layer_sizes": (8,), "random_state": 0} | parameters))
    for piece in pieces:
        regressor.partial_fit(X[piece], NUMBERS[piece])
    return regressor


def weights(mlp: Any) -> np.ndarray:
    return np.concatenate([part.ravel() for part in (*mlp.coefs_, *mlp.intercepts_)])


def unpickled(mlp: Any) -> Any:
    """The same estimator, which has kept nothing from call to call."""
    return pickle.loads(pickle.dumps(mlp))


TENS = [slice(first, first + 10) for first in range(0, 60, 10)]


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("options", [{}, {"batch_size": 4, "dropout": 0.2}, {"learning_rate": "adaptive", "tol": 9.0}])
def test_what_is_kept_between_calls_changes_no_bit(solver: str, options: dict[str, Any]) -> None:
    options = options | {"solver": solver, "n_iter_no_change": 1}
    kept, anew = fed(**options), fed(**options)
    for piece in (*TENS, slice(0, 7), *TENS):
        kept.partial_fit(X[piece], NUMBERS[piece])
        anew = unpickled(anew.partial_fit(X[piece], NUMBERS[piece]))
    np.testing.assert_array_equal(weights(kept), weights(anew))
    assert kept.loss_curve_ == anew.loss_curve_


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate_init": 0.1},
        {"alpha": 10.0},
        {"solver": "sgd"},
        {"beta_1": 0.5},
        {"batch_size": 3},
        {"dropout": 0.5},
        {"clip_norm": 1e-3},
        {"shuffle": False, "batch_size": 3},
        {"engine": "array"},
    ],
    ids=str,
)
def test_a_parameter_that_changes_between_calls_is_heeded(changed: dict[str, Any]) -> None:
    kept = fed(*TENS[:3])
    anew, unchanged = unpickled(kept), unpickled(kept)
    for mlp in (kept, anew):
        mlp.set_params(**changed)
    for mlp in (kept, anew, unchanged):
        mlp.partial_fit(X[:10], NUMBERS[:10])
    np.testing.assert_array_equal(weights(kept), weights(anew))
    assert np.array_equal(weights(kept), weights(unchanged)) == (changed == {"engine": "array"})


def test_weights_that_are_assigned_or_changed_in_place_are_gone_on_from() -> None:
    kept = fed(*TENS[:3])
    kept.coefs_ = [np.full_like(W, 0.1) for W in kept.coefs_]
    kept.intercepts_[0][...] = 0.5
    expected = np.maximum(X[:4] @ kept.coefs_[0] + 0.5, 0) @ kept.coefs_[1] + kept.intercepts_[1]
    np.testing.assert_allclose(kept.predict(X[:4]), expected[:, 0])
    kept.coefs_[1][...] = 0.0
    np.testing.assert_allclose(kept.predict(X[:4]), np.full(4, kept.intercepts_[1][0]))
    anew = unpickled(kept)
    for mlp in (kept, anew):
        mlp.partial_fit(X[:10], NUMBERS[:10])
    np.testing.assert_array_equal(weights(kept), weights(anew))


def test_weights_that_somebody_holds_are_not_trained_further() -> None:
    mlp = fed(*TENS[:2])
    held, before = [*mlp.coefs_, *mlp.intercepts_], weights(mlp)
    mlp.partial_fit(X[:10], NUMBERS[:10])
    np.testing.assert_array_equal(np.concatenate([part.ravel() for part in held]), before)
    assert not np.array_equal(weights(mlp), before)


def test_copies_go_on_alone() -> None:
    mlp = fed(*TENS[:2])
    others = [copy.copy(mlp), copy.deepcopy(mlp), unpickled(mlp)]
    for each in (mlp, *others):
        for piece in TENS[2:]:
            each.partial_fit(X[piece], NUMBERS[piece])
    for other in others:
        np.testing.assert_array_equal(weights(other), weights(mlp))


def test_pickles_and_copies_are_without_buffers_and_do_not_grow() -> None:
    mlp = fed(*TENS[:2], hidden_layer_sizes=(30,))
    size = len(pickle.dumps(mlp._state))
    for _ in range(3):
        mlp.partial_fit(X[:10], NUMBERS[:10])
    assert mlp._state.buffers is not None
    assert len(pickle.dumps(mlp._state)) == size < 4 * 8 * weights(mlp).size
    assert unpickled(mlp)._state.buffers is None
    assert copy.deepcopy(mlp)._state.buffers is None


def test_a_call_that_fails_leaves_everything_to_go_on_from() -> None:
    mlp = fed(*TENS[:2])
    before = weights(mlp)
    with pytest.raises(ValueError, match="NaN"):
        mlp.partial_fit(np.full((10, 5), np.nan), NUMBERS[:10])
    mlp.set_params(callbacks=(lambda report: 1 / 0,))
    with pytest.raises(ZeroDivisionError):
        mlp.partial_fit(X[:10], NUMBERS[:10])
    np.testing.assert_array_equal(weights(mlp), before)
    mlp.set_params(callbacks=()).partial_fit(X[20:30], NUMBERS[20:30])
    np.testing.assert_array_equal(weights(mlp), weights(fed(*TENS[:3])))


def test_threads_that_ask_one_estimator_get_its_answers() -> None:
    classifier = MLPClassifier((20, 20), random_state=0).partial_fit(X, LABELS, classes=np.unique(LABELS))
    expected = [classifier.predict_proba(X[i : i + 1 + i % 3]) for i in range(50)]
    start = Barrier(8)

    def ask(_: int) -> bool:
        start.wait(timeout=60)
        found = [classifier.predict_proba(X[i : i + 1 + i % 3]) for i in range(50)]
        return all(map(np.array_equal, found, expected))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("hidden", [(), (9,), (40, 30)])
def test_layouts_of_the_rows_change_nothing(hidden: tuple[int, ...], dtype: str) -> None:
    rows = X.astype(dtype)
    mlp = MLPRegressor(hidden_layer_sizes=hidden, random_state=0).partial_fit(rows, NUMBERS)
    mlp.coefs_[0] = np.asfortranarray(mlp.coefs_[0])
    answers = mlp.predict(rows)
    assert answers.dtype == dtype
    wide = np.zeros((60, 10), dtype=dtype)
    wide[:, ::2] = rows
    for same in (np.asfortranarray(rows), wide[:, ::2], rows.tolist()):
        found = mlp.predict(same)
        np.testing.assert_allclose(found, answers, atol=1e-6 if dtype == "float32" else 1e-14)
    np.testing.assert_array_equal(mlp.predict(np.asfortranarray(rows)), answers)


@pytest.mark.parametrize(
    "labels",
    [LABELS, LABELS == "elm", (np.arange(60) % 2) * 5, np.where(np.arange(60) % 2, "b", "a"), np.arange(60) % 4 * 1.0],
    ids=["texts", "booleans", "two numbers", "two texts", "floats"],
)
def test_labels_are_those_of_scikit_learn(labels: np.ndarray) -> None:
    classifier = MLPClassifier((6,), random_state=0).partial_fit(X, labels, classes=np.unique(labels))
    theirs = classifier.to_sklearn().predict(X)
    found = classifier.predict(X)
    assert (found.dtype, found.shape) == (theirs.dtype, theirs.shape)
    np.testing.assert_array_equal(found, theirs)


@pytest.mark.parametrize(
    "rows",
    [
        X[0],
        X[:3, :4],
        X[:0],
        np.where(np.arange(5) == 2, np.nan, X[:3]),
        np.where(np.arange(5) == 2, np.inf, X[:3]),
        X[:3].astype(complex),
        X[None],
    ],
    ids=["one-dimensional", "too narrow", "empty", "NaN", "inf", "complex", "three-dimensional"],
)
def test_bad_rows_get_the_words_of_scikit_learn(rows: np.ndarray) -> None:
    ours = fed(TENS[0])
    theirs = neural_network.MLPRegressor(hidden_layer_sizes=(8,)).partial_fit(X[:10], NUMBERS[:10])
    y = NUMBERS[: len(rows)]
    for name, arguments in (("predict", (rows,)), ("partial_fit", (rows, y))):
        with pytest.raises(ValueError) as expected:  # noqa: PT011
            getattr(theirs, name)(*arguments)
        with pytest.raises(type(expected.value)) as found:
            getattr(ours, name)(*arguments)
        assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    "y", [NUMBERS[:9], np.full(10, np.nan), NUMBERS[:10].astype(complex)], ids=["few", "NaN", "complex"]
)
def test_bad_targets_get_the_words_of_scikit_learn(y: np.ndarray) -> None:
    ours = fed(TENS[0])
    theirs = neural_network.MLPRegressor(hidden_layer_sizes=(8,)).partial_fit(X[:10], NUMBERS[:10])
    with pytest.raises(ValueError) as expected:  # noqa: PT011
        theirs.partial_fit(X[:10], y)
    with pytest.raises(ValueError) as found:  # noqa: PT011
        ours.partial_fit(X[:10], y)
    assert str(found.value) == str(expected.value)


def test_names_that_are_missing_are_still_told_of() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X, schema=["a", "b", "c", "d", "e"])
    mlp = MLPRegressor(hidden_layer_sizes=(4,), random_state=0).partial_fit(frame, NUMBERS)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        mlp.predict(X[:1])
