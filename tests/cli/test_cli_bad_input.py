"""Bad input on the command line: one clear message, exit code 2, nothing written, no traceback."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import DATA, SEEDS, contents, gpubp, numbers_table, refused, succeeds, write
from safetensors.numpy import load, save

from gpubp import Model
from gpubp.backends import get_backend
from gpubp.tables import read_table


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return numbers_table(tmp_path / "table.csv")


@pytest.fixture
def model(table: Path) -> Path:
    path = table.with_name("model.safetensors")
    succeeds("train", table, "--epochs", 2, "--output", path)
    return path


def rows(*extra: str) -> str:
    """A header, 20 good rows of two classes, and more."""
    good = [f"{i % 2 + 0.1 * i:.1f},{i},{'ab'[i % 2]}" for i in range(20)]
    return "\n".join(["x,y,kind", *good, *extra]) + "\n"


TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "empty file": ("", ("file is empty",)),
    "blank file": ("\n \n", ("file is empty",)),
    "header only": ("x,y,kind\n", ("header", "no rows")),
    "one row": ("x,y,kind\n1,2,a\n", ("1 row", "needs at least 2")),
    "one class": ("x,kind\n" + "1,a\n2,a\n" * 5, ("one class only", "'a'", "Is it the right column?")),
    "ragged": (rows("1,2"), ("line 22", "found 2 fields, expected 3")),
    "stray text": (rows("1,two,a"), ("line 22", "'y'", "'two'", "column of numbers")),
    "infinite": (rows("1,inf,a"), ("line 22", "'y'", "inf", "finite")),
    "huge": (rows("1,1e308,a"), ("line 22", "'y'", "1e+308", "1e30")),
    "no inputs": ("kind\na\nb\na\nb\n", ("no input columns",)),
    "binary": ("x,y\n1,\0\n", ("binary",)),
    "identifiers": (
        "name,kind\n" + "".join(f"n{i},{'ab'[i % 2]}\n" for i in range(300)),
        ("'name'", "no input columns", "300 texts"),
    ),
}


@pytest.mark.parametrize("command", ["train", "cross-validate"])
@pytest.mark.parametrize("what", TABLES)
def test_bad_tables(command: str, what: str, tmp_path: Path) -> None:
    text, words = TABLES[what]
    table = write(tmp_path / "bad.csv", text)
    output = ("--output", tmp_path / "model.safetensors") if command == "train" else ()
    refused(tmp_path, command, table, "--epochs", 2, *output, words=("bad.csv", *words))


@pytest.mark.parametrize("command", ["case-study", "train", "cross-validate"])
def test_missing_files_folders_and_ragged_rows(command: str, tmp_path: Path) -> None:
    output = ("--output", tmp_path / "model.safetensors") if command == "train" else ()
    refused(tmp_path, command, tmp_path / "nothing.csv", *output, words=("nothing.csv", "no such file"))
    refused(tmp_path, command, tmp_path, *output, words=(str(tmp_path), "is a folder"))
    ragged = DATA / "wheat-seeds-naive-conversion.csv"
    words = (ragged.name, "line 8", "found 10 fields, expected 8", "repeated tabs")
    refused(tmp_path, command, ragged, *output, words=words)


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_missing_files_and_folders_beside_a_model(command: str, model: Path) -> None:
    folder = model.parent
    refused(folder, command, model, folder / "nothing.csv", words=("nothing.csv", "no such file"))
    refused(folder, command, model, folder, words="is a folder")
    refused(folder, command, folder / "nothing", folder / "table.csv", words=("no model file", "nothing"))
    refused(folder, command, folder, folder / "table.csv", words=("is a folder", "model file"))


def test_a_literal_nan_is_a_missing_value(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", rows("NaN,4,a"))
    outcome = succeeds("train", table, "--epochs", 2, "-o", tmp_path / "m")
    assert "Missing numbers are replaced by the median of the column: 'x' (1, by " in outcome.err


def test_a_constant_column_is_said(tmp_path: Path) -> None:
    text = rows().replace("x,y", "x,y,same").replace(",a", ",7,a").replace(",b", ",7,b").replace("same", "z", 1)
    table = write(tmp_path / "t.csv", text)
    outcome = succeeds("train", table, "--epochs", 2, "-o", tmp_path / "m")
    assert "Column 'z' is left out: it is 7 on every row." in outcome.err
    assert "it is 7 on every row" in succeeds("show", tmp_path / "m").out
    changed = write(tmp_path / "changed.csv", "x,y,z\n1,2,8\n")
    assert "'z'" not in succeeds("predict", tmp_path / "m", changed).err


def test_rows_without_a_target_are_left_out_or_refused(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", rows("1,2,"))
    outcome = succeeds("train", table, "--epochs", 2, "-o", tmp_path / "m")
    said = "1 of 21 rows has no value in 'kind' (line 22): it is left out"
    assert f"{said}; --strict refuses it instead.\n" in outcome.err
    assert f"{said}.\n" in succeeds("evaluate", tmp_path / "m", table).err
    for command in ("train", "cross-validate", "sweep", "explain"):
        refused(tmp_path, command, table, "--strict", words=("t.csv: 1 of 21 rows", "line 22", "without --strict"))


def test_unknown_target_suggests_the_nearest_name(tmp_path: Path, table: Path) -> None:
    arguments = ("train", table, "--target", "kinds", "-o", tmp_path / "m")
    refused(tmp_path, *arguments, words=("no column 'kinds'", "Did you mean 'kind'?", "'x', 'y', 'kind'"))
    refused(tmp_path, "train", table, "--target", "7", "-o", tmp_path / "m", words=("no column 7", "from 1", "to 3"))


def test_folds_that_cannot_be(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", rows("5,5,c", "6,6,c"))
    for command in ("cross-validate", "sweep"):
        refused(tmp_path, command, table, "--folds", 13, words=("13 folds", "no class has more than", "at most"))
    refused(tmp_path, "cross-validate", table, "--folds", 1, words=("1 folds", "at least 2"))
    refused(tmp_path, "cross-validate", table, "--folds", 2, "--repeats", 0, words=("0 repeats", "at least 1"))


SETTINGS: dict[str, tuple[str, ...]] = {
    "--hidden 0": ("0 neurons in hidden layer 1", "at least 1"),
    "--hidden 8,-2": ("-2 neurons in hidden layer 2",),
    "--hidden 8,x": ("--hidden '8,x'", "whole numbers"),
    "--learning-rate -0.1": ("learning rate -0.1", "above 0"),
    "--learning-rate 0": ("learning rate 0",),
    "--learning-rate nan": ("learning rate nan",),
    "--l2 -1": ("l2 -1", "at least 0"),
    "--activation rellu": ("'rellu'", "relu"),
    "--loss mse": ("'mse'", "squared_error"),
    "--loss poisson": ("poisson is for regression",),
    "--optimizer adm": ("'adm'", "adam"),
    "--momentum 0.9": ("adam has no option 'momentum'", "beta1"),
    "--momentum 0.9 --optimizer sgd": ("sgd has no momentum", "nesterov"),
    "--momentum 1.5 --optimizer momentum": ("momentum 1.5", "below 1"),
    "--weight-decay 0.1 --optimizer-option weight-decay=0.2 --optimizer adamw": ("weight_decay is given twice",),
    "--optimizer-option beta1": ("'beta1'", "NAME=NUMBER"),
    "--optimizer-option beta1=0.8 --optimizer-option beta1=0.9": ("beta1 is given twice",),
    "--schedule warm": ("'warm'", "cosine"),
    "--schedule-option every=3": ("constant has no option 'every'",),
    "--batch-size 0": ("batch size 0", "at least 1"),
    "--batch-size some": ("--batch-size 'some'", "or all"),
    "--epochs 0": ("epochs 0", "at least 1"),
    "--epochs many": ("--epochs", "integer", "gpubp train --help"),
    "--validation 1.5": ("1.5", "between 0 and 1"),
    "--patience 5": ("--patience goes with --early-stopping",),
    "--early-stopping --patience 0": ("Patience 0",),
    "--label-smoothing 1": ("label smoothing 1", "below 1"),
    "--dropout 1": ("dropout 1", "below 1"),
    "--dropout much": ("--dropout 'much'", "0.3,0.1"),
    "--dropout 0.1,0.2": ("Dropout for 2 hidden layers", "has 1"),
    "--schedule adaptive": ("adaptive", "early stopping"),
    "--initializer best": ("'best'", "glorot_uniform"),
    "--dtype float16": ("'float16'", "float32"),
    "--scale log": ("'log'", "minmax"),
    "--seed -1": ("-1", "seed"),
    "--task ranking": ("'ranking'", "regression"),
    "--task regression": ("kind", "'a'"),
    "--separator ab": ("'ab'", "one character"),
    "--backend cuda": ("'cuda'", "cupy"),
    "--no-such-option": ("--no-such-option", "gpubp train --help"),
    "extra": ("extra", "gpubp train --help"),
}


@pytest.mark.parametrize("options", SETTINGS)
def test_bad_settings(options: str, tmp_path: Path, table: Path) -> None:
    refused(tmp_path, "train", table, "-o", tmp_path / "m", *options.split(), words=SETTINGS[options])


def test_validation_without_early_stopping_means_nothing_to_folds(tmp_path: Path, table: Path) -> None:
    words = "--validation goes with --early-stopping"
    refused(tmp_path, "cross-validate", table, "--validation", 0.2, words=words)


def test_unknown_commands_and_missing_arguments(tmp_path: Path) -> None:
    refused(tmp_path, "trian", words=("'trian'", "'train'", "gpubp --help"))
    refused(tmp_path, "train", words=("TABLE", "gpubp train --help"))


@pytest.mark.parametrize("options", [(), ("--early-stopping", "--validation", 0.2)])
def test_divergence_writes_no_model_and_keeps_the_old_one(options: tuple[object, ...], model: Path) -> None:
    table = write(model.with_name("values.csv"), "x,y\n" + "".join(f"{i},{i * i}\n" for i in range(40)))
    arguments = ("--optimizer", "sgd", "--learning-rate", 1e9, "--epochs", 50, "--output", model, *options)
    words = ("diverged", "in epoch", "--learning-rate", "--clip-norm", "No model was written")
    refused(model.parent, "train", table, *arguments, words=words)
    refused(model.parent, "cross-validate", table, *arguments[:6], *options, words=("diverged", "fold 1 of repeat 1"))


def test_divergence_after_a_good_epoch_keeps_the_best_weights_and_says_so(tmp_path: Path) -> None:
    table = write(tmp_path / "values.csv", "x,y\n" + "".join(f"{i},{i * i}\n" for i in range(40)))
    options = "--optimizer sgd --hidden none --batch-size all --epochs 400 --early-stopping --patience 1000 "
    options += "--scale standard "
    options += "--learning-rate 30 --schedule one_cycle --schedule-option warmup=0.9"  # too much from some epoch on
    common = options.split()
    outcome = succeeds("train", table, *common, "-o", tmp_path / "m")
    assert "Training diverged in epoch" in outcome.err
    assert "best weights before it are kept" in outcome.err
    outcome = succeeds("cross-validate", table, *common)
    assert "Training diverged in 5 of 5 folds" in outcome.err


def test_columns_missing_renamed_or_reordered(model: Path) -> None:
    folder = model.parent
    missing = write(folder / "missing.csv", "x,kind\n1,a\n")
    refused(folder, "predict", model, missing, words=("no column 'y'", "The model was trained with it"))
    renamed = write(folder / "renamed.csv", "x,yy,kind\n1,2,a\n")
    refused(folder, "predict", model, renamed, words=("no column 'y'", "Did you mean 'yy'?"))
    given = write(folder / "given.csv", "x,y\n0.1,5\n2,0.3\n")
    reordered = write(folder / "reordered.csv", "y,other,x\n5,9,0.1\n0.3,9,2\n")
    answers = [succeeds("predict", model, path, "-p").out for path in (given, reordered)]
    assert answers[0] == answers[1]
    narrow = write(folder / "narrow.csv", "1\n2\n")
    refused(folder, "predict", model, narrow, words=("found 1 columns", "expected 2"))


def test_text_in_a_numeric_column_at_predict_time(model: Path) -> None:
    bad = write(model.with_name("bad.csv"), "x,y\n1,2\n1,tall\n")
    output = model.with_name("out.csv")
    words = ("bad.csv, line 3, column 'y'", "'tall'", "expected a number")
    refused(model.parent, "predict", model, bad, "--output", output, words=words)


def test_values_too_far_out_at_predict_time(model: Path) -> None:
    bad = write(model.with_name("bad.csv"), "x,y\n1,1e308\n")
    refused(model.parent, "predict", model, bad, words=("line 2, column 'y'", "1e30"))


def test_an_unseen_category_counts_as_missing_and_is_counted(tmp_path: Path) -> None:
    def colours(*names: str) -> str:
        return "colour,x,kind\n" + "".join(f"{name},{i},{'ab'[i % 2]}\n" for i, name in enumerate(names))

    succeeds("train", write(tmp_path / "t.csv", colours(*["red", "blue", ""] * 8)), "--epochs", 2, "-o", tmp_path / "m")
    unseen = write(tmp_path / "unseen.csv", colours("green", "pink", "red", "green"))
    absent = write(tmp_path / "absent.csv", colours("", "", "red", ""))
    outcome = succeeds("predict", tmp_path / "m", unseen, "-p")
    assert "Column 'colour': 3 value(s) not seen in training count as missing: 'green', 'pink'." in outcome.err
    assert outcome.out == succeeds("predict", tmp_path / "m", absent, "-p").out


def test_an_unseen_class_at_evaluation(model: Path) -> None:
    table = write(model.with_name("new.csv"), "x,y,kind\n1,2,a\n1,2,z\n")
    refused(model.parent, "evaluate", model, table, words=("line 3", "'z'", "training did not have"))
    unanswered = write(model.with_name("inputs.csv"), "x,y\n1,2\n")
    refused(model.parent, "evaluate", model, unanswered, words="no column 'kind'")


def another_version(content: bytes) -> bytes:
    described = description(content)
    described["version"] = 9
    return save(load(content), {"gpubp": json.dumps(described)})


def foreign(content: bytes) -> bytes:
    return save(load(content), {"format": "pt"})


def poisoned(content: bytes) -> bytes:
    tensors = {name: array.copy() for name, array in load(content).items()}
    tensors["layers.0.weights"][0, 0] = float("nan")
    return save(tensors, {"gpubp": json.dumps(description(content))})


def changed(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def description(content: bytes) -> dict[str, Any]:
    """Of a model file, without the checksum."""
    length = int.from_bytes(content[:8], "little")
    found: dict[str, Any] = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["gpubp"])
    del found["sha256"]
    return found


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], tuple[str, ...]]] = {
    "empty": (lambda content: b"", ("not a model file",)),
    "cut short": (lambda content: content[:-10], ("cut short",)),
    "cut in its description": (lambda content: content[:50], ("cut short",)),
    "another version": (another_version, ("version 9", "reads versions 1 and 2")),
    "a table": (lambda content: SEEDS.read_bytes(), ("not a model file of gpubp",)),
    "another program's": (foreign, ("not a model of gpubp",)),
    "not finite": (poisoned, ("layers.0.weights", "finite numbers only")),
    "one bit": (changed, ("checksum",)),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged_models(what: str, model: Path) -> None:
    damage, words = DAMAGE[what]
    bad = model.with_name("bad.model")
    bad.write_bytes(damage(model.read_bytes()))
    assert bad.read_bytes() != model.read_bytes()
    table, output = model.with_name("table.csv"), model.with_name("out.csv")
    refused(model.parent, "show", bad, words=("bad.model", *words))
    refused(model.parent, "predict", bad, table, "--output", output, words=words)
    refused(model.parent, "evaluate", bad, table, words=words)


def test_places_that_cannot_be_written(model: Path) -> None:
    """Said before the training, and before the table is even read."""
    folder, table = model.parent, model.with_name("table.csv")
    places = {
        folder: "it is a folder",
        folder / "nowhere" / "m": "No such file or directory",
        table / "m": "is not a folder",
        folder / ("m" * 300): "File name too long",
        Path(os.devnull): "a device or a pipe",
    }
    for place, words in places.items():
        refused(folder, "train", folder / "no table", "--output", place, words=("Cannot write", words))
        refused(folder, "predict", model, table, "--output", place, words=("Cannot write", words))


def test_a_folder_without_permission(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *arguments: False)  # as for a user; root may write anywhere
    table = model.with_name("table.csv")
    refused(model.parent, "train", table, "-o", model.with_name("m"), words=("Cannot write", "does not let you"))


def test_other_files_are_not_overwritten(model: Path) -> None:
    folder, table = model.parent, model.with_name("table.csv")
    refused(folder, "train", table, "--output", table, words=("table.csv exists", "not a model"))
    refused(folder, "predict", model, table, "--output", table, words="is the file that is read")
    refused(folder, "predict", model, table, "--output", model, words="is the file that is read")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(call: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, output = model.with_name("table.csv"), write(model.with_name("out.csv"), "old\n")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    words = ("Cannot write", "No space left on device", "Nothing was changed")
    refused(model.parent, "train", table, "--epochs", 1, "--output", model, words=words)
    refused(model.parent, "predict", model, table, "--output", output, words=words)


def test_no_room_for_a_temporary_file(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def full(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith(".part"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", full)
    words = ("Cannot write", "No space left on device", "--output")
    refused(model.parent, "train", model.with_name("table.csv"), "--epochs", 1, "-o", model, words=words)


@pytest.mark.parametrize("length", [250, 300])
def test_names_that_are_too_long(tmp_path: Path, model: Path, length: int) -> None:
    name, table = tmp_path / ("n" * length), model.with_name("table.csv")
    commands = [("train", table, "--epochs", 1, "-o", name), ("train", table, "--members", 2, "-o", name)]
    if length == 300:
        commands += [("train", table, "--checkpoint", "never", "-o", name), ("sweep", table, "-o", name)]
        commands += [("show", name), ("report", name), ("predict", name, table), ("predict", model, table, "-o", name)]
        commands += [("train", name), ("explain", name), ("evaluate", name, table), ("sweep", table, "--space", name)]
        commands += [("train", table, "-o", name / "m"), ("sweep", table, "-o", name / "deep" / "r")]
        commands += [("sweep", table, "--checkpoint", "never", "-o", name)]
    for arguments in commands:
        assert len(refused(tmp_path, *arguments, words="n" * length)) < 2000


HUGE = ["9" * 30, str(2**63), str(2**64), "9" * 400]


@pytest.mark.parametrize("number", HUGE)
def test_numbers_beyond_64_bits(tmp_path: Path, table: Path, number: str) -> None:
    options = ("--hidden", "--batch-size", "--epochs", "--members", "--learning-rate", "--l2", "--clip-norm")
    for option in (*options, "--patience", "--seed", "--validation"):
        if option == "--seed" and number == str(2**63):
            continue
        if option == "--clip-norm" or (option in ("--learning-rate", "--l2") and len(number) < 400):
            continue  # a number of float64; of clip-norm, infinity too
        word = option.strip("-").split("-")[0]
        arguments = ("train", table, option, number, "--early-stopping", "-o", tmp_path / "m")
        message = refused(tmp_path, *arguments, words=()).lower()
        assert word in message or option in message
    for name in ("hidden", "batch-size", "epochs", "patience"):
        for option, given in (("--set", number), ("--grid", f"1;{number}"), ("--range", f"1:{number}")):
            arguments = ("sweep", table, option, f"{name}={given}", "--set", "early-stopping=true")
            refused(tmp_path, *arguments, words=name.partition("-")[0])
    for option in ("--trials", "--folds", "--repeats"):
        refused(tmp_path, "sweep", table, option, number, words="")


def test_a_label_as_long_as_a_book_costs_no_more_than_once(tmp_path: Path) -> None:
    long = "L" * 200_000
    table = write(
        tmp_path / "t.csv", "x,kind\n" + "".join(f"{i},{long if i == 0 else 'ab'[i % 2]}\n" for i in range(300))
    )
    outcome = succeeds("train", table, "--epochs", 1, "--engine", "array", "-o", tmp_path / "m")
    outcomes = [outcome, succeeds("show", tmp_path / "m"), succeeds("evaluate", tmp_path / "m", table)]
    assert all(len(each.out + each.err) < 10_000 for each in outcomes)
    model = Model.load(tmp_path / "m")
    assert model.target.decode(np.zeros((10**6, 3))).nbytes <= 8 * 10**6
    assert model.predict(read_table(table), get_backend("numpy")).values[0] in ("a", "b", long)
    only_long = write(tmp_path / "one.csv", f"x,kind\n1,{long}\n2,{long}\n")
    assert len(refused(tmp_path, "train", only_long, "-o", tmp_path / "other", words="one class only")) < 500
    unseen = write(tmp_path / "unseen.csv", f"x,kind\n1,{long}U\n2,a\n")
    assert len(refused(tmp_path, "evaluate", tmp_path / "m", unseen, words="found class")) < 1000


def test_too_little_memory(tmp_path: Path, table: Path) -> None:
    words = ("Not enough memory", "--hidden")
    refused(tmp_path, "train", table, "--hidden", 99999999999999, "-o", tmp_path / "m", words=words)


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", rows().replace("x,y", "x\x1b[31m,y"))
    outcome = succeeds("train", table, "--epochs", 1, "-o", tmp_path / "m")
    assert "\x1b" not in outcome.out + outcome.err + succeeds("show", tmp_path / "m").out
    message = gpubp("train", tmp_path / "no\x1b[31mtable").err
    assert "\x1b" not in message
    assert "\\x1b[31m" in message


def test_success_changes_the_folder(tmp_path: Path, table: Path) -> None:
    """What `refused` looks at is real: a command that succeeds does change the folder."""
    before = contents(tmp_path)
    succeeds("train", table, "--epochs", 1, "-o", tmp_path / "m")
    assert contents(tmp_path) != before


def test_a_norm_that_nothing_exceeds(tmp_path: Path, table: Path) -> None:
    """No clipping, and a model that can be written: JSON has no infinity."""
    for text in ("inf", "1e400"):
        succeeds("train", table, "--epochs", 1, "--engine", "array", "--clip-norm", text, "-o", tmp_path / "m")
    assert succeeds("show", tmp_path / "m", "--json").json["training"]["recipe"]["clip_norm"] is None
