"""Options and their groups: what Typer is told, and what becomes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from command_line import SEEDS, gpubp, succeeds

from gpubp.cli.commands import app
from gpubp.cli.groups import grouped
from gpubp.cli.output import clean, plain
from gpubp.cli.panels import GENERAL, PANELS, in_panels
from gpubp.cli.recipe_options import RecipeOptions
from gpubp.fitting.recipe import Recipe
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.initializers import INITIALIZERS
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.schedules import SCHEDULES

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_defaults_are_those_of_the_recipe() -> None:
    assert RecipeOptions().recipe() == Recipe()


def words_of_help(command: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setenv("COLUMNS", "200")
    return set(re.findall(r"[\w-]+", succeeds(command, "--help").out))


def test_help_names_every_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    choices = {name for name, entry in ACTIVATIONS.items() if not entry.only_output}
    choices |= {*INITIALIZERS, *LOSSES, *OPTIMIZERS, *SCHEDULES}
    choices |= {option.name for schedule in SCHEDULES.values() for option in schedule.options}
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
    assert ("--backend" in words) == (command not in ("describe", "report", "show", "cache"))
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


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_pages_of_help_fit_the_terminal(command: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    page = succeeds(command, "--help").out
    assert max(map(len, page.splitlines())) <= max(width, 60)
    assert not re.search(r"<(bool|int|float|str|path)|BOOL", page)  # no types that say nothing
    panels = re.findall(r"^╭─ (.+?) ─+╮$", page, re.MULTILINE)
    assert panels == [title for title in PANELS if title in panels]
    assert panels[-1] == GENERAL


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    for param in COMMANDS[command].params:
        assert param.help, param.name
        assert param.rich_help_panel in PANELS, param.name
        if not getattr(param, "is_flag", False):
            assert param.metavar, param.name


def test_options_come_in_one_order() -> None:
    """What two commands share stands in the same panel, and in the same order."""
    pages = [
        [param.name for _, params in in_panels(command.params) for param in params] for command in COMMANDS.values()
    ]
    for one in pages:
        for other in pages:
            shared = [name for name in one if name in other]
            assert shared == [name for name in other if name in one]
    panel = {param.name: param.rich_help_panel for command in COMMANDS.values() for param in command.params}
    for command in COMMANDS.values():
        assert all(param.rich_help_panel == panel[param.name] for param in command.params if param.name != "seed")


def test_the_defaults_shown_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    page = succeeds("train", "--help").out
    shown = dict(re.findall(r"--([\w-]+)(?:, --lr)? [A-Z=]+ (?:[^╰]*?)\[default: ([^\]]+)\]", page))
    recipe = Recipe()
    assert shown["epochs"] == str(recipe.epochs)
    assert float(shown["learning-rate"]) == recipe.learning_rate
    assert shown["batch-size"] == str(recipe.batch_size)
    assert "--validation" not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "t.csv", "--epoch", "5"), "No such option: --epoch. Did you mean --epochs?"),
        (("train", "t.csv", "-epochs", "5"), "Did you mean --epochs?"),
        (("train", "t.csv", "--sep", ";"), "Did you mean --separator?"),
        (("train", "t.csv", "--hidden-layer-sizes", "5"), "Did you mean --hidden?"),
        (("cross-validate", "t.csv", "--cv", "5"), "Did you mean --folds?"),
        (("predict", "m", "t.csv", "--trials", "5"), "It is an option of sweep."),
        (("sweep", "t.csv", "--hidden", "5"), '--grid "hidden=A;B", or --set hidden=X'),
        (("train", "t.csv", "--lr", "fast"), "--learning-rate 'fast': "),
        (("train", "t.csv", "--members", "0"), "--members '0': "),
        (("train", "t.csv", "--qqq"), "No such option: --qqq. See `gpubp train --help`."),
        (("fit", "t.csv"), "No such command 'fit'. Did you mean 'train'?"),
        (("trian", "t.csv"), "Did you mean 'train'?"),
        (("tune", "t.csv"), "Did you mean 'sweep'?"),
        (("qqq",), "No such command 'qqq'. See `gpubp --help`."),
        ((str(SEEDS),), "To train a network on this table: gpubp train"),
    ],
)
def test_unknown_options_and_commands(arguments: tuple[str, ...], words: str) -> None:
    outcome = gpubp(*arguments)
    assert outcome.code == 2
    assert words in outcome.err
    assert len(outcome.err.splitlines()) == 1
