"""What the files in `fixtures/written_by_…` are of: their tables, and the trainings and sweeps that they came from.

`scripts/make_old_files.py` writes the files; test_old_files.py loads them and goes on with them. Whoever changes
something here makes the files of earlier versions worthless: add, and leave what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import gpubp
from gpubp import Architecture, Checkpoint, MLPClassifier, MLPRegressor, Population, Range, Settings, network_seeds

ROWS = 48
X = ((np.arange(4 * ROWS).reshape(ROWS, 4) * 37) % 101 / 50 - 1).astype(np.float32)
VALUES = X[:, 0] - X[:, 1] * X[:, 2]
CLASSES = np.array(["no", "perhaps", "yes"])[(VALUES > -0.3).astype(int) + (VALUES > 0.3)]
SHOWN = 12  # rows whose predictions are kept

EPOCHS = 9
CUT_AFTER = 4  # epochs
SPACE = {
    "hidden": [(3,), (4, 3)],
    "learning_rate": Range(1e-3, 1e-1, log=True),
    "batch_size": 8,
    "epochs": 8,
    "schedule": ["constant", "cosine"],
}
SWEEP = (
    "--trials",
    4,
    "--folds",
    2,
    "--set",
    "epochs=3",
    "--grid",
    "hidden=3;4,3",
    "--range",
    "learning-rate=1e-3:1e-1:log",
)
SWEEP_COMMAND = (*SWEEP, "--ensemble", 2, "--target", "kind", "--engine", "array")


class Cut(BaseException):
    """Ends a training or a sweep as a kill would."""


def mixed_table() -> str:
    """CSV with numbers, missing values, categories, dates, positive numbers and classes."""
    lines = ["size,weight,colour,sold,price,kind"]
    for i in range(ROWS):
        weight = "" if i % 7 == 3 else f"{10 + i * 29 % 17}.5"
        colour = ("red", "green", "", "blue")[i * 5 % 11 % 4]
        sold = f"20{20 + i % 4}-{1 + i % 12:02d}-{1 + i % 28:02d}"
        lines.append(f"{i * 13 % 31},{weight},{colour},{sold},{(1 + i * 13 % 31) ** 2 / 4},{'ab'[i * 13 % 31 > 15]}")
    return "\n".join(lines) + "\n"


def train(checkpoint: Checkpoint | None, engine: str, callbacks: Sequence[Callable[[Any], Any]] = ()) -> np.ndarray:
    """(P, K): two networks after a training with validation, dropout, a schedule and early stopping."""
    seeds = network_seeds(5, 2)
    networks = Population.initialize(Architecture(4, (5,), 1, "tanh"), seeds, gpubp.get_backend("numpy"))
    settings = Settings(
        "squared_error",
        learning_rate=[0.02, 0.005],
        dropout=0.1,
        schedule="cosine",
        batch_size=8,
        epochs=EPOCHS,
        early_stopping=gpubp.EarlyStopping(patience=3),
    )
    T = VALUES[:, None]
    parts = {"rows": np.arange(36), "validation_rows": np.arange(36, ROWS)}
    gpubp.train(networks, X, T, settings, **parts, engine=engine, callbacks=callbacks, checkpoint=checkpoint)
    return np.asarray(networks.params)


def cut_training(report: Any) -> None:
    if report.epoch == CUT_AFTER:
        raise Cut


def halving(folder: Path, **given: Any) -> gpubp.SweepResult:
    strategy = gpubp.Halving(factor=2, least_epochs=2)
    return gpubp.sweep(
        X, CLASSES, SPACE, n_trials=8, cv=2, strategy=strategy, engine="array", folder=folder, checkpoint=0.0, **given
    )


def random_sweep(folder: Path, **given: Any) -> gpubp.SweepResult:
    return gpubp.sweep(X, CLASSES, SPACE, n_trials=4, cv=2, engine="array", folder=folder, **given)


def cut_in_second_rung(progress: Any) -> None:
    """Of eight trials with two folds each, four are in the second rung."""
    if progress.of_networks == 8 and progress.networks:
        raise Cut


def described(found: gpubp.SweepResult) -> list[dict[str, Any]]:
    """What a sweep has found of its trials, without times."""
    return [
        {
            "number": trial.number,
            "parameters": {name: list(v) if isinstance(v, tuple) else v for name, v in trial.parameters.items()},
            "status": trial.status,
            "rung": trial.rung,
            "epochs": trial.epochs.tolist(),
            "scores": trial.scores.tolist(),
            "out_of_fold": found.out_of_fold(trial)[:3].tolist(),
        }
        for trial in found.trials
    ]


def estimators() -> dict[str, Any]:
    """Fitted by name; those that `go_on` takes are in the middle of their training."""
    common = {"engine": "array", "random_state": 1, "max_iter": 5, "tol": 0.0}
    growing = MLPRegressor(hidden_layer_sizes=(5,), activation="tanh", **common | {"engine": "lane"})
    for _ in range(3):
        growing.partial_fit(X, VALUES)
    rate = {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 3}  # lower after four epochs
    slower = MLPClassifier(hidden_layer_sizes=(4, 3), **common | rate)
    for _ in range(3):
        slower.partial_fit(X, CLASSES, classes=["no", "perhaps", "yes"])
    warm = {"warm_start": True, "solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05}
    return {
        "classifier": MLPClassifier(hidden_layer_sizes=(5,), early_stopping=True, **common).fit(X, CLASSES),
        "members": MLPRegressor(hidden_layer_sizes=(4,), n_members=3, bootstrap=True, **common).fit(X, VALUES),
        "partial_fit": growing,
        "adaptive": slower,
        "warm_start": MLPClassifier(hidden_layer_sizes=(4, 3), **warm, **common).fit(X, CLASSES),
    }


def go_on(name: str, estimator: Any) -> Any:
    if name in ("partial_fit", "adaptive"):
        goal = VALUES if name == "partial_fit" else CLASSES
        return estimator.partial_fit(X, goal).partial_fit(X, goal)
    return estimator.fit(X, CLASSES)


def numbers_of(estimator: Any) -> list[Any]:
    """What an estimator predicts for the first rows."""
    ask = getattr(estimator, "predict_proba", estimator.predict)
    found: list[Any] = np.asarray(ask(X[:SHOWN])).tolist()
    return found
