"""TabularClassifier and TabularRegressor: the best ensemble for a table, behind scikit-learn's interface."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data

from gpubp.backends import Backend, get_backend
from gpubp.backends.numpy_backend import NumpyBackend
from gpubp.backends.placement import to_host
from gpubp.backends.turns import in_turn
from gpubp.errors import SettingsError
from gpubp.estimators.inputs import receive_weights
from gpubp.estimators.kinds import tabular_kind
from gpubp.estimators.labels import weights_by_class
from gpubp.estimators.spelling import spelled_classes
from gpubp.preprocessing.missing import refuse_missing
from gpubp.preprocessing.target import TARGET_SCALES
from gpubp.search._sklearn import Interval, StrOptions, fit_context
from gpubp.tables import Table
from gpubp.tables.frames import is_frame
from gpubp.tabular.fit import TabularFit, train_tabular
from gpubp.tabular.presets import PRESETS, USUAL, Preset

if TYPE_CHECKING:
    import polars as pl

HELD_OUT_NETWORKS = 3
"""Of each configuration, where validation rows are given: without folds, they differ in their seeds alone."""


class _Tabular(BaseEstimator):
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


@tabular_kind
class TabularClassifier(ClassifierMixin, _Tabular):
    """The best ensemble of networks for a table with classes, without scaling, encoding or tuning.

    A portfolio of configurations, chosen once for all tables, is trained on the folds of a cross-validation, as
    populations; those of its networks that answer best together, by rows that they had not seen, become the ensemble,
    and its probabilities get the temperature that suits these rows.

    Parameters
    ----------
    preset : {"fast", "good", "best"}, default="good"
        fast: three quick configurations. good: a portfolio of twelve. best: twenty-four, and a search that goes on from
        there, until it finds nothing better or the time is over.
    time_limit : float, default=None
        Seconds after which nothing new is begun; None for 60 (fast), 240 (good) or 300 (best), which tables of some
        thousand rows do not use up. What a time limit cuts short depends on the machine.
    metric : str or callable, default=None
        What the ensemble is chosen by: a scorer of scikit-learn's, or None for the log-loss ("neg_log_loss").
    class_weight : dict, "balanced" or None, default=None
        What the rows of each class count, times sample_weight.
    categorical : str, int or sequence of these, default=()
        Columns of numbers that are codes of categories, by name, position (from 1) or wildcard.
    ignore : str, int or sequence of these, default=()
        Columns to leave out.
    cv : int, splitter or iterable, default=None
        Folds; None for five (fast) or eight, or fewer for very small and for large tables.
    backend : str, default="auto"
        numpy, cupy, or auto.
    engine : str, default="auto"
    n_jobs : int, default=None
        Threads on the CPU; None or -1 for all cores. The results do not depend on it.
    random_state : int, RandomState or None, default=None
    folder : str or Path, default=None
        Where what is done is kept: a fit that was killed goes on from there, when the same one is begun again.
    verbose : int, default=0
        1: says how the table was read, shows the progress, and prints the out-of-fold score.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    ensemble_ : gpubp.Ensemble
    oof_prediction_ : ndarray of shape (n_samples, n_classes)
        The ensemble's probabilities for the training rows, each by networks that had not seen the row; of the
        validation rows, where X_val is given.
    oof_score_, oof_spread_, baseline_score_ : float
        The metric of these (more is better), its standard deviation over the folds, and that of answers that look at
        no input. The ensemble was chosen by the same rows, among few, so it is a little too good at the most.
    oof_metrics_ : dict of str to float
        Other measures of oof_prediction_.
    leaderboard_ : polars.DataFrame
    n_networks_ : int
        Trained in all.
    fit_seconds_ : float
    ended_early_ : bool
        Whether the time limit left something out.
    notes_ : tuple of str
        How the table was read.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gpubp import TabularClassifier
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = TabularClassifier(preset="fast", random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_Tabular._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }
    _task = "classification"

    def __init__(
        self,
        preset: str | Preset = USUAL,
        *,
        time_limit: float | None = None,
        metric: Any = None,
        class_weight: Any = None,
        categorical: str | int | Sequence[str | int] = (),
        ignore: str | int | Sequence[str | int] = (),
        cv: Any = None,
        backend: str = "auto",
        engine: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        folder: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        self.preset = preset
        self.time_limit = time_limit
        self.metric = metric
        self.class_weight = class_weight
        self.categorical = categorical
        self.ignore = ignore
        self.cv = cv
        self.backend = backend
        self.engine = engine
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.folder = folder
        self.verbose = verbose

    def predict(self, X: Any) -> np.ndarray:
        """(n_samples,) the most probable class of each row."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n_samples, n_classes) in the order of classes_, rows summing to 1."""
        table = self._table(X)
        return self._in_order(self.ensemble_.predict_proba(table, self._backend()))

    def _weights(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        return weights_by_class(self, y, weights, incremental=False)

    def _target(self, y: np.ndarray) -> Any:
        check_classification_targets(y)
        self.classes_, index = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in the data, but the data contains only "
                f"one class: {self.classes_[0]!r}"
            )
        texts = spelled_classes(self.classes_)
        return np.array(texts, dtype=object)[index]

    def _in_order(self, outputs: np.ndarray) -> np.ndarray:
        assert self.ensemble_.target is not None
        labels = {label: place for place, label in enumerate(self.ensemble_.target.labels)}
        return outputs[:, [labels[text] for text in spelled_classes(self.classes_)]]

    def _received(self, X: Any, y: Any) -> tuple[Table, np.ndarray]:
        features, values = super()._received(X, y)
        check_classification_targets(values)
        return features, values


@tabular_kind
class TabularRegressor(RegressorMixin, _Tabular):
    """The best ensemble of networks for a table with numbers to predict, without scaling, encoding or tuning.

    As TabularClassifier, but for what is said here: the ensemble is chosen by the squared error
    ("neg_mean_squared_error") where `metric` is None; there is no class_weight, and no temperature. Predictions stay
    within the range of the training values, widened by a tenth.

    Parameters
    ----------
    preset : {"fast", "good", "best"}, default="good"
    time_limit : float, default=None
    metric : str or callable, default=None
    target_scale : {"standard", "log"}, default="standard"
        log: the logarithm of the values is learned, which have to be above 0.
    categorical : str, int or sequence of these, default=()
    ignore : str, int or sequence of these, default=()
    cv : int, splitter or iterable, default=None
    backend : str, default="auto"
    engine : str, default="auto"
    n_jobs : int, default=None
    random_state : int, RandomState or None, default=None
    folder : str or Path, default=None
    verbose : int, default=0

    Attributes
    ----------
    ensemble_ : gpubp.Ensemble
    oof_prediction_ : ndarray of shape (n_samples,)
    oof_score_, oof_spread_, baseline_score_ : float
    oof_metrics_ : dict of str to float
    leaderboard_ : polars.DataFrame
    n_networks_ : int
    fit_seconds_ : float
    ended_early_ : bool
    notes_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from gpubp import TabularRegressor
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = TabularRegressor(preset="fast", random_state=0).fit(X, y)
    >>> model.oof_metrics_["r2"] > 0.4
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_Tabular._parameter_constraints,
        "target_scale": [StrOptions({*TARGET_SCALES})],
    }
    _task = "regression"

    def __init__(
        self,
        preset: str | Preset = USUAL,
        *,
        time_limit: float | None = None,
        metric: Any = None,
        target_scale: str = "standard",
        categorical: str | int | Sequence[str | int] = (),
        ignore: str | int | Sequence[str | int] = (),
        cv: Any = None,
        backend: str = "auto",
        engine: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        folder: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        self.preset = preset
        self.time_limit = time_limit
        self.metric = metric
        self.target_scale = target_scale
        self.categorical = categorical
        self.ignore = ignore
        self.cv = cv
        self.backend = backend
        self.engine = engine
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.folder = folder
        self.verbose = verbose

    def predict(self, X: Any) -> np.ndarray:
        """(n_samples,) the predicted values."""
        table = self._table(X)
        return self.ensemble_.predict(table, self._backend())

    def _fixed(self) -> dict[str, Any]:
        return {"target_scale": self.target_scale}

    def _target(self, y: np.ndarray) -> Any:
        try:
            return y.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"y holds {y.dtype}, and regression needs numbers: use TabularClassifier.") from None


def _among(cv: Any, kept: np.ndarray) -> Any:
    """Folds that name rows, by the places of these among the rows that are kept; other ways to divide stay."""
    if cv is None or isinstance(cv, Integral) or hasattr(cv, "split"):
        return cv
    return [tuple(np.flatnonzero(np.isin(kept, part)) for part in pair) for pair in cv]
