"""The result of a sweep: every trial, the best one, the networks that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gpubp.errors import DivergenceError, SettingsError
from gpubp.search.results.refit import EstimatorOf, refit
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.run_folder import RunFolder
from gpubp.search.run.trial import Trial
from gpubp.search.space.space import Space

if TYPE_CHECKING:
    import polars as pl

    from gpubp.models.ensemble import Ensemble
    from gpubp.search.results.selection import Selection


@dataclass(frozen=True, eq=False)
class SweepResult:
    """trials: in the order of their numbers. metric: its name; more is better. ended_early: by Ctrl-C, the budget, or
    someone who watched; trials may be "unfinished" then, and those that halving would have gone on with "stopped".
    notes: what was done to the table's values, and which classes are missing from some folds. offer: what speaks for
    the target scale log, of a table and a space that does not name it; None where nothing does. estimator_of: what
    makes an estimator of a network trained on arrays.
    """

    trials: tuple[Trial, ...]
    space: Space
    strategy: str
    metric: str
    task: str
    seed: int
    seconds: float
    backend: str
    ended_early: bool
    interrupted: bool
    notes: tuple[str, ...]
    experiment: Experiment
    folder: RunFolder | None = None
    offer: str | None = None
    estimator_of: EstimatorOf | None = None

    @property
    def table(self) -> pl.DataFrame:
        """A row for each trial: trial, the parameters (null where it has none of that name), score_1 … score_S (null
        for a network that was lost), mean, std (sample standard deviation), epochs_trained (mean over the folds),
        diverged (networks), diverged_epoch (the first, from 1), status, time_share, engine.
        """
        import polars as pl

        columns: dict[str, Any] = {"trial": [trial.number for trial in self.trials]}
        for name in self.space.names:
            columns[name] = _column([trial.parameters.get(name) for trial in self.trials])
        scores = np.array([trial.scores for trial in self.trials])
        columns |= {f"score_{fold + 1}": _known(scores[:, fold]) for fold in range(scores.shape[1])}
        columns["mean"] = _known([trial.score for trial in self.trials])
        columns["std"] = _known([trial.std for trial in self.trials])
        columns["epochs_trained"] = [float(trial.epochs.mean()) for trial in self.trials]
        columns["diverged"] = [int((trial.diverged_epochs >= 0).sum()) for trial in self.trials]
        columns["diverged_epoch"] = [_first(trial.diverged_epochs) for trial in self.trials]
        columns["status"] = [trial.status for trial in self.trials]
        columns["time_share"] = [trial.time_share for trial in self.trials]
        columns["engine"] = [trial.engine for trial in self.trials]
        floats = {name: pl.Float64 for name in columns if name.startswith("score_") or name in ("mean", "std")}
        return pl.DataFrame(columns, schema_overrides=floats | {"diverged_epoch": pl.Int64}, strict=False)

    @property
    def ranked(self) -> list[Trial]:
        """The best first: complete ones by their mean score, then those that were stopped, the furthest first, then
        those that diverged. Unfinished ones have no place.
        """
        return sorted((t for t in self.trials if t.status != "unfinished"), key=lambda trial: trial.rank_key)

    @property
    def progress(self) -> tuple[int, int, int, int]:
        """How many networks are done, of how many; and trials."""
        folds = len(self.experiment.splits)
        networks = sum(int(record.seen.sum()) for record in self.experiment.records.values())
        of_trials = max(self.experiment.n_trials, len(self.trials))
        return networks, of_trials * folds, len(self.ranked), of_trials

    @property
    def best(self) -> Trial:
        """DivergenceError where no trial came through."""
        ranked = self.ranked
        if ranked and ranked[0].status in ("complete", "stopped"):
            return ranked[0]
        lost = sum(trial.status == "diverged" for trial in self.trials)
        if lost:
            raise DivergenceError(
                f"There is no best trial: in {lost} of {len(self.trials)} a network left the finite numbers. Try "
                "smaller learning rates, clip_norm 1, or scaled inputs (scale robust; of arrays, standard)."
            )
        raise SettingsError("There is no best trial: the sweep ended before any was done. Give it more time.")

    @property
    def keeps_predictions(self) -> bool:
        """Whether there are out-of-fold predictions, which ensembles are chosen by: they may take 1 GiB."""
        return self.experiment.keeps_predictions

    def out_of_fold(self, trial: int | Trial) -> np.ndarray:
        """(N, C) probabilities or (N, O) values: each row by the networks of this trial that had not seen it, their
        mean over the repeats; NaN for rows that are in no test fold, or whose network was lost.
        """
        return self.experiment.out_of_fold(trial.number if isinstance(trial, Trial) else trial)

    def refit(self, trial: int | Trial | None = None) -> Any:
        """A network of the best trial's (or of this trial's) configuration, trained on all rows.

        Where the sweep was given a Table or a data frame, a `gpubp.Model`; where arrays, a fitted MLPClassifier or
        MLPRegressor that takes X as it was given: the scaling is in its first layer. Its parameters are what it was
        trained with, some beyond those of its class (see `estimators.swept`), and `clone(…).fit` on the same data gives
        the same network, to the bit on this kind of backend. DivergenceError where the training left the finite
        numbers; KeyboardInterrupt where Ctrl-C ended it.
        """
        return refit(self.experiment, self._trial(trial), self.estimator_of)

    def ensemble(self, k: int = 10, candidates: int = 50) -> Ensemble:
        """The configurations whose out-of-fold predictions are best together, trained on all rows.

        Greedy selection with replacement (Caruana et al. 2004): `k` times, whichever of the best `candidates` trials
        makes the mean of the predictions score highest is added; chosen twice, it counts twice.
        """
        from gpubp.search.results.selection import ensemble

        return ensemble(self.experiment, self.select(k, candidates))

    def select(self, k: int = 10, candidates: int = 50) -> Selection:
        """Which trials the ensemble has, and how they score together: what is known without training anything."""
        from gpubp.search.results.selection import select

        _ = self.best  # or an error that says why there is none
        return select(self.experiment, self.ranked, k, candidates)

    def discard_checkpoints(self) -> None:
        """Once what you want of the result is saved: the folder says that it is finished, and keeps nothing else."""
        if self.folder is not None:
            self.folder.finish()

    def _trial(self, given: int | Trial | None) -> Trial:
        if isinstance(given, Trial):
            return given
        if given is None:
            return self.best
        for trial in self.trials:
            if trial.number == given:
                return trial
        raise SettingsError(f"There is no trial {given}: they count from 0 to {len(self.trials) - 1}.")


def _column(values: Sequence[Any]) -> list[Any]:
    """Numbers as numbers, flags as flags, and what is mixed as text; hidden layers are text: "16, 8"."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known) or all(isinstance(value, str) for value in known):
        return list(values)
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known):
        whole = all(isinstance(value, int) for value in known)
        return [value if value is None or whole else float(value) for value in values]
    return [None if value is None else _text(value) for value in values]


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _known(values: Any) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _first(epochs: np.ndarray) -> int | None:
    found = epochs[epochs >= 0]
    return int(found.min()) + 1 if len(found) else None
