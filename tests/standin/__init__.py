"""A strict stand-in for CuPy: NumPy inside, and a device's rules outside.

    with standin.installed() as cupy:
        backend = get_backend("cupy")
        ...
        assert cupy.counters.to_host == 1

It shows that code written for `backend.xp` would run on a GPU: no host array meets a device array, nothing is
fetched unnoticed, no function or keyword is used that CuPy lacks, nothing relies on fresh memory being zero.
It says nothing about a device's arithmetic or speed.
"""

from standin.install import installed, is_standin
from standin.state import (
    BROKEN_IMPORT,
    LITTLE_MEMORY,
    NO_DEVICE,
    NO_DRIVER,
    NO_MEMORY,
    NOT_INSTALLED,
    READY,
    ZERO_DEVICES,
    Counters,
    Machine,
)

__all__ = [
    "BROKEN_IMPORT",
    "LITTLE_MEMORY",
    "NOT_INSTALLED",
    "NO_DEVICE",
    "NO_DRIVER",
    "NO_MEMORY",
    "READY",
    "ZERO_DEVICES",
    "Counters",
    "Machine",
    "installed",
    "is_standin",
]
