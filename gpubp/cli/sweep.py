"""`gpubp sweep`: which network is best for a table, out of many."""

from __future__ import annotations

import json
import os
import shlex
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpubp.cli import shapes
from gpubp.cli.options import (
    BackendOptions,
    CheckpointOptions,
    EngineOptions,
    ReportOptions,
    TableOptions,
    TargetOptions,
)
from gpubp.cli.output import Interrupted, say
from gpubp.cli.space import space_of
from gpubp.cli.times import seconds_of
from gpubp.errors import DataError, SettingsError
from gpubp.files import make_folder, write_whole

if TYPE_CHECKING:
    from gpubp.ensemble import Ensemble
    from gpubp.sweeping.result import SweepResult
    from gpubp.sweeping.run_folder import Finished
    from gpubp.sweeping.trial import Trial

SPACE = "Search space"
SHOWN = 10
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
        typer.Option(metavar="FILE", rich_help_panel=SPACE, show_default=False, help="The search space, in TOML."),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=A;B",
            rich_help_panel=SPACE,
            show_default=False,
            help="Choices, as hidden=8;16;32,32 (three networks). May be repeated.",
        ),
    ] = None,
    range_: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="NAME=LOW:HIGH",
            rich_help_panel=SPACE,
            show_default=False,
            help="Numbers between two others; LOW:HIGH:log, LOW:HIGH:int. May be repeated.",
        ),
    ] = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=X",
            rich_help_panel=SPACE,
            show_default=False,
            help="The same for every trial, as epochs=50. May be repeated.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help="How many configurations; 100 if not given (grid: all)."),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="random, grid, halving (the worse two thirds leave, again and again), or tpe (needs optuna).",
        ),
    ] = "random",
    study: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="Of the strategy tpe: the study to begin or to go on with, which several machines may share.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            show_default=False,
            help="Where --study is kept, as sqlite:///studies.sqlite3 or another of Optuna's storages.",
        ),
    ] = None,
    folds: Annotated[int, typer.Option(help="Parts that the rows are split into; each is predicted once.")] = 5,
    repeats: Annotated[int, typer.Option(help="How often to split anew.")] = 1,
    metric: Annotated[
        str | None,
        typer.Option(
            show_default=False, help="A scorer of scikit-learn's, or loss; accuracy or r2 if not given. More is better."
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", show_default=False, help="End after this time with what is done: 90s, 10m or 2h."),
    ] = None,
    ensemble: Annotated[
        int, typer.Option(min=0, help="Networks that answer together, chosen from the trials; 0 for none.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="Of all randomness: the same seed gives the same result.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            show_default=False,
            help="Write trials.csv, results.json, the best network trained on all rows (best.safetensors) and the "
            "ensemble here.",
        ),
    ] = None,
    page: Annotated[
        bool, typer.Option("--report", help="Write report.html into the folder, too: the sweep as one page of charts.")
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
      gpubp sweep seeds_dataset.txt --trials 200 -o runs/wheat --report
      gpubp sweep data.csv -t class --grid "hidden=8;16;32,32" -o runs/class
      gpubp sweep data.csv -t class --range learning-rate=1e-4:1:log
      gpubp sweep data.csv --space space.toml --strategy halving --budget 10m
      gpubp sweep data.csv --trials 10000 -o runs/large --resume
    """
    import gpubp
    from gpubp.sweeping.run_folder import Finished

    searched = space_of(space, grid or (), range_ or (), fixed or ())
    seconds = None if budget is None else seconds_of("--budget", budget)
    if output is not None:
        _check_folder(output)
    elif page or checkpoints.resume:
        option, verb = ("--report", "goes into") if page else ("--resume", "goes on with")
        raise SettingsError(f"{option} {verb} the folder of --output: name one.")
    between = checkpoints.seconds
    table = source.read()
    chosen = backend.choose(report)
    try:
        found = gpubp.sweep(
            table,
            target.target,
            searched,
            n_trials=trials,
            cv=folds,
            repeats=repeats,
            strategy=_strategy(strategy, study, storage),
            metric=metric,
            task=target.task,
            categorical=target.categorical or (),
            backend=chosen,
            engine=engine.engine,
            seed=seed,
            budget=seconds,
            progress=report.progress,
            folder=None if between is None else output,
            resume=checkpoints.resume,
            checkpoint=between or 0.0,
            tell=say,
        )
    except Finished as finished:
        assert output is not None
        _tell_again(output, report, finished)
        return
    goes_on = " --resume goes on with it." if found.folder is not None and found.ended_early else ""
    if found.ended_early and not any(trial.status in ("complete", "stopped") for trial in found.trials):
        if found.interrupted:
            raise Interrupted(f"Interrupted before the first trial was done: there are no results.{goes_on}")
        remedy = goes_on or " Give it more time."
        raise SettingsError(f"The time was over before the first trial was done: there are no results.{remedy}")
    report.note(*found.notes)
    if found.ended_early:
        report.note(f"The sweep ended early: what follows is of the trials that were done.{goes_on}")
    team = found.ensemble(ensemble) if ensemble and _done(found) > 1 and found.keeps_predictions else None
    if ensemble and not found.keeps_predictions:
        report.note("No ensemble: the predictions that it is chosen by would take more than 1 GiB.")
    outcome = _result(found, team, source, target)
    if output is not None:
        held = (output / FILES[0]).exists()
        outcome["written"] = _write(found, team, output) + [str(output / name) for name in _results_files(page)]
        _write_results(found, outcome, output, page)
        if held and not checkpoints.resume:
            report.note(f"The sweep that {output} held before was replaced.")
        if not found.ended_early:
            found.discard_checkpoints()
    report.give(outcome, lambda: _parts(outcome))


def _strategy(name: str, study: str | None, storage: str | None) -> Any:
    if study is None and storage is None:
        return name
    if name != "tpe":
        raise SettingsError(f"--study and --storage are for --strategy tpe, and this is {name}.")
    from gpubp.sweeping.tpe import TPE

    return TPE(storage=storage, study=study)


def _tell_again(folder: Path, report: ReportOptions, finished: Finished) -> None:
    """What a sweep that has come to its end has found; its error where that is not there any more."""
    from gpubp.reporting import RESULTS, document, load

    if not (folder / RESULTS).exists():
        raise finished
    report.note(f"{finished} This is what it has found.")
    load(folder)  # or the error that it is damaged
    outcome = document(folder)["outcome"]
    report.give(outcome, lambda: _parts(outcome))


def _done(found: SweepResult) -> int:
    return sum(trial.status == found.best.status for trial in found.trials)


def _result(found: SweepResult, team: Ensemble | None, source: TableOptions, target: TargetOptions) -> dict[str, Any]:
    from gpubp.sweeping.baseline import baseline_scores

    best = found.best
    result = {
        "task": found.task,
        "metric": found.metric,
        "strategy": found.strategy,
        "trials": len(found.trials),
        "networks": sum(len(trial.scores) for trial in found.trials),
        "diverged": sum(trial.status == "diverged" for trial in found.trials),
        "best": _described(best),
        "leaderboard": [_described(trial) for trial in found.ranked[:SHOWN]],
        "baseline": statistics.fmean(baseline_scores(found.experiment).tolist()),
        "ensemble": None,
        "command": command(found, best, source, target),
        "seconds": found.seconds,
        "backend": found.backend,
        "ended_early": found.ended_early,
        "notes": list(found.notes),
    }
    if team is not None:
        result["ensemble"] = {
            "score": team.description["out_of_fold_score"],
            "best_alone": team.description["best_single_score"],
            "networks": team.n_members,
        }
    return result


def _described(trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "parameters": dict(trial.parameters),
        "score": trial.score,
        "standard_deviation": trial.std,
        "fold_scores": trial.scores,
        "epochs": float(trial.epochs.mean()),
        "status": trial.status,
        "engine": trial.engine,
    }


def command(found: SweepResult, trial: Trial, source: TableOptions, target: TargetOptions) -> str:
    """The `gpubp train` that trains the trial's network on all rows."""
    words = ["gpubp", "train", source.table, "--target", str(found.experiment.data.name)]  # type: ignore[union-attr]
    words += ["--task", found.task]
    for column in target.categorical or ():
        words += ["--categorical", column]
    if source.header is not None:
        words += ["--header" if source.header else "--no-header"]
    if source.separator is not None:
        words += ["--separator", source.separator]
    for name, value in trial.parameters.items():
        words += _option(name, value)
    return shlex.join([*words, "--seed", str(trial.seed), "--engine", trial.engine])


def _option(name: str, value: Any) -> list[str]:
    from gpubp.sweeping.parameters import OPTIMIZER_OPTIONS, SCHEDULE_OPTIONS

    option = "--" + name.replace("_", "-")
    if name in (*OPTIMIZER_OPTIONS, *SCHEDULE_OPTIONS) and name not in ("momentum", "weight_decay"):
        kind = "optimizer" if name in OPTIMIZER_OPTIONS else "schedule"
        return [f"--{kind}-option", f"{name}={value}"]
    if name == "shuffle":
        return ["--shuffle" if value else "--no-shuffle"]
    if name == "early_stopping":
        return ["--early-stopping"] if value else []
    if isinstance(value, tuple):
        return [option, ",".join(map(str, value)) or "none"]
    if value is None:
        return [option, "all"] if name == "batch_size" else []
    return [option, str(value)]


def _check_folder(folder: Path) -> None:
    """DataError where files could not be written into it, before the work that would fill them."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"--output {folder}: that is a file; name a folder.")
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise DataError(f"--output {folder}: {there} does not let you write. Choose another place.")


def _write(found: SweepResult, team: Ensemble | None, folder: Path) -> list[str]:
    """The files, each whole or not at all; none of them where the best cannot be trained on all rows."""
    model = found.refit()
    make_folder(folder)
    trials, best, ensemble = (folder / name for name in FILES)
    write_whole(trials, found.table.write_csv().encode())
    model.save(best)
    if team is None:
        ensemble.unlink(missing_ok=True)  # of an earlier sweep: it would be taken for this one's
        return [str(trials), str(best)]
    team.save(ensemble)
    return [str(trials), str(best), str(ensemble)]


def _results_files(page: bool) -> tuple[str, ...]:
    from gpubp.reporting import REPORT, RESULTS

    return (RESULTS, REPORT) if page else (RESULTS,)


def _write_results(found: SweepResult, outcome: dict[str, Any], folder: Path, page: bool) -> None:
    """results.json, and the report that is made of it. A report of an earlier sweep would be taken for this one's."""
    from gpubp.reporting import REPORT, RESULTS, load, write_page
    from gpubp.sweeping.summary import summary

    (folder / REPORT).unlink(missing_ok=True)
    write_whole(folder / RESULTS, json.dumps(summary(found, outcome), allow_nan=False).encode())
    if page:
        write_page(load(folder), folder / REPORT)


def _parts(outcome: dict[str, Any]) -> Iterable[Any]:
    varied = [name for name in outcome["best"]["parameters"] if _varies(name, outcome["leaderboard"])]
    rows = [
        (
            place + 1,
            _score(trial["score"]),
            _score(trial["standard_deviation"]),
            f"{trial['epochs']:.0f}",
            *(_shown(trial["parameters"].get(name)) for name in varied),
        )
        for place, trial in enumerate(outcome["leaderboard"])
    ]
    columns = ["place>", f"{outcome['metric']}>", "±>", "epochs>", *(name.replace("_", "-") for name in varied)]
    yield shapes.table(columns, rows)
    team = outcome["ensemble"]
    networks = shapes.counted(outcome["networks"], "network")
    yield shapes.facts(
        [
            ("best", f"{_score(outcome['best']['score'])}, trial {outcome['best']['trial']} of {outcome['trials']}"),
            ("baseline", f"{_score(outcome['baseline'])}, without looking at the inputs"),
            ("ensemble", None if team is None else _together(team)),
            ("diverged", shapes.counted(outcome["diverged"], "trial") if outcome["diverged"] else None),
            ("time", f"{shapes.seconds(outcome['seconds'])} for {networks}, backend {outcome['backend']}"),
            ("written", ", ".join(outcome["written"]) if "written" in outcome else None),
        ]
    )
    yield shapes.line(f"Train the best on all rows: {outcome['command']}")


def _together(team: dict[str, Any]) -> str:
    if team["networks"] == 1:
        return (
            f"{_score(team['score'])}, one network alone: no second one made it better on rows that they had not seen"
        )
    all_of_them, best = (_score(team[name]) for name in ("score", "best_alone"))
    counted = f"{all_of_them} by {team['networks']} networks together, {best} by the best of them alone"
    return f"{counted}, all on rows that they had not seen"


def _varies(name: str, trials: list[dict[str, Any]]) -> bool:
    return len({repr(trial["parameters"].get(name)) for trial in trials}) > 1 or len(trials) == 1


def _score(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.4f}"


def _shown(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value)) or "none"
    return shapes.number(value) if isinstance(value, float) else "–" if value is None else str(value)
