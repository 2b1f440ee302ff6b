"""The candidates of a search on every split: those that can, packed into populations; the others one by one."""

from __future__ import annotations

import copy
import threading
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import Any

import joblib  # type: ignore[import-untyped]
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.parallel import Parallel, delayed

from gpubp.backends.interruption import CancelScope
from gpubp.backends.placement import is_on_device
from gpubp.backends.turns import in_turn
from gpubp.estimators.search.packing import Known, Packed, pack, unpack, weights_of, why_alone
from gpubp.fitting.cohort import Cohort
from gpubp.search._sklearn import (
    BaseScorer,
    MultimetricScorer,
    PassthroughScorer,
    check_method_params,
    fit_and_score,
    num_samples,
    safe_split,
    score_of,
)
from gpubp.search.run.engines import Engines
from gpubp.search.run.folds import Split
from gpubp.search.run.memory import budget_of
from gpubp.search.run.pool import Pool


def network_of(estimator: Any) -> Any:
    """The estimator itself, or the last step of a pipeline."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) and len(estimator.steps) else estimator


def _has_transformer(estimator: Any) -> bool:
    return isinstance(estimator, Pipeline) and len(estimator.steps) > 1


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
    """fit_params, score_params: for all rows. scorer, error_score, return_train_score, n_jobs, pre_dispatch: as in
    scikit-learn's searches.

    alone: how many fits could not be packed, by the reason. found: what is known, by candidate and split; where Ctrl-C
    ends it, what was until then.
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
    n_jobs: int | None = None
    pre_dispatch: int | str = "2*n_jobs"
    found: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    alone: Counter[str] = field(default_factory=Counter)
    known: Known = field(default_factory=Known)
    transformed: dict[Any, tuple[Any, Any]] = field(default_factory=dict)
    rows: dict[Any, tuple[Any, Any, dict[str, Any]]] = field(default_factory=dict)
    seen: dict[Any, Any] = field(default_factory=dict)

    def evaluate(self, candidates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The results that scikit-learn's `_fit_and_score` would return, candidate by candidate, split by split."""
        places = [(c, s) for c in range(len(candidates)) for s in range(len(self.splits))]
        fits = [fit for c, parameters in enumerate(candidates) for fit in self._prepare(parameters, c)]
        with closing(self._train(fits)) as trained:
            for fit, cohorts in trained:
                result = self._finish(fit, cohorts)
                if result is not None:
                    self.found[fit.candidate, fit.split] = result
        self._fit_alone(candidates, [place for place in places if place not in self.found])
        return [self.found[place] for place in places]

    def complete(self, n_candidates: int) -> list[int]:
        """The places of the candidates that are known on every split."""
        splits = range(len(self.splits))
        return [c for c in range(n_candidates) if all((c, s) in self.found for s in splits)]

    def _prepare(self, parameters: Mapping[str, Any], c: int) -> list[Fit]:
        """The fits of a candidate, without those that cannot be packed, whose reason is counted. One that fails is to
        fail by itself.
        """
        started = time.perf_counter()
        try:
            estimator = clone(self.base).set_params(**clone(parameters, safe=False))
            reason = why_alone(network_of(estimator))
            if reason is None:
                network_of(estimator)._validate_params()
            before = joblib.hash(estimator[:-1]) if _has_transformer(estimator) else ""
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if reason is not None:
            self.alone[reason] += len(self.splits)
            return []
        spent, fits = (time.perf_counter() - started) / len(self.splits), []
        for s in range(len(self.splits)):
            try:
                # Unfitted, so that a copy is what `clone` would give, and takes a tenth of the time.
                fits.append(self._packed(copy.deepcopy(estimator), c, s, before, spent))
            except Exception as error:
                self.alone[f"{type(error).__name__}: {error}"] += 1
        return fits

    def _packed(self, estimator: Any, c: int, s: int, before: str, spent: float) -> Fit:
        """before: what its steps before the network are known by. spent: seconds on the candidate so far."""
        started = time.perf_counter()
        X, y, given = self._rows(estimator, s, "fit")
        name, transformer = "sample_weight", None
        if isinstance(estimator, Pipeline):
            name = f"{estimator.steps[-1][0]}__sample_weight"
            if before:
                if (s, before) not in self.transformed:
                    unfitted = clone(estimator[:-1])
                    with in_turn():
                        self.transformed[s, before] = (unfitted, unfitted.fit_transform(X, y))
                transformer, X = self.transformed[s, before]
        weights = weights_of(given, name)
        packed = pack(network_of(estimator), X, y, weights, self.known, (s, before), owner=(c, s))
        return Fit(c, s, estimator, packed, transformer, spent + time.perf_counter() - started)

    def _rows(self, estimator: Any, s: int, what: str) -> tuple[Any, Any, dict[str, Any]]:
        """X, y and the parameters of a split's rows. what: "fit"; "train" or "test", to be scored on."""
        key = s, what, get_tags(estimator).input_tags.pairwise
        if key not in self.rows:
            training, test = self.splits[s]
            if what == "test":
                X, y = safe_split(estimator, self.X, self.y, test, training)
            else:
                X, y = safe_split(estimator, self.X, self.y, training)
            params = self.fit_params if what == "fit" else self.score_params
            indices = test if what == "test" else training
            self.rows[key] = X, y, check_method_params(self.X, params=params, indices=indices)
        return self.rows[key]

    def _train(self, fits: Sequence[Fit]) -> Generator[tuple[Fit, list[Cohort]], None, None]:
        """Each, as soon as it is trained, with cohorts of its networks, one by one. What a population that fails has
        left is fitted estimator by estimator.
        """
        groups: dict[tuple[str, str], list[Fit]] = {}
        for fit in fits:
            groups.setdefault((fit.packed.problem.backend.name, fit.packed.mlp.engine), []).append(fit)
        for (_, engine), group in groups.items():
            backend = group[0].packed.problem.backend
            jobs = [job for fit in group for job in fit.packed.jobs]
            fit_of = {job.owner: fit for fit in group for job in fit.packed.jobs}
            alone: dict[Any, Cohort] = {}
            left = len(group)
            try:
                pool = Pool(jobs, backend, Engines(backend, engine), budget_of(backend, self.memory))
                with closing(pool.finish()) as trained:
                    for cohort in trained:  # others train while these are scored
                        for p, job in enumerate(cohort.jobs):
                            alone[job.owner], fit = cohort.take([p]), fit_of[job.owner]
                            if all(each.owner in alone for each in fit.packed.jobs):
                                left -= 1
                                yield fit, [alone.pop(each.owner) for each in fit.packed.jobs]
            except ValueError as error:  # an engine that cannot serve, data that cannot be trained on
                self.alone[f"{type(error).__name__}: {error}"] += left
                continue
            if pool.interrupted:
                raise KeyboardInterrupt

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
        trained = sum(float(cohort.seconds[0]) for cohort in cohorts)
        result: dict[str, Any] = {"fit_error": None, "fit_time": fit.seconds + trained}
        started = time.perf_counter()
        result["test_scores"], result["n_test_samples"] = self._scores(fit, mlp, "test")
        result["score_time"] = time.perf_counter() - started
        if self.return_train_score:
            result["train_scores"], _ = self._scores(fit, mlp, "train")
        return result

    def _scores(self, fit: Fit, mlp: Any, what: str) -> tuple[Any, int]:
        """On the "test" rows of the split, or those to "train" on; and how many they are.

        scikit-learn's own scorers are content with the network and the rows that the steps before it have transformed,
        once for all candidates; any other is handed the whole pipeline.
        """
        X, y, given = self._rows(fit.estimator, fit.split, what)
        estimator, rows = fit.estimator, X
        if fit.transformer is not None and type(estimator) is Pipeline and _asks_for_answers_alone(self.scorer):
            key = fit.split, what, id(fit.transformer)
            if key not in self.seen:
                with in_turn():
                    self.seen[key] = fit.transformer.transform(X)
            estimator, rows = mlp, self.seen[key]
        with in_turn() if _asks_for_answers_alone(self.scorer) else nullcontext():
            scores = score_of(estimator, rows, y, self.scorer, given, self.error_score)
        return scores, num_samples(X)

    def _fit_alone(self, candidates: Sequence[Mapping[str, Any]], places: Sequence[tuple[int, int]]) -> None:
        """Candidate and split after the other, or n_jobs of them at a time, where and as joblib says: not while the
        interpreter ends, when no process can be started.
        """
        if effective_n_jobs(self.n_jobs) == 1 or len(places) < 2 or not threading.main_thread().is_alive():
            for c, s in places:
                self.found[c, s] = fit_and_score(**self._arguments(candidates, c, s))
            return
        with CancelScope() as scope:
            results = Parallel(n_jobs=self.n_jobs, pre_dispatch=self.pre_dispatch)(
                delayed(_fit_within)(scope, self._arguments(candidates, c, s)) for c, s in places
            )
        self.found.update(zip(places, results, strict=True))

    def _arguments(self, candidates: Sequence[Mapping[str, Any]], c: int, s: int) -> dict[str, Any]:
        """Of scikit-learn's `_fit_and_score`, which numbers candidates and splits in what it prints."""
        training, test = self.splits[s]
        return {
            "estimator": clone(self.base),
            "X": self.X,
            "y": self.y,
            "scorer": self.scorer,
            "train": training,
            "test": test,
            "verbose": self.verbose,
            "parameters": candidates[c],
            "fit_params": self.fit_params,
            "score_params": self.score_params,
            "return_train_score": self.return_train_score,
            "return_n_test_samples": True,
            "return_times": True,
            "split_progress": (s, len(self.splits)),
            "candidate_progress": (c, len(candidates)),
            "error_score": self.error_score,
        }


def _fit_within(scope: CancelScope, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """In whatever thread or process: one fit that ends with the scope."""
    with scope.joined():
        found: dict[str, Any] = fit_and_score(**arguments)
    return found


def _asks_for_answers_alone(scorer: Any) -> bool:
    """Whether a scorer looks at what an estimator answers, and at nothing else of it."""
    if isinstance(scorer, MultimetricScorer):
        return all(map(_asks_for_answers_alone, scorer._scorers.values()))
    return isinstance(scorer, (BaseScorer, PassthroughScorer))


def why_not_packed(estimator: Any, X: Any) -> str | None:
    """Why a whole search is scikit-learn's own affair: no network of ours, or features that only it serves."""
    from gpubp.search._sklearn import routing_enabled

    if is_on_device(X):
        return "X is on a device"
    if routing_enabled():
        return "metadata routing is on"
    if getattr(estimator, "_skl_callbacks", None):
        return "scikit-learn's callbacks are for one fit at a time"
    reason = why_alone(network_of(estimator))
    return reason if reason is not None and "is no MLP" in reason else None
