"""An engine at work without `train` around it: so many epochs at a call, to be timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gpu.trainings import Training
from gpubp.population import Population
from gpubp.training import choose_engine, prepare
from gpubp.training.block_engine import BlockEngine
from gpubp.training.interruption import Interruption


@contextmanager
def trainer(
    networks: Population, training: Training, engine: str, *, program: Any = None, rows: Any = None, **settings: Any
) -> Iterator[Callable[[int], None]]:
    """Within it, run(epochs) trains the networks in place and waits for them. program: of the block engine, compiled
    otherwise than usually. rows: as `train` takes them; settings: besides the training's.

    Raises SettingsError where the engine cannot serve these networks.
    """
    backend = networks.backend
    work = prepare(networks, *training.table(), training.how(1, **settings), rows)
    if program is not None:
        built: Any = BlockEngine(work, networks.params, program)
    else:
        built = choose_engine(work, engine).build(work, networks.params)
    with Interruption() as interruption, backend.quiet():

        def run(epochs: int) -> None:
            built.run(0, epochs, interruption)
            built.wait()

        yield run
