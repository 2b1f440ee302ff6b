"""verbose: what scikit-learn prints about a fit, on standard output."""

from __future__ import annotations

from typing import Any

from gpubp.estimators.plateau import Plateau
from gpubp.training.history import EpochReport


class VerbosePrinter:
    """A callback of `train` that prints each epoch's loss, the validation score if there is one, and why it ended."""

    def __init__(self, mlp: Any, loss_outputs: int, plateau: Plateau | None) -> None:
        """plateau: the rule that will end the training, to be followed here too; None where none does.

        Of several networks, the means over those still training are printed, and not why each ends.
        """
        self.loss_outputs, self.plateau = loss_outputs, None if mlp.n_members > 1 else plateau
        self.scored = bool(mlp.early_stopping)
        what = "Validation score" if self.scored else "Training loss"
        self.reason = f"{what} did not improve more than tol={mlp.tol:f} for {mlp.n_iter_no_change} consecutive epochs."

    def __call__(self, report: EpochReport) -> None:
        metrics = report.metrics()
        loss = float(metrics["training_loss"].mean()) / self.loss_outputs
        print(f"Iteration {report.epoch + 1}, loss = {loss:.8f}")
        goodness = -loss * self.loss_outputs
        if self.scored:
            goodness = float(metrics["validation_score"].mean())
            print(f"Validation score: {goodness:f}")
        if self.plateau is None:
            return
        verdict = self.plateau.look(goodness)
        if verdict == "end":
            small = "" if self.plateau.rate is None else "Learning rate too small. "
            print(f"{self.reason} {small}Stopping.")
        elif verdict == "lower the rate":
            print(f"{self.reason} Setting learning rate to {self.plateau.rate:f}")
