"""What the device gives at the most, measured: multiply-adds, bandwidth, launches, the vendor's matrix product."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gpu.timing import slope
from gpu.work import Row
from gpubp.backends import get_backend

THREADS, BLOCKS = 256, 8  # of a block; for each multiprocessor
CHAINS = 8  # independent sums of a thread: enough for the latency of a multiply-add
ROUND = 16  # multiply-adds of each chain in a turn of the loop

SOURCE = r"""
extern "C" __global__ void multiply_adds(float* out, float a, float b, int turns, int first, int last) {
  float sums[CHAINS];
  for (int i = 0; i < CHAINS; ++i) sums[i] = (float)(threadIdx.x + i);
  for (int turn = 0; turn < turns; ++turn) {
#pragma unroll
    for (int k = 0; k < ROUND; ++k) {
#pragma unroll
      for (int i = 0; i < CHAINS; ++i) sums[i] = __fmaf_rn(sums[i], a, b);
    }
  }
  float sum = 0.0f;
  for (int i = 0; i < CHAINS; ++i) sum += sums[i];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
extern "C" __global__ void nothing(float* out, int first, int last) {}
"""
DEFINITIONS = {"CHAINS": CHAINS, "ROUND": ROUND, "THREADS": THREADS, "BLOCK_PER_NETWORK": True}


def fma_rate(turns: int) -> Iterable[Row]:
    """Operations a second, two for each multiply-add; nothing else is done."""
    backend = get_backend("cupy")
    runtime = backend.xp.cuda.runtime
    multiprocessors = runtime.getDeviceProperties(runtime.getDevice())["multiProcessorCount"]
    blocks = 1 if turns == 1 else multiprocessors * BLOCKS
    program, out = backend.compile(SOURCE, DEFINITIONS), backend.empty((blocks * THREADS,), np.float32)

    def run(count: int) -> None:
        program.launch("multiply_adds", [[out, np.float32(0.5), np.float32(1.0), turns, 0, blocks]] * count)
        backend.synchronize()

    run(1)
    seconds, _ = slope(run)
    yield {"flops": 2.0 * blocks * THREADS * turns * CHAINS * ROUND / seconds}


def bandwidth(n_bytes: int) -> Iterable[Row]:
    """Bytes a second of a copy on the device: read and written."""
    cupy, backend = get_backend("cupy").xp, get_backend("cupy")
    free = backend.memory().free
    n_bytes = min(n_bytes, free // 8)
    source, target = (cupy.zeros(n_bytes // 4, dtype=np.float32) for _ in range(2))

    def run(count: int) -> None:
        for _ in range(count):
            cupy.copyto(target, source)
        backend.synchronize()

    run(1)
    yield {"bytes_a_second": 2.0 * n_bytes / slope(run)[0], "bytes": n_bytes}


def launches(count: int) -> Iterable[Row]:
    """Microseconds: of a launch of gpubp's among others, of one that is waited for, of one of CuPy's own kernels."""
    cupy, backend = get_backend("cupy").xp, get_backend("cupy")
    program, out = backend.compile(SOURCE, DEFINITIONS), cupy.zeros(4, dtype=np.float32)
    units = max(1, count // 100)

    def ours(n: int) -> None:
        program.launch("nothing", [[out, 0, 1]] * (n * units))
        backend.synchronize()

    def waited(n: int) -> None:
        for _ in range(n * units):
            program.launch("nothing", [[out, 0, 1]])
            backend.synchronize()

    def cupys(n: int) -> None:
        for _ in range(n * units):
            cupy.add(out, 1.0, out=out)
        backend.synchronize()

    found = {}
    for name, run in (("launch_us", ours), ("launch_and_wait_us", waited), ("elementwise_us", cupys)):
        run(1)
        found[name] = 1e6 * slope(run, 0.02)[0] / units
    yield found


def sgemm(side: int) -> Iterable[Row]:
    """Operations a second of cuBLAS's float32 product of two square matrices, without TF32."""
    cupy, backend = get_backend("cupy").xp, get_backend("cupy")
    # whole numbers: their products are exact, so that the answer can be checked
    A, B = (cupy.asarray((np.arange(side * side) % n - 3).reshape(side, side).astype(np.float32)) for n in (7, 5))
    out = cupy.empty((side, side), dtype=np.float32)

    def run(count: int) -> None:
        for _ in range(count):
            cupy.matmul(A, B, out=out)
        backend.synchronize()

    run(1)
    first = backend.to_host(out)[0]
    expected = backend.to_host(A)[0].astype(np.float64) @ backend.to_host(B).astype(np.float64)
    if not np.array_equal(first, expected):
        yield {"error": "the product is not what whole numbers give exactly"}
    yield {"side": side, "flops": 2.0 * side**3 / slope(run)[0]}
