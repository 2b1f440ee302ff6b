"""A sweep of the wheat seeds: 200 configurations × 5 folds, by gpubp's sweeps, scikit-learn's and JAX. Seconds.

Everyone gets the same configurations and the same folds, standardises the measurements by each fold's training rows,
and trains by Adam on batches of 32 for as many epochs as the configuration says, in float32.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import RandomizedSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import gpubp
from benchmarks import jax_sweep
from benchmarks.contest import Goal, Row, WrongAnswer
from benchmarks.machine import usable_cores
from gpubp import MLPClassifier, PopulationSearchCV, Range
from gpubp.backends import Backend
from gpubp.search.space.space import Space
from gpubp.tutorial import load_seeds

N_CONFIGURATIONS, N_FOLDS, BATCH_SIZE = 200, 5, 32
EVERY = 5  # of the configurations, sorted by their epochs, scikit-learn is timed on each EVERYth
# How far scores may be from scikit-learn's: the mean over the configurations, by this beyond chance (four standard
# errors of the mean difference); the best one, chance included.
MEAN, BEST = 0.005, 0.02

# sweep's name: scikit-learn's
NAMES = {
    "hidden": "hidden_layer_sizes",
    "activation": "activation",
    "learning_rate": "learning_rate_init",
    "l2": "alpha",
    "epochs": "max_iter",
}


@dataclass(frozen=True)
class Found:
    """Seconds, and the mean score over the folds of each configuration, in the order of the space's samples."""

    seconds: float
    scores: np.ndarray


@dataclass(frozen=True)
class Search:
    """X (N, I) float32, classes (N,), and what everybody tries."""

    X: np.ndarray
    classes: np.ndarray
    space: Space
    configurations: Sequence[Mapping[str, Any]]
    folds: Sequence[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, n_configurations: int, neurons: tuple[int, int], epochs: tuple[int, int]) -> Search:
        X, classes, _ = load_seeds()
        space = Space(
            {
                "hidden": Range(*neurons, integer=True),
                "activation": ["relu", "tanh"],
                "learning_rate": Range(1e-3, 1e-1, log=True),
                "l2": Range(1e-5, 1e-1, log=True),
                "epochs": Range(*epochs, integer=True),
                "batch_size": BATCH_SIZE,
            }
        )
        X = X.astype(np.float32)
        folds = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(X, classes))
        return cls(X, classes, space, space.sample(n_configurations), folds)

    @property
    def work(self) -> np.ndarray:
        return np.array([each["epochs"] for each in self.configurations])


def sweep_seeds_row(backend: Backend, quick: bool) -> Row:
    search = Search.of(6, (7, 7), (20, 40)) if quick else Search.of(N_CONFIGURATIONS, (4, 32), (50, 200))
    everything = range(len(search.configurations))
    sample = np.argsort(search.work, kind="stable")[EVERY // 2 :: EVERY]
    whole = search.work.sum() / search.work[sample].sum()
    runs: dict[str, Callable[[], Found]] = {
        "gpubp sweep": partial(by_sweep, search, backend),
        "gpubp PopulationSearchCV": partial(by_population_search, search, backend),
        "scikit-learn": partial(by_scikit_learn, search, everything),
    }
    contenders: dict[str, Callable[[], float]] = {name: partial(seconds_of, run) for name, run in runs.items()}
    contenders["scikit-learn"] = lambda: whole * by_scikit_learn(search, sample).seconds
    first_seconds: dict[str, float] = {}
    missing = {}
    if find_spec("jax") is None:
        missing = dict.fromkeys(("JAX", "JAX with compilation"), "not installed")
    else:
        runs["JAX"] = partial(by_jax, search)
        contenders["JAX"] = partial(seconds_of, runs["JAX"])
        contenders["JAX with compilation"] = lambda: first_seconds["JAX"]
    return Row(
        "sweep-seeds",
        f"wheat seeds, {len(search.configurations)} configurations × {N_FOLDS} folds",
        "s",
        partial(check, runs, first_seconds),
        contenders,
        missing,
        tuple(
            Goal(times, (peer,), ours)
            for ours in ("gpubp sweep", "gpubp PopulationSearchCV")
            for times, peer in ((50, "scikit-learn"), (5, "JAX"), (5, "JAX with compilation"))
        ),
        warm=True,  # by the check
    )


def seconds_of(run: Callable[[], Found]) -> float:
    return run().seconds


def check(runs: Mapping[str, Callable[[], Found]], seconds: dict[str, float]) -> str:
    """Weights and orders are everybody's own, so scores agree in distribution: over all configurations.

    seconds: takes what each needed, compilations included, since everyone runs for the first time.
    """
    found = {name: run() for name, run in runs.items()}
    theirs = found["scikit-learn"].scores
    for name, each in found.items():
        if not np.isfinite(each.scores).all():
            raise WrongAnswer(f"{name}: {int((~np.isfinite(each.scores)).sum())} configurations have no score")
        apart = each.scores - theirs
        allowed = MEAN + 4 * apart.std() / np.sqrt(len(apart))
        if not abs(apart.mean()) <= allowed:
            raise WrongAnswer(f"{name}: scores are {apart.mean():.4f} above scikit-learn's in the mean")
        if not abs(each.scores.max() - theirs.max()) <= BEST:
            raise WrongAnswer(f"{name}: the best score is {each.scores.max():.4f}, and {theirs.max():.4f}")
    told = "; ".join(
        f"{name} {each.scores.mean():.4f}, {np.median(each.scores):.4f}, {each.scores.max():.4f}"
        for name, each in found.items()
    )
    seconds |= {name: each.seconds for name, each in found.items()}
    return (
        f"scores within noise of scikit-learn's (mean, median and best of the configurations: {told}); all of "
        f"scikit-learn's fits took {seconds['scikit-learn']:.3g} s"
    )


def by_sweep(search: Search, backend: Backend) -> Found:
    started = time.perf_counter()
    found = gpubp.sweep(
        search.X,
        search.classes,
        search.space,
        n_trials=len(search.configurations),
        cv=search.folds,
        backend=backend,
    )
    seconds = time.perf_counter() - started
    assert [trial.parameters for trial in found.trials] == list(search.configurations)
    return Found(seconds, np.array([trial.score for trial in found.trials]))


def by_population_search(search: Search, backend: Backend) -> Found:
    return searched(search, PopulationSearchCV, pipeline(MLPClassifier, backend=backend.name), range(len(search.work)))


def by_scikit_learn(search: Search, chosen: Sequence[int] | np.ndarray) -> Found:
    """The configurations at these places, by as many worker processes as there are cores, with one BLAS thread each:
    joblib sees to that. They are started before the clock, and ended after it, so that their time is known to be ours.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor
    from sklearn.neural_network import MLPClassifier as Theirs

    Parallel(n_jobs=usable_cores())(delayed(pipeline)(Theirs) for _ in range(usable_cores()))
    found = searched(search, RandomizedSearchCV, pipeline(Theirs), chosen, n_jobs=usable_cores())
    get_reusable_executor().shutdown(wait=True)
    return found


def searched(search: Search, searcher: Any, estimator: Any, chosen: Sequence[int] | np.ndarray, **given: Any) -> Found:
    """Each configuration is a distribution of its own that can give nothing else, so that all are drawn."""
    named = [
        {f"network__{NAMES[name]}": value for name, value in search.configurations[c].items() if name in NAMES}
        for c in chosen
    ]
    distributions = [{name: [value] for name, value in each.items()} for each in named]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is given
        started = time.perf_counter()
        found = searcher(
            estimator, distributions, n_iter=len(named), cv=search.folds, refit=False, random_state=0, **given
        ).fit(search.X, search.classes)
        seconds = time.perf_counter() - started
    results = found.cv_results_
    place = {repr(sorted(each.items())): i for i, each in enumerate(named)}
    scores = np.empty(len(named))
    scores[[place[repr(sorted(each.items()))] for each in results["params"]]] = results["mean_test_score"]
    return Found(seconds, scores)


def pipeline(network: Any, **given: Any) -> Pipeline:
    """Without the end of a training that gets no better: the number of epochs is given."""
    mlp = network(batch_size=BATCH_SIZE, n_iter_no_change=10**6, random_state=0, **given)
    return Pipeline([("scaler", StandardScaler()), ("network", mlp)])


def by_jax(search: Search) -> Found:
    """The first time with the compilation of its programs."""
    folds = []
    for training, test in search.folds:
        scaler = StandardScaler().fit(search.X[training])
        folds.append(
            [part for rows in (training, test) for part in (scaler.transform(search.X[rows]), search.classes[rows])]
        )
    return Found(*jax_sweep.sweep(search.configurations, folds, BATCH_SIZE))


SWEEP_SEEDS_ROWS = {"sweep-seeds": sweep_seeds_row}
