"""The figures of the best trial: its learning curves, and its predictions of rows that its networks had not seen."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence

from gpubp.reporting.axes import Axis, number
from gpubp.reporting.figures import Bars, Chart, Line, Mark, Matrix, Points
from gpubp.reporting.results import Bin, Classes, Curves, Results

LOG_FROM = 20.0  # losses are drawn on a logarithmic axis from this ratio of the largest to the least
MOST_DRAWN = 100  # classes in a confusion matrix; of more, the WORST are drawn
WORST = 30

Series = Sequence[float | None]


def curve_charts(curves: Curves) -> list[Chart]:
    """Loss and score after each epoch: each fold thin, their mean strong."""
    losses: dict[str, list[Series]] = {
        "training": [fold.training_loss for fold in curves.folds],
        "held": [fold.validation_loss for fold in curves.folds],
    }
    scores: dict[str, list[Series]] = {"held": [fold.validation_score for fold in curves.folds]}
    return [
        chart
        for chart in (
            _curve_chart("learning-loss", "Loss", f"loss ({curves.loss.replace('_', ' ')})", curves, losses),
            _curve_chart("learning-score", curves.score.capitalize(), curves.score, curves, scores),
        )
        if chart is not None
    ]


def _curve_chart(name: str, title: str, y_title: str, curves: Curves, found: dict[str, list[Series]]) -> Chart | None:
    known = sorted(value for each in found.values() for series in each for value in series if value is not None)
    if not known:
        return None
    log = name == "learning-loss" and known[0] > 0 and known[-1] > LOG_FROM * known[0]
    x = Axis.around("epoch", (curves.epochs[0], curves.epochs[-1]))
    y = Axis.around(y_title, known if log else _without_far_ends(known), log)
    rows = "rows held back for early stopping" if curves.rows == "held" else "rows of the test fold"
    labels = {"training": "training rows", "held": rows}
    marks: list[Mark] = []
    for kind, each in found.items():
        for series in each:
            marks += _line(kind, f"{labels[kind]}, each fold", curves.epochs, series)
    for kind, each in found.items():
        marks += _line(f"{kind}-mean", f"{labels[kind]}, mean of the folds", curves.epochs, _mean(each))
    marks += _kept(curves, name)
    last = {kind: _last(_mean(each)) for kind, each in found.items()}
    ends = ", ".join(f"{number(value)} on {labels[kind]}" for kind, value in last.items() if value is not None)
    text = f"{y_title} of {len(curves.folds)} networks over {curves.epochs[-1]} epochs. At the end the mean is {ends}."
    return Chart(name, title, text, x, y, tuple(marks))


def _without_far_ends(known: Sequence[float]) -> tuple[float, float]:
    """The ends of sorted numbers, but nothing much further out than the middle 98 % reach: a first epoch may be."""
    low, high = known[len(known) // 100], known[-1 - len(known) // 100]
    room = 0.25 * (high - low)
    return max(known[0], low - room), min(known[-1], high + room)


def _line(kind: str, label: str, x: Sequence[float], series: Series) -> list[Mark]:
    """Through the numbers that there are; [] where they are no line."""
    pairs = [(a, b) for a, b in zip(x, series, strict=False) if b is not None]
    return [Line(kind, label, *(tuple(column) for column in zip(*pairs, strict=True)))] if len(pairs) > 1 else []


def _mean(each: Sequence[Series]) -> list[float | None]:
    """Over the folds, as far as all of them go."""
    if len(each) < 2:
        return []
    return [
        statistics.fmean(value for value in column if value is not None) if None not in column else None
        for column in zip(*each, strict=False)
    ]


def _last(series: Series) -> float | None:
    return next((value for value in reversed(series) if value is not None), None)


def _kept(curves: Curves, name: str) -> list[Mark]:
    """Where each network was when early stopping kept its weights."""
    places = []
    for fold in curves.folds:
        series = fold.validation_loss if name == "learning-loss" else fold.validation_score
        if fold.best_epoch is not None:
            i = min(range(len(series)), key=lambda i: abs(curves.epochs[i] - (fold.best_epoch or 0)))
            value = series[i]
            if value is not None:
                places.append((float(curves.epochs[i]), value))
    if not places:
        return []
    return [Points("kept", "weights kept by early stopping", *(tuple(column) for column in zip(*places, strict=True)))]


def confusion_matrix(results: Results, found: Classes) -> Matrix:
    """Of all classes, or of those with the most mistakes where there are too many to be drawn."""
    right = sum(rows for (true, predicted), rows in found.confusions.items() if true == predicted)
    all_rows = Counter[int]()
    for (true, _), rows in found.confusions.items():
        all_rows[true] += rows
    n, drawn = len(results.labels), _drawn(found, len(results.labels))
    some = "" if len(drawn) == n else f" of the {len(drawn)} of {n:,} classes with the most mistakes"
    return Matrix(
        name="confusion-matrix",
        title="Confusion matrix" + some,
        text=f"{right:,} of {found.rows:,} rows were put into their own class; per class{some and ','}{some}: "
        + "; ".join(f"{results.labels[i]}: {found.confusions.get((i, i), 0):,} of {all_rows[i]:,}" for i in drawn)
        + ".",
        labels=tuple(results.labels[i] for i in drawn),
        counts=tuple(tuple(found.confusions.get((i, j), 0) for j in drawn) for i in drawn),
        note="Rows are true classes, columns predicted ones; the colour is the share of the "
        + ("row." if some else "true class."),
    )


def _drawn(found: Classes, n_labels: int) -> list[int]:
    if n_labels <= MOST_DRAWN:
        return [*range(n_labels)]
    mistakes = Counter(dict.fromkeys(range(WORST), 0))
    for pair, rows in found.confusions.items():
        if pair[0] != pair[1]:
            mistakes.update(dict.fromkeys(pair, rows))
    return sorted(i for i, _ in mistakes.most_common(WORST))


def calibration_chart(found: Classes) -> Chart:
    """The share of right predictions against the probability that the network gave them."""
    filled = [each for each in found.bins if each.rows and each.probability is not None and each.right is not None]
    edges = (*(each.low for each in found.bins), found.bins[-1].high)
    marks: list[Mark] = [
        Bars("rows", "share of all rows", edges, tuple(each.rows / found.rows for each in found.bins)),
        Line("ideal", "perfect calibration", (0.0, 1.0), (0.0, 1.0)),
        *(Line("interval", "95 % interval", (each.probability or 0.0,) * 2, wilson(each)) for each in filled),
        Points(
            "share",
            "share that was right",
            tuple(each.probability or 0.0 for each in filled),
            tuple(each.right or 0.0 for each in filled),
        ),
    ]
    return Chart(
        name="calibration",
        title="Calibration",
        text="The share of right predictions against the probability of the predicted class: "
        + "; ".join(f"{number(each.right)} at {number(each.probability)} ({each.rows:,} rows)" for each in filled)
        + f". The expected calibration error is {found.calibration_error:.4f}.",
        x=Axis("probability of the predicted class", 0.0, 1.0),
        y=Axis("share that was right", 0.0, 1.0),
        marks=tuple(marks),
        note=f"Expected calibration error {found.calibration_error:.3f}. Points above the line: more often right than "
        "the probability says.",
    )


def wilson(found: Bin) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z, n, share = 1.96, found.rows, found.right or 0.0
    middle, width = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - width) / (1 + z * z / n), (middle + width) / (1 + z * z / n)


def value_charts(results: Results, place: int) -> list[Chart]:
    """Of one predicted number: predicted against true, the residual against predicted, and how residuals are spread."""
    found = results.values[place]
    target = results.target or "y"
    if len(results.values) > 1:
        target += f"[{place}]"
    suffix = "" if len(results.values) == 1 else f"-{place + 1}"
    both = Axis.around("", (*found.true, *found.predicted))
    residuals = tuple(p - t for p, t in zip(found.predicted, found.true, strict=True))
    of_rows = f"{len(found.true):,} of {found.rows:,} rows, evenly chosen." if len(found.true) < found.rows else ""
    predicted = Axis(f"predicted {target}", both.low, both.high)
    residual = Axis.around("predicted − true", (*residuals, 0.0))
    spread = Axis.around("predicted − true", found.residual_edges)
    return [
        Chart(
            f"predicted-against-true{suffix}",
            "Predicted against true",
            f"Predictions of {target} against its true values: R² {found.r2:.4f}, RMSE {number(found.rmse)}.",
            Axis(f"true {target}", both.low, both.high),
            predicted,
            (
                Points("row", "a row", found.true, found.predicted),
                Line("ideal", "perfect prediction", (both.low, both.high), (both.low, both.high)),
            ),
            of_rows,
        ),
        Chart(
            f"residuals{suffix}",
            "Residuals",
            f"Predicted − true against the prediction. The mean absolute error is {number(found.mae)}.",
            Axis.around(f"predicted {target}", found.predicted),
            residual,
            (
                Points("row", "a row", found.predicted, residuals),
                Line("ideal", "perfect prediction", (min(found.predicted), max(found.predicted)), (0.0, 0.0)),
            ),
            of_rows,
        ),
        Chart(
            f"residual-histogram{suffix}",
            "How residuals are spread",
            f"A histogram of predicted − true over {found.rows:,} rows.",
            spread,
            Axis("rows", 0.0, 1.05 * max(1, *found.residual_rows)),
            (
                Bars("rows", "rows", found.residual_edges, tuple(map(float, found.residual_rows))),
                Line("ideal", "perfect prediction", (0.0, 0.0), (0.0, 1.05 * max(1, *found.residual_rows))),
            ),
        ),
    ]
