"""`results.json`: what a sweep writes for its report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import SEEDS, succeeds
from sklearn.metrics import confusion_matrix, r2_score

import gpubp
from gpubp import Range, Space, SweepResult, When, sweep
from gpubp.backends import interruption
from gpubp.search.results.summary import CURVE_POINTS, SCATTER_POINTS, classes, described_space, summary, trained_again

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 3))
KIND = np.where(X[:, 0] + 0.3 * RNG.normal(size=60) > 0, "yes", "no")
VALUES = X @ [1.0, -2.0, 0.5] * 100 + 7
SPACE = {"hidden": [(3,), (4, 4)], "learning_rate": Range(1e-2, 0.3, log=True), "epochs": 12}


def whole(found: SweepResult, **outcome: Any) -> dict[str, Any]:
    """The summary after a journey through JSON, which must have no NaN."""
    text = json.dumps(summary(found, outcome), allow_nan=False)
    document: dict[str, Any] = json.loads(text)
    return document


@pytest.fixture(scope="module")
def labels() -> SweepResult:
    return sweep(X, KIND, SPACE, n_trials=6, cv=3, repeats=2, engine="array", seed=4)


def test_every_trial_is_there_as_the_result_has_it(labels: SweepResult) -> None:
    document = whole(labels, seconds=1.5)
    assert (document["format"], document["version"]) == ("gpubp sweep results", 1)
    assert document["gpubp"] == gpubp.__version__
    assert document["outcome"] == {"seconds": 1.5}
    assert document["labels"] == ["no", "yes"]
    assert document["table"] == {"source": None, "rows": 60, "target": None, "columns": None}
    assert document["folds"] == 6
    ranked = [trial.number for trial in labels.ranked]
    for trial, told in zip(labels.trials, document["trials"], strict=True):
        assert told["trial"] == trial.number
        assert told["rank"] == ranked.index(trial.number) + 1
        assert told["scores"] == trial.scores.tolist()
        assert (told["mean"], told["std"], told["status"]) == (trial.score, trial.std, "complete")
        assert told["parameters"]["hidden"] == list(trial.parameters["hidden"])
        assert told["epochs"] == [12] * 6


def test_networks_are_trained_again_to_the_same_bits(labels: SweepResult) -> None:
    """So their predictions are those by which the trial was scored, and the curves end where its scores are."""
    document = whole(labels)
    best = labels.best
    answers = labels.out_of_fold(best)
    index = np.searchsorted(labels.experiment.data.classes, KIND)
    found = document["best"]["predictions"]
    assert document["best"]["trial"] == best.number
    assert found["confusion_matrix"] == confusion_matrix(index, answers.argmax(axis=1)).tolist()
    assert found["rows"] == 60
    curves = document["best"]["curves"]
    assert (curves["rows"], curves["loss"], curves["score"]) == ("test", "cross_entropy", "accuracy")
    assert curves["epoch"] == list(range(1, 13))
    assert [fold["fold"] for fold in curves["folds"]] == list(range(1, 7))
    assert [fold["validation_score"][-1] for fold in curves["folds"]] == pytest.approx(best.scores.tolist())
    assert all(fold["training_loss"][-1] < fold["training_loss"][0] for fold in curves["folds"])
    assert {fold["best_epoch"] for fold in curves["folds"]} == {None}


def test_calibration_counts_what_was_right() -> None:
    truth = np.array([0, 0, 1, 1, 1, 0])
    sure = np.array([0.95, 0.95, 0.95, 0.65, 0.65, 1.0])
    probabilities = np.stack([sure, 1 - sure], axis=1)
    probabilities[[2, 3]] = probabilities[[2, 3], ::-1]  # right: 0, 1, 2, 3, 5
    found = classes(truth, probabilities, ["a", "b"])
    bins = found["calibration"]
    assert [each["rows"] for each in bins] == [0, 0, 0, 0, 0, 0, 2, 0, 0, 4]
    assert (bins[6]["right"], bins[6]["probability"]) == (0.5, pytest.approx(0.65))
    assert (bins[9]["right"], bins[9]["probability"]) == (1.0, pytest.approx(0.9625))
    assert np.isnan(bins[0]["right"])
    assert found["expected_calibration_error"] == pytest.approx((2 * 0.15 + 4 * 0.0375) / 6)
    assert found["confusion_matrix"] == [[3, 0], [1, 2]]


def test_numbers_and_several_of_them() -> None:
    both = np.stack([VALUES, X[:, 2]], axis=1)
    found = sweep(X, both, SPACE, n_trials=2, cv=3, engine="array")
    document = whole(found)
    assert document["labels"] is None
    outputs = document["best"]["predictions"]["outputs"]
    answers = found.out_of_fold(found.best)
    for o, output in enumerate(outputs):
        np.testing.assert_allclose(output["predicted"], answers[:, o])
        np.testing.assert_array_equal(output["true"], both[:, o])
        assert output["r2"] == pytest.approx(r2_score(both[:, o], answers[:, o]))
        edges = output["residuals"]["edges"]
        assert sum(output["residuals"]["rows"]) == 60
        assert edges[0] == pytest.approx((answers[:, o] - both[:, o]).min())
        assert len(edges) == len(output["residuals"]["rows"]) + 1


def test_many_rows_and_epochs_are_thinned() -> None:
    many = RNG.normal(size=(SCATTER_POINTS + 500, 1))
    space = {"hidden": [()], "epochs": 2 * CURVE_POINTS + 1, "batch_size": None}
    document = whole(sweep(many, many[:, 0], space, n_trials=1, cv=2, engine="array"))
    output = document["best"]["predictions"]["outputs"][0]
    assert len(output["true"]) == len(output["predicted"]) == SCATTER_POINTS
    assert document["best"]["predictions"]["rows"] == sum(output["residuals"]["rows"]) == SCATTER_POINTS + 500
    assert (output["true"][0], output["true"][-1]) == (many[0, 0], many[-1, 0])
    curves = document["best"]["curves"]
    assert (curves["epoch"][0], curves["epoch"][-1]) == (1, 2 * CURVE_POINTS + 1)
    assert len(curves["epoch"]) == len(curves["folds"][0]["training_loss"]) == CURVE_POINTS


def test_with_early_stopping_the_held_rows_are_looked_at() -> None:
    space = {"hidden": [(8,)], "learning_rate": [0.3], "epochs": 200, "early_stopping": True, "patience": 3}
    found = sweep(X, KIND, space, cv=3, engine="array")
    document = whole(found)
    curves = document["best"]["curves"]
    assert curves["rows"] == "held"
    lengths = [len(fold["training_loss"]) for fold in curves["folds"]]
    assert lengths == found.best.epochs.tolist()
    assert max(lengths) < 200
    for fold, epochs in zip(curves["folds"], lengths, strict=True):
        assert 1 <= fold["best_epoch"] <= epochs
        assert fold["validation_loss"][fold["best_epoch"] - 1] == min(fold["validation_loss"])
    assert np.trace(document["best"]["predictions"]["confusion_matrix"]) == round(float((found.best.scores * 20).sum()))


def test_a_stopped_trial_is_trained_as_far_as_it_was() -> None:
    found = sweep(X, KIND, SPACE | {"epochs": 45}, n_trials=9, strategy="halving", cv=2, engine="array")
    stopped = next(trial for trial in found.trials if trial.status == "stopped")
    cohorts = trained_again(found.experiment, stopped)
    assert [cohort.history.epochs.tolist() for cohort in cohorts.values()] == [[n] for n in stopped.epochs]
    scores = [cohort.history.validation_score[-1, 0] for cohort in cohorts.values() if cohort.history is not None]
    assert scores == pytest.approx(stopped.scores.tolist())


def test_a_lost_network_is_null() -> None:
    space = {"hidden": [(4,)], "learning_rate": [0.01, 1e30], "epochs": 5, "optimizer": "sgd", "loss": "squared_error"}
    document = whole(sweep(X, VALUES, space, strategy="grid", cv=3, engine="array"))
    lost = document["trials"][1]
    assert (lost["status"], lost["rank"], lost["mean"], lost["scores"]) == ("diverged", 2, None, [None] * 3)
    assert lost["diverged_epoch"] >= 1


def test_ctrl_c_leaves_the_curves_out(labels: SweepResult, monkeypatch: pytest.MonkeyPatch) -> None:
    enter = interruption.Interruption.__enter__

    def enter_and_request(self: interruption.Interruption) -> interruption.Interruption:
        enter(self)
        self.requested = True
        return self

    monkeypatch.setattr(interruption.Interruption, "__enter__", enter_and_request)
    best = whole(labels)["best"]
    assert (best["curves"], best["predictions"]) == (None, None)


def test_the_space_in_words_of_json() -> None:
    space = Space(
        {"optimizer": ["adam", "momentum"], "hidden": [(8,), ()], "learning_rate": Range(1e-3, 1, log=True)},
        When({"optimizer": "momentum"}, {"momentum": Range(0.5, 0.9)}),
    )
    found = json.loads(json.dumps(described_space(space)))
    assert found["entries"] == {
        "optimizer": {"choices": ["adam", "momentum"]},
        "hidden": {"choices": [[8], []]},
        "learning_rate": {"low": 1e-3, "high": 1, "log": True, "integer": False},
    }
    condition = {"low": 0.5, "high": 0.9, "log": False, "integer": False}
    assert found["conditions"] == [{"when": {"optimizer": ["momentum"]}, "entries": {"momentum": condition}}]


def test_the_command_writes_it(tmp_path: Path) -> None:
    small = ("--grid", "hidden=3;4", "--set", "epochs=8", "--folds", 2)
    told = succeeds("sweep", SEEDS, *small, "--trials", 2, "-o", tmp_path, "--json").json
    path = tmp_path / "results.json"
    document = json.loads(path.read_bytes())
    assert str(path) in told["written"]
    assert document["outcome"] | {"written": told["written"]} == told
    assert document["table"]["rows"] == 210
    assert document["table"]["target"] == "column_8"
    assert len(document["table"]["columns"]) == 7
