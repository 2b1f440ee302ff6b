"""All figures of a sweep: `page` and `plots` draw the same."""

from __future__ import annotations

from dataclasses import dataclass

from gpubp.reporting.figures import Chart, Figure, Parallel
from gpubp.reporting.outcomes import calibration_chart, confusion_matrix, curve_charts, value_charts
from gpubp.reporting.parameters import parallel, score_charts
from gpubp.reporting.results import Results


@dataclass(frozen=True)
class Figures:
    """outcome: of the best trial's predictions, a confusion matrix and calibration, or charts of values."""

    scores: tuple[Chart, ...]
    parallel: Parallel | None
    curves: tuple[Chart, ...]
    outcome: tuple[Figure, ...]

    @classmethod
    def of(cls, results: Results) -> Figures:
        outcome: list[Figure] = []
        if results.classes is not None:
            outcome = [confusion_matrix(results, results.classes), calibration_chart(results.classes)]
        for place in range(len(results.values)):
            outcome += value_charts(results, place)
        curves = () if results.curves is None else tuple(curve_charts(results.curves))
        return cls(tuple(score_charts(results)), parallel(results), curves, tuple(outcome))

    def all(self) -> list[Figure]:
        between = [] if self.parallel is None else [self.parallel]
        return [*self.scores, *between, *self.curves, *self.outcome]
