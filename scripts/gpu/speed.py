"""Microseconds of a network's update, by engine, width and size of the population, with operations and bytes a second.

Timed by the difference between more epochs and fewer, so that what a call takes to begin and to end drops out. Rows are
shuffled in every epoch, as `train` does by default.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from gpu.epochs import trainer
from gpu.timing import slope
from gpu.trainings import Training
from gpu.work import Item, Row, Work
from gpubp.backends import Backend, get_backend
from gpubp.engines.choose import choose_engine
from gpubp.errors import SettingsError
from gpubp.networks.population import Population
from gpubp.networks.preparation import prepare

ONLINE = Training((7, 5, 3), 1, 256, tutorial=True)
ONLINE_ADAM = Training((7, 5, 3), 1, 256)
SMALL, WIDER = Training((16, 32, 3), 32, 2048), Training((16, 64, 64, 3), 32, 2048)
MIDDLE, DEEP = Training((64, 256, 256, 10), 128, 2048), Training((64, 256, 256, 256, 10), 256, 2048)
LARGE = Training((784, 1024, 1024, 10), 256, 2048)
# the training, sizes of the population, engines: the more important first
WORK: tuple[tuple[Training, tuple[int, ...], tuple[str, ...]], ...] = (
    (ONLINE, (50_688, 1000, 1), ("lane",)),
    (WIDER, (1056, 132, 1), ("block",)),
    (DEEP, (132, 1), ("block",)),
    (LARGE, (1,), ("block", "array")),
    (MIDDLE, (132, 1), ("block",)),
    (SMALL, (1056, 132, 1), ("block",)),
    (ONLINE_ADAM, (33_792,), ("lane",)),
    (DEEP, (132, 1), ("array",)),
    (WIDER, (1056, 132, 1), ("array",)),
    (MIDDLE, (132, 1), ("array",)),
    (ONLINE, (1000,), ("block", "array")),
    (SMALL, (1056, 132), ("lane", "array")),
)
TINY: tuple[tuple[Training, tuple[int, ...], tuple[str, ...]], ...] = (
    (Training((2, 2, 3), 1, 5, tutorial=True), (3,), ("lane",)),
    (Training((3, 5, 3), 4, 10), (2,), ("block", "array")),
)


def items(work: Work) -> list[Item]:
    return [
        Item(f"{training}, {size} networks, {engine}", partial(row, training, size, engine), needs=2.5, limit=40)
        for training, sizes, engines in (TINY if work.stand_in else WORK)
        for size in sizes
        for engine in engines
    ]


def row(training: Training, n_networks: int, engine: str) -> Iterable[Row]:
    found: dict[str, Any] = {"training": str(training), "networks": n_networks, "engine": engine}
    backend = get_backend("cupy")
    networks = training.population(backend, n_networks)
    try:
        yield found | times(training, networks, engine)
    except SettingsError as error:
        yield found | {"refused": str(error)}
    finally:
        del networks
        free(backend)


def times(training: Training, networks: Population, engine: str) -> Row:
    """us: of a network's update. first_s: the first epoch, with compiling where the kernel is not in the cache."""
    auto = choose_engine(prepare(networks, *training.table(), training.how(100))).engine
    started = time.perf_counter()
    with trainer(networks, training, engine) as (run, _):
        run(1)
        first = time.perf_counter() - started
        seconds, epochs = slope(run)
    n = len(networks)
    return {
        "us": 1e6 * seconds / (training.updates * n),
        "step_us": 1e6 * seconds / training.updates,
        "updates_a_second": training.updates * n / seconds,
        "flops": training.operations * n / seconds,
        "bytes_a_second": training.bytes_through_memory(engine) * n / seconds,
        "epochs": epochs,
        "first_s": first,
        "auto": auto,
    }


def free(backend: Backend) -> None:
    """What CuPy's pool has kept of arrays that are gone."""
    gc.collect()
    pool = getattr(backend.xp, "get_default_memory_pool", None)
    if pool is not None and hasattr(pool(), "free_all_blocks"):  # the stand-in has nothing to free
        pool().free_all_blocks()
