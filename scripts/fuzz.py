#!/usr/bin/env python3
"""Give gpubp spoiled files and command lines, and look how it ends: never by a traceback, an abort, or not at all.

Every case is made from the seed and its own number, so that it comes again: bits are flipped in models, checkpoints,
results, tables and the like, or their structure is changed and their checksum made right, so that what lies behind the
checksum is reached; command lines have options of every command with values that fit and that do not. The cases run in
worker processes, which are started again when they die, or when a case takes longer than --limit seconds.

    python scripts/fuzz.py --cases 100000 --jobs 2
    python scripts/fuzz.py --kind model --cases 5000
    python scripts/fuzz.py --case 1234 --seed 0        this one alone, with its traceback

Exit code 1 if any case failed. Nothing is left behind, and nothing outside of a temporary folder is written to.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

MEMORY = 6 << 30  # bytes of addresses that a worker may take: who asks for 2^61 is found out
SHARES = {"model": 5, "estimator": 3, "checkpoint": 3, "ledger": 1, "results": 4, "space": 3, "parquet": 3, "table": 2}
SHARES["command"] = 5
Failure = tuple[int, str, str]  # the case's number, its kind, and what was wrong


def kind_of(number: int, seed: int, only: str | None) -> str:
    return only or random.Random(f"{seed} {number} kind").choices([*SHARES], [*SHARES.values()])[0]


def run_case(number: int, seed: int, only: str | None, files: Path, place: Path) -> str | None:
    """What was wrong, or None."""
    from fuzzing.targets import Case, where

    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    os.chdir(place)
    try:
        Case(kind_of(number, seed, only), random.Random(f"{seed} {number}"), files).run()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if os.environ.get("GPUBP_FUZZ_TRACEBACK"):
            traceback.print_exc()
        return where(error)
    finally:
        os.chdir(files)
    return None


def work(given: argparse.Namespace) -> None:
    """A worker: on standard output, a line for each case before and after it."""
    for name in ("fuzzing.targets", "gpubp.reporting.page", "optuna", "polars", "sklearn.model_selection"):
        with contextlib.suppress(ImportError):  # of an extra
            importlib.import_module(name)  # now, since it is no part of the first cases
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    files = Path(given.files)
    place = files.parent / f"case-{given.first}"
    for number in range(given.start, given.cases, given.jobs):
        print(json.dumps([number, "begun"]), file=told, flush=True)
        wrong = run_case(number, given.seed, given.kind, files, place)
        print(json.dumps([number, wrong]), file=told, flush=True)
    shutil.rmtree(place, ignore_errors=True)


class Runner:
    """Cases `first`, `first` + jobs, …, one worker after another."""

    def __init__(self, given: argparse.Namespace, first: int, files: Path) -> None:
        self.given, self.first, self.files = given, first, files
        self.done, self.failures = Counter[str](), list[Failure]()
        self.worker: subprocess.Popen[bytes] | None = None
        self.ended = False

    def run(self) -> None:
        start: int | None = self.first
        while start is not None and start < self.given.cases:
            start = self._worker(start)

    def end(self) -> None:
        self.ended = True
        if self.worker is not None:
            self.worker.kill()
            self.worker.wait()

    def _worker(self, start: int) -> int | None:
        """The number to go on from with another one; None at the end."""
        given, errors = self.given, self.files.parent / f"errors-{self.first}"
        command = [sys.executable, __file__, "--files", str(self.files), "--first", str(self.first)]
        command += ["--start", str(start), "--seed", str(given.seed), "--jobs", str(given.jobs)]
        command += ["--cases", str(given.cases), *(["--kind", given.kind] if given.kind else [])]
        with errors.open("wb") as log:
            worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)
        self.worker = worker
        assert worker.stdout is not None
        at, wrong, buffer = start, "", b""
        selector = selectors.DefaultSelector()
        selector.register(worker.stdout, selectors.EVENT_READ)
        limit = 120.0  # for what it imports
        try:
            while True:
                if not selector.select(limit):
                    wrong = f"it did not end within {given.limit:g} seconds"
                    break
                piece = os.read(worker.stdout.fileno(), 1 << 16)
                if not piece:
                    break
                *lines, buffer = (buffer + piece).split(b"\n")
                for line in lines:
                    at, outcome = json.loads(line)
                    limit = given.limit
                    if outcome == "begun":
                        continue
                    self._count(at, outcome)
                    at += given.jobs
        finally:
            worker.kill()
            worker.wait()
            selector.close()
            worker.stdout.close()
        if at >= given.cases or self.ended:
            return None
        if not wrong:
            last = errors.read_text(errors="replace").strip()[-300:]
            wrong = f"the process ended with {worker.returncode}: {last!a}"
        self._count(at, wrong)
        return at + given.jobs

    def _count(self, number: int, wrong: str | None) -> None:
        kind = kind_of(number, self.given.seed, self.given.kind)
        self.done[kind] += 1
        if wrong is not None:
            self.failures.append((number, kind, wrong))
            only = f" --kind {self.given.kind}" if self.given.kind else ""
            again = f"python scripts/fuzz.py --seed {self.given.seed}{only} --case {number}"
            print(f"FAILED {kind}: {wrong}\n  {again}", flush=True)


def prepare(folder: Path, given: argparse.Namespace) -> Path:
    from fuzzing.corpus import build

    files = folder / "files"
    files.mkdir()
    build(files)
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="workers side by side")
    parser.add_argument("--kind", choices=[*SHARES], help="cases of this kind alone")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds that a case may take")
    parser.add_argument("--case", type=int, help="this one alone, with its traceback")
    for name in ("--files", "--first", "--start"):  # of a worker
        parser.add_argument(name, help=argparse.SUPPRESS, type=str if name == "--files" else int)
    given = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder is removed
    if given.files:
        work(given)
        return 0
    with tempfile.TemporaryDirectory(prefix="gpubp-fuzz-") as name:
        folder = Path(name)
        os.environ |= {"GPUBP_CACHE_DIR": str(folder / "cache"), "HOME": name, "MPLCONFIGDIR": name}
        files = prepare(folder, given)
        if given.case is not None:
            os.environ["GPUBP_FUZZ_TRACEBACK"] = "1"
            wrong = run_case(given.case, given.seed, given.kind, files, folder / "case")
            os.chdir(Path(__file__).parent)
            print(f"{kind_of(given.case, given.seed, given.kind)}: {wrong or 'right'}")
            return 1 if wrong else 0
        return run_all(given, files)


def run_all(given: argparse.Namespace, files: Path) -> int:
    began = time.monotonic()
    runners = [Runner(given, first, files) for first in range(given.jobs)]
    threads = [threading.Thread(target=runner.run, daemon=True) for runner in runners]
    ended: BaseException | None = None
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except (KeyboardInterrupt, SystemExit) as error:  # Ctrl-C, SIGTERM: what was tried until then is told
        ended = error
    finally:
        for runner in runners:
            runner.end()
    seconds = time.monotonic() - began
    done: Counter[str] = sum((runner.done for runner in runners), Counter())
    failures: list[Failure] = sorted(failure for runner in runners for failure in runner.failures)
    failed: Any = Counter(kind for _, kind, _ in failures)
    print(f"{'kind':<12}{'cases':>9}{'failed':>9}")
    for kind in SHARES:
        if done[kind]:
            print(f"{kind:<12}{done[kind]:>9,}{failed[kind]:>9,}")
    print(f"{'all':<12}{done.total():>9,}{len(failures):>9,}   {done.total() / seconds:.1f} cases/s, seed {given.seed}")
    if ended is not None:
        raise ended
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
