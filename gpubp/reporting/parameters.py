"""The figures of all trials: the score against each hyperparameter, and all of them in parallel coordinates."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gpubp.reporting.axes import Axis, number
from gpubp.reporting.figures import Chart, Line, Mark, Parallel, Points, Thread
from gpubp.reporting.results import Results, Trial, Value

MOST_POINTS = 1500  # in a chart: of more trials, the best third and an even choice of the others
MOST_THREADS = 400
MOST_CATEGORIES = 12
MOST_AXES = 8
TREND_BINS, TREND_TRIALS = 8, 24  # a median line has that many points, and asks for that many trials
GOLDEN = 0.6180339887498949

STATUS_LABELS = {
    "complete": "a trial",
    "stopped": "stopped before its last epoch",
    "diverged": "diverged",
    "below": "below the axis",
    "best": "the best trial",
}


@dataclass(frozen=True)
class Dimension:
    """A hyperparameter as an axis. place: where a trial's value lies on it."""

    name: str
    axis: Axis
    place: Callable[[Value], float]


def shown(name: str) -> str:
    """As the command line calls it."""
    return name.replace("_", "-")


def spelled(name: str, value: Value) -> str:
    if isinstance(value, tuple):
        return ",".join(spelled("", item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "all" if name == "batch_size" else "none"
    return number(value) if isinstance(value, float) else str(value)


def value_of(trial: Trial, name: str) -> str:
    return spelled(name, trial.parameters[name]) if name in trial.parameters else "–"


def varied(results: Results) -> list[str]:
    """The hyperparameters in which trials differ, in the order of the space."""
    names = dict.fromkeys((*results.space, *(name for trial in results.trials for name in trial.parameters)))
    absent = object()
    return [name for name in names if len({repr(t.parameters.get(name, absent)) for t in results.trials}) > 1]


def score_axis(results: Results) -> Axis:
    """From the best score down to the worst, or to where a few trials far below the others would squeeze them."""
    scores = sorted(t.mean for t in results.trials if t.mean is not None and t.status != "diverged")
    quarter, best = scores[len(scores) // 4], scores[-1]
    low = max(scores[0], quarter - 1.5 * (best - quarter))
    if results.baseline is not None and low - 0.25 * (best - low) <= results.baseline < low:
        low = results.baseline
    return Axis.around(results.metric, (low, best))


def score_charts(results: Results) -> list[Chart]:
    """One for each hyperparameter that was varied."""
    trials = chosen(results.trials, MOST_POINTS)
    axis = score_axis(results)
    charts = []
    for name in varied(results):
        dimension = dimension_of(results, name)
        having = [trial for trial in trials if name in trial.parameters]
        marks: list[Mark] = [*_baseline(results, dimension.axis, axis), *_points(dimension, axis, having)]
        if 2 * results.count("complete") >= len(results.trials):  # else they would be of a strategy's favourites
            marks += (_medians if dimension.axis.labels else _trend)(dimension, results.trials)
        text = f"{results.metric} of {len(having)} trials against {shown(name)}. The best trial has "
        without = sum(name not in trial.parameters for trial in results.trials)
        best = results.best.parameters
        charts.append(
            Chart(
                name=f"score-{shown(name)}",
                title=shown(name),
                text=text + (f"{shown(name)} {spelled(name, best[name])}." if name in best else "none."),
                x=dimension.axis,
                y=axis,
                marks=tuple(marks),
                note=f"{without:,} trials do not have it." if without else "",
            )
        )
    return charts


def parallel(results: Results) -> Parallel | None:
    """Every trial that was scored as a line across its hyperparameters; None with fewer than two of those."""
    names, scored = varied(results), [t for t in results.trials if t.mean is not None and t.status != "diverged"]
    if len(names) < 2 or len(scored) < 2:
        return None
    dimensions = [dimension_of(results, name) for name in names[:MOST_AXES]]
    score = score_axis(results)
    trials = chosen(scored, MOST_THREADS)
    threads = [
        Thread(
            trial.number,
            (*(_place(each, trial, 0.3) if each.name in trial.parameters else None for each in dimensions), trial.mean),
            5 if trial is results.best else min(4, 5 * (len(trials) - 1 - place) // len(trials)),
        )
        for place, trial in enumerate(trials)
    ]
    notes = []
    if len(trials) < len(scored):
        notes.append(
            f"{len(trials)} of {len(scored):,} trials: the best third of these, and an even choice of the rest."
        )
    if len(names) > MOST_AXES:
        notes.append(f"The first {MOST_AXES} of {len(names)} hyperparameters.")
    return Parallel(
        name="parallel-coordinates",
        title="Parallel coordinates",
        text=f"Each of {len(trials)} trials as a line across {', '.join(map(shown, names[:MOST_AXES]))} to its "
        f"{results.metric}; better trials are stronger in colour.",
        axes=(*(dimension.axis for dimension in dimensions), score),
        threads=tuple(reversed(threads)),
        note=" ".join(notes),
    )


def chosen(trials: Sequence[Trial], most: int) -> list[Trial]:
    """Not more than `most` of trials that are in the order of their ranks, and still in it."""
    if len(trials) <= most:
        return list(trials)
    first = most // 3
    rest, room = len(trials) - first, most - first
    return [*trials[:first], *(trials[first + i * rest // room] for i in range(room))]


def dimension_of(results: Results, name: str) -> Dimension:
    """Numbers on an axis where they were drawn from a range or are many, and everything else as categories."""
    entries = results.space.get(name, ())
    found = [trial.parameters[name] for trial in results.trials if name in trial.parameters]
    distinct = list({repr(value): value for value in found}.values())
    drawn = [entry for entry in entries if entry.is_range]
    numbers = [value for value in map(_as_number, distinct) if value is not None]
    if len(numbers) == len(distinct) and (drawn or len(distinct) > MOST_CATEGORIES):
        ends = [*numbers, *(end for entry in drawn for end in (entry.low, entry.high))]
        log = all(entry.log for entry in drawn) if drawn else max(ends) >= 50 * min(ends)
        return Dimension(name, Axis.around(shown(name), ends, log and min(ends) > 0), lambda v: _as_number(v) or 0.0)
    order = _ordered(distinct, [value for entry in entries for value in entry.choices])
    labels = [spelled(name, value) for value in order]
    places = {repr(value): place for place, value in enumerate(order)}
    if len(order) > MOST_CATEGORIES:
        often = {value for value, _ in Counter(map(repr, found)).most_common(MOST_CATEGORIES - 1)}
        kept = [value for value in order if repr(value) in often]
        labels = [*(spelled(name, value) for value in kept), f"{len(order) - len(kept)} others"]
        places = {repr(value): place for place, value in enumerate(kept)}
    other = len(labels) - 1
    return Dimension(name, Axis.of_labels(shown(name), labels), lambda v: float(places.get(repr(v), other)))


def _as_number(value: Value) -> float | None:
    """Of a number, and of the width of a single hidden layer."""
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _ordered(values: Sequence[Value], choices: Sequence[Value]) -> list[Value]:
    """Numbers by their size, hidden layers by their neurons, anything else in the order of the space."""
    listed = {repr(value): place for place, value in enumerate(choices)}

    def key(value: Value) -> tuple[float, float, str]:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return 0.0, float(value), ""
        if isinstance(value, tuple) and all(isinstance(item, int) for item in value):
            return 1.0, float(sum(value)), repr(value)
        return 2.0, float(listed.get(repr(value), len(listed))), repr(value)

    return sorted(values, key=key)


def _place(dimension: Dimension, trial: Trial, width: float = 0.6) -> float:
    """Trials of a category are spread out over this width around it, each trial by as much in every chart."""
    place = dimension.place(trial.parameters[dimension.name])
    return place + width * ((trial.number * GOLDEN) % 1.0 - 0.5) if dimension.axis.labels else place


def _kind(trial: Trial, axis: Axis) -> str:
    if trial.status == "diverged":
        return "diverged"
    if trial.rank == 1:
        return "best"
    if trial.mean is not None and trial.mean < axis.low:
        return "below"
    return "complete" if trial.status == "complete" else "stopped"


def _points(dimension: Dimension, axis: Axis, trials: Sequence[Trial]) -> list[Mark]:
    groups: dict[str, list[tuple[float, float, int]]] = {kind: [] for kind in ("stopped", "complete", "below")}
    groups |= {"diverged": [], "best": []}
    for trial in trials:
        if trial.mean is None and trial.status != "diverged":
            continue
        kind = _kind(trial, axis)
        y = axis.low if kind == "diverged" or trial.mean is None else trial.mean
        groups[kind].append((_place(dimension, trial), y, trial.number))
    return [
        Points(kind, STATUS_LABELS[kind], *(tuple(column) for column in zip(*group, strict=True)))
        for kind, group in groups.items()
        if group
    ]


def _baseline(results: Results, x: Axis, y: Axis) -> list[Mark]:
    if results.baseline is None or not y.low <= results.baseline <= y.high:
        return []
    return [Line("baseline", "baseline", (x.low, x.high), (results.baseline,) * 2)]


def _scored(dimension: Dimension, trials: Sequence[Trial]) -> list[tuple[float, float]]:
    """(place, score) of trials that may be compared: all of them trained to the end."""
    return [
        (dimension.place(trial.parameters[dimension.name]), trial.mean)
        for trial in trials
        if trial.status == "complete" and trial.mean is not None and dimension.name in trial.parameters
    ]


def _medians(dimension: Dimension, trials: Sequence[Trial]) -> list[Mark]:
    by_place: dict[float, list[float]] = {}
    for place, score in _scored(dimension, trials):
        by_place.setdefault(place, []).append(score)
    return [
        Line("median", "median", (place - 0.36, place + 0.36), (statistics.median(scores),) * 2)
        for place, scores in sorted(by_place.items())
        if len(scores) > 1
    ]


def _trend(dimension: Dimension, trials: Sequence[Trial]) -> list[Mark]:
    """The median of places and scores in each of as many parts with equally many trials."""
    pairs = sorted(_scored(dimension, trials))
    if len(pairs) < TREND_TRIALS:
        return []
    cuts = [i * len(pairs) // TREND_BINS for i in range(TREND_BINS + 1)]
    parts = [pairs[first:last] for first, last in pairwise(cuts)]
    x, y = (tuple(statistics.median(pair[i] for pair in part) for part in parts) for i in (0, 1))
    return [Line("median", "median", x, y)]
