"""To scikit-learn and back: the same predictions, and the same next epoch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest
import sklearn.neural_network as peers
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.preprocessing import StandardScaler

from gpubp.errors import SettingsError
from gpubp.estimators import MLPClassifier, MLPRegressor
from gpubp.estimators.conversion import ACTIVATIONS, from_sklearn, to_sklearn

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(70, 4))
TWO = np.where(X[:, 0] > 0, "yes", "no")
THREE = np.array([3, 5, 9])[(X[:, 0] > 0.3).astype(int) + (X[:, 1] > 0)]
LABELS = (X[:, :3] > 0).astype(int)
VALUE, VALUES = X[:, 0] + 2, X[:, :2] ** 2
QUICK: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0, "batch_size": 70}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # a few epochs will do


def predictions(estimator: Any, rows: np.ndarray) -> list[np.ndarray]:
    return [getattr(estimator, name)(rows) for name in ("predict", "predict_proba") if hasattr(estimator, name)]


def same(first: Any, second: Any, dtype: str = "float64") -> None:
    rows = X.astype(dtype)
    for mine, theirs in zip(predictions(first, rows), predictions(second, rows), strict=True):
        assert mine.dtype.kind == theirs.dtype.kind
        if mine.dtype.kind == "f":
            np.testing.assert_allclose(mine, theirs, rtol=1e-12 if dtype == "float64" else 1e-4, atol=1e-6)
        else:
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "y"),
    [("Classifier", TWO), ("Classifier", THREE), ("Classifier", LABELS), ("Regressor", VALUE), ("Regressor", VALUES)],
    ids=["two classes", "three", "labels", "a value", "values"],
)
def test_there_and_back(name: str, y: np.ndarray, dtype: str) -> None:
    ours, theirs = {"Classifier": MLPClassifier, "Regressor": MLPRegressor}[name], getattr(peers, f"MLP{name}")
    rows = X.astype(dtype)
    mine = ours(**QUICK, activation="tanh").fit(rows, y)
    converted = to_sklearn(mine)
    assert type(converted) is theirs
    same(mine, converted, dtype)
    same(mine, from_sklearn(converted), dtype)
    assert from_sklearn(converted).get_params() == mine.get_params()
    peer = theirs(**QUICK).fit(rows, y)
    assert type(from_sklearn(peer)) is ours
    same(from_sklearn(peer), peer, dtype)
    same(to_sklearn(from_sklearn(peer)), peer, dtype)
    assert {*vars(peer)} - {"_random_state"} <= {*vars(converted)}
    assert converted.coefs_[0].dtype == dtype
    converted.coefs_[0][:] = 0.0  # a copy
    assert mine.coefs_[0].any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_every_activation_and_loss(activation: str, loss: str) -> None:
    mine = MLPRegressor(**QUICK, activation=activation, loss=loss).fit(X, VALUE - VALUE.min())
    same(mine, to_sklearn(mine))
    same(mine, from_sklearn(to_sklearn(mine)))


@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "adam"},
        {"solver": "sgd"},
        {"solver": "sgd", "nesterovs_momentum": False},
        {"solver": "sgd", "momentum": 0.0},
        {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("direction", ["to", "from"])
def test_the_next_epoch_is_the_same(settings: dict[str, Any], direction: str) -> None:
    """One batch of all rows, so that the order of the rows does not matter."""
    if direction == "to":
        first: Any = MLPClassifier(**QUICK, **settings).fit(X, THREE)
        second: Any = to_sklearn(first)
    else:
        first = peers.MLPClassifier(**QUICK, **settings).fit(X, THREE)
        second = from_sklearn(first)
    for epoch in range(3):
        first.partial_fit(X, THREE)
        second.partial_fit(X, THREE)
        for mine, theirs in zip(first.coefs_, second.coefs_, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-9)
        assert first.loss_curve_[-1] == pytest.approx(second.loss_curve_[-1], rel=1e-6)
        assert (
            (first.t_, len(first.loss_curve_)) == (second.t_, len(second.loss_curve_)) == (70 * (4 + epoch), 4 + epoch)
        )


def test_a_lowered_rate_stays_lowered() -> None:
    settings = QUICK | {"solver": "sgd", "learning_rate": "adaptive", "tol": 1e9, "n_iter_no_change": 1, "max_iter": 7}
    peer = peers.MLPClassifier(**settings).fit(X, THREE)
    rate = peer._optimizer.learning_rate
    assert rate < peer.learning_rate_init
    there = from_sklearn(peer)
    assert there._state.rate_factor[0] == pytest.approx(rate / peer.learning_rate_init)
    assert to_sklearn(there)._optimizer.learning_rate == pytest.approx(rate)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_what_scikit_learn_makes_of_it_can_be_fitted_again(early_stopping: bool) -> None:
    settings = QUICK | {"batch_size": 20, "early_stopping": early_stopping, "validation_fraction": 0.3}
    mine = MLPClassifier(**settings).fit(X, THREE)
    converted = to_sklearn(mine.set_params(warm_start=True))
    converted.fit(X, THREE)
    assert len(converted.loss_curve_) == 6
    assert (converted.validation_scores_ is not None) == early_stopping
    back = from_sklearn(converted).fit(X, THREE)
    assert len(back.loss_curve_) == 9


def test_lbfgs_has_no_state() -> None:
    peer = peers.MLPClassifier(**QUICK | {"solver": "lbfgs"}).fit(X, TWO)
    mine = from_sklearn(peer)
    same(mine, peer)
    assert not hasattr(to_sklearn(mine), "_optimizer")
    assert not hasattr(to_sklearn(mine), "partial_fit")


def test_names_of_features_come_along() -> None:
    frame = pl.DataFrame(X, schema=["a", "b", "c", "d"])
    mine = MLPRegressor(**QUICK).fit(frame, VALUE)
    converted = to_sklearn(mine)
    assert [*converted.feature_names_in_] == ["a", "b", "c", "d"]
    np.testing.assert_allclose(converted.predict(frame), mine.predict(frame))
    assert [*from_sklearn(converted).feature_names_in_] == ["a", "b", "c", "d"]


def test_parameters_that_do_not_matter_are_dropped_in_silence() -> None:
    mine = MLPClassifier(**QUICK, engine="array", dtype="float32", callbacks=[lambda report: None], progress=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        converted = to_sklearn(mine.fit(X, TWO))
    same(mine, converted, "float32")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 0.3}, "dropout=0.3"),
        ({"dropout": (0.3,)}, r"dropout=\(0.3,\)"),
        ({"clip_norm": 1.0}, "clip_norm=1.0"),
        ({"label_smoothing": 0.1}, "label_smoothing=0.1"),
        ({"class_weight": "balanced"}, "class_weight='balanced'"),
        ({"solver": "adamw"}, r"solver='adamw' \(it gets adam\)"),
        ({"learning_rate": "cosine"}, r"learning_rate='cosine' \(it gets constant\)"),
    ],
)
def test_what_training_would_lose_is_said(settings: dict[str, Any], message: str) -> None:
    mine = MLPClassifier(**QUICK, **settings).fit(X, TWO)
    with pytest.warns(UserWarning, match=f"scikit-learn lacks {message}"):
        converted = to_sklearn(mine)
    same(mine, converted)
    converted.partial_fit(X, TWO)


def test_an_activation_that_scikit_learn_lacks() -> None:
    with pytest.raises(SettingsError, match=r"no activation 'gelu'; its networks know identity.*to_onnx"):
        to_sklearn(MLPClassifier(**QUICK, activation="gelu").fit(X, TWO))


def test_what_is_no_network() -> None:
    with pytest.raises(SettingsError, match="StandardScaler is not gpubp's"):
        to_sklearn(StandardScaler())  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"MLPClassifier is not gpubp's"):
        to_sklearn(peers.MLPClassifier())
    with pytest.raises(SettingsError, match=r"is not scikit-learn's.*best_estimator_"):
        from_sklearn(MLPClassifier())


def test_before_fit() -> None:
    with pytest.raises(NotFittedError):
        to_sklearn(MLPClassifier())
    with pytest.raises(NotFittedError):
        from_sklearn(peers.MLPRegressor())


def test_a_parameter_of_a_later_scikit_learn() -> None:
    class Later(peers.MLPRegressor):  # type: ignore[misc]
        def __init__(self, gates: int = 3, hidden_layer_sizes: Any = (6,), max_iter: int = 3) -> None:
            super().__init__(hidden_layer_sizes=hidden_layer_sizes, max_iter=max_iter)
            self.gates = gates

    with pytest.raises(SettingsError, match="has no parameter gates"):
        from_sklearn(Later().fit(X, VALUE))


def test_the_same_by_methods() -> None:
    ours = MLPClassifier((5,), solver="lbfgs", max_iter=20, random_state=0).fit(X, THREE)
    theirs = ours.to_sklearn()
    back = MLPClassifier.from_sklearn(theirs)
    np.testing.assert_allclose(back.predict_proba(X), ours.predict_proba(X), rtol=1e-12)
    with pytest.raises(SettingsError, match=r"becomes a MLPClassifier, and no MLPRegressor"):
        MLPRegressor.from_sklearn(theirs)
    assert ours.to_onnx().graph.input[0].name == "X"
