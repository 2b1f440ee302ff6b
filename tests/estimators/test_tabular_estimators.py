"""TabularClassifier and TabularRegressor: scikit-learn's contract, frames of all sorts, labels of all sorts, files."""

from __future__ import annotations

import doctest
import inspect
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import check_estimator

import gpubp.estimators.tabular
from gpubp import Ensemble, MLPClassifier, TabularClassifier, TabularRegressor
from gpubp.errors import DataError, ModelFileError, SettingsError
from gpubp.estimators.tabular_base import HELD_OUT_NETWORKS
from gpubp.search.run.experiment import Experiment
from gpubp.tabular.presets import Preset

OPTIMISATION = "-O1"  # trains much
X_IRIS, Y_IRIS = load_iris(return_X_y=True)
X_SUGAR, Y_SUGAR = load_diabetes(return_X_y=True)
ONE = Preset("one", "one configuration on two folds", 1, 2, 1, 60.0, portfolio="fast")
QUICK: dict[str, Any] = {"preset": ONE, "random_state": 0, "backend": "numpy"}
RNG = np.random.default_rng(1)
ROWS = 40


def frame() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "size": RNG.normal(size=ROWS),
            "colour": RNG.choice(["red", "green"], ROWS),
            "is new": RNG.random(ROWS) < 0.5,
            "gaps": [None if i % 7 == 0 else float(i) for i in range(ROWS)],
        }
    )


FRAME = frame()
LABELS = np.where(FRAME["size"].to_numpy() > 0, "large", "small")


@pytest.mark.filterwarnings("ignore")  # the checks provoke warnings of many kinds
@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
def test_every_check_of_scikit_learn_passes_but_one(kind: Any) -> None:
    """Rows that weigh 2 are as rows that are there twice in the loss, and not in how batches are drawn, as with all
    that trains on batches: scikit-learn's own such estimators are excepted from that check by scikit-learn itself.
    """
    reason = "batches are drawn from rows"
    results = check_estimator(
        kind(**QUICK),
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": reason},
        on_fail=None,
        on_skip=None,
    )
    assert len(results) > 50
    failed = {r["check_name"] for r in results if r["status"] not in ("passed", "skipped", "xfail")}
    assert failed == set()
    assert len([r for r in results if r["status"] == "skipped"]) <= 2


@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
def test_every_parameter_is_documented(kind: Any) -> None:
    documented = kind.__doc__.split("Parameters\n")[1].split("Attributes\n")[0]
    assert [name for name in inspect.signature(kind).parameters if f"{name} :" not in documented] == []


@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
def test_every_attribute_is_documented(kind: Any) -> None:
    y = LABELS if kind is TabularClassifier else FRAME["size"].to_numpy()
    fitted = kind(**QUICK).fit(FRAME, y)
    documented = kind.__doc__.split("Attributes\n")[1]
    more = {"metric_"}
    assert [name for name in vars(fitted) if name.endswith("_") and name not in documented and name not in more] == []


def test_examples_of_the_docstrings() -> None:
    results = doctest.testmod(gpubp.estimators.tabular)
    assert results.attempted > 6
    assert results.failed == 0


def test_any_frame_is_the_same_table() -> None:
    pandas = pytest.importorskip("pandas")
    as_pandas = pandas.DataFrame({name: FRAME[name].to_list() for name in FRAME.columns})
    found = [TabularClassifier(**QUICK).fit(X, LABELS).predict_proba(X) for X in (FRAME, as_pandas)]
    np.testing.assert_array_equal(found[0], found[1])
    as_categories = as_pandas.assign(colour=as_pandas["colour"].astype("category"))
    np.testing.assert_array_equal(
        TabularClassifier(**QUICK).fit(as_categories, LABELS).predict_proba(as_categories), found[0]
    )


def test_columns_are_found_by_name() -> None:
    fitted = TabularClassifier(**QUICK).fit(FRAME, LABELS)
    assert fitted.feature_names_in_.tolist() == FRAME.columns
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(FRAME.rename({"size": "height"}))


@pytest.mark.parametrize(
    "labels",
    [
        np.where(LABELS == "large", 7, -3),
        np.where(LABELS == "large", 1.0, 2.0),
        LABELS == "large",
        np.where(LABELS == "large", "10", "9"),
        np.where(LABELS == "large", "NA", "None"),
        np.where(LABELS == "large", "ä", "Z").astype(object),
        np.where(LABELS == "large", 2**53, 2**53 + 1),
    ],
    ids=["whole numbers", "numbers", "booleans", "numbers in text", "words for missing", "objects", "large numbers"],
)
def test_labels_come_back_as_they_were(labels: np.ndarray, tmp_path: Path) -> None:
    fitted = TabularClassifier(**QUICK).fit(FRAME, labels)
    np.testing.assert_array_equal(fitted.classes_, np.unique(labels))
    probabilities, found = fitted.predict_proba(FRAME), fitted.predict(FRAME)
    assert found.dtype == fitted.classes_.dtype
    np.testing.assert_array_equal(found, fitted.classes_[probabilities.argmax(axis=1)])
    assert np.mean(found == labels) > 0.8, "each class has its own column"
    np.testing.assert_allclose(fitted.oof_prediction_.sum(axis=1), 1.0)
    right = np.mean(fitted.classes_[fitted.oof_prediction_.argmax(axis=1)] == labels)
    assert right == pytest.approx(fitted.oof_metrics_["accuracy"])
    fitted.save(tmp_path / "m")
    loaded = TabularClassifier.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.classes_, fitted.classes_)
    np.testing.assert_array_equal(loaded.predict(FRAME), found)


def test_labels_that_are_spelled_alike_are_refused() -> None:
    labels = np.array([1, "1"] * 20, dtype=object)
    with pytest.raises((ValueError, TypeError)):
        TabularClassifier(**QUICK).fit(FRAME, labels)


@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
def test_a_file_is_the_estimator(kind: Any, tmp_path: Path) -> None:
    y = LABELS if kind is TabularClassifier else FRAME["size"].to_numpy() * 3.0
    fitted = kind(**QUICK | {"preset": "fast", "ignore": "gaps"}).fit(FRAME, y)
    fitted.save(tmp_path / "m")
    loaded = kind.load(tmp_path / "m")
    assert loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.predict(FRAME), fitted.predict(FRAME))
    np.testing.assert_array_equal(loaded.disagreement(FRAME), fitted.disagreement(FRAME))
    for name in ("oof_score_", "baseline_score_", "oof_metrics_", "n_networks_", "notes_", "n_features_in_"):
        assert getattr(loaded, name) == getattr(fitted, name)
    assert loaded.leaderboard_.equals(fitted.leaderboard_)
    assert Ensemble.load(tmp_path / "m").n_members == fitted.ensemble_.n_members
    with pytest.raises(ModelFileError, match="not a"):
        (TabularRegressor if kind is TabularClassifier else TabularClassifier).load(tmp_path / "m")


def test_what_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    fitted = TabularClassifier(**QUICK).fit(FRAME, LABELS)
    fitted.set_params(random_state=np.random.RandomState(0))
    with pytest.raises(ModelFileError, match="random_state"):
        fitted.save(tmp_path / "m")
    with pytest.raises(NotFittedError):
        TabularClassifier().save(tmp_path / "m")
    MLPClassifier(solver="lbfgs", max_iter=5000).fit(X_IRIS[:, :2] / 10, Y_IRIS == 0).save(tmp_path / "other")
    with pytest.raises(ModelFileError):
        TabularClassifier.load(tmp_path / "other")
    assert not (tmp_path / "m").exists()


def test_an_ensemble_without_an_estimator_is_none(tmp_path: Path) -> None:
    fitted = TabularClassifier(**QUICK).fit(FRAME, LABELS)
    fitted.ensemble_.save(tmp_path / "e")
    with pytest.raises(ModelFileError, match=r"gpubp\.Ensemble\.load"):
        TabularClassifier.load(tmp_path / "e")


def test_pickles_and_clones() -> None:
    fitted = TabularRegressor(**QUICK).fit(FRAME, FRAME["size"].to_numpy())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(FRAME), fitted.predict(FRAME))
    again = clone(fitted).fit(FRAME, FRAME["size"].to_numpy())
    np.testing.assert_array_equal(again.predict(FRAME), fitted.predict(FRAME))


@pytest.mark.parametrize("threads", [1, 2, -1])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    one, other = (TabularClassifier(**QUICK, n_jobs=n).fit(X_IRIS, Y_IRIS) for n in (None, threads))
    np.testing.assert_array_equal(one.predict_proba(X_IRIS), other.predict_proba(X_IRIS))


def test_validation_rows_instead_of_folds() -> None:
    training, validation = FRAME[:30], FRAME[30:]
    fitted = TabularClassifier(**QUICK).fit(training, LABELS[:30], X_val=validation, y_val=LABELS[30:])
    assert fitted.oof_prediction_.shape == (10, 2)
    assert fitted.n_networks_ == HELD_OUT_NETWORKS
    with pytest.raises(SettingsError, match="go together"):
        TabularClassifier(**QUICK).fit(training, LABELS[:30], X_val=validation)
    with pytest.raises(ValueError, match=r"other columns|feature names"):
        TabularClassifier(**QUICK).fit(training, LABELS[:30], X_val=validation.drop("size"), y_val=LABELS[30:])


def test_groups_and_splitters() -> None:
    groups = np.arange(ROWS) // 4
    fitted = TabularClassifier(**QUICK, cv=GroupKFold(3)).fit(FRAME, LABELS, groups=groups)
    assert fitted.n_networks_ == 3
    assert TabularClassifier(**QUICK).fit(FRAME, LABELS, groups=groups).n_networks_ == 2


def test_rows_of_weight_0_are_not_there() -> None:
    weights = np.where(np.arange(ROWS) < 30, 1.0, 0.0)
    weighted = TabularClassifier(**QUICK).fit(FRAME, LABELS, sample_weight=weights)
    without = TabularClassifier(**QUICK).fit(FRAME[:30], LABELS[:30])
    np.testing.assert_allclose(weighted.predict_proba(FRAME), without.predict_proba(FRAME), rtol=1e-4, atol=1e-5)


def test_classes_can_weigh_more() -> None:
    rare, X = (Y_IRIS[:110] == 2).astype(int), X_IRIS[:110, :1]
    plain = TabularClassifier(**QUICK).fit(X, rare)
    balanced = TabularClassifier(**QUICK, class_weight="balanced").fit(X, rare)
    assert balanced.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean()


def test_logarithms_of_the_target() -> None:
    y = np.exp(3.0 * FRAME["size"].to_numpy())
    fitted = TabularRegressor(**QUICK, target_scale="log").fit(FRAME, y)
    assert fitted.ensemble_.members[0].log
    assert (fitted.predict(FRAME) > 0).all()


def test_predictions_stay_within_the_target() -> None:
    far = np.full((1, X_SUGAR.shape[1]), 1e9)
    fitted = TabularRegressor(**QUICK).fit(X_SUGAR, Y_SUGAR)
    low, high = Y_SUGAR.min(), Y_SUGAR.max()
    width = 0.1 * (high - low)
    assert low - width <= fitted.predict(far)[0] <= high + width


def test_it_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    TabularClassifier(**QUICK, verbose=1).fit(FRAME, LABELS)
    said = capsys.readouterr().out
    assert "Out of fold: neg_log_loss" in said
    assert "'colour'" in said
    TabularClassifier(**QUICK).fit(FRAME, LABELS)
    assert capsys.readouterr().out == ""


def test_what_the_presets_limit_leaves_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Experiment, "seconds_left", lambda self: 0.0 if self._whole_trials else 100.0)
    with pytest.warns(
        UserWarning, match=r"time limit \(time_limit=60 sets another\) ended the training after \d+ conf"
    ):
        TabularClassifier(**QUICK | {"preset": "fast"}).fit(FRAME, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = TabularClassifier(**QUICK | {"preset": "fast", "time_limit": 9.0}).fit(FRAME, LABELS)
    assert fitted.ended_early_, "who set a limit knows of it"


def test_it_stands_in_scikit_learns_tools() -> None:
    assert cross_val_score(TabularClassifier(**QUICK), X_IRIS, Y_IRIS, cv=2).mean() > 0.8


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        (FRAME, None, "requires y"),
        (FRAME, LABELS[:5], "inconsistent numbers"),
        (np.array([["a", 1.0], ["b", np.inf]] * 4, dtype=object), ["x", "y"] * 4, "found inf"),
        (X_IRIS, np.where(Y_IRIS == 0, np.nan, Y_IRIS), "NaN"),
        (X_IRIS, np.zeros(150), "class"),
        (FRAME.drop(FRAME.columns), LABELS, "0 feature|columns|rows"),
    ],
    ids=["no target", "fewer labels", "infinity", "missing labels", "one class", "no columns"],
)
def test_what_cannot_be_learned_is_refused(X: Any, y: Any, words: str) -> None:
    with pytest.raises((ValueError, DataError), match=words):
        TabularClassifier(**QUICK).fit(X, y)


def test_a_fit_that_was_killed_goes_on(tmp_path: Path) -> None:
    """Named folders: begun again with the same arguments it goes on, and one that is done begins anew."""
    whole = TabularClassifier(**QUICK).fit(FRAME, LABELS)
    for _ in range(2):
        kept = TabularClassifier(**QUICK, folder=tmp_path / "f").fit(FRAME, LABELS)
        np.testing.assert_array_equal(kept.predict_proba(FRAME), whole.predict_proba(FRAME))
