"""The page: one HTML file without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gpubp.reporting import svg
from gpubp.reporting.axes import Axis, cut, number
from gpubp.reporting.figures import Chart, Figure
from gpubp.reporting.gallery import Figures
from gpubp.reporting.parameters import MOST_POINTS, chosen, shown, spelled, value_of, varied
from gpubp.reporting.results import Entry, Results, Trial
from gpubp.storage.files import write_whole

LEADERS = 10
MOST_ROWS = 500  # of the table of all trials
MOST_CLASSES = 40  # in the table of precision and recall
MODEL_FILES = {"best.safetensors": "the best network", "ensemble.safetensors": "the ensemble"}


def write_page(results: Results, path: str | Path) -> None:
    """Whole or not at all. DataError where it cannot be written."""
    write_whole(path, page(results).encode())


def page(results: Results) -> str:
    """The HTML. Its policy forbids everything but its own style and script: nothing is fetched, nothing else runs."""
    environment = Environment(
        loader=PackageLoader("gpubp.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "score": score,
        "number": number,
        "draw": svg.draw,
        "cut": cut,
        "shown": shown,
        "legend": legend,
    }
    style, script = (_own_file(name) for name in ("page.css", "page.js"))
    figures, names = Figures.of(results), varied(results)
    trials = results.trials
    leaders = [trial for trial in trials[:LEADERS] if trial.status != "unfinished"]
    folds = Axis.around("", [score for trial in trials[:LEADERS] for score in trial.scores if score is not None])
    return environment.get_template("page.html").render(
        results=results,
        figures=figures,
        names=names,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; "
        "form-action 'none'",
        title=f"Sweep of {Path(results.source).name}" if results.source else "Sweep",
        leaders=[row(trial, names, folds) for trial in leaders],
        others=[row(trial, names, folds) for trial in trials[len(leaders) : MOST_ROWS]],
        more=max(0, len(trials) - MOST_ROWS),
        undrawn=max(0, len(trials) - MOST_POINTS),
        space=[
            (shown(name), searched(name, entries), value_of(results.best, name))
            for name, entries in results.space.items()
        ],
        commands=commands(results),
        classes=class_rows(results),
        tips=tips(results, names, figures),
        seconds=seconds,
    )


def row(trial: Trial, names: list[str], folds: Axis) -> dict[str, Any]:
    """A trial as the leaderboard shows it; folds: the axis of its folds' scores."""
    dots = svg.fold_dots(trial.scores, trial.mean, folds) if trial.mean is not None else ""
    return {
        "trial": trial,
        "dots": dots,
        "values": [value_of(trial, name) for name in names],
        "keys": [_sort_key(trial.parameters.get(name)) for name in names],
    }


def _sort_key(value: Any) -> str:
    """What a column is sorted by: a number as it is, hidden layers by their neurons."""
    if isinstance(value, tuple) and all(isinstance(item, (int, float)) for item in value):
        return repr(float(sum(value)))
    return repr(float(value)) if isinstance(value, (int, float)) else ""


def score(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}".replace("-", "−") if abs(value) < 1e3 else number(value)


def seconds(value: float) -> str:
    if value < 60:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def searched(name: str, entries: tuple[Entry, ...]) -> str:
    """What the space says of a hyperparameter, in words."""
    found = []
    for entry in entries:
        if entry.is_range:
            found.append(f"{number(entry.low)} to {number(entry.high)}" + (", logarithmic" if entry.log else ""))
        else:
            found.append("; ".join(spelled(name, value) for value in entry.choices))
    return "; or ".join(found)


def commands(results: Results) -> list[tuple[str, list[str]]]:
    """What to do with it: what a command does, and its words. Of files only those that are there."""
    there = [(results.folder / name, what) for name, what in MODEL_FILES.items() if (results.folder / name).is_file()]
    found = [
        (f"Predict with {what}", ["gpubp", "predict", str(path), "new.csv", "--output", "predictions.csv"])
        for path, what in there
    ]
    if there:
        found.append(("See what is in a file", ["gpubp", "show", str(there[0][0])]))
    quoted = [(what, [shlex.quote(word) for word in words]) for what, words in found]
    return [("Train the best network again, on all rows", results.command.split(" ")), *quoted]


def class_rows(results: Results) -> list[tuple[str, int, float | None, float | None]]:
    """Each class: its rows, its precision and its recall, None where nothing was predicted as it, or it has no rows."""
    if results.classes is None:
        return []
    confusions = results.classes.confusions
    truth, answers = Counter[int](), Counter[int]()
    for (true, answer), count in confusions.items():
        truth[true] += count
        answers[answer] += count
    found = []
    for i, label in enumerate(results.labels[:MOST_CLASSES]):
        rows, predicted, right = truth[i], answers[i], confusions.get((i, i), 0)
        found.append((label, rows, right / predicted if predicted else None, right / rows if rows else None))
    return found


def tips(results: Results, names: list[str], figures: Figures) -> dict[str, Any]:
    """What is shown of a trial when it is pointed at, as texts."""
    drawn = {trial.number for trial in chosen(results.trials, MOST_POINTS)}
    if figures.parallel is not None:
        drawn |= {thread.trial for thread in figures.parallel.threads}
    return {
        "names": [shown(name) for name in names],
        "trials": {
            trial.number: [
                f"Trial {trial.number}"
                if trial.status == "unfinished"
                else f"Trial {trial.number}, place {trial.rank}",
                f"{results.metric} {score(trial.mean)}" + (f" ± {score(trial.std)}" if trial.std is not None else ""),
                "" if trial.status == "complete" else trial.status,
                *(value_of(trial, name) for name in names),
            ]
            for trial in results.trials
            if trial.number in drawn
        },
    }


def legend(figures: Sequence[Figure]) -> list[tuple[Markup, str]]:
    """Each kind of marks in these figures once, as a small picture and its name."""
    found = {mark.kind: mark for each in figures if isinstance(each, Chart) for mark in each.marks}
    return [(svg.legend_glyph(kind, mark), mark.label) for kind, mark in found.items()]


def _own_file(name: str) -> str:
    return files("gpubp.reporting").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
