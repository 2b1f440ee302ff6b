"""Sweeps that have only so much time, and those that are interrupted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import SEEDS, gpubp
from test_sweep_trials import SPACE, VALUES, X, Y, same, watch_train

from gpubp import Halving, SweepResult, sweep
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.rates import Rates

HOUR = 3600.0
SLOW = {"hidden": [(2,), (3,), (4,)], "epochs": 9}


def left(monkeypatch: pytest.MonkeyPatch, seconds: Iterator[float]) -> None:
    """What a sweep with a budget is told when it asks how much time there is."""
    monkeypatch.setattr(Experiment, "seconds_left", lambda self: None if self.budget is None else next(seconds))


def statuses(result: SweepResult) -> list[str]:
    return [trial.status for trial in result.trials]


@pytest.mark.parametrize("strategy", ["random", Halving(factor=2, least_epochs=1)])
def test_portions_are_whole_trials_and_change_no_bit(strategy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"n_trials": 8, "strategy": strategy, "engine": "array", "cv": 3}
    space = SPACE | {"epochs": 6}
    whole = sweep(X, Y, space, **options)
    sizes = watch_train(monkeypatch)
    left(monkeypatch, repeat(1e-6))
    monkeypatch.setattr("gpubp.search.run.portions.LATE", np.inf)
    same(sweep(X, Y, space, budget=HOUR, **options), whole)
    assert {size % 3 for size in sizes} == {0}
    assert sizes.count(3) > 4  # several trials are together only where that costs nothing


def test_where_there_is_plenty_of_time_populations_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = watch_train(monkeypatch)
    result = sweep(X, VALUES, SLOW | {"l2": [0.0, 0.1]}, strategy="grid", engine="array", cv=2, budget=HOUR)
    assert sizes == [4, 4, 4]
    assert not result.ended_early


def test_what_does_not_fit_the_time_left_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first portion has one trial of the quickest kind, and no fold of any other trial is trained."""
    expected = {2: 1.0, 3: 2.0, 4: 90.0}
    monkeypatch.setattr(Rates, "seconds", lambda self, job, *_: expected[job.architecture.hidden[0]])
    left(monkeypatch, repeat(5.0))
    sizes = watch_train(monkeypatch)
    result = sweep(X, VALUES, SLOW, strategy="grid", engine="array", cv=2, budget=HOUR)
    assert statuses(result) == ["complete", "complete", "unfinished"]
    assert sizes == [2, 2]
    assert result.ended_early
    assert result.progress == (4, 6, 2, 3)
    assert [trial.number for trial in result.ranked] == sorted((0, 1), key=lambda n: -result.trials[n].score)
    assert result.table["mean"].is_null().to_list() == [False, False, True]


@pytest.mark.parametrize("engine", ["array", "block"])
def test_a_first_trial_that_is_soon_done_is_finished(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    worked, over = Experiment.worked, []

    def work_and_be_late(self: Experiment, network_epochs: float) -> None:
        over.append(True)
        worked(self, network_epochs)

    monkeypatch.setattr(Experiment, "worked", work_and_be_late)
    left(monkeypatch, (0.0 if over else 5.0 for _ in repeat(None)))
    space = SLOW | {"epochs": 3000}
    result = sweep(X, VALUES, space, strategy="grid", engine=engine, cv=2, budget=HOUR)
    assert sorted(statuses(result)) == ["complete", "unfinished", "unfinished"]
    assert result.best.epochs.tolist() == [3000, 3000]


def test_a_first_trial_that_takes_much_longer_is_left(tmp_path: Path) -> None:
    space = {"hidden": (3,), "epochs": 10_000_000}
    result = sweep(X, VALUES, space, engine="array", cv=2, budget=0.05)
    assert statuses(result) == ["unfinished"]
    assert result.ended_early
    assert 0.15 < result.experiment.needed < np.inf
    outcome = gpubp("sweep", SEEDS, "--set", "epochs=10000000", "--set", "hidden=3", "--budget", "0.3s", "-q")
    assert (outcome.code, outcome.out) == (2, "")
    assert "The time was over before the first trial was done: there are no results." in outcome.err


def test_the_end_of_halving_ranks_what_the_rungs_before_have_scored() -> None:
    rung, seen = [0], [0]

    def in_the_second_rung(progress: Any) -> bool:
        rung[0] += progress.networks < seen[0]
        seen[0] = progress.networks
        return rung[0] == 1 and progress.networks > 0

    options: dict[str, Any] = {"strategy": Halving(factor=2, least_epochs=3), "engine": "array", "cv": 2}
    space = {"hidden": [(2,), (3,), (4,), (5,)], "epochs": 12}
    whole, cut = sweep(X, VALUES, space, **options), sweep(X, VALUES, space, watch=[in_the_second_rung], **options)
    assert set(statuses(cut)) == {"stopped"}
    assert [trial.rung for trial in cut.ranked] == [1, 0, 0, 0]
    assert cut.progress == (8, 8, 4, 4)
    losers = [trial.number for trial in whole.trials if trial.rung == 0]
    assert [cut.trials[number].score for number in losers] == [whole.trials[number].score for number in losers]
    assert all(np.isfinite(cut.out_of_fold(trial)).all() for trial in cut.trials)


def test_what_was_done_in_time_has_not_ended_early() -> None:
    result = sweep(X, VALUES, SLOW, strategy="grid", engine="array", watch=[lambda p: p.networks == p.of_networks])
    assert set(statuses(result)) == {"complete"}
    assert not result.ended_early


def test_progress_counts_epochs_within_the_first_population(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpubp.search.run.experiment.BETWEEN_TICKS", 0.0)
    seen: list[Any] = []
    sweep(X, Y, {"hidden": (3,), "epochs": 2000}, engine="array", cv=2, watch=[seen.append])
    assert any(0 < progress.epochs < progress.of_epochs == 4000 and not progress.networks for progress in seen)
    assert seen[-1].epochs == 4000


SWEEP = ("sweep", SEEDS, "--grid", "hidden=2;3;4", "--set", "epochs=5", "--strategy", "grid", "--engine", "array")


def test_what_comes_after_the_budget_takes_no_longer_than_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpubp.search.results.selection.seconds_on_all", lambda *_: HOUR)
    monkeypatch.setattr("gpubp.search.results.summary.seconds_again", lambda *_: HOUR)
    outcome = gpubp(*SWEEP, "-o", tmp_path / "found", "--budget", "1m", "--folds", 2, "--json")
    assert outcome.code == 0
    assert "The ensemble was not trained on all rows: that would take longer than the budget." in outcome.err
    assert "results.json has no learning curves" in outcome.err
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == [
        "best.safetensors", "results.json", "sweep.json", "trials.csv",
    ]  # fmt: skip
    assert outcome.json["ensemble"]["score"] > 0


def test_an_ensemble_takes_the_first_networks_for_which_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sweep(X, VALUES, SLOW, strategy="grid", engine="array")
    chosen = found.select(6)
    assert len(chosen.trials) > 1
    monkeypatch.setattr("gpubp.search.results.selection.seconds_on_all", lambda _, trials: 10.0 * len(trials))
    first = chosen.within(10.0, found.experiment)
    assert first is not None
    assert first.trials == chosen.trials[:1]
    assert first.scores == chosen.scores[: len(first.chosen)]
    assert chosen.within(9.0, found.experiment) is None
    assert chosen.within(HOUR, found.experiment).chosen == chosen.chosen  # type: ignore[union-attr]


@pytest.mark.parametrize("output", [False, True])
def test_ctrl_c_after_the_last_trial(output: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an ensemble is chosen, or the best network trained on all rows: the results are given all the same."""
    folder = ("-o", tmp_path / "found") if output else ()

    def interrupt(*_: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(f"gpubp.search.results.result.SweepResult.{'refit' if output else 'select'}", interrupt)
    outcome = gpubp(*SWEEP, "--folds", 2, *folder, "--json")
    assert outcome.code == 130
    assert outcome.json["trials_done"] == 3
    assert "6 of 6 networks are done (3 of 3 trials)." in outcome.err
    assert ("--resume goes on with it." in outcome.err) == output
