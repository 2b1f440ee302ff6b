"""Where which engine is faster, measured: the table that `engine="auto"` is fitted to (gpubp/engines/*/costs.py).

    python scripts/crossover.py --markdown table.md --json crossover.json      # about 6 minutes
    python scripts/crossover.py --quick

float32, relu, cross-entropy, shuffled; microseconds per update of one network.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
from benchmarks.machine import describe

from gpubp.backends import Backend, get_backend
from gpubp.backends.interruption import Interruption
from gpubp.engines.choose import EngineChoice, choose_engine
from gpubp.engines.registry import ENGINE_KINDS, USUAL_COSTS
from gpubp.networks.plan import TrainingPlan
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.preparation import prepare
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture

ENGINES = tuple(ENGINE_KINDS)
NETWORKS = (1, 4, 16, 64, 256, 1000)
SIZES = ((7, 5, 3), (8, 16, 3), (16, 32, 3), (20, 79, 4))  # 58, 195, 643, 1979 parameters
BATCHES = (1, 8, 32, 128)
OPTIMIZERS = ("sgd", "adam")
ROWS, EPOCHS = 1000, 100  # of the training that auto chooses for
MEASURED_ROWS = 256
SHORTEST = 0.02  # seconds that a timing takes at least
SLOWER = 1.2  # beyond this, auto's choice is marked


@dataclass(frozen=True)
class Point:
    """measured, estimated: by engine, microseconds per update of one network; chosen: by auto, for EPOCHS of ROWS."""

    networks: int
    sizes: tuple[int, ...]
    batch: int
    optimizer: str
    measured: dict[str, float]
    estimated: dict[str, float]
    chosen: str

    @property
    def parameters(self) -> int:
        return sum((i + 1) * o for i, o in zip(self.sizes, self.sizes[1:], strict=False))

    def seconds(self, engine: str) -> float:
        """Of the whole training, with its share of the kernel's compilation."""
        updates = EPOCHS * -(-ROWS // self.batch) * self.networks
        return 1e-6 * updates * self.measured[engine] + USUAL_COSTS[engine].compile_share(get_backend("numpy"))

    @property
    def regret(self) -> float:
        """How many times the least time auto's choice takes."""
        return self.seconds(self.chosen) / min(self.seconds(engine) for engine in self.measured)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A few points: to see that it runs.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Timings of each point; the median counts.")] = 3,
    json_file: Annotated[Path | None, typer.Option("--json", help="Save every number here.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the tables here, as docs/lab/performance.md has them.")
    ] = None,
) -> None:
    """Measure the engines over networks, parameters, batch size and optimizer."""
    backend = get_backend("numpy")
    machine = describe(backend)
    points = []
    for point in measure_all(backend, quick, repeats):
        points.append(point)
        times = ", ".join(f"{engine} {short(value)}" for engine, value in point.measured.items())
        print(f"{point.optimizer} batch {point.batch}, {point.parameters} parameters × {point.networks}: {times} µs; "
              f"estimated {', '.join(short(value) for value in point.estimated.values())}; auto: {point.chosen}"
              f"{mark(point)}", flush=True)  # fmt: skip
    slower = [point for point in points if point.regret > SLOWER]
    print(f"auto takes an engine that is more than {SLOWER - 1:.0%} slower at {len(slower)} of {len(points)} points.")
    if json_file is not None:
        table = [asdict(point) | {"parameters": point.parameters, "regret": point.regret} for point in points]
        json_file.write_text(json.dumps({"machine": machine, "points": table}, indent=1) + "\n", encoding="utf-8")
    if markdown is not None:
        markdown.write_text("\n".join(tables(points)), encoding="utf-8")


def measure_all(backend: Backend, quick: bool, repeats: int) -> Iterator[Point]:
    for optimizer, batch, sizes, networks in product(OPTIMIZERS, BATCHES, SIZES, NETWORKS):
        if quick and (batch not in (1, 32) or networks not in (1, 64) or sizes == SIZES[-1]):
            continue
        choice = choose_engine(training(backend, sizes, networks, batch, optimizer, ROWS)[1])
        measured = {engine: measure(backend, engine, sizes, networks, batch, optimizer, repeats) for engine in ENGINES}
        yield Point(networks, sizes, batch, optimizer, measured, per_update(choice, networks, batch), choice.engine)


def per_update(choice: EngineChoice, networks: int, batch: int) -> dict[str, float]:
    updates = EPOCHS * -(-ROWS // batch) * networks
    return {engine: 1e6 * choice.seconds[engine] / updates for engine in ENGINES}


def training(
    backend: Backend, sizes: tuple[int, ...], networks: int, batch: int, optimizer: str, rows: int
) -> tuple[Population, TrainingPlan]:
    architecture = Architecture(sizes[0], sizes[1:-1], sizes[-1], "relu", "softmax")
    random = np.random.default_rng(0)
    X = random.normal(size=(rows, sizes[0])).astype(np.float32)
    T = np.eye(sizes[-1], dtype=np.float32)[random.integers(0, sizes[-1], rows)]
    population = Population.initialize(architecture, network_seeds(1, networks), backend)
    settings = Settings(optimizer=optimizer, learning_rate=1e-4, batch_size=batch, epochs=EPOCHS)
    return population, prepare(population, X, T, settings)


def measure(
    backend: Backend, engine: str, sizes: tuple[int, ...], networks: int, batch: int, optimizer: str, repeats: int
) -> float:
    """Microseconds per update of one network, in calls that take long enough to be timed."""
    rows = max(MEASURED_ROWS, batch) if networks * batch < 1000 or engine == "lane" else max(64, batch)
    population, plan = training(backend, sizes, networks, batch, optimizer, rows)
    built = choose_engine(plan, engine).build(plan, population.params)
    epochs = 1
    with Interruption() as interruption:

        def timed() -> float:
            started = time.perf_counter()
            built.run(0, epochs, interruption)
            built.wait()
            return time.perf_counter() - started

        timed()  # warm
        seconds = timed()
        while seconds < SHORTEST and epochs < EPOCHS:
            epochs = min(EPOCHS, max(2 * epochs, int(epochs * SHORTEST / seconds)))
            seconds = timed()
        typical = median([seconds, *(timed() for _ in range(repeats - 1))])
    return 1e6 * typical / (epochs * -(-rows // batch) * networks)


def tables(points: list[Point]) -> Iterator[str]:
    """Lane / array, µs per network-update; what auto takes in bold, marked where it is the slower one."""
    for optimizer, batch in product(OPTIMIZERS, BATCHES):
        chosen = [point for point in points if (point.optimizer, point.batch) == (optimizer, batch)]
        columns = sorted({point.parameters for point in chosen})
        if not columns:
            continue
        yield f"{optimizer}, batch {batch}:\n"
        yield "| networks | " + " | ".join(f"{parameters} parameters" for parameters in columns) + " |"
        yield "| ---: |" + " ---: |" * len(columns)
        for networks in sorted({point.networks for point in chosen}):
            line = sorted((point for point in chosen if point.networks == networks), key=lambda point: point.parameters)
            yield f"| {networks} | " + " | ".join(cell(point) for point in line) + " |"
        yield ""


def cell(point: Point) -> str:
    texts = {engine: short(value) for engine, value in point.measured.items()}
    texts[point.chosen] = f"**{texts[point.chosen]}**"
    return " / ".join(texts.values()) + mark(point)


def mark(point: Point) -> str:
    return f" (×{point.regret:.1f})" if point.regret > SLOWER else ""


def short(value: float) -> str:
    """Two digits."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


if __name__ == "__main__":
    typer.run(main)
