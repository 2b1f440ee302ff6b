"""The case study as a user runs it: the whole command, from an empty kernel cache and again."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable
from functools import partial

from gpu.stand_in import gpubp_command
from gpu.work import ROOT, Item, Row, Work

WARM = 2
ACCURACY = 93.333  # percent, the tutorial's


def items(work: Work) -> list[Item]:
    return [Item(backend, partial(commands, backend, work), needs=3, limit=90) for backend in ("cupy", "numpy")]


def commands(backend: str, work: Work) -> Iterable[Row]:
    """cold: neither gpubp's kernels nor CuPy's are in a cache."""
    with tempfile.TemporaryDirectory(prefix="gpubp-case-") as folder:
        caches = {"GPUBP_CACHE_DIR": os.path.join(folder, "gpubp"), "CUPY_CACHE_DIR": os.path.join(folder, "cupy")}
        os.mkdir(caches["GPUBP_CACHE_DIR"], mode=0o700)
        for run in ("cold", *["warm"] * WARM):
            yield {"backend": backend, "run": run} | command(backend, os.environ | caches, work)


def command(backend: str, environment: dict[str, str], work: Work) -> Row:
    words = [*gpubp_command(work.stand_in), "case-study", "--backend", backend, "--json", "--quiet"]
    started = time.perf_counter()
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        return {"error": f"exit code {done.returncode}: {done.stderr.strip()[-500:]}"}
    found = json.loads(done.stdout)
    kept = {key: found[key] for key in ("engine", "train_seconds", "mean_accuracy")}
    row: Row = {"seconds": seconds} | kept
    if round(found["mean_accuracy"], 3) != ACCURACY:
        row["error"] = f"mean accuracy {found['mean_accuracy']}, not {ACCURACY}"
    return row
