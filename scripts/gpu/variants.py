"""Variants of the block engine's kernel side by side: the same trainings, their bits compared, then timed in turns.

A new variant is a line in VARIANTS. The first one is the kernel as it is shipped.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from unittest.mock import patch

import numpy as np

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


PLACES = (
    Place(Training((64, 256, 256, 256, 10), 256, 1024), 132, 1),
    Place(Training((16, 64, 64, 3), 32, 1024), 1056),
    Place(Training((784, 1024, 1024, 10), 256, 1024), 1, 1),
    Place(Training((64, 256, 256, 256, 10), 256, 1024), 1, 1),
    Place(Training((16, 32, 3), 32, 1024), 132),
)
TINY = (Place(Training((3, 5, 3), 4, 10), 2),)


def items(work: Work) -> list[Item]:
    """A place for each item: its variants are compiled, compared, and timed in turns."""
    variants = (VARIANTS[0], VARIANTS[-1]) if work.stand_in else VARIANTS
    return [
        Item(f"{place.training}, {place.n_networks} networks", partial(rows, place, variants), needs=4, limit=90)
        for place in (TINY if work.stand_in else PLACES)
    ]


def rows(place: Place, variants: Iterable[Variant]) -> Iterable[Row]:
    expected: np.ndarray | None = None
    for variant in variants:
        row: Row = {"training": str(place.training), "networks": place.n_networks, "variant": variant.name}
        try:
            with built(place, variant) as (run, params):
                run(place.epochs)
                ours = params()
                expected = ours if expected is None else expected
                row |= apart({"params": ours}, {"params": expected}, 0.0)
                seconds, _ = slope(run, 0.06)
            updates = place.training.updates * place.n_networks
            flops = place.training.operations * place.n_networks / seconds
            row |= {"us": 1e6 * seconds / updates, "flops": flops}
        except Exception as error:  # a variant that does not compile or run is told, and the others go on
            row["error"] = f"{type(error).__name__}: {error}"[:1000]
        yield row
        free(get_backend("cupy"))


@contextmanager
def built(place: Place, variant: Variant) -> Iterator[tuple[Callable[[int], None], Callable[[], np.ndarray]]]:
    """From the same weights as every other variant: run(epochs), and the parameters (P, K) on the host."""
    training, backend = place.training, get_backend("cupy")
    kernel = BlockKernel(training.dtype, training.how(1).loss, training.how(1).optimizer)
    unknown = [name for name in variant.definitions if name not in kernel.source]
    if unknown:
        raise ValueError(f"the kernel's source knows no {', '.join(unknown)}: the variant would be the kernel as it is")
    with ExitStack() as stack:
        for name, value in variant.constants.items():
            module, _, constant = name.rpartition(".")
            stack.enter_context(patch.object(importlib.import_module(module), constant, value))
        program = backend.compile(kernel.source, kernel.definitions() | dict(variant.definitions))
        for name, value in variant.attributes.items():
            stack.enter_context(patch.object(program, name, value))
        networks = training.population(backend, place.n_networks)
        run = stack.enter_context(trainer(networks, training, "block", program=program))
        yield run, lambda: backend.to_host(networks.params)
