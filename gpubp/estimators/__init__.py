"""scikit-learn's face: MLPClassifier and MLPRegressor stand where scikit-learn's stand."""

from gpubp.estimators.classifier import MLPClassifier
from gpubp.estimators.regressor import MLPRegressor
from gpubp.estimators.swept import SweptClassifier, SweptRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "SweptClassifier", "SweptRegressor"]
