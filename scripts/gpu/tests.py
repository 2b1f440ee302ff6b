"""The tests marked `gpu`: found by collecting, run side by side, each outcome written down as it comes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.machine import usable_cores

from gpu.work import ROOT, Item, Row, Work

MOST_WORKERS, CORES_A_WORKER = 14, 1.15  # each has a CUDA context of some hundred MB
TESTS = tuple(sorted((ROOT / "tests").rglob("test_*.py"), key=lambda path: path.stat().st_size))
REHEARSED = (ROOT / "tests" / "test_random_numbers.py",)
LAST_WORDS = 6.0  # seconds for pytest to end
CONFIGURED = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
COMMON = [*CONFIGURED, "-q", "-m", "gpu", "-p", "no:cacheprovider", "--continue-on-collection-errors", "-W", "default"]
COLLECTED, BROKEN = "collected", "broken"


def items(work: Work) -> list[Item]:
    return [Item("pytest -m gpu", partial(run, work), needs=8, limit=3600)]


def run(work: Work) -> Iterable[Row]:
    """counts: by outcome. failed: names, each with the last line of what went wrong. uncollected: files that cannot be
    imported here (a package is missing), and why."""
    files, uncollected = collected(REHEARSED if work.stand_in else TESTS, work)
    outcomes = work.folder / "tests.jsonl"
    outcomes.unlink(missing_ok=True)
    workers = max(1, min(MOST_WORKERS, int(usable_cores() / CORES_A_WORKER), len(files) * 4))
    side_by_side = ["-n", str(workers), "--maxprocesses", str(workers), "--dist", "worksteal"]
    if find_spec("xdist") is None:
        side_by_side = ["-o", "addopts=--strict-markers"]
    words = [*COMMON, "--tb=short", *side_by_side, "-p", "gpu.outcomes", *files]
    cut = files and pytest(words, work, outcomes, "tests-output.txt", work.left() - LAST_WORDS) is None
    found = [json.loads(line) for line in lines_of(outcomes)]
    row: Row = {
        "files": len(files),
        "workers": workers,
        "counts": dict(Counter(each["outcome"] for each in found)),
        "failed": [{"test": each["test"], "reason": each["reason"]} for each in found if each["outcome"] == "failed"],
        "skipped": dict(Counter(each["reason"] for each in found if each["outcome"] == "skipped")),
        "uncollected": uncollected,
    }
    if cut:
        row["error"] = f"cut at its limit, after {len(found)} tests"
    elif not found:
        said = (work.folder / ("tests-output.txt" if files else "tests-collected-0.txt")).read_text(errors="replace")
        row["error"] = f"no test ran: {said[-1500:]}"
    yield row


def collected(files: Sequence[Path], work: Work) -> tuple[list[str], dict[str, str]]:
    """(files that have tests marked gpu; files that cannot be imported, and why). By several processes: collecting
    some thousand tests takes a while."""
    n = max(1, min(usable_cores(), len(files)))
    with ThreadPoolExecutor(n) as pool:
        parts = pool.map(partial(collect, work), range(n), [files[i::n] for i in range(n)])
        found = [outcome for part in parts for outcome in part]
    marked = dict.fromkeys(each["file"] for each in found if each["outcome"] == COLLECTED)
    return list(marked), {each["file"]: each["reason"] for each in found if each["outcome"] == BROKEN}


def collect(work: Work, number: int, files: Sequence[Path]) -> list[Row]:
    outcomes = work.folder / f"tests-collected-{number}.jsonl"
    outcomes.unlink(missing_ok=True)
    words = [*COMMON, "--collect-only", "-o", "addopts=--strict-markers", "-p", "gpu.outcomes", *map(str, files)]
    pytest(words, work, outcomes, f"tests-collected-{number}.txt", work.left() - LAST_WORDS)
    return [json.loads(line) for line in lines_of(outcomes)]


def pytest(words: list[str], work: Work, outcomes: Path, output: str, seconds: float) -> int | None:
    """The exit code; None where it was ended."""
    command = [sys.executable, "-m", "pytest", *words]
    environment = os.environ | {"GPU_CHECK_OUTCOMES": str(outcomes)}
    with (work.folder / output).open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            return process.wait(max(1.0, seconds))
        except subprocess.TimeoutExpired:
            process.terminate()
            return None


def lines_of(path: Path) -> list[str]:
    """Whole lines: the last one may have been cut."""
    if not path.exists():
        return []
    return [line for line in path.read_text(encoding="utf-8").split("\n")[:-1] if line]
