"""Ctrl-C ends a PopulationSearchCV in whatever it is at; and the fits that cannot be packed, several at a time."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from gpubp import MLPClassifier, PopulationSearchCV
from gpubp.search.run.guide import Guide

X, y = load_iris(return_X_y=True)
X, y = X[::3], y[::3]
ENDLESS = 10**6  # epochs: hours, where Ctrl-C does not end them

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def network(**parameters: Any) -> MLPClassifier:
    given = {"max_iter": 3, "random_state": 0, "n_iter_no_change": np.inf, "engine": "array"} | parameters
    return MLPClassifier((3,), **given)


def grid(estimator: Any, **parameters: Any) -> PopulationSearchCV:
    given = {"param_distributions": {"alpha": [1e-4, 1e-2, 1.0]}, "strategy": "grid", "cv": 2} | parameters
    return PopulationSearchCV(estimator, **given)


class CtrlC:
    """Called, it interrupts the process: the `after`-th time. Another process that has a copy of it does so, too."""

    def __init__(self, after: int = 1) -> None:
        self.left, self.process = after, os.getpid()

    def __deepcopy__(self, memo: Any) -> CtrlC:
        return self  # `clone` copies parameters, and is to count with the others

    def __call__(self, *_: Any, **__: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            os.kill(self.process, signal.SIGINT)
        return False


@pytest.fixture(autouse=True)
def nothing_stays() -> Any:
    """No thread of a search, and no handler."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gpubp-sweep")]


def interrupted(search: PopulationSearchCV) -> PopulationSearchCV:
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, y)
    assert not hasattr(search, "best_estimator_")
    return search


@pytest.mark.parametrize("engine", ["array", "block"])  # in this thread, and in threads of their own
def test_while_populations_train(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ctrl_c = CtrlC(after=3)
    monkeypatch.setattr(Guide, "worked", lambda self, epochs: ctrl_c())
    populations = {"hidden_layer_sizes": [(3,), (4,)]}
    search = interrupted(grid(network(max_iter=ENDLESS, engine=engine), param_distributions=populations))
    assert not hasattr(search, "cv_results_")
    assert search.set_params(estimator=network()).fit(X, y).best_score_ > 0  # and it can be fitted after all


def test_while_steps_before_the_network_are_fitted() -> None:
    ctrl_c = CtrlC()

    def step(values: Any) -> Any:
        ctrl_c()
        return values

    pipeline = make_pipeline(FunctionTransformer(step), network(max_iter=ENDLESS))
    interrupted(grid(pipeline, param_distributions={"mlpclassifier__alpha": [1e-4, 1e-2]}))


@pytest.mark.parametrize("engine", ["array", "block"])
def test_while_networks_are_scored(engine: str) -> None:
    spaces = [
        {"hidden_layer_sizes": [(3,)], "max_iter": [2]},
        {"hidden_layer_sizes": [(4,)], "max_iter": [ENDLESS]},
    ]
    search = grid(network(engine=engine), param_distributions=spaces, scoring=CtrlC(after=2))
    interrupted(search)


def test_while_candidates_are_fitted_one_by_one() -> None:
    search = grid(network(solver="lbfgs", callbacks=[CtrlC(after=8)], max_iter=2))
    interrupted(search)
    assert len(search.cv_results_["params"]) == 1  # the second candidate's second fit was interrupted
    assert search.best_params_ == {"alpha": 1e-4}
    assert 0 < search.best_score_ <= 1
    assert_array_equal(search.cv_results_["rank_test_score"], [1])


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_while_candidates_are_fitted_at_a_time(backend: str) -> None:
    endless = network(callbacks=[CtrlC(after=50)], max_iter=ENDLESS)
    with joblib.parallel_backend(backend):
        interrupted(grid(endless, n_jobs=2))
    assert len(threading.enumerate()) < 50


def test_while_the_best_is_refitted() -> None:
    ctrl_c = CtrlC()

    def step(values: Any) -> Any:
        if len(values) == len(X):
            ctrl_c()
        return values

    pipeline = make_pipeline(FunctionTransformer(step), network())
    search = interrupted(grid(pipeline, param_distributions={"mlpclassifier__alpha": [1e-4, 1e-2]}))
    assert len(search.cv_results_["params"]) == 2
    assert search.best_params_ in search.cv_results_["params"]


def test_a_search_over_other_estimators_with_networks_inside() -> None:
    bagged = BaggingClassifier(network(callbacks=[CtrlC(after=5)]), n_estimators=2)
    interrupted(grid(bagged, param_distributions={"estimator__alpha": [1e-4, 1e-2]}))


def test_what_was_refitted_before_is_not_taken_for_the_best_of_what_was_interrupted() -> None:
    search = grid(network()).fit(X, y)
    search.set_params(estimator=network(solver="lbfgs", callbacks=[CtrlC(after=8)], max_iter=2))
    interrupted(search)


class Elsewhere:
    """A score: 1 in another process than this one."""

    def __init__(self) -> None:
        self.process = os.getpid()

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        return float(os.getpid() != self.process)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_n_jobs_is_for_the_fits_that_cannot_be_packed(backend: str) -> None:
    estimator = network(solver="lbfgs", max_iter=20)
    alone = grid(estimator, return_train_score=True).fit(X, y)
    with joblib.parallel_backend(backend):
        found = grid(estimator, return_train_score=True, n_jobs=2).fit(X, y)
        theirs = GridSearchCV(estimator, {"alpha": [1e-4, 1e-2, 1.0]}, cv=2, n_jobs=2).fit(X, y)
        processes = grid(estimator, n_jobs=2, scoring=Elsewhere(), refit=False).fit(X, y)
    for name in ("mean_test_score", "split0_test_score", "mean_train_score"):
        assert_array_equal(found.cv_results_[name], alone.cv_results_[name])
    assert_array_equal(found.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    for one, other in zip(found.best_estimator_.coefs_, alone.best_estimator_.coefs_, strict=True):
        assert_array_equal(one, other)
    expected = 1.0 if backend == "loky" else 0.0
    assert_array_equal(processes.cv_results_["mean_test_score"], expected)


def test_fits_that_fail_elsewhere_count_as_scikit_learn_says(capfd: pytest.CaptureFixture[str]) -> None:
    given = {"param_distributions": {"alpha": [-1.0, 1e-4]}, "n_jobs": 2, "refit": False}
    with joblib.parallel_backend("threading"):
        with pytest.warns(FitFailedWarning, match="The 'alpha'"), pytest.warns(UserWarning, match="non-finite"):
            found = grid(network(solver="lbfgs"), **given).fit(X, y)
        with pytest.raises(ValueError, match="The 'alpha'"):
            grid(network(solver="lbfgs"), error_score="raise", **given).fit(X, y)
        grid(network(solver="lbfgs"), n_jobs=2, verbose=3, refit=False).fit(X, y)
    assert_array_equal(np.isnan(found.cv_results_["mean_test_score"]), [True, False])
    assert "[CV 2/2] END" in capfd.readouterr().out
