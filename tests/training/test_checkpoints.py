"""Checkpoints of a training: killed at any moment, it goes on to the same bits; what is there is never lost."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import SEEDS, contents, gpubp, refused, succeeds
from safetensors.numpy import load_file, save_file

from gpubp.backends import get_backend
from gpubp.errors import DataError, GpubpError, ModelFileError, SettingsError
from gpubp.networks.population import Population
from gpubp.networks.settings import EarlyStopping, Settings
from gpubp.operations.architecture import Architecture
from gpubp.storage.locks import Lock
from gpubp.training.checkpoint import Checkpoint
from gpubp.training.history import EpochReport
from gpubp.training.loop import train

OPTIMISATION = "shipped"  # as in the processes that are killed: one kernel for all
RNG = np.random.default_rng(23)
X = RNG.normal(size=(60, 4))
T = np.eye(2)[(X[:, 0] > 0).astype(int)]
SHAPE = Architecture(4, (6,), 2, "tanh", "softmax")
STOPPING = EarlyStopping(patience=3, tolerance=0.02, monitor="training_loss")


def settings(**given: Any) -> Settings:
    return Settings(**({"learning_rate": [0.1, 1e-4], "epochs": 30, "early_stopping": STOPPING} | given))


def fresh() -> Population:
    return Population.initialize(SHAPE, [1, 2], get_backend("numpy"))


class Cut(Exception):
    """What ends a training in these tests as a kill would."""


def cut_after(epochs: int) -> Any:
    def callback(report: EpochReport) -> None:
        if report.epoch + 1 == epochs:
            raise Cut

    return callback


def cut(path: Path, epochs: int = 6, **given: Any) -> None:
    checkpoint = Checkpoint(path, seconds=0)
    with pytest.raises(Cut):
        train(fresh(), X, T, settings(**given), callbacks=[cut_after(epochs)], checkpoint=checkpoint, engine="array")
    checkpoint.lock.release()  # as the end of the process does


@pytest.mark.parametrize("epochs", [2, 6, 9])
def test_a_training_that_was_cut_short_goes_on_to_the_same_bits(tmp_path: Path, epochs: int) -> None:
    whole, resumed, path = fresh(), fresh(), tmp_path / "c"
    expected = train(whole, X, T, settings(), engine="array")
    cut(path, epochs)
    seen = []
    checkpoint = Checkpoint(path, resume=True)
    history = train(
        resumed, X, T, settings(), checkpoint=checkpoint, callbacks=[lambda report: seen.append(report.epoch)]
    )
    assert seen[0] == epochs - 1, "the epoch that was cut short, and none before it"
    np.testing.assert_array_equal(resumed.params, whole.params)
    np.testing.assert_array_equal(history.training_loss, expected.training_loss)
    assert len(set(history.epochs)) == 2, "one network left early: the case shows nothing otherwise"
    assert path.exists()
    checkpoint.remove()
    assert contents(tmp_path) == {}


def test_a_checkpoint_is_never_written_over_unasked(tmp_path: Path) -> None:
    path = tmp_path / "c"
    cut(path)
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="training that was cut short: resume it"):
        train(fresh(), X, T, settings(), checkpoint=Checkpoint(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 31}, "the epochs was 30, and is 31 now"),
        ({"learning_rate": [0.1, 1e-3]}, r"the learning rate was \[0.1, 0.0001\], and is \[0.1, 0.001\] now"),
        ({"optimizer": "sgd"}, "the optimizer was 'adam', and is 'sgd' now"),
    ],
)
def test_another_training_is_told_from_the_one_that_was_cut_short(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    path = tmp_path / "c"
    cut(path)
    with pytest.raises(SettingsError, match=f"of another training: {message}"):
        train(fresh(), X, T, settings(**given), checkpoint=Checkpoint(path, resume=True))


def test_other_rows_are_another_training(tmp_path: Path) -> None:
    path = tmp_path / "c"
    cut(path)
    other = X.copy()
    other[3, 1] += 1e-9
    for data, rows, what in ((other, None, "the table is"), (X, np.arange(50), "the training rows are")):
        with pytest.raises(SettingsError, match=f"{what} not the same"):
            train(fresh(), data, T, settings(), rows=rows, checkpoint=Checkpoint(path, resume=True))


def test_two_processes_do_not_share_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "c"
    cut(path)
    other = Lock(path)
    other.hold("tests")
    with pytest.raises(DataError, match="is being written by another call in this process: wait"):
        train(fresh(), X, T, settings(), checkpoint=Checkpoint(path, resume=True))
    other.release()
    train(fresh(), X, T, settings(), checkpoint=Checkpoint(path, resume=True))


def test_a_full_disk_is_told_of_once_and_the_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, other, said = fresh(), fresh(), []
    train(whole, X, T, settings(), engine="array")
    path = tmp_path / "c"
    cut(path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    checkpoint = Checkpoint(path, seconds=0, resume=True, tell=said.append)
    train(other, X, T, settings(), checkpoint=checkpoint)
    np.testing.assert_array_equal(other.params, whole.params)
    assert path.read_bytes() == before, "the last good one stays"
    assert len(said) == 1
    assert "goes on without" in said[0]
    assert "No space left on device" in said[0]


def damage(path: Path, how: str) -> None:
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "text":
        path.write_text("hello")
    else:
        tensors = load_file(path)
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            metadata = json.loads(file.read(length))["__metadata__"]
        described = json.loads(metadata["gpubp"])
        del described["sha256"]
        if how == "missing array":
            del tensors["waited"]
        elif how == "another shape":
            tensors["slots.mean"] = tensors["slots.mean"][:, :-1].copy()
        elif how == "no epoch":
            del described["snapshot"]["epoch"]
        elif how == "no description":
            described = 17
        save_file(tensors, path, {"gpubp": json.dumps(described)})


@pytest.mark.parametrize("how", ["cut", "text", "missing array", "another shape", "no epoch", "no description"])
def test_damaged_checkpoints_are_refused(tmp_path: Path, how: str) -> None:
    path = tmp_path / "c"
    cut(path)
    damage(path, how)
    with pytest.raises((DataError, ModelFileError), match=r"(?i)remove|not a checkpoint"):
        train(fresh(), X, T, settings(), checkpoint=Checkpoint(path, resume=True))
    with pytest.raises(GpubpError):  # and the lock was let go
        train(fresh(), X, T, settings(), checkpoint=Checkpoint(path, resume=True))


COMMAND = [sys.executable, "-m", "gpubp", "train", str(SEEDS), "--quiet", "--json", "--checkpoint", "0.01s"]
OPTIONS = ["--epochs", "3000", "--early-stopping", "--patience", "2200", "--lr", "1e-4", "--dropout", "0.1"]
OPTIONS += ["--schedule", "cosine", "--engine", "block"]


def test_killed_at_random_moments_and_resumed(tmp_path: Path) -> None:
    whole = succeeds("train", SEEDS, *OPTIONS, "--quiet", "--json", "--output", tmp_path / "whole").json
    draw, kills, output = random.Random(4), 0, tmp_path / "cut"
    checkpoint = output.with_name("cut.checkpoint")
    command = [*COMMAND, *OPTIONS, "--resume", "--output", str(output)]
    while True:
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            while running.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
                time.sleep(0.002)
            time.sleep(draw.uniform(0.0, 0.06))
            if kills < 2:
                running.send_signal(signal.SIGKILL)
            out, err = running.communicate()
        if running.returncode == 0:
            break
        assert (running.returncode, err) == (-signal.SIGKILL, "")
        kills += 1
        assert not output.exists()
    assert kills == 2, "the training was over before it could be killed so often"
    resumed = json.loads(out)
    for name in ("history", "validation", "epochs", "kept_epoch"):
        assert resumed[name] == whole[name], name
    expected, found = load_file(tmp_path / "whole"), load_file(output)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    assert sorted(contents(tmp_path)) == ["cut", "whole"]


def test_a_disk_that_takes_no_checkpoint(tmp_path: Path) -> None:
    """Files of more than 16 kB are refused by the system: the checkpoint with its long history, not the model."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, 16_000))

    command = [*COMMAND, *OPTIONS, "--output", str(tmp_path / "m")]
    command.remove("--quiet")
    found = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert found.returncode == 0, found.stderr
    assert found.stderr.count("No checkpoint could be written; the training goes on without.") == 1
    assert json.loads(found.stdout)["epochs"] == 3000


def test_the_command_line_says_what_it_does(tmp_path: Path) -> None:
    output = tmp_path / "m"
    nothing = succeeds("train", SEEDS, "--epochs", 2, "--output", output, "--resume")
    assert f"There is no {output}.checkpoint: begun from the start." in nothing.err
    cut(output.with_name("m.checkpoint"))
    refused(
        tmp_path, "train", SEEDS, "--epochs", 2, "--output", output, words=("m.checkpoint", "was cut short", "--resume")
    )
    refused(
        tmp_path,
        "train",
        SEEDS,
        "--epochs",
        2,
        "--output",
        output,
        "--resume",
        "--quiet",
        words=("another training", "network"),
    )
    for text in ("soon", "-3s", "0"):
        refused(tmp_path, "train", SEEDS, "--checkpoint", text, "-o", output, words=("--checkpoint", "90s, 10m or 2h"))
    refused(
        tmp_path,
        "train",
        SEEDS,
        "--checkpoint",
        "never",
        "--resume",
        "-o",
        output,
        words="leave --checkpoint never out",
    )
    outcome = gpubp("train", SEEDS, "--epochs", 2, "--checkpoint", "never", "--output", output)
    assert outcome.code == 0, "without checkpoints, none is looked for"
