"""Variants of the block engine's kernel side by side: the same trainings, their bits compared, then timed in turns.

A new variant is a line in VARIANTS. The first one is the kernel as it is shipped.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
from benchmarks.machine import usable_cores

from gpu.distance import apart
from gpu.epochs import trainer
from gpu.speed import free
from gpu.timing import slope
from gpu.trainings import Training
from gpu.work import Item, Row, Work
from gpubp.backends import get_backend
from gpubp.kernels.block import BlockKernel


@dataclass(frozen=True)
class Variant:
    """definitions: what the kernel is compiled with instead of what BlockKernel.definitions() says, or besides.
    attributes: of the program, set once it is compiled. constants: of modules, by their dotted names, as they are while
    the kernel is compiled and the networks are trained.
    """

    name: str
    definitions: Mapping[str, object] = field(default_factory=dict)
    attributes: Mapping[str, object] = field(default_factory=dict)
    constants: Mapping[str, object] = field(default_factory=dict)


VARIANTS = (
    Variant("as shipped"),
    Variant("128 threads", {"THREADS": 128}),
    Variant("512 threads", {"THREADS": 512}),
    Variant("nothing in shared memory", attributes={"most_shared": 8192}),
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
    """Kernels are compiled side by side, here already; then one variant after the other at each place."""
    variants, places = ((VARIANTS[0], VARIANTS[-1]), TINY) if work.stand_in else (VARIANTS, PLACES)
    pool = ThreadPoolExecutor(usable_cores())
    ahead = {each.name: pool.submit(compiled, each) for each in variants if not each.constants}
    expected: dict[Place, np.ndarray] = {}
    return [
        Item(f"{place}: {variant.name}", partial(rows, place, variant, expected, ahead.get(variant.name)))
        for place in places
        for variant in variants
    ]


def compiled(variant: Variant) -> Any:
    """The program of all places; from the cache where it has been compiled before."""
    kernel = BlockKernel("float32", "cross_entropy", "adam")
    unknown = [name for name in variant.definitions if name not in kernel.source]
    if unknown:
        raise ValueError(f"the kernel's source knows no {', '.join(unknown)}: the variant would be the kernel as it is")
    return get_backend("cupy").compile(kernel.source, kernel.definitions() | dict(variant.definitions))


def rows(
    place: Place, variant: Variant, expected: dict[Place, np.ndarray], ahead: Future[Any] | None = None
) -> Iterable[Row]:
    """expected: by place, the parameters (P, K) by the kernel as it is shipped, trained here where they are missing."""
    if ahead is not None:
        ahead.result()
    if place not in expected:
        with built(place, VARIANTS[0]) as (run, params):
            run(place.epochs)
            expected[place] = params()
    with built(place, variant) as (run, params):
        run(place.epochs)
        distance = apart({"params": params()}, {"params": expected[place]}, 0.0)
        seconds, _ = slope(run, 0.06)
    updates = place.training.updates * place.n_networks
    times = {"us": 1e6 * seconds / updates, "flops": place.training.operations * place.n_networks / seconds}
    yield {"place": str(place), "variant": variant.name} | distance | times | registers(compiled(variant))
    free(get_backend("cupy"))


def registers(program: Any) -> Row:
    """Of a thread, and its bytes outside of them, where cuda-core tells of a loaded kernel."""
    if not hasattr(program.module, "get_kernel"):
        return {}
    told = getattr(program.module.get_kernel("block_train"), "attributes", None)
    return {} if told is None else {"registers": told.num_regs, "local_bytes": told.local_size_bytes}


@contextmanager
def built(place: Place, variant: Variant) -> Iterator[tuple[Callable[[int], None], Callable[[], np.ndarray]]]:
    """From the same weights as every other variant: run(epochs), and the parameters (P, K) on the host."""
    training, backend = place.training, get_backend("cupy")
    with ExitStack() as stack:
        for name, value in variant.constants.items():
            module, _, constant = name.rpartition(".")
            stack.enter_context(patch.object(importlib.import_module(module), constant, value))
        program = compiled(variant)
        for name, value in variant.attributes.items():
            stack.enter_context(patch.object(program, name, value))
        networks = training.population(backend, place.n_networks)
        run = stack.enter_context(trainer(networks, training, "block", program=program))
        yield run, lambda: backend.to_host(networks.params)
