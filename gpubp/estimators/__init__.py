"""Floor 5: scikit-learn's face. MLPClassifier and MLPRegressor stand where scikit-learn's stand."""

from gpubp.estimators.classifier import MLPClassifier
from gpubp.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
