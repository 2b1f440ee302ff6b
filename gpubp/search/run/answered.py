"""The arguments of a sweep's metrics: an estimator of a network's answers, and the rows that they are for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from gpubp.errors import SettingsError
from gpubp.fitting.array_data import same_rows
from gpubp.fitting.fold_data import Data, Respond


class Answered(BaseEstimator):
    """Predictions (R, C or O) that are known for R rows; for any others, the network is asked.

    known: called for the rows as they are, whatever a metric has made of its own copy; None where any X are those rows.
    respond: None where there is no network to ask, such as for a mean of several.
    """

    def __init__(self, predictions: np.ndarray, known: Callable[[], Any] | None, respond: Respond | None) -> None:
        self.predictions, self.known, self.respond = predictions, known, respond

    def fit(self, *_: Any, **__: Any) -> Any:
        """Refused; there only because scikit-learn's inspections look for it."""
        raise SettingsError("it asks the network to be trained again: sweep(…).refit() gives one that can be.")

    def _predictions(self, X: Any) -> np.ndarray:
        if self.known is None or same_rows(X, self.known()):
            return self.predictions.copy()  # a metric may write into what it is given
        if self.respond is None:
            raise SettingsError(
                "it asks for predictions for other rows than those that it is given, and these predictions (a "
                "baseline's, or a mean of several networks') have no network to ask."
            )
        return self.respond(X)

    def __getattr__(self, name: str) -> Any:
        """For what is not there."""
        raise AttributeError(
            f"a sweep's metric is given an estimator that has predict, score, predict_proba and classes_ (of a "
            f"classifier) and n_features_in_, and no {name}: sweep(…).refit() gives one with the network in it."
        )

    def __sklearn_is_fitted__(self) -> bool:
        return True


class AnsweredClassifier(ClassifierMixin, Answered):
    """predictions (R, C): the probabilities of the classes (C,)."""

    def __init__(
        self,
        classes: np.ndarray,
        predictions: np.ndarray,
        known: Callable[[], Any] | None = None,
        respond: Respond | None = None,
    ) -> None:
        super().__init__(predictions, known, respond)
        self.classes = self.classes_ = classes

    def predict(self, X: Any) -> np.ndarray:
        found: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return found

    def predict_proba(self, X: Any) -> np.ndarray:
        return self._predictions(X)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(self._predictions(X))


class AnsweredRegressor(RegressorMixin, Answered):
    """predictions (R, O); single: whether y was (N,), and predictions are (R,)."""

    def __init__(
        self,
        predictions: np.ndarray,
        single: bool,
        known: Callable[[], Any] | None = None,
        respond: Respond | None = None,
    ) -> None:
        super().__init__(predictions, known, respond)
        self.single = single

    def predict(self, X: Any) -> np.ndarray:
        found = self._predictions(X)
        return found[:, 0] if self.single else found


def answered(
    data: Data, predictions: np.ndarray, known: Callable[[], Any] | None = None, respond: Respond | None = None
) -> Any:
    """predictions (R, C) probabilities or (R, O) values; known, respond: see `Answered`."""
    found: Any
    if data.classes is not None:
        found = AnsweredClassifier(data.classes, predictions, known, respond)
    else:
        found = AnsweredRegressor(predictions, data.truth.ndim == 1, known, respond)
    names = data.feature_names
    found.n_features_in_ = data.n_features
    if names is not None:
        found.feature_names_in_ = np.asarray(names, dtype=object)
    return found
