"""A progress bar that looks at the training a few times a second, and costs nothing in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpubp.training.history import Callback, EpochReport

SECONDS_BETWEEN_LOOKS = 0.1


@contextmanager
def progress_bar(wanted: bool) -> Iterator[list[Callback]]:
    """Callbacks that draw a bar on standard error; none if it is not wanted, or nobody could see it."""
    if not wanted:
        yield []
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield []
        return
    with Progress(
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        auto_refresh=False,  # by a thread, which cannot be started everywhere
    ) as bar:
        yield [_Drawer(bar)]


class _Drawer:
    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.task = bar.add_task("", total=None)
        self.looked = 0.0

    def __call__(self, report: EpochReport) -> None:
        now = time.monotonic()
        if now - self.looked < SECONDS_BETWEEN_LOOKS and report.epoch + 1 < report.n_epochs:
            return
        self.looked = now
        self.bar.update(
            self.task, total=report.n_epochs, completed=report.epoch + 1, description=describe(report), refresh=True
        )


def describe(report: EpochReport) -> str:
    """The medians over the networks still training, in one line."""
    values = report.metrics()
    words = {"training_loss": "loss", "validation_loss": "validation loss", "validation_score": "score"}
    parts = [f"{words[name]} {np.median(found):.4g}" for name, found in values.items() if not np.isnan(found).all()]
    n = len(report.networks)
    return ", ".join(parts) + (f" (median of {n} networks)" if n > 1 else "")
