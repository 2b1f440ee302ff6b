"""`gpubp report`: what a sweep has found, as one page and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpubp.cli import shapes
from gpubp.cli.options import ReportOptions
from gpubp.cli.panels import RESULT, SWEEP


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            rich_help_panel=SWEEP,
            show_default=False,
            help="What `gpubp sweep … --output FOLDER` has written.",
        ),
    ],
    told: ReportOptions,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            rich_help_panel=RESULT,
            show_default=False,
            help="The page; FOLDER/report.html if not given.",
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            rich_help_panel=RESULT,
            show_default=False,
            help="Write each picture into this folder, too, as PNG and SVG (needs matplotlib).",
        ),
    ] = None,
) -> None:
    """Make a page of a sweep: one HTML file that needs no network.

    Leaderboard, score against each hyperparameter, parallel coordinates,
    learning curves of the best, and how it predicts rows that it had not
    seen: confusion matrix and calibration, or residuals.

    \b
    Examples:
      gpubp report runs/wheat
      gpubp report runs/wheat --output wheat.html --plots pictures
    """
    from gpubp.reporting import REPORT, load, write_page
    from gpubp.storage.files import check_place, remove_planted

    results = load(folder)
    page = folder / REPORT if output is None else output
    if output is None:
        remove_planted(page)
    check_place(page)
    pictures = []
    if plots is not None:
        from gpubp.reporting.plots import write_plots

        pictures = write_plots(results, plots)
    write_page(results, page)
    outcome = {"written": str(page), "plots": [str(path) for path in pictures]}
    counted = f"{shapes.counted(len(pictures), 'file')} in {plots}" if pictures else None
    told.give(outcome, lambda: [shapes.facts([("written", page), ("pictures", counted)])])
