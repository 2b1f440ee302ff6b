"""PopulationSearchCV stands where RandomizedSearchCV and GridSearchCV stand."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import loguniform
from sklearn import config_context
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, RandomizedSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from gpubp import MLPClassifier, MLPRegressor, PopulationSearchCV, Range

RNG = np.random.default_rng(8)
X = RNG.normal(size=(66, 4)) * [1.0, 10.0, 0.1, 3.0]
Y = np.array(["low", "middle", "high"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0)]
VALUES = X @ [1.0, 0.2, 3.0, 0.5] + 7.0

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier(**given: Any) -> MLPClassifier:
    return MLPClassifier(**{"hidden_layer_sizes": (5,), "max_iter": 6, "random_state": 0, "engine": "array"} | given)


def same_results(ours: Any, theirs: Any) -> None:
    """All of cv_results_ but the times, to the bit."""
    assert set(ours.cv_results_) == set(theirs.cv_results_)
    for name, expected in theirs.cv_results_.items():
        if name == "params" or name.startswith("param_"):
            assert list(ours.cv_results_[name]) == list(expected), name
        elif "time" not in name:
            np.testing.assert_array_equal(ours.cv_results_[name], expected, err_msg=name)
        else:
            assert (ours.cv_results_[name] >= 0).all()
            assert ours.cv_results_[name].shape == expected.shape
    assert (ours.best_index_, ours.best_params_) == (theirs.best_index_, theirs.best_params_)


@pytest.mark.parametrize("engine", ["array", "block", "lane"])
def test_a_grid_over_a_pipeline_is_gridsearchcvs_to_the_bit(engine: str) -> None:
    """Scalers are fitted per fold; candidates stop early, each on its own; batches are cut as alone."""
    network = classifier(engine=engine, dtype="float32", activation="tanh", batch_size=16)
    pipeline = make_pipeline(StandardScaler(), network)
    grid = {
        "mlpclassifier__alpha": [1e-4, 10.0],
        "mlpclassifier__learning_rate_init": [1e-3, 0.3] if engine == "block" else [0.3],
        "mlpclassifier__max_iter": [4, 15],
        "mlpclassifier__early_stopping": [True, False],
    }
    options: dict[str, Any] = {
        "cv": 4,  # folds of 16 and 17 rows
        "scoring": ["accuracy", "neg_log_loss"],
        "refit": "neg_log_loss",
        "return_train_score": True,
    }
    ours = PopulationSearchCV(pipeline, grid, strategy="grid", **options).fit(X, Y)
    theirs = GridSearchCV(pipeline, grid, **options).fit(X, Y)
    same_results(ours, theirs)
    assert ours.alone_ == {}
    assert ours.best_score_ == theirs.best_score_
    np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))
    assert ours.score(X, Y) == theirs.score(X, Y)
    assert set(ours.scorer_) == {"accuracy", "neg_log_loss"}


@pytest.mark.parametrize(
    "grid",
    [
        {"hidden_layer_sizes": [(3,), (4, 2)], "solver": ["adam", "sgd", "adamw"], "batch_size": ["auto", 7]},
        {"solver": ["sgd"], "learning_rate": ["adaptive", "invscaling", "cosine"], "nesterovs_momentum": [True, False]},
        {"momentum": [0.0, 0.9], "solver": ["sgd"], "clip_norm": [None, 0.1], "shuffle": [True, False]},
        {"dropout": [0.0, 0.3], "label_smoothing": [0.0, 0.2], "class_weight": [None, "balanced"]},
        {"activation": ["relu", "logistic"], "n_iter_no_change": [1, 3], "tol": [1e-4, 0.5], "max_iter": [20]},
        [{"alpha": [1e-4]}, {"beta_1": [0.5, 0.9], "hidden_layer_sizes": [4]}],
    ],
)
def test_every_parameter_means_what_it_means_alone(grid: Any) -> None:
    ours = PopulationSearchCV(classifier(), grid, strategy="grid", cv=3).fit(X, Y)
    theirs = GridSearchCV(classifier(), grid, cv=3).fit(X, Y)
    same_results(ours, theirs)
    assert ours.alone_ == {}
    np.testing.assert_array_equal(ours.best_estimator_.coefs_[0], theirs.best_estimator_.coefs_[0])


@pytest.mark.parametrize(("y", "loss"), [(VALUES, "squared_error"), (np.abs(VALUES), "poisson")])
def test_regressors(y: np.ndarray, loss: str) -> None:
    network = MLPRegressor(loss=loss, hidden_layer_sizes=(4,), max_iter=8, random_state=3, engine="array")
    space = {"alpha": [0.0, 1.0], "learning_rate_init": [0.01, 0.1]}
    pipeline = make_pipeline(StandardScaler(), network)
    grid = {f"mlpregressor__{name}": values for name, values in space.items()}
    ours = PopulationSearchCV(pipeline, grid, strategy="grid").fit(X, y)
    same_results(ours, GridSearchCV(pipeline, grid).fit(X, y))
    assert not hasattr(ours, "classes_")
    assert ours.predict(X).shape == y.shape
    both = np.stack([y, y], axis=1)
    if loss == "squared_error":
        same_results(
            PopulationSearchCV(pipeline, grid, strategy="grid").fit(X, both), GridSearchCV(pipeline, grid).fit(X, both)
        )


def test_candidates_are_drawn_as_randomizedsearchcv_draws_them() -> None:
    space = {"alpha": loguniform(1e-5, 1.0), "learning_rate_init": [0.01, 0.1]}
    ours = PopulationSearchCV(classifier(), space, n_iter=5, cv=2, random_state=4).fit(X, Y)
    theirs = RandomizedSearchCV(classifier(), space, n_iter=5, cv=2, random_state=4).fit(X, Y)
    same_results(ours, theirs)
    ranges = {"alpha": Range(1e-5, 1.0, log=True), "max_iter": Range(2, 5, integer=True)}
    found = PopulationSearchCV(classifier(), ranges, n_iter=5, cv=2, random_state=4).fit(X, Y)
    assert all(1e-5 <= alpha <= 1.0 for alpha in found.cv_results_["param_alpha"])
    assert set(found.cv_results_["param_max_iter"]) <= {2, 3, 4, 5}


def test_the_scalers_of_a_pipeline_are_candidates_too() -> None:
    pipeline = Pipeline([("scaler", StandardScaler()), ("network", classifier())])
    grid = {"scaler": [StandardScaler(), MinMaxScaler(), "passthrough"], "network__alpha": [1e-4, 1.0]}
    ours = PopulationSearchCV(pipeline, grid, strategy="grid", cv=3).fit(X, Y)
    theirs = GridSearchCV(pipeline, grid, cv=3).fit(X, Y)
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    assert ours.alone_ == {}


def test_frames_sparse_matrices_weights_and_groups() -> None:
    grid = {"alpha": [1e-4, 1.0]}
    frame = pd.DataFrame(X, columns=list("abcd"))
    ours = PopulationSearchCV(classifier(), grid, strategy="grid", cv=3).fit(frame, pd.Series(Y))
    same_results(ours, GridSearchCV(classifier(), grid, cv=3).fit(frame, pd.Series(Y)))
    assert list(ours.feature_names_in_) == list("abcd")
    assert ours.n_features_in_ == 4
    assert list(ours.classes_) == ["high", "low", "middle"]
    sparse = csr_matrix(np.where(np.abs(X) > 1, X, 0.0))
    same_results(
        PopulationSearchCV(classifier(), grid, strategy="grid", cv=3).fit(sparse, Y),
        GridSearchCV(classifier(), grid, cv=3).fit(sparse, Y),
    )
    weights, groups = RNG.random(66) + 0.1, np.arange(66) % 11
    given: dict[str, Any] = {"sample_weight": weights, "groups": groups}
    same_results(
        PopulationSearchCV(classifier(), grid, strategy="grid", cv=GroupKFold(3)).fit(X, Y, **given),
        GridSearchCV(classifier(), grid, cv=GroupKFold(3)).fit(X, Y, **given),
    )
    pipeline = make_pipeline(StandardScaler(), classifier())
    names = {"mlpclassifier__alpha": [1e-4, 1.0]}
    ours = PopulationSearchCV(pipeline, names, strategy="grid", cv=3).fit(X, Y, mlpclassifier__sample_weight=weights)
    theirs = GridSearchCV(pipeline, names, cv=3).fit(X, Y, mlpclassifier__sample_weight=weights)
    same_results(ours, theirs)
    assert ours.alone_ == {}


def test_what_cannot_be_packed_is_fitted_one_by_one_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    grid = {"solver": ["lbfgs", "adam"], "alpha": [1e-4, 1.0]}
    ours = PopulationSearchCV(classifier(), grid, strategy="grid", cv=3, verbose=1).fit(X, Y)
    printed = capsys.readouterr().out
    same_results(ours, GridSearchCV(classifier(), grid, cv=3).fit(X, Y))
    assert ours.alone_ == {"the solver lbfgs does not train in populations": 6}
    assert "Fitting 3 folds for each of 4 candidates, totalling 12 fits" in printed
    assert "6 of them one by one: the solver lbfgs does not train in populations" in printed
    watched = PopulationSearchCV(classifier(callbacks=[lambda report: None]), {"alpha": [1.0]}, n_iter=1, cv=2)
    assert watched.fit(X, Y).alone_ == {"callbacks is for one network at a time": 2}

    class Louder(MLPClassifier):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            return super().fit(X, y, sample_weight)

    other = PopulationSearchCV(Louder(max_iter=2), {"alpha": [1.0]}, n_iter=1, cv=2).fit(X, Y)
    assert other.alone_ == {"Louder has a fit of its own": 2}


@pytest.mark.parametrize(("estimator", "name", "y"), [(GaussianNB(), "var_smoothing", Y), (Ridge(), "alpha", VALUES)])
def test_other_estimators_are_scikit_learns_affair(estimator: Any, name: str, y: Any) -> None:
    grid = {name: [0.1, 1.0]}
    ours = PopulationSearchCV(estimator, grid, strategy="grid", cv=3).fit(X, y)
    same_results(ours, GridSearchCV(estimator, grid, cv=3).fit(X, y))
    assert ours.alone_ == {f"{type(estimator).__name__} is no MLPClassifier or MLPRegressor of gpubp's": 6}


def test_with_metadata_routing_scikit_learn_has_the_word() -> None:
    with config_context(enable_metadata_routing=True):
        network = classifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = PopulationSearchCV(network, {"alpha": [1e-4]}, n_iter=1, cv=2)
        search.fit(X, Y, sample_weight=np.ones(66))
    assert search.alone_ == {"metadata routing is on": 2}


def test_candidates_that_fail_fail_as_alone() -> None:
    grid = {"alpha": [1e-4, -1.0], "learning_rate_init": [0.01]}
    search = PopulationSearchCV(classifier(), grid, strategy="grid", cv=3)
    with pytest.warns(UserWarning, match="scores are non-finite"), pytest.warns(FitFailedWarning, match="The 'alpha'"):
        ours = search.fit(X, Y)
    assert np.isnan(ours.cv_results_["mean_test_score"]).tolist() == [False, True]
    assert ours.best_params_["alpha"] == 1e-4
    assert next(iter(ours.alone_.values())) == 3
    with pytest.raises(ValueError, match="The 'alpha' parameter"):
        PopulationSearchCV(classifier(), grid, strategy="grid", cv=3, error_score="raise").fit(X, Y)
    wild = {"learning_rate_init": [1e38, 0.01], "solver": ["sgd"], "momentum": [0.0]}
    regressor = MLPRegressor(max_iter=3, engine="array", random_state=0, dtype="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = PopulationSearchCV(regressor, wild, strategy="grid", cv=2, error_score=-9.0).fit(X, VALUES)
        theirs = GridSearchCV(regressor, wild, cv=2, error_score=-9.0).fit(X, VALUES)
    same_results(found, theirs)


def test_arguments_are_checked() -> None:
    for wrong in ({"strategy": "best"}, {"n_iter": 0}, {"memory": 0}, {"cv": "x"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PopulationSearchCV(classifier(), {"alpha": [1.0]}, **wrong).fit(X, Y)
    with pytest.raises(ValueError, match="No fits were performed"):
        PopulationSearchCV(classifier(), {"alpha": [1.0]}, n_iter=1, cv=[]).fit(X, Y)
    with pytest.raises(ValueError, match="For multi-metric scoring"):
        PopulationSearchCV(classifier(), {"alpha": [1.0]}, n_iter=1, scoring=["accuracy", "f1_macro"]).fit(X, Y)


def test_ways_to_score_and_to_choose() -> None:
    grid = {"alpha": [1e-4, 1.0], "learning_rate_init": [1e-3, 0.1]}

    def both(estimator: Any, X: Any, y: Any) -> dict[str, float]:
        return {"right": accuracy_score(y, estimator.predict(X)), "size": -float(len(y))}

    for options in (
        {"scoring": make_scorer(accuracy_score)},
        {"scoring": both, "refit": "right"},
        {"scoring": {"a": "accuracy", "b": "f1_macro"}, "refit": False},
        {"refit": lambda results: len(results["params"]) - 1},
    ):
        ours = PopulationSearchCV(classifier(), grid, strategy="grid", cv=3, **options).fit(X, Y)
        theirs = GridSearchCV(classifier(), grid, cv=3, **options).fit(X, Y)
        assert ours.multimetric_ == theirs.multimetric_
        assert hasattr(ours, "best_index_") == hasattr(theirs, "best_index_")
        assert set(vars(theirs)) - {"_checked_cv_orig"} <= {*vars(ours), "param_grid"}
        for name in theirs.cv_results_:
            if "time" not in name and "param" not in name:
                np.testing.assert_array_equal(ours.cv_results_[name], theirs.cv_results_[name])


def test_the_signature_is_randomizedsearchcvs_with_ours_after_it() -> None:
    theirs = inspect.signature(RandomizedSearchCV).parameters
    found = inspect.signature(PopulationSearchCV).parameters
    assert [*found][: len(theirs)] == [*theirs]
    for name, parameter in theirs.items():
        same = repr(found[name].default) == repr(parameter.default)
        assert (same, found[name].kind) == (True, parameter.kind), name
        assert f"    {name} : " in inspect.getdoc(PopulationSearchCV).replace("\n", "\n    ")  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore")  # the checks provoke warnings of many kinds
@pytest.mark.parametrize("kind", ["bayes", "classifier", "regressor"])
def test_every_check_of_scikit_learn_passes(kind: str) -> None:
    estimator: Any = GaussianNB()
    if kind == "classifier":
        estimator = MLPClassifier(hidden_layer_sizes=(8,), learning_rate_init=0.02, max_iter=60, random_state=0)
    elif kind == "regressor":
        estimator = MLPRegressor(hidden_layer_sizes=(8,), learning_rate_init=0.05, max_iter=60, random_state=0)
    grid = {"var_smoothing": [1e-9, 1e-3]} if kind == "bayes" else {"alpha": [1e-4, 1e-3]}
    search = PopulationSearchCV(estimator, grid, n_iter=2, cv=2, random_state=0, error_score="raise")
    results = check_estimator(search, on_fail=None, on_skip=None)
    assert len(results) > 40
    assert [r["check_name"] for r in results if r["status"] not in ("passed", "skipped")] == []
