"""Options from a file: `--config FILE.toml` for every command, and `--print-config`, which prints such a file.

    target = "price"        # for whichever command reads the file

    [train]                 # for this one
    hidden = "64,64"
    learning-rate = 0.01
    early-stopping = true

Keys are the names of options and arguments. A value is what would stand on the command line; a flag's is true or
false, and an option that may be repeated takes a list. The command line wins, then the command's own table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from gpubp.cli.output import say, write
from gpubp.cli.panels import GENERAL, in_panels
from gpubp.cli.toml_files import read_toml, toml_table
from gpubp.errors import SettingsError, quoted
from gpubp.errors.suggestions import nearest

ARGUMENTS = "gpubp.arguments"  # in a context: the words of the command line
WITH_COMMAS = ("hidden", "dropout")  # whose value on the command line is a list of numbers: 64,32


@dataclass(frozen=True)
class FileOptions:
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=GENERAL,
            show_default=False,
            help="Take options from this TOML file, too: epochs = 50, or under [train] for one command. Those of the "
            "command line win.",
        ),
    ] = None
    print_config: Annotated[
        bool,
        typer.Option(
            "--print-config",
            rich_help_panel=GENERAL,
            help="Print all options with their values as such a file, and do nothing else.",
        ),
    ] = False


@contextmanager
def applied(command: Any, ctx: Any, given: Mapping[str, Any]) -> Iterator[None]:
    """Within it, the options of the file that `given` names are defaults of the command.

    `given`: the options of the command line, by parameter. Where the options are only printed, no argument is required.
    """
    chosen: dict[str, tuple[str, Any]] = {}
    if given.get("config") is not None and not given.get("help"):
        siblings = {} if ctx.parent is None else getattr(ctx.parent.command, "commands", {})
        chosen = read_config(Path(given["config"]), command, siblings)
        ctx.default_map = {name: value for name, (_, value) in chosen.items()}
    required = [param for param in command.params if param.required] if given.get("print_config") else []
    for param in required:
        param.required = False
    try:
        yield
    except typer.BadParameter as error:
        param = getattr(error, "param", None)
        if param is None or param.name not in chosen or given.get(param.name) is not None:
            raise
        raise SettingsError(f"{chosen[param.name][0]}: {error.message}") from None
    finally:
        for param in required:
            param.required = True


def read_config(path: Path, command: Any, siblings: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Parameter to where it is set, in words, and its value as the command line would have it.

    SettingsError names the file and the key that is wrong, also under the tables of other commands.
    """
    found = read_toml(path, "configuration")
    commands = {**siblings, command.name: command}
    tables = {key: value for key, value in found.items() if isinstance(value, dict)}
    for name in tables:
        if name not in commands:
            near = nearest(name, commands, "command")
            hint = f" Did you mean [{near[0]}]?" if near else f" There are {', '.join(commands)}."
            raise SettingsError(f"{path}: [{name}] is no command of gpubp.{hint}")
    own = {key: value for key, value in found.items() if key not in tables}
    chosen = _chosen(str(path), own, command, commands)
    for name, table in tables.items():
        of_the_command = _chosen(f"{path}, [{name}]", table, commands[name], commands)
        if name == command.name:
            chosen |= of_the_command
    return chosen


def _chosen(
    where: str, table: Mapping[str, Any], command: Any, commands: Mapping[str, Any]
) -> dict[str, tuple[str, Any]]:
    known = keys(command)
    chosen: dict[str, tuple[str, Any]] = {}
    for key, value in table.items():
        param = known.get(key.replace("_", "-"))
        if param is None:
            raise SettingsError(f"{where}: {_unknown(key, command, known, commands)}")
        if param.name in chosen:
            raise SettingsError(f"{chosen[param.name][0]}: {key} is the same option: give it once.")
        place = f"{where}: {key} = {quoted(value)}"
        chosen[param.name] = place, _as_given(place, param, value)
    return chosen


def keys(command: Any) -> dict[str, Any]:
    """What a file may name, with hyphens, and the parameters meant by it."""
    known: dict[str, Any] = {}
    for param in command.params:
        if param.name in FileOptions.__dataclass_fields__:
            continue
        names = [option[2:] for option in param.opts if option.startswith("--")] or [param.name.replace("_", "-")]
        known |= dict.fromkeys(names, param)
    return known


def _unknown(key: str, command: Any, known: Mapping[str, Any], commands: Mapping[str, Any]) -> str:
    name = key.replace("_", "-")
    for param in known.values():
        if f"--{name}" in param.secondary_opts:
            return f"for --{name}, write {param.opts[0].lstrip('-')} = false."
    message = f"gpubp {command.name} has no option {quoted(key)}."
    others = [each for each, other in commands.items() if name in keys(other)]
    if others:
        return f"{message} It is one of {', '.join(others)}: put it under [{others[0]}]."
    near = nearest(name, known, "option")
    return f"{message} Did you mean {' or '.join(near)}?" if near else message


def _as_given(where: str, param: Any, value: Any) -> Any:
    """The value as the command line would have it: texts, lists of texts for what may be repeated, a flag's bool."""
    if getattr(param, "is_flag", False):
        if not isinstance(value, bool):
            raise SettingsError(f"{where}: it is a flag: write true or false.")
        return value
    if getattr(param, "multiple", False):
        return [_text(where, each) for each in (value if isinstance(value, list) else [value])]
    if isinstance(value, list) and param.name in WITH_COMMAS:
        return ",".join(_text(where, each) for each in value) or "none"
    if isinstance(value, list):
        raise SettingsError(f"{where}: it takes one value, not a list.")
    return _text(where, value)


def _text(where: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise SettingsError(f"{where}: expected a text or a number.")
    return value if isinstance(value, str) else repr(value)


def is_asked_for(ctx: Any) -> bool:
    return bool(ctx.params.get("print_config"))


def print_options(command: Any, ctx: Any) -> None:
    """The options that the command would work with, as a file that --config takes."""
    from gpubp.search.strategies.study_storage import masked_text

    names = {param.name: key for key, param in reversed(keys(command).items())}
    effective: dict[str, Any] = {}
    for _, params in in_panels(command.params):
        for param in params:
            value = ctx.params.get(param.name)
            if param.name not in names or value is None or value in ((), []):
                continue
            if isinstance(value, str) and masked_text(value) != value:
                say(f"{names[param.name]} is left out: it holds a password.")
                continue
            effective[names[param.name]] = value
    try:
        text = toml_table(command.name, effective)
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise SettingsError("An option has characters that are no Unicode: TOML cannot hold them.") from None
    write(text)
    if sys.stdout is not None:
        sys.stdout.flush()
