"""TabularClassifier and TabularRegressor: the best ensemble for a table, behind scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets

from gpubp.estimators.kinds import tabular_kind
from gpubp.estimators.labels import weights_by_class
from gpubp.estimators.spelling import spelled_classes
from gpubp.estimators.tabular_base import Tabular
from gpubp.preprocessing.target import TARGET_SCALES
from gpubp.search._sklearn import StrOptions
from gpubp.tables import Table
from gpubp.tabular.presets import USUAL, Preset

if TYPE_CHECKING:
    pass


@tabular_kind
class TabularClassifier(ClassifierMixin, Tabular):
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
        Threads that compiled kernels run on, on the CPU; None or -1 for all cores. The results do not depend on it.
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
        **Tabular._parameter_constraints,
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
class TabularRegressor(RegressorMixin, Tabular):
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
        **Tabular._parameter_constraints,
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
