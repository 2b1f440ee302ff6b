"""scikit-learn's rule for a training that no longer gets better, told epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass

ADAPTIVE_FACTOR, ADAPTIVE_LEAST = 0.2, 1e-6  # of the learning rate of "adaptive": what it is lowered by, and until


@dataclass
class Plateau:
    """The best is any improvement; the patience is renewed only by one larger than the tolerance.

    rate: the learning rate of "adaptive", which is lowered where a training would end, until it is small enough; None
    for the other schedules.
    """

    tolerance: float
    patience: float
    rate: float | None = None
    best: float = float("-inf")
    waited: int = 0

    def look(self, goodness: float) -> str | None:
        """After an epoch whose score, or whose loss turned negative, is `goodness`: None, "lower the rate" or "end"."""
        self.waited = self.waited + 1 if goodness < self.best + self.tolerance else 0
        self.best = max(self.best, goodness)
        if self.waited <= self.patience:
            return None
        if self.rate is None or self.rate <= ADAPTIVE_LEAST:
            return "end"
        self.rate *= ADAPTIVE_FACTOR
        self.waited = 0
        return "lower the rate"
