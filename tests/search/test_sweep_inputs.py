"""A sweep is given tables as the estimators are, and hands metrics and splitters what they are documented to get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, get_scorer, make_scorer
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils.validation import check_is_fitted

from gpubp import MLPClassifier, MLPRegressor, SweepResult, sweep
from gpubp.errors import DataError, SettingsError
from gpubp.tables import Table

RNG = np.random.default_rng(5)
X = RNG.normal(size=(40, 3)) + np.array([0.0, 10.0, 0.0])
YES = X[:, 0] > 0
LABELS = np.where(YES, "yes", "no")
VALUES = X @ [1.0, 2.0, 3.0]
NAMES = ["a", "b", "c"]
ONE: dict[str, Any] = {"n_trials": 1, "cv": 2, "engine": "array"}
SPACE = {"hidden": [(3,)], "epochs": 5, "scale": "standard"}  # the default for arrays, and not for frames


class ByDlpackAlone:
    """An array of another library's, such as torch's."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def with_one(values: Any, place: Any, value: Any) -> np.ndarray:
    found = np.array(values, dtype=object)
    found[place] = value
    return found


GOOD: dict[str, tuple[Any, Any]] = {
    "bool": (X, YES),
    "int": (X, YES * 1),
    "whole floats": (X, YES * 1.0),
    "text": (X, LABELS),
    "objects": (X.astype(object), LABELS.astype(object)),
    "lists": (X.tolist(), LABELS.tolist()),
    "a column": (X, LABELS[:, None]),
    "a series": (X, pd.Series(LABELS, index=np.arange(40)[::-1])),
    "categories": (X, pd.Series(LABELS, dtype="category")),
    "nullable": (X, pd.Series(YES * 1, dtype="Int64")),
    "a frame": (X, pd.DataFrame({"y": LABELS})),
    "polars": (X, pl.Series(LABELS)),
    "csr": (sp.csr_matrix(X), LABELS),
    "csc": (sp.csc_array(X), LABELS),
    "coo": (sp.coo_array(X), LABELS),
    "float32": (X.astype("float32"), LABELS),
    "int X": ((10 * X).astype(int), LABELS),
    "digits": (X.astype(str), LABELS),
    "dlpack": (ByDlpackAlone(X), ByDlpackAlone(YES * 1)),
}
BAD: dict[str, tuple[Any, Any, str]] = {
    "NaN": (X, with_one(YES, 3, np.nan).astype(float), "Input y contains NaN"),
    "None among texts": (X, with_one(LABELS, 3, None), r"Input y contains NaN: y\[3\] is missing \(None\)"),
    "NaN among texts": (X, with_one(LABELS, 3, np.nan), r"Input y contains NaN: y\[3\] is missing"),
    "NA": (X, with_one(LABELS, 3, pd.NA), r"Input y contains NaN: y\[3\] is missing \(<NA>\)"),
    "NaT": (X, with_one(LABELS, 3, pd.NaT), r"Input y contains NaN: y\[3\] is missing"),
    "None in a list": (X, [None, *LABELS[1:].tolist()], r"Input y contains NaN: y\[0\] is missing"),
    "NA of a series": (X, pd.Series([None, *LABELS[1:]], dtype="string"), "Input y contains NaN"),
    "NA of numbers": (X, pd.Series([None, *YES[1:] * 1], dtype="Int64"), "Input y contains NaN"),
    "NA of categories": (X, pd.Series([None, *LABELS[1:]], dtype="category"), "Input y contains NaN"),
    "infinity": (X, with_one(YES, 3, np.inf).astype(float), "Input y contains infinity"),
    "no labels": (X, VALUES, "Unknown label type"),
    "too few": (X, LABELS[:9], "inconsistent numbers of samples"),
    "complex": (X + 1j, LABELS, "Complex data not supported"),
    "complex, sparse": (sp.csr_array(X + 1j), LABELS, "Complex data not supported"),
    "X NaN": (with_one(X, (1, 1), None), LABELS, "Input X contains NaN"),
    "X infinity": (with_one(X, (1, 1), np.inf).astype(float), LABELS, "Input X contains infinity"),
    "sparse NaN": (sp.csr_array(with_one(X, (1, 1), np.nan).astype(float)), LABELS, "Input X contains NaN"),
    "one row": (X[:, 0], LABELS, "Expected 2D array, got 1D array instead"),
}
GOOD_NUMBERS: dict[str, Any] = {
    "array": VALUES,
    "list": VALUES.tolist(),
    "a column": VALUES[:, None],
    "two columns": np.column_stack([VALUES, VALUES]),
    "objects": VALUES.astype(object),
    "nullable": pd.Series(VALUES, dtype="Float64"),
    "frame": pd.DataFrame({"a": VALUES, "b": VALUES}),
}
BAD_NUMBERS: dict[str, tuple[Any, str]] = {
    "NaN": (with_one(VALUES, 3, np.nan).astype(float), "Input y contains NaN"),
    "None": (with_one(VALUES, 3, None), r"Input y contains NaN: y\[3\] is missing \(None\)"),
    "NA": (with_one(VALUES, 3, pd.NA), r"Input y contains NaN: y\[3\] is missing"),
    "NA of a series": (pd.Series([None, *VALUES[1:]], dtype="Float64"), "Input y contains NaN"),
    "second column": (with_one(np.column_stack([VALUES, VALUES]), (3, 1), None), r"NaN: y\[3, 1\] is missing"),
    "infinity": (with_one(VALUES, 3, np.inf).astype(float), "Input y contains infinity"),
    "complex": (VALUES + 1j, "Complex data not supported"),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:A column-vector y was passed")
@pytest.mark.parametrize("form", GOOD)
def test_what_a_classifier_takes_a_sweep_takes(form: str) -> None:
    features, y = GOOD[form]
    MLPClassifier((3,), max_iter=1, engine="array").fit(features, y)
    found = sweep(features, y, SPACE, **ONE)
    assert found.task == "classification"
    same = form not in ("float32", "int X")
    assert not same or found.best.score == sweep(X, YES, SPACE, **ONE).best.score
    assert len(found.refit().predict(sp.csr_array(X))) == 40


@pytest.mark.parametrize("form", BAD)
def test_what_a_classifier_refuses_a_sweep_refuses_in_like_words(form: str) -> None:
    features, y, message = BAD[form]
    for refused in (
        lambda: MLPClassifier((3,), max_iter=1, engine="array").fit(features, y),
        lambda: sweep(features, y, SPACE, task="classification", **ONE),
    ):
        with pytest.raises(ValueError, match=message):
            refused()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:A column-vector y was passed")
@pytest.mark.parametrize("form", GOOD_NUMBERS)
def test_what_a_regressor_takes_a_sweep_takes(form: str) -> None:
    y = GOOD_NUMBERS[form]
    MLPRegressor(hidden_layer_sizes=(3,), max_iter=1, engine="array").fit(X, y)
    found = sweep(X, y, SPACE, **ONE)
    assert found.task == "regression"
    same = np.ndim(y) == 1 or np.shape(y)[1] == 1
    assert not same or found.best.score == sweep(X, VALUES, SPACE, **ONE).best.score


@pytest.mark.parametrize("form", BAD_NUMBERS)
def test_what_a_regressor_refuses_a_sweep_refuses_in_like_words(form: str) -> None:
    y, message = BAD_NUMBERS[form]
    for refused in (
        lambda: MLPRegressor(hidden_layer_sizes=(3,), max_iter=1, engine="array").fit(X, y),
        lambda: sweep(X, y, SPACE, task="regression", **ONE),
    ):
        with pytest.raises(ValueError, match=message):
            refused()


@pytest.mark.parametrize("y", [LABELS[:, None], np.int64(4), ByDlpackAlone(YES * 1)], ids=["column", "place", "dlpack"])
def test_targets_of_a_frame(y: Any) -> None:
    frame = pd.DataFrame(X, columns=NAMES)
    if isinstance(y, np.int64):
        frame["y"] = LABELS
    assert sweep(frame, y, SPACE, **ONE).best.score == sweep(X, YES, SPACE, **ONE).best.score


def test_numbers_of_numpys() -> None:
    counts = {"n_trials": np.int64(1), "cv": np.int64(2), "repeats": np.int64(1), "seed": np.int64(0)}
    found = sweep(X, YES, SPACE, engine="array", memory=np.int64(1 << 30), budget=np.float32(60), **counts)
    assert found.best.score == sweep(X, YES, SPACE, **ONE).best.score
    assert found.ensemble(k=np.int64(2)).description["selected"] == [0, 0]


FORMS: dict[str, Any] = {
    "array": X,
    "float32": X.astype("float32"),
    "list": X.tolist(),
    "csr": sp.csr_array(X),
    "pandas": pd.DataFrame(X, columns=NAMES),
    "polars": pl.DataFrame(X, schema=NAMES),
    "table": Table.from_arrays(X, names=NAMES),
}


def plain(rows: Any) -> np.ndarray:
    found: np.ndarray = rows.toarray() if hasattr(rows, "toarray") else np.asarray(rows)
    return found


def cut(rows: Any, chosen: np.ndarray) -> Any:
    return rows.iloc[chosen] if hasattr(rows, "iloc") else rows[chosen]


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("form", FORMS)
def test_a_metric_is_given_the_features_of_the_test_rows(form: str, task: str) -> None:
    """Its estimator answers for them, for some of them, and for others, as one and the same network."""
    y = LABELS if task == "classification" else VALUES
    folds = list(KFold(2, shuffle=True, random_state=0).split(X))
    seen = []

    def metric(estimator: Any, rows: Any, truth: np.ndarray) -> float:
        _, test = folds[len(seen)]
        np.testing.assert_allclose(plain(rows), X[test], rtol=1e-6)
        np.testing.assert_array_equal(truth, y[test])
        assert estimator.n_features_in_ == 3
        kind = {"list": np.ndarray, "table": pl.DataFrame}.get(form, type(FORMS[form]))
        assert isinstance(rows, kind)
        if form == "float32":
            assert rows.dtype == np.float32
        ask = estimator.predict_proba if task == "classification" else estimator.predict
        some = np.array([3, 1, 7])
        np.testing.assert_allclose(ask(cut(rows, some)), ask(rows)[some], rtol=1e-4, atol=1e-6)
        every = ask(FORMS[form])  # of a table, as one too
        np.testing.assert_allclose(every[test], ask(rows), rtol=1e-4, atol=1e-6)
        if task == "classification":
            np.testing.assert_allclose(np.exp(estimator.predict_log_proba(rows)), ask(rows))
            assert estimator.score(rows, truth) == accuracy_score(truth, estimator.predict(rows))
        seen.append(plain(rows))
        return float(plain(rows)[:, 1].mean())

    result = sweep(FORMS[form], y, SPACE, metric=metric, **ONE | {"cv": folds})
    assert result.metric == "metric"
    np.testing.assert_allclose(result.best.scores, [X[test][:, 1].mean() for _, test in folds], rtol=1e-6)
    assert len(seen) == 2


def test_a_metric_that_changes_its_rows_is_answered_for_what_they_are_now() -> None:
    """Permutation importance in place: the answers for the rows as they were would be worth nothing."""
    apart = []

    def metric(estimator: Any, rows: np.ndarray, truth: np.ndarray) -> float:
        before = estimator.predict_proba(rows).copy()
        rows[:, 0] = -rows[:, 0] * 10
        apart.append(np.abs(estimator.predict_proba(rows) - before).max())
        return 0.0

    for _ in range(2):
        sweep(X, YES, SPACE | {"epochs": 60, "learning_rate": 0.05}, metric=metric, **ONE)
    assert min(apart) > 0.01
    assert len(apart) == 4
    np.testing.assert_array_equal(X[:, 0] > 0, YES)  # the caller's table is as it was


def test_a_metric_may_use_scikit_learns_inspections_and_return_its_number_in_an_array() -> None:
    def metric(estimator: Any, rows: np.ndarray, truth: np.ndarray) -> np.ndarray:
        check_is_fitted(estimator)
        found = permutation_importance(estimator, rows, truth, n_repeats=1, random_state=0)
        return np.array([found.importances_mean[0]])

    assert np.isfinite(sweep(X, YES, SPACE, metric=metric, **ONE).best.score)


def test_labels_of_bytes_are_refused_at_once() -> None:
    for labels in (LABELS.astype(bytes), LABELS.astype(bytes).astype(object)):
        with pytest.raises(DataError, match="bytes are not supported"):
            sweep(X, labels, SPACE, **ONE)


@pytest.mark.parametrize("y", [YES, VALUES])
def test_a_metric_that_changes_its_answers_changes_them_for_itself_alone(y: np.ndarray) -> None:
    def metric(estimator: Any, rows: np.ndarray, truth: np.ndarray) -> float:
        score = float(estimator.score(rows, truth))
        for name in ("predict", "predict_proba"):
            if hasattr(type(estimator), name):
                getattr(estimator, name)(rows)[:] = 0
        assert estimator.score(rows, truth) == score
        return score

    result = sweep(X, y, SPACE, metric=metric, **ONE)
    assert result.best.score == sweep(X, y, SPACE, **ONE).best.score
    assert result.ensemble(1).description["best_single_score"] == sweep(X, y, SPACE, **ONE).ensemble(1).description[
        "best_single_score"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda estimator, rows, truth: estimator.fit(rows, truth), "asks the network to be trained again"),
        (
            lambda estimator, rows, truth: float(estimator.coefs_[0].sum()),
            "has predict, score, .* and no coefs_: sweep",
        ),
        (
            lambda estimator, rows, truth: estimator.predict(rows[:, :2]).sum(),
            "X has 2 features, and the network is expect",
        ),
        (lambda estimator, rows, truth: estimator.predict(rows * np.nan).sum(), "Input X contains NaN"),
        (lambda estimator, rows, truth: {"a": 1.0}, "cannot score these predictions: float"),
        (lambda estimator, rows, truth: np.nan, "gives NaN for 20 test rows whose predictions are finite"),
        (lambda estimator, rows: 1.0, "cannot score these predictions"),
        (make_scorer(accuracy_score, response_method="decision_function"), "decision_function"),
    ],
)
def test_what_a_metric_may_not(metric: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        sweep(X, YES, SPACE, metric=metric, **ONE)


def test_a_mean_of_networks_has_none_to_ask() -> None:
    def metric(estimator: Any, rows: Any, truth: Any) -> float:
        return float((estimator.predict(rows[::2]) == truth[::2]).mean())

    result: SweepResult = sweep(X, YES, SPACE, metric=metric, **ONE)
    with pytest.raises(SettingsError, match=r"other rows than those that it is given, .* have no network to ask"):
        result.ensemble(2)


def test_scorers_that_differ_have_names_that_differ() -> None:
    for scorer in (make_scorer(accuracy_score), get_scorer("f1")):
        assert sweep(X, YES, SPACE, metric=scorer, **ONE).metric == str(scorer)


@pytest.mark.parametrize("form", ["array", "pandas", "csr"])
def test_a_splitter_is_given_the_features(form: str) -> None:
    class ByTime:
        """The rows before and after the median of the first column."""

        def split(self, rows: Any, y: Any) -> Any:
            first = plain(rows)[:, 0]
            yield np.flatnonzero(first < np.median(first)), np.flatnonzero(first >= np.median(first))

    result = sweep(FORMS[form], VALUES, SPACE, **ONE | {"cv": ByTime()})
    training, test = result.experiment.splits[0]
    assert X[training, 0].max() < X[test, 0].min()


def test_a_splitter_that_cannot_split() -> None:
    with pytest.raises(SettingsError, match=r"The splitter GroupKFold.* cannot split these rows: .*groups"):
        sweep(X, YES, SPACE, **ONE | {"cv": GroupKFold(2)})
