"""The command `gpubp`: its subcommands, and what becomes of errors.

Exit codes: 0; 1 for a failed self-test of `doctor`, and for defects, with a traceback; 2 for whatever the user can
mend, as one message on standard error; 130 when interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from gpubp.cli.cache import cache
from gpubp.cli.case_study import case_study
from gpubp.cli.command import ClickException, Command, Group
from gpubp.cli.completion import join_words
from gpubp.cli.config import FileOptions
from gpubp.cli.cross_validate import cross_validate
from gpubp.cli.describe import describe
from gpubp.cli.doctor import doctor
from gpubp.cli.evaluate import evaluate
from gpubp.cli.explain import explain
from gpubp.cli.groups import grouped
from gpubp.cli.output import (
    ClosedPipe,
    Interrupted,
    keep_descriptors_apart,
    names_in_one_piece,
    never_fail_to_encode,
    plain_warnings,
    say,
    unwritable,
)
from gpubp.cli.predict import predict
from gpubp.cli.report import report
from gpubp.cli.show import show
from gpubp.cli.sweep import sweep
from gpubp.cli.train import train
from gpubp.errors import GpubpError
from gpubp.search.strategies.study_storage import masked_text

app = typer.Typer(
    name="gpubp", cls=Group, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)
for command in (
    case_study,
    train,
    predict,
    evaluate,
    cross_validate,
    sweep,
    report,
    describe,
    show,
    explain,
    doctor,
    cache,
):
    app.command(name=command.__name__.replace("_", "-"), cls=Command)(grouped(command, FileOptions))


def print_version(wanted: bool) -> None:
    if wanted:
        from gpubp._version import __version__

        print(f"gpubp {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def gpubp(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train multilayer perceptrons with hand-written backpropagation, on GPU or CPU.

    \b
    Start here:
      gpubp case-study                       the wheat seeds, cross-validated
      gpubp cross-validate wheat-seeds       the same, with a network of your own
      gpubp train data.csv --target price    a network for your own table
      gpubp predict model.safetensors new.csv

    Every command has its own --help.
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (by default the program's own) and return the exit code."""
    never_fail_to_encode()
    if arguments is None:
        keep_descriptors_apart()
    given = sys.argv[1:] if arguments is None else list(arguments)
    with names_in_one_piece(given):
        return _answered(given)


def _answered(given: list[str]) -> int:
    """The exit code, and what is said about how it came to that."""
    try:
        with plain_warnings():
            code = _run(given)
    except GpubpError as error:
        return fail(str(error))
    except ClickException as error:
        return fail(usage_message(error))
    except MemoryError as error:
        found = sentence(str(error) or "none is left")
        return fail(f"Not enough memory: {found} Try a smaller --batch-size, fewer --hidden neurons, or fewer rows.")
    except Interrupted as interrupted:
        say(str(interrupted))
        return 130
    except KeyboardInterrupt:  # where Typer does not answer it
        say("Interrupted.")
        return 130
    except ClosedPipe:
        return 0  # whoever read the output has had enough of it
    if code == 130:  # Ctrl-C outside a training: Typer's own answer to it
        say("Interrupted.")
    return code or 0


def _run(arguments: list[str]) -> int | None:
    join_words()
    try:
        code: int | None = typer.main.get_command(app).main(arguments, prog_name="gpubp", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        unwritable(error)
    except SystemExit as ended:  # how Typer takes a closed pipe
        if isinstance(ended.__context__, BrokenPipeError):
            unwritable(ended.__context__)
        raise
    return code


def fail(message: str) -> int:
    """In one line, for scripts that look for it; a terminal shows it in as many as it needs."""
    say(f"Error: {' '.join(filter(None, map(str.strip, message.splitlines())))}")
    return 2


def usage_message(error: BaseException) -> str:
    message = masked_text(sentence(error.format_message()))  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    return message if context is None else f"{message} See `{context.command_path} --help`."


def sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."
