"""Calls on a few rows, gpubp's and scikit-learn's in one process: partial_fit, predictions, fits of tiny tables.

    python scripts/compare_small_calls.py                                # all rows, a few minutes
    python scripts/compare_small_calls.py --only partial_fit --only "(200, 200)"
    python scripts/compare_small_calls.py --quick --json small_calls.json

Services live on such calls, and what they cost is not the arithmetic alone. Both libraries get networks with the same
weights; before anything is timed, their answers have to agree. Then they take turns, round by round, and each round's
time is that of one call, the mean of several in a row.

Exit code 1: a row is slower than scikit-learn. That is one whose best round and whose median round both take longer
than scikit-learn's: on a busy machine, either alone is chance (--quick judges nothing).
"""

from __future__ import annotations

import gc
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import sklearn.neural_network as peers
import typer
from benchmarks.contest import WrongAnswer
from benchmarks.machine import describe
from rich import box
from rich.console import Console
from rich.table import Table
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gpubp.backends import get_backend
from gpubp.estimators import MLPClassifier, MLPRegressor
from gpubp.estimators.conversion import to_sklearn
from gpubp.fitting.fit import train_model
from gpubp.fitting.recipe import Recipe
from gpubp.tables import Table as Data

console = Console(highlight=False)
notes = Console(stderr=True, highlight=False)

FEATURES, CLASSES = 20, 3
KINDS: dict[str, tuple[Any, Any]] = {
    "classifier": (MLPClassifier, peers.MLPClassifier),
    "regressor": (MLPRegressor, peers.MLPRegressor),
}
LEAST_SECONDS = 0.003  # of a round: so many calls in a row as take that long

Call = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """prepare: the calls of gpubp and scikit-learn, whose answers agree; WrongAnswer where they do not."""

    name: str
    prepare: Callable[[], tuple[Call, Call]]


@dataclass(frozen=True)
class Outcome:
    """seconds: of one call, in each round. Ours first, scikit-learn's second."""

    row: str
    seconds: tuple[list[float], list[float]]

    @property
    def best(self) -> tuple[float, float]:
        return min(self.seconds[0]), min(self.seconds[1])

    @property
    def medians(self) -> tuple[float, float]:
        return float(np.median(self.seconds[0])), float(np.median(self.seconds[1]))

    @property
    def ratios(self) -> tuple[float, float]:
        """gpubp's time over scikit-learn's: of the best rounds, and of the median ones."""
        return self.best[0] / self.best[1], self.medians[0] / self.medians[1]

    @property
    def is_slower(self) -> bool:
        return min(self.ratios) > 1.0


def main(
    only: Annotated[list[str] | None, typer.Option(help="Rows whose name has this in it. Repeatable: all of.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each library in a row.")] = 15,
    quick: Annotated[bool, typer.Option("--quick", help="One round of one call: to see that it runs.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Save machine and times here.")] = None,
) -> None:
    """Compare the time of calls on a few rows."""
    chosen = [row for row in all_rows() if all(part in row.name for part in only or [])]
    if not chosen:
        fail(f"No row has {' and '.join(map(repr, only or []))} in its name, such as {all_rows()[0].name!r}.")
    machine = describe(get_backend("numpy"))
    for what, found in machine.items():
        console.print(f"{what + ':':<20} {found}", markup=False, soft_wrap=True)
    outcomes = []
    for row in chosen:
        notes.print(f"{row.name} …", markup=False)
        try:
            outcomes.append(measure(row, 1 if quick else rounds, 0.0 if quick else LEAST_SECONDS))
        except WrongAnswer as error:
            fail(f"{row.name}: wrong answer, so there is nothing to time. {error}.", code=1)
    show(outcomes)
    if json_file is not None:
        saved = {"machine": machine, "rows": [asdict(outcome) | {"ratios": outcome.ratios} for outcome in outcomes]}
        json_file.write_text(json.dumps(saved, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        notes.print(f"Saved as {json_file}", markup=False)
    if (slower := [outcome.row for outcome in outcomes if outcome.is_slower]) and not quick:
        fail(f"Slower than scikit-learn: {'; '.join(slower)}.", code=1)


def all_rows() -> list[Row]:
    rows = [
        Row(
            f"partial_fit of {count}: {kind} {hidden}, {solver}",
            lambda kind=kind, hidden=hidden, solver=solver, count=count: partial_fits(kind, hidden, solver, count),
        )
        for kind in KINDS
        for hidden in ((50,), (100,), (200, 200))
        for solver in ("sgd", "adam")
        for count in (1, 5, 20, 200)
    ]
    rows += [
        Row(
            f"{method} of {count}: {kind} {hidden}, {dtype}",
            lambda kind=kind, method=method, hidden=hidden, dtype=dtype, count=count: predictions(
                kind, method, hidden, dtype, count
            ),
        )
        for kind, method in (("classifier", "predict"), ("classifier", "predict_proba"), ("regressor", "predict"))
        for hidden in ((100,), (200, 200), (500, 500))
        for dtype in ("float64", "float32")
        for count in (1, 10, 100)
    ]
    rows += [
        Row(f"fit of {count}: {kind} (50,), adam", lambda kind=kind, count=count: fits(kind, count))
        for kind in KINDS
        for count in (10, 30, 100)
    ]
    return [*rows, Row("Model.predict of 1: a scaler and (100,)", model_prediction)]


def table(count: int, kind: str, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """X (count, FEATURES), and labels that occur all or numbers."""
    X = np.random.default_rng(0).normal(size=(max(count, 2 * CLASSES), FEATURES)).astype(dtype)
    y = np.arange(len(X)) % CLASSES if kind == "classifier" else X[:, 0] - X[:, 1]
    return X[:count], y[:count]


def partial_fits(kind: str, hidden: tuple[int, ...], solver: str, count: int) -> tuple[Call, Call]:
    """A piece of `count` rows after another; where the order does not matter, both end with the same weights."""
    X, y = table(count, kind)
    extra = {"classes": np.arange(CLASSES)} if kind == "classifier" else {}
    # Adam's epsilon is added at another place by each: a small one makes no difference.
    ours = KINDS[kind][0](hidden_layer_sizes=hidden, solver=solver, epsilon=1e-12, random_state=0)
    ours.partial_fit(X, y, **extra)
    theirs = to_sklearn(ours)
    for estimator in (ours, theirs):
        estimator.partial_fit(X, y)
    require_same(np.concatenate([W.ravel() for W in ours.coefs_]), np.concatenate([W.ravel() for W in theirs.coefs_]))
    return lambda: ours.partial_fit(X, y), lambda: theirs.partial_fit(X, y)


def predictions(kind: str, method: str, hidden: tuple[int, ...], dtype: str, count: int) -> tuple[Call, Call]:
    X, y = table(100, kind, dtype)
    ours = KINDS[kind][0](hidden_layer_sizes=hidden, random_state=0, max_iter=2)
    theirs = to_sklearn(quietly(lambda: ours.fit(X, y)))
    X = X[:count]
    calls = tuple(lambda estimator=estimator: getattr(estimator, method)(X) for estimator in (ours, theirs))
    require_same(calls[0](), calls[1]())
    return calls[0], calls[1]


def fits(kind: str, count: int) -> tuple[Call, Call]:
    """Whole trainings begin with other weights and take other rows first: what they predict from is what agrees."""
    X, y = table(count, kind)
    ours, theirs = (each(hidden_layer_sizes=(50,), random_state=0) for each in KINDS[kind])
    quietly(lambda: ours.fit(X, y))
    require_same(ours.predict(X), to_sklearn(ours).predict(X))
    return lambda: quietly(lambda: ours.fit(X, y)), lambda: quietly(lambda: theirs.fit(X, y))


def model_prediction() -> tuple[Call, Call]:
    """A model of a table, which scales its columns, and a pipeline of scikit-learn's that does the same."""
    X, y = table(100, "regressor")
    backend, names = get_backend("numpy"), [f"x{i}" for i in range(FEATURES)]
    whole = pl.DataFrame(X, schema=names).with_columns(y=y)
    recipe = Recipe(hidden=(100,), epochs=2, dtype="float64")
    model = train_model(Data.from_frame(whole), "y", recipe, backend=backend).model
    row = Data.from_frame(whole.drop("y")[:1])
    pipeline = make_pipeline(StandardScaler(), peers.MLPRegressor(hidden_layer_sizes=(100,), max_iter=2))
    quietly(lambda: pipeline.fit(X, y))
    if not np.isfinite(model.predict(row, backend).values).all():
        raise WrongAnswer("the model's prediction is not finite")
    return lambda: model.predict(row, backend), lambda: pipeline.predict(X[:1])


def quietly(work: Callable[[], Any]) -> Any:
    """max_iter is given, converged or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return work()


def require_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Numbers to rounding, labels exactly. Of weights after Adam's steps, on average: where a gradient is next to
    nothing, rounding decides its step's sign.
    """
    apart = float(np.abs(np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)).mean())
    if not apart < 1e-6:
        raise WrongAnswer(f"gpubp and scikit-learn are {apart:.1e} apart")


def measure(row: Row, rounds: int, least: float) -> Outcome:
    calls = row.prepare()
    for call in calls:
        call()
    counts = [max(1, round(least / seconds(call, 1))) for call in calls]
    gc.collect()
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for who in (0, 1):
            found[who].append(seconds(calls[who], counts[who]))
    return Outcome(row.name, found)


def seconds(call: Call, count: int) -> float:
    """Of one of `count` calls in a row."""
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def show(outcomes: list[Outcome]) -> None:
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "gpubp, µs", "scikit-learn, µs", "ratio", "of medians"):
        found.add_column(heading, justify="right" if heading else "left")
    for outcome in outcomes:
        times = [f"{1e6 * best:.0f}" for best in outcome.best]
        ratios = [f"{ratio:.2f}" for ratio in outcome.ratios]
        found.add_row(outcome.row, *times, *ratios, style="bold" if outcome.is_slower else None)
    if not console.is_terminal:
        console.width = max(console.width, 120)  # a file has room
    console.print()
    console.print(found)
    console.print("Best rounds; ratio: gpubp's time over scikit-learn's.")
    ratios = [outcome.ratios[0] for outcome in outcomes]
    console.print(f"Ratios: median {np.median(ratios):.2f}, largest {max(ratios):.2f}.")


def fail(message: str, code: int = 2) -> None:
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    typer.run(main)
