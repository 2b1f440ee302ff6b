"""The commands on good input: what they print, as text and as JSON, and what they write."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from command_line import DATA, SEEDS, gpubp, mixed_table, numbers_table, succeeds, write

import gpubp as package

FOLDS = [38 / 42, 39 / 42, 41 / 42, 39 / 42, 39 / 42]
ZERO_RULE = [13 / 42, 10 / 42, 13 / 42, 13 / 42, 10 / 42]


@pytest.fixture(scope="module")
def seeds_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seeds") / "seeds.safetensors"
    succeeds("train", SEEDS, "--validation", 0.2, "--early-stopping", "--hidden", "32,16", "--output", path)
    return path


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mixed_table(tmp_path_factory.mktemp("mixed") / "mixed.csv")


@pytest.fixture(scope="module")
def mixed_model(mixed: Path) -> Path:
    path = mixed.with_name("mixed.safetensors")
    succeeds("train", mixed, "--epochs", 40, "--output", path)
    return path


@pytest.fixture(scope="module")
def score_model(mixed: Path) -> Path:
    path = mixed.with_name("score.safetensors")
    succeeds("train", mixed, "--target", "score", "--epochs", 150, "--lr", 0.01, "--output", path)
    return path


def test_case_study_gives_the_tutorials_numbers_in_percent() -> None:
    found = succeeds("case-study", "--json").json
    assert found["fold_accuracies"] == pytest.approx([100 * share for share in FOLDS], abs=1e-9)
    assert found["zero_rule_accuracies"] == pytest.approx([100 * share for share in ZERO_RULE], abs=1e-9)
    assert round(found["mean_accuracy"], 3) == 93.333
    assert round(found["zero_rule_accuracy"], 3) == 28.095
    assert found["unit"] == "percent"
    assert found["train_seconds"] > 0
    assert found["backend"] == "numpy"
    assert found["engine"]


def test_case_study_as_text() -> None:
    outcome = succeeds("case-study", "--backend", "numpy")
    for number in ("90.476", "92.857", "97.619", "93.333", "30.952", "23.810", "28.095"):
        assert number in outcome.out
    assert "backend" in outcome.out
    assert "engine" in outcome.out
    assert outcome.err == "Backend numpy: asked for.\n"
    assert "\x1b" not in outcome.out  # no colours into a pipe
    assert not any(line.endswith(" ") for line in outcome.out.splitlines())


def test_case_study_of_another_table() -> None:
    assert succeeds("case-study", DATA / "seeds_dataset.txt", "--json", "-q").json["fold_accuracies"][0] > 80


def test_train_predict_evaluate_on_the_uci_file(seeds_model: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.csv"
    outcome = succeeds("predict", seeds_model, SEEDS, "--probabilities", "--output", answers, "--quiet")
    assert (outcome.out, outcome.err) == ("", "")
    frame = pl.read_csv(answers)
    assert frame.columns == ["prediction", "probability_1", "probability_2", "probability_3"]
    assert frame.height == 210
    assert (frame.drop("prediction").sum_horizontal() - 1.0).abs().max() < 1e-6
    truth = pl.Series([int(line.split()[-1]) for line in SEEDS.read_text().splitlines()])
    scores = succeeds("evaluate", seeds_model, SEEDS, "--json", "-q").json
    assert scores["accuracy"] == (frame["prediction"] == truth).mean() > 0.9
    assert sum(map(sum, scores["confusion_matrix"])) == scores["rows"] == 210
    assert scores["labels"] == ["1", "2", "3"]


def test_predict_prints_what_it_would_write(seeds_model: Path, tmp_path: Path) -> None:
    printed = succeeds("predict", seeds_model, SEEDS).out
    succeeds("predict", seeds_model, SEEDS, "-o", tmp_path / "answers.csv")
    assert printed == (tmp_path / "answers.csv").read_text()
    assert printed.splitlines()[0] == "prediction"


def test_predict_json(seeds_model: Path) -> None:
    found = succeeds("predict", seeds_model, SEEDS, "--json").json
    assert len(found["predictions"]) == found["rows"] == 210
    assert found["probabilities"] is None
    assert len(succeeds("predict", seeds_model, SEEDS, "--json", "-p").json["probabilities"][0]) == 3


def test_train_reports_its_history(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    arguments = ("train", SEEDS, "--validation", 0.2, "--early-stopping", "--patience", 3, "--lr", 0.02, "-o", path)
    outcome = succeeds(*arguments, "--json")
    found = outcome.json
    assert found["stopped_early"]
    assert 1 <= found["kept_epoch"] <= found["epochs"] < 100
    for losses in found["history"].values():
        assert len(losses) == found["epochs"]
    best = min(found["history"]["validation_loss"])
    assert found["history"]["validation_loss"][found["kept_epoch"] - 1] == best
    assert (found["training_rows"], found["validation_rows"]) == (168, 42)
    assert found["validation"]["accuracy"] > 0.8

    text = succeeds(*arguments)
    shown = " ".join(text.out.split())  # a long path wraps
    for words in ("training loss", "validation loss", "stopped early", "accuracy", f"gpubp predict {path} TABLE"):
        assert words in shown
    assert f"The model that {path} held before was replaced." in text.err


def test_quiet_leaves_results_and_nothing_else(tmp_path: Path, mixed: Path) -> None:
    outcome = succeeds("train", mixed, "-o", tmp_path / "m", "--epochs", 2, "--quiet")
    assert outcome.err == ""
    assert "training loss" in outcome.out


def test_same_seed_same_model(tmp_path: Path) -> None:
    table = numbers_table(tmp_path / "t.csv")
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        succeeds("train", table, "--epochs", 3, "--seed", seed, "-o", tmp_path / name)
    predictions = [succeeds("predict", tmp_path / name, table, "-p").out for name in ("one", "two", "three")]
    assert predictions[0] == predictions[1] != predictions[2]


def test_mixed_table_says_what_was_done(mixed: Path, mixed_model: Path) -> None:
    notes = succeeds("predict", mixed_model, mixed).err
    assert "Missing numbers are replaced by medians of the training: 'height' (14, by " in notes
    found = succeeds("evaluate", mixed_model, mixed, "--json").json
    assert found["accuracy"] > 0.85
    assert found["labels"] == ["blue team", "red team"]
    text = succeeds("evaluate", mixed_model, mixed).out
    for words in ("accuracy", "log-loss", "macro-F1", "blue team", "red team", "120 rows"):
        assert words in text


def test_regression(mixed: Path, score_model: Path) -> None:
    found = succeeds("evaluate", score_model, mixed, "--json").json
    assert found["r2"] > 0.9
    assert 0 < found["mae"] <= found["rmse"] < 10
    text = succeeds("evaluate", score_model, mixed).out
    assert "R²" in text
    assert "RMSE" in text
    first = succeeds("predict", score_model, mixed).out.splitlines()[1]
    assert 30 < float(first) < 170
    assert "has no probabilities" in gpubp("predict", score_model, mixed, "-p").err


def test_show(mixed_model: Path, score_model: Path, seeds_model: Path) -> None:
    text = succeeds("show", mixed_model).out
    for words in ("relu", "softmax", "own category", "[bold]city", "[red]Rome", "blue team", "learning_rate 0.001"):
        assert words in text
    assert "epochs" in text
    found = succeeds("show", seeds_model, "--json").json
    assert found["architecture"]["sizes"] == [7, 32, 16, 3]
    assert found["parameters"] == 8 * 32 + 33 * 16 + 17 * 3
    assert len(found["preprocessing"]["scale"]) == 7
    assert found["target"]["labels"] == ["1", "2", "3"]
    assert found["training"]["recipe"]["early_stopping"] is True
    assert "in units of" in succeeds("show", score_model).out


def test_cross_validate(mixed: Path) -> None:
    arguments = ("cross-validate", mixed, "--folds", 3, "--repeats", 2, "--epochs", 40, "--lr", 0.01)
    found = succeeds(*arguments, "--json", "-q").json
    accuracies = [scores["accuracy"] for scores in found["fold_scores"]]
    assert len(accuracies) == 6
    assert found["mean"] == pytest.approx(sum(accuracies) / 6)
    variance = sum((share - found["mean"]) ** 2 for share in accuracies) / 5  # the sample's
    assert found["standard_deviation"] == pytest.approx(variance**0.5)
    assert found["beats_baseline"]
    assert found["baseline_mean"] < 0.7
    text = succeeds(*arguments).out
    for words in ("repeat", "sample standard deviation of 6 folds", "Zero Rule", "beats the baseline", "at once"):
        assert words in text


def test_cross_validate_regression_and_early_stopping(mixed: Path) -> None:
    arguments = ("cross-validate", mixed, "-t", "score", "--early-stopping", "--validation", 0.25, "--lr", 0.02)
    found = succeeds(*arguments, "--json").json
    assert found["metric"] == "r2"
    assert found["mean"] > 0.8
    assert max(found["epochs"]) <= 100
    text = succeeds(*arguments).out
    assert "R²" in text
    assert "repeat" not in text


def test_a_network_that_learns_nothing_does_not_beat_the_baseline(mixed: Path) -> None:
    arguments = ("cross-validate", mixed, "--epochs", 1, "--lr", 1e-12, "--hidden", "none", "--scale", "none")
    assert "does not beat the baseline" in succeeds(*arguments).out


def test_many_classes_are_shown_as_mistakes(tmp_path: Path) -> None:
    rows = "".join(f"{i % 20},class {i % 20}\n" for i in range(200))
    table = write(tmp_path / "t.csv", "x,kind\n" + rows)
    succeeds("train", table, "--epochs", 1, "-o", tmp_path / "m")
    text = succeeds("evaluate", tmp_path / "m", table).out
    assert "true \\ predicted" not in text
    assert len(text.splitlines()) < 25


def test_header_and_separator_are_taken_as_given(tmp_path: Path) -> None:
    table = write(tmp_path / "t.txt", "1|2|a\n" + "3|4|b\n1|2|a\n" * 10)
    found = succeeds("train", table, "--separator", "|", "--no-header", "--epochs", 1, "-o", tmp_path / "m", "--json")
    assert found.json["training_rows"] == 21
    assert found.json["target"] == "column_3"
    headed = succeeds("train", table, "--separator", "|", "--header", "--epochs", 1, "-o", tmp_path / "m", "--json")
    assert headed.json["target"] == "a"


def test_training_options_reach_the_recipe(tmp_path: Path) -> None:
    table = numbers_table(tmp_path / "t.csv")
    options = (
        "--hidden 8,4 --activation tanh --loss binary_cross_entropy --optimizer nesterov --momentum 0.5 --lr 0.1 "
        "--l2 0.01 --clip-norm 2 --schedule step --schedule-option every=2 --schedule-option factor=0.9 "
        "--batch-size all --epochs 3 --scale minmax --seed 7 --dtype float64 --no-shuffle --initializer he_normal"
    )
    recipe = succeeds("train", table, *options.split(), "-o", tmp_path / "m", "--json").json["recipe"]
    assert recipe["hidden"] == [8, 4]
    assert recipe["optimizer_options"] == {"momentum": 0.5}
    assert recipe["schedule_options"] == {"every": 2.0, "factor": 0.9}
    assert recipe["batch_size"] is None
    assert recipe["clip_norm"] == 2.0
    assert (recipe["dtype"], recipe["scale"], recipe["seed"], recipe["shuffle"]) == ("float64", "minmax", 7, False)
    assert (recipe["activation"], recipe["loss"], recipe["l2"]) == ("tanh", "binary_cross_entropy", 0.01)
    assert (recipe["schedule"], recipe["initializer"]) == ("step", "he_normal")


def test_task_can_be_chosen(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "x,y\n" + "1,1\n2,2\n3,3\n" * 10)
    guessed = succeeds("train", table, "--epochs", 1, "-o", tmp_path / "m", "--json").json
    chosen = succeeds("train", table, "--epochs", 1, "-o", tmp_path / "m", "--json", "--task", "regression").json
    assert (guessed["task"], chosen["task"]) == ("classification", "regression")


def test_a_link_to_a_model_stays_a_link(tmp_path: Path) -> None:
    table = numbers_table(tmp_path / "t.csv")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    succeeds("train", table, "--epochs", 1, "-o", link)
    assert link.is_symlink()
    succeeds("show", tmp_path / "real")


def test_version_and_bare_command() -> None:
    assert succeeds("--version").out == f"gpubp {package.__version__}\n"
    assert "cross-validate" in succeeds().out
    assert succeeds().out == succeeds("--help").out


def test_dropout_for_all_hidden_layers_or_for_each(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for given, recorded in (("0.25", 0.25), ("0.5,0", [0.5, 0.0])):
        arguments = ("--hidden", "8,6", "--dropout", given, "--epochs", 5, "-o", path)
        found = succeeds("train", SEEDS, *arguments, "--json").json
        assert succeeds("show", path, "--json").json["training"]["recipe"]["dropout"] == recorded
        plain = succeeds("train", SEEDS, "--hidden", "8,6", "--epochs", 5, "-o", path, "--json").json
        assert found["history"]["training_loss"][-1] > plain["history"]["training_loss"][-1]
