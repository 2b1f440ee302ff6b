"""`gpubp.sweep`: a search whose winners are models, of tables, or estimators, of arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec

from gpubp.search import sweep as search
from gpubp.search.results.result import SweepResult

P = ParamSpec("P")


def _with_estimators(run: Callable[P, SweepResult]) -> Callable[P, SweepResult]:
    @wraps(run)
    def sweep(*args: P.args, **kwargs: P.kwargs) -> SweepResult:
        return replace(run(*args, **kwargs), estimator_of=_estimator_of)

    return sweep


def _estimator_of(*trained: Any) -> Any:
    from gpubp.estimators.swept import estimator_of  # which takes scikit-learn: for arrays alone

    return estimator_of(*trained)


sweep = _with_estimators(search.sweep)
