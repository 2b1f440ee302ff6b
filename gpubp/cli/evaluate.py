"""`gpubp evaluate`: how good a model is on a table that holds the answers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from gpubp.cli import shapes
from gpubp.cli.options import BackendOptions, ReportOptions
from gpubp.cli.panels import MODEL
from gpubp.cli.predict import MODEL_HELP, load, target_of
from gpubp.cli.table_options import TableOptions

MOST_CLASSES = 15
"""A confusion matrix of more classes is too wide to read; its largest mistakes are listed instead."""


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", rich_help_panel=MODEL, show_default=False, help=MODEL_HELP)],
    source: TableOptions,
    backend: BackendOptions,
    report: ReportOptions,
) -> None:
    """Compare a model's predictions with the target in a table.

    Classification: accuracy, log-loss, macro-F1 and the confusion matrix.
    Regression: R², RMSE and MAE, in the target's own units. In the JSON the
    accuracy is a share from 0 to 1.

    \b
    Examples:
      gpubp evaluate model.safetensors test.csv
      gpubp evaluate model.safetensors test.csv --json
    """
    loaded = load(model)
    about = {"task": loaded.task, "target": target_of(loaded).name}
    table = source.read(keep_texts=True)
    scores = loaded.evaluate(table, backend.choose(report))
    report.note(*scores["notes"])
    outcome = about | scores
    report.give(outcome, lambda: parts(outcome))


def parts(outcome: dict[str, Any]) -> Iterable[Any]:
    rows = shapes.counted(outcome["rows"], "row")
    if outcome["task"] == "regression":
        yield shapes.facts(
            [
                ("target", f"{outcome['target']!r}, {rows}"),
                ("R²", f"{outcome['r2']:.4f}"),
                ("RMSE", shapes.number(outcome["rmse"])),
                ("MAE", shapes.number(outcome["mae"])),
                *disagreement(outcome),
            ]
        )
        return
    yield shapes.facts(
        [
            ("target", f"{outcome['target']!r}, {rows}"),
            ("accuracy", shapes.percent(outcome["accuracy"])),
            ("log-loss", f"{outcome['log_loss']:.4f}"),
            ("macro-F1", f"{outcome['macro_f1']:.4f}"),
            *disagreement(outcome),
        ]
    )
    labels = [shapes.short(label) for label in outcome["labels"]]
    if len(labels) <= MOST_CLASSES:
        yield shapes.table(
            ["true \\ predicted", *[f"{label}>" for label in labels]],
            [(label, *counts) for label, counts in zip(labels, outcome["confusion_matrix"], strict=True)],
        )
    else:
        yield shapes.table(["true", "predicted", "rows>"], mistakes(labels, outcome))


def disagreement(outcome: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Of an ensemble."""
    if "disagreement" in outcome:
        yield (
            "disagreement",
            f"{shapes.number(outcome['disagreement'])}, the members' standard deviation, over all rows",
        )


def mistakes(labels: list[str], outcome: dict[str, Any]) -> list[tuple[str, str, int]]:
    """The most frequent confusions; --json has them all."""
    pairs = outcome.get("confusions") or [
        (true, predicted, count)
        for true, counts in enumerate(outcome["confusion_matrix"])
        for predicted, count in enumerate(counts)
    ]
    found = [
        (labels[true], labels[predicted], count) for true, predicted, count in pairs if count and true != predicted
    ]
    return sorted(found, key=lambda mistake: -mistake[2])[:MOST_CLASSES]
