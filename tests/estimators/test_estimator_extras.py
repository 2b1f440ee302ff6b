"""What the estimators offer beyond scikit-learn's: dropout, schedules, class weights, callbacks, engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from gpubp import MLPClassifier, MLPRegressor
from gpubp.errors import DataError, SettingsError
from gpubp.training.history import EpochReport

X, Y = load_iris(return_X_y=True)
QUICK: dict[str, Any] = {"max_iter": 4, "random_state": 0, "engine": "array"}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fitted(**parameters: Any) -> MLPClassifier:
    return MLPClassifier((6, 5), **(QUICK | parameters)).fit(X, Y)


@pytest.mark.parametrize("dropout", [0.5, (0.5, 0.0), [0.2, 0.9]])
def test_dropout_changes_training_and_not_prediction(dropout: Any) -> None:
    dropped = fitted(dropout=dropout)
    assert (dropped.coefs_[0] != fitted().coefs_[0]).any()
    np.testing.assert_array_equal(dropped.predict_proba(X), dropped.predict_proba(X))
    dropped.partial_fit(X, Y)


def test_no_dropout_is_none() -> None:
    np.testing.assert_array_equal(fitted(dropout=(0.0, 0.0)).coefs_[0], fitted().coefs_[0])


@pytest.mark.parametrize("dropout", [(0.5,), (0.1, 0.2, 0.3), (0.5, 1.0), (0.5, -0.1)])
def test_refused_dropout(dropout: Any) -> None:
    with pytest.raises(ValueError, match=r"(?i)dropout"):
        fitted(dropout=dropout)


@pytest.mark.parametrize(("parameter", "value"), [("dropout", 0.5), ("clip_norm", 1.0)])
def test_lbfgs_refuses_what_it_would_ignore(parameter: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"{parameter} is for the stochastic solvers"):
        fitted(solver="lbfgs", **{parameter: value})


def test_weight_decay_shrinks_weights_and_not_biases() -> None:
    """A learning rate too small to learn by: what is left is the decay, (1 − rate · decay) at each of 4 updates."""
    start = MLPClassifier((6, 5), **(QUICK | {"max_iter": 1, "learning_rate_init": 1e-12})).fit(X, Y)
    decayed = fitted(solver="adamw", weight_decay=1e11, learning_rate_init=1e-12)
    np.testing.assert_allclose(decayed.coefs_[0], start.coefs_[0] * 0.9**4, rtol=1e-6)
    np.testing.assert_allclose(decayed.intercepts_[0], start.intercepts_[0], rtol=1e-6)


def test_clipped_gradients_make_steps_of_the_length_asked_for() -> None:
    parameters: dict[str, Any] = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 1.0, "max_iter": 1}
    start = fitted(**(parameters | {"learning_rate_init": 1e-300}))
    moved = fitted(**parameters, clip_norm=0.01)
    steps = zip(moved.coefs_ + moved.intercepts_, start.coefs_ + start.intercepts_, strict=True)
    assert np.sqrt(sum(((a - b) ** 2).sum() for a, b in steps)) == pytest.approx(0.01)


@pytest.mark.parametrize("learning_rate", ["cosine", "one_cycle"])
@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw"])
def test_schedules_serve_every_stochastic_solver(learning_rate: str, solver: str) -> None:
    """The last epoch's step is by far the smallest."""
    longer = fitted(solver=solver, learning_rate=learning_rate, max_iter=12)
    assert (longer.coefs_[0] != fitted(solver=solver, max_iter=12).coefs_[0]).any()
    assert len(longer.loss_curve_) == 12


def test_schedules_of_sgd_do_not_touch_adam() -> None:
    for learning_rate in ("invscaling", "adaptive"):
        np.testing.assert_array_equal(fitted(learning_rate=learning_rate).coefs_[0], fitted().coefs_[0])


@pytest.mark.parametrize("y", [Y, Y > 0])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_smoothed_labels_keep_probabilities_away_from_the_ends(y: np.ndarray, solver: str) -> None:
    common: dict[str, Any] = {"solver": solver, "learning_rate_init": 0.05, "random_state": 0}
    sharp = MLPClassifier(**common).fit(X, y).predict_proba(X).max(axis=1)
    smooth = MLPClassifier(**common, label_smoothing=0.3).fit(X, y).predict_proba(X).max(axis=1)
    assert smooth.mean() < sharp.mean()
    assert np.median(smooth) == pytest.approx(1 - 0.3 + 0.3 / len(np.unique(y)), abs=0.05)


def test_class_weights_are_sample_weights() -> None:
    X, y = make_classification(300, weights=[0.9], random_state=0)
    rows = np.where(y == 1, 5.0, 1.0)
    by_class = MLPClassifier(class_weight={1: 5.0}, **QUICK).fit(X, y)
    by_row = MLPClassifier(**QUICK).fit(X, y, sample_weight=rows)
    np.testing.assert_array_equal(by_class.coefs_[0], by_row.coefs_[0])
    both = MLPClassifier(class_weight={1: 5.0}, **QUICK).fit(X, y, sample_weight=np.full(300, 2.0))
    twice = MLPClassifier(**QUICK).fit(X, y, sample_weight=2.0 * rows)
    np.testing.assert_array_equal(both.coefs_[0], twice.coefs_[0])
    np.testing.assert_array_equal(
        by_class.partial_fit(X, y).coefs_[0], by_row.partial_fit(X, y, sample_weight=rows).coefs_[0]
    )


def test_balanced_classes() -> None:
    X, y = make_classification(400, weights=[0.9], class_sep=0.5, random_state=0)
    plain, balanced = (
        MLPClassifier((), solver="lbfgs", class_weight=weights, random_state=0).fit(X, y)
        for weights in (None, "balanced")
    )
    assert balanced.predict(X)[y == 1].mean() > plain.predict(X)[y == 1].mean() + 0.2
    with pytest.raises(ValueError, match="partial_fit does not support class_weight='balanced'"):
        balanced.set_params(solver="sgd").partial_fit(X, y)


LABELS = {
    "two classes": (X[:, 0] > 5.8).astype(int),
    "three classes": np.array(["a", "b", "c"])[Y],
    "two labels": np.column_stack([X[:, 0] > 5.8, X[:, 1] > 3.0]).astype(int),
}


@pytest.mark.filterwarnings("ignore:batch_size=10000 is larger")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("labels", LABELS)
def test_balanced_classes_with_weights_are_those_of_repeated_rows(labels: str, solver: str) -> None:
    y, counts = LABELS[labels], np.random.default_rng(0).integers(0, 5, len(X))
    limits: dict[str, Any] = {"batch_size": 10_000, "engine": "array", "alpha": 0.5, "random_state": 0}
    # More steps would make of a rounding what they please.
    limits |= {"solver": solver, "max_iter": 12, "class_weight": "balanced"}

    def probabilities(rows: Any, labels: Any, weights: Any = None) -> np.ndarray:
        found: np.ndarray = MLPClassifier((5,), **limits).fit(rows, labels, sample_weight=weights).predict_proba(X)
        return found

    repeated = probabilities(X.repeat(counts, axis=0), y.repeat(counts, axis=0))
    np.testing.assert_allclose(probabilities(X, y, counts), repeated, rtol=1e-8 if solver == "adam" else 1e-5)
    assert np.abs(probabilities(X, y) - repeated).max() > 1e-6
    np.testing.assert_array_equal(probabilities(X, y, np.ones(len(X))), probabilities(X, y))


def test_balanced_classes_with_weights_are_those_of_scikit_learn() -> None:
    """A linear model is the same one; a class whose rows weigh nothing counts for nothing."""
    y, weights = LABELS["three classes"], np.random.default_rng(0).uniform(0, 5, len(X))
    peer = LogisticRegression(class_weight="balanced", tol=1e-9, max_iter=5000).fit(X, y, weights)
    ours = MLPClassifier(
        (), solver="lbfgs", alpha=1.0, class_weight="balanced", tol=1e-7, max_iter=2000, random_state=0
    )
    np.testing.assert_allclose(ours.fit(X, y, sample_weight=weights).predict_proba(X), peer.predict_proba(X), atol=1e-3)
    weights[y == "c"] = 0.0
    two = y != "c"
    probabilities = ours.fit(X, y, sample_weight=weights).predict_proba(X[two])
    alone = ours.fit(X[two], y[two], sample_weight=weights[two])
    assert np.isfinite(probabilities).all()
    assert (probabilities[:, 1] > 0.5).mean() == pytest.approx((alone.predict(X[two]) == "b").mean(), abs=0.02)


ZERO_WEIGHTS: list[tuple[dict[str, Any], Any, Any, str]] = [
    ({}, Y.astype(float), np.r_[1.0, np.zeros(149)], "leaves to train on|leaves to validate on"),
    ({"class_weight": {False: 0.0}}, Y > 5, None, "leaves to train on, 0 have a weight above 0, and 1 are needed"),
    ({"class_weight": {0: 0.0, 1: 0.0}}, Y, np.where(np.arange(150) == 149, 1.0, 0.0), "of all 150 rows, 1 have one"),
    ({"n_members": 3, "bootstrap": True}, Y.astype(float), np.r_[1.0, np.zeros(149)], "have a weight above 0"),
]


@pytest.mark.parametrize("engine", ["array", "block", "lane"])
@pytest.mark.parametrize(("parameters", "y", "weights", "message"), ZERO_WEIGHTS)
def test_early_stopping_by_rows_that_count_for_nothing_is_refused(
    parameters: dict[str, Any], y: np.ndarray, weights: Any, message: str, engine: str
) -> None:
    kind = MLPRegressor if y.dtype == float else MLPClassifier
    with pytest.raises(DataError, match=message):
        kind(hidden_layer_sizes=(4,), early_stopping=True, random_state=0, engine=engine, **parameters).fit(
            X, y, sample_weight=weights
        )


@pytest.mark.parametrize(("kind", "counted"), [(MLPRegressor, 2), (MLPClassifier, 1)])
def test_an_r2_needs_two_rows_that_count_and_an_accuracy_one(kind: Any, counted: int) -> None:
    y = Y.astype(float) if kind is MLPRegressor else Y
    random_state = np.random.RandomState(0)
    random_state.randint(np.iinfo(np.int32).max)  # the network's own seed is drawn first
    by_class = None if kind is MLPRegressor else Y
    held = train_test_split(np.arange(150), test_size=0.1, random_state=random_state, stratify=by_class)[1]
    network = kind(hidden_layer_sizes=(4,), early_stopping=True, **QUICK)
    weights = np.ones(150)
    weights[held[counted:]] = 0.0
    assert np.isfinite(network.fit(X, y, sample_weight=weights).best_validation_score_)
    weights[held[counted - 1 :]] = 0.0
    with pytest.raises(DataError, match=rf"validate on, {counted - 1} have a weight above 0, and {counted} are"):
        network.fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_hear_of_every_epoch_and_can_end_the_training(solver: str) -> None:
    heard: list[float] = []

    def listen(report: EpochReport) -> bool:
        heard.append(float(report.metrics()["training_loss"][0]))
        return len(heard) == 3

    mlp = MLPRegressor(solver=solver, callbacks=[listen, lambda report: None], random_state=0, max_iter=50).fit(X, Y)
    assert len(heard) == mlp.n_iter_ == 3
    if solver == "adam":
        assert heard == mlp.loss_curve_


def test_an_interrupted_training_keeps_what_it_has() -> None:
    import signal

    def interrupt(report: EpochReport) -> None:
        if report.epoch == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(UserWarning, match="Training interrupted by user"):
        mlp = MLPClassifier(callbacks=(interrupt,), random_state=0).fit(X, Y)
    assert mlp.n_iter_ == 2
    assert mlp.predict(X).shape == (150,)


def test_progress_draws_nothing_where_nobody_sees(capsys: pytest.CaptureFixture[str]) -> None:
    fitted(progress=True)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_verbose_tells_losses_scores_and_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    mlp = fitted(verbose=True, tol=1e9, n_iter_no_change=2, max_iter=50)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == [f"Iteration {i + 1}, loss = {loss:.8f}" for i, loss in enumerate(mlp.loss_curve_)]
    assert lines[-1].startswith("Training loss did not improve more than tol=")
    assert lines[-1].endswith("for 2 consecutive epochs. Stopping.")
    mlp.partial_fit(X, Y)
    assert capsys.readouterr().out == f"Iteration 1, loss = {mlp.loss_:.8f}\n"


def test_verbose_with_early_stopping_and_adaptive_rates(capsys: pytest.CaptureFixture[str]) -> None:
    mlp = fitted(
        verbose=2, solver="sgd", learning_rate="adaptive", early_stopping=True, tol=2.0, n_iter_no_change=1, max_iter=99
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines.count(f"Validation score: {mlp.validation_scores_[0]:f}") >= 1
    reason = "Validation score did not improve more than tol=2.000000 for 1 consecutive epochs."
    assert lines[-1] == f"{reason} Learning rate too small. Stopping."
    assert f"{reason} Setting learning rate to 0.000200" in lines
    assert len([line for line in lines if line.startswith("Iteration")]) == mlp.n_iter_


def test_verbose_lbfgs(capsys: pytest.CaptureFixture[str]) -> None:
    mlp = fitted(solver="lbfgs", verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"Iteration {mlp.n_iter_}, loss = {mlp.loss_:.8f}"


def test_the_history_tells_engine_and_backend() -> None:
    mlp = fitted()
    assert (mlp.history_.engine, mlp.history_.backend) == ("array", "numpy")
    np.testing.assert_array_equal(mlp.history_.training_loss[:, 0], mlp.loss_curve_)


def test_an_engine_that_cannot_serve_says_why() -> None:
    with pytest.raises(SettingsError, match="lane"):
        MLPClassifier((100, 100), engine="lane", max_iter=1).fit(X, Y)


@pytest.mark.parametrize("shape", [(), (7,), (7, 5)])
@pytest.mark.parametrize("activation", ["relu", "logistic"])
def test_initial_weights_are_drawn_by_scikit_learns_rule(shape: tuple[int, ...], activation: str) -> None:
    """Uniform within ±√(f / (fan-in + fan-out)), biases too; f is 2 for logistic networks, else 6."""
    wide = np.random.default_rng(0).normal(size=(30, 400))
    mlp = MLPRegressor(hidden_layer_sizes=shape, activation=activation, learning_rate_init=1e-300, max_iter=1)
    mlp.fit(wide, wide[:, 0])
    for W, b in zip(mlp.coefs_, mlp.intercepts_, strict=True):
        bound = np.sqrt((2.0 if activation == "logistic" else 6.0) / sum(W.shape))
        assert max(np.abs(W).max(), np.abs(b).max()) <= bound
        assert (b != 0.0).all()
    bound = np.sqrt((2.0 if activation == "logistic" else 6.0) / sum(mlp.coefs_[0].shape))
    assert np.abs(mlp.coefs_[0]).max() > 0.95 * bound
