"""How good predictions are: scikit-learn's measures, always finite, without its warnings and its import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpubp.errors import DataError

MOST_IN_A_MATRIX = 1000
"""Classes; a confusion matrix of more is almost only zeros, and is given as the pairs that occur."""

BLOCK = 1 << 22  # probabilities that are looked at together


def classification_report(y_true_index: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """True classes (N,) as indices into C labels, and probabilities (N, C) not below zero.

    accuracy: of the largest probability, the first of equals. log_loss: mean natural logarithm, each row's
    probabilities divided by their sum first (sigmoid outputs do not sum to 1; a row of zeros counts as
    uniform), clipped at float64's epsilon. macro_f1: mean over the classes that occur in the truth or in the
    predictions. confusion_matrix: C lists of C counts, a row per true class, a column per predicted class;
    `labels` names both. Of more than 1,000 classes it is None, and confusions has [true class, predicted class, rows]
    for each pair that occurs, as indices into the labels.
    """
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
    few = len(classes) <= MOST_IN_A_MATRIX
    return {
        "accuracy": float((truth == predicted).mean()),
        "log_loss": _log_loss(truth, outputs),
        "macro_f1": _macro_f1(truth, predicted, len(classes)),
        "confusion_matrix": _confusion_matrix(truth, predicted, len(classes)).tolist() if few else None,
        **({} if few else {"confusions": _confusions(truth, predicted, len(classes))}),
        "labels": list(labels),
    }


def regression_report(y: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """True and predicted values, (N,) or (N, 1), in their own units.

    r2: 1 - squared error / variance of y; where y does not vary, 1.0 for perfect predictions and 0.0 for any
    other. rmse: root of the mean squared error; mae: mean absolute error.
    """
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
    errors = truth - predicted
    squares = errors**2
    return {
        "r2": _r2(truth, predicted, squares),
        "rmse": float(np.sqrt(squares.mean())),
        "mae": float(np.abs(errors).mean()),
    }


def _r2(truth: np.ndarray, predicted: np.ndarray, squares: np.ndarray) -> float:
    if np.ptp(truth) == 0:  # its mean may be rounded, and the variance not quite 0
        return float((truth == predicted).all())
    error, variance = float(squares.sum()), float(((truth - truth.mean()) ** 2).sum())
    if variance == 0:  # of numbers too small to be squared
        return float(error == 0)
    return 1.0 - error / variance


def _log_loss(truth: np.ndarray, outputs: np.ndarray) -> float:
    rows = max(1, BLOCK // outputs.shape[1])
    parts = range(0, len(truth), rows)
    of_truth = np.concatenate([_of_truth(truth[i : i + rows], outputs[i : i + rows]) for i in parts])
    least = np.finfo(np.float64).eps
    return float(-np.log(np.clip(of_truth, least, 1 - least)).mean())


def _of_truth(truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """(N,) the share of the true class in each row's sum."""
    outputs = np.where(outputs.any(axis=1, keepdims=True), outputs, 1.0)
    outputs = outputs / outputs.max(axis=1, keepdims=True)  # first, so that the sum cannot overflow
    found: np.ndarray = outputs[np.arange(len(truth)), truth] / outputs.sum(axis=1)
    return found


def _macro_f1(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> float:
    """Twice the right ones by the true and the predicted ones of each class, 0 where none is right."""
    right = np.bincount(truth[truth == predicted], minlength=n_classes)
    found = np.bincount(truth, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)
    return float((2.0 * right[found > 0] / found[found > 0]).mean())


def _confusion_matrix(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    counts = np.bincount(truth * n_classes + predicted, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def _confusions(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> list[list[int]]:
    pairs, counts = np.unique(truth * n_classes + predicted, return_counts=True)
    return np.column_stack([pairs // n_classes, pairs % n_classes, counts]).tolist()
