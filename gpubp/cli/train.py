"""`gpubp train`: from a table to a model file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpubp.cli import shapes
from gpubp.cli.given import given_options
from gpubp.cli.options import BackendOptions, CheckpointOptions, EngineOptions, ReportOptions
from gpubp.cli.output import Interrupted, say
from gpubp.cli.panels import NETWORK, RESULT, SEARCH
from gpubp.cli.recipe_options import RecipeOptions
from gpubp.cli.table_options import TableOptions, TargetOptions
from gpubp.cli.train_outcome import check_output, classes, goes_on, saved, scaling, target_scale, unproven
from gpubp.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np

    from gpubp.fitting.fit import Fit
    from gpubp.fitting.recipe import Recipe
    from gpubp.training.checkpoint import Checkpoint
    from gpubp.training.history import History


def train(
    source: TableOptions,
    target: TargetOptions,
    recipe: RecipeOptions,
    backend: BackendOptions,
    engine: EngineOptions,
    checkpoints: CheckpointOptions,
    report: ReportOptions,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", rich_help_panel=RESULT, help="Where the model is written."),
    ] = Path("model.safetensors"),
    members: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            rich_help_panel=NETWORK,
            help="Networks that are trained side by side and answer together, by their mean.",
        ),
    ] = 1,
    bootstrap: Annotated[
        bool,
        typer.Option(
            "--bootstrap",
            rich_help_panel=NETWORK,
            help="Each of the --members trains on rows drawn with replacement (bagging).",
        ),
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=SEARCH,
            show_default=False,
            help="How much is done for the table: fast (three quick configurations), good (a portfolio and its best "
            "ensemble; if not given), best (twice as many, and a search until nothing better is found).",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            rich_help_panel=SEARCH,
            show_default=False,
            help="When to end with what is done, such as 90s or 10m. If not given: 60s (fast), 4m (good), 5m (best), "
            "which small tables do not use up.",
        ),
    ] = None,
) -> None:
    """Train the best ensemble for a table, or one network of your choice.

    Without options of a network, a portfolio of configurations is trained on the
    folds of a cross-validation, and those that answer best together become the
    ensemble; how good it is on rows that it has not seen is said. As soon as you
    name an option of the network or of its training, that network is trained.

    Numbers are scaled, text becomes one input per category, missing values are
    replaced; whatever was done is said, and the model file remembers it. Ctrl-C
    ends the training and keeps the best so far. One that was killed goes on with
    --resume, to the same bits: what it had done lies beside the model, in a file
    ending with .checkpoint, or a folder ending with .checkpoints.

    \b
    Examples:
      gpubp train wheat-seeds
      gpubp train data.csv --target price --preset best --budget 10m
      gpubp train data.csv --target price --hidden 64,64 --epochs 200
      gpubp train data.csv -t class --early-stopping -o best.model
      gpubp train data.csv --recipe realmlp
      gpubp train data.csv --optimizer nesterov --momentum 0.95 --lr 0.05
      gpubp train data.csv --members 10 --bootstrap
      gpubp train data.csv --epochs 100000 --checkpoint 5m --resume
    """
    if bootstrap and members == 1:
        raise SettingsError("--bootstrap is for several networks: add --members 10, for example, or leave it out.")
    chosen_recipe, seconds = recipe.recipe(), checkpoints.seconds
    named = network_options()
    refuse_both(named, preset, budget)
    check_output(output)
    with for_itself(output):
        if not named:
            from gpubp.cli.train_preset import train_preset

            train_preset(
                source, target, chosen_recipe, preset, budget, backend, engine, report, checkpoints.resume, seconds,
                output,
            )  # fmt: skip
            return
        checkpoint = None if seconds is None else checkpoint_beside(output, seconds, checkpoints.resume, report)
        if members > 1:
            from gpubp.cli.train_members import train_members

            train_members(
                source, target, chosen_recipe, backend, engine, report, checkpoint, output, members, bootstrap
            )
        else:
            train_one(source, target, chosen_recipe, backend, engine, report, checkpoint, output)


OF_EVERY_PRESET = ("seed", "target_scale", "no_clip")
"""Options of a recipe that go with a preset as well."""


def network_options() -> list[str]:
    """The options that somebody gave and that name a network or its training, as they are spelled."""
    of_networks = {field.name for field in fields(RecipeOptions)} - {*OF_EVERY_PRESET} | {"members", "bootstrap"}
    spelled = {"recipe_name": "recipe", "learning_rate": "lr"}
    return [f"--{spelled.get(name, name).replace('_', '-')}" for name in sorted(given_options() & of_networks)]


def refuse_both(named: list[str], preset: str | None, budget: str | None) -> None:
    """SettingsError for a preset, or its budget, beside the options of one network."""
    for option, value in (("--preset", preset), ("--budget", budget)):
        if named and value is not None:
            raise SettingsError(
                f"{option} is for a portfolio of networks, and {named[0]} names one network: leave one of them out."
            )


@contextmanager
def for_itself(output: Path) -> Iterator[None]:
    """DataError where another training writes to the same output: the last to end would replace the other's model."""
    from gpubp.storage.locks import Lock

    lock = Lock(Path(os.path.realpath(output)))
    lock.hold(f"{output} is being trained")
    try:
        yield
    finally:
        lock.release()


def train_one(
    source: TableOptions,
    target: TargetOptions,
    recipe: Recipe,
    backend: BackendOptions,
    engine: EngineOptions,
    report: ReportOptions,
    checkpoint: Checkpoint | None,
    output: Path,
) -> None:
    from gpubp.fitting.fit import train_model

    table = source.read()
    chosen = backend.choose(report)
    fit = train_model(
        table,
        target.target,
        recipe,
        **target.choices,
        backend=chosen,
        engine=engine.engine,
        progress=report.progress,
        checkpoint=checkpoint,
        note=report.note,
    )
    history = fit.history
    if history.interrupted and history.epochs[0] == 0:
        raise Interrupted("Interrupted before the end of the first epoch: no model was written.")
    if history.diverged[0]:
        epoch = history.diverged_epoch[0] + 1
        say(f"Training diverged in epoch {epoch}; the best weights before it are kept. Try a smaller --learning-rate.")
    saved(fit.model, output, history, checkpoint, report)
    outcome = result(fit, output, recipe.epochs)
    report.give(outcome, lambda: [*parts(fit, outcome), *unproven(fit.validation, source, target)])
    if history.interrupted:
        raise Interrupted(
            f"Interrupted after {shapes.counted(int(history.epochs[0]), 'epoch')}: the "
            f"{'best ' if recipe.early_stopping else ''}weights so far were saved to {output}."
            f"{goes_on(checkpoint)}"
        )


def checkpoint_beside(output: Path, seconds: float, resume: bool, report: ReportOptions) -> Checkpoint:
    """SettingsError where one of an earlier training is there, and nobody said what is to become of it."""
    from gpubp.training.checkpoint import Checkpoint

    found = Checkpoint(output.with_name(f"{output.name}.checkpoint"), seconds=seconds, resume=resume, tell=say)
    found.check()
    if resume:
        there = found.path.exists()
        report.note(f"Going on from {found.path}." if there else f"There is no {found.path}: begun from the start.")
    return found


def result(fit: Fit, output: Path, most_epochs: int) -> dict[str, Any]:
    history, model = fit.history, fit.model
    epochs = int(history.epochs[0])
    return {
        "model": str(output),
        "task": model.task,
        "target": model.target.name,
        "columns_left_out": {each.name: each.reason for each in model.preprocessing.left_out},
        "labels": list(model.target.labels),
        "target_scale": target_scale(model.target, model.training["recipe"]),
        "target_limits": model.target.limits,
        "target_scale_offer": fit.offer,
        "architecture": model.architecture.to_dict(),
        "parameters": model.architecture.n_parameters,
        "training_rows": fit.n_training,
        "validation_rows": fit.n_validation,
        "epochs": epochs,
        "kept_epoch": model.training["kept_epoch"],
        "stopped_early": epochs < most_epochs and not history.interrupted,
        "interrupted": history.interrupted,
        "history": {
            name: None if losses is None else losses[:, 0] for name, losses in asdict(history).items() if is_loss(name)
        },
        "validation": fit.validation,
        "notes": list(fit.notes),
        "recipe": model.training["recipe"],
        "train_seconds": history.seconds,
        "backend": history.backend,
        "engine": history.engine,
    }


def is_loss(name: str) -> bool:
    return name in ("training_loss", "validation_loss", "validation_score")


def parts(fit: Fit, outcome: dict[str, Any]) -> Iterable[Any]:
    model, history = fit.model, fit.history
    yield shapes.table(["", "first>", "last>", "best>", "in epoch>"], courses(history))
    ending = "interrupted" if history.interrupted else "stopped early" if outcome["stopped_early"] else "all of them"
    validation = shapes.metrics(fit.validation) if fit.validation else None
    yield shapes.facts(
        [
            ("network", f"{model.architecture}, {', '.join(model.architecture.activations)}"),
            ("parameters", f"{model.architecture.n_parameters:,}"),
            ("task", f"{model.task} of {model.target.name!r}"),
            ("classes", classes(model.target.labels)),
            ("target scale", scaling(outcome)),
            ("rows", f"{fit.n_training:,} for training, {fit.n_validation or 'none'} for validation"),
            ("epochs", f"{outcome['epochs']} of {outcome['recipe']['epochs']} ({ending})"),
            ("weights kept", f"those after epoch {outcome['kept_epoch']}"),
            ("validation", validation),
            ("time", f"{shapes.seconds(history.seconds)}, backend {history.backend}, engine {history.engine}"),
            ("model", f"{outcome['model']} ({os.path.getsize(outcome['model']):,} bytes)"),
        ]
    )
    yield shapes.line(f"Predict with: gpubp predict {shlex.quote(outcome['model'])} TABLE")


def courses(history: History) -> Iterable[tuple[Any, ...]]:
    """How each recorded number went over the epochs: first, last, best and when."""
    epochs = int(history.epochs[0])
    for name, values, higher_is_better in (
        ("training loss", history.training_loss, False),
        ("validation loss", history.validation_loss, False),
        ("validation score", history.validation_score, True),
    ):
        if values is not None:
            yield name, *course(values[:epochs, 0], higher_is_better)


def course(values: np.ndarray, higher_is_better: bool) -> tuple[str, str, str, int]:
    import numpy as np

    best = int(np.nanargmax(values if higher_is_better else -values))
    return shapes.number(values[0]), shapes.number(values[-1]), shapes.number(values[best]), best + 1
