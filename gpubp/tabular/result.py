"""What a preset's training gives: an ensemble, how good it is, and how it came about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpubp.fitting.table_data import TableData
from gpubp.models.ensemble import Ensemble
from gpubp.search.run.run_folder import RunFolder
from gpubp.tabular.team import Standing


@dataclass(frozen=True, eq=False)
class TabularFit:
    """An ensemble and how it came about.

    predictions: the ensemble's of each row, by those of its networks that had not seen it: (N, C) probabilities or
    (N, 1) values; NaN for rows that no fold tests. score: of these, by the metric (more is better), and report, by the
    measures of models.metrics; fold_scores (S,): of each fold; baseline: of answers that look at no input. leaderboard:
    the configurations, the best first. ended_early: by the time limit, Ctrl-C or someone who watched; stopped: the
    search found nothing better any more. limit: seconds. target_scale: of numbers, None for classes. offer: what speaks
    for the target scale log.
    """

    ensemble: Ensemble
    preset: str
    metric: str
    predictions: np.ndarray
    score: float
    fold_scores: np.ndarray
    baseline: float
    report: dict[str, Any]
    leaderboard: tuple[Standing, ...]
    n_trials: int
    n_networks: int
    folds: int
    repeats: int
    seconds: float
    limit: float
    backend: str
    ended_early: bool
    interrupted: bool
    stopped: bool
    target_scale: str | None
    notes: tuple[str, ...]
    data: TableData
    offer: str | None = None
    folder: RunFolder | None = None

    @property
    def spread(self) -> float:
        """The sample standard deviation of the folds' scores; NaN of one."""
        return float(np.std(self.fold_scores, ddof=1)) if len(self.fold_scores) > 1 else float("nan")

    def discard_checkpoints(self) -> None:
        """Once the ensemble is saved: the folder says that it is finished, and keeps nothing else."""
        if self.folder is not None:
            self.folder.finish()
