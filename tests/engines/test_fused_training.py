"""Large networks' fused kernels against the reference: the same training to rounding, and every promise of training.

The networks here are small: `FUSED_PARAMETERS` says from which size on the kernels are used.
"""

from __future__ import annotations

import signal
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import covering
import numpy as np
import operation_cases
import pytest

from gpubp.backends import Backend, NumpyBackend, host_compiler
from gpubp.backends.host_compiler import find_compiler
from gpubp.backends.host_program import available_cores
from gpubp.engines.array import engine as array_engine
from gpubp.engines.array import fused_learner
from gpubp.engines.array.fused_kernel import FusedKernel
from gpubp.errors import BackendError
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.preparation import prepare
from gpubp.networks.settings import EarlyStopping, Settings
from gpubp.networks.state import TrainingState
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.schedules import SCHEDULES
from gpubp.training.history import EpochReport, History
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
HELD = {"none": None, "ragged": [np.arange(4 + p % 2) for p in range(P)]}
# A program is compiled for each pair of loss and optimizer: as few as have all of both.
PAIRS = operation_cases.pairs()

OPTIONS: dict[str, list[Any]] = {
    "activation": [name for name, entry in ACTIVATIONS.items() if not entry.only_output],
    "pair": PAIRS,
    "schedule": [name for name in SCHEDULES if name != "adaptive"],
    "depth": [0, 1, 2, 3],
    "batch_size": [1, 4, None],
    "rows": list(ROWS),
    "weights": list(WEIGHTS),
    "held": list(HELD),
    "shuffle": [True, False],
    "l2": [0.0, 0.05],
    "clip_norm": [None, 0.5],
    "dropout": [0.0, 0.3],
    "panel": [10, 1 << 20],
    "together": [1, 1 << 20],
}
CASES = covering.pairwise(OPTIONS)
PLAIN = {
    "activation": "tanh", "pair": ("cross_entropy", "momentum"), "schedule": "constant", "depth": 2, "batch_size": 4,
    "rows": "ragged", "weights": "none", "held": "ragged", "shuffle": True, "l2": 0.02, "clip_norm": None,
    "dropout": 0.0, "panel": 10, "together": 1 << 20,
}  # fmt: skip
ALONE = PLAIN | {"rows": "all", "held": "none"}


@pytest.fixture(scope="module", autouse=True)
def _compiled_ahead(_optimisation: None) -> None:
    """All kernels of this module, on every core at once: compiling is most of the time it takes."""
    kernels = [FusedKernel(dtype, *pair) for pair in PAIRS for dtype in ("float64", "float32")]
    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(lambda kernel: NumpyBackend().compile(kernel.source, kernel.definitions()), kernels))


def set_up(backend: Backend, case: dict[str, Any], dtype: str, **more: Any) -> tuple[Population, Settings]:
    loss, optimizer = case["pair"]
    shape = Architecture(
        I, (4, 3, 2)[: case["depth"]], TARGETS[loss].shape[1], case["activation"], LOSSES[loss].link or "tanh"
    )
    population = Population.initialize(shape, network_seeds(7, P), backend, dtype=dtype)
    steps = N if case["batch_size"] == 1 else 5 if case["batch_size"] == 4 else 1
    share = np.array([1.0, 0.0, 2.0, 0.5, 1.3])[:, None] * np.array([1.0, 0.8, 0.4])[: case["depth"]]
    options: dict[str, Any] = {
        "loss": loss,
        "optimizer": optimizer,
        "learning_rate": operation_cases.RATES[optimizer] * np.linspace(0.5, 1.5, P),
        "l2": case["l2"] * np.array([1, 0, 2, 1, 1]),
        "clip_norm": case["clip_norm"],
        "schedule": case["schedule"],
        "batch_size": case["batch_size"],
        "epochs": max(2, -(-20 // steps)),
        "shuffle": case["shuffle"],
        "dropout": case["dropout"] * share if case["depth"] else 0.0,
    }
    return population, Settings(**(options | more))


def run(
    patch: pytest.MonkeyPatch, case: dict[str, Any], fused: bool, dtype: str = "float64", **more: Any
) -> tuple[np.ndarray, History]:
    """(P, K) parameters after a training with or without fused kernels, and its history."""
    use(patch, case, fused)
    state = more.pop("state", None)
    callbacks = more.pop("callbacks", ())
    population, settings = set_up(NumpyBackend(), case, dtype, **more)
    rows = {"rows": ROWS[case["rows"]], "validation_rows": HELD[case["held"]], "row_weights": WEIGHTS[case["weights"]]}
    T = TARGETS[case["pair"][0]]
    history = train(population, X, T, settings, engine="array", state=state, callbacks=callbacks, **rows)
    return population.params, history


def use(patch: pytest.MonkeyPatch, case: dict[str, Any], fused: bool) -> None:
    patch.setattr(array_engine, "FUSED_PARAMETERS", 0 if fused else 1 << 60)
    at_once = replace(NumpyBackend.at_once, panel=case["panel"], values=case["together"])
    patch.setattr(NumpyBackend, "at_once", at_once)


@pytest.mark.parametrize("case", CASES, ids=covering.name)
def test_twenty_steps_agree_with_the_reference(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]) -> None:
    expected, its_history = run(monkeypatch, case, fused=False)
    found, history = run(monkeypatch, case, fused=True)
    assert (found != expected).any()  # by the last bits at least: other kernels were at work
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(history.training_loss, its_history.training_loss, rtol=1e-10, atol=1e-10)
    if its_history.validation_loss is not None:
        np.testing.assert_allclose(history.validation_loss, its_history.validation_loss, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_a_running_average_agrees_with_the_reference(monkeypatch: pytest.MonkeyPatch, clip_norm: float | None) -> None:
    case, more = PLAIN | {"clip_norm": clip_norm}, {"average": np.linspace(0.0, 0.95, P)}
    expected, its_history = run(monkeypatch, case, fused=False, **more)
    found, history = run(monkeypatch, case, fused=True, **more)
    plain, usual = run(monkeypatch, case, fused=True)
    assert (found != expected).any()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(history.validation_loss, its_history.validation_loss, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(found[0], plain[0])  # of which nothing stays
    np.testing.assert_array_equal(history.training_loss, usual.training_loss)


@pytest.mark.parametrize("case", CASES[::4], ids=covering.name)
def test_float32_stays_near_the_float64_reference(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]) -> None:
    """As near as the other engines: see test_native_engines.py."""
    expected, _ = run(monkeypatch, case, fused=False)
    found, _ = run(monkeypatch, case, fused=True, dtype="float32")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_the_covering_set_covers() -> None:
    names = list(OPTIONS)
    seen = {(a, case[a], b, case[b]) for case in CASES for a in names for b in names if a != b}
    assert seen == {(a, v, b, w) for a in names for b in names if a != b for v in OPTIONS[a] for w in OPTIONS[b]}
    assert {loss for loss, _ in PAIRS} == set(LOSSES)
    assert {optimizer for _, optimizer in PAIRS} == set(OPTIMIZERS)


@pytest.mark.parametrize("average", [None, np.linspace(0.9, 0.0, P)], ids=["weights", "average"])
def test_early_stopping_network_by_network(monkeypatch: pytest.MonkeyPatch, average: Any) -> None:
    rule = EarlyStopping(patience=1, tolerance=0.01)
    more = {"early_stopping": rule, "epochs": 30, "dropout": 0.1, "average": average}
    expected, its_history = run(monkeypatch, PLAIN, fused=False, **more)
    found, history = run(monkeypatch, PLAIN, fused=True, **more)
    assert len(set(history.epochs.tolist())) > 1
    np.testing.assert_array_equal(history.epochs, its_history.epochs)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("average", [None, 0.9], ids=["weights", "average"])
@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[0] in ("poisson", "binary_cross_entropy")], ids=str)
def test_going_on_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[str, str], average: float | None
) -> None:
    case = PLAIN | {"pair": pair, "dropout": 0.2}
    whole, _ = run(monkeypatch, case, fused=True, dtype="float32", epochs=6, average=average)
    use(monkeypatch, case, fused=True)
    state = TrainingState()
    population, _ = set_up(NumpyBackend(), case, "float32")
    for epochs in (1, 3, 2):
        settings = set_up(NumpyBackend(), case, "float32", epochs=epochs, average=average)[1]
        train(population, X, TARGETS[pair[0]], settings, engine="array", rows=ROWS["ragged"], state=state)
    np.testing.assert_array_equal(population.params, whole)
    assert set(state.slots) == {*OPTIMIZERS[pair[1]].arrays, *(["unaveraged"] if average else [])}
    assert state.updates is not None
    assert state.updates.tolist() == [6 * -(-len(rows) // 4) for rows in ROWS["ragged"]]


def test_rates_that_fall_on_a_plateau(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = EarlyStopping(patience=1, tolerance=1e9, monitor="training_loss", restore_best=False)
    case = PLAIN | {"schedule": "adaptive"}
    expected, its_history = run(monkeypatch, case, fused=False, early_stopping=stopping, epochs=9)
    found, history = run(monkeypatch, case, fused=True, early_stopping=stopping, epochs=9)
    np.testing.assert_array_equal(history.epochs, its_history.epochs)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_ctrl_c_ends_after_the_update_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    update = fused_learner.FusedLearner.update

    def interrupt(learner: fused_learner.FusedLearner, *arguments: Any) -> None:
        taken.append(update(learner, *arguments))
        if len(taken) == 7:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(fused_learner.FusedLearner, "update", interrupt)
    state = TrainingState()
    _, history = run(monkeypatch, ALONE, fused=True, state=state)
    assert history.interrupted
    assert len(taken) == 7
    assert state.updates is not None
    assert state.updates.tolist() == [7] * P


def test_a_callback_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def enough(report: EpochReport) -> bool:
        return report.epoch == 2

    _, history = run(monkeypatch, ALONE, fused=True, callbacks=[enough])
    assert history.epochs.tolist() == [3] * P


def test_memorised_rows_leave_no_denormal_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes a CPU a hundred times as long: vanishing gradients and moments become zero."""
    use(monkeypatch, PLAIN, fused=True)
    population = Population.initialize(Architecture(I, 4, 1, "relu", "exponential"), [1, 2, 3], NumpyBackend())
    state = TrainingState()
    settings = Settings(loss="poisson", optimizer="adam", learning_rate=0.1, epochs=1500, batch_size=None)
    history = train(population, X, np.zeros((N, 1)), settings, engine="array", state=state)
    assert np.isfinite(history.training_loss).all()
    tiny = np.finfo(np.float32).tiny
    for slot in state.slots.values():
        assert not ((slot != 0) & (np.abs(slot) < tiny)).any()


def test_what_is_large_depends_on_the_network_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fused(hidden: int, output: str = "softmax", loss: str = "cross_entropy", **settings: Any) -> bool:
        shape = Architecture(100, hidden, 3, "relu", output)
        population = Population.initialize(shape, [1], NumpyBackend())
        T = np.eye(3)[RANDOM.integers(0, 3, N)]
        rows = RANDOM.normal(size=(N, 100))
        return array_engine.uses_fused_kernels(prepare(population, rows, T, Settings(loss=loss, **settings)))

    assert not fused(1000, epochs=10**6)
    assert fused(3000, epochs=1, batch_size=1)
    assert not fused(3000, loss="squared_error")  # softmax is not elementwise
    assert fused(3000, output="tanh", loss="squared_error")
    monkeypatch.setattr(NumpyBackend, "compiler_missing", lambda self: "none")
    assert not fused(3000)


def test_a_compiler_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise BackendError("the compiler says no")

    expected, _ = run(monkeypatch, ALONE, fused=False)
    monkeypatch.setattr(NumpyBackend, "compile", broken)
    monkeypatch.setattr(host_compiler, "_given_up", {})
    with pytest.warns(UserWarning, match="without compiled kernels: the compiler says no"):
        found, _ = run(monkeypatch, ALONE, fused=True)
    np.testing.assert_array_equal(found, expected)


def test_memory_of_a_large_training() -> None:
    """Beside the parameters at most the optimizer's state, and three times the values of a batch in all neurons: no
    gradient as large as the parameters, no temporaries. A batch's own inputs are among it."""
    sizes, batch = (784, 1024, 1024, 10), 256
    shape = Architecture(sizes[0], sizes[1:-1], sizes[-1], "relu", "softmax")
    population = Population.initialize(shape, 1, NumpyBackend())
    rows = RANDOM.normal(size=(600, sizes[0])).astype(np.float32)
    T = np.eye(sizes[-1], dtype=np.float32)[RANDOM.integers(0, sizes[-1], len(rows))]
    train(population, rows, T, Settings(epochs=1, batch_size=batch), engine="array")  # what is imported and compiled
    peaks = []

    def measure(report: EpochReport) -> bool:
        peaks.append(tracemalloc.get_traced_memory()[1])
        return False

    tracemalloc.start()
    train(population, rows, T, Settings(epochs=2, batch_size=batch), engine="array", callbacks=[measure])
    tracemalloc.stop()
    state, activations = 2 * population.params.nbytes, 4 * batch * sum(sizes[1:])
    assert state < peaks[-1] < state + 3 * activations
