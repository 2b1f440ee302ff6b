"""How good predictions are: scikit-learn's measures, always finite, without its warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpubp.errors import DataError


def classification_report(y_true_index: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """True classes (N,) as indices into C labels, and probabilities (N, C) not below zero.

    accuracy: of the largest probability, the first of equals. log_loss: mean natural logarithm, each row's
    probabilities divided by their sum first (sigmoid outputs do not sum to 1; a row of zeros counts as
    uniform), clipped at float64's epsilon. macro_f1: mean over the classes that occur in the truth or in the
    predictions. confusion_matrix: C lists of C counts, a row per true class, a column per predicted class;
    `labels` names both.
    """
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss

    truth, outputs = np.asarray(y_true_index), np.asarray(probabilities, dtype=np.float64)
    classes = np.arange(len(labels))
    if outputs.shape != (len(truth), len(classes)) or truth.ndim != 1 or not len(truth) or len(classes) < 2:
        raise DataError(
            f"Found true classes of shape {truth.shape} and probabilities of shape {outputs.shape} for "
            f"{len(classes)} labels; expected (N,) and (N, {len(classes)}), N at least 1, at least 2 labels."
        )
    if not np.isin(truth, classes).all():
        raise DataError(f"Found a true class outside 0 to {len(classes) - 1}.")
    if not np.isfinite(outputs).all() or (outputs < 0).any():
        raise DataError("Found probabilities that are not finite or below zero: the network has diverged.")
    predicted = outputs.argmax(axis=1)
    outputs = np.where(outputs.any(axis=1, keepdims=True), outputs, 1.0)
    outputs = outputs / outputs.max(axis=1, keepdims=True)  # first, so that the sum cannot overflow
    normalised = outputs / outputs.sum(axis=1, keepdims=True)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "log_loss": float(log_loss(truth, normalised, labels=classes)),
        "macro_f1": float(f1_score(truth, predicted, average="macro", zero_division=0.0)),
        "confusion_matrix": confusion_matrix(truth, predicted, labels=classes).tolist(),
        "labels": list(labels),
    }


def regression_report(y: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """True and predicted values, (N,) or (N, 1), in their own units.

    r2: 1 - squared error / variance of y; where y does not vary, 1.0 for perfect predictions and 0.0 for any
    other. rmse: root of the mean squared error; mae: mean absolute error.
    """
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    truth, predicted = np.asarray(y, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if (
        truth.shape[:1] != (truth.size,)
        or predicted.shape[:1] != (predicted.size,)
        or truth.size != predicted.size
        or not truth.size
    ):
        raise DataError(f"Found {truth.shape} true and {predicted.shape} predicted values; expected (N,) twice.")
    truth, predicted = truth.ravel(), predicted.ravel()
    if not (np.isfinite(truth).all() and np.isfinite(predicted).all()):
        raise DataError("Found values that are not finite numbers: the network has diverged.")
    varies = np.ptp(truth) > 0  # where it does not, scikit-learn may warn
    return {
        "r2": float(r2_score(truth, predicted) if varies else (truth == predicted).all()),
        "rmse": float(np.sqrt(mean_squared_error(truth, predicted))),
        "mae": float(mean_absolute_error(truth, predicted)),
    }
