"""What is special about a block of CUDA threads: its barriers, and loops that are longer than it has threads."""

from __future__ import annotations

import numpy as np
import pytest
from bit_cases import (
    BLOCK_CASES,
    FRONT_CASES,
    PARAMETRIC_CASES,
    SCHEDULED_BLOCKS,
    Case,
    assert_same_bits,
    bits,
    engine,
    kernel,
    run_in_calls,
    trained_in_calls,
)
from standin.cuda import PROPERTIES

from gpubp.backends import NumpyBackend, Program
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.cupy_program import STATIC_SHARED
from gpubp.backends.host_compiler import find_compiler
from gpubp.backends.interruption import Interruption
from gpubp.engines.block.engine import BlockEngine, memory_layout
from gpubp.engines.block.layout import BlockLayout
from gpubp.networks.population import Population
from gpubp.networks.preparation import prepare
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.training.loop import train

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")

ADAM, VALIDATED = BLOCK_CASES[1], BLOCK_CASES[8]
SOME = np.array([0, 1, 20])


@pytest.fixture(autouse=True)
def _compiled_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the shim alone; the bits do not depend on it."""
    monkeypatch.setenv("STANDIN_CXXFLAGS", "-O0")


def test_loops_longer_than_the_block_and_columns_beyond_every_tile(standin: CupyBackend) -> None:
    """257 rows in a batch, 300 neurons in a layer, 256 threads; the second batch has one row."""
    random = np.random.default_rng(2)
    X, T = random.normal(size=(258, 5)), np.eye(3)[random.integers(0, 3, 258)]

    def params(backend: NumpyBackend | CupyBackend) -> np.ndarray:
        networks = Population.initialize(Architecture(5, (300, 9), 3, "relu", "softmax"), np.arange(1), backend)
        settings = Settings(epochs=1, batch_size=257, learning_rate=0.01)
        train(networks, X, T, settings, engine="block", validation_rows=np.arange(258))
        return backend.to_host(networks.params)

    assert_same_bits(params(standin), params(NumpyBackend()))


def test_large_matrices(standin: CupyBackend) -> None:
    """A CPU packs them, and trains those of 448 columns where they are; a block of CUDA threads copies all."""
    random = np.random.default_rng(2)
    X, T = random.normal(size=(6, 300)), random.normal(size=(6, 2))

    def params(backend: NumpyBackend | CupyBackend) -> np.ndarray:
        network = Population.initialize(Architecture(300, (448, 301), 2, "tanh"), np.arange(1), backend)
        train(network, X, T, Settings("squared_error", epochs=1, batch_size=5, l2=0.1), engine="block")
        return backend.to_host(network.params)

    assert_same_bits(params(standin), params(NumpyBackend()))


def test_a_block_may_have_fewer_threads(standin: CupyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", "777")
    program = changed(standin, VALIDATED, THREADS=64)
    expected, its_metrics = trained_in_calls(NumpyBackend(), VALIDATED, (2,), keep=SOME)
    found, metrics = trained_in_calls(standin, VALIDATED, (2,), program, keep=SOME)
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


@pytest.mark.parametrize(
    "case",
    [ADAM, VALIDATED, *FRONT_CASES[1:3], *FRONT_CASES[-3:], *SCHEDULED_BLOCKS, *PARAMETRIC_CASES],
    ids=str,
)
def test_what_its_memory_held_before_does_not_matter(standin: CupyBackend, case: Case) -> None:
    expected, its_metrics = trained_in_calls(NumpyBackend(), case, (2,), keep=SOME)
    one = engine(standin, case, epochs=2, keep=SOME)
    for own in one.memory.values():  # type: ignore[attr-defined]
        own["memory"].fill(np.nan)
    metrics = run_in_calls(one, (2,))
    assert_same_bits(np.sort(standin.to_host(one.params), axis=None), np.sort(expected, axis=None))
    assert_same_bits(np.sort(metrics, axis=None), np.sort(its_metrics, axis=None))


@pytest.mark.parametrize("room", [0, 700, 3000, 9000, 60_000])
def test_where_its_arrays_lie_does_not_matter(standin: CupyBackend, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Nothing, some or all of them in shared memory, which is poison when a block begins."""
    monkeypatch.setitem(PROPERTIES, "sharedMemPerBlockOptin", STATIC_SHARED + room)
    expected, its_metrics = trained_in_calls(NumpyBackend(), VALIDATED, (2,), keep=SOME)
    one = engine(standin, VALIDATED, epochs=2, keep=SOME)
    whole = memory_layout(one.plan, one.plan.batch_size, vectors=None).numbers
    assert one.shared_numbers <= min(room // 8, whole)  # type: ignore[attr-defined]
    assert (one.shared_numbers == whole) == (room == 60_000)  # type: ignore[attr-defined]
    found, metrics = trained_in_calls(standin, VALIDATED, (2,), keep=SOME)
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


@pytest.mark.parametrize(
    ("room", "activation"), [(0, "mish"), (600, "mish"), (40_000, "mish"), (600, "parametric_elu")]
)
def test_predictions_by_blocks(
    standin: CupyBackend, monkeypatch: pytest.MonkeyPatch, room: int, activation: str
) -> None:
    """300 rows of 300 neurons: longer than the block has threads, in several pieces."""
    monkeypatch.setitem(PROPERTIES, "sharedMemPerBlockOptin", STATIC_SHARED + room)
    monkeypatch.setattr("gpubp.engines.block.kernel.WORKING_BYTES", 3 << 20)  # two of the six pieces at a time, or so
    rows = np.random.default_rng(2).normal(size=(301, 5)).astype(np.float32)

    def predicted(backend: NumpyBackend | CupyBackend) -> np.ndarray:
        shape = Architecture(5, (300, 9), 3, ("mish", activation), "softmax")
        networks = Population.initialize(shape, np.arange(3), backend)
        networks.params *= np.float32(0.9)  # slopes other than 1
        return backend.to_host(networks.predict(rows, engine="block"))

    assert_same_bits(predicted(standin), predicted(NumpyBackend()))


LAYOUTS = [BlockLayout(64, team=3), BlockLayout(32, team=2), BlockLayout(64, team=2)]


@pytest.mark.parametrize("order", ["0", "77"])
@pytest.mark.parametrize(
    ("case", "layout"), list(zip([ADAM, VALIDATED, PARAMETRIC_CASES[1]], LAYOUTS, strict=True)), ids=str
)
def test_a_team_of_blocks(
    standin: CupyBackend, monkeypatch: pytest.MonkeyPatch, case: Case, layout: BlockLayout, order: str
) -> None:
    """They share a network's rows, columns and tiles, and wait for each other."""
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", order)
    expected, its_metrics = trained_in_calls(NumpyBackend(), case, (2,), keep=SOME)
    monkeypatch.setattr("gpubp.engines.block.engine.cuda_layout", lambda plan: layout)
    monkeypatch.setattr("gpubp.engines.block.engine.team_blocks", lambda *_: layout.team)
    found, metrics = trained_in_calls(standin, case, (2,), keep=SOME)
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


def test_one_network_has_a_team_where_that_pays(standin: CupyBackend) -> None:
    random = np.random.default_rng(3)
    X, T = random.normal(size=(130, 150)).astype(np.float32), np.eye(90)[random.integers(0, 90, 130)]

    def trained(backend: NumpyBackend | CupyBackend) -> tuple[np.ndarray, int]:
        population = Population.initialize(Architecture(150, (), 90, (), "softmax"), np.arange(1), backend)
        plan = prepare(population, X, T.astype(np.float32), Settings(epochs=1, batch_size=128, optimizer="adam"))
        one = BlockEngine(plan, population.params)
        one.run(0, 1, Interruption())
        return backend.to_host(one.params), one.blocks

    (found, blocks), (expected, _) = trained(standin), trained(NumpyBackend())
    assert blocks > 1
    assert_same_bits(found, expected)


BARRIERS = {
    "forward": "net.scratch);\n      block_sync();\n      if (l == net.layers - 1",  # pre-activations are written
    "staged": "__syncthreads();  // the next numbers are there, and everyone has read those before them",
    "gradient": "__syncthreads();  // the results lie there",
    "weights": "__syncthreads();  // the results have been taken before others lie there",
    # before the next batch's overwrite them
    "validation": "block_sync();  // everyone has seen this batch's losses and weights",
}


@pytest.mark.parametrize("name", [None, *BARRIERS])
def test_a_missing_barrier_shows(standin: CupyBackend, monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    """In the bits, under some order of the threads. The others in block.h were taken away one by one as well.

    One kernel for all: it looks in the environment which of its barriers is not to stand.
    """
    each = []
    for its, barrier in BARRIERS.items():
        assert kernel(VALIDATED).source.count(barrier) == 1
        waits = "block_sync();" if "block_sync();" in barrier else "__syncthreads();"
        each.append((barrier, barrier.replace(waits, f'if (strcmp(getenv("MISSING_BARRIER"), "{its}")) {waits}')))
    program = changed(standin, VALIDATED, *each, THREADS=64)
    monkeypatch.setenv("MISSING_BARRIER", name or "none")
    expected, its_metrics = trained_in_calls(NumpyBackend(), VALIDATED, (2,), keep=SOME)
    shows = []
    for order in ("1", "31"):
        monkeypatch.setenv("CUDA_ON_CPU_ORDER", order)
        found, metrics = trained_in_calls(standin, VALIDATED, (2,), program, keep=SOME)
        shows.append((bits(found) != bits(expected)).any() or (bits(metrics) != bits(its_metrics)).any())
    assert any(shows) == (name is not None)


def changed(backend: CupyBackend, case: Case, *replacements: tuple[str, str], **definitions: object) -> Program:
    """The case's kernel, compiled from a changed source or by other definitions."""
    ours = kernel(case)
    source = ours.source
    for old, new in replacements:
        source = source.replace(old, new)
    return backend.compile(source, ours.definitions() | definitions)
