"""fit, partial_fit, warm starts, early stopping: what the estimators promise about a training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor
from sklearn.preprocessing import MinMaxScaler, scale

from gpubp import MLPClassifier, MLPRegressor
from gpubp.estimators.plateau import Plateau

ESTIMATORS = [MLPClassifier, MLPRegressor]
ACTIVATIONS = ["identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "selu", "silu", "gelu", "mish", "softplus"]
X_IRIS, Y_IRIS = load_iris(return_X_y=True)
DIGITS = load_digits(n_class=3, return_X_y=True)
X_DIGITS, Y_DIGITS = MinMaxScaler().fit_transform(DIGITS[0])[:200], DIGITS[1][:200]
X_REG, Y_REG = make_regression(200, 10, noise=20.0, random_state=1)
Y_REG = scale(Y_REG)

unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@unconverged
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd", "lbfgs"])
def test_digits_are_learned(solver: str, activation: str) -> None:
    rate = 0.1 if solver == "sgd" else 0.01
    mlp = MLPClassifier((30,), activation, solver=solver, learning_rate_init=rate, max_iter=100, random_state=1)
    mlp.fit(X_DIGITS[:150], Y_DIGITS[:150])
    assert mlp.score(X_DIGITS[:150], Y_DIGITS[:150]) > 0.98
    assert mlp.score(X_DIGITS[150:], Y_DIGITS[150:]) > 0.85


@unconverged
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_regression_is_learned(solver: str) -> None:
    mlp = MLPRegressor(hidden_layer_sizes=(30,), solver=solver, learning_rate_init=0.02, random_state=1)
    assert mlp.fit(X_REG, Y_REG).score(X_REG, Y_REG) > 0.95


def test_poisson_is_the_generalised_linear_model() -> None:
    """A hidden neuron without activation changes nothing: exp(linear), fitted by the Poisson deviance."""
    rng = np.random.default_rng(4)
    X = np.linspace(0.0, 1.0, 100)[:, None]
    y = rng.poisson(np.exp(X[:, 0] + 1.0))
    linear = PoissonRegressor(alpha=0.0, tol=1e-8).fit(X, y)
    common: dict[str, Any] = {"hidden_layer_sizes": (), "alpha": 0.0, "solver": "lbfgs", "tol": 1e-8}
    mlp = MLPRegressor("poisson", **common, random_state=0).fit(X, y)
    np.testing.assert_allclose(mlp.predict(X), linear.predict(X), rtol=1e-4)
    other = MLPRegressor("squared_error", **common, random_state=0).fit(X, y)
    assert not np.allclose(other.predict(X), linear.predict(X), rtol=1e-4)


@unconverged
def test_alpha_shrinks_every_layer() -> None:
    sums = [
        [np.abs(W).sum() for W in MLPClassifier((10,), alpha=alpha, random_state=1).fit(X_DIGITS, Y_DIGITS).coefs_]
        for alpha in (0.0, 30.0)
    ]
    assert all(large < small for small, large in zip(*sums, strict=True))


@unconverged
@pytest.mark.parametrize("ours", ESTIMATORS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_epochs_of_partial_fit_are_those_of_fit(ours: Any, solver: str) -> None:
    """To the bit, shuffles included."""
    common: dict[str, Any] = {"solver": solver, "batch_size": 40, "random_state": 5, "engine": "array"}
    whole = ours(**common, max_iter=6).fit(X_IRIS, Y_IRIS)
    pieces = ours(**common)
    extra = {"classes": [0, 1, 2]} if ours is MLPClassifier else {}
    for _ in range(6):
        pieces.partial_fit(X_IRIS, Y_IRIS, **extra)
    assert pieces.loss_curve_ == whole.loss_curve_
    assert (pieces.n_iter_, pieces.t_) == (1, whole.t_)
    for ours_W, theirs_W in zip(pieces.coefs_, whole.coefs_, strict=True):
        np.testing.assert_array_equal(ours_W, theirs_W)


@unconverged
def test_partial_fit_after_fit_keeps_the_momentum() -> None:
    common: dict[str, Any] = {"solver": "sgd", "batch_size": 50, "random_state": 5, "engine": "array"}
    longer = MLPClassifier(**common, max_iter=7).fit(X_IRIS, Y_IRIS)
    shorter = MLPClassifier(**common, max_iter=6).fit(X_IRIS, Y_IRIS).partial_fit(X_IRIS, Y_IRIS)
    np.testing.assert_array_equal(shorter.coefs_[0], longer.coefs_[0])


@unconverged
def test_another_solver_begins_with_an_optimizer_state_of_its_own() -> None:
    mlp = MLPClassifier(max_iter=3, random_state=0).fit(X_IRIS, Y_IRIS)
    before = mlp.coefs_[0].copy()
    mlp.set_params(solver="sgd").partial_fit(X_IRIS, Y_IRIS)
    assert (mlp.coefs_[0] != before).any()
    assert [*mlp._state.slots] == ["velocity"]


def test_partial_fit_follows_a_target_that_has_moved() -> None:
    mlp = MLPRegressor(hidden_layer_sizes=(42,), random_state=42, learning_rate_init=0.01).fit([[2]], [4])
    for _ in range(200):
        mlp.partial_fit([[2]], [1])
    assert mlp.predict([[2]])[0] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("parameter", "value"), [("early_stopping", True), ("learning_rate", "cosine")])
def test_partial_fit_refuses_what_needs_a_whole_training(parameter: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"partial_fit does not support {parameter}="):
        MLPRegressor(**{parameter: value}).partial_fit(X_IRIS, Y_IRIS)


@unconverged
@pytest.mark.parametrize("shuffle", [True, False])
def test_the_same_seed_is_the_same_network(shuffle: bool) -> None:
    def coefs(shuffled: bool, seed: Any) -> np.ndarray:
        common: dict[str, Any] = {"hidden_layer_sizes": 1, "max_iter": 1, "batch_size": 1}
        return MLPRegressor(**common, shuffle=shuffled, random_state=seed).fit(X_REG, Y_REG).coefs_[0]

    np.testing.assert_array_equal(coefs(shuffle, 0), coefs(shuffle, 0))
    assert (coefs(shuffle, 0) != coefs(shuffle, 1)).any()
    assert (coefs(True, 0) != coefs(False, 0)).any()
    state = np.random.RandomState(0)
    assert (coefs(shuffle, state) != coefs(shuffle, state)).any()  # a generator moves on
    np.testing.assert_array_equal(coefs(shuffle, 0), coefs(shuffle, np.random.RandomState(0)))


@unconverged
@pytest.mark.parametrize("ours", ESTIMATORS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_warm_start_goes_on(ours: Any, solver: str) -> None:
    mlp = ours(solver=solver, max_iter=8, warm_start=True, n_iter_no_change=np.inf, tol=0.0, random_state=0)
    first = mlp.fit(X_IRIS, Y_IRIS).loss_
    mlp.set_params(max_iter=12).fit(X_IRIS, Y_IRIS)
    assert mlp.n_iter_ == 12
    assert mlp.loss_ < first
    if solver != "lbfgs":
        assert len(mlp.loss_curve_) == 20
        assert mlp.t_ == 20 * 150
    mlp.set_params(warm_start=False).fit(X_IRIS, Y_IRIS)
    if solver != "lbfgs":
        assert len(mlp.loss_curve_) == 12


@unconverged
def test_a_warm_start_needs_the_same_classes_and_layers() -> None:
    mlp = MLPClassifier((2,), solver="lbfgs", warm_start=True, random_state=0, max_iter=5).fit(X_IRIS, Y_IRIS)
    mlp.fit(X_IRIS, np.sort(Y_IRIS)[::-1])
    for other in (Y_IRIS > 0, np.minimum(Y_IRIS, 1), np.where(Y_IRIS == 2, 3, Y_IRIS), np.arange(150) % 4):
        with pytest.raises(ValueError, match="same classes as in the previous call to fit"):
            mlp.fit(X_IRIS, other)
    with pytest.raises(ValueError, match="The fitted network is 4-2-3"):
        mlp.set_params(hidden_layer_sizes=(3,)).fit(X_IRIS, Y_IRIS)


@pytest.mark.parametrize("ours", ESTIMATORS)
def test_early_stopping_keeps_the_best_epoch(ours: Any) -> None:
    y = (Y_DIGITS > 0).astype(int)
    mlp = ours(tol=0.2, max_iter=3000, solver="sgd", early_stopping=True, random_state=0).fit(X_DIGITS, y)
    assert mlp.n_iter_ < 3000
    assert len(mlp.validation_scores_) == len(mlp.loss_curve_) == mlp.n_iter_
    assert mlp.best_validation_score_ == max(mlp.validation_scores_)
    assert mlp.best_loss_ is None
    assert mlp.best_validation_score_ + 0.2 > mlp.validation_scores_[-1]
    mlp.set_params(early_stopping=False).fit(X_DIGITS, y)
    assert (mlp.validation_scores_, mlp.best_validation_score_) == (None, None)
    assert mlp.best_loss_ == min(mlp.loss_curve_)


@unconverged
def test_a_warm_start_keeps_the_better_of_two_trainings() -> None:
    mlp = MLPRegressor(early_stopping=True, warm_start=True, max_iter=30, random_state=0).fit(X_REG, Y_REG)
    best, weights = mlp.best_validation_score_, mlp.coefs_[0].copy()
    mlp.set_params(learning_rate_init=1e-9, max_iter=5).fit(X_REG, -Y_REG)  # a training that can only be worse
    assert len(mlp.validation_scores_) == 35
    assert mlp.best_validation_score_ == best
    np.testing.assert_array_equal(mlp.coefs_[0], weights)


def test_early_stopping_splits_by_class() -> None:
    with pytest.raises(ValueError, match="The least populated class"):
        MLPClassifier(early_stopping=True).fit([[1, 2], [2, 3], [3, 4], [4, 5]], [0, 0, 0, 1])
    with pytest.raises(ValueError, match="The validation set is too small"):
        MLPRegressor(early_stopping=True).fit(X_REG[:2], Y_REG[:2])


@unconverged
def test_early_stopping_with_a_class_of_one_row_among_many() -> None:
    y = np.where(np.arange(150) == 7, 3, Y_IRIS)
    mlp = MLPClassifier(early_stopping=True, max_iter=5, random_state=0).fit(X_IRIS, y)
    assert len(mlp.validation_scores_) == mlp.n_iter_


@unconverged
def test_early_stopping_with_texts_for_labels() -> None:
    X, y = make_classification(200, 10, n_classes=3, n_informative=5, random_state=42)
    labels = np.array(["class_a", "class_b", "class_c"], dtype=object)[y]
    mlp = MLPClassifier(early_stopping=True, max_iter=50, random_state=42).fit(X, labels)
    assert np.isfinite(mlp.validation_scores_).all()
    assert len(mlp.validation_scores_) == mlp.n_iter_


def test_weights_of_one_are_no_weights() -> None:
    common: dict[str, Any] = {"early_stopping": True, "tol": 1e-2, "learning_rate_init": 0.01, "random_state": 42}
    weighted = MLPRegressor(**common).fit(X_REG, Y_REG, sample_weight=np.ones(200))
    plain = MLPRegressor(**common).fit(X_REG, Y_REG)
    np.testing.assert_allclose(weighted.predict(X_REG), plain.predict(X_REG))


@unconverged
def test_weights_count_in_the_validation_score() -> None:
    """Rows that are wrong by construction weigh nothing: without them the score is perfect."""
    X = np.concatenate([X_IRIS, X_IRIS])
    y = np.concatenate([Y_IRIS > 0, Y_IRIS == 0])
    weights = np.repeat([1.0, 0.0], 150)
    common: dict[str, Any] = {"early_stopping": True, "learning_rate_init": 0.05, "max_iter": 60, "random_state": 0}
    assert MLPClassifier(**common).fit(X, y, sample_weight=weights).best_validation_score_ == 1.0
    assert MLPClassifier(**common).fit(X, y).best_validation_score_ < 0.8


@pytest.mark.parametrize("n_iter_no_change", [2, 10, 50])
def test_a_plateau_ends_a_training(n_iter_no_change: int) -> None:
    mlp = MLPClassifier(tol=0.01, max_iter=3000, solver="sgd", n_iter_no_change=n_iter_no_change, random_state=0)
    mlp.fit(X_DIGITS, Y_DIGITS)
    rule = Plateau(tolerance=0.01, patience=n_iter_no_change)
    verdicts = [rule.look(-loss) for loss in mlp.loss_curve_]
    assert len(verdicts) < 3000
    assert verdicts == [None] * (len(verdicts) - 1) + ["end"]


@unconverged
def test_without_patience_running_out_every_epoch_is_trained() -> None:
    mlp = MLPClassifier(tol=1e9, max_iter=40, solver="sgd", n_iter_no_change=np.inf).fit(X_DIGITS, Y_DIGITS)
    assert mlp.n_iter_ == 40


def test_adaptive_goes_on_at_lower_rates() -> None:
    common: dict[str, Any] = {"tol": 0.5, "max_iter": 3000, "solver": "sgd", "random_state": 0}
    constant = MLPClassifier(**common).fit(X_DIGITS, Y_DIGITS)
    adaptive = MLPClassifier(**common, learning_rate="adaptive").fit(X_DIGITS, Y_DIGITS)
    assert constant.n_iter_ < adaptive.n_iter_ < 3000
    assert 0.001 * adaptive._state.rate_factor[0] <= 1e-6


def test_plateau_in_numbers() -> None:
    rule = Plateau(tolerance=0.1, patience=1, rate=2e-6)
    told = [rule.look(value) for value in (1.0, 1.05, 1.2, 1.25, 1.25, 1.3, float("nan"), 1.3, 1.3, 1.3)]
    assert told == [None, None, None, None, "lower the rate", None, None, None, "end", "end"]
    assert rule.best == 1.3
    assert rule.rate == pytest.approx(4e-7)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_numbers_beyond_the_finite_ones_are_an_error(solver: str) -> None:
    X = np.finfo(float).max * np.random.default_rng(0).uniform(size=(10, 2))
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        MLPRegressor(solver=solver).fit(X, np.arange(10.0))
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        MLPRegressor(solver="lbfgs").fit(X, np.arange(10.0))


def test_a_diverging_training_with_early_stopping_keeps_finite_weights() -> None:
    mlp = MLPRegressor(
        activation="identity", solver="sgd", learning_rate_init=1, max_iter=20, early_stopping=True, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="no finite number any more in epoch"):
        mlp.fit(X_IRIS, Y_IRIS)
    assert np.isnan(mlp.validation_scores_[-1])
    assert isinstance(mlp.validation_scores_[-1], float)
    assert np.isfinite(mlp.predict(X_IRIS)).all()


@pytest.mark.parametrize("ours", ESTIMATORS)
def test_lbfgs_ends_by_its_limits(ours: Any) -> None:
    with pytest.warns(ConvergenceWarning, match="Raise max_iter"):
        assert ours(solver="lbfgs", max_iter=3, tol=0.0, random_state=0).fit(X_DIGITS, Y_DIGITS).n_iter_ == 3
    with pytest.warns(ConvergenceWarning, match="Raise max_fun"):
        assert ours(solver="lbfgs", max_fun=5, tol=0.0, random_state=0).fit(X_DIGITS, Y_DIGITS).n_iter_ <= 5


FAR = [(1e3, 1.0), (1e6, 1.0), (1.7e9, 1e3), (-1.7e9, 10.0), (1e12, 1e3)]


@unconverged
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize(("offset", "size"), FAR)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lbfgs_finds_targets_far_from_zero(dtype: str, offset: float, size: float, members: int) -> None:
    """A linear relation, in X of either dtype. Weights that float32 cannot hold for it stay in float64."""
    random = np.random.default_rng(0)
    table = random.normal(size=(60, 3)).astype(dtype)
    y = offset + size * (table.astype(np.float64) @ [1.0, 2.0, 3.0])
    fitted = MLPRegressor(
        hidden_layer_sizes=(6,), solver="lbfgs", max_iter=2000, alpha=1e-6, random_state=0, n_members=members
    ).fit(table, y)
    assert fitted.score(table, y) > 0.999
    network = fitted.estimators_[0] if members > 1 else fitted
    if abs(offset) != 1e6 * size:  # where either may be
        near = abs(offset) < 1e6 * size
        assert network.coefs_[0].dtype == (dtype if near else np.float64)
    assert fitted.predict(table).dtype == network.coefs_[0].dtype


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_the_dtype_that_was_asked_for_is_kept_and_said_to_be_too_coarse() -> None:
    random = np.random.default_rng(0)
    table = random.normal(size=(60, 3))
    y = 1.7e9 + table @ [300.0, 600.0, 900.0]
    network = MLPRegressor(
        hidden_layer_sizes=(6,), solver="lbfgs", max_iter=2000, alpha=1e-6, dtype="float32", random_state=0, n_members=2
    )
    with pytest.warns(ConvergenceWarning, match="2 of 2 members cannot tell its values apart in float32. Scale y"):
        network.fit(table, y)
    assert network.predict(table).dtype == np.float32


@pytest.mark.parametrize("engine", ["array", "block"])
def test_standing_still_far_from_the_targets_is_told(engine: str) -> None:
    """In float32 a loss of 10¹⁸ does not change by anything that a few epochs can do."""
    table = np.random.default_rng(0).normal(size=(200, 4))
    y = 1.7e9 + 1e3 * (table @ np.arange(1.0, 5.0))
    network = MLPRegressor(hidden_layer_sizes=(10,), early_stopping=True, random_state=0, engine=engine)
    with pytest.warns(ConvergenceWarning, match=r"stood still at a loss of 1\.4.*e\+18, and the mean of y alone has"):
        network.fit(table.astype(np.float32), y)


def test_lbfgs_at_rest_without_having_learned_is_told() -> None:
    """Targets so small that every gradient is below `tol` at once."""
    table = np.random.default_rng(0).normal(size=(100, 3))
    with pytest.warns(ConvergenceWarning, match="stood still at a loss"):
        MLPRegressor(hidden_layer_sizes=(6,), solver="lbfgs", random_state=0).fit(table, 1e-6 * table[:, 0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_r2_of_float32_targets_is_computed_in_float64(dtype: str) -> None:
    table = np.random.default_rng(0).normal(size=(400, 1))
    network = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", dtype=dtype, max_iter=5, random_state=0).fit(
        table, table[:, 0]
    )
    network.coefs_, network.intercepts_ = [np.full((1, 1), 1e3, dtype)], [np.full(1, 1.7e9, dtype)]
    y = network.predict(table).astype(np.float32)
    y[::2] += 512
    expected = 1.0 - 0.5 * 512**2 / y.astype(np.float64).var()
    assert network.score(table, y) == pytest.approx(expected, abs=0.02)


def test_a_batch_of_more_rows_than_there_are_is_all_of_them() -> None:
    with pytest.warns(UserWarning, match="batch_size=500 is larger than the 150 training rows"):
        clipped = MLPClassifier(batch_size=500, random_state=0, n_iter_no_change=1, tol=1.0).fit(X_IRIS, Y_IRIS)
    whole = MLPClassifier(batch_size=150, random_state=0, n_iter_no_change=1, tol=1.0).fit(X_IRIS, Y_IRIS)
    np.testing.assert_array_equal(clipped.coefs_[0], whole.coefs_[0])


def test_a_gradient_step_by_hand() -> None:
    """One row, two logistic neurons, one step of 0.1 down the gradient, the numbers worked out on paper."""
    mlp = MLPClassifier(
        2, "logistic", solver="sgd", learning_rate_init=0.1, alpha=0.1, max_iter=1, momentum=0, random_state=1
    )
    X, y = np.array([[0.6, 0.8, 0.7]]), np.array([0])
    mlp.partial_fit(X, y, classes=[0, 1])
    mlp.coefs_ = [np.array([[0.1, 0.2], [0.3, 0.1], [0.5, 0.0]]), np.array([[0.1], [0.2]])]
    mlp.intercepts_ = [np.array([0.1, 0.1]), np.array([1.0])]
    mlp.partial_fit(X, y)
    # h = σ(0.75), σ(0.3); o = σ(0.1 h₁ + 0.2 h₂ + 1) = 0.76543; dz = h(1 − h) · o · W₂
    np.testing.assert_allclose(
        mlp.coefs_[0], [[0.098, 0.195756], [0.295667, 0.096008], [0.493832, -0.002620]], atol=2e-5
    )
    np.testing.assert_allclose(mlp.coefs_[1], [[0.047014], [0.154031]], atol=2e-5)
    np.testing.assert_allclose(mlp.intercepts_[0], [0.098332, 0.096258], atol=2e-5)
    np.testing.assert_allclose(mlp.intercepts_[1], [0.923457], atol=2e-5)


@unconverged
def test_predictions_follow_edited_weights() -> None:
    mlp = MLPClassifier((5,), max_iter=3, random_state=0).fit(X_IRIS, Y_IRIS)
    mlp.coefs_[1][...] = 0.0
    mlp.intercepts_[1][...] = [0.0, 5.0, 0.0]
    assert (mlp.predict(X_IRIS) == 1).all()
