"""From the same weights on the same batches, the estimators compute what scikit-learn's compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.metrics import accuracy_score

from gpubp import MLPClassifier, MLPRegressor

X_IRIS, Y_IRIS = load_iris(return_X_y=True)
RNG = np.random.default_rng(3)
ORDER = RNG.permutation(150)
X, Y = (X_IRIS - X_IRIS.mean(axis=0))[ORDER], Y_IRIS[ORDER]
WEIGHTS = RNG.uniform(0.1, 2.0, size=150)
MULTILABEL = make_multilabel_classification(150, 4, n_classes=3, random_state=0)[1]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "sgd": (MLPClassifier, Y, {"solver": "sgd", "momentum": 0.0}),
    "momentum": (MLPClassifier, Y, {"solver": "sgd", "nesterovs_momentum": False}),
    "nesterov": (MLPClassifier, Y, {"solver": "sgd"}),
    "adam": (MLPClassifier, Y, {"epsilon": 1e-12}),  # where epsilon stands differs, and is too small to see here
    "invscaling": (MLPClassifier, Y, {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5}),
    "whole batch": (MLPClassifier, Y, {"solver": "sgd", "batch_size": 150}),
    "alpha": (MLPClassifier, Y, {"solver": "sgd", "alpha": 3.0}),
    "logistic": (MLPClassifier, Y, {"solver": "sgd", "activation": "logistic"}),
    "tanh": (MLPClassifier, Y, {"solver": "sgd", "activation": "tanh"}),
    "identity": (MLPClassifier, Y, {"solver": "sgd", "activation": "identity"}),
    "two layers": (MLPClassifier, Y, {"solver": "sgd", "hidden_layer_sizes": (7, 5)}),
    "two classes": (MLPClassifier, Y > 0, {"solver": "sgd"}),
    "labels": (MLPClassifier, MULTILABEL, {"solver": "sgd"}),
    "regression": (MLPRegressor, Y * 1.0, {"solver": "sgd"}),
    "several outputs": (MLPRegressor, X[:, :3] * 2.0, {"solver": "sgd", "alpha": 0.0}),
    "poisson": (MLPRegressor, Y * 1.0, {"solver": "sgd", "loss": "poisson"}),
}


@pytest.mark.parametrize(("name", "engine"), [*((name, "array") for name in CASES), ("adam", "block")])
def test_losses_and_weights_of_twenty_epochs_agree(name: str, engine: str) -> None:
    ours_class, y, parameters = CASES[name]
    ours, theirs = same_start(ours_class, y, parameters | {"engine": engine}, None)
    for estimator in (ours, theirs):
        estimator.fit(X, y)
    compare(ours, theirs)
    if ours_class is MLPClassifier:
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y))


@pytest.mark.parametrize("name", ["nesterov", "two classes", "regression", "poisson"])
def test_sample_weights_agree(name: str) -> None:
    ours_class, y, parameters = CASES[name]
    ours, theirs = same_start(ours_class, y, parameters | {"batch_size": 150}, WEIGHTS)
    for estimator in (ours, theirs):
        estimator.fit(X, y, sample_weight=WEIGHTS)
    compare(ours, theirs)


@pytest.mark.parametrize("name", ["nesterov", "adam", "invscaling", "regression"])
def test_calls_of_partial_fit_agree(name: str) -> None:
    """Pieces of different lengths, so that invscaling has to count rows."""
    ours_class, y, parameters = CASES[name]
    ours, theirs = same_start(ours_class, y, parameters | {"batch_size": "auto"}, None)
    for estimator in (ours, theirs):
        estimator.set_params(warm_start=False)  # with it, every piece would have to hold all classes
    pieces = [slice(0, 40), slice(40, 41), slice(41, 150)] * 4
    for piece in pieces:
        for estimator in (ours, theirs):
            estimator.partial_fit(X[piece], y[piece])
    assert ours.t_ == theirs.t_
    compare(ours, theirs)


def test_the_same_epoch_ends_a_training() -> None:
    for parameters in ({"tol": 3e-3, "n_iter_no_change": 3}, {"learning_rate": "adaptive", "n_iter_no_change": 2}):
        ours, theirs = same_start(MLPClassifier, Y, {"solver": "sgd", **parameters}, None)
        for estimator in (ours, theirs):
            estimator.set_params(max_iter=2000).fit(X, Y)
        assert 5 < ours.n_iter_ < 2000
        assert ours.n_iter_ == theirs.n_iter_
        compare(ours, theirs)


def test_partial_fit_lowers_the_adaptive_rate_as_fit_does() -> None:
    parameters = {"solver": "sgd", "learning_rate": "adaptive", "tol": 1e-2, "n_iter_no_change": 2}
    ours, theirs = same_start(MLPClassifier, Y, parameters, None)
    for _ in range(60):
        for estimator in (ours, theirs):
            estimator.partial_fit(X, Y)
    assert theirs._optimizer.learning_rate < 1e-3  # it was lowered, and more than once
    assert ours.learning_rate_init * ours._state.rate_factor[0] == pytest.approx(theirs._optimizer.learning_rate)
    compare(ours, theirs)


def same_start(ours_class: Any, y: Any, parameters: dict[str, Any], weights: Any) -> tuple[Any, Any]:
    """Ours and theirs, both with the weights of theirs after one epoch, and no memory of that epoch."""
    common = {"hidden_layer_sizes": (6,), "batch_size": 32, "learning_rate_init": 0.02, "max_iter": 1}
    common |= {"shuffle": False, "random_state": 0, "warm_start": True, "n_iter_no_change": np.inf}
    common |= parameters
    engine = common.pop("engine", "array")
    theirs = getattr(neural_network, ours_class.__name__)(**common).fit(X, y, sample_weight=weights)
    ours = ours_class(**common, engine=engine).fit(X, y, sample_weight=weights)
    ours.coefs_ = [W.copy() for W in theirs.coefs_]
    ours.intercepts_ = [b.copy() for b in theirs.intercepts_]
    for estimator in (ours, theirs):
        estimator.t_, estimator.loss_curve_, estimator.best_loss_ = 0, [], np.inf
        estimator.set_params(max_iter=20)
    theirs._no_improvement_count = 0
    del theirs._optimizer
    del ours._state
    return ours, theirs


def compare(ours: Any, theirs: Any) -> None:
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-7)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-7)
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=1e-7)
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("labels", [[0, 3, 7], [False, True], ["a", "b", "c"], [0.0, 2.0]])
def test_the_score_is_scikit_learns_accuracy(labels: list[Any]) -> None:
    random = np.random.default_rng(2)
    features, truth = random.normal(size=(53, 3)), np.array(labels)[random.integers(len(labels), size=53)]
    fitted = MLPClassifier(max_iter=3, random_state=0).fit(features, truth)
    weights = random.random(53)
    assert fitted.score(features, truth) == accuracy_score(truth, fitted.predict(features))
    weighted = accuracy_score(truth, fitted.predict(features), sample_weight=weights)
    assert fitted.score(features, truth, weights) == weighted
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fitted.score(features, truth[:-1])
