"""PopulationSearchCV: scikit-learn's searches, with all candidates and folds as populations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.utils import indexable

from gpubp.backends.interruption import CancelScope
from gpubp.backends.turns import in_turn
from gpubp.estimators.search.candidates import Candidates, why_not_packed
from gpubp.search._sklearn import (
    BaseSearchCV,
    Interval,
    StrOptions,
    check_method_params,
    fit_context,
    insert_error_scores,
    tell_of_fit_failures,
)


class PopulationSearchCV(BaseSearchCV):
    """Search for parameters by cross-validation, in the place of RandomizedSearchCV and GridSearchCV.

    Over MLPClassifier and MLPRegressor, alone or as the last step of a Pipeline, every candidate × fold is a network
    (or n_members of them), and networks that can train in one population do so: those of one architecture, solver,
    batch size and so on, while rates, alpha, momenta and dropout differ from network to network. A pipeline's other
    steps are fitted on each fold's training rows, once for all candidates that have them alike. Candidates that cannot
    be packed (solver lbfgs, callbacks, verbose) are fitted one by one, as are all of any other estimator; `alone_` says
    how many and why.

    Results are those of the estimators fitted one by one: to the bit with a named `engine`, to rounding with "auto",
    which chooses for all fits together. Fits take what memory allows, and n_jobs is for those that cannot be packed.

    Ctrl-C ends the search, in whatever it is at, with KeyboardInterrupt. The attributes then tell of the candidates
    whose fits were all done: cv_results_, best_params_, best_score_ and best_index_ are theirs, if there are any, and
    there is no best_estimator_.

    Parameters
    ----------
    estimator : estimator
        MLPClassifier, MLPRegressor, a Pipeline that ends with one, or any other estimator.
    param_distributions : dict or list of dict
        Lists of choices, SciPy distributions or `gpubp.Range`, by parameter (`mlpclassifier__alpha` in a pipeline).
    n_iter : int, default=10
        How many candidates are drawn, for the strategy random.
    scoring : str, callable, list, tuple or dict, default=None
    n_jobs : int, default=None
        Fits at a time, by joblib, of candidates that cannot be packed and of estimators that are not gpubp's.
    refit : bool, str or callable, default=True
    cv : int, splitter or iterable, default=None
    verbose : int, default=0
    pre_dispatch : int or str, default="2*n_jobs"
    random_state : int, RandomState or None, default=None
        For the draws of candidates.
    error_score : "raise" or number, default=nan
    return_train_score : bool, default=False
        The parameters from scoring on mean what they mean in RandomizedSearchCV.
    strategy : {"random", "grid"}, default="random"
        grid tries every combination, as GridSearchCV does; its choices have to be lists.
    memory : int or None, default=None
        Bytes that a population may take; None: half of what is free.

    Attributes
    ----------
    cv_results_, best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
        As in scikit-learn. fit_time is a fit's share of its population's time.
    classes_, n_features_in_, feature_names_in_
        Of best_estimator_.
    alone_ : dict of str to int
        Why fits could not be packed, and how many of them.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseSearchCV._parameter_constraints,
        "param_distributions": [dict, list],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "strategy": [StrOptions({"random", "grid"})],
        "memory": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        n_iter: int = 10,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[..., Any] = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        strategy: str = "random",
        memory: int | None = None,
    ) -> None:
        self.param_distributions = param_distributions
        self.n_iter = n_iter
        self.random_state = random_state
        self.strategy = strategy
        self.memory = memory
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )

    @fit_context(prefer_skip_nested_validation=False)  # the estimator is not validated yet
    def fit(self, X: Any, y: Any = None, **params: Any) -> PopulationSearchCV:
        """Try the candidates on every split, and train the best on all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        **params : dict of str to object
            For the estimator's fit (sample_weight), and groups for the splitter.

        Returns
        -------
        self : object
        """
        with CancelScope():
            return self._fit(X, y, params)

    def _fit(self, X: Any, y: Any, params: dict[str, Any]) -> PopulationSearchCV:
        reason = why_not_packed(self.estimator, X)
        if reason is not None:
            super().fit(X, y, **params)
            self.alone_ = {reason: len(vars(self)["cv_results_"]["params"]) * vars(self)["n_splits_"]}
            return self
        scorers, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(check_method_params(X, params=params))
        with in_turn():
            cv = self._checked_cv_orig = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
            splits = list(cv.split(X, y, **routed.splitter.split))
        self.n_splits_ = cv.get_n_splits(X, y, **routed.splitter.split)
        candidates = list(self._candidates())
        if len(splits) != self.n_splits_ or not splits or not candidates:
            raise ValueError(
                f"No fits were performed: {len(candidates)} candidates, and {len(splits)} of {self.n_splits_} splits. "
                "Was the CV iterator empty?"
            )
        if self.verbose > 0:
            print(
                f"Fitting {len(splits)} folds for each of {len(candidates)} candidates, totalling "
                f"{len(candidates) * len(splits)} fits"
            )
        evaluation = Candidates(
            base=clone(self.estimator),
            X=X,
            y=y,
            splits=splits,
            scorer=scorers,
            fit_params=routed.estimator.fit,
            score_params=routed.scorer.score,
            error_score=self.error_score,
            return_train_score=self.return_train_score,
            verbose=self.verbose,
            memory=self.memory,
            n_jobs=self.n_jobs,
            pre_dispatch=self.pre_dispatch,
        )
        try:
            found = evaluation.evaluate(candidates)
        except KeyboardInterrupt:
            done = evaluation.complete(len(candidates))
            if done:
                self._forget_refit()
                results = [evaluation.found[c, s] for c in done for s in range(len(splits))]
                self._keep([candidates[c] for c in done], results, scorers, refit_metric)
            raise
        self.alone_ = dict(evaluation.alone)
        if self.verbose > 0:
            for why, count in self.alone_.items():
                print(f"{count} of them one by one: {why}")
        self._keep(candidates, found, scorers, refit_metric)
        if self.refit:
            self._forget_refit()
            self._refit(X, y, routed.estimator.fit)
        return self

    def _keep(
        self, candidates: list[Mapping[str, Any]], found: list[dict[str, Any]], scorers: Any, refit_metric: str
    ) -> None:
        """The attributes that tell of these candidates. found: candidate by candidate, split by split."""
        tell_of_fit_failures(found, self.error_score)
        if callable(self.scoring):
            insert_error_scores(found, self.error_score)
        results = self._format_results(candidates, self.n_splits_, found)
        self._choose(results, found[0]["test_scores"], refit_metric)
        self.scorer_ = getattr(scorers, "_scorers", scorers) if isinstance(self.scoring, _SEVERAL) else scorers
        self.cv_results_ = results

    def _forget_refit(self) -> None:
        """Of an earlier fit: it would be taken for the best of these candidates."""
        for name in ("best_estimator_", "refit_time_", "feature_names_in_"):
            self.__dict__.pop(name, None)

    def _candidates(self) -> Any:
        if self.strategy == "grid":
            return ParameterGrid(self.param_distributions)
        return ParameterSampler(self.param_distributions, self.n_iter, random_state=self.random_state)

    def _run_search(self, evaluate_candidates: Callable[..., Any]) -> None:
        """For scikit-learn's own fit."""
        evaluate_candidates(self._candidates())

    def _choose(self, results: Mapping[str, Any], first_scores: Any, refit_metric: str) -> None:
        """The best candidate, by the rules of scikit-learn's searches."""
        self.multimetric_ = isinstance(first_scores, dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(first_scores)
            refit_metric = self.refit
        if self.refit or not self.multimetric_:
            self.best_index_ = self._select_best_index(self.refit, refit_metric, results)
            if not callable(self.refit):
                self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
            self.best_params_ = results["params"][self.best_index_]

    def _refit(self, X: Any, y: Any, fit_params: Mapping[str, Any]) -> None:
        best = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
        started = time.time()
        self.best_estimator_ = best.fit(X, **fit_params) if y is None else best.fit(X, y, **fit_params)
        self.refit_time_ = time.time() - started
        if hasattr(best, "feature_names_in_"):
            self.feature_names_in_ = best.feature_names_in_


_SEVERAL = (list, tuple, set, dict)  # kinds of `scoring` that ask for several scores
