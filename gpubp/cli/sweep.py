"""`gpubp sweep`: which network is best for a table, out of many."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpubp.cli.options import BackendOptions, CheckpointOptions, EngineOptions, ReportOptions
from gpubp.cli.output import say
from gpubp.cli.panels import DATA, RESULT, SEARCH, TESTING
from gpubp.cli.space import space_of
from gpubp.cli.sweep_ending import Ending
from gpubp.cli.sweep_outcome import parts
from gpubp.cli.table_options import TableOptions, TargetOptions
from gpubp.cli.times import seconds_of
from gpubp.errors import DataError, SettingsError
from gpubp.search import MOST_MEMBERS
from gpubp.storage.files import is_there

if TYPE_CHECKING:
    from gpubp.search.run.run_folder import Finished

FILES = ("trials.csv", "best.safetensors", "ensemble.safetensors")


def sweep(
    source: TableOptions,
    target: TargetOptions,
    backend: BackendOptions,
    engine: EngineOptions,
    checkpoints: CheckpointOptions,
    report: ReportOptions,
    space: Annotated[
        Path | None,
        typer.Option(metavar="FILE", rich_help_panel=SEARCH, show_default=False, help="The search space, in TOML."),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=A;B",
            rich_help_panel=SEARCH,
            show_default=False,
            help="Choices, as hidden=8;16;32,32 (three networks). May be repeated.",
        ),
    ] = None,
    range_: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="NAME=LOW:HIGH",
            rich_help_panel=SEARCH,
            show_default=False,
            help="Numbers between two others; LOW:HIGH:log, LOW:HIGH:int. May be repeated.",
        ),
    ] = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=X",
            rich_help_panel=SEARCH,
            show_default=False,
            help="The same for every trial, as epochs=50. May be repeated.",
        ),
    ] = None,
    no_clip: Annotated[
        bool,
        typer.Option(
            "--no-clip",
            rich_help_panel=DATA,
            help="Let predicted numbers leave the training target's range: short for --set clip-predictions=false.",
        ),
    ] = False,
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            rich_help_panel=SEARCH,
            show_default=False,
            help="How many configurations; 100 if not given (grid: all).",
        ),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=SEARCH,
            help="random, grid, halving (the worse two thirds leave, again and again), or tpe (needs optuna).",
        ),
    ] = "random",
    study: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=SEARCH,
            show_default=False,
            help="Of the strategy tpe: the study to begin or to go on with, which several machines may share.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            rich_help_panel=SEARCH,
            show_default=False,
            help="Where --study is kept, as sqlite:///studies.sqlite3 or another of Optuna's storages.",
        ),
    ] = None,
    folds: Annotated[
        int,
        typer.Option(
            metavar="N", rich_help_panel=TESTING, help="Parts that the rows are split into; each is predicted once."
        ),
    ] = 5,
    repeats: Annotated[int, typer.Option(metavar="N", rich_help_panel=TESTING, help="How often to split anew.")] = 1,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=TESTING,
            show_default=False,
            help="A scorer of scikit-learn's, or loss; accuracy or r2 if not given. More is better.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            rich_help_panel=SEARCH,
            show_default=False,
            help="End after this time with the trials that are done: 90s, 10m or 2h.",
        ),
    ] = None,
    ensemble: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=MOST_MEMBERS,
            rich_help_panel=RESULT,
            help="Networks that answer together, chosen from the trials; 0 for none.",
        ),
    ] = 10,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", rich_help_panel=SEARCH, help="Of all randomness: the same seed gives the same result."
        ),
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            rich_help_panel=RESULT,
            show_default=False,
            help="Write trials.csv, results.json, the best network trained on all rows (best.safetensors) and the "
            "ensemble here.",
        ),
    ] = None,
    page: Annotated[
        bool,
        typer.Option(
            "--report",
            rich_help_panel=RESULT,
            help="Write report.html into the folder, too: the sweep as one page of charts.",
        ),
    ] = False,
) -> None:
    """Try many networks on a table, all folds of all of them at once.

    Names are those of `gpubp train`: hidden, activation, optimizer,
    learning-rate, l2, dropout, batch-size, epochs, scale and so on. Where none
    is varied, widths, learning rates and l2 are searched. Every trial is
    cross-validated; ± is the sample standard deviation over its folds. The
    ensemble is chosen on predictions of rows that its networks had not seen. With
    --output, a sweep that was killed or ran out of time goes on with --resume.

    \b
    Examples:
      gpubp sweep wheat-seeds --trials 200 -o runs/wheat --report
      gpubp sweep data.csv -t class --grid "hidden=8;16;32,32" -o runs/class
      gpubp sweep data.csv -t class --range learning-rate=1e-4:1:log
      gpubp sweep data.csv --space space.toml --strategy halving --budget 10m
      gpubp sweep data.csv --trials 10000 -o runs/large --resume
    """
    from gpubp.search.run.run_folder import Finished, for_itself
    from gpubp.sweeping import sweep as run_sweep

    searched = space_of(
        space, grid or (), range_ or (), [*(fixed or ()), *(["clip-predictions=false"] if no_clip else ())]
    )
    seconds = None if budget is None else seconds_of("--budget", budget)
    if output is not None:
        _check_folder(output)
    elif page or checkpoints.resume:
        option, verb = ("--report", "goes into") if page else ("--resume", "goes on with")
        raise SettingsError(f"{option} {verb} the folder of --output: name one.")
    between = checkpoints.seconds
    table = source.read()
    chosen = backend.choose(report)
    with nullcontext() if output is None else for_itself(output):
        try:
            found = run_sweep(
                table,
                target.target,
                searched,
                n_trials=trials,
                cv=folds,
                repeats=repeats,
                strategy=_strategy(strategy, study, storage),
                metric=metric,
                **target.choices,
                backend=chosen,
                engine=engine.engine,
                seed=seed,
                budget=seconds,
                progress=report.progress,
                folder=None if between is None else output,
                resume=checkpoints.resume,
                checkpoint=between or 0.0,
                tell=say,
                note=report.note,
            )
        except Finished as finished:
            assert output is not None
            _tell_again(output, report, finished)
            return
        ending = Ending(found, seconds, report, output, page, checkpoints.resume)
        outcome = ending.outcome(ensemble, source, target)
    report.give(outcome, lambda: parts(outcome))
    ending.raise_if_interrupted()


def _strategy(name: str, study: str | None, storage: str | None) -> Any:
    if study is None and storage is None:
        return name
    if name != "tpe":
        raise SettingsError(f"--study and --storage are for --strategy tpe, and this is {name}.")
    from gpubp.search.strategies.tpe import TPE

    return TPE(storage=storage, study=study)


def _tell_again(folder: Path, report: ReportOptions, finished: Finished) -> None:
    """What a sweep that has come to its end has found; its error where that is not there any more."""
    from gpubp.reporting import RESULTS, load

    if not (folder / RESULTS).exists():
        raise finished
    report.note(f"{finished} This is what it has found.")
    outcome = dict(load(folder).outcome)
    report.give(outcome, lambda: parts(outcome))


def _check_folder(folder: Path) -> None:
    """DataError where files could not be written into it, before the work that would fill them."""
    try:
        if is_there(folder) and not folder.is_dir():
            raise DataError(f"--output {folder}: that is a file; name a folder.")
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    except DataError:  # which is a ValueError
        raise
    except (OSError, ValueError) as error:  # a name that is too long, for example
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"--output {folder}: {reason}. Choose another place.") from None
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise DataError(f"--output {folder}: {there} does not let you write. Choose another place.")
