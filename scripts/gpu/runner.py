"""Runs the parts, each in processes of its own with a limit, and writes down how each ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gpu.findings import Findings
from gpu.parts import PARTS, Part
from gpu.work import ROOT

POLL, LAST_WORDS = 0.1, 2.0  # seconds: between two looks at a process; from asking it to end to ending it
CUT = "cut at its limit"
LEAST = 4.0  # seconds that a process needs to begin
MOST_STARTS = 12  # of a group's process


def environment(kernels: Path | None = None) -> dict[str, str]:
    """Of all parts: this checkout's modules first, float32 products as they are, JAX and CuPy beside each other.

    kernels: a folder for what the engines compile, where GPUBP_CACHE_DIR does not name one.
    """
    given = os.environ.get("PYTHONPATH", "")
    paths = [str(path) for path in (ROOT, ROOT / "scripts", ROOT / "tests")] + ([given] if given else [])
    defaults = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "CUPY_TF32": "0"}
    if kernels is not None:
        defaults["GPUBP_CACHE_DIR"] = str(kernels)
    return defaults | os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def run_all(names: list[str], seconds: float, folder: Path, stand_in: bool, tell: Callable[[str], None]) -> None:
    """Every part, within `seconds` altogether; what a part leaves of its share goes to those after it."""
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="gpubp-check-") as kernels:
        runner = Runner(folder, environment(Path(kernels)), stand_in, tell)
        for place, name in enumerate(names):
            weights = [PARTS[each].seconds for each in names[place:]]
            runner.run(PARTS[name], max(0.0, end - time.monotonic()) * weights[0] / sum(weights))


@dataclass(frozen=True)
class Runner:
    """folder: for what is found. tell: a line about each part."""

    folder: Path
    environment: Mapping[str, str]
    stand_in: bool
    tell: Callable[[str], None]

    def run(self, part: Part, limit: float) -> Findings:
        """Within `limit` seconds."""
        path, started = self.folder / f"{part.name}.json", time.monotonic()
        path.unlink(missing_ok=True)
        Findings(path, part.name).write()
        (self.folder / f"{part.name}.txt").write_bytes(b"")
        endings = []
        for place, group in enumerate(part.groups):
            left = limit - (time.monotonic() - started)
            endings.append(self.run_group(part, group, left / (len(part.groups) - place), path))
        seconds = time.monotonic() - started
        ending = "; ".join(dict.fromkeys(ending for ending in endings if ending)) or "done"
        findings = Findings(path)
        findings.finish(seconds=round(seconds, 1), limit=round(limit, 1), ending=ending)
        errors = sum("error" in row for row in findings.rows)
        self.tell(
            f"{part.name}: {ending}, {seconds:.0f} of {limit:.0f} s, {len(findings.rows)} rows"
            + (f", {errors} errors" if errors else "")
            + (f", {len(findings.content['left_out'])} items left out" if findings.content["left_out"] else "")
        )
        return findings

    def run_group(self, part: Part, group: str, seconds: float, path: Path) -> str:
        """How it ended, "" if as it should. A process that dies or hangs is replaced, for the items after that one."""
        end = time.monotonic() + seconds
        for _ in range(MOST_STARTS):
            left = end - time.monotonic()
            if left < LEAST:
                return "no time left"
            already = len(Findings(path).content["done"])
            code = self.run_process(part, group, left, path)
            ending = code if isinstance(code, str) else f"the process ended with {code}"
            findings = Findings(path)
            if findings.at_hand:
                findings.fail(findings.at_hand["item"], ending)
            elif code == 0:
                return ""
            elif code != CUT and len(findings.content["done"]) == already:
                findings.fail(group or part.name, f"{ending} before it began: {last_line(path.with_suffix('.txt'))}")
                return "failed"
            if code == CUT:
                return CUT
        return "started too often"

    def run_process(self, part: Part, group: str, seconds: float, path: Path) -> int | str:
        """The exit code; or why the process was ended."""
        own = f"{max(1.0, seconds - LAST_WORDS):.1f}"
        command = [sys.executable, "-m", "gpu.worker", part.module, group, str(path), own]
        with path.with_suffix(".txt").open("ab") as output:
            process = subprocess.Popen(
                command + ["--stand-in"] * self.stand_in,
                cwd=ROOT,
                env=self.environment,
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
