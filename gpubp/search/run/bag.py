"""What is different where the networks of a search's folds are to answer together, as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Bag:
    """Bagging (Breiman 1996), by folds instead of draws: each trial keeps the networks of its folds.

    All of them read inputs, and put out numbers, that are scaled by the same rows, so that one preprocessing is enough
    for all. What they say of rows that they were not trained on knows no more of these than where medians, quartiles
    and the target's mean lie.

    scaled_by (R,): these rows. weights (N,): of all rows, in the loss and in the scores; None where all count alike.
    """

    scaled_by: np.ndarray
    weights: np.ndarray | None = None
