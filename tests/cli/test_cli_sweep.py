"""`gpubp sweep`, and predictions by the ensemble that it writes."""

from __future__ import annotations

import csv
import io
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import SEEDS, gpubp, numbers_table, refused, succeeds

from gpubp import Model, Range, read_table, sweep
from gpubp.cli.space import DEFAULT, space_of
from gpubp.errors import SettingsError
from gpubp.models.ensemble import Ensemble

SMALL = ("--grid", "hidden=3;4,2", "--range", "learning-rate=0.005:0.1:log", "--set", "epochs=12", "--folds", 3)


def test_a_sweep_ends_with_a_leaderboard_files_and_the_command_for_the_best(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "wheat"
    arguments = ("sweep", SEEDS, *SMALL, "--trials", 12, "--seed", 3, "-o", folder)
    outcome = succeeds(*arguments, "--json")
    found = outcome.json
    assert (found["trials"], found["networks"], found["metric"]) == (12, 36, "accuracy")
    scores = [trial["score"] for trial in found["leaderboard"]]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)
    assert found["baseline"] == pytest.approx(1 / 3, abs=0.01)
    assert found["best"]["score"] > 0.7
    assert found["ensemble"]["score"] >= found["ensemble"]["best_alone"]

    rows = list(csv.DictReader(io.StringIO((folder / "trials.csv").read_text())))
    assert len(rows) == 12
    assert float(rows[found["best"]["trial"]]["mean"]) == found["best"]["score"]

    words = shlex.split(found["command"])
    assert words[:2] == ["gpubp", "train"]
    again = tmp_path / "again.safetensors"
    succeeds(*words[1:], "-o", again)
    np.testing.assert_array_equal(Model.load(again).params, Model.load(folder / "best.safetensors").params)

    text = succeeds(*arguments)
    shown = " ".join(text.out.split())
    for part in ("place", "accuracy", "hidden", "learning-rate", "baseline", "ensemble", "36 networks", "gpubp train"):
        assert part in shown


def test_the_ensemble_predicts_with_its_disagreement(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    succeeds("sweep", SEEDS, *SMALL, "--trials", 8, "--ensemble", 4, "-o", folder, "--quiet")
    path = folder / "ensemble.safetensors"
    ensemble = Ensemble.load(path)
    answer = succeeds("predict", path, SEEDS, "--probabilities", "--json").json
    assert answer["rows"] == 210
    probabilities = np.array(answer["probabilities"])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert [answer["labels"][c] for c in probabilities.argmax(axis=1)] == list(map(str, answer["predictions"]))
    assert len(answer["disagreement"]) == 210
    assert (max(answer["disagreement"]) > 1e-6) == (ensemble.n_members > 1)
    lines = list(csv.DictReader(io.StringIO(succeeds("predict", path, SEEDS).out)))
    assert list(lines[0]) == ["prediction", "disagreement"]
    truth = read_table(str(SEEDS)).frame[:, -1].to_list()
    right = np.mean([str(found) == str(true) for found, true in zip(answer["predictions"], truth, strict=True)])
    scores = succeeds("evaluate", path, SEEDS, "--json").json
    assert scores["accuracy"] == pytest.approx(right)
    assert scores["disagreement"] == pytest.approx(np.mean(answer["disagreement"]))
    assert "disagreement" in succeeds("evaluate", path, SEEDS).out
    shown = succeeds("show", path, "--json").json
    assert [member["name"] for member in shown["members"]] == list(ensemble.names)
    assert sum(member["count"] for member in shown["members"]) == 4
    assert all(name in succeeds("show", path).out for name in ensemble.names)


def test_an_ensemble_of_arrays_knows_no_columns(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(40, 2))
    team = sweep(X, (X[:, 0] > 0).astype(int), {"hidden": (3,), "epochs": 5}, strategy="grid").ensemble(1)
    path = tmp_path / "arrays.safetensors"
    team.save(path)
    for command in ("predict", "evaluate"):
        refused(tmp_path, command, path, SEEDS, "-q", words=("made from arrays", "load it in Python"))
    assert "classification" in succeeds("show", path).out
    with pytest.raises(SettingsError, match="knows no target column"):
        team.evaluate(read_table(str(SEEDS)))


@pytest.mark.parametrize("strategy", ["grid", "halving"])
def test_strategies(strategy: str) -> None:
    space = ("--grid", "learning-rate=0.01;0.05;0.1", "--grid", "l2=0;0.1;1", "--set", "epochs=45", "--set", "hidden=3")
    found = succeeds("sweep", SEEDS, *space, "--strategy", strategy, "--folds", 2, "--ensemble", 0, "--json").json
    assert found["trials"] == 9
    assert found["ensemble"] is None
    statuses = [trial["status"] for trial in found["leaderboard"]]
    assert statuses.count("complete") == (9 if strategy == "grid" else 1)


def test_a_regression_and_a_space_in_toml(tmp_path: Path) -> None:
    table = tmp_path / "values.csv"
    values = np.random.default_rng(0).normal(size=(60, 3))
    table.write_text("a,b,y\n" + "".join(f"{a},{b},{2 * a - b + 0.1 * c}\n" for a, b, c in values))
    space = tmp_path / "space.toml"
    space.write_text(
        "hidden = [[4], [6, 3]]\nlearning-rate = {low = 0.005, high = 0.1, log = true}\nepochs = 30\n"
        'optimizer = ["adam", "momentum"]\nmomentum = [0.5, 0.9]\n'
    )
    arguments = ("sweep", table, "-t", "y", "--space", space, "--set", "epochs=20", "--trials", 6, "--folds", 3)
    found = succeeds(*arguments, "--json").json
    assert (found["task"], found["metric"], found["trials"]) == ("regression", "r2", 6)
    assert found["baseline"] < 0.05
    assert {trial["parameters"]["epochs"] for trial in found["leaderboard"]} == {20}
    for trial in found["leaderboard"]:
        assert ("momentum" in trial["parameters"]) == (trial["parameters"]["optimizer"] == "momentum")


def test_conditions_in_toml(tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text(
        'hidden = [[4], [8, 4]]\nepochs = 5\noptimizer = ["adam", "sgd"]\n'
        '[[when]]\nif = {optimizer = "sgd"}\nlearning-rate = {low = 0.01, high = 0.5}\n'
        "[[when]]\nif = {hidden = [[8, 4]]}\ndropout = [0.1, 0.2]\n"
    )
    space = space_of(file, [], [], [])
    assert [each.condition for each in space.conditions] == [{"optimizer": ("sgd",)}, {"hidden": ((8, 4),)}]
    drawn = space.sample(40, seed=0)
    for each in drawn:
        assert ("learning_rate" in each) == (each["optimizer"] == "sgd")
        assert ("dropout" in each) == (each["hidden"] == (8, 4))
    for text, words in (
        ("when = 3", "when should be a list; found 3"),
        ("[[when]]\ndropout = 0.1", "when[0] should be a table with `if`"),
        ('[[when]]\nif = {optimizer = "sgd"}', "parameters that this brings"),
        ("[[when]]\nif = {hidden = 8}\nhiden = 3", "Did you mean 'hidden'"),
    ):
        file.write_text(f"epochs = 5\n{text}\n")
        refused(tmp_path, "sweep", SEEDS, "--space", file, "-q", words=words)


def test_a_study_that_machines_share(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.sqlite3'}"
    options = ("sweep", SEEDS, *SMALL, "--strategy", "tpe", "--study", "wheat", "--storage", url, "--ensemble", 0)
    numbers = [
        [trial["trial"] for trial in succeeds(*options, "--trials", 3, "--json").json["leaderboard"]] for _ in range(2)
    ]
    assert sorted(numbers[0] + numbers[1]) == [0, 1, 2, 3, 4, 5]
    refused(tmp_path, "sweep", SEEDS, "--study", "wheat", "-q", words=("--study", "--strategy tpe", "random"))


def test_no_ensemble_without_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpubp.search.run.experiment.PREDICTIONS_BYTES", 1000)
    found = succeeds("sweep", SEEDS, *SMALL, "--trials", 3)
    assert "No ensemble: the predictions that it is chosen by would take more than 1 GiB." in found.err
    assert "ensemble" not in found.out


def test_what_the_options_mean() -> None:
    space = space_of(
        None,
        ["hidden=8;16;32,32;none", "optimizer=adam;momentum", "batch-size=all;32"],
        ["learning-rate=1e-4:1:log", "epochs=5:50", "l2=0:1"],
        ["shuffle=false", "dropout=0.25", "scale=minmax"],
    )
    found: dict[str, Any] = {name: getattr(entry, "values", entry) for name, entry in space.entries.items()}
    assert found == {
        "hidden": ((8,), (16,), (32, 32), ()),
        "optimizer": ("adam", "momentum"),
        "batch_size": (None, 32),
        "learning_rate": Range(1e-4, 1, log=True),
        "epochs": Range(5, 50, integer=True),
        "l2": Range(0, 1),
        "shuffle": (False,),
        "dropout": (0.25,),
        "scale": ("minmax",),
    }
    assert set(space_of(None, [], [], []).entries) == set(DEFAULT)
    fixed = space_of(None, [], [], ["epochs=7", "dropout=0.5"])  # which is no reason to search nothing
    assert set(fixed.entries) == {*DEFAULT, "dropout"}
    assert fixed.entries["epochs"].values == (7,)
    assert set(space_of(None, ["hidden=8;16"], [], []).entries) == {"hidden"}


BAD = {
    "--grid hidden": ("--grid 'hidden'", "NAME=…", "hidden=8;16;32,32"),
    "--grid hidden=8;;16": ("empty choice", "semicolons"),
    "--grid hidden=8 --set hidden=9": ("hidden is given twice",),
    "--grid hiden=8": ("'hiden'", "Did you mean 'hidden'"),
    "--grid hidden=8;0": ("hidden", "0 neurons"),
    "--range learning-rate=fast": ("LOW:HIGH", "1e-4:1:log"),
    "--range learning-rate=1:0.1": ("low is above high",),
    "--range learning-rate=0:1:log": ("logarithm needs low above 0",),
    "--range learning-rate=0.1:1:linear": ("log and int", "'linear'"),
    "--set optimizer=adm": ("'adm'", "adam"),
    "--space nowhere.toml": ("There is no search space file nowhere.toml",),
    "--budget soon": ("'soon'", "10m"),
    "--budget 0s": ("'0s'", "10m"),
    "--trials 0": "--trials",
    "--strategy luck": ("'luck'", "halving"),
    "--metric best": ("'best'",),
    "--folds 1": ("1 folds", "at least 2"),
    "--ensemble -1": ("--ensemble",),
}


@pytest.mark.parametrize("options", BAD)
def test_bad_sweeps(options: str, tmp_path: Path) -> None:
    refused(tmp_path, "sweep", SEEDS, "-o", tmp_path / "runs", *options.split(), words=BAD[options])


def test_a_report_needs_a_folder(tmp_path: Path) -> None:
    refused(tmp_path, "sweep", SEEDS, *SMALL, "--report", words=("--report", "--output"))


def test_a_space_file_that_is_none(tmp_path: Path) -> None:
    space = tmp_path / "space.toml"
    for text, words in (("hidden = [", "is no TOML"), ("l2 = {low = 1}", "a range, which has low and high")):
        space.write_text(text)
        refused(tmp_path, "sweep", SEEDS, "--space", space, words=words)
    space.write_bytes(b"\xff\xfe")
    refused(tmp_path, "sweep", SEEDS, "--space", space, words="is no TOML")


def test_the_output_is_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    refused(tmp_path, "sweep", SEEDS, *SMALL, "--trials", 2, "-o", file, words="that is a file; name a folder")


def test_a_budget_ends_it_early() -> None:
    long = ("--set", "epochs=400", "--range", "l2=0:1", "--trials", 2_000)
    outcome = gpubp("sweep", SEEDS, *long, "--budget", "0.5s", "--json")
    assert outcome.code in (0, 2)
    if outcome.code == 0:
        assert outcome.json["ended_early"]
        assert "ended early" in outcome.err
    else:
        assert "over before the first trial was done" in outcome.err


def test_a_second_sweep_replaces_the_first_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    first = succeeds("sweep", SEEDS, *SMALL, "--trials", 4, "--ensemble", 3, "-o", folder)
    assert "replaced" not in first.err
    (folder / "report.html").write_text("of the first sweep")
    second = succeeds("sweep", SEEDS, *SMALL, "--trials", 3, "--ensemble", 0, "-o", folder)
    assert f"The sweep that {folder} held before was replaced." in second.err
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.safetensors", "results.json", "sweep.json", "trials.csv",
    ]  # fmt: skip


def test_the_folder_is_looked_at_before_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("the sweep has begun")

    monkeypatch.setattr("gpubp.search.sweep.sweep", never)
    monkeypatch.setattr("gpubp.sweeping.sweep", never, raising=False)
    file = tmp_path / "file"
    file.write_text("precious")
    refused(tmp_path, "sweep", SEEDS, "-o", file / "runs", words=("does not let you write", "Choose another place"))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    refused(tmp_path, "sweep", SEEDS, "-o", tmp_path / "a" / "b", words="does not let you write")


def test_an_ensemble_tells_what_it_had_to_replace(tmp_path: Path) -> None:
    folder, table = tmp_path / "runs", tmp_path / "table.csv"
    values = np.random.default_rng(0).normal(size=(40, 2))
    table.write_text("a,b,kind\n" + "".join(f"{a},{b},{'x' if a > b else 'y'}\n" for a, b in values))
    succeeds("sweep", table, *SMALL, "--trials", 4, "-o", folder)
    holes = tmp_path / "holes.csv"
    holes.write_text("a,b\n1,2\n,3\n")
    notes = succeeds("predict", folder / "best.safetensors", holes, "--json").json["notes"]
    assert notes
    assert succeeds("predict", folder / "ensemble.safetensors", holes, "--json").json["notes"] == notes


def test_a_sweep_that_fails_at_once_leaves_nothing(tmp_path: Path) -> None:
    table, folder = numbers_table(tmp_path / "t.csv"), tmp_path / "runs"
    common = ("sweep", table, "--grid", "hidden=2;3", "--set", "epochs=1", "--trials", 2, "-q", "-o", folder)
    refused(tmp_path, *common, "--engine", "fast", words="Unknown engine")
    refused(tmp_path, *common, "--engine", "array", "--ensemble", 2**63, words=("--ensemble", "10000"))
    succeeds(*common, "--engine", "array")
    refused(folder, *common, "--engine", "fast", words="Unknown engine")
