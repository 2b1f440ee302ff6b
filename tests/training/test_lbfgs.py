"""L-BFGS over the whole table, against closed forms, scikit-learn, and itself with weights for repeated rows."""

from __future__ import annotations

import signal
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finite_differences import assert_close, numerical_gradient

from gpubp.backends import Backend, NumpyBackend
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.errors import DataError, DivergenceError, SettingsError
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.training.history import EpochReport
from gpubp.training.lbfgs import _SCIPY_ON_ONE_THREAD, LbfgsResult, _is_scipys, fit_lbfgs

LIMITS: dict[str, Any] = {"max_iter": 200, "max_fun": 15000, "tol": 1e-4}
CLASSES = Architecture(4, (7,), 3, "tanh", "softmax")


def problem(n_rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.normal(size=(n_rows, 4))
    return X, np.eye(3)[(X[:, :3] + 0.5 * random.normal(size=(n_rows, 3))).argmax(axis=1)]


def start(architecture: Architecture, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(1).uniform(-0.5, 0.5, architecture.n_parameters).astype(dtype)


def test_ridge_regression_has_a_closed_form(backend: Backend) -> None:
    X, _ = problem()
    y = X @ [1.0, -2.0, 0.5, 3.0] + 0.7
    weights = np.random.default_rng(2).uniform(0, 2, len(X))
    linear = Architecture(4, (), 1)
    found = fit_lbfgs(linear, np.zeros(5), X, y[:, None], "squared_error", 3.0, weights,
                      max_iter=500, max_fun=500, tol=1e-9, backend=backend)  # fmt: skip
    # ½ Σ w (y − Xθ)² + ½ · 3 · |θ|², the intercept free
    wide = np.column_stack([X, np.ones(len(X))])
    left = wide.T @ (weights[:, None] * wide) + 3.0 * np.diag([1.0, 1.0, 1.0, 1.0, 0.0])
    theta = np.linalg.solve(left, wide.T @ (weights * y))
    np.testing.assert_allclose(found.params, theta, rtol=1e-4)
    residual = y - wide @ theta
    expected = (0.5 * weights @ residual**2 + 1.5 * theta[:4] @ theta[:4]) / weights.sum()
    assert found.loss == pytest.approx(expected, rel=1e-8)
    assert found.converged
    assert "CONVERGENCE" in found.message
    assert found.n_iter <= found.n_evaluations


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "squared_error", "poisson"])
def test_it_ends_where_the_gradient_is_small(loss: str) -> None:
    """The loss itself, written again, has a gradient within the tolerance by finite differences."""
    X, T = problem()
    T = X[:, :2] ** 2 if loss == "poisson" else T
    link = {"cross_entropy": "softmax", "binary_cross_entropy": "logistic", "poisson": "exponential"}
    shape = Architecture(4, (3,), T.shape[1], "tanh", link.get(loss, "identity"))
    found = fit_lbfgs(
        shape, start(shape), X, T, loss, 2.0, max_iter=2000, max_fun=5000, tol=1e-5, backend=NumpyBackend()
    )

    def by_hand(params: np.ndarray) -> float:
        (W1, b1), (W2, b2) = [
            (shape.weights(params[None], i)[0], shape.biases(params[None], i)[0]) for i in range(shape.n_layers)
        ]
        Z = np.tanh(X @ W1 + b1) @ W2 + b2
        rows = {
            "cross_entropy": lambda: np.log(np.exp(Z).sum(axis=1)) - (T * Z).sum(axis=1),
            "binary_cross_entropy": lambda: (np.log1p(np.exp(Z)) - T * Z).sum(axis=1),
            "squared_error": lambda: 0.5 * ((Z - T) ** 2).sum(axis=1),
            "poisson": lambda: (T * np.log(T / np.exp(Z)) - T + np.exp(Z)).sum(axis=1),
        }[loss]()
        return float(rows.mean() + (W1.ravel() @ W1.ravel() + W2.ravel() @ W2.ravel()) / len(X))

    assert found.loss == pytest.approx(by_hand(found.params), rel=1e-12)
    assert np.abs(numerical_gradient(by_hand, found.params.copy())).max() < 1e-4


def test_the_gradient_that_scipy_gets(backend: Backend) -> None:
    from gpubp.training.lbfgs import _objective

    X, T = problem(17)
    weights = np.random.default_rng(3).uniform(0, 2, len(X))
    objective = _objective(CLASSES, start(CLASSES), X, T, Settings(l2=0.3), weights, backend)
    at = start(CLASSES)
    _, gradient = objective.evaluate(at)
    assert_close(gradient, numerical_gradient(lambda params: objective.evaluate(params)[0], at))
    with pytest.raises(DivergenceError, match="left the finite numbers in evaluation"):
        objective.evaluate(np.full_like(at, np.nan))


@pytest.mark.parametrize("alpha", [1e-4, 1.0])
def test_the_same_steps_as_scikit_learn(alpha: float) -> None:
    """From its initial weights, the same iterations and the same loss."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    X, T = problem()
    peer = MLPClassifier((7,), activation="tanh", solver="lbfgs", alpha=alpha, max_iter=12, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer.fit(X, T.argmax(axis=1))
    bounds = np.sqrt(6.0 / np.array([4 + 7, 7 + 3]))
    random = np.random.RandomState(0)  # draws layer after layer, W and then b, which is gpubp's flat layout
    flat = np.concatenate([random.uniform(-b, b, n) for b, n in zip(bounds.repeat(2), (28, 7, 21, 3), strict=True)])
    found = fit_lbfgs(CLASSES, flat, X, T, "cross_entropy", alpha,
                      max_iter=12, max_fun=15000, tol=1e-4, backend=NumpyBackend())  # fmt: skip
    assert found.n_iter == peer.n_iter_
    assert found.loss == pytest.approx(peer.loss_, rel=1e-7)
    np.testing.assert_allclose(CLASSES.weights(found.params[None], 0)[0], peer.coefs_[0], rtol=1e-4, atol=1e-4)


def test_a_weight_is_a_number_of_rows() -> None:
    X, T = problem()
    counts = np.random.default_rng(4).integers(0, 4, len(X))
    limits = LIMITS | {"max_iter": 15, "backend": NumpyBackend()}
    weighted = fit_lbfgs(CLASSES, start(CLASSES), X, T, "cross_entropy", 0.5, counts, **limits)
    repeated = fit_lbfgs(
        CLASSES, start(CLASSES), X.repeat(counts, axis=0), T.repeat(counts, axis=0), "cross_entropy", 0.5, **limits
    )
    assert weighted.loss == pytest.approx(repeated.loss, rel=1e-8)
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-5, atol=1e-7)


def test_float32_stays_float32_and_the_backends_agree(backend: Backend) -> None:
    X, T = problem()
    begin = start(CLASSES, "float32")
    kept = begin.copy()
    found = fit_lbfgs(CLASSES, begin, X, T, "cross_entropy", 1.0, **LIMITS, backend=backend)
    double = fit_lbfgs(CLASSES, begin.astype("float64"), X, T, "cross_entropy", 1.0, **LIMITS, backend=NumpyBackend())
    assert found.params.dtype == np.float32
    assert found.loss == pytest.approx(double.loss, rel=1e-5)
    np.testing.assert_array_equal(begin, kept)  # the caller's array is not trained in place


def test_one_transfer_each_way_for_an_evaluation(standin: CupyBackend) -> None:
    X, T = problem()
    counters = standin.xp.counters

    def transfers(max_iter: int) -> tuple[int, int, int]:
        counters.reset()
        found = fit_lbfgs(
            CLASSES, start(CLASSES), X, T, "cross_entropy", 0.1, **LIMITS | {"max_iter": max_iter}, backend=standin
        )
        return found.n_evaluations, counters.to_device, counters.to_host

    few, many = np.array(transfers(2)), np.array(transfers(12))
    assert many[0] > few[0]
    np.testing.assert_array_equal(many - few, many[0] - few[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_line_search_beyond_the_finite_numbers_comes_back(dtype: str) -> None:
    """The first step has length 1, far beyond where exp(z) is finite; the solution is a small slope."""
    x = np.linspace(-1.0, 1.0, 50)[:, None] * 4000.0
    shape = Architecture(1, (), 1, output_activation="exponential")
    T = np.exp(x / 4000.0)
    found = fit_lbfgs(shape, np.zeros(2, dtype=dtype), x, T, "poisson", 0.0, **LIMITS, backend=NumpyBackend())
    assert np.isfinite(found.params).all()
    assert found.params[0] == pytest.approx(1 / 4000.0, rel=1e-2)


def test_hopeless_numbers_end_where_they_began() -> None:
    X = np.full((6, 2), 1e19) * [1.0, -1.0]
    T = np.arange(6.0)[:, None]
    begin = np.zeros(3, dtype="float32")
    found = fit_lbfgs(Architecture(2, (), 1), begin, X, T, "squared_error", 0.0, **LIMITS, backend=NumpyBackend())
    np.testing.assert_array_equal(found.params, begin)
    assert found.loss == pytest.approx(0.5 * np.mean(T**2))


@pytest.mark.parametrize("size", [1e154, 1e160])
def test_a_start_that_is_not_finite(size: float) -> None:
    """At 1e154 the loss is a number, but the length of its gradient is not."""
    X, T = np.full((5, 2), size), np.arange(5.0)[:, None]
    for begin in (np.zeros(3), np.ones(3)):
        with pytest.raises(DivergenceError, match=r"Before the first step of L-BFGS the loss is .*float64: scale them"):
            fit_lbfgs(Architecture(2, (), 1), begin, X, T, "squared_error", 0.0, **LIMITS, backend=NumpyBackend())


@pytest.mark.parametrize(("limit", "message"), [("max_iter", "ITERATIONS"), ("max_fun", "EVALUATIONS")])
def test_a_limit_is_no_convergence(limit: str, message: str) -> None:
    X, T = problem()
    found = fit_lbfgs(
        CLASSES, start(CLASSES), X, T, "cross_entropy", 0.0, **LIMITS | {limit: 5}, backend=NumpyBackend()
    )
    assert not found.converged
    assert message in found.message
    assert found.n_iter <= 5
    if limit == "max_fun":
        assert found.n_evaluations >= 5


def run_with(callback: Any) -> LbfgsResult:
    X, T = problem()
    limits = LIMITS | {"tol": 0.0}
    return fit_lbfgs(
        CLASSES, start(CLASSES), X, T, "cross_entropy", 0.1, **limits, backend=NumpyBackend(), callback=callback
    )


def test_a_callback_hears_of_every_iteration_and_may_end_it() -> None:
    losses: list[float] = []

    def listen(report: EpochReport) -> bool:
        assert (report.epoch, report.n_epochs) == (len(losses), 200)
        losses.append(report.metrics()["training_loss"][0])
        return len(losses) == 7

    found = run_with(listen)
    assert (found.n_iter, found.converged, found.interrupted) == (7, False, False)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == found.loss


def test_ctrl_c_ends_after_the_iteration() -> None:
    before = signal.getsignal(signal.SIGINT)

    def interrupt(report: EpochReport) -> None:
        if report.epoch == 3:
            signal.raise_signal(signal.SIGINT)

    found = run_with(interrupt)
    assert (found.n_iter, found.interrupted, found.converged) == (4, True, False)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"params": np.zeros(3)}, DataError, r"Parameters of shape \(3,\) for 4-7-3: expected \(59,\)"),
        ({"params": np.zeros(59, dtype="int64")}, SettingsError, "choose 'float32' or 'float64'"),
        ({"X": np.full((60, 4), np.nan)}, DataError, r"X\[0, 0\] is nan"),
        ({"T": np.zeros((60, 3))}, DataError, "rows that sum to 1"),
        ({"loss": "squared"}, SettingsError, "Unknown loss 'squared'"),
        ({"loss": "poisson"}, SettingsError, "belongs to the output activation exponential"),
        ({"l2": -1.0}, SettingsError, "l2 -1"),
        ({"weights": np.zeros(60)}, DataError, "All rows have weight 0"),
        ({"weights": np.ones((1, 60))}, DataError, r"Row weights of shape \(1, 60\)"),
        ({"max_iter": 0}, SettingsError, "max_iter 0"),
        ({"max_fun": 1.5}, SettingsError, "max_fun 1.5"),
        ({"tol": -1.0}, SettingsError, "tol -1"),
    ],
)
def test_what_cannot_be_fitted(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    X, T = problem()
    arguments = {
        "params": start(CLASSES),
        "X": X,
        "T": T,
        "loss": "cross_entropy",
        "l2": 0.0,
        "backend": NumpyBackend(),
    }
    with pytest.raises(error, match=message):
        fit_lbfgs(CLASSES, **arguments | LIMITS | changes)


def test_scipys_threads_are_put_back() -> None:
    """However fits in several threads overlap: the first one in and the last one out settle it."""
    before = [library["num_threads"] for library in _SCIPY_ON_ONE_THREAD.pool.info()]
    with _SCIPY_ON_ONE_THREAD:
        _SCIPY_ON_ONE_THREAD.__enter__()
        assert all(library["num_threads"] == 1 for library in _SCIPY_ON_ONE_THREAD.pool.info())
        _SCIPY_ON_ONE_THREAD.__exit__(None, None, None)
        assert all(library["num_threads"] == 1 for library in _SCIPY_ON_ONE_THREAD.pool.info())
    assert [library["num_threads"] for library in _SCIPY_ON_ONE_THREAD.pool.info()] == before


@pytest.mark.parametrize(
    ("library", "scipys"),
    [
        ("/site-packages/scipy.libs/libscipy_openblas-6cdc3b4a.so", True),
        ("/site-packages/scipy/.dylibs/libscipy_openblas.dylib", True),
        ("/site-packages/numpy.libs/libscipy_openblas64_-32a4b2a6.so", False),
        ("/usr/lib/x86_64-linux-gnu/libopenblas.so.0", False),
    ],
)
def test_which_blas_is_scipys(library: str, scipys: bool) -> None:
    assert _is_scipys(Path(library)) == scipys
