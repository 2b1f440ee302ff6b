"""Every engine on the device against the same engine on the CPU: equal to the bit, or how far apart.

Lane and block are to give the CPU's bits; the array engine, whose products are the vendor's, is to come close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from benchmarks.machine import usable_cores
from bit_cases import BLOCK_CASES, LANE_CASES, Case, engine, trained

from gpu.block_changes import changed
from gpu.distance import METRICS, States, apart
from gpu.trainings import Training
from gpu.work import Item, Row, Work
from gpubp.backends import Backend, NumpyBackend, get_backend
from gpubp.networks.settings import EarlyStopping
from gpubp.networks.state import TrainingState
from gpubp.training.history import History
from gpubp.training.loop import train


@dataclass(frozen=True)
class Comparison:
    """states: what a backend ends with. close: how far apart it may be, relative to the largest number; 0: bits.
    compiled: of a case, whose kernel is one of many, and so compiled ahead.
    """

    name: str
    states: Callable[[Backend], States]
    close: float = 0.0
    compiled: Case | None = None


def items(work: Work) -> list[Item]:
    """While the device trains, the CPU trains and kernels are compiled, on all cores."""
    comparisons = tiny_comparisons() if work.stand_in else all_comparisons()
    pool = ThreadPoolExecutor(max(1, usable_cores() - 1))
    backend, running = get_backend("cupy"), []
    for each in comparisons:
        ahead = None if each.compiled is None else pool.submit(compile_ahead, each.compiled, backend)
        running.append((each, ahead, pool.submit(each.states, NumpyBackend())))
    return [Item(each.name, partial(compare, each, *futures), limit=90) for each, *futures in running]


def compile_ahead(case: Case, backend: Backend) -> None:
    """Into the kernel cache."""
    engine(backend, case, epochs=1)


def compare(comparison: Comparison, ahead: Future[None] | None, expected: Future[States]) -> Iterable[Row]:
    if ahead is not None:
        ahead.result()
    found = comparison.states(get_backend("cupy"))
    yield {"wanted": "close" if comparison.close else "bits"} | apart(found, expected.result(), comparison.close)


LAYOUTS: tuple[dict[str, int], ...] = (
    {"team": 1, "shared_bytes": 0},
    {"team": 1, "shared_bytes": 16 << 10},
    {"team": 2, "shared_bytes": 0},
    *({"threads": threads, "blocks": 1, "team": 1, "shared_bytes": 32 << 10} for threads in (64, 128, 256, 512)),
)


def all_comparisons() -> list[Comparison]:
    small, middle = Training((16, 64, 64, 3), 32, 200), Training((64, 256, 256, 10), 128, 300)
    large, deep = Training((784, 1024, 1024, 10), 256, 512), Training((64, 256, 256, 256, 10), 256, 512)
    odd, wide = Training((37, 101, 53, 7), 33, 150), Training((16, 32, 3), 32, 200)
    online = Training((7, 5, 3), 1, 60, tutorial=True)
    stopping = {"early_stopping": EarlyStopping(patience=2), "dropout": 0.2, "learning_rate": 0.05}
    sgd = {"optimizer": "sgd", "learning_rate": 0.5}  # a CUDA thread's registers hold no more
    return [
        Comparison("lane 7-5-3 online, 3000 networks", by_train(online, "lane", 3000, 3)),
        Comparison("block 16-64-64-3, 1 network", by_train(small, "block", 1, 3)),
        Comparison("block 16-64-64-3, 133 networks", by_train(small, "block", 133, 3)),
        Comparison("block 64-256-256-10, 1 network", by_train(middle, "block", 1, 2)),
        Comparison("block 64-256-256-10, 5 networks", by_train(middle, "block", 5, 2)),
        Comparison("block 37-101-53-7, batch 33, 3 networks", by_train(odd, "block", 3, 3)),
        Comparison("block 16-32-3, 300 networks", by_train(wide, "block", 300, 2)),
        Comparison("block 64-256-256-256-10, 2 networks", by_train(deep, "block", 2, 1)),
        Comparison("block 784-1024-1024-10, 1 network", by_train(large, "block", 1, 1)),
        *(
            Comparison(f"{case}, {case.rows} rows", partial(of_case, case), compiled=case)
            for case in LANE_CASES + BLOCK_CASES
        ),
        Comparison("lane 7-5-3, early stopping, dropout", early_stopping((7, 5, 3), "lane", 40, stopping | sgd)),
        Comparison("block 16-33-3, early stopping, dropout", early_stopping((16, 33, 3), "block", 40, stopping)),
        *(
            Comparison(f"block {training}, {layout}", laid_out(training, layout, 3))
            for training in (small, odd)
            for layout in LAYOUTS
        ),
        Comparison("array 16-64-64-3, 7 networks", by_train(_smooth(small), "array", 7, 2), 1e-4),
        Comparison("array 64-256-256-10, 1 network", by_train(_smooth(middle), "array", 1, 2), 1e-4),
        Comparison("array 37-101-53-7, float64", by_train(_double(odd), "array", 3, 3), 1e-9),
        Comparison("block 37-101-53-7, float64", by_train(_double(odd), "block", 3, 2)),
    ]


def tiny_comparisons() -> list[Comparison]:
    """One of each kind."""
    online, small = Training((2, 2, 3), 1, 5, tutorial=True), Training((3, 5, 3), 4, 10)
    return [
        Comparison("lane 2-2-3", by_train(online, "lane", 3, 1)),
        Comparison("block 3-5-3", by_train(small, "block", 2, 1)),
        Comparison("block 3-5-3, nothing in shared memory", laid_out(small, LAYOUTS[0], 2)),
        Comparison("array 3-5-3", by_train(_smooth(small), "array", 2, 1), 1e-4),
    ]


def _smooth(training: Training) -> Training:
    """By momentum: Adam makes a whole step of a rounding error, where a gradient is next to nothing."""
    return replace(training, settings={"optimizer": "momentum", "learning_rate": 0.01})


def _double(training: Training) -> Training:
    return replace(training, dtype="float64")


def by_train(training: Training, name: str, n_networks: int, epochs: int, **more: Any) -> Callable[[Backend], States]:
    """Parameters, the optimizer's arrays and the losses after a training with shuffled rows."""

    def states(backend: Backend) -> States:
        networks, state = training.population(backend, n_networks), TrainingState()
        X, T = training.table()
        history = train(networks, X, T, training.how(epochs), engine=name, state=state, **more)
        _require(history.engine, name)
        slots = {name: np.asarray(slot) for name, slot in state.slots.items()}
        return {"params": backend.to_host(networks.params)} | slots | _metrics(history)

    return states


def early_stopping(
    sizes: tuple[int, ...], name: str, epochs: int, settings: dict[str, Any]
) -> Callable[[Backend], States]:
    """Networks that stop in different epochs, and get their best weights back."""
    training = Training(sizes, 8, 90, settings=settings)
    return by_train(training, name, 9, epochs, rows=np.arange(60), validation_rows=np.arange(60, 90))


def of_cases(cases: Iterable[Case]) -> list[Comparison]:
    """Small trainings that between them use everything the kernels have (tests/bit_cases.py)."""
    return [Comparison(f"{case}, {case.rows} rows", partial(of_case, case), compiled=case) for case in cases]


def of_case(case: Case, backend: Backend) -> States:
    params, history = trained(backend, case)
    return {"params": params} | _metrics(history)


def _metrics(history: History) -> States:
    """NaN after a network has stopped; those that there are."""
    found = {name: getattr(history, name) for name in METRICS}
    return {name: values for name, values in found.items() if values is not None}


def laid_out(training: Training, layout: dict[str, int], n_networks: int) -> Callable[[Backend], States]:
    """By blocks, whose layout on the device has these fields; the CPU has none."""

    def states(backend: Backend) -> States:
        with changed(layout):
            return by_train(training, "block", n_networks, 2)(backend)

    return states


def _require(found: str, name: str) -> None:
    if found != name:
        raise ValueError(f"trained by {found}, not by {name}")
