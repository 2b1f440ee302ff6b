"""Scores of predictions without any learning: the bar that a network has to clear."""

from __future__ import annotations

import numpy as np


def zero_rule(training_classes: np.ndarray) -> int:
    """The most common of the class numbers (N,); of several equally common ones, the smallest."""
    return int(np.bincount(training_classes).argmax())


def zero_rule_accuracy(training_classes: np.ndarray, test_classes: np.ndarray) -> float:
    """The share of the test rows that are of the training rows' most common class."""
    return float(np.mean(test_classes == zero_rule(training_classes)))
