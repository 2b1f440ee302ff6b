"""A preset's networks: what they are trained on, how they answer together, what becomes of them when time is short."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tiny import QUICK, classes, fitted, numbers

import gpubp.search.run.result_store as store_module
from gpubp import Ensemble
from gpubp.errors import DataError, SettingsError
from gpubp.fitting.cohort import Cohort
from gpubp.models.ensemble import tempered
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.folds import splits_of
from gpubp.tabular.fit import TabularFit
from gpubp.tabular.portfolio import FEWEST_EPOCHS, MOST_INPUTS, fitted_to, portfolio
from gpubp.tabular.presets import PRESETS, Preset
from gpubp.tabular.rows import divided

OPTIMISATION = "-O1"  # trains much


def same(one: TabularFit, other: TabularFit) -> None:
    np.testing.assert_array_equal(one.predictions, other.predictions)
    assert one.ensemble.names == other.ensemble.names
    for a, b in zip(one.ensemble.members, other.ensemble.members, strict=True):
        np.testing.assert_array_equal(a.params, b.params)
        np.testing.assert_array_equal(a.counts, b.counts)
    assert one.ensemble.temperature == other.ensemble.temperature


@pytest.mark.parametrize(("table", "target"), [(classes(), "kind"), (numbers(), "value")])
def test_each_row_is_predicted_by_the_members_that_had_not_seen_it(table: pl.DataFrame, target: str) -> None:
    """Recomputed from the saved ensemble: each row's own fold of every chosen configuration, and nothing else."""
    fit = fitted(table, target)
    data, ensemble = fit.data, fit.ensemble
    outputs, expected = ensemble.member_outputs(table, "numpy"), np.zeros_like(fit.predictions)
    for fold, (_, test) in enumerate(splits_of(data, 3, 1, QUICK["seed"])):
        own = [place for place, name in enumerate(ensemble.names) if name.endswith(f"fold {fold + 1}")]
        expected[test] = np.average(outputs[own][:, test], axis=0, weights=ensemble.counts[own])
    np.testing.assert_allclose(tempered(expected, ensemble.temperature), fit.predictions, rtol=2e-5, atol=2e-5)
    counted = sum(each.share for each in fit.leaderboard)
    assert counted == pytest.approx(1.0)
    assert fit.score > fit.baseline


def test_the_score_is_that_of_the_predictions() -> None:
    fit = fitted(classes())
    index = fit.data.index
    assert index is not None
    of_truth = fit.predictions[np.arange(len(index)), index]
    assert fit.score == pytest.approx(np.log(of_truth).mean())
    assert fit.report["log_loss"] == pytest.approx(-fit.score)
    assert len(fit.fold_scores) == 3
    np.testing.assert_allclose(fit.predictions.sum(axis=1), 1.0)


def test_a_better_temperature_than_the_one_chosen_is_not_to_be_found() -> None:
    fit = fitted(classes())
    index, before = fit.data.index, fit.predictions
    assert index is not None
    losses = [-np.log(tempered(before, t)[np.arange(len(index)), index]).mean() for t in (0.9, 0.97, 1.03, 1.1)]
    assert min(losses) > -fit.score - 1e-6


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    first = fitted(classes())
    same(first, fitted(classes()))
    other = fitted(classes(), seed=4)
    assert not np.array_equal(first.predictions, other.predictions)


def test_a_file_answers_as_the_ensemble_does(tmp_path: Path) -> None:
    fit = fitted(classes())
    fit.ensemble.save(tmp_path / "e")
    loaded = Ensemble.load(tmp_path / "e")
    assert loaded.temperature == fit.ensemble.temperature
    np.testing.assert_array_equal(loaded.predict_proba(classes()), fit.ensemble.predict_proba(classes()))


class Cut(BaseException):
    """What ends a fit in these tests as a kill would."""


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_what_was_killed_goes_on_to_the_same_bits(writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, written = fitted(classes()), 0
    original, lock = store_module.write_array_file, threading.Lock()

    def counted(*given: Any, **named: Any) -> None:
        nonlocal written
        with lock:
            written += 1
            if written > writes:
                raise Cut
        original(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_array_file", counted)
        with suppress(Cut):
            fitted(classes(), folder=tmp_path / "f", checkpoint=0.0)
        assert written >= writes
    trained, train = [], Cohort.train

    def watched(self: Cohort, *given: Any, **named: Any) -> Cohort:
        trained.append(len(self))
        return train(self, *given, **named)

    monkeypatch.setattr(Cohort, "train", watched)
    resumed = fitted(classes(), folder=tmp_path / "f", resume=True, checkpoint=0.0)
    same(whole, resumed)
    assert sum(trained) <= whole.n_networks


def test_a_folder_of_another_fit_is_refused(tmp_path: Path) -> None:
    fitted(classes(), folder=tmp_path / "f", checkpoint=0.0)
    with pytest.raises(SettingsError, match="holds another sweep"):
        fitted(classes(), folder=tmp_path / "f", resume=True, seed=9)


def test_a_finished_folder_is_begun_anew(tmp_path: Path) -> None:
    first = fitted(classes(), folder=tmp_path / "f")
    first.discard_checkpoints()
    same(first, fitted(classes(), folder=tmp_path / "f", resume=True))


def test_a_time_limit_ends_it_with_what_is_done() -> None:
    """Watched instead of timed: the first part that is done is the last."""
    fit = fitted(classes(), preset="good", watch=[lambda progress: progress.trials >= 1])
    assert fit.ended_early
    assert 1 <= fit.n_trials < (PRESETS["good"].configurations or 0)
    assert fit.ensemble.n_members >= 3


def test_the_limit_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def left(self: Experiment) -> float:
        return 0.0 if self._whole_trials else 100.0

    monkeypatch.setattr(Experiment, "seconds_left", left)
    fit = fitted(numbers(), "value", "good", time_limit=7)
    assert fit.ended_early
    assert any(note.startswith("The time limit of 7 s ended it after") for note in fit.notes)


@pytest.mark.parametrize(("table", "target"), [(classes(), "kind"), (numbers(), "value")])
def test_groups_are_never_on_both_sides(table: pl.DataFrame, target: str) -> None:
    groups = np.arange(60) // 5
    fit = fitted(table, target, groups=groups)
    splits = divided(fit.data, fit.folds, 1, None, groups, QUICK["seed"])
    assert len(splits) == 3
    for training, test in splits:
        assert not {*groups[training]} & {*groups[test]}
    tested = np.sort(np.concatenate([test for _, test in splits]))
    np.testing.assert_array_equal(tested, np.arange(60))
    ungrouped = fitted(table, target).predictions
    assert not np.array_equal(fit.predictions, ungrouped), "it is trained on these"
    with pytest.raises(SettingsError, match="one group"):
        fitted(table, target, groups=np.zeros(60))


def test_weights_are_for_the_rows_that_have_a_target() -> None:
    table = classes().with_columns(kind=pl.when(pl.int_range(60) < 4).then(None).otherwise(pl.col("kind")))
    weights = np.ones(60)
    weights[:4] = np.nan  # of rows that are left out
    same(fitted(table, weights=weights), fitted(table, weights=np.full(60, 1.0)))
    heavy = np.where(np.arange(60) % 2, 1.0, 3.0)
    assert not np.array_equal(fitted(table, weights=heavy).predictions, fitted(table).predictions)
    with pytest.raises(SettingsError, match="weights of shape"):
        fitted(table, weights=np.ones(10))
    with pytest.raises(SettingsError, match="not below 0"):
        fitted(table, weights=np.full(60, -1.0))


def test_validation_rows_by_pairs() -> None:
    pair = (np.arange(40), np.arange(40, 60))
    fit = fitted(classes(), cv=[pair, pair])
    assert np.isnan(fit.predictions[:40]).all()
    assert np.isfinite(fit.predictions[40:]).all()
    assert len(fit.fold_scores) == 1


@pytest.mark.parametrize("metric", ["accuracy", "neg_log_loss", "roc_auc_ovr", None])
def test_the_metric_chooses(metric: str | None) -> None:
    fit = fitted(classes(), metric=metric)
    assert fit.metric == (metric or "neg_log_loss")
    best = max(each.score for each in fit.leaderboard)
    assert fit.score > best - 0.2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"preset": "goood"}, "Did you mean 'good'"),
        ({"time_limit": 0}, "time_limit 0"),
        ({"time_limit": "soon"}, "time_limit 'soon'"),
        ({"engine": "warp"}, "warp"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        fitted(classes(), **given)


def test_a_table_that_cannot_be_learned_says_why() -> None:
    with pytest.raises(DataError, match="one class only"):
        fitted(classes().with_columns(kind=pl.lit("same")))
    with pytest.raises(DataError):
        fitted(classes().head(1))


@pytest.mark.parametrize("rows", [3, 4, 10])
def test_small_tables_work(rows: int) -> None:
    table = pl.DataFrame({"x": np.arange(rows, dtype=float), "y": ["a", "b"] * (rows // 2) + ["a"] * (rows % 2)})
    fit = fitted(table, "y")
    assert np.isfinite(fit.ensemble.predict_proba(table)).all()


def test_columns_without_values_and_columns_that_tell_the_target() -> None:
    table = classes().with_columns(nothing=pl.lit(None, dtype=pl.Float64), answer=pl.col("kind"))
    fit = fitted(table)
    assert "nothing" not in {column.name for column in fit.ensemble.preprocessing.columns}  # type: ignore[union-attr]
    assert any("tells the target" in note for note in fit.notes)


def test_the_portfolio_is_fitted_to_the_table() -> None:
    data, each = (
        fitted(numbers(), "value").data,
        portfolio("regression")[0] | {"front": ("pbld", "scale"), "sigma": 0.1},
    )
    assert fitted_to(each, data, 48)["epochs"] == each["epochs"]
    assert fitted_to(each, data, 4000)["epochs"] == round(each["epochs"] / 2)
    assert fitted_to(each, data, 10**9)["epochs"] == FEWEST_EPOCHS
    wide = pl.DataFrame(np.random.default_rng(0).normal(size=(20, MOST_INPUTS)), schema=None).with_columns(
        y=pl.Series(range(20)) * 1.5
    )
    wider = fitted_to(each, fitted(wide, "y", Preset("one", "", 1, 2, 1, 60.0)).data, 16)
    assert wider["front"] == ("scale",)
    assert "sigma" not in wider
    texts = pl.DataFrame({"t": ["a", "b", "c", "a"] * 5, "y": np.arange(20) * 1.5})
    assert fitted_to(each, fitted(texts, "y").data, 16)["front"] == ("scale",)


@pytest.mark.parametrize("name", ["fast", "good"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_configuration_of_the_portfolio_trains(task: str, name: str) -> None:
    table, target = (classes(), "kind") if task == "classification" else (numbers(), "value")
    every = len(portfolio(task, name))
    fit = fitted(table, target, Preset("all", "", None, 2, 3, 600.0, portfolio=name), fixed={"epochs": 2})
    assert fit.n_trials == every
    assert fit.n_networks == 2 * every
    assert len(fit.leaderboard) == every
