"""Sweeps: what a trial's networks are, whatever they are trained with."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, RepeatedKFold
from sklearn.preprocessing import StandardScaler

import gpubp.fitting.cohort as cohort_module
from gpubp import Halving, Range, Space, SweepResult, sweep
from gpubp.backends import get_backend
from gpubp.errors import BackendError, DivergenceError, SettingsError
from gpubp.fitting.splits import cross_validation_folds
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import EarlyStopping, Settings
from gpubp.operations.architecture import Architecture
from gpubp.search.run.memory import widest
from gpubp.training.loop import train

OPTIMISATION = "-O1"  # trains much
RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 4)) * [1.0, 10.0, 0.1, 3.0] + [0.0, 5.0, 0.0, -2.0]
Y = (X[:, 0] + X[:, 1] / 10 + RNG.normal(size=60) * 0.3 > 0.5).astype(int) + (X[:, 3] > 0)
VALUES = X @ [1.0, 0.2, 3.0, 0.5] + 7.0
SPACE = {
    "hidden": [(3,), (5, 4)],
    "learning_rate": Range(1e-3, 1e-1, log=True),
    "epochs": Range(2, 9, integer=True),
    "l2": [0.0, 0.1],
    "dropout": [0.0, 0.3],
    "batch_size": [8, None],
    "scale": ["standard", "minmax"],
}


def same(a: SweepResult, b: SweepResult) -> None:
    """All trials, to the bit: scores, predictions, epochs."""
    assert len(a.trials) == len(b.trials)
    for one, other in zip(a.trials, b.trials, strict=True):
        assert (one.parameters, one.seed, one.status) == (other.parameters, other.seed, other.status)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.epochs, other.epochs)
        np.testing.assert_array_equal(a.out_of_fold(one), b.out_of_fold(other))


@pytest.mark.parametrize("engine", ["array", "block", "lane"])
def test_a_network_alone_is_the_network_in_the_sweep(engine: str) -> None:
    """By scikit-learn's scaler and this package's `train`, fold by fold."""
    space = SPACE | {"hidden": (3,), "batch_size": 8, "scale": "standard"}  # few kernels for the lanes
    result = sweep(X, Y, space, n_trials=6, engine=engine, seed=11)
    backend = get_backend("numpy")
    tests = cross_validation_folds(Y, 60, 5, 1, seed=11)
    for trial in (result.trials[1], result.trials[4]):
        chosen = trial.parameters
        assert trial.seed == network_seeds(11, 6)[trial.number]
        expected = np.empty((60, 3))
        for fold, test in enumerate(tests):
            rows = np.setdiff1d(np.arange(60), test)
            scaled = StandardScaler().fit(X[rows]).transform(X)
            seed = network_seeds(trial.seed, 5)[fold]
            alone = Population.initialize(Architecture(4, (3,), 3, "relu", "softmax"), [seed], backend)
            settings = Settings(
                learning_rate=chosen["learning_rate"],
                l2=chosen["l2"],
                dropout=chosen["dropout"],
                batch_size=8,
                epochs=chosen["epochs"],
            )
            train(alone, scaled, np.eye(3)[Y], settings, rows=rows, engine=engine)
            expected[test] = alone.predict(scaled[test])[0]
            assert trial.scores[fold] == np.mean(expected[test].argmax(axis=1) == Y[test])
        total = expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(result.out_of_fold(trial), expected / total, rtol=1e-7)
        np.testing.assert_array_equal(result.out_of_fold(trial), (expected / total).astype(np.float32))
        assert trial.epochs.tolist() == [chosen["epochs"]] * 5


def test_a_trial_does_not_depend_on_the_others() -> None:
    few, many = (sweep(X, Y, SPACE, n_trials=n, engine="array") for n in (3, 12))
    for one, other in zip(few.trials, many.trials[:3], strict=True):
        np.testing.assert_array_equal(few.out_of_fold(one), many.out_of_fold(other))
    assert len({trial.seed for trial in many.trials}) == 12


@pytest.mark.parametrize("engine", ["array", "block"])
def test_halving_goes_on_to_the_same_bits(engine: str) -> None:
    space = SPACE | {"epochs": [9, 12], "optimizer": ["adam", "momentum"], "scale": "standard"}
    whole = sweep(X, Y, space, n_trials=18, engine=engine, repeats=2)
    halved = sweep(X, Y, space, n_trials=18, engine=engine, repeats=2, strategy=Halving(least_epochs=1))
    statuses = [trial.status for trial in halved.trials]
    assert statuses.count("complete") == 2
    assert statuses.count("stopped") == 16
    assert sorted({trial.rung for trial in halved.trials}) == [0, 1, 2]
    for trial in halved.trials:
        share = 3.0 ** (trial.rung - 2)
        assert (trial.epochs == np.ceil(trial.parameters["epochs"] * share)).all()
        if trial.status == "complete":
            np.testing.assert_array_equal(halved.out_of_fold(trial), whole.out_of_fold(trial.number))
            np.testing.assert_array_equal(trial.scores, whole.trials[trial.number].scores)
    assert halved.best.status == "complete"
    assert len([trial for trial in halved.trials if trial.rung == 0]) == 12


def test_survivors_of_a_rung_are_its_best() -> None:
    result = sweep(X, Y, SPACE | {"epochs": 9}, n_trials=9, engine="array", strategy=Halving(factor=3, least_epochs=3))
    rung = sweep(X, Y, SPACE | {"epochs": 3}, n_trials=9, engine="array")  # the same draws, but for the epochs
    ranked = sorted(rung.trials, key=lambda trial: (-trial.score, trial.number))
    assert {trial.number for trial in result.trials if trial.status == "complete"} == {t.number for t in ranked[:3]}


@pytest.mark.parametrize(
    "entries",
    [
        {"schedule": ["cosine", "one_cycle"]},
        {"early_stopping": True, "patience": [1, 3], "epochs": [18, 36], "learning_rate": 0.1},
        {
            "early_stopping": True,
            "patience": [1, 3],
            "epochs": [18, 36],
            "learning_rate": 0.1,
            "average": [None, 0.8],
            "ties": "last",
            "monitor": "validation_score",
            "initializer": "data_dependent",
        },
        {"early_stopping": True, "schedule": "adaptive", "optimizer": "sgd", "epochs": 40, "patience": 1, "l2": 1.0},
    ],
)
def test_halving_leaves_schedules_and_early_stopping_as_they_are(entries: dict[str, Any]) -> None:
    """What a trial is in a whole training: the schedule runs over all its epochs, patience over the rungs."""
    space = {name: value for name, value in SPACE.items() if name != "dropout"} | {"scale": "standard"} | entries
    whole = sweep(X, Y, space, n_trials=9, engine="array", seed=3)
    halved = sweep(X, Y, space, n_trials=9, engine="array", seed=3, strategy=Halving(factor=2, least_epochs=1))
    complete = [trial for trial in halved.trials if trial.status == "complete"]
    assert 0 < len(complete) < 9
    for trial in complete:
        other = whole.trials[trial.number]
        np.testing.assert_array_equal(trial.scores, other.scores)
        np.testing.assert_array_equal(trial.epochs, other.epochs)
        np.testing.assert_array_equal(halved.out_of_fold(trial), whole.out_of_fold(other))
    if "patience" in entries:
        assert any(len(set(trial.epochs)) > 1 for trial in whole.trials), "nobody stopped early"


@pytest.mark.parametrize("strategy", ["random", Halving(least_epochs=1)])
def test_memory_splits_populations_and_changes_no_bit(monkeypatch: pytest.MonkeyPatch, strategy: Any) -> None:
    space = SPACE | {"epochs": 9}
    whole = sweep(X, Y, space, n_trials=9, engine="array", strategy=strategy)
    sizes = watch_train(monkeypatch)
    split = sweep(X, Y, space, n_trials=9, engine="array", strategy=strategy, memory=200_000)
    assert 1 <= max(sizes) < 5
    same(whole, split)


@pytest.mark.parametrize("strategy", ["random", Halving(least_epochs=1)])
@pytest.mark.parametrize("engine", ["array", "block"])
def test_a_population_that_does_not_fit_is_tried_again_by_halves(
    monkeypatch: pytest.MonkeyPatch, strategy: Any, engine: str
) -> None:
    space = SPACE | {"epochs": 9}
    whole = sweep(X, Y, space, n_trials=9, engine=engine, strategy=strategy)
    sizes = watch_train(monkeypatch, room=3)
    split = sweep(X, Y, space, n_trials=9, engine=engine, strategy=strategy)
    assert max(sizes) > 3
    same(whole, split)


def test_a_single_network_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    watch_train(monkeypatch, room=0)
    with pytest.raises(BackendError, match=r"A single network 4-3-3 .* does not fit the memory"):
        sweep(X, Y, {"hidden": (3,)}, n_trials=1, engine="array")


def watch_train(monkeypatch: pytest.MonkeyPatch, room: int = 10**9) -> list[int]:
    """The sizes of the populations that are trained from now on; those beyond `room` fail half-way."""
    sizes: list[int] = []
    real = cohort_module.train

    def watched(population: Population, *arguments: Any, **options: Any) -> Any:
        sizes.append(len(population))
        if len(population) > room:
            population.params[:] = -7.0  # what an interrupted training leaves behind
            raise MemoryError("out of memory")
        return real(population, *arguments, **options)

    monkeypatch.setattr(cohort_module, "train", watched)
    return sizes


def test_networks_that_diverge_disturb_no_other() -> None:
    rates = [1e-3, 1e30, 1e-2]
    space = {"hidden": (4,), "optimizer": "sgd", "epochs": 4, "learning_rate": rates}
    result = sweep(X, VALUES, space, strategy="grid", engine="array")
    lost = result.trials[1]
    assert lost.status == "diverged"
    assert np.isnan(lost.scores).all()
    assert (lost.diverged_epochs >= 0).all()
    assert np.isnan(lost.score)
    row = result.table.row(1, named=True)
    assert (row["diverged"], row["status"], row["mean"], row["score_1"]) == (5, "diverged", None, None)
    assert row["diverged_epoch"] == lost.diverged_epochs.min() + 1
    assert result.best.number in (0, 2)
    assert result.ranked[-1] is lost
    without = sweep(X, VALUES, space | {"learning_rate": [1e-3, 1e-1, 1e-2]}, strategy="grid", engine="array")
    for number in (0, 2):
        np.testing.assert_array_equal(result.out_of_fold(number), without.out_of_fold(number))
    halved = sweep(X, VALUES, space | {"epochs": 9}, strategy=Halving(least_epochs=1), engine="array")
    assert halved.best.parameters["learning_rate"] < 1
    nothing = sweep(X, VALUES, space | {"learning_rate": 1e30}, strategy="grid", engine="array")
    with pytest.raises(DivergenceError, match="in 1 of 1 a network left the finite numbers"):
        _ = nothing.best


def test_lost_folds_are_not_averaged_in_and_never_win() -> None:
    far = X.copy()
    far[7] = 1e30  # the four folds that train on this row are lost
    space = {"hidden": (4,), "epochs": 3, "scale": "none", "optimizer": "sgd"}
    folds = list(KFold(5).split(far))
    trial = sweep(far, VALUES, space, cv=folds, engine="array", metric="neg_mean_absolute_error").trials[0]
    assert trial.status == "diverged"
    assert np.isnan(trial.scores).tolist() == [False, True, True, True, True]
    assert trial.diverged_epochs.tolist() == [-1, 0, 0, 0, 0]
    assert trial.score == trial.scores[0]
    assert np.isnan(trial.std)


def test_early_stopping_is_each_networks_own() -> None:
    space = {
        "hidden": (4,),
        "epochs": 40,
        "early_stopping": True,
        "patience": [1, 3],
        "learning_rate": [1e-3, 0.3],
        "validation": 0.3,
    }
    result = sweep(X, Y, space, strategy="grid", engine="array")
    epochs = {tuple(trial.epochs) for trial in result.trials}
    assert len(epochs) > 2
    assert min(map(min, epochs)) < 40
    trial = result.trials[1]
    training, _ = result.experiment.splits[2]
    kept, held = result.experiment.divided(result.experiment.records[1].configuration, training)
    assert held is not None
    assert len(held) == round(48 * 0.3)
    assert set(kept) | set(held) == set(training)
    scaled = StandardScaler().fit(X[training]).transform(X)  # the sheet of a fold is scaled on all of its training rows
    alone = Population.initialize(
        Architecture(4, (4,), 3, "relu", "softmax"), [network_seeds(trial.seed, 5)[2]], get_backend("numpy")
    )
    settings = Settings(
        epochs=40,
        learning_rate=trial.parameters["learning_rate"],
        early_stopping=EarlyStopping(patience=trial.parameters["patience"]),
    )
    history = train(alone, scaled, np.eye(3)[Y], settings, rows=kept, validation_rows=held, engine="array")
    assert history.epochs[0] == trial.epochs[2]


def test_splitters_of_scikit_learn() -> None:
    splitter = RepeatedKFold(n_splits=3, n_repeats=2, random_state=1)
    result = sweep(X, Y, SPACE, n_trials=2, cv=splitter, engine="array")
    pairs = sweep(X, Y, SPACE, n_trials=2, cv=list(splitter.split(X)), engine="array")
    same(result, pairs)
    assert result.trials[0].scores.shape == (6,)
    groups = list(GroupKFold(4).split(X, Y, groups=np.arange(60) % 7))
    assert sweep(X, Y, SPACE, n_trials=1, cv=groups, engine="array").trials[0].scores.shape == (4,)


@pytest.mark.parametrize(
    ("cv", "repeats", "message"),
    [
        (1, 1, "at least 2"),
        (50, 1, "50 folds, but no class"),
        ("five", 1, "give a number of folds"),
        (True, 1, "give a number of folds"),
        ([(np.arange(3), np.array([], dtype=int))], 1, "no test rows"),
        ([(np.arange(3), np.array([99]))], 1, "row 99 of a table of 60"),
        ([], 1, "no folds at all"),
        (RepeatedKFold(), 2, "a splitter repeats by itself"),
        (3, 0, "0 repeats"),
    ],
)
def test_folds_that_cannot_be(cv: Any, repeats: int, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        sweep(X, Y, SPACE, n_trials=1, cv=cv, repeats=repeats)


def test_a_sweep_can_be_ended_by_who_watches_it() -> None:
    seen = []
    space = {"hidden": [(2,), (3,), (4,), (5,)], "epochs": 2}

    def enough(progress: Any) -> bool:
        seen.append(progress)
        return progress.networks >= 10

    result = sweep(X, Y, space, strategy="grid", engine="array", watch=[enough])
    assert [trial.status for trial in result.trials] == ["complete", "complete", "unfinished", "unfinished"]
    assert result.ended_early
    assert [n for n in dict.fromkeys(progress.networks for progress in seen) if n] == [5, 10]
    assert 0.0 < seen[-1].share < 1.0
    assert (seen[-1].of_networks, seen[-1].trials, seen[-1].of_trials) == (20, 2, 4)
    assert seen[-1].best == max(trial.score for trial in result.trials[:2])
    with pytest.raises(SettingsError, match="no out-of-fold predictions of trial 3"):
        result.out_of_fold(3)
    nothing = sweep(X, Y, space, strategy="grid", budget=1e-9)
    with pytest.raises(SettingsError, match="ended before any was done"):
        _ = nothing.best
    halved = sweep(X, Y, space | {"epochs": 9}, strategy=Halving(factor=2, least_epochs=3), watch=[enough])
    assert [trial.status for trial in halved.trials] == ["stopped", "stopped", "unfinished", "unfinished"]
    assert [trial.number for trial in halved.ranked] == [halved.best.number, 1 - halved.best.number]


def test_ctrl_c_keeps_what_is_done() -> None:
    space = {"hidden": [(2,), (3,), (4,)], "epochs": 2}

    def interrupt(progress: Any) -> None:
        if progress.networks:
            signal.raise_signal(signal.SIGINT)

    result = sweep(X, Y, space, strategy="grid", engine="array", watch=[interrupt])
    assert [trial.status for trial in result.trials] == ["complete", "unfinished", "unfinished"]
    assert result.interrupted
    assert result.best.number == 0


def test_ctrl_c_ends_the_first_trial_though_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained in other threads, which hear of no Ctrl-C, it would go on, for a sweep to have something to show."""
    space = {"hidden": [(3,), (4,)], "epochs": 100_000}
    monkeypatch.setattr("gpubp.search.run.experiment.GRACE", 1e9)
    budget, began, shares = 0.05, time.perf_counter(), []

    def interrupt(progress: Any) -> None:
        shares.append(progress.epochs / progress.of_epochs)
        if time.perf_counter() > began + 5 * budget and not requested:
            requested.append(True)
            signal.raise_signal(signal.SIGINT)

    requested: list[bool] = []
    result = sweep(X, Y, space, strategy="grid", cv=3, engine="block", budget=budget, watch=[interrupt])
    assert requested
    assert result.interrupted
    assert [trial.status for trial in result.trials] == ["unfinished", "unfinished"]
    assert shares[-1] < 1.0


@pytest.mark.parametrize("engine", ["array", "block"])
def test_a_sweep_ends_in_the_middle_of_a_population(engine: str, tmp_path: Path) -> None:
    """A long training is left where it is, and what it had done is not lost."""
    space = {"hidden": (3,), "epochs": 2000 if engine == "array" else 30_000, "learning_rate": Range(1e-3, 0.1)}
    options: dict[str, Any] = {"n_trials": 3, "engine": engine, "cv": 3}
    seen = []

    def enough(progress: Any) -> bool:
        seen.append(progress.share)
        return bool(progress.share > 0)

    cut = sweep(X, Y, space, watch=[enough], folder=tmp_path, checkpoint=60.0, **options)
    assert cut.ended_early
    assert {trial.status for trial in cut.trials} == {"unfinished"}
    assert 0.0 < seen[-1] < 1.0
    begun: list[float] = []
    same(
        sweep(X, Y, space, folder=tmp_path, resume=True, watch=[lambda p: begun.append(p.share)], **options),
        sweep(X, Y, space, **options),
    )
    assert min(begun) > 0.0


def test_what_makes_no_sense_is_refused_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = watch_train(monkeypatch)
    together = {"hidden": [(3,), (4, 4)], "dropout": (0.1, 0.2)}
    for arguments, message in (
        ({"space": together}, r"Trial 1, .*Dropout for 2 hidden layers, but this network has 1"),
        ({"space": None}, "needs a search space"),
        ({"space": SPACE, "strategy": "best"}, "Unknown strategy 'best'"),
        ({"space": SPACE, "strategy": 3}, "strategy 3"),
        ({"space": SPACE, "strategy": "grid", "n_trials": 3}, "The grid has"),
        ({"space": SPACE, "engine": "warp"}, "Unknown engine 'warp'"),
        ({"space": SPACE, "memory": 0}, "memory 0"),
        ({"space": SPACE, "budget": -1}, "budget -1"),
        ({"space": SPACE, "seed": -1}, "Seed -1"),
        ({"space": SPACE, "n_trials": 0.5}, "n_trials 0.5"),
        ({"space": SPACE, "n_trials": 0}, "n_trials 0"),
        ({"space": SPACE, "n_trials": 0, "strategy": "tpe"}, "n_trials 0"),
        ({"space": SPACE, "metric": "acuracy"}, "Unknown metric 'acuracy'.*Did you mean 'accuracy'"),
        ({"space": SPACE, "metric": "r2"}, "The metric r2 is for regression"),
        ({"space": SPACE, "metric": 3}, "metric 3"),
        ({"space": {"loss": "poisson"}}, "poisson is for regression"),
    ):
        with pytest.raises(SettingsError, match=message):
            sweep(X, Y, **arguments)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="factor=1"):
        Halving(factor=1)
    assert sizes == []


def test_a_devices_lanes_are_filled_by_one_population(standin: Any) -> None:
    multiprocessors = 132  # of the stand-in
    assert widest(standin, "lane") == 512 * multiprocessors
    assert widest(standin, "array") == widest(get_backend("numpy"), "lane") == 1024


def test_populations_on_a_device(standin: Any) -> None:
    space = SPACE | {"hidden": (3,), "epochs": 9}
    for strategy in ("random", Halving(least_epochs=1)):
        here = sweep(X, Y, space, n_trials=6, engine="array", backend="numpy", strategy=strategy)
        there = sweep(X, Y, space, n_trials=6, engine="array", backend=standin, strategy=strategy)
        for one, other in zip(here.trials, there.trials, strict=True):
            np.testing.assert_allclose(one.scores, other.scores)
    assert there.backend == "cupy"


def test_the_space_may_be_an_object() -> None:
    result = sweep(X, Y, Space({"hidden": (3,), "epochs": 2}), engine="array")
    assert len(result.trials) == 1
