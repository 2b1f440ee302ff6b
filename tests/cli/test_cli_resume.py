"""`gpubp sweep --resume` as a user knows it: killed at random moments, on a full disk, run twice at a time."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command_line import SEEDS, gpubp, only_error, refused, succeeds
from safetensors.numpy import load_file

OPTIMISATION = "shipped"  # as in the processes that are killed: one kernel for all
GPUBP = [sys.executable, "-m", "gpubp"]
ENGINE = ["--engine", "block"]
KILLS = 2
SWEEPS: dict[str, list[str]] = {
    "random": ["--trials", "16", "--grid", "hidden=8;24;16,16", "--range", "epochs=150:450", "--set", "dropout=0.1"],
    "halving": [
        "--trials", "18", "--grid", "hidden=16;24,8", "--set", "epochs=800", "--strategy", "halving",
        "--grid", "schedule=constant;cosine", "--set", "early-stopping=true", "--set", "patience=160",
    ],
}  # fmt: skip


def command(kind: str, folder: Path, *more: str) -> list[str]:
    rates = ["--range", "learning-rate=1e-3:1e-2:log"]
    return ["sweep", str(SEEDS), *SWEEPS[kind], *rates, *ENGINE, "--json", "--output", str(folder), *more]


def newest(folder: Path) -> tuple[int, int]:
    """Which tells whether something was written into the folder."""
    times = []
    for path in _files(folder):
        with suppress(FileNotFoundError):  # it went meanwhile
            times.append(path.stat().st_mtime_ns)
    return len(times), max(times, default=0)


def _files(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError):  # the folder of checkpoints goes at the end
        return [*folder.rglob("*.safetensors")]
    return []


def results(folder: Path) -> dict[str, Any]:
    """Everything that has to be the same, and nothing about time."""
    outcome = json.loads((folder / "results.json").read_text())["outcome"]
    trials = pl.read_csv(folder / "trials.csv").drop("time_share").to_dicts()
    arrays = {
        f"{name}/{key}": array
        for name in ("best.safetensors", "ensemble.safetensors")
        if (folder / name).exists()  # of a single trial there is no ensemble
        for key, array in load_file(folder / name).items()
    }
    told = {name: value for name, value in outcome.items() if name not in ("seconds", "written")}
    return {"outcome": told, "trials": trials, "arrays": arrays}


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["trials"] == other["trials"]
    assert one["outcome"] == other["outcome"]
    assert one["arrays"].keys() == other["arrays"].keys()
    for name, array in one["arrays"].items():
        np.testing.assert_array_equal(other["arrays"][name], array, err_msg=name)


@pytest.mark.parametrize("kind", SWEEPS)
def test_killed_at_random_moments_and_resumed(tmp_path: Path, kind: str) -> None:
    succeeds(*command(kind, tmp_path / "whole"), "--quiet")
    folder, draw, kills = tmp_path / "cut", random.Random(kind), 0
    checkpoint = folder / "checkpoint"
    while True:
        before = newest(checkpoint)
        arguments = [*GPUBP, *command(kind, folder, "--quiet", "--checkpoint", "0.01s", "--resume")]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            if kills < KILLS:
                while running.poll() is None and newest(checkpoint) == before:
                    time.sleep(0.002)
                time.sleep(draw.uniform(0.0, 0.08))
                running.send_signal(signal.SIGKILL)
            _, err = running.communicate()
        if running.returncode == 0:
            break
        assert (running.returncode, err) == (-signal.SIGKILL, "")
        kills += 1
    assert kills == KILLS, "the sweep was over before it could be killed so often"
    same(results(tmp_path / "whole"), results(folder))
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in (tmp_path / "whole").iterdir()
    )


SMALL = ("--trials", "4", "--set", "epochs=20", "--set", "hidden=4", "--range", "learning-rate=0.01:0.1")


def test_a_finished_sweep_is_told_again(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    for ensemble in (0, 3):
        first = succeeds("sweep", SEEDS, *SMALL, "--ensemble", ensemble, "-o", folder)
        again = succeeds("sweep", SEEDS, *SMALL, "--ensemble", ensemble, "-o", folder, "--resume")
        assert "is finished: there is nothing to resume. This is what it has found." in again.err
        assert again.out == first.out
    as_json = succeeds("sweep", SEEDS, *SMALL, "-o", folder, "--resume", "--json").json
    assert as_json["trials"] == 4
    refused(tmp_path, "sweep", SEEDS, *SMALL[2:], "-o", folder, "--resume", "-q", words=("another sweep", "trials"))
    refused(tmp_path, "sweep", SEEDS, *SMALL, "--resume", "-q", words=("--resume", "name one"))
    (folder / "results.json").write_text("{}")
    refused(tmp_path, "sweep", SEEDS, *SMALL, "-o", folder, "--resume", "-q", words=("results.json", "no results"))


def test_a_sweep_that_ran_out_of_time_goes_on(tmp_path: Path) -> None:
    folder, runs = tmp_path / "runs", 1
    options = ("--trials", "60", "--set", "epochs=400", "--engine", "array", "--ensemble", "0", "--grid", "hidden=4;8")
    nothing = gpubp("sweep", SEEDS, *options, "-o", folder, "--budget", "0.000001s", "-q")
    assert (nothing.code, nothing.out) == (2, "")
    only_error(nothing.err, ("The time was over before the first trial was done", "--resume goes on"))
    outcome = gpubp("sweep", SEEDS, *options, "-o", folder, "--budget", "0.3s", "--resume")
    while "ended early" in outcome.err or outcome.code:
        assert "--resume goes on with it." in outcome.err
        if not outcome.code:  # else no network was done in time, on a busy machine: nothing would be lost
            refused(tmp_path, "sweep", SEEDS, *options, "-o", folder, "-q", words=("was cut short", "--resume"))
        outcome, runs = gpubp("sweep", SEEDS, *options, "-o", folder, "--budget", "0.3s", "--resume"), runs + 1
        assert "replaced" not in outcome.err
    assert runs > 1, "the time was enough: the case shows nothing"
    whole = succeeds("sweep", SEEDS, *options, "--json").json
    assert json.loads((folder / "results.json").read_text())["outcome"]["best"] == whole["best"]


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    arguments = command("random", folder, "--quiet", "--checkpoint", "0.01s")
    with subprocess.Popen([*GPUBP, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        while running.poll() is None and not _files(folder):
            time.sleep(0.002)
        running.send_signal(signal.SIGSTOP)
        try:
            for more in ((), ("--resume",)):
                second = gpubp(*command("random", folder, "--quiet", *more))
                assert (second.code, second.out) == (2, "")
                only_error(second.err, ("is being run by another process", "wait for its end"))
        finally:
            running.kill()


def test_a_disk_without_room_for_checkpoints(tmp_path: Path) -> None:
    """No file may grow beyond 6 kB: too little for what a checkpoint takes, enough for the rest."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))

    arguments = [
        "sweep", str(SEEDS), "--trials", "6", "--set", "epochs=2000", "--set", "hidden=2", "--ensemble", "0",
        "--engine", "block", "--checkpoint", "0.01s", "-o", str(tmp_path / "runs"), "--strategy", "halving",
    ]  # fmt: skip
    environment = os.environ | {"COLUMNS": "120"}
    succeeds(
        "sweep", SEEDS, "--trials", 1, "--set", "epochs=1", "--engine", "block", "--ensemble", 0
    )  # its kernel is there
    found = subprocess.run(
        [*GPUBP, *arguments], capture_output=True, text=True, check=False, preexec_fn=limit, env=environment
    )
    assert found.stderr.count("No checkpoint could be written; the sweep goes on without.") == 1, found.stderr
    assert "File too large" in found.stderr
