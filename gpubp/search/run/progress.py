"""A sweep's progress, and a bar that shows it on standard error where that is a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a sweep is: networks trained (in this rung), of how many; the share of all work that is done, by an
    estimate, or of the budget's time, if that is more; the best score so far, with its standard deviation over the
    folds, or NaN; trials that were trained in this run, for a rate; epochs, each network's counting, of those that all
    of them would take.
    """

    networks: int
    of_networks: int
    share: float
    trials: int
    of_trials: int
    best: float
    best_std: float
    trained: int
    seconds: float
    epochs: float
    of_epochs: float


Watch = Callable[[Progress], "bool | None"]
"""Called after each part of a sweep, and some ten times a second in between; returning True ends it."""


@contextmanager
def progress_bar(wanted: bool) -> Iterator[list[Watch]]:
    """Something to watch a sweep with; nothing if it is not wanted, or nobody could see it."""
    if not wanted:
        yield []
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    console = Console(stderr=True)
    if not console.is_terminal:
        yield []
        return
    columns = (
        BarColumn(bar_width=20, table_column=Column(min_width=20)),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(compact=True, table_column=Column(min_width=5)),
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
    )
    # without auto_refresh, which starts a thread: that cannot be done everywhere
    with Bar(*columns, console=console, transient=True, auto_refresh=False, expand=True) as bar:
        task = bar.add_task("", total=1.0)

        def draw(progress: Progress) -> None:
            bar.update(task, completed=progress.share, description=describe(progress), refresh=True)

        yield [draw]


def describe(progress: Progress) -> str:
    """Trials, epochs of all networks, the best so far, and how many trials a second, in one line."""
    rate = f", {progress.trained / progress.seconds:.3g} trials/s" if progress.trained and progress.seconds > 0 else ""
    spread = "" if math.isnan(progress.best_std) else f" ± {progress.best_std:.4f}"
    best = "" if math.isnan(progress.best) else f", best {progress.best:.4f}{spread}"
    epochs = f"{progress.epochs:,.0f}/{progress.of_epochs:,.0f} epochs"
    return f"{progress.trials:,}/{progress.of_trials:,} trials, {epochs}{best}{rate}"
