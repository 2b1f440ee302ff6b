"""The engines with native kernels against the reference: the same training, to rounding, whatever the options."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import covering
import numpy as np
import operation_cases
import pytest

from gpubp.backends import Backend, NumpyBackend
from gpubp.backends.host_compiler import find_compiler
from gpubp.backends.host_program import available_cores
from gpubp.engines.block import kernel as block
from gpubp.engines.block.kernel import BlockKernel, prediction_pays
from gpubp.engines.lane.engine import lane_kernel
from gpubp.errors import SettingsError
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.preparation import prepare
from gpubp.networks.settings import EarlyStopping, Settings
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.schedules import SCHEDULES
from gpubp.training.history import History
from gpubp.training.loop import train

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")

N, I, P = 23, 3, 5  # noqa: E741
RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(N, I))
TARGETS = {
    "squared_error": RANDOM.normal(size=(N, 2)),
    "cross_entropy": np.eye(3)[RANDOM.integers(0, 3, N)],
    "binary_cross_entropy": RANDOM.integers(0, 2, size=(N, 2)).astype(float),
    "poisson": RANDOM.poisson(1.5, size=(N, 1)).astype(float),
}
TARGETS = operation_cases.with_later_losses(TARGETS)
ROWS = {
    "all": None,
    "shared": RANDOM.permutation(N)[:17],
    "ragged": [np.random.default_rng(p).permutation(N)[: 15 + p % 3] for p in range(P)],
}
WEIGHTS = {"none": None, "rows": RANDOM.uniform(0.2, 2, N), "each": RANDOM.uniform(0.2, 2, (P, N))}
HELD = {"none": None, "shared": np.arange(7), "ragged": [np.arange(4 + p % 2) for p in range(P)]}
NATIVE = ["lane", "block"]

OPTIONS: dict[str, list[Any]] = {
    "activation": [name for name, entry in ACTIVATIONS.items() if not entry.only_output],
    "loss": list(LOSSES),
    "optimizer": list(OPTIMIZERS),
    "schedule": [name for name in SCHEDULES if name != "adaptive"],  # that one is the loop's: test_training_state.py
    "depth": [0, 1, 2, 3],
    "batch_size": [1, 4, None],
    "rows": list(ROWS),
    "weights": list(WEIGHTS),
    "held": list(HELD),
    "shuffle": [True, False],
    "l2": [0.0, 0.05],
    "clip_norm": [None, 0.5],
    "dropout": [0.0, 0.3],
}
# A block kernel is compiled for each loss, optimizer and dtype, and serves all networks: as few as have all of these.
PAIRS = [{"loss": loss, "optimizer": optimizer} for loss, optimizer in operation_cases.pairs()]
SHARED: dict[str, Any] = {"activation": OPTIONS["activation"], "pair": range(len(PAIRS))}
SHARED |= {name: values for name, values in OPTIONS.items() if name not in ("loss", "optimizer")}
CASES = [PAIRS[case["pair"]] | case for case in covering.pairwise(SHARED)]
# A lane kernel is compiled for each case: so they have three activations at a time, and few of them fewer layers.
NAMES = OPTIONS["activation"]
THREES = [tuple((NAMES + NAMES)[i : i + 3]) for i in range(0, len(NAMES), 3)]
DEEP = OPTIONS | {"activation": THREES, "depth": [3]}
DEEP_CASES = covering.pairwise(DEEP)
LANE_CASES = DEEP_CASES + [case for case in CASES if case["depth"] < 3][::9]
FLOAT32 = {"lane": LANE_CASES[::5], "block": CASES[::16]}


def dropout_shares(case: dict[str, Any]) -> np.ndarray | float:
    """Of each network and hidden layer its own; the second network drops nothing."""
    spread = np.array([1.0, 0.0, 2.0, 0.5, 1.3])[:, None] * np.array([1.0, 0.8, 0.4])[: case["depth"]]
    return case["dropout"] * spread if case["depth"] else 0.0


def set_up(backend: Backend, case: dict[str, Any], dtype: str, **more: Any) -> tuple[Population, Settings]:
    loss, optimizer = case["loss"], case["optimizer"]
    output = LOSSES[loss].link or "tanh"
    names = case["activation"]
    hidden = names if isinstance(names, str) else names[: case["depth"]]
    shape = Architecture(I, (4, 3, 2)[: case["depth"]], TARGETS[loss].shape[1], hidden, output)
    population = Population.initialize(shape, network_seeds(7, P), backend, dtype=dtype)
    steps = N if case["batch_size"] == 1 else 5 if case["batch_size"] == 4 else 1
    settings = Settings(
        loss=loss,
        optimizer=optimizer,
        learning_rate=operation_cases.RATES[optimizer] * np.linspace(0.5, 1.5, P),
        l2=case["l2"],
        clip_norm=case["clip_norm"],
        schedule=case["schedule"],
        batch_size=case["batch_size"],
        epochs=max(2, -(-20 // steps)),
        shuffle=case["shuffle"],
        dropout=dropout_shares(case),
        label_smoothing=0.1 if loss == "cross_entropy" else 0.0,
        **more,
    )
    return population, settings


def rows_of(case: dict[str, Any]) -> dict[str, Any]:
    return {
        "rows": ROWS[case["rows"]],
        "validation_rows": HELD[case["held"]],
        "row_weights": WEIGHTS[case["weights"]],
    }


def run(backend: Backend, case: dict[str, Any], engine: str, dtype: str, **more: Any) -> tuple[np.ndarray, History]:
    population, settings = set_up(backend, case, dtype, **more)
    history = train(population, X, TARGETS[case["loss"]], settings, engine=engine, **rows_of(case))
    assert history.engine == engine
    return backend.to_host(population.params), history


@pytest.fixture(scope="module", autouse=True)
def _compiled_ahead(_optimisation: None) -> None:
    """All kernels of this module, compiled on every core at once: compiling is nearly all of the time it takes."""
    backend = NumpyBackend()
    sources: dict[str, tuple[str, dict[str, object]]] = {}
    for dtype, lanes, blocks in (("float64", LANE_CASES, CASES), ("float32", FLOAT32["lane"], FLOAT32["block"])):
        kernels: list[Any] = [BlockKernel(dtype, case["loss"], case["optimizer"]) for case in blocks]
        for case in lanes:
            population, settings = set_up(backend, case, dtype)
            plan = prepare(population, X, TARGETS[case["loss"]], settings, **rows_of(case))
            kernels.append(lane_kernel(plan))
        for kernel in kernels:
            sources[repr(kernel.definitions())] = (kernel.source, kernel.definitions())
    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(lambda kernel: backend.compile(*kernel), sources.values()))


@pytest.mark.parametrize(
    ("engine", "case"),
    [*(("block", case) for case in CASES), *(("lane", case) for case in LANE_CASES)],
    ids=lambda value: value if isinstance(value, str) else covering.name(value),
)
def test_twenty_steps_agree_with_the_reference(numpy_backend: Backend, case: dict[str, Any], engine: str) -> None:
    expected, its_history = run(numpy_backend, case, "array", "float64")
    found, history = run(numpy_backend, case, engine, "float64")
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(history.training_loss, its_history.training_loss, rtol=1e-10, atol=1e-10)
    if its_history.validation_loss is not None:
        np.testing.assert_allclose(history.validation_loss, its_history.validation_loss, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(history.validation_score, its_history.validation_score, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("engine", "case"),
    [(engine, case) for engine in NATIVE for case in FLOAT32[engine]],
    ids=lambda value: value if isinstance(value, str) else covering.name(value),
)
def test_float32_stays_near_the_float64_reference(numpy_backend: Backend, case: dict[str, Any], engine: str) -> None:
    """After 20 steps within 2e-3 of the largest parameter: a few thousand roundings of 6e-8, some of them amplified by
    optimizers that divide by the root of a small gradient."""
    expected, _ = run(numpy_backend, case, "array", "float64")
    found, _ = run(numpy_backend, case, engine, "float32")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize(("options", "cases"), [(SHARED, CASES), (DEEP, DEEP_CASES)], ids=NATIVE[::-1])
def test_the_covering_set_covers(options: dict[str, list[Any]], cases: list[dict[str, Any]]) -> None:
    names = list(options)
    seen = {(a, case[a], b, case[b]) for case in cases for a in names for b in names if a != b}
    assert seen >= {(a, v, b, w) for a in names for b in names if a != b for v in options[a] for w in options[b]}
    assert {case["depth"] for case in LANE_CASES} == set(OPTIONS["depth"])


@pytest.mark.parametrize("engine", NATIVE)
def test_early_stopping_network_by_network(numpy_backend: Backend, engine: str) -> None:
    case = {
        "activation": "tanh", "loss": "cross_entropy", "optimizer": "adam", "schedule": "constant", "depth": 1,
        "batch_size": 4, "rows": "ragged", "weights": "none", "held": "ragged", "shuffle": True, "l2": 0.0,
        "clip_norm": None, "dropout": 0.2,
    }  # fmt: skip
    rule = EarlyStopping(patience=1, tolerance=0.01)
    expected, its_history = run(numpy_backend, case, "array", "float64", early_stopping=rule)
    found, history = run(numpy_backend, case, engine, "float64", early_stopping=rule)
    assert len(set(history.epochs.tolist())) > 1
    np.testing.assert_array_equal(history.epochs, its_history.epochs)
    np.testing.assert_array_equal(history.best_epoch, its_history.best_epoch)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("native", NATIVE)
def test_long_trainings_do_not_drift_away(numpy_backend: Backend, native: str) -> None:
    """Ten thousand updates with Adam, whose bias corrections come from powers of beta: the loss curves coincide."""

    def curve(engine: str, dtype: str) -> np.ndarray:
        shape = Architecture(I, 4, 3, "tanh", "softmax")
        population = Population.initialize(shape, [1, 2], numpy_backend, dtype=dtype)
        settings = Settings(learning_rate=1e-3, batch_size=1, epochs=435)
        return train(population, X, TARGETS["cross_entropy"], settings, engine=engine).training_loss

    reference = curve("array", "float64")
    np.testing.assert_allclose(curve(native, "float64"), reference, rtol=1e-6)
    np.testing.assert_allclose(curve(native, "float32"), reference, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("engine", NATIVE)
def test_memorised_rows_do_not_slow_down_or_break(numpy_backend: Backend, engine: str) -> None:
    """Vanishing gradients become zero instead of denormal numbers; nothing turns into NaN."""
    shape = Architecture(I, 4, 2, "relu", "softmax")
    population = Population.initialize(shape, [1, 2, 3], numpy_backend)
    T = np.eye(2)[(X[:, 0] > 0).astype(int)]
    history = train(population, X * 100, T, Settings(learning_rate=0.1, epochs=3000, batch_size=None), engine=engine)
    assert np.isfinite(population.params).all()
    assert history.training_loss[-1].max() < 1e-3


@pytest.mark.parametrize("engine", NATIVE)
def test_one_class_only(numpy_backend: Backend, engine: str) -> None:
    """One output, one class: softmax of one number is 1, its gradient 0."""
    shape = Architecture(I, 3, 1, "relu", "softmax")
    population = Population.initialize(shape, [1], numpy_backend)
    before = population.params.copy()
    history = train(population, X, np.ones((N, 1)), Settings(epochs=3), engine=engine, validation_rows=np.arange(3))
    np.testing.assert_array_equal(population.params, before)
    assert history.validation_score is not None
    assert history.validation_score[-1, 0] == 1.0


def test_a_network_too_large_is_refused(numpy_backend: Backend) -> None:
    population = Population.initialize(Architecture(I, 4000, 3, "relu", "softmax"), 1, numpy_backend)
    with pytest.raises(SettingsError, match="engine lane cannot be used: a network of"):
        train(population, X, TARGETS["cross_entropy"], Settings(), engine="lane")
    with pytest.raises(SettingsError, match="Unknown engine 'warp'"):
        train(population, X, TARGETS["cross_entropy"], Settings(), engine="warp")


@pytest.mark.parametrize("engine", NATIVE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", ["softmax", "identity", "exponential", "logistic"])
def test_prediction_agrees_with_the_reference(numpy_backend: Backend, output: str, dtype: str, engine: str) -> None:
    """One row in each lane, for numbers of rows that fill no whole group of lanes too; or pieces of rows."""
    shape = Architecture(I, (9, 4), 3, ("gelu", "tanh"), output)
    population = Population.initialize(shape, [1, 2, 3], numpy_backend, dtype=dtype)
    for n_rows in (1, 16, 1003):
        rows = np.random.default_rng(n_rows).normal(size=(n_rows, I))
        found, expected = population.predict(rows, engine=engine), population.predict(rows)
        tolerance = 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    with pytest.raises(SettingsError, match=f"Engine '{engine}' for X of 3 dimensions"):
        population.predict(np.zeros((3, 2, I)), engine=engine)


def test_prediction_by_blocks_refuses_what_its_kernel_cannot_hold(numpy_backend: Backend) -> None:
    population = Population.initialize(Architecture(I, (2,) * 40, 1), 1, numpy_backend)
    with pytest.raises(SettingsError, match="engine block cannot predict: 41 layers of weights"):
        population.predict(X, engine="block")


def test_auto_predicts_by_blocks_where_that_pays(numpy_backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Architecture(I, 60, 2)
    assert not prediction_pays(numpy_backend, shape, 1, 10_000)
    assert prediction_pays(numpy_backend, shape, 1000, 100_000)
    assert not prediction_pays(numpy_backend, Architecture(I, (2,) * 40, 1), 1000, 100_000)  # too many layers
    population = Population.initialize(shape, [1, 2], numpy_backend)
    by_blocks, by_arrays = population.predict(X, engine="block"), population.predict(X)
    np.testing.assert_array_equal(population.predict(X, engine="auto"), by_arrays)
    monkeypatch.setattr(block, "PREDICTION_COMPILES", 0.0)
    np.testing.assert_array_equal(population.predict(X, engine="auto"), by_blocks)
    np.testing.assert_array_equal(population.predict(np.stack([X, X]), engine="auto"), by_arrays)


@pytest.mark.parametrize("engine", ["lane", "block"])
def test_the_last_network_left_by_early_stopping_keeps_its_rows(engine: str) -> None:
    """Three stop, at once or soon; the fourth goes on as if it had been alone."""
    rng = np.random.default_rng(2)
    X, T = rng.normal(size=(70, 5)), np.eye(3)[rng.integers(0, 3, 70)]
    shape = Architecture(5, (7,), 3, "tanh", "softmax")
    rows = [rng.permutation(70)[:n] for n in (50, 40, 40, 37)]
    stopping = EarlyStopping(patience=1, tolerance=0.02, monitor="training_loss")
    rates = np.array([1e-6, 1e-6, 1e-6, 0.05])
    population = Population.initialize(shape, [1, 2, 3, 4], NumpyBackend())
    alone = population.take([3])
    settings = {"batch_size": 8, "epochs": 9, "early_stopping": stopping}
    history = train(population, X, T, Settings(learning_rate=rates, **settings), rows=rows, engine=engine)
    train(alone, X, T, Settings(learning_rate=0.05, **settings), rows=rows[3:], engine=engine)
    assert (history.epochs[:3] < history.epochs[3]).all()
    np.testing.assert_array_equal(population.params[3:], alone.params)
