"""Schedules of dropout, decay and label smoothing, from what people write to a population's settings."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import SEEDS, refused, succeeds

from gpubp import Model, Recipe, Space, sweep
from gpubp.errors import SettingsError
from gpubp.fitting.job import Job, Sheet, population_key, population_settings
from gpubp.operations.architecture import Architecture
from gpubp.operations.schedules import PURE_SCHEDULES
from gpubp.search.space.parameters import recipe_of

FIELDS = ("dropout_schedule", "decay_schedule", "smoothing_schedule")
RANDOM = np.random.default_rng(6)
X = RANDOM.normal(size=(60, 3))
LABELS = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-0.4, 0.4])]
RECIPE = Recipe(hidden=(4,), dropout=0.3, l2=0.1, label_smoothing=0.1)


def job(recipe: Recipe) -> Job:
    sheet = Sheet.plain(X, np.eye(3)[RANDOM.integers(3, size=60)])
    shape = Architecture(3, recipe.hidden, 3, "relu", "softmax")
    return Job(shape, recipe.settings("classification"), np.dtype("float32"), "auto", 0, sheet, None)


def test_networks_of_different_smoothing_train_side_by_side() -> None:
    jobs = [job(replace(RECIPE, label_smoothing=amount)) for amount in (0.0, 0.1, 0.3)]
    assert len({population_key(each) for each in jobs}) == 1
    np.testing.assert_array_equal(population_settings(jobs, 100).label_smoothing, [0.0, 0.1, 0.3])
    alike = [job(replace(RECIPE, learning_rate=rate)) for rate in (0.1, 0.2)]
    assert population_settings(alike, 100).label_smoothing == 0.1


@pytest.mark.parametrize("field", FIELDS)
def test_networks_of_different_schedules_do_not(field: str) -> None:
    one, other = (job(replace(RECIPE, **{field: name})) for name in ("cosine", "flat_cos"))
    assert population_key(one) != population_key(other)
    longer = job(replace(RECIPE, **{field: "cosine"}, epochs=200))  # where a schedule stands depends on the length
    assert population_key(one) != population_key(longer)
    assert population_key(job(RECIPE)) == population_key(job(replace(RECIPE, epochs=200)))


@pytest.mark.parametrize("engine", ["array", "lane", "block"])
def test_a_trial_is_as_in_a_sweep_of_its_own(engine: str) -> None:
    """To the bit: alone its labels are smoothed in the table, among others by the engine."""
    common = {"hidden": (4,), "epochs": 4, "learning_rate": 0.02}

    def scores(amount: Any) -> dict[float, list[float]]:
        found = sweep(
            X, LABELS, common | {"label_smoothing": amount}, strategy="grid", cv=3, engine=engine, metric="loss", seed=3
        )
        return {trial.parameters["label_smoothing"]: list(trial.scores) for trial in found.trials}

    for place, amount in enumerate((0.0, 0.05, 0.4)):
        others = [amount, 0.1 + 0.1 * place, 0.6]  # it comes first, for a trial's seed follows from its place
        assert scores(others)[amount] == scores(amount)[amount]


def test_a_recipe_tells_of_them_where_there_are_some() -> None:
    assert not {*FIELDS} & {*RECIPE.to_dict()}
    assert replace(RECIPE, decay_schedule="cosine").to_dict()["decay_schedule"] == "cosine"


def test_schedules_of_nothing() -> None:
    everything: dict[str, Any] = dict.fromkeys(FIELDS, "cosine")
    assert Recipe(**everything).idle_schedules == FIELDS
    assert replace(RECIPE, **everything).idle_schedules == ()
    assert Recipe(**everything, optimizer="adamw", dropout=(0.1,)).idle_schedules == ("smoothing_schedule",)
    assert Recipe().idle_schedules == ()


@pytest.mark.parametrize("field", FIELDS)
def test_a_search_space_may_name_them(field: str) -> None:
    names = {each[field] for each in Space({field: list(PURE_SCHEDULES)}).grid()}
    assert names == {*PURE_SCHEDULES}
    assert getattr(recipe_of({field: "flat_cos"}), field) == "flat_cos"
    with pytest.raises(SettingsError, match=f"{field}: The schedule adaptive lowers the learning rate"):
        Space({field: ["constant", "adaptive"]})
    with pytest.raises(SettingsError, match="Unknown schedule 'flat' of"):
        Space({field: "flat"})
    with pytest.raises(SettingsError, match=f"{field}: .*tuple"):
        Space({field: ("cosine", "step")})


def test_the_command_line_and_a_file(tmp_path: Path) -> None:
    options = ("--epochs", 4, "--dropout", 0.3, "--l2", 0.1, "--label-smoothing", 0.1, "--engine", "array", "--json")
    given = ("--dropout-schedule", "flat_cos", "--decay-schedule", "cosine", "--smoothing-schedule", "coslog4")
    found = succeeds("train", SEEDS, *options, *given, "--schedule", "coslog4", "-o", tmp_path / "m").json
    assert {name: found["recipe"][name] for name in FIELDS} == dict(
        zip(FIELDS, ("flat_cos", "cosine", "coslog4"), strict=True)
    )
    assert "dropout_schedule flat_cos" in " ".join(succeeds("show", tmp_path / "m").out.split())
    config = tmp_path / "o.toml"
    config.write_text('dropout-schedule = "flat_cos"\ndecay-schedule = "cosine"\nsmoothing-schedule = "coslog4"\n')
    succeeds("train", SEEDS, *options, "--config", config, "--schedule", "coslog4", "-o", tmp_path / "again")
    np.testing.assert_array_equal(Model.load(tmp_path / "again").params, Model.load(tmp_path / "m").params)
    succeeds("train", SEEDS, *options, "--schedule", "coslog4", "-o", tmp_path / "without")
    assert (Model.load(tmp_path / "without").params != Model.load(tmp_path / "m").params).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--dropout-schedule flat_cos", ("--dropout-schedule goes with --dropout",)),
        ("--decay-schedule flat_cos", ("--decay-schedule goes with --l2, or --optimizer adamw",)),
        ("--smoothing-schedule cosine", ("--smoothing-schedule goes with --label-smoothing",)),
        ("--dropout 0.1 --dropout-schedule flat", ("'flat' of dropout", "flat_cos")),
        ("--label-smoothing 0.1 --smoothing-schedule adaptive", ("adaptive", "cannot be of smoothing", "constant")),
        ("--schedule coslog4 --schedule-option cycles=0.5", ("cycles 0.5", "at least 1")),
        ("--schedule flat_cos --schedule-option flat=1", ("flat 1", "below 1")),
        ("--schedule flat_cos --schedule-option cycles=4", ("flat_cos has no option 'cycles'",)),
    ],
)
def test_what_cannot_be(options: str, words: tuple[str, ...], tmp_path: Path) -> None:
    refused(tmp_path, "train", SEEDS, "-o", tmp_path / "m", *options.split(), words=words)


def test_the_command_for_the_best_has_no_schedule_of_nothing(tmp_path: Path) -> None:
    fixed = [f"--set={each}" for each in ("epochs=4", "dropout=0.2", "label-smoothing=0", "smoothing-schedule=cosine")]
    varied = ("--grid", "dropout-schedule=flat_cos;coslog4", "--engine", "array", "--folds", 3)
    found = succeeds("sweep", SEEDS, *varied, *fixed, "-o", tmp_path / "s", "--json").json
    assert "--dropout-schedule" in found["command"]
    assert "--smoothing-schedule" not in found["command"]
    succeeds(*shlex.split(found["command"])[1:], "-o", tmp_path / "again")
    best, again = Model.load(tmp_path / "s" / "best.safetensors"), Model.load(tmp_path / "again")
    np.testing.assert_array_equal(again.params, best.params)
