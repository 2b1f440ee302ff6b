"""CuPy's stand-in of the tests, for a rehearsal on a machine without a device.

python -m gpu.stand_in case-study --backend cupy      # gpubp's command line on the stand-in
"""

from __future__ import annotations

import runpy
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def installed(stand_in: bool) -> AbstractContextManager[Any]:
    """Within it `import cupy` gives the stand-in, where it is asked for."""
    if not stand_in:
        return nullcontext()
    import standin

    return standin.installed()


def gpubp_command(stand_in: bool) -> list[str]:
    return [sys.executable, "-m", "gpu.stand_in" if stand_in else "gpubp"]


if __name__ == "__main__":
    with installed(True):
        runpy.run_module("gpubp", run_name="__main__", alter_sys=True)
