"""Early stopping, network by network: who has stopped getting better, and the weights of everyone's best epoch."""

from __future__ import annotations

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.errors import SettingsError
from gpubp.networks.settings import EarlyStopping


class EarlyStopper:
    """Looks at the metrics after each epoch. Decisions are made on the host, weights are kept on the device."""

    def __init__(self, rule: EarlyStopping | None, n_networks: int, has_validation: bool) -> None:
        if rule is not None and rule.monitor.startswith("validation") and not has_validation:
            raise SettingsError(
                f"Early stopping on {rule.monitor} needs validation rows: give some, or monitor training_loss."
            )
        self.rule = rule
        self.best = np.full(n_networks, -np.inf)  # of the metric, turned so that more is better
        self.waited = np.zeros(n_networks, dtype=np.int64)  # epochs without a real improvement
        self.best_epoch = np.full(n_networks, -1, dtype=np.int64)
        self.best_params: Array | None = None  # (P, K) of the networks still training

    def restore(self, best: np.ndarray, waited: np.ndarray, best_epoch: np.ndarray, best_params: Array | None) -> None:
        """As it was when a training paused: (P,) each, and best_params of the networks still training."""
        self.best, self.waited, self.best_epoch = best.copy(), waited.copy(), best_epoch.copy()
        self.best_params = best_params

    @property
    def active(self) -> bool:
        return self.rule is not None

    @property
    def keeps_best(self) -> bool:
        return self.best_params is not None

    def sure_epochs(self, networks: np.ndarray) -> int:
        """For how many epochs from here on nothing has to be done before their end: no network (but one that is lost)
        stops before the last of them, and no weights have to be kept.
        """
        if self.rule is None:
            return 2**31
        if self.rule.restore_best:
            return 1
        if self.rule.patience is None:
            return 2**31
        return max(1, self.rule.patience + 1 - int(self.waited[networks].max(initial=0)))

    def look(
        self, epoch: int, networks: np.ndarray, metrics: np.ndarray, params: Array, backend: Backend
    ) -> np.ndarray:
        """Which of the networks (places in the population) stop now, as a mask.

        metrics (3, networks): see EpochReport. A network whose metric is not a number stops at once: no later epoch
        can bring it back.
        """
        rule = self.rule
        assert rule is not None
        row = {"training_loss": 0, "validation_loss": 1, "validation_score": 2}[rule.monitor]
        goodness = metrics[row] if rule.monitor == "validation_score" else -metrics[row]
        lost = ~np.isfinite(goodness) | ~np.isfinite(metrics[0])
        better = np.greater if rule.ties == "first" else np.greater_equal
        improved = ~lost & better(goodness, self.best[networks])
        waits = lost | (goodness < self.best[networks] + rule.tolerance)
        self.waited[networks] = np.where(waits, self.waited[networks] + 1, 0)
        self.best[networks] = np.where(improved, goodness, self.best[networks])
        self.best_epoch[networks] = np.where(improved, epoch, self.best_epoch[networks])
        if rule.restore_best:
            self._keep(improved, params, backend)
        return lost if rule.patience is None else lost | (self.waited[networks] > rule.patience)

    def _keep(self, improved: np.ndarray, params: Array, backend: Backend) -> None:
        if self.best_params is None:
            self.best_params = params.copy()
        elif improved.all():
            backend.xp.copyto(self.best_params, params)
        elif improved.any():
            backend.xp.copyto(self.best_params, params, where=backend.to_device(improved)[:, None])

    def go_on(self, networks: np.ndarray) -> None:
        """Give these networks (places in the population) their whole patience again."""
        self.waited[networks] = 0

    def kept(self, params: Array) -> Array:
        """(P, K): the best weights where they are kept, else those at hand."""
        return params if self.best_params is None else self.best_params

    def compact(self, keep: Array) -> None:
        """Go on with the networks at the places `keep` (a device array of int64) alone."""
        if self.best_params is not None:
            self.best_params = self.best_params[keep]
