"""A network's bits do not depend on how its kernel is compiled: for which vectors, how optimised, by which compiler.

The flags that users get take three times as long to compile with as those of the other tests, so few kernels are.
Every activation, loss and optimizer is among them: in the fused kernels of test_fused_bits.py, whose functions lanes
and blocks share. That -O0 gives every kind of training the bits of the CUDA branch is in test_native_on_cuda_shim.py;
that -O1 gives large products the same bits on every vector width, in test_native_bits.py.
"""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from bit_cases import BLOCK_CASES, EPOCHS, LANE_CASES, TARGETS, Case, X, assert_same_bits, kernel, trained_in_calls

from gpubp.backends import NumpyBackend
from gpubp.backends.host_compiler import ISAS, Isa, find_compiler, runnable_isas
from gpubp.backends.host_program import HostProgram
from gpubp.engines.array import engine as array_engine
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.training.loop import train

OPTIMISATION = "shipped"
pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")

BACKEND = NumpyBackend()
WIDTHS = {"sse2": 16, "avx2": 32, "avx512": 64}  # bytes
FLOAT32, FLOAT64 = LANE_CASES[0], LANE_CASES[11]  # online SGD; RMSprop, all rows at once
BLOCKS = BLOCK_CASES[1], BLOCK_CASES[2]  # Adam, float32; momentum, float64
SHIPPED = (FLOAT32, FLOAT64, *BLOCKS, LANE_CASES[1], LANE_CASES[3])  # two layers; AdamW with L2
ACROSS_WIDTHS: list[tuple[Case, Isa]] = [
    *((case, isa) for case in (FLOAT32, FLOAT64) for isa in ISAS),
    (BLOCKS[0], "sse2"),
    (BLOCKS[1], "avx2"),
    (BLOCKS[0], "avx512"),
]


def program(case: Case, isa: Isa = "native") -> HostProgram:
    ours = kernel(case)
    return HostProgram(ours.source, ours.definitions(), isa=isa)


@pytest.mark.parametrize(("case", "isa"), ACROSS_WIDTHS, ids=str)
def test_every_vector_width_gives_the_same_bits(case: Case, isa: Isa) -> None:
    compiler = find_compiler()
    assert compiler is not None
    if isa not in runnable_isas(compiler):
        pytest.skip(f"this CPU does not run {isa}")
    narrow = program(case, isa)
    if case.engine == "lane":
        assert narrow.lanes == WIDTHS[isa] // np.dtype(case.dtype).itemsize
    expected, its_metrics = trained_in_calls(BACKEND, case, (EPOCHS,))
    found, metrics = trained_in_calls(BACKEND, case, (EPOCHS,), narrow)
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


@pytest.mark.parametrize("case", SHIPPED, ids=str)
def test_optimisation_changes_no_bits(case: Case) -> None:
    """Not even where it is left out altogether; -O0 and -O1 are what other tests compile with."""
    kept = kernel(case)
    expected, its_metrics = trained_in_calls(BACKEND, case, (EPOCHS,))
    for level in ("-O0", "-O1") if case in (FLOAT32, *BLOCKS) else ("-O1",):
        less = HostProgram(kept.source, kept.definitions(), extra=(level,))
        found, metrics = trained_in_calls(BACKEND, case, (EPOCHS,), less)
        assert_same_bits(found, expected)
        assert_same_bits(metrics, its_metrics)


COMPILERS = ("g++", "clang++")
BY_COMPILER: list[tuple[Case, Isa]] = [
    *((case, "native") for case in (FLOAT64, *BLOCKS)),
    (FLOAT32, "sse2"),  # without fma instructions
    (FLOAT32, "avx2"),
]


@pytest.fixture(params=COMPILERS)
def other_compiler(request: pytest.FixtureRequest) -> str:
    """Not the one that the other tests use."""
    compiler, other = find_compiler(), shutil.which(request.param)
    assert compiler is not None
    if other is None:
        pytest.skip(f"no {request.param} on this machine")
    if os.path.realpath(other) == os.path.realpath(compiler.command[0]):
        pytest.skip(f"{request.param} is what all other tests use")
    return other


@pytest.mark.parametrize(("case", "isa"), BY_COMPILER, ids=str)
def test_every_compiler_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, other_compiler: str, case: Case, isa: Isa
) -> None:
    expected, its_metrics = trained_in_calls(BACKEND, case, (EPOCHS,))
    monkeypatch.setenv("CXX", other_compiler)
    compiler = find_compiler()
    assert compiler is not None
    if isa != "native" and isa not in runnable_isas(compiler):
        pytest.skip(f"this CPU does not run {isa}")
    found, metrics = trained_in_calls(BACKEND, case, (EPOCHS,), program(case, isa))
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


def test_every_compiler_gives_the_same_bits_in_fused_kernels(
    monkeypatch: pytest.MonkeyPatch, other_compiler: str
) -> None:
    monkeypatch.setattr(array_engine, "FUSED_PARAMETERS", 1)

    def trained() -> np.ndarray:
        networks = Population.initialize(Architecture(3, (19,), 3, "tanh", "softmax"), network_seeds(0, 2), BACKEND)
        settings = Settings(epochs=3, batch_size=8, l2=0.01)
        train(networks, X, TARGETS["cross_entropy"], settings, engine="array")
        return networks.params

    expected = trained()
    monkeypatch.setenv("CXX", other_compiler)
    assert_same_bits(trained(), expected)
