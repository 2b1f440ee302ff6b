"""What a sweep takes and gives: tables, scores, the winner trained on all rows."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.metrics import get_scorer

from gpubp import MLPClassifier, MLPRegressor, Model, Range, SweepResult, read_table, sweep
from gpubp.backends import Backend, get_backend
from gpubp.engines.registry import USUAL_COSTS
from gpubp.errors import DataError, DivergenceError, SettingsError
from gpubp.fitting.fold_data import receive
from gpubp.fitting.job import Job, population_key
from gpubp.search.run.answered import answered
from gpubp.search.run.engines import Engines
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.folds import splits_of
from gpubp.search.run.rates import Rates
from gpubp.search.run.scoring import QUICK, Metric
from gpubp.search.space.space import Space
from gpubp.search.strategies.study_storage import opened
from gpubp.storage.datasets import wheat_seeds
from gpubp.tables import Table

RNG = np.random.default_rng(2)
X = RNG.normal(size=(50, 3)) + np.array([0.0, 100.0, 0.0])
TWO = (X[:, 0] > 0).astype(int)
VALUES = X @ [1.0, -2.0, 0.5]
BOTH = np.stack([VALUES, X[:, 2] * 1000], axis=1)
SPACE = {"hidden": [(3,), (4, 4)], "learning_rate": Range(1e-3, 0.1, log=True), "epochs": [10, 20]}


def test_the_table_has_a_row_for_each_trial() -> None:
    space = SPACE | {"optimizer": ["adam", "momentum"], "momentum": [0.5, 0.9], "batch_size": [8, None]}
    result = sweep(X, TWO, space, n_trials=12, engine="array", repeats=2, cv=3)
    table = result.table
    assert table.height == 12
    assert table.columns == [
        *("trial", "hidden", "learning_rate", "epochs", "optimizer", "momentum", "batch_size"),
        *(f"score_{i}" for i in range(1, 7)),
        *("mean", "std", "epochs_trained", "diverged", "diverged_epoch", "status", "time_share", "engine"),
    ]
    scores = table.select(pl.col("^score_.*$")).to_numpy()
    np.testing.assert_allclose(table["mean"].to_numpy(), scores.mean(axis=1))
    np.testing.assert_allclose(table["std"].to_numpy(), scores.std(axis=1, ddof=1))
    np.testing.assert_allclose(table["time_share"].sum(), 1.0)
    assert table["momentum"].is_null().to_list() == [name == "adam" for name in table["optimizer"]]
    assert set(table["hidden"]) == {"3", "4, 4"}
    assert (table["epochs"] == table["epochs_trained"]).all()
    assert set(table["engine"]) == {"array"}
    best = result.best
    assert best.score == table["mean"].max()
    assert best is result.ranked[0]
    assert table.write_csv().count("\n") == 13


@pytest.mark.parametrize("metric", [*QUICK, "f1_macro", "roc_auc_ovr", "loss", "neg_max_error", None, "callable"])
def test_scores_are_scikit_learns(metric: Any) -> None:
    task = QUICK[metric][0] if metric in QUICK else "regression" if metric == "neg_max_error" else "classification"
    y = RNG.integers(0, 3, size=50) if task == "classification" else BOTH
    if metric == "neg_max_error":
        y = VALUES
    given = get_scorer("balanced_accuracy") if metric == "callable" else metric
    result = sweep(X, y, SPACE, n_trials=2, metric=given, engine="array", task=task)
    scorer = {"loss": "neg_log_loss", None: "accuracy", "callable": "balanced_accuracy"}.get(metric, metric)
    for trial in result.trials:
        predictions = result.out_of_fold(trial)
        for fold, (_, test) in enumerate(result.experiment.splits):
            of_test = predictions[test]
            if task == "classification":
                of_test = of_test / of_test.sum(axis=1, keepdims=True)  # they are kept in float32
            ready = answered(result.experiment.data, of_test)
            expected = get_scorer(scorer)(ready, X[test], y[test])
            np.testing.assert_allclose(trial.scores[fold], expected, rtol=2e-5, atol=1e-6)


def test_a_metric_that_cannot_score() -> None:
    with pytest.raises(SettingsError, match="The metric roc_auc cannot score these predictions"):
        sweep(X, RNG.integers(0, 3, size=50), SPACE, n_trials=1, metric="roc_auc", engine="array")


def rows_of(result: SweepResult) -> list[Any]:
    return [result.out_of_fold(trial).tolist() for trial in result.trials]


def test_all_forms_of_a_table_give_the_same() -> None:
    space = SPACE | {"scale": "standard"}  # the default for arrays, and not for frames
    labels = np.array(["no", "yes"])[TWO]
    names = ["a", "b", "c"]
    arrays = sweep(X, labels, space, n_trials=3, engine="array")
    frame = pd.DataFrame(X, columns=names)
    assert rows_of(sweep(frame, pd.Series(labels, name="y"), space, n_trials=3, engine="array")) == rows_of(arrays)
    frame["target"] = labels
    assert rows_of(sweep(frame, "target", space, n_trials=3, engine="array")) == rows_of(arrays)
    polars = pl.DataFrame(X, schema=names).with_columns(pl.Series("answer", labels))
    assert rows_of(sweep(polars, None, space, n_trials=3, engine="array")) == rows_of(arrays)
    table = Table.from_arrays(X, labels, names=[*names, "answer"])
    assert rows_of(sweep(table, -1, space, n_trials=3, engine="array")) == rows_of(arrays)
    assert rows_of(sweep(X.tolist(), labels.tolist(), space, n_trials=3, engine="array")) == rows_of(arrays)


def test_text_and_missing_values_in_a_table() -> None:
    frame = pd.DataFrame({"size": X[:, 0], "colour": np.array(["red", "green"])[TWO]})
    frame.loc[3, "size"] = np.nan
    result = sweep(frame, VALUES, SPACE | {"epochs": 60, "learning_rate": 0.05}, strategy="grid", engine="array")
    assert result.task == "regression"
    assert any("Missing" in note for note in result.notes)
    model = result.refit()
    assert isinstance(model, Model)
    table = Table.from_frame(frame)
    assert np.isfinite(model.predict(table, get_backend("numpy")).values).all()


@pytest.mark.parametrize(
    ("given", "y", "message"),
    [
        (X, None, "without y"),
        (X[:, 0], TWO, "expected"),
        (np.where(X > 101, np.nan, X), TWO, "arrays have to be finite"),
        (np.char.add(X.astype(str), "a"), TWO, "what is no number"),
        (X, TWO[:9], r"y has the shape \(9,\)"),
        (X, np.zeros(50, dtype=int), "one class only"),
        (X, np.where(TWO == 1, np.nan, 1.0), "is missing|finite"),
        (X, np.array([1, "a"] * 25, dtype=object), "cannot be sorted"),
        (pd.DataFrame(X), TWO[:9], r"y has the shape \(9,\)"),
    ],
)
def test_tables_that_cannot_be(given: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        sweep(given, y, SPACE, n_trials=1)


def test_the_task_can_be_said() -> None:
    whole = np.arange(50) % 4
    assert sweep(X, whole, SPACE, n_trials=1, engine="array").task == "classification"
    assert sweep(X, whole, SPACE, n_trials=1, engine="array", task="regression").task == "regression"
    with pytest.raises(DataError, match="y holds text"):
        sweep(X, np.array(["a", "b"])[TWO], SPACE, task="regression")
    with pytest.raises(SettingsError, match="Unknown task"):
        sweep(X, TWO, SPACE, task="guess")
    with pytest.raises(SettingsError, match="categorical names columns"):
        sweep(X, TWO, SPACE, categorical=["a"])
    with pytest.raises(DataError, match="one label for each row"):
        sweep(X, BOTH, SPACE, task="classification")


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
def test_refit_gives_a_classifier_for_arrays(classes: int, scale: str) -> None:
    y = np.array(["no", "yes", "who knows"])[np.digitize(X[:, 0], [0.0, 0.8][: classes - 1])]
    space = {"hidden": (4,), "epochs": 60, "learning_rate": 0.05, "scale": scale, "optimizer": "adamw"}
    result = sweep(X, y, space, n_trials=1, engine="array")
    found = result.refit()
    assert isinstance(found, MLPClassifier)
    assert found.classes_.tolist() == sorted(set(y))
    probabilities = found.predict_proba(X)
    np.testing.assert_allclose(probabilities, result.ensemble(1).predict_proba(X), rtol=1e-9, atol=1e-12)
    assert (found.predict(X) == found.classes_[probabilities.argmax(axis=1)]).all()
    if scale != "none":  # an input around 100 alone takes longer to learn
        assert found.score(X, y) > 0.8
    assert found.n_iter_ == 60
    assert len(found.loss_curve_) == 60


@pytest.mark.parametrize("y", [VALUES, BOTH])
def test_refit_gives_a_regressor_for_numbers(y: np.ndarray, tmp_path: Path) -> None:
    space = {"hidden": [(6,), ()], "epochs": 150, "learning_rate": 0.05, "optimizer": ["adam", "nesterov"]}
    result = sweep(X, y, space, strategy="grid", engine="array")
    found = result.refit()
    assert isinstance(found, MLPRegressor)
    assert found.score(X, y) > 0.9
    np.testing.assert_allclose(found.predict(X), result.ensemble(1).predict(X), rtol=1e-9)
    found.save(tmp_path / "model")
    np.testing.assert_array_equal(MLPRegressor.load(tmp_path / "model").predict(X), found.predict(X))
    linear = next(trial for trial in result.trials if trial.parameters["hidden"] == ())
    assert result.refit(linear).hidden_layer_sizes == ()
    assert result.refit(linear.number).predict(X).shape == y.shape
    with pytest.raises(SettingsError, match="There is no trial 9"):
        result.refit(9)


def test_networks_that_no_estimator_describes() -> None:
    result = sweep(X, TWO, {"hidden": (3,), "epochs": 3, "loss": "squared_error"}, engine="array")
    with pytest.raises(SettingsError, match=r"squared_error is no MLPClassifier.*result.ensemble\(1\)"):
        result.refit()
    assert result.ensemble(1).predict(X).shape == (50,)


def test_counts_by_poisson() -> None:
    counts = np.random.default_rng(0).poisson(np.exp(X[:, 0] / 2 + 1)).astype(float)
    space = {"hidden": (4,), "loss": "poisson", "epochs": 100, "learning_rate": 0.02}
    result = sweep(X, counts, space, engine="array", task="regression")
    found = result.refit()
    assert found.out_activation_ == "exp"
    assert (found.predict(X) > 0).all()
    assert np.corrcoef(found.predict(X), counts)[0, 1] > 0.5


def test_refit_that_diverges() -> None:
    result = sweep(X, VALUES, {"hidden": (3,), "optimizer": "sgd", "epochs": 3, "learning_rate": 1e30}, engine="array")
    with pytest.raises(DivergenceError, match="Trained on all rows, the network of trial 0"):
        result.refit(0)


def test_refit_gives_a_model_for_tables() -> None:
    table = read_table(wheat_seeds())
    space = {"hidden": [(8,), (16,)], "epochs": 30, "learning_rate": 0.02}
    result = sweep(table, space=space, strategy="grid")
    model = result.refit()
    assert isinstance(model, Model)
    assert model.training["recipe"]["hidden"] == list(result.best.parameters["hidden"])
    assert model.training["engine"] == result.best.engine
    assert model.evaluate(table, get_backend("numpy"))["accuracy"] > 0.9
    assert result.best.score > 0.85


def groups_of(space: dict[str, Any], n_trials: int, rows: int = 200) -> dict[Any, list[Job]]:
    """The jobs of a sweep by their keys."""
    data = receive(RNG.normal(size=(rows, 7)), np.arange(rows) % 3, None)
    splits = splits_of(data, 5, 1, 0)
    experiment = Experiment(data, splits, Metric(None, data), backend=get_backend("numpy"), n_trials=n_trials)
    drawn = Space(space).sample(n_trials)
    groups: dict[Any, list[Job]] = {}
    for job in experiment.jobs(experiment.begin(experiment.configure(i, one) for i, one in enumerate(drawn))):
        groups.setdefault(population_key(job), []).append(job)
    return groups


def chosen_engines(space: dict[str, Any], n_trials: int) -> list[str]:
    return sorted(Engines(get_backend("numpy")).choose(groups_of(space, n_trials)).values())


def test_a_hundred_widths_are_no_hundred_compilations() -> None:
    widths = {"hidden": Range(1, 100), "epochs": 200, "learning_rate": Range(1e-4, 0.1, log=True)}
    assert set(chosen_engines(widths, 200)) == {"block"}
    assert set(chosen_engines(widths | {"epochs": 2}, 3)) == {"array"}  # no compilation would pay
    assert chosen_engines({"hidden": (8,), "epochs": 500, "l2": Range(0, 1)}, 2000) == ["lane"]


def test_a_kernel_takes_longer_to_compile_for_a_device(
    monkeypatch: pytest.MonkeyPatch, numpy_backend: Backend, standin: Backend
) -> None:
    groups = groups_of({"hidden": (8,), "epochs": 2}, 1)
    job = next(iter(groups.values()))[0]
    monkeypatch.setattr("gpubp.search.run.engines.estimates", lambda plan: {"block": 1.0, "array": 5.0})
    for backend in (numpy_backend, standin):
        monkeypatch.setattr(type(backend), "compiler_missing", lambda self: None)
    costs = USUAL_COSTS["block"]
    assert costs.compiling < 4 < costs.cuda_compiling
    for backend, seconds, chosen in (
        (numpy_backend, costs.compiling, "block"),
        (standin, costs.cuda_compiling, "array"),
    ):
        engines = Engines(backend)
        assert Rates(engines).seconds(job, "block", 0.0) == seconds
        assert set(engines.choose(groups).values()) == {chosen}


def test_without_a_compiler_arrays_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpubp.backends.numpy_backend.NumpyBackend.compiler_missing", lambda self: "no compiler")
    assert set(chosen_engines({"hidden": (8,), "epochs": 500, "l2": Range(0, 1)}, 500)) == {"array"}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_tpe_learns_and_goes_on(tmp_path: Path, sampler: str) -> None:
    import optuna

    from gpubp import TPE, When

    space = Space(
        {"hidden": [(2,), (4,)], "learning_rate": Range(1e-5, 0.3, log=True), "epochs": Range(3, 6, integer=True)},
        When({"hidden": (2,)}, {"l2": [0.0, 0.1]}),
        When({"hidden": (4,)}, {"l2": Range(0, 1)}),
    )
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    chosen = optuna.samplers.RandomSampler(seed=1) if sampler == "random" else None
    plan = TPE(storage=storage, study="mine", batch=4, sampler=chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = sweep(X, TWO, space, n_trials=10, strategy=plan, engine="array")
        second = sweep(X, TWO, space, n_trials=3, strategy=plan, engine="array")
    assert [trial.number for trial in first.trials] == list(range(10))
    assert [trial.number for trial in second.trials] == [10, 11, 12]
    assert len({trial.seed for trial in (*first.trials, *second.trials)}) == 13
    with opened(optuna, storage) as database:
        trials = optuna.load_study(study_name="mine", storage=database).trials
    assert [trial.value for trial in trials] == [t.score for t in (*first.trials, *second.trials)]
    assert first.best.score == max(trial.value for trial in trials[:10])
    with pytest.raises(SettingsError, match="is of another sweep"):
        sweep(X, TWO, SPACE, n_trials=1, strategy=plan, engine="array")
    with pytest.raises(SettingsError, match="batch=0"):
        TPE(batch=0)


def test_tpe_is_told_of_lost_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna

    from gpubp import TPE

    monkeypatch.chdir(tmp_path)
    space = {"hidden": (3,), "optimizer": "sgd", "epochs": 3, "learning_rate": [1e-3, 1e30]}
    result = sweep(X, VALUES, space, n_trials=6, strategy=TPE(study="s", batch=3), engine="array")
    with opened(optuna, "sqlite:///gpubp-studies.sqlite3") as database:
        trials = optuna.load_study(study_name="s", storage=database).trials
    for trial, told in zip(result.trials, trials, strict=True):
        assert told.state.name == ("PRUNED" if trial.parameters["learning_rate"] > 1 else "COMPLETE")
    fresh = sweep(X, VALUES, space, n_trials=1, strategy="tpe", engine="array")
    assert fresh.trials[0].number == 0
    assert len(optuna.get_all_study_names(storage="sqlite:///gpubp-studies.sqlite3")) == 2
