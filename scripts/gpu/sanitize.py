"""NVIDIA's compute-sanitizer over a small training of each engine: memcheck, racecheck, synccheck."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.machine import usable_cores

from gpu.work import ROOT, Item, Row, Work

TOOLS, ENGINES = ("memcheck", "racecheck", "synccheck"), ("block", "lane", "array")
FOUND = 99  # the exit code of a tool that has found something
SUMMARY = re.compile(r"=+ (?:ERROR|RACECHECK) SUMMARY: (.*)")


def items(work: Work) -> list[Item]:
    """All run beside each other: most of their time is beginning."""
    tool = sanitizer()
    if work.stand_in or tool is None:
        reason = "There is no device to check" if work.stand_in else "compute-sanitizer is not installed"
        return [Item("compute-sanitizer", lambda: [{"absent": reason}], needs=0)]
    # the array engine shares nothing between threads: its kernels are CuPy's and cuBLAS's
    pairs = [(kind, engine) for kind in TOOLS for engine in ENGINES if engine != "array" or kind == "memcheck"]
    pool = ThreadPoolExecutor(max(2, usable_cores() // 2))
    running = {", ".join(pair): pool.submit(check, tool, *pair, work.left() - 1) for pair in pairs}
    return [Item(name, partial(outcome, found), needs=0, limit=600) for name, found in running.items()]


def sanitizer() -> str | None:
    """The command, from PATH or a CUDA toolkit."""
    toolkits = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda", "/opt/cuda"]
    places = [os.environ.get("PATH", ""), *(str(Path(place) / "bin") for place in toolkits if place)]
    places += [str(Path(place) / "compute-sanitizer") for place in toolkits if place]
    return shutil.which("compute-sanitizer", path=os.pathsep.join(places))


def check(tool: str, kind: str, engine: str, seconds: float) -> Row:
    words = [tool, "--tool", kind, "--error-exitcode", str(FOUND), sys.executable, "-m", "gpu.small_training", engine]
    row: Row = {"tool": kind, "engine": engine}
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        return row | {"error": f"cut after {seconds:.0f} s"}
    return row | judged(done.returncode, (done.stdout + done.stderr).splitlines())


def judged(code: int, lines: Sequence[str]) -> Row:
    summaries = [match[1] for line in lines if (match := SUMMARY.search(line))]
    trained = any(line.startswith("trained ") for line in lines)
    row: Row = {"summary": "; ".join(summaries) or "no summary", "passed": code == 0 and bool(summaries) and trained}
    if not row["passed"]:
        row["error"] = "\n".join(lines[-30:])[-3000:] or f"exit code {code}"
    return row


def outcome(running: Future[Row]) -> Iterable[Row]:
    yield running.result()
