"""Figures as SVG for the page. Colours, lines and fonts are the style sheet's; here is geometry alone.

Texts are escaped: everything is put together with markupsafe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup

from gpubp.reporting.axes import Axis, cut
from gpubp.reporting.figures import Bars, Chart, Figure, Line, Matrix, Parallel, Points

T = TypeVar("T")
WIDTH, HEIGHT = 360.0, 270.0  # of a chart, in CSS pixels at its usual size
CHARACTER = 6.3  # pixels that a character of a tick takes, on average
ROTATED = math.radians(35)
GLYPHS = {"diverged": "x", "below": "v", "best": "d", "kept": "d"}  # all others are circles
RADIUS = {"row": 1.8, "share": 4.0}


@dataclass(frozen=True)
class Frame:
    """A rectangle of the picture, and the axes that go along it."""

    left: float
    right: float
    top: float
    bottom: float
    x: Axis
    y: Axis

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (
            self.left + self.x.share(x) * (self.right - self.left),
            self.bottom - self.y.share(y) * (self.bottom - self.top),
        )


def draw(figure: Figure) -> Markup:
    if isinstance(figure, Chart):
        return draw_chart(figure)
    if isinstance(figure, Matrix):
        return draw_matrix(figure)
    return draw_parallel(figure)


def draw_chart(chart: Chart) -> Markup:
    x_ticks, y_ticks = _shortened(chart.x.ticks()), _shortened(chart.y.ticks())
    left = 26 + CHARACTER * max((len(text) for _, text in y_ticks), default=1)
    right = WIDTH - 12
    turned = chart.x.labels and sum(len(text) + 2 for _, text in x_ticks) * CHARACTER > right - left
    longest = max((len(text) for _, text in x_ticks), default=1)
    room = 8 + longest * CHARACTER * math.sin(ROTATED) if turned else 16
    frame = Frame(left, right, 10, HEIGHT - 24 - room, chart.x, chart.y)
    return _svg(
        WIDTH,
        HEIGHT,
        chart.text,
        [
            _x_axis(frame, x_ticks, turned=bool(turned)),
            _y_axis(frame, y_ticks),
            _text(frame.left + (frame.right - frame.left) / 2, HEIGHT - 5, chart.x.title, "title middle"),
            _turned(11, frame.top + (frame.bottom - frame.top) / 2, chart.y.title, "title middle", -90),
            *(_mark(frame, mark) for mark in chart.marks),
        ],
    )


def draw_matrix(matrix: Matrix) -> Markup:
    """Cells, coloured by their share of the true class; with their counts where there is room for them."""
    labels = [cut(label, 12) for label in matrix.labels]
    n, longest = len(labels), max(map(len, labels))
    left = 30 + CHARACTER * longest
    side = min((WIDTH - 12 - left) / n, 76.0)
    turned = (longest + 1) * CHARACTER > side
    room = 6 + longest * CHARACTER * math.sin(ROTATED) if turned else 16
    top, size = 4.0, side * n
    parts = []
    for i, row in enumerate(matrix.counts):
        for j, count in enumerate(row):
            share = count / max(1, sum(row))
            x, y = left + j * side, top + i * side
            parts.append(_rectangle(x, y, side, side, "cell right" if i == j else "cell", f"{0.04 + 0.96 * share:.2f}"))
            if side >= 7 + CHARACTER * len(f"{count}"):
                kind = "count strong" if share > 0.55 else "count"
                parts.append(_text(x + side / 2, y + side / 2 + 4, f"{count}", f"{kind} middle"))
    every = max(1, math.ceil(13 / side))  # labels that would lie on each other are left out
    for i in range(0, n, every):
        middle = (i + 0.5) * side
        parts.append(_text(left - 5, top + middle + 4, labels[i], "tick end"))
        if turned:
            parts.append(_turned(left + middle + 3, top + size + 12, labels[i], "tick end", -35))
        else:
            parts.append(_text(left + middle, top + size + 14, labels[i], "tick middle"))
    bottom = top + size + room
    parts.append(_text(left + size / 2, bottom + 16, "predicted class", "title middle"))
    parts.append(_turned(11, top + size / 2, "true class", "title middle", -90))
    return _svg(WIDTH, bottom + 22, matrix.text, parts)


def draw_parallel(figure: Parallel) -> Markup:
    """Twice: axes side by side, and, for narrow screens, axes below each other."""
    return Markup('<div class="wide">{}</div><div class="narrow">{}</div>').format(_upright(figure), _lying(figure))


def _upright(figure: Parallel) -> Markup:
    width, height, top, bottom = 1080.0, 360.0, 34.0, 340.0
    first = 24 + CHARACTER * max(len(cut(text)) for _, text in figure.axes[0].ticks())
    step = (width - 40 - first) / (len(figure.axes) - 1)
    places = [first + i * step for i in range(len(figure.axes))]

    def at(i: int, value: float | None) -> tuple[float, float]:
        return places[i], bottom - figure.share(i, value) * (bottom - top)

    parts = [_threads(figure, at)]
    for i, axis in enumerate(figure.axes):
        parts.append(_line(places[i], top, places[i], bottom, "axis"))
        parts.append(_text(places[i], 18, cut(axis.title, 24), "title middle halo"))
        for value, text in _thinned(figure.ticks(i), bottom - top, 13):
            x, y = at(i, value)
            parts += [_line(x - 4, y, x, y, "axis"), _text(x - 7, y + 4, cut(text), "tick end halo")]
    return _svg(width, height, figure.text, parts, "parallel")


def _lying(figure: Parallel) -> Markup:
    width, left, right, step = WIDTH, 18.0, WIDTH - 18.0, 80.0

    def at(i: int, value: float | None) -> tuple[float, float]:
        return left + figure.share(i, value) * (right - left), 26 + i * step

    parts = [_threads(figure, at)]
    for i, axis in enumerate(figure.axes):
        y = 26 + i * step
        parts += [_line(left, y, right, y, "axis"), _text(left - 12, y - 8, axis.title, "title halo")]
        ticks = figure.ticks(i)
        longest = max((len(cut(text)) for _, text in ticks), default=1)
        for value, text in _thinned(ticks, right - left, (longest + 1) * CHARACTER):
            x = at(i, value)[0]
            parts += [_line(x, y, x, y + 4, "axis"), _text(x, y + 15, cut(text), "tick middle halo")]
    return _svg(width, 26 + (len(figure.axes) - 1) * step + 22, figure.text, parts, "parallel")


def _threads(figure: Parallel, at: Callable[[int, float | None], tuple[float, float]]) -> Markup:
    parts = [
        Markup('<path class="q{}" data-t="{}" d="{}"/>').format(
            thread.tier, thread.trial, _path(at(i, value) for i, value in enumerate(thread.places))
        )
        for thread in figure.threads
    ]
    return Markup('<g class="threads">{}</g>').format(_joined(parts))


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_short(x)} {_short(y)}" for x, y in points)


def _mark(frame: Frame, mark: Points | Line | Bars) -> Markup:
    if isinstance(mark, Line):
        path = _path(frame.at(x, y) for x, y in zip(mark.x, mark.y, strict=True))
        return Markup('<path class="line {}" d="{}"/>').format(mark.kind, path)
    if isinstance(mark, Bars):
        parts = []
        for low, high, height in zip(mark.edges, mark.edges[1:], mark.heights, strict=False):
            (x, y), (right, bottom) = frame.at(low, height), frame.at(high, frame.y.low)
            parts.append(_rectangle(x + 0.5, y, max(0.5, right - x - 1), bottom - y, mark.kind))
        return _joined(parts)
    trials: Sequence[int | None] = mark.trials or (None,) * len(mark.x)
    points = [_glyph(mark.kind, *frame.at(x, y), trial) for x, y, trial in zip(mark.x, mark.y, trials, strict=True)]
    return Markup('<g class="points {}">{}</g>').format(mark.kind, _joined(points))


def _glyph(kind: str, x: float, y: float, trial: int | None) -> Markup:
    whose = Markup("") if trial is None else Markup(' data-t="{}"').format(trial)
    a, b = _short(x), _short(y)
    shape = GLYPHS.get(kind)
    if shape is None:
        return Markup('<circle cx="{}" cy="{}" r="{}"{}/>').format(a, b, f"{RADIUS.get(kind, 3.2):g}", whose)
    path = {
        "x": f"M{a} {b}m-3.5 -3.5l7 7m0 -7l-7 7",
        "v": f"M{a} {b}m-4 -4h8l-4 6z",
        "d": f"M{a} {b}m0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z",
    }[shape]
    return Markup('<path d="{}"{}/>').format(path, whose)


def legend_glyph(kind: str, mark: Points | Line | Bars) -> Markup:
    """A picture of 22 by 12 pixels."""
    if isinstance(mark, Bars):
        inner = _rectangle(5, 1, 12, 10, kind)
    elif isinstance(mark, Line):
        inner = Markup('<path class="line {}" d="M1 6H21"/>').format(kind)
    else:
        inner = Markup('<g class="points {}">{}</g>').format(kind, _glyph(kind, 11, 6, None))
    return Markup('<svg class="glyph" width="22" height="12" viewBox="0 0 22 12" aria-hidden="true">{}</svg>').format(
        inner
    )


def fold_dots(scores: Sequence[float | None], mean: float, axis: Axis) -> Markup:
    """The scores of a trial's folds on a line of 96 by 14 pixels, and their mean as a stroke."""
    dots = [
        Markup('<circle cx="{}" cy="7" r="2.6"/>').format(_short(4 + 88 * axis.share(score)))
        for score in scores
        if score is not None
    ]
    x = 4 + 88 * axis.share(mean)
    return Markup(
        '<svg class="dots" width="96" height="14" viewBox="0 0 96 14" aria-hidden="true">{}{}{}</svg>'
    ).format(_line(4, 7, 92, 7, "grid"), _joined(dots), _line(x, 1, x, 13, "mean"))


def _x_axis(frame: Frame, ticks: Sequence[tuple[float, str]], turned: bool) -> Markup:
    parts = []
    fits = (frame.right - frame.left) / max(1.0, max((len(text) + 2 for _, text in ticks), default=1) * CHARACTER)
    every = 1 if frame.x.labels else max(1, math.ceil(len(ticks) / max(1.0, fits)))
    for value, text in ticks[::every]:
        x = frame.at(value, frame.y.low)[0]
        if not frame.x.labels:
            parts.append(_line(x, frame.top, x, frame.bottom, "grid"))
        if turned:
            parts.append(_turned(x + 3, frame.bottom + 14, text, "tick end", -35))
        else:
            parts.append(_text(x, frame.bottom + 15, text, "tick middle"))
    parts.append(_line(frame.left, frame.bottom, frame.right, frame.bottom, "axis"))
    return _joined(parts)


def _y_axis(frame: Frame, ticks: Sequence[tuple[float, str]]) -> Markup:
    parts = []
    for value, text in ticks:
        y = frame.at(frame.x.low, value)[1]
        parts += [
            _line(frame.left, y, frame.right, y, "grid"),
            _text(frame.left - 5, y + 4, text, "tick end"),
        ]
    return _joined(parts)


def _thinned(ticks: Sequence[tuple[T, str]], length: float, each: float) -> Sequence[tuple[T, str]]:
    """As many as fit a length on which each takes so much."""
    return ticks[:: max(1, math.ceil(len(ticks) * each / length))]


def _shortened(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    return [(value, cut(text)) for value, text in ticks]


def _svg(width: float, height: float, text: str, parts: Iterable[Markup], kind: str = "chart") -> Markup:
    return Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        kind, _short(width), _short(height), text, _joined(parts)
    )


def _text(x: float, y: float, text: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(kind, _short(x), _short(y), text)


def _turned(x: float, y: float, text: str, kind: str, degrees: int) -> Markup:
    return Markup('<text class="{}" transform="translate({} {}) rotate({})">{}</text>').format(
        kind, _short(x), _short(y), degrees, text
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<path class="{}" d="M{} {}L{} {}"/>').format(kind, *map(_short, (x1, y1, x2, y2)))


def _rectangle(x: float, y: float, width: float, height: float, kind: str, opacity: str = "") -> Markup:
    more = Markup(' fill-opacity="{}"').format(opacity) if opacity else Markup("")
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"{}/>').format(
        kind, *map(_short, (x, y, width, height)), more
    )


def _short(number: float) -> str:
    """A tenth of a pixel is enough."""
    return f"{number:.1f}".removesuffix(".0")


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
