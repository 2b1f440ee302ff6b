"""`gpubp case-study`: the tutorial's sixth step, the project's first promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpubp.cli import shapes
from gpubp.cli.options import BackendOptions, EngineOptions, ReportOptions
from gpubp.cli.output import Interrupted
from gpubp.cli.panels import DATA

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpubp.tutorial import CaseStudy


def case_study(
    report: ReportOptions,
    backend: BackendOptions,
    engine: EngineOptions,
    table: Annotated[
        str | None,
        typer.Argument(
            metavar="[TABLE]",
            rich_help_panel=DATA,
            show_default=False,
            help="Numbers, with the class in the last column; the wheat seeds if not given.",
        ),
    ] = None,
) -> None:
    """Cross-validate the tutorial's network on the wheat seeds.

    Five folds, each a network of 5 hidden neurons trained row by row for 500
    epochs, all of them one population; beside it the Zero Rule, which always
    answers with the most common class. The accuracies are percentages, in the
    JSON too; the tutorial's means are 93.333 and 28.095.

    \b
    Examples:
      gpubp case-study
      gpubp case-study --json --quiet
      gpubp case-study --backend cupy
    """
    from gpubp import tutorial
    from gpubp.storage.datasets import table_path

    chosen = backend.choose(report)
    study = tutorial.case_study(
        None if table is None else table_path(table), backend=chosen, engine=engine.engine, progress=report.progress
    )
    if study.interrupted:
        raise Interrupted("Interrupted before the end of the training: there are no results.")
    report.give(result(study), lambda: parts(study))


def result(study: CaseStudy) -> dict[str, Any]:
    return {
        "fold_accuracies": [100.0 * share for share in study.fold_accuracies],
        "mean_accuracy": 100.0 * study.mean_accuracy,
        "zero_rule_accuracies": [100.0 * share for share in study.zero_rule_accuracies],
        "zero_rule_accuracy": 100.0 * study.zero_rule_accuracy,
        "unit": "percent",
        "train_seconds": study.train_seconds,
        "backend": study.backend,
        "engine": study.engine,
    }


def parts(study: CaseStudy) -> Iterable[Any]:
    scores = zip(study.fold_accuracies, study.zero_rule_accuracies, strict=True)
    yield shapes.table(
        ["fold", "network, % right>", "Zero Rule, % right>"],
        [(fold, f"{100 * network:.3f}", f"{100 * zero:.3f}") for fold, (network, zero) in enumerate(scores, 1)],
        total=("mean", f"{100 * study.mean_accuracy:.3f}", f"{100 * study.zero_rule_accuracy:.3f}"),
    )
    yield shapes.facts(
        [
            ("training", shapes.seconds(study.train_seconds)),
            ("backend", study.backend),
            ("engine", study.engine),
        ]
    )
