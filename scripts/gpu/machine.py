"""The device, the versions of what is installed, and the device's ceilings as measured."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from gpu.ceilings import bandwidth, fma_rate, launches, sgemm
from gpu.work import ROOT, Item, Row, Work
from gpubp.backends import get_backend

PACKAGES = (
    "numpy", "scipy", "scikit-learn", "polars", "cupy-cuda12x", "cupy-cuda13x", "cuda-core", "cuda-bindings",
    "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12", "nvidia-cublas", "nvidia-cublas-cu12", "jax", "jaxlib", "torch",
    "triton",
)  # fmt: skip
PROPERTIES = {
    "multiProcessorCount": "multiprocessors",
    "clockRate": "clock_khz",
    "memoryClockRate": "memory_clock_khz",
    "memoryBusWidth": "memory_bus_bits",
    "totalGlobalMem": "memory_bytes",
    "l2CacheSize": "l2_bytes",
    "sharedMemPerBlockOptin": "shared_bytes_a_block",
    "sharedMemPerMultiprocessor": "shared_bytes_a_multiprocessor",
    "regsPerMultiprocessor": "registers_a_multiprocessor",
    "kernelExecTimeoutEnabled": "watchdog",
}
ASKED_OF_THE_DRIVER = "driver_version,clocks.max.sm,clocks.max.mem,power.limit,mig.mode.current"
# Of a multiprocessor in a cycle, float32 multiply-adds by compute capability (CUDA Programming Guide, throughput of
# arithmetic instructions); 128 for what is not listed.
MULTIPLY_ADDS = {(7, 0): 64, (7, 2): 64, (7, 5): 64, (8, 0): 64}


def items(work: Work) -> list[Item]:
    tiny = work.stand_in
    return [
        Item("device", device, needs=0.5),
        Item("versions", versions, needs=0.5),
        Item("launches", partial(launches, 3 if tiny else 2000), needs=1),
        Item("FP32 multiply-adds", partial(fma_rate, 1 if tiny else 4096), needs=1),
        Item("copy", partial(bandwidth, 1 << (10 if tiny else 29)), needs=1),
        Item("sgemm", partial(sgemm, 16 if tiny else 4096)),
    ]


def device() -> Iterable[Row]:
    backend = get_backend("cupy")
    runtime = backend.xp.cuda.runtime
    found = runtime.getDeviceProperties(runtime.getDevice())
    capability = (found["major"], found["minor"])
    row: dict[str, Any] = {
        "name": found["name"].decode(),
        "capability": f"{capability[0]}.{capability[1]}",
        **{ours: found[theirs] for theirs, ours in PROPERTIES.items() if theirs in found},
        "driver_cuda": runtime.driverGetVersion(),
        "runtime_cuda": runtime.runtimeGetVersion(),
    }
    try:
        row["nvrtc"] = ".".join(map(str, backend.xp.cuda.nvrtc.getVersion()))
    except Exception as error:  # where it is missing, the rest is told all the same
        row["nvrtc"] = f"{type(error).__name__}: {error}"[:300]
    if "clock_khz" in row:
        rate = MULTIPLY_ADDS.get(capability, 128)
        row["fp32_peak"] = 2e3 * rate * row["multiprocessors"] * row["clock_khz"]  # operations a second
    yield row | asked_of_the_driver()


def asked_of_the_driver() -> dict[str, str]:
    """By nvidia-smi, of the first device; nothing where there is none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return {}
    done = subprocess.run(
        [command, f"--query-gpu={ASKED_OF_THE_DRIVER}", "--format=csv,noheader"], capture_output=True, text=True
    )
    if done.returncode:
        return {"nvidia_smi": (done.stdout + done.stderr).strip()[:300]}
    answers = done.stdout.splitlines()[0].split(", ")
    return dict(zip(ASKED_OF_THE_DRIVER.split(","), answers, strict=False))


def versions() -> Iterable[Row]:
    """commit: of this checkout, where git tells."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    git = shutil.which("git")
    if git:
        done = subprocess.run([git, "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
        found["commit"] = done.stdout.strip() or "unknown"
    yield found | {"cores": str(os.cpu_count())}
