"""Scores of many networks at once, by scikit-learn's names; more is better in all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpubp.errors import SettingsError
from gpubp.errors.suggestions import did_you_mean
from gpubp.fitting.fold_data import Data, Respond
from gpubp.fitting.job import Sheet
from gpubp.preprocessing.target import exponentials, within

Scorer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(predictions (P, R, C or O), truth (P, R) classes or (P, R, O) values, mask (P, R) of the rows that count, or how
much each does) → (P,)."""

DEFAULT = {"classification": "accuracy", "regression": "r2"}
AT_ONCE = 1 << 26  # predicted numbers that are scored together: many classes on many rows take gigabytes
LOSS = {"classification": "neg_log_loss", "regression": "neg_mean_squared_error"}


class Metric:
    """A metric by name: one of `QUICK`, which score all networks of a cohort at once; "loss"; any other scorer of
    scikit-learn's; or a callable (estimator, X, y), as scikit-learn's searches take one.

    A callable is given the features of the test rows as they came, and an estimator with predict, and predict_proba of
    a classifier, for these rows or any others.
    """

    def __init__(self, metric: Any, data: Data, weights: np.ndarray | None = None) -> None:
        """weights (N,): how much each row counts; not for a callable, which is given none."""
        self.weights = weights
        given = DEFAULT[data.task] if metric is None else LOSS[data.task] if metric == "loss" else metric
        self.name = given if isinstance(given, str) else _name_of(given)
        self.looks_at_rows = not isinstance(given, str) and not _is_scikit_learns(given)
        self.data = data
        self.quick: Scorer | None = None
        self.scorer: Callable[..., Any] | None = None
        if isinstance(given, str):
            quick_task, self.quick = QUICK.get(given, (data.task, None))
            if quick_task != data.task:
                raise SettingsError(f"The metric {given} is for {quick_task}, and this is {data.task}.")
            if self.quick is None:
                self.scorer = _named(given)
        elif callable(given):
            self.scorer = given
        else:
            raise SettingsError(f"metric {metric!r:.60}: give a scorer's name, a callable, or None.")

    def __call__(
        self, predictions: np.ndarray, tests: list[np.ndarray], respond: Sequence[Respond] | None = None
    ) -> np.ndarray:
        """(P,) float64 for decoded predictions (P, R, C or O) of each network's test rows; NaN for lost networks.

        respond: what each network is asked for other rows by; None where there is none to ask.
        """
        scores = np.full(len(tests), np.nan)
        good = np.array([bool(np.isfinite(predictions[p, : len(test)]).all()) for p, test in enumerate(tests)])
        if not good.any():
            return scores
        chosen = np.flatnonzero(good)
        if self.quick is not None:
            truth, mask = self._truth([tests[p] for p in chosen], predictions.shape[1])
            scores[chosen] = self.quick(predictions[chosen], truth, mask)
            return scores
        for p in chosen.tolist():
            own = None if respond is None else respond[p]
            scores[p] = self._by_scorer(predictions[p, : len(tests[p])], tests[p], own)
        return scores

    def narrowed(self, predictions: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(R, W) of predictions (N, C or O): what the metric looks at of these rows. Means of it are that of means."""
        if self.quick is _log_loss and self.data.index is not None:  # the probability of the true class alone
            return predictions[rows, self.data.index[rows]][:, None]
        return predictions[rows]

    def of_narrowed(self, narrowed: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(P,) scores of P candidates, for what `narrowed` gives of each: (P, R, W)."""
        if self.quick is not _log_loss:
            return self(narrowed, [rows] * len(narrowed))
        mask = np.ones((1, len(rows))) if self.weights is None else self.weights[None, rows]
        first = np.zeros((len(narrowed), len(rows)), dtype=np.int64)
        return _log_loss(narrowed, first, np.broadcast_to(mask, first.shape))

    def _truth(self, tests: list[np.ndarray], n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        known = self.data.index if self.data.index is not None else self.data.truth.reshape(self.data.n_rows, -1)
        rows = np.zeros((len(tests), n_rows), dtype=np.int64)
        mask = np.zeros((len(tests), n_rows), dtype=bool if self.weights is None else np.float64)
        for p, test in enumerate(tests):
            rows[p, : len(test)], mask[p, : len(test)] = test, True if self.weights is None else self.weights[test]
        return known[rows], mask

    def _by_scorer(self, predictions: np.ndarray, test: np.ndarray, respond: Respond | None) -> float:
        from gpubp.search.run.answered import answered

        assert self.scorer is not None
        features = self.data.features(test)
        # scikit-learn's own scorers hand the estimator the very rows; others may have changed theirs in place.
        known = (lambda: self.data.features(test)) if self.looks_at_rows else None
        try:
            weighted = {} if self.weights is None or self.looks_at_rows else {"sample_weight": self.weights[test]}
            estimator = answered(self.data, predictions, known, respond)
            given = self.scorer(estimator, features, self.data.truth[test], **weighted)
            found = float(given.item() if isinstance(given, np.ndarray) else given)
        except (TypeError, ValueError, AttributeError) as error:
            raise SettingsError(f"The metric {self.name} cannot score these predictions: {error}") from error
        if np.isnan(found):
            raise SettingsError(
                f"The metric {self.name} gives NaN for {len(test)} test rows whose predictions are finite: give one "
                "that is defined for them, or larger folds."
            )
        return found


def decoded(data: Data, outputs: np.ndarray, sheets: Sequence[Sheet]) -> np.ndarray:
    """(P, R, C) probabilities that sum to 1, or (P, R, O) values in their own units, float64; NaN where outputs are.

    sheets: of each network.
    """
    found = outputs.astype(np.float64)
    if data.task == "regression":
        mean, spread = (np.stack([getattr(sheet, name) for sheet in sheets]) for name in ("mean", "spread"))
        found = found * spread[:, None, :] + mean[:, None, :]
        for values, sheet in zip(found, sheets, strict=True):
            values[...] = within(exponentials(values) if sheet.log else values, sheet.limits)[0]
        return found
    with np.errstate(invalid="ignore"):
        total = found.sum(axis=-1, keepdims=True)
        return np.where(total == 0, 1.0 / found.shape[-1], found / np.where(total == 0, 1.0, total))


def _is_scikit_learns(scorer: Any) -> bool:
    """What `get_scorer` and `make_scorer` give: it hands the estimator its rows, and looks at nothing else of them."""
    if "sklearn.metrics._scorer" not in sys.modules:  # nobody has made one
        return False
    from gpubp.search._sklearn import BaseScorer

    return isinstance(scorer, BaseScorer)


def _name_of(scorer: Any) -> str:
    if _is_scikit_learns(scorer):  # two of them differ by their functions and options
        return str(scorer)
    return str(getattr(scorer, "__name__", type(scorer).__name__))


def _named(name: str) -> Callable[..., Any]:
    from sklearn.metrics import get_scorer, get_scorer_names

    if name not in get_scorer_names():
        hint = did_you_mean(name, [*get_scorer_names(), "loss"], "metric")
        raise SettingsError(f"Unknown metric {name!r}: give one of scikit-learn's scorers, or 'loss'.{hint}")
    scorer: Callable[..., Any] = get_scorer(name)
    return scorer


def _mean(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(P,) over the rows that count, of values (P, R)."""
    return (np.where(mask > 0, values, 0.0) * mask).sum(axis=1) / mask.sum(axis=1)


def _accuracy(P: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return _mean(P.argmax(axis=-1) == truth, mask)


def _log_loss(P: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    least = np.finfo(np.float64).eps
    of_truth = np.take_along_axis(np.clip(P, least, 1 - least), truth[:, :, None], axis=-1)[:, :, 0]
    return _mean(np.log(of_truth), mask)


def _squared_errors(P: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(P, O) mean over the rows."""
    errors = np.where(mask[:, :, None] > 0, (P - truth) ** 2, 0.0) * mask[:, :, None]
    return errors.sum(axis=1) / mask.sum(axis=1)[:, None]


def _r2(P: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean over the outputs of 1 − squared error / variance; an output that does not vary: 1 if hit, else 0."""
    counted = mask[:, :, None]
    center = (np.where(counted > 0, truth, 0.0) * counted).sum(axis=1, keepdims=True) / mask.sum(axis=1)[:, None, None]
    variance = _squared_errors(np.broadcast_to(center, truth.shape), truth, mask)
    error = _squared_errors(P, truth, mask)
    flat = variance == 0
    share = 1.0 - error / np.where(flat, 1.0, variance)
    return np.where(flat, np.where(error == 0, 1.0, 0.0), share).mean(axis=1)


def _absolute_error(P: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return _mean(np.abs(P - truth).mean(axis=-1), mask)


QUICK: dict[str, tuple[str, Scorer | None]] = {
    "accuracy": ("classification", _accuracy),
    "neg_log_loss": ("classification", _log_loss),
    "r2": ("regression", _r2),
    "neg_mean_squared_error": ("regression", lambda *given: -_squared_errors(*given).mean(axis=1)),
    "neg_root_mean_squared_error": ("regression", lambda *given: -np.sqrt(_squared_errors(*given)).mean(axis=1)),
    "neg_mean_absolute_error": ("regression", lambda *given: -_absolute_error(*given)),
}
