"""What is to be seen, without how it is drawn: `svg` and `plots` know that."""

from __future__ import annotations

from dataclasses import dataclass

from gpubp.reporting.axes import Axis


@dataclass(frozen=True)
class Points:
    """kind: how they look, one of `KINDS`. label: for the legend. trials: whose points they are, where they are any's.

    Points beyond the end of an axis are drawn at that end.
    """

    kind: str
    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    trials: tuple[int, ...] = ()


@dataclass(frozen=True)
class Line:
    kind: str
    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Bars:
    """heights[i] from edges[i] to edges[i + 1]."""

    kind: str
    label: str
    edges: tuple[float, ...]
    heights: tuple[float, ...]


Mark = Points | Line | Bars


@dataclass(frozen=True)
class Chart:
    """name: of a file. text: what it shows, in words, for those who cannot see it. note: what to know in reading it.

    marks: later ones lie on top.
    """

    name: str
    title: str
    text: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    note: str = ""


@dataclass(frozen=True)
class Matrix:
    """counts: a row for each true class, a column for each predicted one, named by labels."""

    name: str
    title: str
    text: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Thread:
    """A trial across the axes of Parallel; None where it has no such parameter.

    tier: 0 for the worst fifth of trials, 4 for the best fifth, 5 for the best trial.
    """

    trial: int
    places: tuple[float | None, ...]
    tier: int


@dataclass(frozen=True)
class Parallel:
    """threads: later ones lie on top."""

    name: str
    title: str
    text: str
    axes: tuple[Axis, ...]
    threads: tuple[Thread, ...]
    note: str = ""

    def ticks(self, i: int) -> list[tuple[float | None, str]]:
        """Of axis i; None, if some thread has no value there, is the first."""
        none = any(thread.places[i] is None for thread in self.threads)
        return [*([(None, "none")] if none else []), *self.axes[i].ticks()]

    @property
    def room(self) -> float:
        """The share of the axes' length, at their low ends, that is for what has no place on them."""
        return 0.1 if any(None in thread.places for thread in self.threads) else 0.0

    def share(self, i: int, value: float | None) -> float:
        """Where a value of axis i lies between its two ends."""
        return 0.0 if value is None else self.room + (1.0 - self.room) * self.axes[i].share(value)


Figure = Chart | Matrix | Parallel


@dataclass(frozen=True)
class Look:
    """Of a kind of marks in pictures by matplotlib; the page's style sheet has the same colours, and those for dark."""

    colour: str
    marker: str = "o"
    size: float = 18.0
    filled: bool = True
    width: float = 1.5
    dash: str = "-"
    alpha: float = 1.0


# Okabe and Ito's colours, which can be told apart with any colour vision.
KINDS = {
    "complete": Look("#0072b2", alpha=0.65),
    "stopped": Look("#6b7683", filled=False),
    "diverged": Look("#d55e00", marker="x", size=24),
    "below": Look("#0072b2", marker="v", size=24),
    "best": Look("#d55e00", marker="D", size=42),
    "row": Look("#0072b2", size=9, alpha=0.45),
    "median": Look("#1b1f24", width=2.2),
    "baseline": Look("#6b7683", width=1.2, dash="--"),
    "ideal": Look("#6b7683", width=1.2, dash="--"),
    "training": Look("#e69f00", width=0.8, alpha=0.5),
    "held": Look("#0072b2", width=0.8, alpha=0.5),
    "training-mean": Look("#e69f00", width=2.2),
    "held-mean": Look("#0072b2", width=2.2),
    "kept": Look("#d55e00", marker="D", size=22),
    "rows": Look("#c9d1d9"),
    "share": Look("#0072b2", size=30),
    "interval": Look("#0072b2", width=1.2),
}
