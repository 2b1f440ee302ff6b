"""What the fixture of bits holds of gpubp's faces: models, ensembles, folds, sweeps, scikit-learn's interface.

Engines are named, since "auto" goes by the estimates of a machine. See bit_records for what is compared how. The block
engine's trainings are by kernels that bit_cases has anyway: squared_error by sgd and rmsprop, cross_entropy by adam and
poisson by adamw in float32, cross_entropy by nesterov and binary_cross_entropy by momentum in float64.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from bit_cases import fit_lbfgs
from bit_records import BACKEND, TOLERANCES, Outcome, losses, measured
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from gpubp import (
    Architecture,
    Halving,
    MLPClassifier,
    MLPRegressor,
    Population,
    PopulationSearchCV,
    Range,
    Recipe,
    SweepResult,
    cross_validate,
    sweep,
    train_ensemble,
    train_model,
)

WHEAT = Path(__file__).parents[1] / "data" / "wheat-seeds.csv"
SEEDS = np.loadtxt(WHEAT, delimiter=",")[::3]  # (70, 8): seven measurements, and the variety 1, 2 or 3
X = (SEEDS[:, :7] - 8.0) / 4.0
VARIETY = SEEDS[:, 7].astype(int)
VALUES = np.round(8 * SEEDS[:, [0, 5]]) / 8  # whose sums are exact in any order
COUNTS = np.round(SEEDS[:, 5])
QUICK = Recipe(hidden=(6,), learning_rate=0.02, batch_size=16, epochs=4, scale="minmax")


def quick(**changes: Any) -> Recipe:
    return Recipe(**(vars(QUICK) | changes))


# --- Tables to models -------------------------------------------------------------------------------------------------


def mixed_table() -> pl.DataFrame:
    """Numbers with gaps and without, texts, dates and flags; every scale and the choice of columns have work to do."""
    n = np.arange(60)
    return pl.DataFrame(
        {
            "size": [None if i % 11 == 3 else float(i * i % 17) for i in n],
            "weight": (n % 7 + 0.25).tolist(),
            "scratches": [float(i % 3) if i % 13 == 5 else 0.0 for i in n],
            "colour": [("red", "green", "blue", None)[i * i % 4 if i % 5 else 3] for i in n],
            "fresh": [bool(i % 3) for i in n],
            "picked": [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in n],
            "price": (1.0 + n * n % 23 / 4).tolist(),
        }
    )


def model(table: Any, recipe: Recipe, engine: str = "block", **more: Any) -> Outcome:
    fit = train_model(table, None, recipe, engine=engine, backend=BACKEND, **more)
    predicted = fit.model.predict(table, BACKEND)
    outputs = predicted.probabilities if predicted.probabilities is not None else predicted.values
    close = {"outputs": np.asarray(outputs)}
    trained = {"params": fit.model.params} | measured(fit.history)
    if engine == "block":
        return Outcome(trained, close)
    return Outcome({"rows": np.array([fit.n_training, fit.n_validation])}, trained | close, TOLERANCES[recipe.dtype])


def ensemble() -> Outcome:
    recipe = quick(early_stopping=True, patience=2, epochs=8, learning_rate=0.1)
    fit = train_ensemble(WHEAT, None, recipe, members=3, bootstrap=True, engine="block", backend=BACKEND)
    exact = {f"members {i}": part.params for i, part in enumerate(fit.ensemble.members)} | measured(fit.history)
    return Outcome(exact, {"outputs": fit.ensemble.predict_proba(WHEAT, BACKEND)})


def folds(table: Any, recipe: Recipe, engine: str, **more: Any) -> Outcome:
    found = cross_validate(table, None, recipe, folds=3, repeats=2, engine=engine, backend=BACKEND, **more)
    scores = {"scores": found.values(), "baseline": found.baseline_values()}
    if engine == "block":
        return Outcome(measured(found.history), scores)
    return Outcome({"epochs": found.history.epochs}, losses(found.history) | scores, TOLERANCES[recipe.dtype])


# --- Sweeps -----------------------------------------------------------------------------------------------------------

SPACE = {
    "hidden": [(4,), (5, 3)],
    "activation": ["relu", "tanh"],
    "learning_rate": [0.003, 0.01, 0.03],
    "dropout": [0.0, 0.25],
    "scale": "none",
    "batch_size": 16,
    "epochs": 6,
}


def swept(result: SweepResult) -> Outcome:
    """Of a sweep over X by the block engine."""
    trials = result.trials
    again = result.refit()
    exact = {
        "chosen": np.array([sorted(SPACE).index(name) for trial in trials for name in sorted(trial.parameters)]),
        "rates": np.array([trial.parameters["learning_rate"] for trial in trials]),
        "seeds": np.array([trial.seed for trial in trials], dtype=np.uint64),
        "epochs": np.array([trial.epochs for trial in trials]),
        "diverged": np.array([trial.diverged_epochs for trial in trials]),
        "rungs": np.array([trial.rung for trial in trials]),
    }
    exact |= weights(again)
    some = result.ensemble(k=3)
    close = {
        "scores": np.array([trial.scores for trial in trials]),
        "out of fold": result.out_of_fold(result.best),
        "ensemble": some.predict_proba(X, BACKEND),
    }
    return Outcome(exact, close)


def random_sweep() -> Outcome:
    return swept(sweep(X, VARIETY, SPACE, n_trials=5, cv=3, engine="block", seed=4, backend=BACKEND))


def halving() -> Outcome:
    strategy = Halving(factor=2, least_epochs=2)
    return swept(sweep(X, VARIETY, SPACE, n_trials=4, cv=3, strategy=strategy, engine="block", seed=5, backend=BACKEND))


def table_sweep() -> Outcome:
    """Rates from a logarithmic range, a target of logarithms, early stopping within the folds; by the array engine."""
    space = {
        "hidden": [(4,), (3, 3)],
        "learning_rate": Range(1e-3, 1e-1, log=True),
        "optimizer": ["sgd", "momentum"],
        "momentum": Range(0.5, 0.9),
        "target_scale": ["standard", "log"],
        "early_stopping": True,
        "patience": 2,
        "epochs": 6,
        "dtype": "float64",
    }
    found = sweep(mixed_table(), "price", space, n_trials=4, cv=3, engine="array", seed=2, backend=BACKEND)
    trials = found.trials
    close = {
        "rates": np.array([trial.parameters["learning_rate"] for trial in trials]),
        "scores": np.array([trial.scores for trial in trials]),
        "refit": found.refit().predict(mixed_table(), BACKEND).values,
    }
    return Outcome({"epochs": np.array([trial.epochs for trial in trials])}, close, TOLERANCES["float64"])


# --- scikit-learn's interface -----------------------------------------------------------------------------------------


def weights(fitted: Any) -> dict[str, np.ndarray]:
    """Of an estimator's network, or of its members', as flat arrays."""
    networks = getattr(fitted, "estimators_", None) or [fitted]
    return {
        f"weights {place}": np.concatenate([part.ravel() for part in (*one.coefs_, *one.intercepts_)])
        for place, one in enumerate(networks)
    }


def curves(fitted: Any) -> dict[str, np.ndarray]:
    networks = getattr(fitted, "estimators_", None) or [fitted]
    found = {f"losses {place}": np.array(one.loss_curve_) for place, one in enumerate(networks)}
    validated = {place: one for place, one in enumerate(networks) if one.early_stopping}
    return found | {f"scores {place}": np.array(one.validation_scores_) for place, one in validated.items()}


def estimator(mlp: Any, y: np.ndarray, *, sample_weight: bool = False, calls: int = 0) -> Outcome:
    """By fit, or by `calls` of partial_fit."""
    mlp = clone(mlp)
    table = X.astype(np.float64 if mlp.dtype == "float64" else np.float32)
    given = {"sample_weight": np.arange(len(X)) % 3 + 0.5} if sample_weight else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(calls):
            classes = {"classes": np.unique(y)} if isinstance(mlp, MLPClassifier) else {}
            mlp.partial_fit(table, y, **classes, **given)
        if not calls:
            mlp.fit(table, y, **given)
    outputs = mlp.predict_proba(table) if isinstance(mlp, MLPClassifier) else mlp.predict(table)
    if mlp.solver == "lbfgs":
        return Outcome({}, weights(mlp) | {"loss": np.array([mlp.loss_]), "outputs": outputs}, 1e-5)
    return Outcome(weights(mlp) | curves(mlp), {"outputs": outputs})


def classifier(**options: Any) -> MLPClassifier:
    common = {"hidden_layer_sizes": (6,), "max_iter": 4, "batch_size": 16, "random_state": 3, "engine": "block"}
    return MLPClassifier(**(common | {"dtype": "float32", "backend": "numpy", "learning_rate_init": 0.02} | options))


def regressor(**options: Any) -> MLPRegressor:
    common = {"hidden_layer_sizes": (5, 3), "max_iter": 4, "batch_size": 16, "random_state": 4, "engine": "block"}
    return MLPRegressor(**(common | {"dtype": "float32", "backend": "numpy", "learning_rate_init": 0.02} | options))


def search() -> Outcome:
    """PopulationSearchCV over rates, L2 and sizes."""
    grid = {"learning_rate_init": [0.01, 0.05], "alpha": [0.0, 0.3], "hidden_layer_sizes": [(6,), (3, 2)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = PopulationSearchCV(classifier(), grid, strategy="grid", cv=3).fit(X.astype(np.float32), VARIETY)
    best = found.best_estimator_
    return Outcome(weights(best) | curves(best), {"scores": found.cv_results_["mean_test_score"]})


def quasi_newton() -> Outcome:
    shape = Architecture(7, (5,), 3, "tanh", "softmax")
    begin = Population.initialize(shape, 6, BACKEND, dtype="float64").params[0]
    rows, T = np.arange(len(X)) % 4 + 0.5, np.eye(3)[VARIETY - 1]
    found = fit_lbfgs(shape, begin, X, T, "cross_entropy", 0.1, rows, max_iter=8, max_fun=50, tol=1e-8, backend=BACKEND)
    counted = np.array([found.n_iter, found.n_evaluations])
    return Outcome({"iterations": counted}, {"params": found.params, "loss": np.array([found.loss])}, 1e-5)


SGD = {"solver": "sgd", "dtype": "float64"}
KEPT_LAST = {"average": 0.9, "early_stopping": True, "patience": None, "monitor": "validation_score", "ties": "last"}
FACE_CASES: dict[str, Callable[[], Outcome]] = {
    "model wheat": partial(model, WHEAT, quick(dropout=0.2, label_smoothing=0.1, clip_norm=1.0)),
    "model stopped": partial(model, WHEAT, quick(early_stopping=True, patience=2, epochs=12, learning_rate=0.2)),
    "model values": partial(
        model, np.column_stack([X, VALUES[:, :1]]), quick(optimizer="rmsprop", l2=0.1), task="regression"
    ),
    "model counts": partial(
        model, np.column_stack([X, COUNTS]), quick(optimizer="adamw", loss="poisson"), task="regression"
    ),
    "model mixed": partial(model, mixed_table(), quick(scale="robust", dtype="float64"), "array"),
    "model logarithms": partial(
        model, mixed_table(), quick(scale="standard", target_scale="log", dtype="float64", validation=0.25), "array"
    ),
    "model fitted to its rows": partial(
        model,
        WHEAT,
        quick(hidden=(9, 5), activation="mish", front=("scale",), initializer="data_dependent", **KEPT_LAST),
    ),
    "ensemble": ensemble,
    "folds wheat": partial(folds, WHEAT, quick(early_stopping=True, patience=1, learning_rate=0.1), "block"),
    "folds mixed": partial(folds, mixed_table(), quick(scale="robust", dtype="float64"), "array"),
    "sweep random": random_sweep,
    "sweep halving": halving,
    "sweep table": table_sweep,
    "classifier": partial(estimator, classifier(alpha=0.1, dropout=0.2), VARIETY, sample_weight=True),
    "classifier stopped": partial(
        estimator,
        classifier(early_stopping=True, n_iter_no_change=2, max_iter=12, learning_rate_init=0.1, n_members=3),
        VARIETY,
    ),
    "classifier members": partial(estimator, classifier(n_members=3, bootstrap=True, class_weight="balanced"), VARIETY),
    "classifier nesterov": partial(estimator, classifier(**SGD, activation="tanh"), VARIETY),
    "classifier of two": partial(estimator, classifier(**SGD, nesterovs_momentum=False), VARIETY == 2),
    "classifier calls": partial(estimator, classifier(shuffle=False), VARIETY, calls=3),
    "classifier lbfgs": partial(estimator, classifier(solver="lbfgs", max_iter=8), VARIETY),
    "regressor": partial(
        estimator, regressor(solver="sgd", momentum=0.0, learning_rate="invscaling", activation="logistic"), VALUES
    ),
    "regressor adaptive": partial(
        estimator,
        regressor(
            solver="sgd",
            momentum=0.0,
            learning_rate="adaptive",
            n_iter_no_change=2,
            max_iter=12,
            tol=0.05,
            activation="tanh",
        ),
        VALUES[:, 0],
    ),
    "regressor counts": partial(estimator, regressor(solver="adamw", loss="poisson", weight_decay=0.1), COUNTS),
    "regressor calls": partial(
        estimator,
        regressor(solver="sgd", momentum=0.0, learning_rate="invscaling", n_members=2, activation="tanh"),
        VALUES[:, 0],
        calls=3,
        sample_weight=True,
    ),
    "regressor lbfgs": partial(estimator, regressor(solver="lbfgs", max_iter=8, activation="tanh"), VALUES),
    "search": search,
    "lbfgs": quasi_newton,
}
