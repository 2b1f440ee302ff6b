"""The report's figures as files for papers and slides, drawn by matplotlib (the extra `plot`)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpubp.errors import DataError
from gpubp.reporting.axes import Axis, cut
from gpubp.reporting.figures import KINDS, Bars, Chart, Figure, Line, Mark, Matrix, Parallel
from gpubp.reporting.gallery import Figures
from gpubp.reporting.results import Results
from gpubp.storage.files import make_folder, remove_planted, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

DPI = 160
LEGEND = 90  # characters beside each other, each entry having its picture besides
TIERS = ("#d3dde6", "#a9c6dd", "#74a9cf", "#2f83bd", "#0b4f80", "#d55e00")
STYLE: Any = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e9edf1",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "svg.hashsalt": "gpubp",  # the same files every time
    "text.parse_math": False,  # names of columns may have dollar signs
}


def write_plots(results: Results, folder: Path) -> list[Path]:
    """NAME.png and NAME.svg of each figure, into a folder that is made where it is not there; their paths.

    DataError without matplotlib, before anything is written, and before anything is drawn where there can be no folder.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise DataError(f"Pictures need matplotlib: pip install 'gpubp[plot]' ({error}).") from None
    make_folder(folder)
    drawn: dict[Path, bytes] = {}
    with matplotlib.rc_context(STYLE):
        for figure in Figures.of(results).all():
            picture = draw(figure)
            for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
                content = io.BytesIO()
                picture.savefig(content, format=kind, dpi=DPI, metadata=metadata)
                drawn[folder / f"{figure.name}.{kind}"] = content.getvalue()
    for path, written in drawn.items():
        remove_planted(path)
        write_whole(path, written)
    return list(drawn)


def draw(figure: Figure) -> Picture:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    wide = isinstance(figure, Parallel)
    picture = Picture(figsize=(10.0, 4.0) if wide else (5.2, 4.2), layout="constrained")
    FigureCanvasAgg(picture)
    axes = picture.subplots()
    axes.set_title(figure.title, fontsize=10, fontweight="bold", loc="left")
    if isinstance(figure, Chart):
        _chart(axes, figure)
        longest = max(len(mark.label) for mark in figure.marks)
        picture.legend(loc="outside lower center", ncols=min(3, max(1, LEGEND // (longest + 8))))
    elif isinstance(figure, Matrix):
        _matrix(axes, figure)
    else:
        _parallel(axes, figure)
    return picture


def _chart(axes: Axes, chart: Chart) -> None:
    seen: set[str] = set()
    for mark in chart.marks:
        label = "_" if mark.kind in seen else mark.label  # matplotlib leaves out what begins with an underscore
        seen.add(mark.kind)
        _mark(axes, chart, mark, label)
    for axis, put in ((chart.x, "x"), (chart.y, "y")):
        _axis(axes, axis, put)
    if chart.x.labels:
        axes.grid(visible=False, axis="x")
        if sum(map(len, chart.x.labels)) > 45:
            axes.tick_params(axis="x", labelrotation=30)


def _axis(axes: Axes, axis: Axis, put: str) -> None:
    ticks = axis.ticks()
    getattr(axes, f"set_{put}label")(axis.title)
    getattr(axes, f"set_{put}scale")("log" if axis.log else "linear")
    getattr(axes, f"set_{put}lim")(axis.low, axis.high)
    getattr(axes, f"set_{put}ticks")([place for place, _ in ticks], [cut(text) for _, text in ticks])
    getattr(axes, f"set_{put}ticks")([], minor=True)


def _mark(axes: Axes, chart: Chart, mark: Mark, label: str) -> None:
    look = KINDS[mark.kind]
    if isinstance(mark, Bars):
        left, right = np.array(mark.edges[:-1]), np.array(mark.edges[1:])
        axes.bar(left, mark.heights, right - left, align="edge", color=look.colour, edgecolor="white", label=label)
        return
    x, y = np.clip(mark.x, chart.x.low, chart.x.high), np.clip(mark.y, chart.y.low, chart.y.high)
    if isinstance(mark, Line):
        axes.plot(x, y, look.dash, color=look.colour, linewidth=look.width, alpha=look.alpha, label=label)
        return
    colours: dict[str, Any] = {"facecolors": look.colour if look.filled else "white", "edgecolors": look.colour}
    if look.marker == "x":
        colours = {"c": look.colour}
    elif mark.kind == "best":
        colours["edgecolors"] = "white"
    axes.scatter(
        x, y, look.size, marker=look.marker, alpha=look.alpha, linewidths=0.9, label=label, zorder=3, clip_on=False,
        **colours,
    )  # fmt: skip


def _matrix(axes: Axes, matrix: Matrix) -> None:
    counts = np.array(matrix.counts, dtype=np.float64)
    share = counts / np.maximum(1.0, counts.sum(axis=1, keepdims=True))
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.grid(visible=False)
    labels = [cut(label) for label in matrix.labels]
    places = range(len(labels))
    turn = 30 if sum(map(len, labels)) > 30 else 0
    axes.set_xticks(places, labels, rotation=turn, ha="right" if turn else "center")
    axes.set_yticks(places, labels)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if len(labels) <= 20:
        for i in places:
            for j in places:
                colour = "white" if share[i, j] > 0.55 else "black"
                axes.text(j, i, f"{matrix.counts[i][j]}", ha="center", va="center", color=colour, fontsize=8)


def _parallel(axes: Axes, figure: Parallel) -> None:
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for thread in figure.threads:
        y = [figure.share(i, value) for i, value in enumerate(thread.places)]
        axes.plot(range(len(y)), y, color=TIERS[thread.tier], linewidth=2.6 if thread.tier == 5 else 0.9, alpha=0.85)
    for i in range(len(figure.axes)):
        axes.axvline(i, color="#6b7683", linewidth=0.9)
        for value, text in figure.ticks(i):
            axes.text(
                i - 0.03, figure.share(i, value), cut(text), ha="right", va="center", fontsize=7.5, color="#57616c",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
            )  # fmt: skip
    axes.set_xticks(range(len(figure.axes)), [axis.title for axis in figure.axes])
    axes.set_yticks([])
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(-0.35, len(figure.axes) - 0.9)
