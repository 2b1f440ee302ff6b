"""The machine that a benchmark ran on, in words."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gpubp._version import __version__
from gpubp.backends import Backend, NumpyBackend

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "jax", "jaxlib", "cupy-cuda12x", "cupy-cuda13x")


def describe(backend: Backend) -> dict[str, str]:
    found = {
        "CPU": NumpyBackend().device(),
        "cores to use": str(usable_cores()),
        "load at the start": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "BLAS": blas(),
        "gpubp": f"{__version__} on {backend.name}",
    }
    if backend.name != "numpy":
        found["device"] = backend.device()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def usable_cores() -> int:
    """`taskset` and the like count."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas() -> str:
    """NumPy's matrix library with its number of threads."""
    from threadpoolctl import threadpool_info

    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return "; ".join(
        f"{library['internal_api']} {library['version']} ({library.get('architecture', 'unknown')}, "
        f"{library['num_threads']} threads)"
        for library in libraries[:1]
    )


class Bystanders:
    """Other programs: how many cores they kept busy since this was made. Linux tells."""

    STAT = Path("/proc/stat")

    def __init__(self) -> None:
        self.start = self._now()

    def cores(self) -> float | None:
        """None where the system does not tell."""
        now = self._now()
        if self.start is None or now is None:
            return None
        seconds, busy, own = (after - before for after, before in zip(now, self.start, strict=True))
        return max(0.0, (busy - own) / seconds)

    def _now(self) -> tuple[float, float, float] | None:
        """Seconds: of the clock, of all cores at work, of this process with the ones it started."""
        if not self.STAT.exists():
            return None
        user, nice, system, _idle, _waiting, irq, softirq, stolen = map(
            int, self.STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
        )
        own = os.times()
        busy = (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), busy, own.user + own.system + own.children_user + own.children_system
