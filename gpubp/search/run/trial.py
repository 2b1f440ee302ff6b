"""A trial: one configuration, its networks on every fold, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpubp.fitting.recipe import Recipe
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture

STATUSES = ("complete", "stopped", "diverged", "unfinished")


@dataclass(frozen=True, eq=False)
class Configuration:
    """The settings that a trial trains with. seed: of the trial; the networks of its folds have seeds made from it."""

    number: int
    parameters: Mapping[str, Any]
    seed: int
    recipe: Recipe
    architecture: Architecture
    settings: Settings


@dataclass(frozen=True, eq=False)
class Trial:
    """scores (S,): on the test rows of each of S folds, more being better; NaN for a network that was lost, or was not
    trained to its end.

    status: "complete"; "stopped" by a strategy before its last epoch; "diverged": a network left the finite numbers
    (diverged_epochs (S,), from 0, −1 for those that did not); "unfinished": the sweep ended before it. epochs (S,):
    trained. time_share: of the sweep's training time. engine: the one that trained it, to be named for the same bits.
    """

    number: int
    parameters: Mapping[str, Any]
    seed: int
    status: str
    scores: np.ndarray
    epochs: np.ndarray
    diverged_epochs: np.ndarray
    time_share: float
    engine: str
    rung: int = 0

    @property
    def score(self) -> float:
        """The mean over the folds, without the networks that were lost; NaN without any, and where folds are missing
        since the sweep ended before them.
        """
        known = self._known
        return float(known.mean()) if len(known) else float("nan")

    @property
    def std(self) -> float:
        """The sample standard deviation over the folds; NaN for fewer than two."""
        known = self._known
        return float(known.std(ddof=1)) if len(known) > 1 else float("nan")

    @property
    def _known(self) -> np.ndarray:
        return self.scores[~np.isnan(self.scores)] if self.status != "unfinished" else self.scores[:0]

    @property
    def rank_key(self) -> tuple[int, int, float, int]:
        """Sorts the best first: the trained to the end, those that went further, the higher score, the earlier."""
        score = self.score
        return STATUSES.index(self.status), -self.rung, np.inf if np.isnan(score) else -score, self.number


@dataclass(frozen=True, eq=False)
class Result:
    """The outcome of one network's training. diverged: the epoch, −1 for none. predictions (R, C or O) float32: of its
    test rows. params (K,): the network itself, where it is to be used further.
    """

    score: float
    epochs: int
    diverged: int
    seconds: float
    predictions: np.ndarray | None
    params: np.ndarray | None = None


FOUND = ("rung", "scores", "epochs", "diverged", "seconds", "seen", "sums", "counts")
"""The attributes that a TrialProgress finds out, and each rung anew."""


@dataclass(eq=False)
class TrialProgress:
    """The scores of a trial so far, fold by fold, its predictions, added up, and its networks, where they are kept."""

    configuration: Configuration
    n_folds: int
    status: str = "unfinished"
    rung: int = 0
    engine: str = ""
    scores: np.ndarray = field(init=False)
    epochs: np.ndarray = field(init=False)
    diverged: np.ndarray = field(init=False)
    seconds: np.ndarray = field(init=False)
    seen: np.ndarray = field(init=False)  # the folds that were scored, in this rung
    sums: np.ndarray | None = None  # (N, C or O) float32: predictions of the test rows, added up over the repeats
    counts: np.ndarray | None = None  # (N,)
    networks: dict[int, np.ndarray] = field(default_factory=dict)  # by fold, flat parameters (K,)
    before: dict[str, Any] = field(default_factory=dict)  # what the rung before has found out

    def __post_init__(self) -> None:
        n = self.n_folds
        self.scores, self.seconds = np.full(n, np.nan), np.zeros(n)
        self.epochs, self.diverged = np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
        self.seen = np.zeros(n, dtype=bool)

    def begin_rung(self, rung: int) -> None:
        if self.seen.all():
            self.before = {name: copy(getattr(self, name)) for name in FOUND}
        self.rung = rung
        self.seen[:] = False
        if self.sums is not None and self.counts is not None:
            self.sums[:], self.counts[:] = 0.0, 0

    def end_in_rung(self) -> None:
        """A sweep that ends in this rung: what was found out is of this one if it was scored, or of the one before."""
        if not self.seen.all():
            vars(self).update(self.before)
        if self.seen.all():
            self.status = "stopped"

    @property
    def score(self) -> float:
        """The mean; −inf where a network was lost, or not yet scored."""
        return float(self.scores.mean()) if self.seen.all() and np.isfinite(self.scores).all() else float("-inf")

    def accept(self, fold: int, result: Result, test: np.ndarray, n_rows: int) -> None:
        """The result of the fold's network. test: its test rows, of n_rows."""
        self.scores[fold], self.epochs[fold], self.seconds[fold] = result.score, result.epochs, result.seconds
        self.diverged[fold] = result.diverged
        self.seen[fold] = True
        if result.params is not None:
            self.networks[fold] = result.params
        if result.predictions is not None:
            self.add_predictions(test, result.predictions, n_rows)

    def add_predictions(self, test: np.ndarray, predictions: np.ndarray, n_rows: int) -> None:
        if self.sums is None or self.counts is None:
            self.sums = np.zeros((n_rows, predictions.shape[1]), dtype=np.float32)
            self.counts = np.zeros(n_rows, dtype=np.int64)
        self.sums[test] += predictions
        self.counts[test] += 1

    def out_of_fold(self) -> np.ndarray | None:
        """(N, C or O) float64: the mean prediction of each row by networks that had not seen it; NaN where none."""
        if self.sums is None or self.counts is None:
            return None
        with np.errstate(invalid="ignore"):
            return self.sums.astype(np.float64) / self.counts[:, None]

    def trial(self, total_seconds: float) -> Trial:
        status = "diverged" if self.seen.all() and np.isnan(self.scores).any() else self.status
        return Trial(
            number=self.configuration.number,
            parameters=self.configuration.parameters,
            seed=self.configuration.seed,
            status=status,
            scores=self.scores.copy(),
            epochs=self.epochs.copy(),
            diverged_epochs=self.diverged.copy(),
            time_share=float(self.seconds.sum() / total_seconds) if total_seconds > 0 else 0.0,
            engine=self.engine,
            rung=self.rung,
        )
