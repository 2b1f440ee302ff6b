"""The machine that a benchmark ran on, in words."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

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
        "gpubp": f"{version('gpubp')} on {backend.name}",
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
