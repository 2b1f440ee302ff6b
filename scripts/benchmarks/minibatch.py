"""One network by mini-batch Adam, shuffled: microseconds per update."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.contest import Row, WrongAnswer
from benchmarks.engines import served_by
from benchmarks.trainers import Gpubp, Problem, PyTorch, ScikitLearn, Trainer
from gpubp.backends import Backend

CHECK_EPOCHS = 3
TOLERANCE = 2e-3  # of the epoch losses: float32, and Adam divides small numbers by small numbers


# name: sizes, batch size, batches of an epoch, epochs
PROBLEMS = {"small": ((16, 64, 64, 3), 32, 100, 20), "middle": ((64, 256, 256, 10), 128, 50, 10)}


def minibatch_row(name: str, backend: Backend, quick: bool) -> Row:
    sizes, batch_size, batches, epochs = PROBLEMS[name]
    problem, epochs = Problem.of(sizes, batch_size, batches), 1 if quick else epochs
    trainers: list[Trainer] = [Gpubp(label, engine, backend) for label, engine in served_by()]
    trainers += [ScikitLearn(), PyTorch()]
    missing = {trainer.name: trainer.missing(problem) for trainer in trainers}
    present = [trainer for trainer in trainers if missing[trainer.name] is None]
    return Row(
        f"minibatch-{name}",
        f"{problem.architecture}, Adam, batch {problem.batch_size}",
        "µs per update",
        partial(check, problem, present),
        {trainer.name: partial(per_update, trainer, problem, epochs) for trainer in present},
        {label: reason for label, reason in missing.items() if reason is not None},
    )


def per_update(trainer: Trainer, problem: Problem, epochs: int) -> float:
    seconds, _ = trainer.train(problem, epochs, shuffle=True)
    return 1e6 * seconds / (epochs * problem.batches)


def check(problem: Problem, trainers: list[Trainer]) -> str:
    """From the same weights, on the same batches, everybody's epoch losses are the same."""
    first, *others = trainers
    _, expected = first.train(problem, CHECK_EPOCHS, shuffle=False)
    for trainer in others:
        _, losses = trainer.train(problem, CHECK_EPOCHS, shuffle=False)
        apart = np.abs(losses / expected - 1).max()
        if not apart < TOLERANCE:
            raise WrongAnswer(f"{trainer.name}: epoch losses are {apart:.1e} apart from {first.name}'s")
    return f"the same epoch losses from the same weights and batches, to {TOLERANCE:g}"


MINIBATCH_ROWS = {f"minibatch-{name}": partial(minibatch_row, name) for name in PROBLEMS}
