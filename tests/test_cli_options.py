"""Options and their groups: what Typer is told, and what becomes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from command_line import gpubp, succeeds

from gpubp.cli.commands import app
from gpubp.cli.groups import grouped
from gpubp.cli.options import RecipeOptions
from gpubp.cli.output import clean, plain
from gpubp.initializers import INITIALIZERS
from gpubp.kernels.reference.activations import ACTIVATIONS
from gpubp.kernels.reference.losses import LOSSES
from gpubp.kernels.reference.optimizers import OPTIMIZERS
from gpubp.kernels.reference.schedules import SCHEDULES
from gpubp.recipe import Recipe

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_defaults_are_those_of_the_recipe() -> None:
    assert RecipeOptions().recipe() == Recipe()


def words_of_help(command: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setenv("COLUMNS", "200")
    return set(re.findall(r"[\w-]+", succeeds(command, "--help").out))


def test_help_names_every_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    choices = {name for name, entry in ACTIVATIONS.items() if not entry.only_output}
    choices |= {*INITIALIZERS, *LOSSES, *OPTIMIZERS, *SCHEDULES}
    choices |= {name for schedule in SCHEDULES.values() for name in schedule.options}
    numbers = {name for optimizer in OPTIMIZERS.values() for name in optimizer.hyperparameters}
    choices |= numbers - {"weight_decay"} | {"--weight-decay"}
    for command in ("train", "cross-validate"):
        assert choices <= words_of_help(command, monkeypatch)


def test_every_option_has_the_name_that_it_was_given() -> None:
    """An Annotated that Typer does not see leaves it with its parameter's name: `--range-` for range_."""
    options = [(name, option) for name, command in COMMANDS.items() for each in command.params for option in each.opts]
    assert [f"{name} {option}" for name, option in options if option.endswith("-")] == []
    assert ("sweep", "--range") in options


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = succeeds(command, "--help").out
    examples = re.findall(
        r"^ +(?:\S+ .*\| )?gpubp (.*)", text.partition("Examples:")[2].partition("╭")[0], re.MULTILINE
    )
    assert len(examples) >= 2
    words = words_of_help(command, monkeypatch)
    for example in examples:
        assert example.startswith(command)
        for option in re.findall(r"(?<=\s)-[\w-]+", example):
            assert option in words
    assert {"--json", "--quiet", "--help"} <= words
    assert ("--backend" in words) == (command not in ("report", "show", "cache"))
    assert max(len(line) for line in COMMANDS[command].help.splitlines()) <= 78  # no wrapping on a narrow terminal


@dataclass(frozen=True)
class Pair:
    left: Annotated[str, typer.Argument()]
    right: Annotated[int, typer.Option()] = 3


def test_a_group_stands_for_its_fields() -> None:
    seen = []

    def command(first: Pair, verbose: Annotated[bool, typer.Option("--verbose")] = False) -> None:
        seen.append((first, verbose))

    command.__annotations__ = {"first": Pair, "verbose": Annotated[bool, typer.Option("--verbose")]}
    small = typer.Typer()
    small.command()(grouped(command))
    run = typer.main.get_command(small).main
    run(["here", "--verbose"], standalone_mode=False)
    run(["there", "--right", "5"], standalone_mode=False)
    assert seen == [(Pair("here"), True), (Pair("there", 5), False)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain é\nline", "plain é\nline"), ("\x1b[31m", "\\x1b[31m"), ("a\tb\r", "a\\tb\\r"), ("\u202e", "\\u202e")],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_numbers_that_json_lacks_become_null() -> None:
    assert plain({"a": (float("nan"), float("inf"), 1.5, 2, None, True, "x"), 3: {}}) == {
        "a": [None, None, 1.5, 2, None, True, "x"],
        "3": {},
    }


def test_the_environment_chooses_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUBP_BACKEND", "abacus")
    outcome = gpubp("case-study")
    assert outcome.code == 2
    assert "'abacus' (from the environment variable GPUBP_BACKEND)" in outcome.err
    monkeypatch.setenv("GPUBP_BACKEND", "numpy")
    assert "Backend numpy: asked for (from the environment variable" in gpubp("case-study", "--json").err
