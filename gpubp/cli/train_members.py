"""`gpubp train --members`: from a table to the file of an ensemble."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpubp.cli import shapes
from gpubp.cli.options import BackendOptions, EngineOptions, ReportOptions
from gpubp.cli.output import Interrupted, say
from gpubp.cli.table_options import TableOptions, TargetOptions
from gpubp.cli.train_outcome import goes_on, saved, scaling, target_scale, unproven

if TYPE_CHECKING:
    from gpubp.fitting.ensemble_fit import EnsembleFit
    from gpubp.fitting.recipe import Recipe
    from gpubp.training.checkpoint import Checkpoint


def train_members(
    source: TableOptions,
    target: TargetOptions,
    recipe: Recipe,
    backend: BackendOptions,
    engine: EngineOptions,
    report: ReportOptions,
    checkpoint: Checkpoint | None,
    output: Path,
    members: int,
    bootstrap: bool,
) -> None:
    from gpubp.fitting.ensemble_fit import train_ensemble

    table = source.read()
    fit = train_ensemble(
        table,
        target.target,
        recipe,
        members=members,
        bootstrap=bootstrap,
        **target.choices,
        backend=backend.choose(report),
        engine=engine.engine,
        progress=report.progress,
        checkpoint=checkpoint,
        note=report.note,
    )
    epochs = int(fit.history.epochs.max())
    if fit.history.interrupted and epochs == 0:
        raise Interrupted("Interrupted before the end of the first epoch: no ensemble was written.")
    if fit.left_out:
        places = ", ".join(str(place + 1) for place in fit.left_out)
        say(f"{len(fit.left_out)} of {members} members diverged and are left out: {places}. Try --clip-norm 1.")
    saved(fit.ensemble, output, fit.history, checkpoint, report)
    outcome = result(fit, output)
    report.give(outcome, lambda: [*parts(fit, outcome), *unproven(fit.validation, source, target)])
    if fit.history.interrupted:
        raise Interrupted(
            f"Interrupted after {shapes.counted(epochs, 'epoch')}: the members so far were saved to {output}."
            f"{goes_on(checkpoint)}"
        )


def result(fit: EnsembleFit, output: Path) -> dict[str, Any]:
    ensemble, history = fit.ensemble, fit.history
    (group,) = ensemble.members
    assert ensemble.preprocessing is not None
    return {
        "ensemble": str(output),
        "task": ensemble.task,
        "target": ensemble.target.name if ensemble.target else None,
        "columns_left_out": {each.name: each.reason for each in ensemble.preprocessing.left_out},
        "labels": [] if ensemble.classes is None else ensemble.classes.tolist(),
        "target_scale": target_scale(ensemble.target, ensemble.description["recipe"]) if ensemble.target else None,
        "target_limits": ensemble.target.limits if ensemble.target else None,
        "target_scale_offer": fit.offer,
        "architecture": group.architecture.to_dict(),
        "members": ensemble.n_members,
        "bootstrap": ensemble.description["bootstrap"],
        "left_out": list(fit.left_out),
        "training_rows": fit.n_training,
        "validation_rows": fit.n_validation,
        "epochs": history.epochs,
        "interrupted": history.interrupted,
        "validation": fit.validation,
        "notes": list(fit.notes),
        "recipe": ensemble.description["recipe"],
        "train_seconds": history.seconds,
        "backend": history.backend,
        "engine": history.engine,
    }


def parts(fit: EnsembleFit, outcome: dict[str, Any]) -> Iterable[Any]:
    history, (group,) = fit.history, fit.ensemble.members
    least, most = int(history.epochs.min()), int(history.epochs.max())
    bagged = " on rows drawn with replacement" if outcome["bootstrap"] else ""
    yield shapes.facts(
        [
            ("members", f"{outcome['members']}{bagged}"),
            ("network", f"{group.architecture}, {', '.join(group.architecture.activations)}"),
            ("task", f"{outcome['task']} of {outcome['target']!r}"),
            ("target scale", scaling(outcome)),
            ("rows", f"{fit.n_training:,} for training, {fit.n_validation or 'none'} for validation"),
            ("epochs", f"{most if least == most else f'{least} to {most}'} of {outcome['recipe']['epochs']}"),
            ("validation", shapes.metrics(fit.validation) if fit.validation else None),
            ("time", f"{shapes.seconds(history.seconds)}, backend {history.backend}, engine {history.engine}"),
            ("ensemble", f"{outcome['ensemble']} ({os.path.getsize(outcome['ensemble']):,} bytes)"),
        ]
    )
    yield shapes.line(f"Predict with: gpubp predict {shlex.quote(outcome['ensemble'])} TABLE")
