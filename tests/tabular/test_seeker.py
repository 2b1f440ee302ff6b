"""The search that goes on from a portfolio: what it proposes, who goes on, when it ends."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from tiny import classes, fitted

import gpubp.tabular.portfolio as portfolio_module
import gpubp.tabular.seeker as seeker_module
from gpubp.tabular.portfolio import portfolio
from gpubp.tabular.presets import Preset
from gpubp.tabular.seeker import Proposals, value_of
from gpubp.tabular.space import space_of

OPTIMISATION = "-O1"  # trains much
SEARCHING = Preset("searching", "", 2, 2, 4, 600.0, searches=True)


@pytest.fixture(params=[True, False], ids=["with Optuna", "without"])
def optuna(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param:
        pytest.importorskip("optuna")
    else:
        monkeypatch.setitem(sys.modules, "optuna", None)
    return bool(request.param)


def test_it_ends_where_nothing_better_is_found(optuna: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeker_module, "BETTER", 1.0)
    monkeypatch.setattr(seeker_module, "PATIENCE", 2)
    fit = fitted(classes(), preset=SEARCHING)
    assert fit.stopped
    assert not fit.ended_early
    assert fit.n_trials > 2
    assert (
        f"The search ended after {fit.n_trials} configurations: further ones made the ensemble no better." in fit.notes
    )
    again = fitted(classes(), preset=SEARCHING)
    np.testing.assert_array_equal(fit.predictions, again.predictions)


def test_one_of_three_goes_on_from_the_first_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeker_module, "PATIENCE", 1)
    monkeypatch.setattr(seeker_module, "BETTER", 1.0)
    fit = fitted(classes(), preset=SEARCHING)
    assert fit.n_networks == 2 * 2 + seeker_module.ROUND + seeker_module.ROUND // seeker_module.GO_ON
    assert fit.n_trials == 2 + seeker_module.ROUND // seeker_module.GO_ON


def test_whoever_watches_can_end_it() -> None:
    seen: list[int] = []

    def watch(progress: Any) -> bool:
        seen.append(progress.networks)
        return progress.trials >= 3

    fit = fitted(classes(), preset=SEARCHING, watch=[watch])
    assert fit.ended_early
    assert not fit.stopped
    assert seen


def test_proposals_are_of_the_space_and_follow_what_was_told(optuna: bool) -> None:
    space = space_of("classification")
    drawn = space.sample(8, 1)
    proposals = [Proposals("classification", 5) for _ in range(2)]
    for each in proposals:
        each.tell(drawn, [0.0, -1.0, -math.inf, math.nan, *map(float, range(-5, -1))])
    asked = [each.ask(12) for each in proposals]
    assert asked[0] == asked[1], "they are a pure function of the seed and of what was told"
    assert {name for each in asked[0] for name in each} <= {*space.names}
    for each in asked[0]:
        for name, value in each.items():
            entry = space.entries[name]
            values = getattr(entry, "values", None)
            assert value in values if values is not None else entry.low <= value <= entry.high


def test_the_search_is_told_of_the_portfolio_whatever_the_rows(optuna: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of many rows has fewer epochs than any configuration of the space: what is told is the space's."""
    monkeypatch.setattr(portfolio_module, "ROWS", 10)
    monkeypatch.setattr(seeker_module, "PATIENCE", 1)
    monkeypatch.setattr(seeker_module, "BETTER", 1.0)
    made: list[Proposals] = []

    class Watched(Proposals):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(seeker_module, "Proposals", Watched)
    fitted(classes(), preset=SEARCHING, fixed={"hidden": (8,)})
    (proposals,) = made
    told = [{**each} for each in portfolio("classification")[:2]]
    assert [each for _, each in proposals.known[:2]] == told
    if optuna:
        assert proposals.sampler is not None
        assert len(proposals.sampler.study.trials) == 2 + seeker_module.ROUND


def test_a_trial_that_ran_on_the_first_fold_alone_is_valued_by_the_others() -> None:
    def record(scores: list[float]) -> Any:
        seen = np.isfinite(scores)
        score = float(np.mean(scores)) if seen.all() else -math.inf
        return type("Record", (), {"scores": np.array(scores), "seen": seen, "score": score})

    done, begun, nothing = record([-1.0, -3.0]), record([-2.0, math.nan]), record([math.nan, math.nan])
    experiment: Any = type("Experiment", (), {"records": {0: done, 1: begun, 2: nothing}})
    assert value_of(done, experiment) == -2.0
    assert value_of(begun, experiment) == -3.0, "the first fold is easier by 1 than the mean of both"
    assert math.isnan(value_of(nothing, experiment))
