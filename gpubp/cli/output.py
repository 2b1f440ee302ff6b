"""Standard output holds results, whole and nothing else; standard error holds everything else."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gpubp.cli.wrapping import wrapped
from gpubp.errors import DataError
from gpubp.storage.json_values import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 120
"""Columns of text where standard output is no terminal."""

FULL_OR_CLOSED = {getattr(errno, name, None) for name in ("EPIPE", "ENOSPC", "EDQUOT", "EIO", "EFBIG")}
LONGEST = 5000
"""Characters of a message: what it quotes may be as long as a file."""


class Interrupted(Exception):
    """Ctrl-C, with the sentence that says what became of the work."""


class ClosedPipe(Exception):
    """The program that read the output has ended, as in `gpubp predict … | head`."""


def say(message: str) -> None:
    """A message on standard error: wrapped at words on a terminal, in one line elsewhere. That nobody can read it is
    no reason to stop.
    """
    try:
        shown = message if len(message) <= LONGEST else f"{message[:LONGEST]}… ({len(message):,} characters)"
        print(fitted(clean(shown)), file=sys.stderr, flush=True)
    except (OSError, ValueError):  # ValueError: it is closed
        return


_in_one_piece: tuple[str, ...] = ()  # of the command line: paths and names with spaces


@contextmanager
def names_in_one_piece(arguments: Iterable[str]) -> Iterator[None]:
    """Within it, messages are not broken inside of these."""
    global _in_one_piece
    values = (each.partition("=")[2] if each.startswith("--") and "=" in each else each for each in arguments)
    before, _in_one_piece = _in_one_piece, tuple(value for value in values if " " in value)
    try:
        yield
    finally:
        _in_one_piece = before


def fitted(text: str) -> str:
    """To the terminal that standard error is; as it is where it is none."""
    width = error_width()
    return text if width is None else wrapped(text, width, whole=_in_one_piece)


def error_width() -> int | None:
    """Columns of the terminal that standard error is, or what the environment variable COLUMNS says of it."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or WIDTH
    except (OSError, ValueError):  # no real terminal
        return WIDTH


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Within it, a warning of Python's is a message, without the place in the code that it came from."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_: fitted(f"Warning: {clean(str(message))}") + "\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def write(text: str) -> None:
    """To standard output, as UTF-8 where it takes bytes.

    Raises ClosedPipe, and DataError where it cannot be written, on a full disk for example.
    """
    if sys.stdout is None:  # `gpubp … >&-`
        raise DataError("Cannot write to standard output: it is closed.")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        _forget_standard_output()
        if isinstance(error, BrokenPipeError):
            raise ClosedPipe from error
        raise DataError(f"Cannot write to standard output: {error.strerror}.") from error


def write_json(result: Mapping[str, Any]) -> None:
    write(json.dumps(plain(result), indent=2, allow_nan=False) + "\n")


def write_report(parts: Callable[[], Iterable[RenderableType]]) -> None:
    """Rich tables and lines, with a blank line between each two. Only as wide and coloured as a terminal allows."""
    from rich.console import Console

    page, terminal = Page(), sys.stdout is not None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else WIDTH
    console = Console(file=page, force_terminal=terminal, width=width, markup=False, emoji=False, highlight=False)
    for i, part in enumerate(parts()):
        if i:
            console.print()
        console.print(part)
    write("\n".join(line.rstrip() for line in page.getvalue().split("\n")))


class Page(io.StringIO):
    """Text on its way to standard output; rich draws with the characters that its encoding has."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(sys.stdout, "encoding", None) or "utf-8"


def never_fail_to_encode() -> None:
    """Characters that standard output's encoding lacks are written as \\x.. escapes."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def clean(text: Any) -> str:
    """Text from a file or a user, its control characters shown as escapes: they could steer a terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in str(text)
    )


def keep_descriptors_apart() -> None:
    """Where standard streams are closed (`gpubp … >&-`), the next files to be opened would get their numbers, and a
    compiler that is started would write its messages into them.
    """
    with suppress(OSError):
        while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(opened, True)
        os.close(opened)


def unwritable(error: OSError) -> None:
    """For what standard output did not take, of a page of help for example. Raises ClosedPipe or DataError; the error
    itself where it is about something else.
    """
    if error.filename is not None or error.errno not in FULL_OR_CLOSED:
        raise error
    _forget_standard_output()
    if error.errno == errno.EPIPE:
        raise ClosedPipe from error
    raise DataError(f"Cannot write to standard output: {error.strerror}.") from error


def _forget_standard_output() -> None:
    """What is still buffered would be written again, and fail again, when Python ends."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # not a real file, as in tests
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
