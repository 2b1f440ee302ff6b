"""The tutorial's wheat seeds training: five folds of a 7-5-3 network, online, in float64."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks import plain_python
from benchmarks.contest import Row, WrongAnswer
from benchmarks.engines import refusal, served_by
from gpubp.backends import Backend
from gpubp.networks.population import Population
from gpubp.storage.datasets import wheat_seeds
from gpubp.training.loop import train
from gpubp.tutorial import case_study, initialize_network, load_seeds, one_hot, online_settings, split_folds

N_FOLDS, SEED, RATE, N_HIDDEN = 5, 1, 0.3, 5
# Rounding differs (an exp by other means, sums in another order), and 84,000 updates carry it on.
TOLERANCE = 1e-6


WHOLE = "gpubp case_study()"


@dataclass(frozen=True)
class Result:
    accuracies: list[float]
    errors: np.ndarray | None  # (epochs, folds): sums of squared errors; None where they are not told
    seconds: float  # of the training alone, or of the whole call


def case_study_row(backend: Backend, quick: bool) -> Row:
    epochs = 25 if quick else 500
    runs: dict[str, Callable[[], Result]] = {}
    missing: dict[str, str] = {}
    for name, engine in served_by():
        reason = refusal(partial(by_gpubp, backend, engine, 1))
        if reason is None:
            runs[name] = partial(by_gpubp, backend, engine, epochs)
        else:
            missing[name] = reason
    runs[WHOLE] = partial(by_whole_call, backend, epochs)
    runs["plain Python"] = partial(by_plain_python, epochs)
    return Row(
        "case-study",
        f"case study, {epochs} epochs of 5 folds",
        "s",
        partial(check, runs),
        {name: partial(seconds_of, run) for name, run in runs.items()},
        missing,
    )


def seconds_of(run: Callable[[], Result]) -> float:
    return run().seconds


def check(runs: dict[str, Callable[[], Result]]) -> str:
    plain = runs["plain Python"]()
    for name, run in runs.items():
        found = run()
        if found.accuracies != plain.accuracies:
            raise WrongAnswer(f"{name}: fold accuracies {found.accuracies}, not {plain.accuracies}")
        if found.errors is None:
            continue
        apart = np.abs(found.errors / plain.errors - 1).max()
        if not apart < TOLERANCE:
            raise WrongAnswer(f"{name}: epoch errors are {apart:.1e} apart from plain Python's")
    return f"the same fold accuracies, and every epoch error to {TOLERANCE:g}"


def by_plain_python(epochs: int) -> Result:
    study = plain_python.case_study(wheat_seeds(), epochs, N_HIDDEN, RATE, SEED)
    return Result(study.fold_accuracies, np.array(study.epoch_errors).T, study.train_seconds)


def by_whole_call(backend: Backend, epochs: int) -> Result:
    """With reading the table, and the predictions."""
    started = time.perf_counter()
    study = case_study(backend=backend, n_epochs=epochs)
    return Result(study.fold_accuracies, None, time.perf_counter() - started)


def by_gpubp(backend: Backend, engine: str, epochs: int) -> Result:
    """What `gpubp.tutorial.case_study` does, with its epoch errors, and the engine named."""
    X, classes, names = load_seeds()
    random.seed(SEED)
    folds = split_folds(len(X), N_FOLDS, random)
    rows = [np.concatenate([other for other in folds if other is not fold]) for fold in folds]
    networks = [initialize_network(X.shape[1], N_HIDDEN, len(names), None, backend) for _ in folds]
    population = Population.concatenate([network.population for network in networks])
    T = one_hot(classes, len(names))

    started = time.perf_counter()
    history = train(population, X, T, online_settings(RATE, epochs), rows=rows, engine=engine)
    backend.synchronize()
    seconds = time.perf_counter() - started

    predicted = backend.to_host(population.predict(X).argmax(axis=-1))
    accuracies = [float(np.mean(predicted[f][fold] == classes[fold])) for f, fold in enumerate(folds)]
    return Result(accuracies, 2.0 * len(rows[0]) * history.training_loss, seconds)
