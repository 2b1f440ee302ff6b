"""Errors and notes on a terminal: broken at words, never inside of paths and names; elsewhere one line each."""

from __future__ import annotations

import io
import os
import warnings
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from command_line import numbers_table

from gpubp.cli.app import main
from gpubp.cli.output import plain_warnings, say
from gpubp.cli.wrapping import columns, wrapped

LONG = "The learning rate of 'a name of several words' is none that /a/path/that/is/longer/than/any/line/would/be has."


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(width: int, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    terminal = Terminal()
    with redirect_stderr(terminal):
        assert main([str(argument) for argument in arguments]) == 2
    return terminal.getvalue()


@pytest.mark.parametrize("width", [1, 20, 40, 80, 120, 1000])
def test_words_are_kept_and_lines_are_short(width: int) -> None:
    lines = wrapped(LONG, width).split("\n")
    assert " ".join(line.strip() for line in lines) == LONG
    for line in lines:
        assert columns(line) <= max(width, 20) or len(line.split()) == 1
    assert all(line.startswith("  ") for line in lines[1:])
    if width >= 40:
        assert any("'a name of several words'" in line for line in lines)


def test_names_on_the_command_line_stay_in_one_piece() -> None:
    text = "There is no file /home/ada/my tables/the seeds.csv, and no other of this name either."
    lines = wrapped(text, 50, whole=["/home/ada/my tables/the seeds.csv"]).split("\n")
    assert any("/home/ada/my tables/the seeds.csv," in line for line in lines)
    assert len(lines) == 3


def test_apostrophes_are_no_quotes() -> None:
    lines = wrapped("the members' scores and the networks' scores " * 5, 40).split("\n")
    assert max(map(len, lines)) <= 40


def test_wide_characters_take_two_columns() -> None:
    assert columns("表が読めない") == 12
    assert max(map(columns, wrapped("表が 読めない " * 10, 30).split("\n"))) <= 30


def test_lines_and_their_indentation_stay() -> None:
    assert wrapped("a\n  b\n\nc", 30) == "a\n  b\n\nc"
    assert wrapped("  x " + "word " * 8, 30) == "  x word word word word word\n    word word word"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_errors_on_a_terminal(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my tables"
    folder.mkdir()
    table = numbers_table(folder / "the table.csv")
    for arguments in (
        ("train", table, "--target", "kinds"),
        ("train", table, "--activation", "sigmoid"),
        ("train", table, "--no-such-option"),
        ("trian", table),
        ("train",),
        ("predict", folder / "no model.safetensors", table),
    ):
        shown = on_a_terminal(width, monkeypatch, *arguments, *(["-o", tmp_path / "m"] if "train" in arguments else []))
        (error,) = [part for part in shown.split("Error: ") if part][-1:]
        for line in error.splitlines()[1:]:
            assert len(line) <= width or str(tmp_path) in line
        assert error.count(str(folder)) == " ".join(map(str.strip, error.splitlines())).count(str(folder))


def test_without_a_terminal_a_message_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    say(LONG)
    assert main(["train", "nothing.csv", "--optimizer", "adamm"]) == 2
    said, error = capsys.readouterr().err.splitlines()
    assert said == LONG
    assert error.startswith("Error: Unknown optimizer 'adamm'. Did you mean 'adam'?")


def test_the_width_is_the_terminals_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((40, 24)))
    terminal = Terminal()
    monkeypatch.setattr(terminal, "fileno", lambda: 2)
    with redirect_stderr(terminal):
        say(LONG)
    assert terminal.getvalue() == wrapped(LONG, 40) + "\n"


def test_warnings_are_wrapped_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    with redirect_stderr(Terminal()), plain_warnings():
        shown = warnings.formatwarning(LONG, UserWarning, "file.py", 1)
    assert shown == wrapped(f"Warning: {LONG}", 40) + "\n"
