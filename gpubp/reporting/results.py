"""What `results.json` holds, as values that are what they seem to be: the rest of the report needs no doubts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

STATUSES = ("complete", "stopped", "diverged", "unfinished")

Value = str | int | float | bool | tuple[Any, ...] | None
"""Of a hyperparameter."""


@dataclass(frozen=True)
class Trial:
    """rank: 1 for the best. scores: of each fold, None for a lost network; mean, std: None where there is none."""

    number: int
    rank: int
    parameters: Mapping[str, Value]
    status: str
    scores: tuple[float | None, ...]
    mean: float | None
    std: float | None
    epochs: float
    diverged_epoch: int | None
    time_share: float


@dataclass(frozen=True)
class Entry:
    """Of the search space: choices, or a range from low to high."""

    choices: tuple[Value, ...] = ()
    low: float = math.nan
    high: float = math.nan
    log: bool = False

    @property
    def is_range(self) -> bool:
        return not self.choices


@dataclass(frozen=True)
class FoldCurve:
    """After the epochs of `Curves`, or after the first of them where early stopping came; None: not a finite number."""

    fold: int
    best_epoch: int | None
    training_loss: tuple[float | None, ...]
    validation_loss: tuple[float | None, ...]
    validation_score: tuple[float | None, ...]


@dataclass(frozen=True)
class Curves:
    """rows: whose validation_loss and validation_score are: "held" back for early stopping, or of the "test" fold."""

    rows: str
    loss: str
    score: str
    epochs: tuple[int, ...]
    folds: tuple[FoldCurve, ...]


@dataclass(frozen=True)
class Bin:
    """Of the predicted class's probability: the rows in it, their mean probability, and how many were right, 0 to 1."""

    low: float
    high: float
    rows: int
    probability: float | None
    right: float | None


@dataclass(frozen=True)
class Classes:
    """confusions: the rows of a true class that were predicted as another or as itself, by (true, predicted)."""

    rows: int
    accuracy: float
    log_loss: float
    macro_f1: float
    confusions: Mapping[tuple[int, int], int]
    calibration_error: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Values:
    """residual_rows: of predicted − true between each two of residual_edges. true, predicted: of some rows."""

    rows: int
    r2: float
    rmse: float
    mae: float
    true: tuple[float, ...]
    predicted: tuple[float, ...]
    residual_edges: tuple[float, ...]
    residual_rows: tuple[int, ...]


@dataclass(frozen=True)
class Ensemble:
    score: float
    best_alone: float
    networks: int


@dataclass(frozen=True)
class Results:
    """folder: where they lie. trials: the best first. space: by name, with those of conditions. outcome: what the
    command had to say, in the JSON values of the file, checked.
    """

    folder: Path
    gpubp: str
    date: datetime
    source: str | None
    rows: int
    target: str | None
    columns: int | None
    task: str
    metric: str
    strategy: str
    seed: int
    folds: int
    labels: tuple[str, ...]
    space: Mapping[str, tuple[Entry, ...]]
    trials: tuple[Trial, ...]
    curves: Curves | None
    classes: Classes | None
    values: tuple[Values, ...]
    baseline: float | None
    ensemble: Ensemble | None
    command: str
    networks: int
    seconds: float
    backend: str
    ended_early: bool
    notes: tuple[str, ...]
    outcome: Mapping[str, Any]

    @property
    def best(self) -> Trial:
        return self.trials[0]

    def count(self, status: str) -> int:
        return sum(trial.status == status for trial in self.trials)
