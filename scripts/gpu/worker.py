"""The process of a part: measures its items one after the other, and writes down each row as soon as it is there.

    python -m gpu.worker MODULE GROUP FILE SECONDS [--stand-in]

Ends with DEVICE_LOST where the device no longer answers after an error: CUDA refuses everything then, and a new
process has to go on.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from gpu import timing
from gpu.findings import Findings
from gpu.stand_in import installed
from gpu.work import Item, Work

DEVICE_LOST = 70


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("group")
    parser.add_argument("file", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--stand-in", action="store_true")
    given = parser.parse_args(arguments)
    work = Work(given.file.parent, given.group, time.monotonic() + given.seconds, given.stand_in)
    if given.stand_in:
        timing.LONG_ENOUGH = 0.001
    with installed(given.stand_in):
        items = importlib.import_module(given.module).items(work)
        return measure(items, work, Findings(given.file))


def measure(items: Sequence[Item], work: Work, findings: Findings) -> int:
    findings.plan(item.name for item in items)
    for item in items:
        if item.name in findings.content["done"]:
            continue
        if work.left() < item.needs:
            findings.leave_out(item.name)
            continue
        findings.begin(item.name, item.limit)
        started = time.perf_counter()
        try:
            for row in item.rows():
                findings.add(item.name, row)
        except Exception as error:  # told, and the other items go on
            traceback.print_exc()
            findings.add(item.name, {"error": f"{type(error).__name__}: {error}"[:2000]})
        findings.end(item.name)
        print(f"{item.name}: {time.perf_counter() - started:.1f} s", flush=True)
        if not device_answers():
            return DEVICE_LOST
    return 0


def device_answers() -> bool:
    """Whether CUDA still works in this process, where CuPy has been used; also frees what CuPy's pool has kept."""
    cupy = sys.modules.get("cupy")
    if cupy is None:
        return True
    try:
        cupy.cuda.runtime.deviceSynchronize()
    except Exception:
        return False
    return True


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without waiting for what still runs in threads
