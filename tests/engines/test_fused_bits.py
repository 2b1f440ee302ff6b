"""The fused kernels' bits: the same for every vector width, number of threads, and on the CUDA path without a GPU.

Matrix products are NumPy's in all of these trainings, so that whatever differs comes from the kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import standin as standin_module
from bit_cases import FUSED_CASES, HIDDEN, assert_same_bits, fused_name, trained_fused
from conftest import optimised
from proof import nvrtc
from proof.backend import PtxBackend
from proof.kernels import CAPABILITIES

from gpubp.backends import NumpyBackend, Program
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.host_compiler import ISAS, Isa, find_compiler, runnable_isas
from gpubp.backends.host_program import HostProgram
from gpubp.engines.array import fused_kernel as fused
from gpubp.engines.array.fused_kernel import FusedKernel
from gpubp.networks.state import TrainingState
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.training.history import History

OPTIMISATION = "shipped"
pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")
needs_nvrtc = pytest.mark.skipif(nvrtc.missing() is not None, reason=str(nvrtc.missing()))

KERNELS = (
    "fused_forward",
    "fused_drop",
    "fused_backward",
    "fused_loss",
    "fused_begin",
    "fused_update",
    "fused_squares",
)


def assert_same(found: tuple[np.ndarray, History, TrainingState], expected: Any) -> None:
    assert_same_bits(found[0], expected[0])
    assert_same_bits(found[1].training_loss, expected[1].training_loss)
    assert found[2].slots.keys() == expected[2].slots.keys()
    for slot, values in found[2].slots.items():
        assert_same_bits(values, expected[2].slots[slot])


class _OtherBackend(NumpyBackend):
    """Compiles for an instruction set, with flags or for a number of threads of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def compile(self, source: str, definitions: Any) -> Program:
        return HostProgram(source, definitions, **self.options)


@pytest.mark.parametrize(
    ("case", "isa"),
    [*zip([FUSED_CASES[i] for i in (1, 5, 0)], ISAS, strict=True), (FUSED_CASES[2], "sse2")],
    ids=lambda value: fused_name(value) if isinstance(value, dict) else value,
)
def test_every_vector_width(case: dict[str, Any], isa: Isa) -> None:
    compiler = find_compiler()
    assert compiler is not None
    if isa not in runnable_isas(compiler):
        pytest.skip(f"this CPU does not run {isa}")
    expected = trained_fused(NumpyBackend(), case)
    assert_same(trained_fused(_OtherBackend(isa=isa), case), expected)


@pytest.mark.parametrize("case", FUSED_CASES, ids=fused_name)
def test_optimisation_changes_no_bits(case: dict[str, Any]) -> None:
    """Not even where it is left out altogether."""
    expected = trained_fused(NumpyBackend(), case)
    with optimised("-O0"):
        found = trained_fused(NumpyBackend(), case)
    assert_same(found, expected)


@pytest.mark.parametrize(
    ("case", "threads"),
    [(case, 2 + place % 2) for place, case in enumerate(FUSED_CASES)],
    ids=lambda value: str(value) if isinstance(value, int) else fused_name(value),
)
def test_one_thread_or_several(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any], threads: int) -> None:
    expected = trained_fused(NumpyBackend(), case)
    monkeypatch.setattr(fused, "SHARED_CELLS", 1)
    monkeypatch.setattr(fused, "FEWEST_THREADS", 2)
    monkeypatch.setattr(fused, "SHARE", 7)  # pieces begin anywhere
    assert_same(trained_fused(_OtherBackend(threads=threads), case), expected)


@pytest.mark.parametrize("case", FUSED_CASES, ids=fused_name)
def test_the_cuda_branch_on_the_stand_in(
    monkeypatch: pytest.MonkeyPatch, standin: CupyBackend, case: dict[str, Any]
) -> None:
    monkeypatch.setenv("STANDIN_CXXFLAGS", "-O0")
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", "777")
    expected = trained_fused(NumpyBackend(), case)
    standin.xp.counters.reset()
    found = trained_fused(standin, case)
    assert standin.xp.counters.launches > 0
    assert_same(found, expected)


def test_transfers_do_not_grow_with_the_epochs(monkeypatch: pytest.MonkeyPatch, standin: CupyBackend) -> None:
    monkeypatch.setenv("STANDIN_CXXFLAGS", "-O0")

    def counted(epochs: int) -> tuple[int, int]:
        standin.xp.counters.reset()
        trained_fused(standin, FUSED_CASES[0], epochs)
        return standin.xp.counters.to_device, standin.xp.counters.to_host

    assert counted(2) == counted(6)
    assert standin_module.is_standin(standin.xp)


@needs_nvrtc
@pytest.mark.parametrize("case", [FUSED_CASES[0], FUSED_CASES[2], FUSED_CASES[3]], ids=fused_name)
def test_the_ptx_interpreted(case: dict[str, Any]) -> None:
    """Every kernel, in warps; the interpreter refuses instructions that a later compiler may round otherwise."""
    small = case | {"hidden": tuple(min(width, 9) for width in case["hidden"])}
    backend = PtxBackend(THREADS=32)
    found = trained_fused(backend, small, epochs=1, networks=2)
    assert_same(found, trained_fused(NumpyBackend(), small, epochs=1, networks=2))
    run = {machine.kernel.name for machine in backend.machines}
    assert run >= set(KERNELS) - {"fused_drop", "fused_squares"}
    assert ("fused_drop" in run) == bool(case["dropout"])


@needs_nvrtc
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_nvrtc_compiles_it_for_every_architecture(capability: int) -> None:
    """Nothing spills, nothing is on a stack, and enough registers are left for many warps."""
    losses, optimizers, turn = list(LOSSES), list(OPTIMIZERS), CAPABILITIES.index(capability)
    dtype = ("float32", "float64")[turn // 2 % 2]
    kernel = FusedKernel(dtype, losses[turn % len(losses)], optimizers[turn % len(optimizers)])
    for entry, found in usages(kernel, capability).items():
        assert found.fits, (kernel, entry, found)
        assert found.registers <= 64
        assert found.shared == 0


def usages(kernel: FusedKernel, capability: int) -> dict[str, nvrtc.Usage]:
    """Of each of the program's kernels, from one compilation."""
    options = [*nvrtc._options(kernel.definitions()), f"--gpu-architecture=sm_{capability}", "--ptxas-options=-v"]
    log = nvrtc._compile(kernel.source, options, "CUBIN")[1]
    return {entry: nvrtc.parse_usage(log, entry) for entry in KERNELS}


def test_the_cases_have_everything() -> None:
    assert {case["loss"] for case in FUSED_CASES} == set(LOSSES)
    assert {case["optimizer"] for case in FUSED_CASES} == set(OPTIMIZERS)
    assert {activation for case in FUSED_CASES for activation in case["activations"]} >= set(HIDDEN[:11])
