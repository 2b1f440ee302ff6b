"""What a population takes of the memory, before it takes it; and how jobs are split so that each part fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpubp.backends import Backend
from gpubp.engines.block.memory import training_layout
from gpubp.engines.registry import ENGINE_KINDS
from gpubp.fitting.job import Job

SHARE = 0.5  # of the free memory that a sweep takes where nobody says how much
WIDEST = 1024  # networks of a part: more are no faster, and a sweep is to be told of its progress
COPIES_OF_A_SHEET = 4  # the sheet, the stack, the table on the device, and checks on the way
WORKSPACES = 16  # of the block engine: some for each thread; of the others: fewer


def budget_of(backend: Backend, wanted: int | None) -> int | None:
    """Bytes that a population may take; None where that cannot be known."""
    if wanted is not None:
        return wanted
    free = backend.memory().free
    return int(free * SHARE) if free > 0 else None


def network_bytes(job: Job) -> int:
    """Of one network: parameters (also those that it came with), optimizer, gradients; its rows, orders and losses."""
    slots = len(job.settings.state_arrays)
    rows = job.n_rows + (0 if job.validation is None else len(job.validation))
    parameters = job.architecture.n_parameters * job.dtype.itemsize
    return parameters * (4 + 3 * slots) + rows * 24 + job.epochs * 24


def workspace_bytes(job: Job) -> int:
    """That does not grow with the number of networks."""
    batch = min(job.settings.batch_rows(job.n_rows), job.n_rows)
    slots = len(job.settings.state_arrays)
    return WORKSPACES * job.dtype.itemsize * training_layout(job.architecture, batch, slots, dropout=True).numbers


def population_bytes(jobs: Sequence[Job]) -> int:
    """An estimate, rather too much than too little."""
    sheets = {id(job.sheet): job.sheet for job in jobs}
    tables = sum(sheet.X.nbytes + sheet.T.nbytes for sheet in sheets.values())
    return workspace_bytes(jobs[0]) + sum(map(network_bytes, jobs)) + COPIES_OF_A_SHEET * tables


def widest(backend: Backend, engine: str) -> int:
    """How many networks a part may have: as many as the engine can have in training at the same time."""
    return max(WIDEST, ENGINE_KINDS[engine].networks_to_fill(backend))


def parts(jobs: Sequence[Job], budget: int | None, most: int = WIDEST) -> Iterator[list[Job]]:
    """The jobs, in order, as lists of `most` that fit the budget; a single job where not even that fits."""
    part: list[Job] = []
    taken, sheets = 0, set[int]()
    for job in jobs:
        sheet = 0 if id(job.sheet) in sheets else COPIES_OF_A_SHEET * (job.sheet.X.nbytes + job.sheet.T.nbytes)
        needed = network_bytes(job) + sheet
        if part and (len(part) == most or (budget is not None and taken + needed > budget)):
            yield part
            part, taken, sheets = [], 0, set()
        if not part:
            needed = population_bytes([job])
        part.append(job)
        taken += needed
        sheets.add(id(job.sheet))
    if part:
        yield part
