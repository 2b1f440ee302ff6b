"""gpubp's estimators and scikit-learn's, in one process: do they score alike, and how long do they take?

    python scripts/compare_sklearn.py                                  # ten seeds, about twenty minutes
    python scripts/compare_sklearn.py --seeds 3 --rows digits:adam
    python scripts/compare_sklearn.py --quick --json comparison.json

Each row is a data set (inputs standardised) with a setting; each seed a cross-validation by both, who take turns, fold
by fold. Scores are compared with the seed noise: what another random_state makes of the same row. Before anything is
timed, gpubp's network has to give the same predictions as scikit-learn's own code on the same weights.

Exit code 1: a row scores worse than scikit-learn by more than the noise, is slower than it, or the median of the
speed ratios is under 3 (--quick judges nothing). Times of a busy machine are worth little, their ratios more.
"""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import sklearn.datasets
import sklearn.neural_network as peers
import typer
from benchmarks.contest import WrongAnswer
from benchmarks.machine import describe
from rich import box
from rich.console import Console
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from gpubp.backends import get_backend
from gpubp.errors import GpubpError
from gpubp.estimators import MLPClassifier, MLPRegressor
from gpubp.estimators.conversion import to_sklearn

console = Console(highlight=False)
notes = Console(stderr=True, highlight=False)

DATA = ("iris", "wine", "breast_cancer", "digits", "diabetes")
SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {"hidden_layer_sizes": (32,)},
    "sgd": {"hidden_layer_sizes": (32,), "solver": "sgd", "learning_rate_init": 0.02, "nesterovs_momentum": True},
    "lbfgs": {"hidden_layer_sizes": (32,), "solver": "lbfgs"},
    "early-stopping": {"hidden_layer_sizes": (32,), "early_stopping": True, "learning_rate_init": 0.01},
    "tanh": {"hidden_layer_sizes": (32, 16), "activation": "tanh"},
    "logistic": {"hidden_layer_sizes": (32,), "activation": "logistic", "alpha": 1.0, "learning_rate_init": 0.01},
}
ROWS = {f"{data}:{setting}": (data, SETTINGS[setting]) for data in DATA for setting in SETTINGS}
ROWS["digits:adam-100"] = ("digits", {"hidden_layer_sizes": (100,)})
MEDIAN_WANTED = 3.0


@dataclass(frozen=True)
class Outcome:
    """scores: the mean over the folds for each seed; seconds: the median fit. Ours first, scikit-learn's second."""

    row: str
    scores: tuple[list[float], list[float]]
    seconds: tuple[float, float]
    least: float  # the difference that one row of the data makes

    @property
    def means(self) -> tuple[float, float]:
        return float(np.mean(self.scores[0])), float(np.mean(self.scores[1]))

    @property
    def noise(self) -> tuple[float, float]:
        """The standard deviations over the seeds."""
        return float(np.std(self.scores[0], ddof=1)), float(np.std(self.scores[1], ddof=1))

    @property
    def verdict(self) -> str:
        """With ten seeds, one standard deviation of theirs is about two standard errors of the difference."""
        difference = self.means[0] - self.means[1]
        if abs(difference) <= max(*self.noise, self.least):
            return "within noise"
        return "better" if difference > 0 else "worse"

    @property
    def ratio(self) -> float:
        """scikit-learn's time over gpubp's."""
        return self.seconds[1] / self.seconds[0]


def main(
    rows: Annotated[list[str] | None, typer.Option(help="Only this row, such as digits:adam. Repeatable.")] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Cross-validations of each row.")] = 10,
    folds: Annotated[int, typer.Option(min=2)] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="2 seeds, 2 folds, 20 epochs: to see that it runs.")] = False,
    backend: Annotated[str, typer.Option(help="gpubp's: numpy, cupy or auto.")] = "numpy",
    engine: Annotated[str, typer.Option(help="gpubp's: auto, lane, block or array.")] = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="Save machine, scores and times here.")] = None,
) -> None:
    """Compare scores and fit times."""
    if unknown := [name for name in rows or [] if name not in ROWS]:
        fail(f"Unknown row {unknown[0]!r}: choose from {', '.join(ROWS)}.")
    try:
        machine = describe(get_backend(backend))
    except GpubpError as error:
        fail(str(error))
    for what, found in machine.items():
        console.print(f"{what + ':':<20} {found}", markup=False, soft_wrap=True)
    ours = {"backend": backend, "engine": engine}
    amount = (2, 2, 20) if quick else (seeds, folds, 200)
    outcomes = []
    for name in rows or ROWS:
        notes.print(f"[dim]{name} …[/]")
        try:
            outcomes.append(compare(name, *amount, ours))
        except (GpubpError, ValueError) as error:
            fail(f"{name}: {error}")
        except WrongAnswer as error:
            fail(f"{name}: wrong answer, so there is nothing to time. {error}.", code=1)
    show(outcomes)
    if json_file is not None:
        saved = {"machine": machine, "rows": [asdict(outcome) | {"ratio": outcome.ratio} for outcome in outcomes]}
        json_file.write_text(json.dumps(saved, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        notes.print(f"Saved as {json_file}", markup=False)
    if (found := complaints(outcomes)) and not quick:
        fail(" ".join(found), code=1)


def compare(name: str, seeds: int, folds: int, epochs: int, ours: dict[str, Any]) -> Outcome:
    """ours: parameters that only gpubp has."""
    data, settings = ROWS[name]
    X, y = load(data)
    regression = data == "diabetes"
    kinds: tuple[Any, Any] = (MLPRegressor, peers.MLPRegressor) if regression else (MLPClassifier, peers.MLPClassifier)
    splitter = (KFold if regression else StratifiedKFold)(folds, shuffle=True, random_state=0)
    parts = list(splitter.split(X, y))
    settings = settings | {"max_iter": epochs}
    extras: tuple[dict[str, Any], dict[str, Any]] = (ours, {})
    check(kinds[0](**settings, **extras[0], random_state=0), X, y)
    scores: tuple[list[float], list[float]] = ([], [])
    seconds: tuple[list[float], list[float]] = ([], [])
    for seed in range(seeds):
        found: tuple[list[float], list[float]] = ([], [])
        for training, test in parts:
            for who in (0, 1):
                estimator = kinds[who](**settings, **extras[who], random_state=seed)
                seconds[who].append(fit(estimator, X[training], y[training]))
                found[who].append(estimator.score(X[test], y[test]))
        for who in (0, 1):
            scores[who].append(float(np.mean(found[who])))
    medians = float(np.median(seconds[0])), float(np.median(seconds[1]))
    return Outcome(name, scores, medians, 1.0 / len(X))


def load(data: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs standardised, and numbers to be predicted as well."""
    X, y = getattr(sklearn.datasets, f"load_{data}")(return_X_y=True)
    return StandardScaler().fit_transform(X), (y - y.mean()) / y.std() if data == "diabetes" else y


def fit(estimator: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is given
        started = time.perf_counter()
        estimator.fit(X, y)
        return time.perf_counter() - started


def check(estimator: Any, X: np.ndarray, y: np.ndarray) -> None:
    """scikit-learn's code predicts the same from the trained weights. (And kernels are compiled now.)"""
    fit(estimator, X, y)
    peer = to_sklearn(estimator)
    name = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    ours, theirs = getattr(estimator, name)(X), getattr(peer, name)(X)
    apart = float(np.abs(ours - theirs).max())
    if not apart < 1e-6:
        raise WrongAnswer(f"scikit-learn's predictions from the same weights are {apart:.1e} apart")


def show(outcomes: list[Outcome]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "gpubp", "scikit-learn", "score", "gpubp, ms", "scikit-learn, ms", "× as fast"):
        table.add_column(heading, justify="left" if heading in ("", "score") else "right")
    for outcome in outcomes:
        score = [f"{mean:.4f} ± {noise:.4f}" for mean, noise in zip(outcome.means, outcome.noise, strict=True)]
        times = [f"{1e3 * seconds:.1f}" for seconds in outcome.seconds]
        table.add_row(outcome.row, *score, outcome.verdict, *times, f"{outcome.ratio:.1f}")
    if not console.is_terminal:
        console.width = max(console.width, 140)  # a file has room
    console.print()
    console.print(table)
    console.print("Accuracy, or R² for diabetes: mean over folds and seeds ± standard deviation over the seeds.")
    console.print(f"Median of the ratios: {median_ratio(outcomes):.1f}")


def complaints(outcomes: list[Outcome]) -> list[str]:
    """What fails the comparison, in sentences."""
    worse = [outcome.row for outcome in outcomes if outcome.verdict == "worse"]
    slower = [outcome.row for outcome in outcomes if outcome.ratio < 1.0]
    found = [f"Scores worse than scikit-learn's: {', '.join(worse)}."] if worse else []
    found += [f"Slower than scikit-learn: {', '.join(slower)}."] if slower else []
    if median_ratio(outcomes) < MEDIAN_WANTED:
        found.append(f"The median of the ratios, {median_ratio(outcomes):.2f}, is under {MEDIAN_WANTED:g}.")
    return found


def median_ratio(outcomes: list[Outcome]) -> float:
    return float(np.median([outcome.ratio for outcome in outcomes]))


def fail(message: str, code: int = 2) -> None:
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    typer.run(main)
