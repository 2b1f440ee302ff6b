"""Pages of help: what a command does, examples, and its options in panels."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gpubp.cli.output import Page
from gpubp.cli.panels import in_panels
from gpubp.cli.wrapping import columns, wrapped

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

WIDEST, WIDEST_PROSE = 120, 88  # columns; longer lines are hard to read
LEFT = 0.42  # of a panel, at most, for the names of options; where one is longer, its help begins below it


def page(command: Any, ctx: Any) -> str:
    """The page of help of a command, as wide as the terminal."""
    import sys

    from rich.console import Console

    terminal = sys.stdout is not None and sys.stdout.isatty()
    width = min(shutil.get_terminal_size().columns, WIDEST)
    written = Page()
    console = Console(
        file=written, force_terminal=terminal or None, width=width, markup=False, emoji=False, highlight=False
    )
    for part in _parts(command, ctx, width):
        console.print(part)
    return "\n".join(line.rstrip() for line in written.getvalue().split("\n")).rstrip("\n")


def _parts(command: Any, ctx: Any, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    usage = " ".join([ctx.command_path, *(piece.strip("{}") for piece in command.collect_usage_pieces(ctx))])
    yield Text.assemble(("Usage: ", "bold"), usage, overflow="fold")
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield Text()
        yield Text(_paragraph(paragraph, min(width, WIDEST_PROSE)), overflow="fold")
    panels = [(title, [_entry(param, ctx) for param in params]) for title, params in in_panels(command.get_params(ctx))]
    left = _left([entry[0] for _, entries in panels for entry in entries], width)
    yield Text()
    if hasattr(command, "list_commands"):
        panels = [("Options", entries) for _, entries in panels]
        commands = [(name, command.get_command(ctx, name)) for name in command.list_commands(ctx)]
        listed = [(name, _first_paragraph(each.help), "") for name, each in commands if not each.hidden]
        yield _panel("Commands", listed, _left([name for name, *_ in listed], width), width)
    for title, entries in panels:
        yield _panel(title, entries, left, width)


def _paragraph(text: str, width: int) -> str:
    """Prose is set anew; what a \\b leads is left as it is."""
    if text.startswith("\b"):
        return text.lstrip("\b\n")
    return wrapped(" ".join(text.split()), width, indent="")


def _first_paragraph(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


def _left(names: Iterable[str], width: int) -> int:
    """The width of the names' column, two columns of space included: the same in all panels of a page."""
    most = int(LEFT * width)
    return max((columns(name) for name in names if columns(name) + 2 <= most), default=0) + 2


def _panel(title: str, entries: Iterable[tuple[str, str, str]], left: int, width: int) -> RenderableType:
    from rich.panel import Panel
    from rich.text import Text

    lines = Text("\n").join(_lines(entry, left, width - 4) for entry in entries)
    return Panel(lines, title=title, title_align="left", border_style="dim")


def _lines(entry: tuple[str, str, str], left: int, width: int) -> Text:
    """Name on the left, help on the right, default after it."""
    from rich.text import Text

    name, text, default = entry
    described = wrapped(f"{text} {default}".strip(), width - left, whole=[default], indent="")
    if columns(name) + 2 > left:
        described = "\n" + described
    shown = Text(name.ljust(left) if not described.startswith("\n") else name, style="bold cyan")
    start = len(name) - len(name.lstrip()) if name.lstrip().startswith("-") else 0
    option_end = max((name.rfind(word) + len(word) for word in name.split() if word.startswith("-")), default=len(name))
    shown.stylize("default not bold yellow", max(option_end, start), len(name))
    shown.append(described.replace("\n", "\n" + " " * left), style="not bold default")
    if default:
        shown.highlight_words([default], "dim")
    return shown


def _entry(param: Any, ctx: Any) -> tuple[str, str, str]:
    """What stands on the left, the help, and the default in brackets."""
    if param.param_type_name == "argument":
        metavar = param.metavar or param.name.upper()
        return metavar.strip("[]{}"), param.help or "", ""
    short = [option for option in param.opts if not option.startswith("--")]
    long = [option for option in param.opts if option.startswith("--")]
    names = ("    " if not short else "") + ", ".join(short + long)
    if param.secondary_opts:
        names += "/" + ", ".join(param.secondary_opts)
    value = "" if param.is_flag else f" {param.metavar or 'VALUE'}"
    return names + value, param.help or "", _default(param, ctx)


def _default(param: Any, ctx: Any) -> str:
    value = ctx.lookup_default(param.name, call=False)
    if value is None:
        value = param.default if param.show_default else None
    if param.is_flag:
        if not param.secondary_opts or value is None:
            return ""
        value = (param.opts if value else param.secondary_opts)[0].lstrip("-")
    if value is None or value in ((), []):
        return ""
    return f"[default: {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}]"
