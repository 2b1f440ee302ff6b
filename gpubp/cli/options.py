"""Options that several commands share, as groups (see `groups`), and what they build; recipe_options.py has more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpubp.cli.output import say, write_json, write_report
from gpubp.cli.panels import LONG_RUNS, MACHINE, RESULT
from gpubp.cli.times import seconds_of
from gpubp.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gpubp.backends import Backend


@dataclass(frozen=True)
class ReportOptions:
    as_json: Annotated[
        bool, typer.Option("--json", rich_help_panel=RESULT, help="Print the result as JSON, and nothing else.")
    ] = False
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", rich_help_panel=RESULT, help="No notes and no progress bar: results and errors only."
        ),
    ] = False

    def note(self, *messages: str) -> None:
        if not self.quiet:
            for message in messages:
                say(message)

    @property
    def progress(self) -> bool:
        """Whether there is somebody to look at a progress bar."""
        return not self.quiet and sys.stderr is not None and sys.stderr.isatty()

    def give(self, result: Mapping[str, Any], parts: Callable[[], Iterable[RenderableType]]) -> None:
        if self.as_json:
            write_json(result)
        else:
            write_report(parts)


@dataclass(frozen=True)
class BackendOptions:
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=MACHINE,
            show_default=False,
            help="Where to compute: numpy, cupy (needs a CUDA GPU), or auto (cupy where it can be used, else numpy). "
            "If not given: the environment variable GPUBP_BACKEND, or auto.",
        ),
    ] = None

    device: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            rich_help_panel=MACHINE,
            show_default=False,
            help="Which of several CUDA devices, from 0 on (nvidia-smi lists them). If not given: the first.",
        ),
    ] = None

    def choose(self, report: ReportOptions) -> Backend:
        from gpubp.backends import get_backend

        chosen = get_backend(self.backend, self.device)
        report.note(f"Backend {chosen.name}: {chosen.reason}.")
        return chosen


@dataclass(frozen=True)
class EngineOptions:
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=MACHINE,
            help="How networks are trained: lane (tiny networks) and block (small and middle ones), both with whole "
            "epochs in one compiled kernel; array (operation by operation); or auto (an estimate decides; see gpubp "
            "explain).",
        ),
    ] = "auto"


@dataclass(frozen=True)
class CheckpointOptions:
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            rich_help_panel=LONG_RUNS,
            help="Go on where an earlier run with the same options was cut short, if one was.",
        ),
    ] = False
    checkpoint: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            rich_help_panel=LONG_RUNS,
            help="How often to keep what is done so far, for --resume; never for not at all.",
        ),
    ] = "60s"

    @property
    def seconds(self) -> float | None:
        """Between two checkpoints; None for none. SettingsError for what is no time."""
        if self.checkpoint.strip().lower() == "never":
            if self.resume:
                raise SettingsError("--resume goes on with checkpoints: leave --checkpoint never out.")
            return None
        return seconds_of("--checkpoint", self.checkpoint)
