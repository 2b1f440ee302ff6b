"""n_members: several networks as one estimator. Each is what its parameters make alone; they answer as one."""

from __future__ import annotations

import json
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save as to_bytes
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from gpubp import MLPClassifier, MLPRegressor, PopulationSearchCV
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.placement import is_on_device
from gpubp.errors import ModelFileError, SettingsError
from gpubp.estimators.onnx import to_onnx
from gpubp.training.history import EpochReport

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
TABLE, NUMBERS = load_diabetes(return_X_y=True)
TABLE, NUMBERS = TABLE[:120] * 20, NUMBERS[:120] / 100
WEIGHTS = np.arange(len(X)) % 4 * 0.5  # a quarter are 0


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier(**given: Any) -> MLPClassifier:
    options = {"hidden_layer_sizes": (6,), "max_iter": 8, "random_state": 0, "engine": "array", "n_members": 3}
    return MLPClassifier(**options | given)


def regressor(**given: Any) -> MLPRegressor:
    options = {"hidden_layer_sizes": (6,), "max_iter": 8, "random_state": 0, "engine": "array", "n_members": 3}
    return MLPRegressor(**options | given)


def same_network(first: Any, second: Any) -> None:
    """To the bit, and trained as long, with the same losses."""
    for mine, theirs in zip(first.coefs_ + first.intercepts_, second.coefs_ + second.intercepts_, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert (first.n_iter_, first.loss_) == (second.n_iter_, second.loss_)
    for name in ("t_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
        assert getattr(first, name, None) == getattr(second, name, None)


KINDS: list[dict[str, Any]] = [
    {},
    {"bootstrap": True, "batch_size": 32},
    {"early_stopping": True, "max_iter": 40, "batch_size": 16, "n_iter_no_change": 2},
    {"early_stopping": True, "bootstrap": True, "max_iter": 40, "dropout": 0.2, "n_iter_no_change": 2},
    {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.5, "tol": 0.1, "n_iter_no_change": 1},
    {"solver": "lbfgs"},
    {"solver": "lbfgs", "bootstrap": True},
    {"engine": "block", "dtype": "float32", "bootstrap": True},
    {"engine": "lane", "class_weight": "balanced"},
]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weights"])
@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_member_is_the_network_that_its_parameters_make_alone(options: dict[str, Any], weights: Any) -> None:
    fitted = classifier(**options).fit(X, Y, weights)
    assert len(fitted.estimators_) == 3
    assert fitted.left_out_ == []
    for member in fitted.estimators_:
        assert member.n_members == 1
        same_network(member, clone(member).fit(X, Y, weights))
    assert len({member.loss_ for member in fitted.estimators_}) == 3  # three different networks


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_member_does_not_depend_on_how_many_there_are(options: dict[str, Any]) -> None:
    few, many = (classifier(n_members=n, **options).fit(X, Y) for n in (2, 5))
    for one, other in zip(few.estimators_, many.estimators_[:2], strict=True):
        same_network(one, other)


def test_one_member_is_one_network() -> None:
    plain = classifier(n_members=1).fit(X, Y)
    assert not hasattr(plain, "estimators_")
    assert len(plain.coefs_) == 2
    with pytest.raises(SettingsError, match=r"nobody to disagree with: fit with n_members=10"):
        plain.disagreement(X)
    bagged = classifier(n_members=1, bootstrap=True).fit(X, Y)
    assert bagged.loss_ != plain.loss_


def test_bagged_members_learn_from_rows_of_their_own() -> None:
    """Of rows that say nothing about each other, lbfgs learns those that were drawn, and no others."""
    rng = np.random.default_rng(0)
    rows, noise = np.eye(40), rng.normal(size=40)  # nothing that is learned from one row helps with another
    options: dict[str, Any] = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 1e-6, "max_iter": 500}
    fitted = regressor(bootstrap=True, n_members=20, **options).fit(rows, noise - noise.mean())
    errors = np.array([np.abs(member.predict(rows) - (noise - noise.mean())) for member in fitted.estimators_])
    learned = (errors < 1e-2).mean(axis=1)
    assert abs(learned.mean() - (1 - np.exp(-1))) < 0.05  # of n draws from n, 1 − 1/e are different
    assert len(np.unique(errors < 1e-2, axis=0)) == 20


def test_rows_of_weight_0_are_never_drawn() -> None:
    weights = np.zeros(len(X))
    weights[:5] = 1.0
    poisoned = X.copy()
    poisoned[5:] *= 1e30
    fitted = classifier(bootstrap=True, n_members=10).fit(poisoned, Y, weights)
    kept = classifier(bootstrap=True, n_members=10, batch_size=150).fit(
        np.concatenate([X[:5], np.zeros((145, 4))]), Y, weights
    )
    for mine, theirs in zip(fitted.estimators_, kept.estimators_, strict=True):
        np.testing.assert_allclose(mine.coefs_[0], theirs.coefs_[0], rtol=1e-9)


def test_a_draw_may_miss_a_class() -> None:
    labels = np.where(np.arange(len(X)) == 77, "rare", np.array(["a", "b", "c"])[Y])
    fitted = classifier(bootstrap=True, n_members=8).fit(X, labels)
    assert [*fitted.classes_] == ["a", "b", "c", "rare"]
    for member in fitted.estimators_:
        assert member.predict_proba(X).shape == (150, 4)
        assert [*member.classes_] == [*fitted.classes_]


@pytest.mark.parametrize("labels", [Y, Y > 0, np.array(["x", "y", "z"])[Y]], ids=["three", "two", "texts"])
def test_classes_are_answered_by_the_mean_of_the_members(labels: np.ndarray) -> None:
    fitted = classifier(bootstrap=True).fit(X, labels)
    each = np.array([member.predict_proba(X) for member in fitted.estimators_])
    np.testing.assert_allclose(fitted.predict_proba(X), each.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fitted.predict_log_proba(X), np.log(each.mean(axis=0)), rtol=1e-9)
    winner = each.mean(axis=0).argmax(axis=1)
    np.testing.assert_array_equal(fitted.predict(X), fitted.classes_[winner])
    np.testing.assert_allclose(fitted.disagreement(X), each.std(axis=0)[np.arange(150), winner], rtol=1e-9)
    assert fitted.score(X, labels) == np.mean(fitted.predict(X) == labels)


def test_labels_and_values_of_several_outputs() -> None:
    features, labels = make_multilabel_classification(60, random_state=0)
    fitted: Any = classifier().fit(features, labels)
    each = np.array([member.predict_proba(features) for member in fitted.estimators_])
    np.testing.assert_array_equal(fitted.predict(features), each.mean(axis=0) > 0.5)
    np.testing.assert_allclose(fitted.disagreement(features), each.std(axis=0), rtol=1e-9)
    fitted = regressor().fit(TABLE, np.stack([NUMBERS, -NUMBERS], axis=1))
    each = np.array([member.predict(TABLE) for member in fitted.estimators_])
    np.testing.assert_allclose(fitted.predict(TABLE), each.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fitted.disagreement(TABLE), each.std(axis=0), rtol=1e-9)


@pytest.mark.parametrize("make", [np.asarray, csr_matrix], ids=["dense", "sparse"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_many_rows_are_answered_piece_by_piece(loss: str, make: Any) -> None:
    fitted = regressor(loss=loss).fit(TABLE, NUMBERS)
    rows = np.random.default_rng(0).normal(size=(9001, TABLE.shape[1]))
    each = np.array([member.predict(rows) for member in fitted.estimators_])
    np.testing.assert_allclose(fitted.predict(make(rows)), each.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(fitted.disagreement(make(rows)), each.std(axis=0), rtol=1e-6)
    assert fitted.disagreement(make(rows)).shape == (9001,)


def test_members_train_and_answer_together() -> None:
    """One call of `train` hears of all members; predictions are of the members as they are now."""
    told: list[int] = []

    def callback(report: EpochReport) -> None:
        told.append(len(report.networks))

    fitted = classifier(callbacks=[callback]).fit(X, Y)
    assert told == [3] * 8
    assert fitted.history_.training_loss.shape == (8, 3)
    assert [member.loss_ for member in fitted.estimators_] == fitted.history_.training_loss[-1].tolist()
    before = fitted.predict_proba(X)
    fitted.estimators_[1].coefs_[0][:] = 0.0
    assert np.abs(fitted.predict_proba(X) - before).max() > 1e-3


def test_what_is_of_one_network_is_its_members() -> None:
    fitted = classifier(early_stopping=True, max_iter=30, n_iter_no_change=2).fit(X, Y)
    for name in ("coefs_", "intercepts_", "t_", "loss_curve_", "best_loss_", "validation_scores_"):
        assert not hasattr(fitted, name)
        assert hasattr(fitted.estimators_[0], name)
    with pytest.raises(
        AttributeError, match=r"MLPClassifier has 3 networks, each with a coefs_ of its own: estimators_"
    ):
        _ = fitted.coefs_
    with pytest.raises(AttributeError, match="'MLPClassifier' object has no attribute 'weights_'"):
        _ = fitted.weights_
    assert fitted.n_iter_ == max(member.n_iter_ for member in fitted.estimators_)
    assert fitted.loss_ == pytest.approx(np.mean([member.loss_ for member in fitted.estimators_]))
    assert (fitted.n_layers_, fitted.n_outputs_, fitted.out_activation_) == (3, 3, "softmax")


def test_an_estimator_goes_from_one_network_to_several_and_back() -> None:
    estimator = classifier(n_members=1).fit(X, Y)
    estimator.set_params(n_members=3).fit(X, Y)
    assert not hasattr(estimator, "coefs_")
    assert not hasattr(estimator, "loss_curve_")
    estimator.set_params(n_members=1).fit(X, Y)
    assert not hasattr(estimator, "estimators_")
    same_network(estimator, classifier(n_members=1).fit(X, Y))


@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_goes_on_as_each_alone(solver: str, bootstrap: bool) -> None:
    options: dict[str, Any] = {"solver": solver, "bootstrap": bootstrap, "learning_rate": "invscaling"}
    together = classifier(**options)
    for _ in range(3):
        together.partial_fit(X, Y, classes=[0, 1, 2])
    for member in together.estimators_:
        alone = clone(member)
        for _ in range(3):
            alone.partial_fit(X, Y, classes=[0, 1, 2])
        same_network(member, alone)
        assert member.t_ == 3 * len(X)


def test_partial_fit_after_members_stopped_at_different_epochs() -> None:
    options: dict[str, Any] = {"max_iter": 200, "tol": 1e-2, "n_iter_no_change": 2, "batch_size": 20}
    together = classifier(n_members=4, learning_rate_init=0.02, **options).fit(X, Y)
    epochs = [member.n_iter_ for member in together.estimators_]
    assert len(set(epochs)) > 1
    together.partial_fit(X, Y)
    for place, member in enumerate(together.estimators_):
        same_network(member, clone(member).fit(X, Y).partial_fit(X, Y))
        assert together.history_.training_loss[0, place] == member.loss_


def test_a_bag_is_drawn_for_every_call_of_partial_fit() -> None:
    """The loss of a network of zeros tells which rows it was shown."""
    losses = {True: set(), False: set()}  # type: dict[bool, set[float]]
    for bootstrap, found in losses.items():
        fitted = regressor(bootstrap=bootstrap, solver="sgd", momentum=0.0, n_members=2).partial_fit(TABLE, NUMBERS)
        for _ in range(3):
            for member in fitted.estimators_:
                for part in (*member.coefs_, *member.intercepts_):
                    part[:] = 0.0
            fitted.partial_fit(TABLE, NUMBERS)
            found |= {member.loss_curve_[-1] for member in fitted.estimators_}
    assert (len(losses[True]), len(losses[False])) == (6, 1)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_warm_start_goes_on_as_each_alone(solver: str) -> None:
    together = classifier(solver=solver, warm_start=True).fit(X, Y)
    first = [member.coefs_[0].copy() for member in together.estimators_]
    together.set_params(alpha=0.1).fit(X, Y)
    for member, before in zip(together.estimators_, first, strict=True):
        assert member.alpha == 0.1
        assert np.abs(member.coefs_[0] - before).max() > 0
        same_network(member, clone(member).set_params(alpha=1e-4).fit(X, Y).set_params(alpha=0.1).fit(X, Y))
    if solver == "adam":
        assert len(together.estimators_[0].loss_curve_) == 16


def test_going_on_with_another_number_is_refused() -> None:
    for before, after in ((3, 4), (1, 3), (3, 1)):
        fitted = classifier(n_members=before, warm_start=True).fit(X, Y).set_params(n_members=after)
        for go_on in (fitted.fit, fitted.partial_fit):
            with pytest.raises(
                SettingsError, match=rf"has n_members={before}, and the parameter is {after} now: keep it"
            ):
                go_on(X, Y)
        assert fitted.set_params(warm_start=False).fit(X, Y).predict(X).shape == (150,)
    fitted = classifier(warm_start=True).fit(X, Y)
    with pytest.raises(SettingsError, match="The fitted network is"):
        fitted.set_params(hidden_layer_sizes=(4,)).fit(X, Y)


def poisoned() -> tuple[np.ndarray, np.ndarray]:
    """One row is so far out that whoever draws it diverges, in float32."""
    far = NUMBERS.copy()
    far[7] = 1e30
    return TABLE.astype(np.float32), far.astype(np.float32)


def test_members_that_diverge_are_left_out() -> None:
    table, values = poisoned()
    with pytest.warns(ConvergenceWarning, match=r"\d of 8 members diverged .* left_out_ has their places"):
        fitted = regressor(n_members=8, bootstrap=True).fit(table, values)
    assert 0 < len(fitted.left_out_) < 8
    assert len(fitted.estimators_) + len(fitted.left_out_) == 8
    np.testing.assert_array_equal(np.flatnonzero(fitted.history_.diverged), fitted.left_out_)
    assert np.isfinite(fitted.predict(table)).all()
    assert np.isfinite(fitted.disagreement(table)).all()
    healthy = regressor(n_members=8, bootstrap=True).fit(table, np.where(values > 1e6, np.float32(0.0), values))
    places = [place for place in range(8) if place not in fitted.left_out_]
    for place, member in zip(places, fitted.estimators_, strict=True):
        same_network(member, healthy.estimators_[place])
    fitted.set_params(bootstrap=False).partial_fit(table, values.clip(max=10.0))  # goes on with those that are left
    assert len(fitted.estimators_) == len(places)


def test_early_stopping_keeps_no_member_that_never_had_a_score() -> None:
    table, values = poisoned()
    fitted = regressor(n_members=12, bootstrap=True, early_stopping=True).fit(table, values)
    assert 0 < len(fitted.left_out_) < 12
    assert not fitted.history_.diverged[[place for place in range(12) if place not in fitted.left_out_]].any()


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_ctrl_c_keeps_what_there_is(solver: str) -> None:
    def interrupt(report: EpochReport) -> None:
        if report.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted by user"):
        fitted = classifier(solver=solver, callbacks=[interrupt]).fit(X, Y)
    assert fitted.n_iter_ == 2
    assert fitted.left_out_ == ([] if solver == "adam" else [1, 2])  # lbfgs had not come to them
    assert fitted.predict(X).shape == (150,)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_all_diverged(solver: str) -> None:
    table, values = poisoned()
    beyond = table.astype(np.float64) * 1e200 if solver == "lbfgs" else table * 1e30  # lbfgs computes in float64
    with pytest.raises(ValueError, match="All 3 members diverged"):
        regressor(solver=solver).fit(beyond, values)


def test_one_warning_tells_of_all_members() -> None:
    with pytest.warns(ConvergenceWarning) as caught:
        classifier().fit(X, Y)
    assert [str(one.message) for one in caught] == [
        "Stochastic Optimizer: Maximum iterations (8) reached and the optimization hasn't converged yet for 3 of 3 "
        "members. Raise max_iter or learning_rate_init, or tol if the loss is good enough."
    ]
    with pytest.warns(ConvergenceWarning, match="so did 3 of 3 members") as caught:
        classifier(solver="lbfgs", max_iter=2).fit(X, Y)
    assert len(caught) == 1


def test_verbose_prints_the_mean(capsys: pytest.CaptureFixture[str]) -> None:
    fitted = classifier(verbose=True, max_iter=2).fit(X, Y)
    mean = fitted.history_.training_loss.mean(axis=1)
    assert capsys.readouterr().out == "".join(f"Iteration {e + 1}, loss = {mean[e]:.8f}\n" for e in range(2))
    classifier(verbose=True, max_iter=1, solver="lbfgs").fit(X, Y)
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if "Member" in line] == ["Member 1 of 3", "Member 2 of 3", "Member 3 of 3"]


@pytest.mark.parametrize(
    ("estimator", "options"),
    [
        (MLPClassifier(n_members=2), {"hidden_layer_sizes": (20,), "learning_rate_init": 0.02, "max_iter": 40}),
        (
            MLPRegressor(n_members=2),
            {"hidden_layer_sizes": (20,), "learning_rate_init": 0.02, "bootstrap": True, "max_iter": 40},
        ),
        (MLPClassifier(n_members=2), {"bootstrap": True, "solver": "lbfgs", "max_iter": 20}),
        (MLPRegressor(n_members=2), {"solver": "lbfgs", "max_iter": 20}),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")  # the checks provoke warnings of many kinds
def test_every_check_of_scikit_learn_passes(estimator: Any, options: dict[str, Any]) -> None:
    """With bagging, all but those that no bagging can pass: scikit-learn expects its own ensembles to fail them too."""
    reason = "rows are drawn: weights and repeated rows are equivalent in distribution, not draw by draw"
    unequal = {f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in ("dense", "sparse")}
    expected = unequal if options.get("bootstrap") else {}
    results = check_estimator(
        clone(estimator).set_params(**options), expected_failed_checks=expected, on_fail=None, on_skip=None
    )
    assert len(results) > 50
    assert {r["check_name"] for r in results if r["status"] not in ("passed", "skipped")} == set(expected)


@pytest.mark.parametrize(("name", "value"), [("n_members", 0), ("n_members", 2.5), ("bootstrap", "yes")])
@pytest.mark.parametrize("make", [classifier, regressor])
def test_bad_parameters(make: Any, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"The '{name}' parameter of MLP.* must be"):
        make(**{name: value}).fit(X, Y)
    with pytest.raises(NotFittedError):
        make().disagreement(X)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "lbfgs"}, {"bootstrap": True}], ids=str)
@pytest.mark.parametrize("how", ["file", "pickle"])
def test_a_copy_answers_and_goes_on_as_the_original(options: dict[str, Any], how: str, tmp_path: Path) -> None:
    fitted = classifier(**options).fit(X, np.array(["a", "b", "c"])[Y])
    if how == "file":
        fitted.save(tmp_path / "members")
        copy = MLPClassifier.load(tmp_path / "members")
        assert [*tmp_path.iterdir()] == [tmp_path / "members"]
    else:
        copy = pickle.loads(pickle.dumps(fitted))
    assert copy.get_params() == fitted.get_params()
    assert (copy.n_iter_, copy.loss_, copy.left_out_) == (fitted.n_iter_, fitted.loss_, [])
    for mine, theirs in zip(copy.estimators_, fitted.estimators_, strict=True):
        assert mine.get_params() == theirs.get_params()
        same_network(mine, theirs)
    np.testing.assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(copy.predict(X), fitted.predict(X))
    if hasattr(fitted, "partial_fit") and not fitted.early_stopping:
        for each in (copy, fitted):
            each.partial_fit(X, np.array(["a", "b", "c"])[Y])
        same_network(copy.estimators_[2], fitted.estimators_[2])


def test_a_file_of_a_regressor_with_members_left_out(tmp_path: Path) -> None:
    fitted = regressor(n_members=8, bootstrap=True).fit(*poisoned())
    fitted.save(tmp_path / "members")
    loaded = MLPRegressor.load(tmp_path / "members")
    assert loaded.left_out_ == fitted.left_out_
    np.testing.assert_array_equal(loaded.predict(TABLE), fitted.predict(TABLE))
    loaded.set_params(bootstrap=False).partial_fit(TABLE, NUMBERS)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["members"], [], r"members should be a list of at least 1; found \[\]"),
        (["members"], {}, "members should be a list of at least 1; found {}"),
        (["members"], [1, 2, 3], r"members\[0\] should be an object with names; found 1"),
        (["left_out"], [5], r"left_out\[0\] should be a whole number from 0 to 3; found 5"),
        (["left_out"], [1, 1], "left_out should be a list of different places"),
        (["left_out"], ["0"], r"left_out\[0\] should be a whole number from 0 to 3; found '0'"),
        (["left_out"], None, "left_out should be a list"),
        (["members", 1, "random_state"], -1, r"members\[1\].random_state should be a whole number .*; found -1"),
        (["members", 1, "random_state"], "print(1)", r"random_state should be a whole number .*; found 'print\(1\)'"),
        (["members", 2, "record", "loss_curve_"], ["a"], r"loss_curve_\[0\] should be a finite number; found 'a'"),
        (["members", 0, "state", "epoch"], -1, r"members\[0\].state.epoch should be a whole number .*; found -1"),
        (["members", 0, "state", "slots"], ["mean", "elsewhere"], "'state.slots.elsewhere' should be float64"),
        (["state", "epoch"], 3, None),  # of no meaning for several, and ignored
        (["layers"], 3, "'layers.2.weights' should be"),
        (["parameters", "n_members"], 0, "'n_members' parameter"),
    ],
)
def test_a_false_description_of_members(path: list[Any], value: Any, message: str | None, tmp_path: Path) -> None:
    tensors, described = saved_parts(classifier(), tmp_path)
    place = described
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    (tmp_path / "false").write_bytes(to_bytes(tensors, {"gpubp": json.dumps(described)}))
    if message is None:
        assert MLPClassifier.load(tmp_path / "false").predict(X).shape == (150,)
        return
    with pytest.raises(ModelFileError, match=message):
        MLPClassifier.load(tmp_path / "false")


def test_arrays_that_do_not_belong_together(tmp_path: Path) -> None:
    tensors, described = saved_parts(classifier(solver="lbfgs"), tmp_path)
    other, _ = saved_parts(classifier(solver="lbfgs", hidden_layer_sizes=(5,)), tmp_path)
    mixed = tensors | {name: array for name, array in other.items() if name.startswith("members.1.")}
    missing = {name: array for name, array in tensors.items() if name != "members.2.layers.0.biases"}
    infinite = tensors | {"members.0.layers.1.biases": np.full(3, np.inf)}
    for arrays, message in (
        (mixed, "not all of one architecture"),
        (missing, "member 2: array 'layers.0.biases' should be .*; there is none"),
        (infinite, "member 0: array 'layers.1.biases' should hold finite numbers only"),
    ):
        (tmp_path / "false").write_bytes(to_bytes(arrays, {"gpubp": json.dumps(described)}))
        with pytest.raises(ModelFileError, match=message):
            MLPClassifier.load(tmp_path / "false")


def test_files_from_before_there_were_members(tmp_path: Path) -> None:
    fitted = classifier(n_members=1)
    tensors, described = saved_parts(fitted, tmp_path)
    del described["parameters"]["n_members"], described["parameters"]["bootstrap"]
    (tmp_path / "old").write_bytes(to_bytes(tensors, {"gpubp": json.dumps(described)}))
    loaded = MLPClassifier.load(tmp_path / "old")
    assert (loaded.n_members, loaded.bootstrap) == (1, False)
    same_network(loaded, fitted)


def saved_parts(estimator: Any, folder: Path) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays and the description of the estimator's file, after a fit."""
    estimator.fit(X, Y).save(folder / "true")
    content = (folder / "true").read_bytes()
    length = int.from_bytes(content[:8], "little")
    described = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["gpubp"])
    del described["sha256"]
    return dict(from_bytes(content)), described


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("labels", [Y, Y > 0], ids=["three", "two"])
def test_one_graph_answers_with_the_mean_of_classifiers(labels: np.ndarray, dtype: str) -> None:
    fitted = classifier(dtype=dtype, hidden_layer_sizes=(5, 4), activation="tanh").fit(X, labels)
    probabilities, label = run(fitted.to_onnx(), X.astype(dtype), "probabilities", "label")
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(probabilities, fitted.predict_proba(X.astype(dtype)), atol=tolerance)
    np.testing.assert_array_equal(label, fitted.predict(X.astype(dtype)))


def test_one_graph_answers_with_the_mean_of_regressors_after_a_scaler() -> None:
    for y in (NUMBERS, np.stack([NUMBERS, -NUMBERS], axis=1)):
        pipeline = make_pipeline(StandardScaler(), regressor(bootstrap=True, hidden_layer_sizes=())).fit(TABLE, y)
        (value,) = run(to_onnx(pipeline), TABLE, "value")
        np.testing.assert_allclose(value, pipeline.predict(TABLE), rtol=1e-10, atol=1e-12)


def run(model: Any, rows: np.ndarray, *names: str) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(list(names), {"X": rows})


def test_scikit_learn_gets_the_members_one_by_one() -> None:
    fitted = classifier().fit(X, Y)
    with pytest.raises(SettingsError, match=r"is one network, and this one has 3: convert each of its members"):
        fitted.to_sklearn()
    theirs = np.mean([member.to_sklearn().predict_proba(X) for member in fitted.estimators_], axis=0)
    np.testing.assert_allclose(fitted.predict_proba(X), theirs, rtol=1e-9)


def test_weights_and_repeated_rows_are_alike_without_bagging() -> None:
    rows, values, times = TABLE[:60], NUMBERS[:60], np.arange(60) % 3
    weighted = regressor(alpha=0.1).fit(rows, values, times)
    repeated = regressor(alpha=0.1).fit(rows.repeat(times, axis=0), values.repeat(times))
    removed = regressor(alpha=0.1).fit(rows[times > 0], values[times > 0], times[times > 0])
    for other in (repeated, removed):
        np.testing.assert_allclose(weighted.predict(TABLE), other.predict(TABLE), rtol=1e-9)
        np.testing.assert_allclose(weighted.disagreement(TABLE), other.disagreement(TABLE), rtol=1e-9)


@pytest.mark.parametrize("bootstrap", [False, True])
def test_a_search_packs_the_members_of_all_candidates(bootstrap: bool) -> None:
    pipeline = make_pipeline(StandardScaler(), classifier(bootstrap=bootstrap, batch_size=16))
    grid = {
        "mlpclassifier__n_members": [1, 2, 4],
        "mlpclassifier__learning_rate_init": [1e-3, 0.1],
        "mlpclassifier__early_stopping": [True, False],
    }
    ours = PopulationSearchCV(pipeline, grid, strategy="grid", cv=3).fit(X, Y)
    theirs = GridSearchCV(pipeline, grid, cv=3).fit(X, Y)
    assert ours.alone_ == {}
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))


@pytest.mark.parametrize("engine", ["array", "block"])
def test_members_stay_on_the_device(standin: CupyBackend, engine: str) -> None:
    there = standin.to_device(X)
    fitted = classifier(bootstrap=True, engine=engine).fit(there, standin.to_device(Y))
    here = classifier(bootstrap=True, engine=engine).fit(X, Y)
    for mine, theirs in zip(fitted.estimators_, here.estimators_, strict=True):
        np.testing.assert_allclose(mine.coefs_[0], theirs.coefs_[0], rtol=1e-5)
    standin.xp.counters.reset()
    answers = [fitted.predict_proba(there), fitted.disagreement(there), fitted.predict(there)]
    assert all(is_on_device(answer) for answer in answers)
    assert standin.xp.counters.bytes_to_host <= 3 * 8  # whether all are finite
    expected = [here.predict_proba(X), here.disagreement(X), here.predict(X)]
    for answer, other in zip(answers, expected, strict=True):
        np.testing.assert_allclose(standin.to_host(answer), other, rtol=1e-4)


def test_many_rows_on_the_device(standin: CupyBackend) -> None:
    rows = np.random.default_rng(0).normal(size=(9001, TABLE.shape[1]))
    fitted = regressor().fit(TABLE, NUMBERS)
    found = fitted.predict(standin.to_device(rows))
    assert is_on_device(found)
    np.testing.assert_allclose(standin.to_host(found), fitted.predict(rows), rtol=1e-9)
    on_host = regressor(backend="numpy").fit(TABLE, NUMBERS)
    assert is_on_device(on_host.predict(standin.to_device(rows)))
    assert is_on_device(on_host.disagreement(standin.to_device(rows)))
