"""A network's bits depend on nothing but itself: not on threads, calls, or who is trained beside it.

Kernels are compiled with -O0, as those of the same cases in other files are; large matrices, and the layers that are
laid out along the rows in float32, with -O1, which knows vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from bit_cases import (
    AVERAGE_CASES,
    BLOCK_CASES,
    EPOCHS,
    LANE_CASES,
    PARAMETRIC_CASES,
    Case,
    P,
    X,
    assert_same_bits,
    kernel,
    trained_in_calls,
)
from bit_cases import TARGETS as T
from conftest import optimised

from gpubp.backends import NumpyBackend
from gpubp.backends.host_compiler import Isa, find_compiler, runnable_isas
from gpubp.backends.host_program import HostProgram
from gpubp.engines.block import engine as block_engine
from gpubp.engines.block.kernel import BlockKernel
from gpubp.engines.block.thread_tuner import ThreadTuner
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.training.loop import train

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")

BACKEND = NumpyBackend()
SEVERAL = [LANE_CASES[0], LANE_CASES[1], LANE_CASES[8], BLOCK_CASES[0], BLOCK_CASES[4]]  # online, batches, ragged


@pytest.fixture
def _a_little_optimised() -> Iterator[None]:
    with optimised("-O1"):
        yield


def program(case: Case, isa: Isa = "native", threads: int | None = None) -> HostProgram:
    ours = kernel(case)
    return HostProgram(ours.source, ours.definitions(), isa=isa, threads=threads)


@pytest.mark.parametrize("case", SEVERAL, ids=str)
def test_one_thread_or_several(case: Case) -> None:
    expected, its_metrics = trained_in_calls(BACKEND, case, (EPOCHS,), program(case, threads=1))
    for threads in (2, 3):
        found, metrics = trained_in_calls(BACKEND, case, (EPOCHS,), program(case, threads=threads))
        assert_same_bits(found, expected)
        assert_same_bits(metrics, its_metrics)


@pytest.mark.parametrize(
    "case", [*(BLOCK_CASES[i] for i in (0, 4, 8)), AVERAGE_CASES[0], *PARAMETRIC_CASES[:2]], ids=str
)
@pytest.mark.parametrize("threads", [2, 3])
def test_a_team_of_threads_for_one_network(monkeypatch: pytest.MonkeyPatch, case: Case, threads: int) -> None:
    keep = np.array([1])
    expected, its_metrics = trained_in_calls(BACKEND, case, (EPOCHS,), keep=keep)
    monkeypatch.setattr(block_engine, "MEMBER_OPERATIONS", 1)
    monkeypatch.setattr(block_engine, "others_waiting", lambda: 0.0)
    team = program(case, threads=threads)
    assert team.team(1) == threads
    found, metrics = trained_in_calls(BACKEND, case, (EPOCHS,), team, keep=keep)
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


@pytest.mark.parametrize("case", [BLOCK_CASES[i] for i in (0, 4)], ids=str)
def test_several_teams_side_by_side(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    keep = np.array([0, 1])
    expected, its_metrics = trained_in_calls(BACKEND, case, (EPOCHS,), keep=keep)
    monkeypatch.setattr(block_engine, "MEMBER_OPERATIONS", 1)
    monkeypatch.setattr(block_engine, "others_waiting", lambda: 0.0)
    launched: list[int] = []

    class Watched(HostProgram):
        def launch(
            self, name: str, calls: Sequence[Sequence[Any]], meeting: np.ndarray | None = None, **more: int
        ) -> float:
            launched.append(0 if meeting is None else len(calls))
            return super().launch(name, calls, meeting, **more)

    ours = kernel(case)
    teams = Watched(ours.source, ours.definitions(), threads=4)
    found, metrics = trained_in_calls(BACKEND, case, (EPOCHS,), teams, keep=keep)
    assert launched
    assert set(launched) <= {4, 0}
    assert launched[0] == 4  # a team for each network
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


@pytest.mark.parametrize("case", [BLOCK_CASES[i] for i in (0, 8)], ids=str)
def test_a_team_that_dissolves_and_meets_again(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    keep, ways = np.array([1]), [True, False, True]
    expected, its_metrics = trained_in_calls(BACKEND, case, (1, 1, 1), keep=keep)
    monkeypatch.setattr(block_engine, "MEMBER_OPERATIONS", 1)
    monkeypatch.setattr(block_engine, "others_waiting", lambda: 0.0)
    monkeypatch.setattr(ThreadTuner, "next", lambda self, n_epochs, room: (ways.pop(), n_epochs))
    found, metrics = trained_in_calls(BACKEND, case, (1, 1, 1), program(case, threads=3), keep=keep)
    assert not ways
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


@pytest.mark.usefixtures("_a_little_optimised")
@pytest.mark.parametrize(("clip_norm", "teams"), [(None, (1, 2, 3)), (0.5, (3, 1, 2))])
def test_large_matrices_on_every_vector_width_and_by_teams(
    monkeypatch: pytest.MonkeyPatch, clip_norm: float | None, teams: tuple[int, ...]
) -> None:
    """Packed, in several pieces; one of them trained in the caller's array; and a batch larger than a piece of it."""
    random = np.random.default_rng(2)
    inputs, targets = random.normal(size=(590, 300)), random.normal(size=(590, 2))
    shape = Architecture(300, (448, 301), 2, "tanh")
    kernel = BlockKernel("float32", "squared_error", "adam")
    compiler = find_compiler()
    assert compiler is not None

    def trained(engine: str, program: HostProgram | None = None) -> np.ndarray:
        if program is not None:
            monkeypatch.setattr(BACKEND, "compile", lambda *_: program)
        networks = Population.initialize(shape, network_seeds(0, 1), BACKEND)
        settings = Settings(
            "squared_error",
            optimizer="adam",
            epochs=1,
            batch_size=295,
            l2=0.01,
            clip_norm=clip_norm,
            learning_rate=1e-3,
        )
        train(networks, inputs, targets, settings, engine=engine)
        return networks.params

    expected, by_arrays = trained("block"), trained("array")
    np.testing.assert_allclose(expected, by_arrays, rtol=0, atol=1e-4)
    for isa, threads in zip(runnable_isas(compiler), teams, strict=False):
        program = HostProgram(kernel.source, kernel.definitions(), isa=isa, threads=threads)
        assert_same_bits(trained("block", program), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5])
def test_layers_of_a_few_outputs_on_every_vector_width(
    monkeypatch: pytest.MonkeyPatch, outputs: int, dtype: str
) -> None:
    """Which have their vectors along the rows, where these fill one; how few outputs that are depends on the width."""
    random = np.random.default_rng(outputs)
    inputs, targets = random.normal(size=(65, 17)), random.normal(size=(65, outputs))
    shape = Architecture(17, (35, 19, outputs, 20), outputs, "tanh")
    kernel = BlockKernel(dtype, "squared_error", "adam")
    compiler = find_compiler()
    assert compiler is not None

    def trained(engine: str, program: HostProgram | None = None) -> np.ndarray:
        with monkeypatch.context() as patch:
            if program is not None:
                patch.setattr(BACKEND, "compile", lambda *_: program)
            networks = Population.initialize(shape, network_seeds(0, 2), BACKEND, dtype=dtype)
            settings = Settings("squared_error", epochs=3, batch_size=33, learning_rate=1e-2, l2=0.01)
            rows, held = np.arange(60), np.arange(40, 65)
            train(networks, inputs, targets, settings, rows=rows, validation_rows=held, engine=engine)
        return networks.params

    with optimised("-O0" if dtype == "float64" else "-O1"):  # -O0 compiles in a third of the time
        expected = trained("block")
        np.testing.assert_allclose(expected, trained("array"), rtol=0, atol=2e-4 if dtype == "float32" else 1e-10)
        for isa in runnable_isas(compiler):
            for threads in (1, 2):
                program = HostProgram(kernel.source, kernel.definitions(), isa=isa, threads=threads)
                assert_same_bits(trained("block", program), expected)


@pytest.mark.parametrize("case", SEVERAL, ids=str)
@pytest.mark.parametrize("calls", [(1,) * 10, (1, 4, 5), (9, 1)], ids=str)
def test_any_chunking_of_the_epochs(case: Case, calls: tuple[int, ...]) -> None:
    expected, its_metrics = trained_in_calls(BACKEND, case, (10,))
    found, metrics = trained_in_calls(BACKEND, case, calls)
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


@pytest.mark.parametrize("case", SEVERAL, ids=str)
@pytest.mark.parametrize("keep", [[0], [36], [2, 20], list(range(17)), list(range(20, 37))], ids=str)
def test_fewer_networks_than_lanes_and_any_selection(case: Case, keep: list[int]) -> None:
    expected, its_metrics = trained_in_calls(BACKEND, case, (EPOCHS,))
    found, metrics = trained_in_calls(BACKEND, case, (EPOCHS,), keep=np.array(keep))
    assert_same_bits(found, expected[keep])
    assert_same_bits(metrics, its_metrics[:, :, keep])


@pytest.mark.parametrize("engine", ["lane", "block"])
def test_alone_and_among_a_thousand(engine: str) -> None:
    seeds, rates = network_seeds(3, 1000), np.geomspace(1e-3, 0.5, 1000)

    def params(networks: np.ndarray) -> np.ndarray:
        some = Population.initialize(Architecture(3, 3, 2, "logistic", "tanh"), seeds[networks], BACKEND)
        settings = Settings(
            loss="squared_error", optimizer="sgd", learning_rate=rates[networks], batch_size=1, epochs=3
        )
        train(some, X, T["squared_error"], settings, engine=engine)
        return some.params

    together = params(np.arange(1000))
    for alone in (0, 1, 15, 16, 500, 999):
        assert_same_bits(params(np.array([alone])), together[[alone]])


@pytest.mark.parametrize("case", SEVERAL, ids=str)
@pytest.mark.parametrize("poisoned", [0, 5, P - 1])
def test_a_network_of_nan_leaves_the_others_alone(case: Case, poisoned: int) -> None:
    expected, its_metrics = trained_in_calls(BACKEND, case, (EPOCHS,))
    found, metrics = trained_in_calls(BACKEND, case, (EPOCHS,), poison=poisoned)
    assert np.isnan(found[poisoned]).any()
    assert np.isnan(metrics[0, :, poisoned]).all()
    others = np.arange(P) != poisoned
    assert_same_bits(found[others], expected[others])
    assert_same_bits(metrics[:, :, others], its_metrics[:, :, others])
