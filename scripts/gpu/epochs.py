"""An engine at work without `train` around it: so many epochs at a call, to be timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gpu.trainings import Training
from gpubp.backends.interruption import Interruption
from gpubp.engines.choose import choose_engine
from gpubp.networks.population import Population
from gpubp.networks.preparation import prepare


@contextmanager
def trainer(
    networks: Population, training: Training, engine: str, *, rows: Any = None, **settings: Any
) -> Iterator[tuple[Callable[[int], None], Any]]:
    """Within it, run(epochs) trains the networks in place and waits for them; with the engine that does it. rows: as
    `train` takes them; settings: besides the training's.

    Raises SettingsError where the engine cannot serve these networks.
    """
    backend = networks.backend
    work = prepare(networks, *training.table(), training.how(1, **settings), rows)
    built = choose_engine(work, engine).build(work, networks.params)
    with Interruption() as interruption, backend.quiet():

        def run(epochs: int) -> None:
            built.run(0, epochs, interruption)
            built.wait()

        yield run, built
