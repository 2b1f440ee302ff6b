"""One network by mini-batch Adam: microseconds per update, everybody on the same batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.contest import Goal, Row, WrongAnswer
from benchmarks.engines import served_by
from benchmarks.trainers import Gpubp, Jax, Problem, PyTorch, ScikitLearn, Trainer
from gpubp.backends import Backend

JAX = ("JAX", "JAX donated")
PYTORCH = ("PyTorch", "PyTorch as it comes")
COMPILED = ("gpubp lane", "gpubp block", "gpubp auto", *JAX)
CHECK_EPOCHS = 3
TOLERANCE = 2e-3  # of the epoch losses: float32, and Adam divides small numbers by small numbers


@dataclass(frozen=True)
class Size:
    """compiled_epochs: to be timed, of trainers that are compiled programs; epochs: of the others."""

    sizes: tuple[int, ...]
    batch_size: int
    batches: int  # of an epoch
    compiled_epochs: int
    epochs: int
    jax_unroll: int  # the fastest of 1, 2, 4 and 8
    goals: tuple[Goal, ...]

    def epochs_of(self, trainer: str) -> int:
        return self.compiled_epochs if trainer in COMPILED else self.epochs


SIZES = {
    "small": Size((16, 64, 64, 3), 32, 100, 100, 10, 2, (Goal(3, JAX), Goal(40, PYTORCH))),
    "middle": Size((64, 256, 256, 10), 128, 50, 10, 5, 4, (Goal(1.4, JAX), Goal(2, PYTORCH))),
    "large": Size((784, 1024, 1024, 10), 256, 20, 2, 2, 4, (Goal(1, JAX + PYTORCH, ours="gpubp auto"),)),
}


def minibatch_row(name: str, backend: Backend, quick: bool) -> Row:
    size = SIZES[name]
    problem = Problem.of(size.sizes, size.batch_size, 5 if quick else size.batches)
    trainers: list[Trainer] = [Gpubp(label, engine, backend) for label, engine in served_by(auto=True)]
    trainers += [Jax(label, size.jax_unroll, donated=label == "JAX donated") for label in JAX]
    trainers += [PyTorch(label, as_it_comes=label == "PyTorch as it comes") for label in PYTORCH]
    trainers.append(ScikitLearn())
    missing = {trainer.name: trainer.missing(problem) for trainer in trainers}
    present = [trainer for trainer in trainers if missing[trainer.name] is None]
    return Row(
        f"minibatch-{name}",
        f"{problem.architecture}, Adam, batch {problem.batch_size}",
        "µs per update",
        partial(check, problem, present, 1 if quick else CHECK_EPOCHS),
        {
            trainer.name: partial(per_update, trainer, problem, 1 if quick else size.epochs_of(trainer.name))
            for trainer in present
        },
        {label: reason for label, reason in missing.items() if reason is not None},
        size.goals,
    )


def per_update(trainer: Trainer, problem: Problem, epochs: int) -> float:
    seconds, _ = trainer.train(problem, epochs)
    return 1e6 * seconds / (epochs * problem.batches)


def check(problem: Problem, trainers: list[Trainer], epochs: int) -> str:
    """From the same weights, on the same batches, everybody's epoch losses are the same."""
    first, *others = trainers
    _, expected = first.train(problem, epochs)
    for trainer in others:
        _, losses = trainer.train(problem, epochs)
        apart = np.abs(losses / expected - 1).max()
        if not apart < TOLERANCE:
            raise WrongAnswer(f"{trainer.name}: epoch losses are {apart:.1e} apart from {first.name}'s")
    return f"the same epoch losses from the same weights and batches, to {TOLERANCE:g}"


MINIBATCH_ROWS = {f"minibatch-{name}": partial(minibatch_row, name) for name in SIZES}
