"""The estimators keep scikit-learn's contract: its own checks, its parameters, its tools around them."""

from __future__ import annotations

import doctest
import inspect
import pickle
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn import config_context, neural_network
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import gpubp
import gpubp.estimators.classifier
import gpubp.estimators.regressor
from gpubp import MLPClassifier, MLPRegressor
from gpubp.training.history import EpochReport

OPTIMISATION = "-O1"  # trains much
ESTIMATORS = [MLPClassifier, MLPRegressor]
BEYOND = {"backend", "engine", "dtype", "dropout", "weight_decay", "clip_norm", "callbacks", "progress"}
X_IRIS, Y_IRIS = load_iris(return_X_y=True)
QUICK: dict[str, Any] = {"max_iter": 5, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.filterwarnings("ignore")  # the checks provoke warnings of many kinds
@pytest.mark.parametrize("estimator", [MLPClassifier(), MLPRegressor(), MLPClassifier(solver="lbfgs", max_iter=50)])
def test_every_check_of_scikit_learn_passes(estimator: Any) -> None:
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    assert len(results) > 50
    assert [r["check_name"] for r in results if r["status"] not in ("passed", "skipped")] == []
    # skipped: what needs SciPy's array API switched on, and what is for a decision_function
    assert len([r for r in results if r["status"] == "skipped"]) <= 2


@pytest.mark.parametrize("ours", ESTIMATORS)
def test_parameters_are_scikit_learns_and_ours_after_them(ours: Any) -> None:
    theirs = inspect.signature(getattr(neural_network, ours.__name__)).parameters
    found = inspect.signature(ours).parameters
    assert [*found][: len(theirs)] == [*theirs]
    for name, parameter in theirs.items():
        assert (found[name].default, found[name].kind) == (parameter.default, parameter.kind), name
    rest = [*found][len(theirs) :]
    assert {*rest} >= BEYOND
    assert all(found[name].kind is inspect.Parameter.KEYWORD_ONLY for name in rest)


@pytest.mark.parametrize("ours", ESTIMATORS)
def test_every_parameter_is_documented(ours: Any) -> None:
    documented = ours.__doc__.split("Parameters\n")[1].split("Attributes\n")[0]
    assert [name for name in inspect.signature(ours).parameters if name not in documented] == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("module", [gpubp.estimators.classifier, gpubp.estimators.regressor])
def test_examples_of_the_docstrings(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 3
    assert results.failed == 0


@pytest.mark.parametrize("ours", ESTIMATORS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_attributes_are_scikit_learns(ours: Any, solver: str) -> None:
    theirs = getattr(neural_network, ours.__name__)(solver=solver, **QUICK).fit(X_IRIS, Y_IRIS)
    found = ours(solver=solver, **QUICK).fit(X_IRIS, Y_IRIS)
    for name in [name for name in vars(theirs) if name.endswith("_")]:
        assert type(getattr(theirs, name)) in (type(getattr(found, name)), np.float64), name
    assert [W.shape for W in found.coefs_] == [W.shape for W in theirs.coefs_]
    assert found.out_activation_ == theirs.out_activation_
    assert (found.n_layers_, found.n_outputs_, found.t_) == (theirs.n_layers_, theirs.n_outputs_, theirs.t_)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("activation", "cube"),
        ("solver", "newton"),
        ("alpha", -1e-9),
        ("batch_size", 0),
        ("learning_rate", "falling"),
        ("learning_rate_init", 0.0),
        ("max_iter", 0),
        ("tol", -1.0),
        ("momentum", 1.1),
        ("validation_fraction", 1.0),
        ("beta_1", 1.0),
        ("epsilon", 0.0),
        ("n_iter_no_change", 0),
        ("max_fun", 0),
        ("hidden_layer_sizes", "wide"),
        ("backend", "opencl"),
        ("engine", "steam"),
        ("dtype", "float16"),
        ("dropout", 1.0),
        ("weight_decay", -0.1),
        ("clip_norm", 0.0),
        ("callbacks", print),
        ("progress", "yes"),
    ],
)
@pytest.mark.parametrize("ours", ESTIMATORS)
def test_a_bad_parameter_is_named_at_fit_and_not_before(ours: Any, parameter: str, value: Any) -> None:
    estimator = ours(**{parameter: value})
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of {ours.__name__} must be"):
        estimator.fit(X_IRIS, Y_IRIS)


@pytest.mark.parametrize("sizes", [(5, 0), (-1,), (5, 2.5), [[3, 4], [5, 6]], (True,), ("5",)])
def test_bad_layers_are_refused(sizes: Any) -> None:
    with pytest.raises(ValueError, match="hidden_layer_sizes must be"):
        MLPClassifier(sizes).fit(X_IRIS, Y_IRIS)


@pytest.mark.parametrize(("sizes", "shapes"), [((), [(4, 3)]), (7, [(4, 7), (7, 3)]), (np.array([2, 5]), None)])
def test_layers_come_in_many_forms(sizes: Any, shapes: list[tuple[int, int]] | None) -> None:
    fitted = MLPClassifier(sizes, **QUICK).fit(X_IRIS, Y_IRIS)
    assert [W.shape for W in fitted.coefs_] == (shapes or [(4, 2), (2, 5), (5, 3)])


@pytest.mark.parametrize("ours", ESTIMATORS)
def test_a_pickle_predicts_and_goes_on_as_the_original(ours: Any) -> None:
    original = ours(**QUICK).fit(X_IRIS, Y_IRIS)
    copy = pickle.loads(pickle.dumps(original))
    for estimator in (original, copy):
        estimator.partial_fit(X_IRIS, Y_IRIS)
    for ours_W, copied_W in zip(original.coefs_, copy.coefs_, strict=True):
        np.testing.assert_array_equal(ours_W, copied_W)
    np.testing.assert_array_equal(original.predict(X_IRIS), copy.predict(X_IRIS))


def test_clone_takes_parameters_alone() -> None:
    def callback(report: EpochReport) -> None: ...

    original = MLPClassifier((7,), class_weight={0: 2.0}, callbacks=[callback], **QUICK).fit(X_IRIS, Y_IRIS)
    cloned = clone(original)
    assert cloned.get_params() == original.get_params()
    with pytest.raises(NotFittedError):
        cloned.predict(X_IRIS)


def test_an_estimator_whose_fit_failed_is_not_fitted() -> None:
    estimator = MLPClassifier(class_weight="balanced")
    with pytest.raises(ValueError, match="Unknown label type"):
        estimator.fit(X_IRIS, X_IRIS[:, 0])
    with pytest.raises(NotFittedError):
        estimator.predict(X_IRIS)


def test_pipeline_grid_search_and_cross_validation() -> None:
    pipeline = make_pipeline(
        StandardScaler(), MLPClassifier((8,), max_iter=60, learning_rate_init=0.03, random_state=0)
    )
    scores = cross_val_score(pipeline, X_IRIS, Y_IRIS, cv=3)
    assert scores.mean() > 0.9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the worker processes' start
        in_parallel = cross_val_score(pipeline, X_IRIS, Y_IRIS, cv=3, n_jobs=2)
    np.testing.assert_array_equal(in_parallel, scores)
    grid = GridSearchCV(
        pipeline, {"mlpclassifier__alpha": [1e-4, 1.0], "mlpclassifier__solver": ["adam", "lbfgs"]}, cv=2
    )
    grid.fit(X_IRIS, Y_IRIS)
    assert grid.best_score_ > 0.9


def test_sample_weights_are_routed_through_a_pipeline() -> None:
    X, y = load_diabetes(return_X_y=True)
    weights = np.arange(len(y), dtype=float)
    with config_context(enable_metadata_routing=True):
        regressor = MLPRegressor(solver="lbfgs", **QUICK).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, regressor).fit(X, y, sample_weight=weights)
    direct = MLPRegressor(solver="lbfgs", **QUICK).fit(StandardScaler().fit_transform(X), y, sample_weight=weights)
    np.testing.assert_array_equal(pipeline[-1].coefs_[0], direct.coefs_[0])


def test_frames_out_of_a_transformer_reach_the_estimator() -> None:
    pytest.importorskip("pandas")
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**QUICK)).set_output(transform="pandas")
    pipeline.fit(X_IRIS, Y_IRIS)
    assert [*pipeline[-1].feature_names_in_] == ["x0", "x1", "x2", "x3"]


def test_representations_show_what_was_changed() -> None:
    classifier = MLPClassifier((8,), engine="array")
    assert repr(classifier) == "MLPClassifier(engine='array', hidden_layer_sizes=(8,))"
    assert "MLPClassifier" in classifier._repr_html_()


def test_tags_tell_what_is_supported() -> None:
    tags = MLPClassifier().__sklearn_tags__()
    assert tags.input_tags.sparse
    assert tags.classifier_tags.multi_label
    assert MLPRegressor().__sklearn_tags__().target_tags.multi_output
    assert MLPRegressor("poisson").__sklearn_tags__().target_tags.positive_only


def test_partial_fit_is_for_stochastic_solvers_alone() -> None:
    assert hasattr(MLPClassifier(), "partial_fit")
    for ours in ESTIMATORS:
        assert not hasattr(ours(solver="lbfgs"), "partial_fit")


def test_the_package_exports_them_without_loading_scikit_learn_first() -> None:
    assert gpubp.MLPClassifier is MLPClassifier
    assert {"MLPClassifier", "MLPRegressor"} <= {*gpubp.__all__}


def test_convergence_warning_tells_what_to_do() -> None:
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(5\).*Raise max_iter"):
        MLPClassifier(**QUICK).fit(X_IRIS, Y_IRIS)
