"""Sweeps that are cut short go on to the same bits, from whatever their folder holds."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpubp.search.run.result_store as ledger_module
from gpubp import TPE, Halving, Range, SweepResult, sweep
from gpubp.errors import DataError, SettingsError
from gpubp.fitting.cohort import Cohort
from gpubp.search.run.result_store import ResultStore
from gpubp.search.run.run_folder import Finished
from gpubp.search.strategies.study_storage import opened
from gpubp.storage.locks import Lock
from gpubp.training.snapshot import Snapshot

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] + RNG.normal(size=60) * 0.3 > 0.5).astype(int) + (X[:, 3] > 0)
SPACE = {
    "hidden": [(3,), (5, 4)],
    "learning_rate": Range(1e-3, 1e-1, log=True),
    "epochs": Range(6, 9, integer=True),
    "early_stopping": [True, False],
    "schedule": ["constant", "cosine"],
}


class Cut(BaseException):
    """What ends a sweep in these tests as a kill would."""


def run(folder: Path | None, strategy: Any, **given: Any) -> SweepResult:
    given = {"n_trials": 9, "engine": "array", "cv": 3, "checkpoint": 0.0} | given
    return sweep(X, Y, SPACE, strategy=strategy, folder=folder, **given)


def same(a: SweepResult, b: SweepResult) -> None:
    assert len(a.trials) == len(b.trials)
    for one, other in zip(a.trials, b.trials, strict=True):
        assert (one.parameters, one.seed, one.status, one.rung) == (
            other.parameters, other.seed, other.status, other.rung,
        )  # fmt: skip
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.epochs, other.epochs)
        np.testing.assert_array_equal(a.out_of_fold(one), b.out_of_fold(other))


class Killer:
    """Cuts a sweep short at its n-th write, before or after it: everything that a kill can leave in a folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.written = 0, 0
        self.lock = threading.Lock()
        real = ledger_module.write_array_file

        def write(path: Path, *arguments: Any, **options: Any) -> None:
            with self.lock:
                self.left -= 1
                if self.left == 0:
                    raise Cut
            real(path, *arguments, **options)
            self.written += 1

        monkeypatch.setattr(ledger_module, "write_array_file", write)


STRATEGIES: dict[str, Any] = {
    "random": "random",
    "halving": Halving(factor=2, least_epochs=1),
    "tpe": TPE(batch=3),
}


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is written at once, after every epoch."""
    monkeypatch.setattr(ResultStore, "due", lambda self: True)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("strategy", ["random", "halving", "tpe"])
def test_cut_short_at_every_few_writes_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    whole = run(tmp_path / "whole", STRATEGIES[strategy])
    killer, folder, cuts = Killer(monkeypatch), tmp_path / "cut", 0
    while True:
        killer.left = 4 + 5 * cuts
        try:
            found = run(folder, STRATEGIES[strategy], resume=cuts > 0)
        except Cut:
            cuts += 1
            Lock(folder / "sweep").path.unlink(missing_ok=True)  # as the end of a process leaves it: not held
            continue
        break
    assert cuts >= 3
    same(found, whole)


@pytest.mark.usefixtures("eager")
def test_a_network_is_not_trained_again_that_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[tuple[int, int]] = []
    real = Cohort.train

    def watched(self: Cohort, until: int, *arguments: Any) -> Cohort:
        trained.append((self.epoch, until))
        return real(self, until, *arguments)

    monkeypatch.setattr(Cohort, "train", watched)
    whole = run(tmp_path, "random")
    begun = len(trained)
    assert begun
    again = run(tmp_path, "random", resume=True)
    assert len(trained) == begun, "everything was there"
    same(again, whole)


@pytest.mark.usefixtures("eager")
def test_halving_goes_on_from_snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks of the last rung are resumed after the epochs that they have had."""
    whole, killer = run(None, STRATEGIES["halving"]), Killer(monkeypatch)
    killer.left = 10**9
    run(tmp_path / "count", STRATEGIES["halving"])
    killer.left = killer.written - 1
    with pytest.raises(Cut):
        run(tmp_path / "cut", STRATEGIES["halving"])
    begun = []
    real = Cohort.resume.__func__  # type: ignore[attr-defined]

    def watched(cls: type[Cohort], jobs: Any, snapshot: Snapshot, *arguments: Any) -> Cohort:
        begun.append(snapshot.epoch)
        return real(cls, jobs, snapshot, *arguments)

    monkeypatch.setattr(Cohort, "resume", classmethod(watched))
    same(run(tmp_path / "cut", STRATEGIES["halving"], resume=True), whole)
    assert max(begun) >= 3


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("strategy", ["random", "halving"])
def test_snapshots_go_when_nobody_needs_them(tmp_path: Path, strategy: str) -> None:
    run(tmp_path, STRATEGIES[strategy])
    assert {path.name.partition("-")[0] for path in (tmp_path / "checkpoint").iterdir()} == {"results"}


def test_short_sweeps_write_nothing_on_the_way(tmp_path: Path) -> None:
    run(tmp_path, "random", checkpoint=60.0)
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["results-00000001.safetensors"]


def test_a_snapshot_beyond_a_lost_result_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody removed a damaged file of results: the rung is trained from the start again."""
    monkeypatch.setattr(ResultStore, "due", lambda self: True)
    whole, killer = run(None, STRATEGIES["halving"]), Killer(monkeypatch)
    killer.left = 10**9
    run(tmp_path / "count", STRATEGIES["halving"])
    killer.left = killer.written - 1
    with pytest.raises(Cut):
        run(tmp_path / "cut", STRATEGIES["halving"])
    for path in (tmp_path / "cut" / "checkpoint").glob("results-*"):
        path.unlink()
    same(run(tmp_path / "cut", STRATEGIES["halving"], resume=True), whole)


def test_the_folder_of_a_sweep_that_was_cut_short_is_not_touched_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ResultStore, "due", lambda self: True)
    killer = Killer(monkeypatch)
    killer.left = 6
    with pytest.raises(Cut):
        run(tmp_path, "random")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"}
    with pytest.raises(SettingsError, match=r"was cut short: go on with it \(--resume"):
        run(tmp_path, "random")
    for given, message in (
        ({"n_trials": 10}, "the trials was 9, and is 10 now"),
        ({"seed": 3}, "the seed was 0, and is 3 now"),
        ({"cv": 4}, "the folds are not the same"),
        ({"engine": "block"}, "the engine was 'array', and is 'block' now"),
        ({"metric": "f1_macro"}, "the metric was 'accuracy', and is 'f1_macro' now"),
    ):
        with pytest.raises(SettingsError, match=f"holds another sweep: {message}"):
            run(tmp_path, "random", resume=True, **given)
    with pytest.raises(SettingsError, match="the strategy was"):
        run(tmp_path, Halving(), resume=True)
    with pytest.raises(SettingsError, match="the table is not the same"):
        sweep(X + 1, Y, SPACE, n_trials=9, engine="array", cv=3, folder=tmp_path, resume=True)
    assert before == {path: path.read_bytes() for path in before}


def test_one_process_at_a_time(tmp_path: Path) -> None:
    run(tmp_path, "random")
    other = Lock(tmp_path / "sweep")
    other.hold("tests")
    with pytest.raises(DataError, match="holds a sweep that is being run by another call in this process"):
        run(tmp_path, "random", resume=True)
    other.release()
    run(tmp_path, "random", resume=True)


def test_a_finished_sweep_has_nothing_to_resume(tmp_path: Path) -> None:
    run(tmp_path, "random").discard_checkpoints()
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
    with pytest.raises(Finished, match="is finished"):
        run(tmp_path, "random", resume=True)
    run(tmp_path, Halving())  # another one may take its place


def test_a_sweep_that_fails_early_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    def no_score(estimator: Any, X: Any, y: Any) -> float:
        raise ValueError("no score")

    def fail() -> None:
        with pytest.raises(SettingsError, match="no score"):
            run(tmp_path, "random", metric=no_score, checkpoint=1e6)

    fail()
    assert not [*tmp_path.rglob("*.*")]
    run(tmp_path, "random").discard_checkpoints()
    before = (tmp_path / "sweep.json").read_bytes()
    fail()
    assert (tmp_path / "sweep.json").read_bytes() == before
    with pytest.raises(Finished, match="is finished"):
        run(tmp_path, "random", resume=True)


def test_a_full_disk_ends_no_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ResultStore, "due", lambda self: True)
    whole, said = run(None, "random"), []
    run(tmp_path, "random", n_trials=2)  # a first sweep, whose ledger stays until another begins
    real, left = os.fsync, [3]

    def full(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    found = run(tmp_path / "full", "random", tell=said.append)
    same(found, whole)
    assert len(said) == 1
    assert "the sweep goes on without. Cannot write" in said[0]
    monkeypatch.undo()
    same(run(tmp_path / "full", "random", resume=True), whole)  # from the last good ones


@pytest.mark.parametrize("content", [b"", b"hello", b'{"format": "gpubp sweep"}', b'{"format": 3}', b"[]"])
def test_damaged_descriptions(tmp_path: Path, content: bytes) -> None:
    run(tmp_path, "random")
    (tmp_path / "sweep.json").write_bytes(content)
    with pytest.raises(
        (DataError, SettingsError), match=r"(?i)cannot be read|is not the description|another sweep|finished is missing"
    ):
        run(tmp_path, "random", resume=True)


def test_damaged_ledgers(tmp_path: Path) -> None:
    run(tmp_path, "random", checkpoint=60.0)
    results = tmp_path / "checkpoint" / "results-00000001.safetensors"
    whole = results.read_bytes()
    for content in (whole[:-50], b"", b"x" * 100):
        results.write_bytes(content)
        with pytest.raises(
            DataError, match=r"results-00000001.safetensors is not a checkpoint file .* damaged .* Remove it"
        ):
            run(tmp_path, "random", resume=True)


def test_a_named_study_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that were begun are finished under their numbers; the study holds as many as were asked for."""
    import optuna

    monkeypatch.setattr(ResultStore, "due", lambda self: True)
    storage = f"sqlite:///{tmp_path / 'shared.sqlite3'}"
    strategy = TPE(storage=storage, study="shared", batch=3)
    killer = Killer(monkeypatch)
    killer.left = 8
    with pytest.raises(Cut):
        run(tmp_path / "a", strategy)
    killer.left = 10**9
    found = run(tmp_path / "a", strategy, resume=True)
    with opened(optuna, storage) as database:
        trials = optuna.load_study(study_name="shared", storage=database).trials
    by_number = {trial.number: trial for trial in found.trials}
    assert len(by_number) == 9
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    for trial in complete:
        assert trial.value == by_number[trial.number].score
    assert len(complete) >= 6  # those of the batch that was cut short count as failed


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="resume=True goes on with what is in a folder"):
        run(None, "random", resume=True)
    with pytest.raises(SettingsError, match="checkpoint 'often': give a number of seconds"):
        run(tmp_path, "random", checkpoint="often")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="Cannot make the folder"):
        run(tmp_path / "file", "random")
