"""The candidates of a search on every split: those that can, packed into populations; the others one by one."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import joblib  # type: ignore[import-untyped]
from sklearn.base import clone
from sklearn.model_selection._validation import _fit_and_score, _score
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params, _num_samples

from gpubp.estimators.places import is_on_device
from gpubp.sweeping.cohort import Cohort
from gpubp.sweeping.engines import Engines
from gpubp.sweeping.folds import Split
from gpubp.sweeping.job import Sheet
from gpubp.sweeping.memory import budget_of
from gpubp.sweeping.packing import Packed, pack, unpack, weights_of, why_alone
from gpubp.sweeping.pool import Pool


def network_of(estimator: Any) -> Any:
    """The estimator itself, or the last step of a pipeline."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) and len(estimator.steps) else estimator


@dataclass(frozen=True)
class Fit:
    """One candidate on one split. X, y, weights: its training rows, as the network gets them."""

    candidate: int
    split: int
    estimator: Any
    packed: Packed
    transformer: Any  # fitted; None without one
    seconds: float  # before the training


@dataclass
class Candidates:
    """fit_params, score_params: for all rows. scorer, error_score, return_train_score: as in scikit-learn's searches.

    alone: how many fits could not be packed, by the reason.
    """

    base: Any
    X: Any
    y: Any
    splits: Sequence[Split]
    scorer: Any
    fit_params: Mapping[str, Any]
    score_params: Mapping[str, Any]
    error_score: Any
    return_train_score: bool
    verbose: int
    memory: int | None = None
    alone: Counter[str] = field(default_factory=Counter)
    sheets: dict[Any, Sheet] = field(default_factory=dict)
    transformed: dict[Any, tuple[Any, Any]] = field(default_factory=dict)

    def evaluate(self, candidates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What scikit-learn's `_fit_and_score` tells, candidate by candidate, split by split."""
        places = [(c, s) for c in range(len(candidates)) for s in range(len(self.splits))]
        found: dict[tuple[int, int], dict[str, Any]] = {}
        fits = [fit for place in places if (fit := self._prepare(candidates, *place)) is not None]
        for fit, cohorts in self._train(fits):
            result = self._finish(fit, cohorts)
            if result is not None:
                found[fit.candidate, fit.split] = result
        for c, s in places:
            if (c, s) not in found:
                found[c, s] = self._by_itself(candidates[c], s)
        return [found[place] for place in places]

    def _prepare(self, candidates: Sequence[Mapping[str, Any]], c: int, s: int) -> Fit | None:
        """None, with the reason counted, for a fit that cannot be packed. One that fails is to fail by itself."""
        started = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # what would warn may warn by itself, once
                estimator = clone(self.base).set_params(**clone(candidates[c], safe=False))
                reason = why_alone(network_of(estimator))
                if reason is not None:
                    self.alone[reason] += 1
                    return None
                return self._packed(estimator, c, s, started)
        except Exception as error:
            self.alone[f"{type(error).__name__}: {error}"] += 1
            return None

    def _packed(self, estimator: Any, c: int, s: int, started: float) -> Fit:
        training, _ = self.splits[s]
        X, y = _safe_split(estimator, self.X, self.y, training)
        given = _check_method_params(self.X, params=self.fit_params, indices=training)
        name, transformer, key = "sample_weight", None, ""
        if isinstance(estimator, Pipeline):
            name = f"{estimator.steps[-1][0]}__sample_weight"
            if len(estimator.steps) > 1:
                key = joblib.hash(estimator[:-1])
                if (s, key) not in self.transformed:
                    unfitted = clone(estimator[:-1])
                    self.transformed[s, key] = (unfitted, unfitted.fit_transform(X, y))
                transformer, X = self.transformed[s, key]
        weights = weights_of(given, name)
        packed = pack(network_of(estimator), X, y, weights, self.sheets, (s, key), owner=(c, s))
        return Fit(c, s, estimator, packed, transformer, time.perf_counter() - started)

    def _train(self, fits: Sequence[Fit]) -> list[tuple[Fit, list[Cohort]]]:
        """Each with cohorts of its networks, one by one. A population that fails is fitted estimator by estimator."""
        groups: dict[tuple[str, str], list[Fit]] = {}
        for fit in fits:
            groups.setdefault((fit.packed.problem.backend.name, fit.packed.mlp.engine), []).append(fit)
        trained = []
        for (_, engine), group in groups.items():
            backend = group[0].packed.problem.backend
            jobs = [job for fit in group for job in fit.packed.jobs]
            try:
                pool = Pool(jobs, backend, Engines(backend, engine), budget_of(backend, self.memory))
                alone = {cohort.jobs[p].owner: cohort.take([p]) for cohort in pool.finish() for p in range(len(cohort))}
            except ValueError as error:  # an engine that cannot serve, data that cannot be trained on
                self.alone[f"{type(error).__name__}: {error}"] += len(group)
                continue
            if pool.interrupted:
                raise KeyboardInterrupt
            trained += [(fit, [alone[job.owner] for job in fit.packed.jobs]) for fit in group]
        return trained

    def _finish(self, fit: Fit, cohorts: Sequence[Cohort]) -> dict[str, Any] | None:
        """The scores of a trained estimator; None for one that is to fail by itself."""
        try:
            mlp = unpack(fit.packed, cohorts)
        except ValueError as error:
            self.alone[f"{type(error).__name__}: {error}"] += 1
            return None
        estimator = fit.estimator
        if fit.transformer is not None:
            estimator.steps = [*fit.transformer.steps, (estimator.steps[-1][0], mlp)]
        training, test = self.splits[fit.split]
        X_test, y_test = _safe_split(estimator, self.X, self.y, test, training)
        started = time.perf_counter()
        for_test = _check_method_params(self.X, params=self.score_params, indices=test)
        result: dict[str, Any] = {
            "fit_error": None,
            "test_scores": _score(estimator, X_test, y_test, self.scorer, for_test, self.error_score),
            "n_test_samples": _num_samples(X_test),
            "fit_time": fit.seconds + sum(float(cohort.seconds[0]) for cohort in cohorts),
            "score_time": time.perf_counter() - started,
        }
        if self.return_train_score:
            X_train, y_train = _safe_split(estimator, self.X, self.y, training)
            for_train = _check_method_params(self.X, params=self.score_params, indices=training)
            result["train_scores"] = _score(estimator, X_train, y_train, self.scorer, for_train, self.error_score)
        return result

    def _by_itself(self, parameters: Mapping[str, Any], s: int) -> dict[str, Any]:
        training, test = self.splits[s]
        found: dict[str, Any] = _fit_and_score(
            clone(self.base),
            self.X,
            self.y,
            scorer=self.scorer,
            train=training,
            test=test,
            verbose=self.verbose,
            parameters=parameters,
            fit_params=self.fit_params,
            score_params=self.score_params,
            return_train_score=self.return_train_score,
            return_n_test_samples=True,
            return_times=True,
            error_score=self.error_score,
        )
        return found


def why_not_packed(estimator: Any, X: Any) -> str | None:
    """Why a whole search is scikit-learn's own affair: no network of ours, or features that only it serves."""
    from sklearn.utils.metadata_routing import _routing_enabled

    if is_on_device(X):
        return "X is on a device"
    if _routing_enabled():
        return "metadata routing is on"
    if getattr(estimator, "_skl_callbacks", None):
        return "scikit-learn's callbacks are for one fit at a time"
    reason = why_alone(network_of(estimator))
    return reason if reason is not None and "is no MLP" in reason else None
