"""What the estimators offer beyond scikit-learn's: dropout, schedules, class weights, callbacks, engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_classification

from gpubp import MLPClassifier, MLPRegressor
from gpubp.errors import SettingsError
from gpubp.training import EpochReport

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
