"""Options from a file, for every command: --config, and --print-config, which prints such a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import gpubp, numbers_table, refused, succeeds, write

from gpubp.cli.commands import app
from gpubp.cli.config import keys
from gpubp.cli.toml_files import toml_table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
ARGUMENTS = {"predict": ("m", "t.csv"), "evaluate": ("m", "t.csv"), "show": ("m",), "report": ("runs",)}
ARGUMENTS |= {"doctor": (), "cache": ()}


def printed(*arguments: object) -> dict[str, Any]:
    """The options of a command line, as --print-config tells them."""
    outcome = succeeds(*arguments, "--print-config")
    assert outcome.err == ""
    (table,) = tomllib.loads(outcome.out).values()
    return table


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_printed_can_be_given_back(command: str, tmp_path: Path) -> None:
    given = [command, *ARGUMENTS.get(command, ("t.csv",)), "--quiet"]
    for param in COMMANDS[command].params:  # something for every option
        option = param.opts[0]
        if not option.startswith("--") or param.name in ("config", "print_config", "quiet"):
            continue
        number = isinstance(param.default, (int, float)) or param.metavar in ("X", "N", "SHARE", "EPOCHS")
        value = [] if param.is_flag else ["7"] if number else ['a "text", \\ of = # ü']
        given += [option, *value] * (2 if param.multiple else 1)
    outcome = succeeds(*given, "--print-config")
    assert set(tomllib.loads(outcome.out)[command]) == {key for key in keys(COMMANDS[command]) if key != "lr"}
    file = write(tmp_path / "c.toml", outcome.out)
    again = succeeds(command, "--config", file, "--print-config")
    assert (again.out, again.err) == (outcome.out, "")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_defaults_can_be_given_back(command: str, tmp_path: Path) -> None:
    outcome = succeeds(command, "--print-config")
    file = write(tmp_path / "c.toml", outcome.out)
    assert succeeds(command, "--config", file, "--print-config").out == outcome.out


def test_the_command_line_wins_then_the_commands_own_table(tmp_path: Path) -> None:
    file = write(
        tmp_path / "c.toml",
        """
        table = "t.csv"
        target = 3
        categorical = ["a", "b"]
        [train]
        hidden = [64, 32]
        learning_rate = 0.5
        epochs = 7
        early-stopping = true
        shuffle = false
        header = false
        target = "kind"
        [predict]
        probabilities = true
        """,
    )
    found = printed("train", "--config", file, "--epochs", 9, "--categorical", "c")
    assert found["table"] == "t.csv"
    assert found["target"] == "kind"
    assert found["hidden"] == "64,32"
    assert found["learning-rate"] == 0.5
    assert found["epochs"] == 9
    assert found["early-stopping"] is True
    assert found["shuffle"] is False
    assert found["header"] is False
    assert found["categorical"] == ["c"]
    shared = printed("cross-validate", "other.csv", "--config", file)
    assert (shared["table"], shared["target"], shared["epochs"]) == ("other.csv", "3", 100)
    assert shared["categorical"] == ["a", "b"]


def test_a_command_works_with_it(tmp_path: Path) -> None:
    table = numbers_table(tmp_path / "t.csv")
    text = toml_table("train", {"table": str(table), "epochs": 2, "output": str(tmp_path / "m"), "engine": "array"})
    outcome = succeeds("train", "--config", write(tmp_path / "c.toml", text), "--json")
    assert outcome.json["epochs"] == 2
    assert (tmp_path / "m").exists()


def test_help_shows_the_defaults_of_no_file(tmp_path: Path) -> None:
    """It is there for whoever has an unusable file."""
    assert "--epochs" in succeeds("train", "--config", tmp_path / "nothing.toml", "--help").out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch = 5", ("c.toml", "no option 'epoch'", "Did you mean epochs?")),
        ("[train]\nlayers = 5", ("c.toml, [train]", "no option 'layers'", "Did you mean hidden?")),
        ("[tain]\nepochs = 5", ("[tain] is no command", "Did you mean [train]?")),
        ("[sweep]\ntrails = 5", ("[sweep]", "Did you mean trials?")),
        ("trials = 5", ("c.toml", "one of sweep", "[sweep]")),
        ("config = 'd.toml'", ("no option 'config'",)),
        ("epochs = 'many'", ("c.toml", "epochs = 'many'")),
        ("epochs = 1.5", ("c.toml", "epochs = 1.5")),
        ("epochs = true", ("c.toml", "epochs = True", "a text or a number")),
        ("epochs = [1]", ("c.toml", "one value, not a list")),
        ("members = 0", ("c.toml", "members = 0")),
        ("early-stopping = 1", ("c.toml", "early-stopping = 1", "true or false")),
        ("no-shuffle = true", ("c.toml", "write shuffle = false")),
        ("lr = 1\nlearning-rate = 2", ("c.toml", "lr = 1", "learning-rate is the same option")),
        ("categorical = [[1]]", ("c.toml", "a text or a number")),
        ("target = 1979-05-27", ("c.toml", "a text or a number")),
        ("epochs = ", ("c.toml is no TOML",)),
        ("activation = 'sigmoid'", ("Did you mean 'logistic'?",)),
    ],
)
def test_what_is_wrong_is_said(text: str, words: tuple[str, ...], tmp_path: Path) -> None:
    file = write(tmp_path / "c.toml", text)
    refused(tmp_path, "train", numbers_table(tmp_path / "t.csv"), "--config", file, words=words)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path, "doctor", "--config", tmp_path / "nothing.toml", words=("no configuration file", "nothing.toml"))
    refused(tmp_path, "doctor", "--config", tmp_path, words="Cannot read the configuration")


def test_missing_arguments_are_missed_where_there_is_work() -> None:
    assert "table" not in printed("train")
    outcome = gpubp("train")
    assert outcome.code == 2
    assert "Missing argument 'TABLE'" in outcome.err


def test_passwords_are_not_printed() -> None:
    outcome = succeeds("sweep", "t.csv", "--storage", "postgresql://ada:secret@host/db", "--print-config")
    assert "secret" not in outcome.out + outcome.err
    assert "storage is left out" in outcome.err
