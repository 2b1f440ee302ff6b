"""`gpubp train` without options of a network: from a table to the best ensemble that a preset's time allows."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpubp.cli import shapes
from gpubp.cli.options import BackendOptions, EngineOptions, ReportOptions
from gpubp.cli.output import Interrupted, say
from gpubp.cli.table_options import TableOptions, TargetOptions
from gpubp.cli.times import seconds_of
from gpubp.cli.train_outcome import check_output, classes, scaling

if TYPE_CHECKING:
    from gpubp.fitting.recipe import Recipe
    from gpubp.tabular.fit import TabularFit

SHOWN = 10  # configurations on the leaderboard
NAMES = {"neg_log_loss": "log-loss", "neg_mean_squared_error": "squared error"}


def train_preset(
    source: TableOptions,
    target: TargetOptions,
    recipe: Recipe,
    preset: str | None,
    budget: str | None,
    backend: BackendOptions,
    engine: EngineOptions,
    report: ReportOptions,
    resume: bool,
    checkpoint: float | None,
    output: Path,
) -> None:
    """recipe: of which only the seed, the target's scale and the limits of predictions count. checkpoint: seconds."""
    from gpubp.tabular.fit import train_tabular
    from gpubp.tabular.presets import USUAL, preset_of

    plan = preset_of(preset or USUAL)
    limit = None if budget is None else seconds_of("--budget", budget)
    folder = None if checkpoint is None else output.with_name(f"{output.name}.checkpoints")
    if folder is not None and resume and not folder.exists():
        report.note(f"There is no {folder}: begun from the start.")
    fixed: dict[str, Any] = {"clip_predictions": recipe.clip_predictions}
    if recipe.target_scale != "standard":
        fixed["target_scale"] = recipe.target_scale
    table = source.read()
    try:
        fit = train_tabular(
            table,
            target.target,
            plan,
            time_limit=limit,
            **target.choices,
            fixed=fixed,
            backend=backend.choose(report),
            engine=engine.engine,
            seed=recipe.seed,
            folder=folder,
            resume=resume,
            checkpoint=checkpoint or 0.0,
            progress=report.progress,
            tell=say,
            note=report.note,
        )
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted before the first configuration was trained: no model was written.{_goes_on(folder)}"
        ) from None
    finally:
        if folder is not None and not _holds_results(folder):
            shutil.rmtree(folder, ignore_errors=True)
    replaced = check_output(output)
    fit.ensemble.save(output)
    if folder is not None and not fit.interrupted:
        shutil.rmtree(folder, ignore_errors=True)
    if replaced:
        report.note(f"The model that {output} held before was replaced.")
    outcome = result(fit, output)
    report.give(outcome, lambda: parts(fit, outcome))
    if fit.interrupted:
        done = shapes.counted(fit.n_trials, "configuration")
        raise Interrupted(f"Interrupted after {done}: the best of these were saved to {output}.{_goes_on(folder)}")


def _goes_on(folder: Path | None) -> str:
    return " Go on with --resume." if folder is not None and _holds_results(folder) else ""


def _holds_results(folder: Path) -> bool:
    return any(folder.glob("*/*.safetensors"))


def result(fit: TabularFit, output: Path) -> dict[str, Any]:
    ensemble = fit.ensemble
    goal, first = ensemble.target, ensemble.preprocessing
    assert goal is not None
    assert first is not None
    return {
        "ensemble": str(output),
        "preset": fit.preset,
        "task": ensemble.task,
        "target": goal.name,
        "columns_left_out": {each.name: each.reason for each in first.left_out},
        "labels": list(goal.labels),
        "target_scale": fit.target_scale,
        "target_limits": goal.limits,
        "target_scale_offer": fit.offer,
        "rows": fit.data.n_rows,
        "folds": fit.folds,
        "repeats": fit.repeats,
        "metric": fit.metric,
        "score": fit.score,
        "standard_deviation": fit.spread,
        "fold_scores": fit.fold_scores,
        "baseline": fit.baseline,
        "out_of_fold": fit.report,
        "temperature": ensemble.temperature,
        "configurations": fit.n_trials,
        "networks": fit.n_networks,
        "members": ensemble.n_members,
        "leaderboard": [
            {
                "trial": each.trial,
                "network": each.words,
                "score": each.score,
                "standard_deviation": each.spread,
                "share": each.share,
                "seconds": each.seconds,
                "parameters": dict(each.parameters),
            }
            for each in fit.leaderboard
        ],
        "ended_early": fit.ended_early,
        "interrupted": fit.interrupted,
        "notes": list(fit.notes),
        "seconds": fit.seconds,
        "backend": fit.backend,
    }


def parts(fit: TabularFit, outcome: dict[str, Any]) -> Iterable[Any]:
    sign, name = (-1.0, NAMES[fit.metric]) if fit.metric in NAMES else (1.0, fit.metric)
    shown = fit.leaderboard[:SHOWN]
    rows = [
        (
            each.words,
            shapes.number(sign * each.score),
            shapes.number(each.spread),
            f"{100.0 * each.share:.0f} %" if each.share else "",
        )
        for each in shown
    ]
    together = ("together", shapes.number(sign * fit.score), shapes.number(fit.spread), "100 %")
    yield shapes.table(["configuration", f"{name}>", "± over folds>", "share>"], rows, total=together)
    left = len(fit.leaderboard) - len(shown)
    if left > 0:
        yield shapes.line(f"and {shapes.counted(left, 'configuration')} more")
    size = os.path.getsize(outcome["ensemble"])
    yield shapes.facts(
        [
            ("on unseen rows", shapes.metrics(fit.report)),
            ("without inputs", f"{name} {shapes.number(sign * fit.baseline)}"),
            ("task", f"{outcome['task']} of {outcome['target']!r}"),
            ("classes", classes(tuple(outcome["labels"]))),
            ("target scale", scaling(outcome)),
            ("rows", f"{outcome['rows']:,}, in {'' if fit.repeats == 1 else f'{fit.repeats} × '}{fit.folds} folds"),
            (
                "trained",
                f"{shapes.counted(fit.n_trials, 'configuration')}, {shapes.counted(fit.n_networks, 'network')}",
            ),
            ("time", f"{shapes.seconds(fit.seconds)}, backend {fit.backend}, preset {fit.preset}"),
            ("ensemble", f"{outcome['ensemble']} ({shapes.counted(outcome['members'], 'network')}, {size:,} bytes)"),
        ]
    )
    yield shapes.line(f"Predict with: gpubp predict {shlex.quote(outcome['ensemble'])} TABLE")
