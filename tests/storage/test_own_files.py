"""Files that are one call's own: nobody else's are written through, removed or replaced."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import SEEDS, contents, gpubp, numbers_table, only_error, refused, succeeds

import gpubp as package
from gpubp.backends import get_backend
from gpubp.errors import DataError
from gpubp.networks.population import Population
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.storage.files import make_folder, temporary_of, write_whole
from gpubp.storage.locks import Lock
from gpubp.training.checkpoint import Checkpoint
from gpubp.training.loop import train

GPUBP = [sys.executable, "-m", "gpubp"]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of somebody's that links are planted to; nothing that is written elsewhere may change it."""
    path = tmp_path / "elsewhere" / "victim"
    path.parent.mkdir()
    path.write_text("precious")
    path.chmod(0o600)
    return path


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


def untouched(victim: Path) -> None:
    assert victim.read_text() == "precious"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600
    assert [path.name for path in victim.parent.iterdir()] == [victim.name]


@pytest.mark.parametrize("planted", ["link", "link to nothing", "hard link", "left by a killed process"])
def test_what_lies_at_a_temporary_name_is_never_written_through(shared: Path, victim: Path, planted: str) -> None:
    path = shared / "m"
    name = temporary_of(path)
    if planted == "left by a killed process":
        name.write_text("half")
    elif planted == "hard link":
        os.link(victim, name)
    else:
        name.symlink_to(victim if planted == "link" else victim.with_name("new"))
    write_whole(path, b"content", alone=True)
    assert path.read_bytes() == b"content"
    assert [each.name for each in shared.iterdir()] == ["m"]
    untouched(victim)


def test_a_planted_link_at_the_name_of_a_checkpoint_is_replaced(shared: Path, victim: Path) -> None:
    path = shared / "m.checkpoint"
    for target in (victim, victim.with_name("new")):
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        write_whole(path, b"content", alone=True)
        assert not path.is_symlink()
        untouched(victim)


def test_a_link_that_a_user_has_chosen_stays(shared: Path) -> None:
    (shared / "real").write_text("old")
    (shared / "real").chmod(0o640)
    (shared / "link").symlink_to(shared / "real")
    write_whole(shared / "link", b"new")
    assert (shared / "link").is_symlink()
    assert (shared / "real").read_bytes() == b"new"
    assert stat.S_IMODE((shared / "real").stat().st_mode) == 0o640


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_that_the_process_gives(shared: Path, mask: int) -> None:
    """In a process of its own, since the mask is the whole process's; which stays as it was."""
    code = (
        "import os, sys; from gpubp.storage.files import write_whole\n"
        f"os.umask({mask}); [write_whole(sys.argv[1] + name, b'', alone) for name, alone in (('/a', 0), ('/b', 1))]\n"
        f"assert os.umask(0) == {mask}"
    )
    subprocess.run([sys.executable, "-c", code, str(shared)], check=True)
    assert {stat.S_IMODE((shared / name).stat().st_mode) for name in "ab"} == {0o666 & ~mask}


def test_links_at_the_names_of_locks(shared: Path, victim: Path) -> None:
    for target in (victim, victim.with_name("new")):
        lock = Lock(shared / "m")
        lock.path.unlink(missing_ok=True)
        lock.path.symlink_to(target)
        with pytest.raises(DataError, match="Cannot write"):
            lock.hold("It is tried")
        untouched(victim)


def test_links_in_the_folder_of_a_sweep(shared: Path, victim: Path) -> None:
    """sweep.json, its temporary name, and the folder of checkpoints."""
    arguments = ("sweep", SEEDS, "--trials", 2, "--set", "epochs=2", "--grid", "hidden=2;3", "--ensemble", 0)
    arguments = (*arguments, "--engine", "array", "-q", "-o", shared)
    (shared / ".sweep.json.part").symlink_to(victim)
    (shared / "sweep.json").symlink_to(victim.with_name("new"))
    succeeds(*arguments)
    untouched(victim)
    assert not (shared / "sweep.json").is_symlink()
    (shared / "checkpoint").symlink_to(victim.parent)
    refused(shared, *arguments, words=("checkpoint is a link", "remove it"))
    untouched(victim)


def test_a_training_that_has_ended_removes_no_checkpoint_of_another(tmp_path: Path) -> None:
    path, X, T = tmp_path / "c", np.eye(4), np.eye(2)[[0, 1, 0, 1]]

    def run(checkpoint: Checkpoint) -> None:
        network = Population.initialize(Architecture(4, (2,), 2), [1], get_backend("numpy"))
        train(network, X, T, Settings("squared_error", epochs=2), checkpoint=checkpoint, engine="array")

    ended, other = Checkpoint(path, seconds=1000), Lock(path)
    run(ended)
    other.hold("it")  # as another training, which begins now
    with pytest.raises(DataError, match="is being written by another"):
        run(Checkpoint(path, seconds=1000))
    path.write_text("the other's")
    ended.remove()
    assert path.read_text() == "the other's"
    other.release()
    ended.remove()
    assert contents(tmp_path) == {}


def started(folder: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """A command that would go on for long, once it holds a lock."""
    command = [*GPUBP, *map(str, arguments), "--engine", "array", "--quiet"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while running.poll() is None and not list(folder.rglob(".*.lock")):
        time.sleep(0.01)
    assert running.poll() is None
    return running


@pytest.mark.parametrize("first", [(), ("--checkpoint", "never"), ("--members", 2)])
def test_a_second_training_of_the_same_output_is_refused(tmp_path: Path, first: tuple[object, ...]) -> None:
    table, output = numbers_table(tmp_path / "t.csv"), tmp_path / "m"
    running = started(tmp_path, "train", table, "--epochs", 10**8, "-o", output, *first)
    try:
        for more in ((), ("--checkpoint", "never"), ("--members", 2), ("--resume",)):
            outcome = gpubp("train", table, "--epochs", 1, "--engine", "array", "-q", "-o", output, *more)
            assert (outcome.code, outcome.out) == (2, "")
            only_error(outcome.err, ("is being trained by another process", "wait for its end"))
        assert not output.exists()
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    succeeds("train", table, "--epochs", 1, "--engine", "array", "-q", "-o", output)  # it holds nothing any more
    assert sorted(contents(tmp_path)) == ["m", "t.csv"]


def test_a_second_sweep_into_the_same_folder_is_refused_without_checkpoints_too(tmp_path: Path) -> None:
    table, folder = numbers_table(tmp_path / "t.csv"), tmp_path / "deep" / "runs"
    common = ("sweep", table, "--grid", "hidden=2;3", "--ensemble", 0, "-o", folder, "--checkpoint", "never")
    running = started(tmp_path, *common, "--set", "epochs=100000000")
    try:
        outcome = gpubp(*common, "--set", "epochs=1", "--engine", "array", "-q")
        assert (outcome.code, outcome.out) == (2, "")
        only_error(outcome.err, ("is being run by another process", "wait for its end"))
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()


def test_a_sweep_that_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    table = numbers_table(tmp_path / "t.csv")
    refused(tmp_path, "sweep", table, "--folds", 1000, "-o", tmp_path / "deep" / "runs", words="fold")
    assert not (tmp_path / "deep").exists()


def test_the_same_folder_in_two_calls_of_one_process(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "sweep")
    lock.hold("it")
    with pytest.raises(DataError, match="by another call in this process"):
        package.sweep(np.eye(6), [0, 1] * 3, {"epochs": [1, 2]}, cv=2, folder=tmp_path, engine="array")
    lock.release()


RESULTS = ("trials.csv", "results.json", "best.safetensors", "ensemble.safetensors", "report.html")


def test_links_at_the_names_of_results_in_a_folder_that_others_may_write_to(shared: Path, victim: Path) -> None:
    shared.chmod(0o777)
    for name in RESULTS:
        (shared / name).symlink_to(victim)
    arguments = ("sweep", SEEDS, "--trials", 2, "--set", "epochs=2", "--grid", "hidden=2;3", "--folds", 2, "--report")
    succeeds(*arguments, "--engine", "array", "-q", "-o", shared)
    assert all((shared / name).is_file() and not (shared / name).is_symlink() for name in RESULTS)
    (shared / "report.html").unlink()
    (shared / "report.html").symlink_to(victim)
    succeeds("report", shared)
    assert not (shared / "report.html").is_symlink()
    untouched(victim)


def test_a_users_own_links_among_the_results_stay(shared: Path) -> None:
    shared.chmod(0o755)
    (shared / "elsewhere.csv").write_text("old")
    (shared / "trials.csv").symlink_to("elsewhere.csv")
    arguments = ("sweep", SEEDS, "--trials", 1, "--set", "epochs=1", "--grid", "hidden=2", "--folds", 2)
    succeeds(*arguments, "--engine", "array", "-q", "--ensemble", 0, "-o", shared)
    assert (shared / "trials.csv").is_symlink()
    assert (shared / "elsewhere.csv").read_text().startswith("trial")


def test_a_link_at_the_name_that_studies_have_by_default(
    shared: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared)
    shared.chmod(0o777)
    (shared / "gpubp-studies.sqlite3").symlink_to(victim.with_name("new"))
    arguments = ("sweep", SEEDS, "--trials", 1, "--set", "epochs=1", "--strategy", "tpe", "--study", "s", "-q")
    refused(shared, *arguments, words=("gpubp-studies.sqlite3 is a link", "--storage"))
    untouched(victim)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_links_that_other_users_have_made_are_not_followed(shared: Path, victim: Path) -> None:
    shared.chmod(0o1777)
    for name, target in (("m", victim), ("folder", victim.parent)):
        (shared / name).symlink_to(target)
        os.lchown(shared / name, 12345, 12345)
    for path in (shared / "m", shared / "folder" / "victim"):
        with pytest.raises(DataError, match=r"is a link that another user \(uid 12345\)") as found:
            write_whole(path, b"content")
        assert str(found.value).count("Cannot write") == 1
    with pytest.raises(DataError, match="is a link that another user"):
        make_folder(shared / "folder" / "new")
    untouched(victim)
    os.chown(shared, 12345, 12345)  # the folder's owner may lead whoever writes there
    write_whole(shared / "m", b"content")
    assert victim.read_bytes() == b"content"


def test_messages_about_places_say_it_once(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "m"):
        with pytest.raises(DataError) as found:
            write_whole(path, b"content")
        assert str(found.value).count("Cannot write") == 1
        assert ".." not in str(found.value)
