"""A sweep of 9,900 different networks: one hidden layer of 1 to 100 neurons, 3 activations, 33 repeats; 1,000 rows of
10 features, one number to predict, batches of 32 in the rows' order, SGD, float32. Microseconds per update.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import TypeVar

import numpy as np

import gpubp
from benchmarks import torch_many
from benchmarks.contest import Goal, Row, WrongAnswer
from benchmarks.torch_many import Network, Task
from gpubp.backends import Backend
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.job import Job
from gpubp.operations.architecture import Architecture
from gpubp.search.results.result import SweepResult
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.pool import Pool

ACTIVATIONS = ("relu", "tanh", "logistic")
N_ROWS, N_HELD, N_FEATURES, BATCH_SIZE, RATE = 1000, 100, 10, 32, 0.01
CHECK_EPOCHS, CHECKED = 3, 60  # networks
TOLERANCE = 1e-4  # of the epoch losses: float32, sums in another order
ONE_BY_ONE = 12  # networks that eager PyTorch is timed on
PIECE = 330  # networks of a piece that stays in the caches: as fast as any of 99, 330 and 990

T = TypeVar("T")
Train = Callable[[Sequence[Network], Task, int], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Crowd:
    widths: tuple[int, ...]
    repeats: int
    epochs: int
    engine: str = "auto"

    @property
    def n_networks(self) -> int:
        return len(self.widths) * len(ACTIVATIONS) * self.repeats

    @property
    def updates(self) -> int:
        return self.n_networks * self.epochs * -(-N_ROWS // BATCH_SIZE)

    def sweep(self, backend: Backend) -> SweepResult:
        """The repeats are folds that train on the same rows, and are scored on a few others."""
        random = np.random.default_rng(0)
        X = random.normal(size=(N_ROWS + N_HELD, N_FEATURES)).astype(np.float32)
        y = np.tanh(X @ random.normal(size=N_FEATURES)) + 0.1 * random.normal(size=len(X))
        rows = np.arange(len(X))
        space = {
            "hidden": [(width,) for width in self.widths],
            "activation": list(ACTIVATIONS),
            "optimizer": "sgd",
            "learning_rate": RATE,
            "batch_size": BATCH_SIZE,
            "shuffle": False,
            "epochs": self.epochs,
            "scale": "none",
        }
        folds = [(rows[:N_ROWS], rows[N_ROWS:])] * self.repeats
        return gpubp.sweep(
            X, y, space, strategy="grid", cv=folds, task="regression", backend=backend, engine=self.engine
        )


FULL = Crowd(tuple(range(1, 101)), 33, 50)
QUICK = Crowd((1, 20), 2, 2, engine="block")  # what auto takes for the full one


def sweep_heterogeneous_row(backend: Backend, quick: bool) -> Row:
    crowd = QUICK if quick else FULL
    experiment = replace(crowd, epochs=CHECK_EPOCHS).sweep(backend).experiment
    jobs = experiment.jobs(list(experiment.records.values()))
    sheet = jobs[0].sheet
    task = Task(sheet.X[:N_ROWS], sheet.T[:N_ROWS], BATCH_SIZE, RATE)
    contenders: dict[str, Callable[[], float]] = {"gpubp sweep": partial(by_sweep, crowd, backend)}
    missing = {}
    if find_spec("torch") is None:
        missing = dict.fromkeys(torch_many.NAMES, "not installed")
    else:
        peers = torch_runs(crowd, networks_of(jobs, backend), task)
        contenders |= dict(zip(torch_many.NAMES, peers, strict=True))
    return Row(
        "sweep-heterogeneous",
        f"{crowd.n_networks:,} networks 10-1-1 to 10-{max(crowd.widths)}-1, SGD, batch {BATCH_SIZE}",
        "µs per network-update",
        partial(check, experiment, spread(jobs, CHECKED), task, with_torch=not missing),
        contenders,
        missing,
        (Goal(150, torch_many.NAMES[:1]), Goal(8, torch_many.NAMES[1:2])),
    )


def by_sweep(crowd: Crowd, backend: Backend) -> float:
    """The whole call, with drawing the weights and scoring."""
    started = time.perf_counter()
    crowd.sweep(backend)
    return 1e6 * (time.perf_counter() - started) / crowd.updates


def torch_runs(crowd: Crowd, networks: Sequence[Network], task: Task) -> list[Callable[[], float]]:
    """One by one: a sample of them. All of them: for some updates, and on as many threads as there are cores."""
    few = spread(networks, ONE_BY_ONE)
    updates = min(crowd.epochs * -(-N_ROWS // BATCH_SIZE), 160)

    def timed(train: Train, sample: Sequence[Network], updates: int) -> float:
        return 1e6 * train(sample, task, updates)[0] / len(sample) / updates

    return [
        partial(timed, torch_many.one_by_one, few, updates),
        partial(timed, partial(torch_many.parallel, piece=len(networks)), networks, min(updates, 8)),
        partial(timed, partial(torch_many.parallel, piece=PIECE), networks, min(updates, 16)),
    ]


def check(experiment: Experiment, jobs: Sequence[Job], task: Task, with_torch: bool) -> str:
    """A sample of the networks, from the weights that the sweep gave them, on the same batches."""
    pool = Pool(jobs, experiment.backend, experiment.engines, experiment.memory)
    cohorts = list(pool.finish())
    trained = [job for cohort in cohorts for job in cohort.jobs]
    losses = np.concatenate([cohort.history.training_loss for cohort in cohorts if cohort.history is not None], axis=1)
    if not with_torch:
        return "nobody to compare with"
    networks, steps = networks_of(trained, experiment.backend), -(-N_ROWS // BATCH_SIZE)
    rows = np.array([len(X) for X, _ in task.batches()])
    for name, train in (
        (torch_many.NAMES[0], torch_many.one_by_one),
        (torch_many.NAMES[1], partial(torch_many.parallel, piece=len(networks))),
        (torch_many.NAMES[2], partial(torch_many.parallel, piece=7)),
    ):
        each = train(networks, task, CHECK_EPOCHS * steps)[1].reshape(CHECK_EPOCHS, steps, -1)
        apart = np.abs(np.average(each, axis=1, weights=rows) / losses - 1).max()
        if not apart < TOLERANCE:
            raise WrongAnswer(f"{name}: epoch losses are {apart:.1e} apart from gpubp's")
    return f"the same epoch losses of {len(jobs)} networks from the same weights and batches, to {TOLERANCE:g}"


def networks_of(jobs: Sequence[Job], backend: Backend) -> list[Network]:
    """With the weights that the jobs' networks begin with, in the jobs' order."""
    found: dict[int, Network] = {}
    by_architecture: dict[Architecture, list[int]] = {}
    for place, job in enumerate(jobs):
        by_architecture.setdefault(job.architecture, []).append(place)
    for architecture, places in by_architecture.items():
        params = Cohort.start([jobs[place] for place in places], backend).params_on_host()
        layers = [(architecture.weights(params, i), architecture.biases(params, i)) for i in range(2)]
        for p, place in enumerate(places):
            (W, b), (V, c) = [(weights[p], biases[p]) for weights, biases in layers]
            found[place] = Network(architecture.activations[0], W, b, V[:, 0], float(c[0]))
    return [found[place] for place in range(len(jobs))]


def spread(items: Sequence[T], n: int) -> list[T]:
    """n of them, evenly spread."""
    return [items[place] for place in np.unique(np.linspace(0, len(items) - 1, n).round().astype(int))]


SWEEP_HETEROGENEOUS_ROWS = {"sweep-heterogeneous": sweep_heterogeneous_row}
