"""Variants of the block engine's kernel side by side: the same trainings, their bits compared, then timed in turns.

A new variant is a line in VARIANTS. The first one is the kernel as it is shipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from benchmarks.machine import usable_cores

from gpu.block_changes import changed
from gpu.distance import apart
from gpu.epochs import trainer
from gpu.speed import free
from gpu.timing import slope
from gpu.trainings import Training
from gpu.work import Item, Row, Work
from gpubp.backends import get_backend
from gpubp.engines.block import engine as block_engine
from gpubp.engines.block.kernel import BlockKernel
from gpubp.networks.preparation import prepare


@dataclass(frozen=True)
class Variant:
    """What is other than shipped: fields of the BlockLayout, definitions for the compiler, constants of modules by
    their dotted names."""

    name: str
    layout: dict[str, int] = field(default_factory=dict)
    definitions: dict[str, object] = field(default_factory=dict)
    constants: dict[str, object] = field(default_factory=dict)

    def applied(self) -> AbstractContextManager[None]:
        return changed(self.layout, self.definitions, self.constants)


VARIANTS = (
    Variant("as shipped"),
    Variant("64 threads", {"threads": 64, "blocks": 8}),
    Variant("128 threads", {"threads": 128, "blocks": 4}),
    Variant("256 threads", {"threads": 256, "blocks": 1}),
    Variant("512 threads", {"threads": 512, "blocks": 1}),
    Variant("8 steps", definitions={"STEPS": 8}),
    Variant("32 steps", definitions={"STEPS": 32}),
    Variant("8 at once", definitions={"AT_ONCE": 8}),
    Variant("a block a network", {"team": 1}),
    Variant("nothing in shared memory", {"shared_bytes": 0}),
)


@dataclass(frozen=True)
class Place:
    """Where variants are compared. epochs: before the bits are compared."""

    training: Training
    n_networks: int
    epochs: int = 2

    def __str__(self) -> str:
        return f"{self.training}, {self.n_networks} networks"


PLACES = (
    Place(Training((64, 256, 256, 256, 10), 256, 1024), 132, 1),
    Place(Training((16, 64, 64, 3), 32, 1024), 1056),
    Place(Training((784, 1024, 1024, 10), 256, 1024), 1, 1),
    Place(Training((64, 256, 256, 256, 10), 256, 1024), 1, 1),
    Place(Training((16, 32, 3), 32, 1024), 132),
)
TINY = (Place(Training((3, 5, 3), 4, 10), 2),)


def items(work: Work) -> list[Item]:
    """Kernels are compiled side by side, from here on; then one variant after the other at each place."""
    variants, places = ((VARIANTS[0], VARIANTS[-1]), TINY) if work.stand_in else (VARIANTS, PLACES)
    pool = ThreadPoolExecutor(usable_cores())
    ahead = {place: compiled_ahead(place, variants, pool) for place in places}
    expected: dict[Place, np.ndarray] = {}
    return [
        Item(f"{place}: {variant.name}", partial(rows, place, variant, expected, ahead[place][variant.name]))
        for place in places
        for variant in variants
    ]


def compiled_ahead(
    place: Place, variants: Iterable[Variant], pool: ThreadPoolExecutor
) -> dict[str, Future[Any] | None]:
    """By the variant's name: its kernel, on its way into the kernel cache; None where it cannot be."""
    backend, training = get_backend("cupy"), place.training
    work = prepare(training.population(backend, place.n_networks), *training.table(), training.how(1))
    started: dict[str, Future[Any] | None] = {}
    for variant in variants:
        started[variant.name] = None
        try:
            with variant.applied():
                settings = work.settings
                layout = block_engine.cuda_layout(work)
                kernel = BlockKernel(work.dtype.name, settings.loss, settings.optimizer, layout)
                started[variant.name] = pool.submit(backend.compile, kernel.source, kernel.definitions())
        except (ValueError, TypeError, AttributeError):  # told where it is tried
            continue
    free(backend)
    return started


def rows(
    place: Place, variant: Variant, expected: dict[Place, np.ndarray], ahead: Future[Any] | None = None
) -> Iterable[Row]:
    """expected: by place, the parameters (P, K) by the kernel as it is shipped, trained here where they are missing."""
    if ahead is not None:
        ahead.result()
    training, backend = place.training, get_backend("cupy")
    if place not in expected:
        networks = training.population(backend, place.n_networks)
        with trainer(networks, training, "block") as (run, _):
            run(place.epochs)
        expected[place] = backend.to_host(networks.params)
    networks = training.population(backend, place.n_networks)
    with variant.applied(), trainer(networks, training, "block") as (run, engine):
        run(place.epochs)
        distance = apart({"params": backend.to_host(networks.params)}, {"params": expected[place]}, 0.0)
        seconds, _ = slope(run, 0.06)
        told = registers(engine.program) | {"layout": str(engine.layout)}
    updates = training.updates * place.n_networks
    times = {"us": 1e6 * seconds / updates, "flops": training.operations * place.n_networks / seconds}
    yield {"place": str(place), "variant": variant.name} | distance | times | told
    free(backend)


def registers(program: Any) -> Row:
    """Of a thread, and its bytes outside of them, where cuda-core tells of a loaded kernel."""
    if not hasattr(program.module, "get_kernel"):
        return {}
    told = getattr(program.module.get_kernel("block_train"), "attributes", None)
    return {} if told is None else {"registers": told.num_regs, "local_bytes": told.local_size_bytes}
