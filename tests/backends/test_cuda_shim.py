"""Kernels on the CPU behave as on a device where they are right, and fail loudly where they are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import standin
from standin.array import ndarray
from standin.nvrtc import compile_for_the_cpu, host_options
from standin.state import CUDARuntimeError

from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.cupy_program import CupyProgram
from gpubp.backends.host_compiler import find_compiler
from gpubp.backends.nvrtc import OPTIONS
from gpubp.errors import BackendError

OPTIMISATION = "shipped"
pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")

SOURCE = (Path(__file__).parents[1] / "native" / "shim_kernels.cu").read_text(encoding="utf-8")
X = np.random.default_rng(5).integers(-9, 10, size=(5, 64)).astype(np.float32)  # sums of them are exact in any order
ORDERS = ["0", "1", "42"]


@pytest.fixture
def cp() -> Iterator[Any]:
    with standin.installed() as cupy:
        yield cupy


@pytest.fixture
def module(cp: Any) -> Any:
    loaded = CupyProgram(cp, SOURCE, {"THREADS": 64}).module
    cp.counters.reset()
    return loaded


def start(
    module: Any, name: str, grid: Any, block: Any, arguments: Any, shared: int = 0, cooperative: bool = False
) -> None:
    """A launch by cuda-core on the default stream: arrays as addresses, all else as it is."""
    from cuda.core import LaunchConfig, Stream, launch

    addresses = [argument.data.ptr if isinstance(argument, ndarray) else argument for argument in arguments]
    launch(Stream.from_handle(1), LaunchConfig(grid, block, shared, cooperative), module.get_kernel(name), *addresses)


def compiled(**options: Any) -> Any:
    """The kernels as cuda-core compiles them with these options, kept nowhere."""
    from cuda.core import Program, ProgramOptions

    return Program(SOURCE, "c++", ProgramOptions(name="gpubp.cu", arch="sm_90", **options)).compile("cubin")


@pytest.mark.parametrize("order", ORDERS)
def test_barriers_and_shared_memory(cp: Any, module: Any, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", order)
    x, out = cp.asarray(X), cp.empty(5, np.float32)
    start(module, "sum_blocks", (5,), (64,), (x, out))
    np.testing.assert_array_equal(out.get(), X.sum(axis=1))
    out.fill(0)
    start(module, "sum_by_shuffles", (5,), (64,), (x, out), shared=8)
    np.testing.assert_array_equal(out.get(), X.sum(axis=1))
    assert cp.counters.launches == 2


def test_fibers_for_any_processor(cp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_CXXFLAGS", "-DCUDA_ON_CPU_UCONTEXT -O1")
    out = cp.empty(5, np.float32)
    start(compiled(), "sum_blocks", (5,), (64,), (cp.asarray(X), out))
    np.testing.assert_array_equal(out.get(), X.sum(axis=1))


def test_shuffles_of_64_bits(cp: Any, module: Any) -> None:
    x, out = np.arange(32.0), cp.empty(32, np.float64)
    start(module, "neighbours", (1,), (32,), (cp.asarray(x), out))
    expected = np.append(x[1:], x[-1]) + np.insert(x[:-1], 0, x[0]) + x[3]
    np.testing.assert_array_equal(out.get(), expected)


@pytest.mark.parametrize("order", ORDERS)
def test_every_thread_of_every_block_runs_once(
    cp: Any, module: Any, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", order)
    out = cp.empty((24, 30), np.int32)
    start(module, "places", (2, 3, 4), (5, 3, 2), (out,))
    np.testing.assert_array_equal(out.get(), 1000 * np.arange(24)[:, None] + np.arange(30))


@pytest.mark.parametrize("name", ["race", "missing_barrier"])
def test_a_race_depends_on_the_order(cp: Any, module: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = []
    for order in ORDERS:
        monkeypatch.setenv("CUDA_ON_CPU_ORDER", order)
        out = cp.zeros(64, np.int32 if name == "race" else np.float32)
        start(module, name, (4,), (64,), (out,))
        found.append(out.get().tobytes())
    assert len(set(found)) == len(ORDERS)


def test_threads_take_turns_at_reads(cp: Any, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a barrier a thread runs from its beginning to its end: a race within it would not show."""
    found = []
    for order in ORDERS:
        monkeypatch.setenv("CUDA_ON_CPU_ORDER", order)
        memory, out = cp.zeros(1, np.int32), cp.zeros(64, np.int32)
        start(module, "private_in_shared_memory", (1,), (64,), (memory, out))
        found.append((out.get() == np.arange(64)).all())
    assert found == [True, True, False]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("returns_before_a_barrier", "__syncthreads waits for a thread that has returned"),
        ("two_barriers", "__syncthreads is reached from two places at once"),
        ("lane_that_never_comes", "a warp operation names a lane that never arrives"),
    ],
)
def test_divergence_fails_the_launch(module: Any, name: str, words: str) -> None:
    with pytest.raises(CUDARuntimeError, match=f"{name}: {words} .block 0,0,0, thread .*gpubp.cu:"):
        start(module, name, (2,), (32,), (np.int32(20),))
    start(module, name, (2,), (32,), (np.int32(32),))  # and not where all threads go the same way


def test_a_shuffle_reads_only_lanes_that_take_part(cp: Any, module: Any) -> None:
    with pytest.raises(CUDARuntimeError, match="a shuffle reads a lane that takes no part"):
        start(module, "reads_a_lane_that_takes_no_part", (1,), (32,), (cp.zeros(32, np.float32),))


def test_shared_memory_begins_as_poison(cp: Any, module: Any) -> None:
    out = cp.zeros(2, np.float32)
    start(module, "uninitialised", (3,), (1,), (out,), shared=16)
    assert np.isnan(out.get()).all()


def test_scalars_and_null_pointers_arrive(cp: Any, module: Any) -> None:
    out = cp.empty(6, np.float64)
    values = (np.int32(-1), np.int64(2**40), np.uint32(2**32 - 1), np.float32(0.5), np.float64(0.1), np.bool_(True))
    start(module, "scalars", (1,), (1,), (out, *values))
    assert out.get().tolist() == [-1, 2.0**40, 2.0**32 - 1, 0.5, 0.1, 1]
    null = cp.empty(1, np.int32)
    start(module, "is_null", (1,), (1,), (0, null))
    assert null.get().tolist() == [1]
    start(module, "is_null", (1,), (1,), (cp.zeros(1, np.float32), null))
    assert null.get().tolist() == [0]


def test_wrong_arguments_are_refused(cp: Any, module: Any) -> None:
    good, flag = cp.zeros((4, 4), np.float32), cp.zeros(1, np.int32)
    address = good.data.ptr
    for argument in (None, False, int(address), address + 4, np.zeros(4, np.float32), np.uintp(64), np.int64(0),
                     cp.zeros(4), flag, [1.0]):  # fmt: skip
        with pytest.raises(TypeError, match="is_null, argument 0"):
            start(module, "is_null", (1,), (1,), (argument, flag))
    with pytest.raises(ValueError, match="not its strides"):
        start(module, "is_null", (1,), (1,), (good.T[1:], flag))
    for arguments in ((good,), (good, flag, flag)):
        with pytest.raises(TypeError, match="is_null has 2 parameters"):
            start(module, "is_null", (1,), (1,), arguments)
    for number in (1, 1.0, True, np.int64(1), np.uint32(1), np.float32(1), np.bool_(True), flag):
        with pytest.raises(TypeError, match="the parameter takes a NumPy scalar, 32-bit signed integer"):
            start(module, "two_barriers", (1,), (1,), (number,))
    assert cp.counters.launches == 0


def test_impossible_launches_are_refused(cp: Any, module: Any) -> None:
    arguments = (cp.zeros(64, np.float32), cp.zeros(1, np.float32))
    for grid, block in (((0,), (64,)), ((1, 65536), (64,)), ((1,), (65,)), ((1,), (2048,)), ((1,), (8, 8, 2))):
        with pytest.raises(ValueError, match="sum_blocks: "):
            start(module, "sum_blocks", grid, block, arguments)
    for grid, block in ((1.0, 64), ((1.0,), 64), ((np.int64(1),), 64), ([1], 64), (1, "64")):
        with pytest.raises(TypeError, match="must be a tuple of 1 to 3 ints"):
            start(module, "sum_blocks", grid, block, arguments)
    with pytest.raises(ValueError, match="at most 49152 can be had"):
        start(module, "sum_blocks", 1, 64, arguments, shared=50000)
    with pytest.raises(CUDARuntimeError, match="named symbol not found: nothing"):
        start(module, "nothing", 1, 64, arguments)
    assert cp.counters.launches == 0


def test_a_cooperative_launch_is_no_larger_than_the_device(
    cp: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each multiprocessor eight blocks of 64 threads, by the registers that the stand-in says they have."""
    monkeypatch.setitem(standin.cuda.PROPERTIES, "multiProcessorCount", 2)
    x, out = cp.ones((17, 64), np.float32), cp.zeros(17, np.float32)
    start(module, "sum_blocks", 16, 64, (x, out), cooperative=True)
    assert out.get().tolist() == [64.0] * 16 + [0.0]
    with pytest.raises(ValueError, match=r"grid size .17 .* exceeds the limit .16"):
        start(module, "sum_blocks", 17, 64, (x, out), cooperative=True)


def arithmetic(cp: Any, module: Any) -> np.ndarray:
    x = np.array([1 + 2**-12, 1 + 2**-12, -1 - 2**-11, 1e-38], dtype=np.float32)
    out = cp.zeros(4, np.float32)
    start(module, "arithmetic", (1,), (1,), (cp.asarray(x), out))
    return out.get()


def test_rounding_is_as_the_options_say(cp: Any, module: Any) -> None:
    """Ours: as written. By NVRTC's own wish products and sums are contracted; by CuPy's denormal numbers flushed."""
    rounded_twice, once, half, added = arithmetic(cp, module)
    assert (rounded_twice, once) == (0, 2**-24)
    assert half == np.float32(1e-38) / 2
    assert added == np.float32(1e-38)
    contracted, once, half, added = arithmetic(cp, compiled(ftz=True))
    assert (contracted, once, half, added) == (2**-24, 2**-24, 0, 0)


def test_a_kernel_is_compiled_once_and_kept(standin: CupyBackend) -> None:
    source = 'extern "C" __global__ void set(int* out, int first, int last) { out[threadIdx.x] = VALUES; }'
    for value, compilations in ((7, 1), (7, 1), (8, 2)):
        out = standin.xp.zeros(3, np.int32)
        standin.compile(source, {"VALUES": value, "THREADS": 3}).launch("set", [[out, 0, 3]])
        assert standin.xp.counters.compilations == compilations
        assert out.get().tolist() == [value] * 3


def test_blocks_that_work_together_are_all_there(standin: CupyBackend) -> None:
    source = 'extern "C" __global__ void count(int* out, int first, int last) { atomicAdd(out + first, 1); }'
    program = standin.compile(source, {"THREADS": 64, "BLOCK_PER_NETWORK": True})
    most = program.resident_blocks("count", shared_bytes=100_000)
    assert most == 132 * 2
    out = standin.xp.zeros(3, np.int32)
    program.launch("count", [[out, 0, 2], [out, 2, 3]], shared_bytes=100_000, team_blocks=3)
    assert out.get().tolist() == [2 * 3 * 64, 0, 3 * 64]
    with pytest.raises(ValueError, match="exceeds the limit"):
        program.launch("count", [[out, 0, 2]], shared_bytes=100_000, team_blocks=most)


def test_a_rejected_source_is_told_as_our_defect(standin: CupyBackend) -> None:
    with pytest.raises(BackendError, match=r"(?s)defect of gpubp: please report.*NVRTC 13.*-DN=3.*nonsense") as caught:
        standin.compile('extern "C" __global__ void k() { nonsense(N); }', {"N": 3, "THREADS": 64})
    assert len(str(caught.value).splitlines()) < 40


def test_options_that_nvrtc_has_not_are_refused(cp: Any) -> None:
    assert host_options(OPTIONS) == ({}, ("-std=c++17", "-ffp-contract=off"))
    assert host_options(("--define-macro=N=1,2",))[0] == {"N": "1,2"}
    for option in ("-O3", "-march=native", "-ffast-math", "-D", "--ftz", "-Wall"):
        with pytest.raises(ValueError, match="knows no option"):
            compile_for_the_cpu(SOURCE, (option,), "sm_90", "gpubp.cu")
