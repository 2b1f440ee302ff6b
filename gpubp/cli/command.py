"""What all commands have in common: their pages of help, options from a file, and what is said of unknown names."""

from __future__ import annotations

import os
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from gpubp.cli import config
from gpubp.cli.completion import attach
from gpubp.cli.given import remember
from gpubp.cli.panels import COMMANDS
from gpubp.errors import quoted
from gpubp.errors.suggestions import did_you_mean, nearest

# Typer exports one of the usage errors only, and which package their base comes from depends on Typer's version.
ClickException: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


class Command(TyperCommand):
    """A command whose options may come from a file, too (see `config`)."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        attach(self.params)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from gpubp.cli.help import page

        formatter.write(page(self, ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[config.ARGUMENTS] = list(args)
        if ctx.resilient_parsing:  # for completion
            return super().parse_args(ctx, args)
        given: dict[str, Any] = {}
        try:
            given = self.make_parser(ctx).parse_args(list(args))[0]
            with config.applied(self, ctx, given):
                return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            value = given.get(getattr(error.param, "name", ""))
            if value is None or not error.message:
                raise
            reason = error.message.replace("Input should be", "it should be")
            message = f"{error.param.opts[0]} {quoted(value)}: {reason}"  # type: ignore[union-attr]
        except ClickException as error:
            unknown = getattr(error, "option_name", None)
            if type(error).__name__ != "NoSuchOption" or unknown is None:
                raise
            message = f"No such option: {unknown}.{self._meant(ctx, unknown, args)}"
        return ctx.fail(message)

    def invoke(self, ctx: Any) -> Any:
        if config.is_asked_for(ctx):
            config.print_options(self, ctx)
            return None
        remember(self, ctx)
        return super().invoke(ctx)

    def _meant(self, ctx: Any, unknown: str, args: list[str]) -> str:
        """A hint for an option that the command does not have."""
        options = [option for param in self.params for option in (*param.opts, *param.secondary_opts)]
        if not unknown.startswith("--"):  # of -epochs it is -e that was not found
            word = next((each for each in args if each.startswith(unknown) and each[0] == "-"), unknown)
            return f" Did you mean -{word}?" if f"-{word}" in options else ""
        long = [option[2:] for option in options if option.startswith("--")]
        name = unknown[2:]
        others = [each for each in _siblings(ctx) if unknown in _options(_siblings(ctx)[each])]
        if self.name == "sweep" and "train" in others and name.replace("-", "_") in _searched():
            return f' A sweep varies it: --grid "{name}=A;B", or --set {name}=X for one value.'
        if others:
            return f" It is an option of {', '.join(others)}."
        near = nearest(name, long, "option")
        return f" Did you mean {' or '.join(f'--{each}' for each in near)}?" if near else ""


class Group(TyperGroup):
    """gpubp itself."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from gpubp.cli.help import page

        formatter.write(page(self, ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: COMMANDS.index(name) if name in COMMANDS else len(COMMANDS))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and not name.startswith("-"):
            hint = did_you_mean(name, self.commands, "command")
            if os.path.isfile(name) and not hint:
                hint = f" To train a network on this table: gpubp train {name}"
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


def _siblings(ctx: Any) -> dict[str, Any]:
    """All commands of the group, by name."""
    return {} if ctx.parent is None else dict(getattr(ctx.parent.command, "commands", {}))


def _options(command: Any) -> set[str]:
    return {option for param in command.params for option in (*param.opts, *param.secondary_opts)}


def _searched() -> tuple[str, ...]:
    from gpubp.search.space.parameters import NAMES

    return NAMES
