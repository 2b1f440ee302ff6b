"""NVRTC compiles the native kernels for every architecture, and what the engines serve fits into registers.

Kinds of kernels and architectures take turns here; scripts/kernel_report.py compiles each kernel for each of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from proof import nvrtc
from proof.kernels import CAPABILITIES, DTYPES, covering_set, lane_kernel, largest, usage
from proof.speed import count_of_update, estimate

from gpubp.backends.cupy_program import STATIC_SHARED
from gpubp.engines.block.kernel import BlockKernel
from gpubp.engines.block.layout import BLOCKS, BlockLayout
from gpubp.engines.dialect import read_source
from gpubp.engines.lane.kernel import LARGEST_ON_CUDA, LaneKernel, prediction_definitions, prediction_refusal
from gpubp.operations.architecture import Architecture

pytestmark = pytest.mark.skipif(nvrtc.missing() is not None, reason=str(nvrtc.missing()))

COVERING = list(covering_set())
CASE_STUDY = COVERING[0][1]
KINDS = [*dict.fromkeys(kind for kind, _ in COVERING)][1:]


def one_of_each_kind() -> Iterator[tuple[LaneKernel, int]]:
    """The dtype, the optimizer (of those of a kind that differ in it) and the architecture are the next one's turn."""
    for turn, kind in enumerate(KINDS):
        kernels = [kernel for its, kernel in COVERING if its == kind and kernel.dtype == DTYPES[1 - turn % 2]]
        yield kernels[turn % len(kernels)], CAPABILITIES[turn % len(CAPABILITIES)]


SOME = [*one_of_each_kind()]


def test_every_kind_dtype_and_architecture_has_its_turn() -> None:
    assert len(SOME) == len(KINDS) == 10
    assert {capability for _, capability in SOME} == {*CAPABILITIES}
    assert {kernel.dtype for kernel, _ in SOME} == {*DTYPES}
    assert len({kernel.optimizer for kernel, _ in SOME}) >= 5


@pytest.mark.parametrize("capability", [80, 90, 120])  # all others take as many registers as one of these
def test_eight_blocks_of_the_case_studys_network_share_a_multiprocessor(capability: int) -> None:
    found = usage(CASE_STUDY, capability)
    assert found.fits, found
    assert found.registers <= 128


@pytest.mark.parametrize(
    ("kernel", "capability"),
    SOME,
    ids=lambda value: f"sm_{value}" if isinstance(value, int) else f"{value.architecture.sizes}-{value.optimizer}",
)
def test_what_is_served_fits(kernel: LaneKernel, capability: int) -> None:
    assert kernel.refusal(in_registers=True) is None
    found = usage(kernel, capability)
    assert found.fits, found


def test_the_block_kernel_fits() -> None:
    """The functions that it calls, the tiles of products among them, keep everything in registers. What the kernel
    itself keeps over a call lies on a stack: it calls a few dozen times an update.
    """
    kernel = BlockKernel("float32", "poisson", "adam")
    found = usage(kernel, 89)
    assert found.called == 0
    assert_block_fits(found, kernel.layout)


def test_the_block_kernel_with_fewer_registers_a_thread() -> None:
    """The largest tile's own numbers included, but for what a function puts aside as it begins."""
    layout = BlockLayout(128, BLOCKS[128])
    found = usage(BlockKernel("float32", "cross_entropy", "adam", layout), 90)
    assert found.called <= 1024
    assert_block_fits(found, layout)


def assert_block_fits(found: nvrtc.Usage, layout: BlockLayout) -> None:
    assert found.spill_stores + found.spill_loads <= 1024
    assert found.stack <= 1024
    assert found.registers * layout.threads * layout.blocks <= 65_536  # of a multiprocessor
    assert 0 < found.shared < STATIC_SHARED


@pytest.mark.parametrize(("dtype", "capability"), [("float32", 90), ("float64", CAPABILITIES[0])])
def test_prediction_by_blocks_fits(dtype: str, capability: int) -> None:
    definitions = BlockKernel(dtype, "squared_error", "sgd").definitions()
    found = nvrtc.compile_cubin(read_source("block_predict.h"), definitions, capability, "block_predict")[1]
    assert found.called == 0
    assert_block_fits(found, BlockLayout())


@pytest.mark.parametrize("dtype", DTYPES)
def test_twice_the_largest_network_is_refused_with_reason(dtype: str) -> None:
    """And would spill: the limit is not far too low."""

    def shallow(width: int) -> LaneKernel:
        return lane_kernel((7, width, 3), ("tanh",), dtype=dtype)

    width = largest(shallow).architecture.sizes[1]
    refused = shallow(2 * width)
    limit = LARGEST_ON_CUDA[dtype]
    said = str(refused.refusal(in_registers=True))
    assert f"in {dtype} it would take {refused.registers} of them, {limit} at most" in said
    assert refused.refusal(in_registers=False) is None
    assert not usage(refused, 90).fits


def test_a_spill_is_seen() -> None:
    log = (
        "ptxas info    : Compiling entry function 'other' for 'sm_90'\n    0 bytes stack frame, 0 bytes spill stores, "
        "0 bytes spill loads\nptxas info    : Used 10 registers, used 0 barriers\n"
        "ptxas info    : Compiling entry function 'k' for 'sm_90'\n    16 bytes stack frame, 12 bytes spill stores, "
        "8 bytes spill loads\nptxas info    : Used 255 registers, used 1 barriers, 512 bytes smem\n"
    )
    found = nvrtc.parse_usage(log, "k")
    assert found == nvrtc.Usage(registers=255, stack=16, spill_stores=12, spill_loads=8, shared=512)
    assert not found.fits
    assert nvrtc.parse_usage(log, "other").fits


def test_the_estimate_counts_what_an_update_needs() -> None:
    """7-5-3, online: an fma for each weight forward and backward, and for each hidden weight of the layer above."""
    kernel = CASE_STUDY
    counts = count_of_update(kernel)
    products = (7 * 5 + 5 * 3) * 2 + 5 * 3
    assert products < counts["fma.rn.f32"] < products + 8 * 20  # and in the exp of eight neurons
    assert counts["rcp.approx.ftz.f32"] == 8  # a sigmoid each, and no branch for its division
    assert "div.rn.f32" not in counts
    few, many = estimate(kernel, 80), estimate(kernel, 160)
    assert (few.warps, many.warps) == (24, 12)
    assert few.updates >= many.updates > 1e9


@pytest.mark.parametrize("dtype", DTYPES)
def test_prediction_fits(dtype: str) -> None:
    """The widest network with one hidden layer that prediction by lanes serves; a wider one is refused."""

    def refusal(shape: Architecture) -> str | None:
        return prediction_refusal(shape, np.dtype(dtype), in_registers=True)

    width = next(w for w in range(1, 1000) if refusal(Architecture(3, w + 1, 2, "gelu")) is not None)
    definitions = prediction_definitions(Architecture(3, width, 2, "gelu"), np.dtype(dtype))
    assert nvrtc.compile_cubin(read_source("predict.h"), definitions, 90, "lane_predict")[1].fits
    assert "registers" in str(refusal(Architecture(200, 2, 2)))
    assert "takes long to compile" in str(refusal(Architecture(15, 22, 20)))
