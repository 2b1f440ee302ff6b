"""Estimators that know their answers already: what scikit-learn's scorers are handed."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from gpubp.sweeping.data import Data


class AnsweredClassifier(ClassifierMixin, BaseEstimator):
    """probabilities (R, C); `predict_proba(X)` gives them whatever X is."""

    def __init__(self, classes: np.ndarray, probabilities: np.ndarray) -> None:
        self.classes, self.probabilities = classes, probabilities
        self.classes_ = classes

    def predict(self, X: Any) -> np.ndarray:
        found: np.ndarray = self.classes_[self.probabilities.argmax(axis=1)]
        return found

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.probabilities

    def __sklearn_is_fitted__(self) -> bool:
        return True


class AnsweredRegressor(RegressorMixin, BaseEstimator):
    """values (R,) or (R, O)."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def predict(self, X: Any) -> np.ndarray:
        return self.values

    def __sklearn_is_fitted__(self) -> bool:
        return True


def answered(data: Data, predictions: np.ndarray) -> Any:
    """predictions (R, C) probabilities or (R, O) values."""
    if data.classes is not None:
        return AnsweredClassifier(data.classes, predictions)
    return AnsweredRegressor(predictions[:, 0] if data.truth.ndim == 1 else predictions)
