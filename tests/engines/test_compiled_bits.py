"""A network's bits do not depend on how its kernel is compiled: for which vectors, how optimised, by which compiler.

Every kernel here is compiled with the flags that users get, and compared with the same kernel by -O0, which is compiled
in a fifth of the time: as those of the fixture of bits are, and of many other tests. Vector widths take turns over
cases that have every optimizer by lanes, the kinds of them by blocks, and both dtypes on every width. The activations,
losses and optimizers that are missing are in the fused kernels of test_fused_bits.py, whose functions lanes and blocks
share. That -O0 gives every kind of training the bits of the CUDA branch is in test_native_on_cuda_shim.py; that -O1
gives large products the same bits on every vector width, in test_native_bits.py.
"""

from __future__ import annotations

import functools
import os
import shutil

import numpy as np
import pytest
from bit_cases import BLOCK_CASES, EPOCHS, LANE_CASES, TARGETS, Case, X, assert_same_bits, kernel, trained_in_calls
from conftest import optimised

from gpubp.backends import NumpyBackend
from gpubp.backends.host_compiler import Isa, find_compiler, runnable_isas
from gpubp.backends.host_program import HostProgram
from gpubp.engines.array import engine as array_engine
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.training.loop import train

OPTIMISATION = "shipped"
pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")

BACKEND = NumpyBackend()
WIDTHS = {"sse2": 16, "avx2": 32, "avx512": 64}  # bytes
LANES: list[tuple[Case, Isa]] = [
    (LANE_CASES[0], "sse2"),  # online SGD
    (LANE_CASES[11], "sse2"),  # RMSprop, float64
    (LANE_CASES[1], "avx2"),  # Adam, two layers
    (LANE_CASES[2], "avx2"),  # momentum, float64
    (LANE_CASES[3], "native"),  # AdamW, three layers
    (LANE_CASES[12], "native"),  # SGD, float64
    (LANE_CASES[4], "sse2"),  # Nesterov
    (LANE_CASES[15], "avx2"),  # AMSGrad
]
BLOCKS: list[tuple[Case, Isa]] = [
    (BLOCK_CASES[1], "sse2"),  # Adam, two layers
    (BLOCK_CASES[2], "avx2"),  # momentum, float64
    (BLOCK_CASES[11], "native"),  # RMSprop, two layers
]
# Another compiler takes four seconds over a block kernel: it has one, in float64. float32 is in lanes, and, with layers
# as wide as a vector, in the fused kernels.
BY_OTHERS: list[tuple[Case, Isa]] = [
    (LANE_CASES[11], "native"),
    (LANE_CASES[0], "sse2"),  # without fma instructions
    (BLOCK_CASES[15], "native"),  # AMSGrad, float64
]


def assert_same_bits_as_by_O0(case: Case, compiled: HostProgram) -> None:
    for found, expected in zip(trained_in_calls(BACKEND, case, (EPOCHS,), compiled), plainly(case), strict=True):
        assert_same_bits(found, expected)


@functools.cache
def plainly(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and metrics of a training by a kernel in which nothing is optimised."""
    return trained_in_calls(BACKEND, case, (EPOCHS,), program(case, level="-O0"))


def program(case: Case, isa: Isa = "native", level: str = "shipped") -> HostProgram:
    ours = kernel(case)
    with optimised(level):
        return HostProgram(ours.source, ours.definitions(), isa=isa)


def runnable() -> tuple[Isa, ...]:
    compiler = find_compiler()
    assert compiler is not None
    return runnable_isas(compiler)


def skip_unless_runnable(isa: Isa) -> None:
    if isa not in ("native", *runnable()):
        pytest.skip(f"this CPU does not run {isa}")


@pytest.mark.parametrize(("case", "isa"), LANES + BLOCKS, ids=str)
def test_shipped_kernels_give_the_same_bits_on_every_vector_width(case: Case, isa: Isa) -> None:
    skip_unless_runnable(isa)
    shipped = program(case, isa)
    if case.engine == "lane" and runnable():  # an x86 CPU
        width = WIDTHS[runnable()[-1] if isa == "native" else isa]
        assert shipped.lanes == width // np.dtype(case.dtype).itemsize
    assert_same_bits_as_by_O0(case, shipped)


@pytest.mark.parametrize("case", [LANE_CASES[0], LANE_CASES[11], BLOCK_CASES[1]], ids=str)
def test_a_little_optimisation_gives_them_too(case: Case) -> None:
    """-O1 is what tests that train much compile with."""
    assert_same_bits_as_by_O0(case, program(case, level="-O1"))


def test_the_cases_have_every_optimizer_and_dtype() -> None:
    for cases, optimizers in ((LANES, set(OPTIMIZERS)), (BLOCKS, {"adam", "momentum", "rmsprop"})):
        assert {case.optimizer for case, _ in cases} == optimizers
    for isa in ("sse2", "avx2", "native"):
        assert {case.dtype for case, its in LANES if its == isa} == {"float32", "float64"}
    assert {case.dtype for case, _ in BLOCKS} == {"float32", "float64"}


COMPILERS = ("g++", "clang++")


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


@pytest.mark.parametrize(("case", "isa"), BY_OTHERS, ids=str)
def test_every_compiler_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, other_compiler: str, case: Case, isa: Isa
) -> None:
    plainly(case)
    monkeypatch.setenv("CXX", other_compiler)
    skip_unless_runnable(isa)
    assert_same_bits_as_by_O0(case, program(case, isa))


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
