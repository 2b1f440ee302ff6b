"""The base of TabularClassifier and TabularRegressor: what is received, trained, kept and answered."""

from __future__ import annotations

import os
import warnings
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data

from gpubp.backends import Backend, get_backend
from gpubp.backends.numpy_backend import NumpyBackend
from gpubp.backends.placement import to_host
from gpubp.backends.turns import in_turn
from gpubp.errors import SettingsError
from gpubp.estimators.inputs import receive_weights
from gpubp.preprocessing.missing import refuse_missing
from gpubp.search._sklearn import Interval, StrOptions, fit_context
from gpubp.tables import Table
from gpubp.tables.frames import is_frame
from gpubp.tabular.fit import TabularFit, train_tabular
from gpubp.tabular.presets import PRESETS, Preset

if TYPE_CHECKING:
    import polars as pl

HELD_OUT_NETWORKS = 3
"""Of each configuration, where validation rows are given: without folds, they differ in their seeds alone."""


class Tabular(BaseEstimator):
    """The base of both. Subclasses make a column of y, and numbers or labels of the ensemble's answers."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "preset": [StrOptions({*PRESETS}), Preset],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "metric": [str, callable, None],
        "categorical": [str, int, "array-like"],
        "ignore": [str, int, "array-like"],
        "cv": ["cv_object"],
        "backend": [StrOptions({"auto", "numpy", "cupy"})],
        "engine": [str],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "folder": [str, Path, None],
        "verbose": ["verbose"],
    }
    _task: ClassVar[str]

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Any:
        """Train the preset's networks on X and y, and choose those that answer best together.

        Parameters
        ----------
        X : data frame or array-like of shape (n_samples, n_features)
            A pandas, polars or Arrow frame, or an array; numbers, texts, booleans, dates, missing values.
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts, in the loss and in the scores that the ensemble is chosen by. Rows of weight 0
            are left out.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group are never on both sides of a fold.
        X_val, y_val : as X and y, default=None
            Rows to choose the ensemble by, instead of folds: all networks train on X.

        Returns
        -------
        self : object
        """
        with in_turn():
            features, y = self._received(X, y)
            weights = self._weights(y, receive_weights(sample_weight, len(y)))
        groups = None if groups is None else column_or_1d(to_host(groups))
        check_consistent_length(y, groups)
        if (X_val is None) != (y_val is None):
            raise SettingsError("X_val and y_val go together: give both, or none.")
        cv = self.cv
        if weights is not None and not (weights > 0).all():
            kept = np.flatnonzero(weights > 0)
            features, y, weights = features.take(kept), y[kept], weights[kept]
            groups = None if groups is None else groups[kept]
            cv = _among(cv, kept)
        if X_val is not None:
            features, y, weights, cv = self._with_validation(features, y, weights, X_val, y_val)
            groups = None
        target = self._target(y)
        found = train_tabular(
            features.frame,
            target,
            self.preset,
            time_limit=self.time_limit,
            metric=self.metric,
            task=self._task,
            categorical=self.categorical,
            ignore=self.ignore,
            weights=weights,
            groups=groups,
            cv=cv,
            fixed=self._fixed(),
            backend=self._backend(),
            engine=self.engine,
            seed=self._seed(),
            folder=self.folder,
            resume=self.folder is not None,
            progress=bool(self.verbose),
            note=print if self.verbose else None,
        )
        if found.interrupted and self.folder is not None:
            raise KeyboardInterrupt  # what is done lies in the folder
        if found.interrupted or (found.ended_early and self.time_limit is None):
            why = (
                "Ctrl-C" if found.interrupted else f"The preset's time limit (time_limit={found.limit:g} sets another)"
            )
            warnings.warn(
                f"{why} ended the training after {found.n_trials} configurations: the ensemble is of these.",
                stacklevel=2,
            )
        self._keep(found, X_val is not None)
        found.discard_checkpoints()
        if self.verbose:
            print(self._summary())
        return self

    def _received(self, X: Any, y: Any) -> tuple[Table, np.ndarray]:
        """The features as a table, and y (N,), as they came."""
        if y is None:
            raise ValueError(f"This {type(self).__name__} requires y to be passed, but the target y is None.")
        features = self._features(X, reset=True)
        y = to_host(y)
        values = y if hasattr(y, "shape") else np.asarray(y)
        with_objects = np.asarray(values)
        if with_objects.dtype.kind == "O":
            refuse_missing(with_objects)
        values = check_array(
            with_objects, ensure_2d=False, dtype=None, ensure_min_samples=1, input_name="y", estimator=self
        )
        values = column_or_1d(values, warn=True)
        if features.rows != len(values):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: [{features.rows}, {len(values)}]"
            )
        if features.rows < 2:
            raise ValueError("Found array with 1 sample(s), while a minimum of 2 is required by a cross-validation.")
        return features, values

    def _features(self, X: Any, reset: bool) -> Table:
        """A table of X, whose names and number of columns are those of the training."""
        X = to_host(X)
        if is_frame(X) and not hasattr(X, "toarray"):
            validate_data(self, X, reset=reset, skip_check_array=True)
            table = Table.from_frame(X, source="X")
            if not table.rows:
                raise ValueError("Found array with 0 sample(s): a minimum of 1 is required.")
            return table
        array = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan", accept_sparse=False)
        if array.dtype.kind == "c":
            raise ValueError("Complex data not supported")
        return Table.from_arrays(array, names=[f"x{i}" for i in range(array.shape[1])], source="X")

    def _with_validation(
        self, features: Table, y: np.ndarray, weights: np.ndarray | None, X_val: Any, y_val: Any
    ) -> tuple[Table, np.ndarray, np.ndarray | None, Any]:
        """Training and validation rows in one table, and which are which."""
        more = self._features(X_val, reset=False)
        values = column_or_1d(to_host(y_val))
        if more.rows != len(values):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: [{more.rows}, {len(values)}]"
            )
        import polars as pl

        if more.frame.schema != features.frame.schema:
            odd = [name for name, kind in features.frame.schema.items() if more.frame.schema.get(name) != kind]
            raise ValueError(f"X_val has other columns than X, or of another type: {', '.join(map(repr, odd[:5]))}.")
        n, m = features.rows, more.rows
        training, validation = np.arange(n), np.arange(n, n + m)
        together = Table.from_frame(pl.concat([features.frame, more.frame.select(features.names)]), source="X")
        both = None if weights is None else np.concatenate([weights, np.full(m, weights.mean())])
        return together, np.concatenate([y, values]), both, [(training, validation)] * HELD_OUT_NETWORKS

    def _weights(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        return weights

    def _target(self, y: np.ndarray) -> Any:
        """y as a column for a table."""
        raise NotImplementedError

    def _fixed(self) -> dict[str, Any]:
        """Parameters that all configurations have in common."""
        return {}

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    def _backend(self) -> Backend:
        found = get_backend(None if self.backend == "auto" else self.backend)
        if found.on_host and self.n_jobs is not None and self.n_jobs != -1:
            cores = os.cpu_count() or 1
            threads = self.n_jobs if self.n_jobs > 0 else max(1, cores + 1 + self.n_jobs)
            return NumpyBackend(found.reason, threads=threads)
        return found

    def _keep(self, found: TabularFit, held_out: bool) -> None:
        self.ensemble_ = found.ensemble
        self.oof_score_, self.baseline_score_ = found.score, found.baseline
        self.oof_spread_ = found.spread
        self.oof_metrics_ = {name: value for name, value in found.report.items() if isinstance(value, float)}
        self.metric_, self.notes_ = found.metric, found.notes
        self.n_networks_, self.fit_seconds_, self.ended_early_ = found.n_networks, found.seconds, found.ended_early
        predictions = self._in_order(found.predictions)
        if held_out:
            predictions = predictions[~np.isnan(predictions).any(axis=1)]
        self.oof_prediction_ = predictions if self._task == "classification" else predictions[:, 0]
        self._standings = [
            {
                "trial": each.trial,
                "network": each.words,
                "score": each.score,
                "spread": each.spread,
                "share": each.share,
                "seconds": each.seconds,
            }
            for each in found.leaderboard
        ]

    @property
    def leaderboard_(self) -> pl.DataFrame:
        """A row for each configuration, the best first: trial, network, score (of its folds, by the metric), spread
        over the folds, share of the ensemble's answer, and seconds of training.
        """
        import polars as pl

        check_is_fitted(self)
        return pl.DataFrame(self._standings)

    def _summary(self) -> str:
        spread = "" if np.isnan(self.oof_spread_) else f" ± {self.oof_spread_:.4g}"
        measures = ", ".join(f"{name} {value:.4g}" for name, value in self.oof_metrics_.items())
        return (
            f"Out of fold: {self.metric_} {self.oof_score_:.4g}{spread} (without looking at the inputs: "
            f"{self.baseline_score_:.4g}); {measures}; {self.n_networks_} networks in {self.fit_seconds_:.1f} s."
        )

    def _in_order(self, outputs: np.ndarray) -> np.ndarray:
        """(N, C) in the order of classes_."""
        return outputs

    def _table(self, X: Any) -> Table:
        check_is_fitted(self)
        with in_turn():
            return self._features(X, reset=False)

    def disagreement(self, X: Any) -> np.ndarray:
        """(n_samples,) how far apart the networks are on each row: the standard deviation of their predictions, of the
        predicted class's probability, or of the value (see `gpubp.Ensemble`).
        """
        table = self._table(X)
        return self.ensemble_.disagreement(table, self._backend())

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator as an ensemble's file (see `gpubp.Ensemble.save`), which `gpubp predict` and
        `gpubp show` read as well: whole, or not at all. (Not in it: oof_prediction_.)
        """
        from gpubp.estimators.tabular_files import save

        check_is_fitted(self)
        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Any:
        """The estimator that `save` wrote; ModelFileError for anything else. Nothing in the file is executed."""
        from gpubp.estimators.tabular_files import load

        return load(path, cls)

    def to_onnx(self) -> Any:
        """The ensemble with its preprocessing as an onnx.ModelProto (see `gpubp.Ensemble.to_onnx`)."""
        check_is_fitted(self)
        return self.ensemble_.to_onnx()

    def __sklearn_is_fitted__(self) -> bool:
        return "ensemble_" in vars(self)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


def _among(cv: Any, kept: np.ndarray) -> Any:
    """Folds that name rows, by the places of these among the rows that are kept; other ways to divide stay."""
    if cv is None or isinstance(cv, Integral) or hasattr(cv, "split"):
        return cv
    return [tuple(np.flatnonzero(np.isin(kept, part)) for part in pair) for pair in cv]
