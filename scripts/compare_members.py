"""Do several networks answer better than one, and what do they cost? gpubp's n_members beside BaggingClassifier.

    python scripts/compare_members.py FOLDER --tables sonar --tables glass       # FOLDER/sonar.csv, FOLDER/glass.csv
    python scripts/compare_members.py FOLDER --quick --json members.json

Each table (a header row; the last column is the target) is cross-validated once for each seed by four contestants, who
take turns, fold by fold: one network, as many members as asked for, as many bagged members, and scikit-learn's
BaggingClassifier or BaggingRegressor of its MLPs. Inputs are scaled and encoded by the training rows of each fold.

A score is accuracy, or R² where the target is a number; its noise is the standard deviation over the seeds. Times of a
busy machine are worth little, their ratios more. scikit-learn fits its networks one by one, or by --jobs processes.
"""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from benchmarks.machine import describe
from rich import box
from rich.console import Console
from rich.table import Table as Printed
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor

from gpubp.backends import get_backend
from gpubp.errors import GpubpError
from gpubp.estimators import MLPClassifier, MLPRegressor
from gpubp.preprocessing import Preprocessing, Target, choose_inputs
from gpubp.tables import Table, find_column, read_table

console = Console(highlight=False)
notes = Console(stderr=True, highlight=False)

NETWORK: dict[str, Any] = {"hidden_layer_sizes": (32,)}
CONTESTANTS = ("one network", "members", "bagged", "scikit-learn, bagged")


@dataclass(frozen=True)
class Outcome:
    """scores: by contestant, the mean over the folds for each seed; seconds: by contestant, the median fit."""

    table: str
    measure: str
    scores: dict[str, list[float]]
    seconds: dict[str, float]


def main(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Where the tables are, as NAME.csv.")],
    tables: Annotated[list[str] | None, typer.Option(help="Only this table, by NAME. Repeatable.")] = None,
    members: Annotated[int, typer.Option(min=2)] = 10,
    seeds: Annotated[int, typer.Option(min=2, help="Cross-validations of each table.")] = 10,
    folds: Annotated[int, typer.Option(min=2)] = 3,
    jobs: Annotated[int, typer.Option(help="Processes that scikit-learn's bagging may use.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="2 seeds, 2 folds, 10 epochs: to see that it runs.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Save machine, scores and times here.")] = None,
) -> None:
    """Compare scores and fit times."""
    found = sorted(path.stem for path in folder.glob("*.csv"))
    if unknown := sorted({*(tables or [])} - {*found}):
        fail(f"There is no {unknown[0]}.csv in {folder}: it has {', '.join(found) or 'no CSV files'}.")
    machine = describe(get_backend("numpy"))
    for what, value in machine.items():
        console.print(f"{what + ':':<20} {value}", markup=False, soft_wrap=True)
    amount = (2, 2, 10) if quick else (seeds, folds, 200)
    outcomes = []
    for name in tables or found:
        notes.print(f"[dim]{name} …[/]")
        try:
            outcomes.append(compare(name, read_table(folder / f"{name}.csv"), members, *amount, jobs))
        except (GpubpError, ValueError, ZeroDivisionError) as error:
            # ZeroDivisionError: of scikit-learn's MLP, for a last batch of rows that its bagging drew 0 times
            fail(f"{name}: {error}")
    show(outcomes, members)
    if json_file is not None:
        saved = {"machine": machine, "members": members, "tables": [asdict(outcome) for outcome in outcomes]}
        json_file.write_text(json.dumps(saved, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        notes.print(f"Saved as {json_file}", markup=False)


def compare(name: str, table: Table, members: int, seeds: int, folds: int, epochs: int, jobs: int) -> Outcome:
    target = find_column(table, None)
    whole = Target.fit(table, target, None)
    classes = whole.class_index(table) if whole.task == "classification" else None
    splitter = (KFold if classes is None else StratifiedKFold)(folds, shuffle=True, random_state=0)
    parts = [encoded(table, target, split) for split in splitter.split(np.zeros((table.rows, 1)), classes)]
    fit(contestants(classes is None, members, epochs, jobs, seed=0)["bagged"], *parts[0][:2])  # kernels are compiled
    scores: dict[str, list[float]] = {who: [] for who in CONTESTANTS}
    seconds: dict[str, list[float]] = {who: [] for who in CONTESTANTS}
    for seed in range(seeds):
        of_folds: dict[str, list[float]] = {who: [] for who in CONTESTANTS}
        for X, y, X_test, y_test in parts:
            for who, estimator in contestants(classes is None, members, epochs, jobs, seed).items():
                seconds[who].append(fit(estimator, X, y))
                of_folds[who].append(float(estimator.score(X_test, y_test)))
        for who in CONTESTANTS:
            scores[who].append(float(np.mean(of_folds[who])))
    medians = {who: float(np.median(seconds[who])) for who in CONTESTANTS}
    return Outcome(name, "R²" if classes is None else "accuracy", scores, medians)


def contestants(regression: bool, members: int, epochs: int, jobs: int, seed: int) -> dict[str, Any]:
    """By name, in the order of CONTESTANTS; not fitted."""
    kind, peer = (MLPRegressor, TheirRegressor) if regression else (MLPClassifier, TheirClassifier)
    bagging = BaggingRegressor if regression else BaggingClassifier
    options = NETWORK | {"max_iter": epochs}
    ours = options | {"backend": "numpy", "random_state": seed}
    return dict(
        zip(
            CONTESTANTS,
            (
                kind(**ours),
                kind(**ours, n_members=members),
                kind(**ours, n_members=members, bootstrap=True),
                bagging(peer(**options), n_estimators=members, n_jobs=jobs, random_state=seed),
            ),
            strict=True,
        )
    )


def encoded(
    table: Table, target: str, split: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """X and y of the training rows and of the test rows; scales are those of the training rows."""
    training, test = split
    columns = choose_inputs(table, target).columns
    X = Preprocessing.fit(table, columns, rows=training, target=target).transform(table).X
    goal = Target.fit(table, target, None, training)
    y = goal.class_index(table) if goal.task == "classification" else goal.encode(table)[:, 0]
    return X[training], y[training], X[test], y[test]


def fit(estimator: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is given
        started = time.perf_counter()
        estimator.fit(X, y)
        return time.perf_counter() - started


def show(outcomes: list[Outcome], members: int) -> None:
    printed = Printed(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", *CONTESTANTS, *(f"{who}, ms" for who in CONTESTANTS), "× as fast"):
        printed.add_column(heading, justify="right" if heading else "left")
    for outcome in outcomes:
        scores = [f"{np.mean(found):.4f} ± {np.std(found, ddof=1):.4f}" for found in outcome.scores.values()]
        times = [f"{1e3 * seconds:.0f}" for seconds in outcome.seconds.values()]
        ratio = outcome.seconds["scikit-learn, bagged"] / outcome.seconds["bagged"]
        printed.add_row(f"{outcome.table}, {outcome.measure}", *scores, *times, f"{ratio:.1f}")
    if not console.is_terminal:
        console.width = max(console.width, 180)  # a file has room
    console.print()
    console.print(printed)
    console.print(f"{members} members. Mean over folds and seeds ± standard deviation over the seeds; median fits.")
    console.print("× as fast: gpubp's bagged members beside scikit-learn's.")


def fail(message: str) -> None:
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    typer.run(main)
