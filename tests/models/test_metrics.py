"""Measures: the field's own numbers, finite and without warnings in the awkward cases."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sklearn.metrics as judge

from gpubp.errors import DataError
from gpubp.models.metrics import classification_report, regression_report


def test_classification_by_hand():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    report = classification_report(np.array([0, 1, 1, 2]), probabilities, ("a", "b", "c"))
    assert report["accuracy"] == 0.75
    assert report["log_loss"] == pytest.approx(-np.log([0.7, 0.8, 0.3, 0.6]).mean(), rel=1e-12)
    assert report["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3, rel=1e-12)
    assert report["confusion_matrix"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert json.loads(json.dumps(report)) == report | {"labels": ["a", "b", "c"]}


def test_a_class_that_does_not_occur_keeps_its_place_and_warns_nobody():
    report = classification_report(np.array([0, 0]), np.array([[0.9, 0.1, 0.0], [0.4, 0.6, 0.0]]), ("a", "b", "c"))
    assert report["confusion_matrix"] == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert report["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert np.isfinite(report["log_loss"])


def test_sigmoid_outputs_are_normalised_for_the_log_loss():
    outputs = np.array([[0.9, 0.9], [0.2, 0.6], [0.0, 0.0]], np.float32)
    report = classification_report(np.array([0, 1, 1]), outputs, ("a", "b"))
    assert report["log_loss"] == pytest.approx(-np.log([0.5, 0.75, 0.5]).mean(), rel=1e-6)
    assert report["accuracy"] == pytest.approx(2 / 3)


def test_a_certain_mistake_has_a_finite_log_loss():
    report = classification_report(np.array([0]), np.array([[0.0, 1.0]]), ("a", "b"))
    assert report["log_loss"] == pytest.approx(-np.log(np.finfo(float).eps))


@pytest.mark.parametrize(
    ("truth", "probabilities", "message"),
    [
        ([0, 1], [[0.5, 0.5]], "shape"),
        ([0], [[0.5, 0.25, 0.25]], "shape"),
        ([], np.zeros((0, 2)), "at least 1"),
        ([2], [[0.5, 0.5]], "outside 0 to 1"),
        ([0], [[np.nan, 0.5]], "diverged"),
        ([0], [[-0.5, 1.5]], "below zero"),
    ],
)
def test_senseless_classifications_are_refused(truth, probabilities, message):
    with pytest.raises(DataError, match=message):
        classification_report(np.array(truth), np.array(probabilities), ("a", "b"))


def test_regression_by_hand():
    report = regression_report(np.array([[1.0], [2.0], [3.0], [6.0]]), np.array([1.0, 3.0, 3.0, 5.0]))
    assert report == pytest.approx({"r2": 1 - 2 / 14, "rmse": np.sqrt(0.5), "mae": 0.5}, rel=1e-12)
    assert json.loads(json.dumps(report)) == report


def test_a_constant_target_has_an_r2():
    assert regression_report(np.array([2.0, 2.0]), np.array([2.0, 2.0]))["r2"] == 1.0
    assert regression_report(np.array([2.0, 2.0]), np.array([2.0, 3.0]))["r2"] == 0.0
    assert regression_report(np.array([2.0]), np.array([3.0])) == {"r2": 0.0, "rmse": 1.0, "mae": 1.0}


@pytest.mark.parametrize(
    ("y", "prediction", "message"),
    [
        ([1, 2], [1], "expected"),
        ([], [], "expected"),
        ([[1, 2]], [1, 2], "expected"),
        (1.0, 1.0, "expected"),
        ([1.0], [np.inf], "diverged"),
    ],
)
def test_senseless_regressions_are_refused(y, prediction, message):
    with pytest.raises(DataError, match=message):
        regression_report(np.array(y), np.array(prediction))


@pytest.mark.filterwarnings("ignore:The number of unique classes")  # of scikit-learn 1.7, for more classes than rows
@pytest.mark.parametrize("seed", range(20))
def test_classifications_are_measured_as_scikit_learn_does(seed):
    rng = np.random.default_rng(seed)
    rows, classes = rng.integers(1, 300), rng.integers(2, 30)
    probabilities = rng.dirichlet(np.full(classes, 0.2), rows)
    truth, predicted = rng.integers(0, classes, rows), probabilities.argmax(axis=1)
    found = classification_report(truth, probabilities, [str(i) for i in range(classes)])
    assert found["accuracy"] == judge.accuracy_score(truth, predicted)
    assert found["macro_f1"] == judge.f1_score(truth, predicted, average="macro", zero_division=0.0)
    assert found["confusion_matrix"] == judge.confusion_matrix(truth, predicted, labels=np.arange(classes)).tolist()
    loss = judge.log_loss(truth, probabilities, labels=np.arange(classes))
    assert found["log_loss"] == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_regressions_are_measured_as_scikit_learn_does(seed):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=rng.integers(2, 300)) * 10.0 ** rng.integers(-150, 100)
    predicted = truth * rng.uniform(0.5, 1.5, len(truth))
    assert regression_report(truth, predicted) == {
        "r2": judge.r2_score(truth, predicted),
        "rmse": judge.root_mean_squared_error(truth, predicted),
        "mae": judge.mean_absolute_error(truth, predicted),
    }


def test_numbers_too_small_to_be_squared_have_an_r2():
    truth = np.array([1.0, 2.0, 3.0]) * 1e-200
    for predicted in (truth, 1e200 * truth):
        assert regression_report(truth, predicted)["r2"] == judge.r2_score(truth, predicted)
