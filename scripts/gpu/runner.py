"""Runs the parts, each in processes of its own with a limit, and writes down how each ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gpu.findings import Findings
from gpu.parts import PARTS, Part
from gpu.work import ROOT

POLL, LAST_WORDS = 0.1, 2.0  # seconds: between two looks at a process; from asking it to end to ending it
LEAST = 4.0  # seconds that a process needs to begin
MOST_STARTS = 12  # of a group's process


def environment(folder: Path) -> dict[str, str]:
    """Of all parts: this checkout's modules first, one kernel cache for all, float32 products as they are, JAX and
    CuPy beside each other."""
    given = os.environ.get("PYTHONPATH", "")
    paths = [str(path) for path in (ROOT, ROOT / "scripts", ROOT / "tests")] + ([given] if given else [])
    cache = folder / "kernels"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    defaults = {"GPUBP_CACHE_DIR": str(cache), "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "CUPY_TF32": "0"}
    return defaults | os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def run_all(names: list[str], seconds: float, folder: Path, stand_in: bool, tell: Callable[[str], None]) -> None:
    """Every part, within `seconds` altogether; what a part leaves of its share goes to those after it."""
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    for place, name in enumerate(names):
        weights = [PARTS[each].seconds for each in names[place:]]
        limit = max(0.0, end - time.monotonic()) * weights[0] / sum(weights)
        run_part(PARTS[name], limit, folder, stand_in, tell)


def run_part(part: Part, limit: float, folder: Path, stand_in: bool, tell: Callable[[str], None]) -> Findings:
    path, started = folder / f"{part.name}.json", time.monotonic()
    path.unlink(missing_ok=True)
    Findings(path, part.name).write()
    (folder / f"{part.name}.txt").write_bytes(b"")
    endings = []
    for place, group in enumerate(part.groups):
        left = limit - (time.monotonic() - started)
        endings.append(run_group(part, group, left / (len(part.groups) - place), path, stand_in))
    seconds = time.monotonic() - started
    ending = "; ".join(dict.fromkeys(ending for ending in endings if ending)) or "done"
    findings = Findings(path)
    findings.finish(seconds=round(seconds, 1), limit=round(limit, 1), ending=ending)
    errors = sum("error" in row for row in findings.rows)
    tell(
        f"{part.name}: {ending}, {seconds:.0f} of {limit:.0f} s, {len(findings.rows)} rows"
        + (f", {errors} errors" if errors else "")
        + (f", {len(findings.content['left_out'])} items left out" if findings.content["left_out"] else "")
    )
    return findings


def run_group(part: Part, group: str, seconds: float, path: Path, stand_in: bool) -> str:
    """How it ended, "" if as it should. A process that dies or hangs is replaced, for the items after that one."""
    end = time.monotonic() + seconds
    for _ in range(MOST_STARTS):
        left = end - time.monotonic()
        if left < LEAST:
            return "no time left"
        code = run_process(part, group, left, path, stand_in)
        findings = Findings(path)
        if findings.at_hand:
            findings.fail(findings.at_hand["item"], code if isinstance(code, str) else f"the process ended with {code}")
            if code == CUT:
                return CUT
        elif isinstance(code, str):
            return code
        elif code == 0:
            return ""
        elif not findings.content["done"]:
            findings.fail(
                group or part.name, f"ended with {code} before it began: {last_line(path.with_suffix('.txt'))}"
            )
            return "failed"
    return "started too often"


CUT = "cut at its limit"


def run_process(part: Part, group: str, seconds: float, path: Path, stand_in: bool) -> int | str:
    """The exit code; or why the process was ended."""
    command = [
        sys.executable,
        "-m",
        "gpu.worker",
        part.module,
        group,
        str(path),
        f"{max(1.0, seconds - LAST_WORDS):.1f}",
    ]
    with path.with_suffix(".txt").open("ab") as output:
        process = subprocess.Popen(
            command + ["--stand-in"] * stand_in,
            cwd=ROOT,
            env=environment(path.parent),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that what it starts ends with it
        )
        end = time.monotonic() + seconds
        try:
            while process.poll() is None:
                at_hand = Findings(path).at_hand
                if time.monotonic() > end:
                    return CUT
                if at_hand and time.time() - at_hand["began"] > at_hand["limit"]:
                    return f"took longer than {at_hand['limit']:.0f} s"
                time.sleep(POLL)
            return process.returncode
        finally:
            end_all_of(process)


def end_all_of(process: subprocess.Popen[bytes]) -> None:
    """The process and what it has started."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
        except (ProcessLookupError, PermissionError):
            break
        try:
            process.wait(LAST_WORDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def last_line(output: Path) -> str:
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else "it said nothing"
