"""gpubp and its peers on the same device in the same process: JAX and PyTorch in a process each, gpubp in both.

Everybody starts from the same weights and takes the same batches; a peer whose losses are not gpubp's is not timed.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from gpu.contenders import CONTESTS, TINY, Contest
from gpu.epochs import trainer
from gpu.speed import free
from gpu.timing import slope
from gpu.work import Item, Row, Work
from gpubp.backends import Backend, get_backend
from gpubp.errors import SettingsError
from gpubp.training.loop import train

TOLERANCE = {"float32": 2e-3, "TF32": 5e-2}  # of the epoch losses: Adam divides small numbers by small numbers

Measured = tuple[float, np.ndarray]  # seconds of an epoch, epoch losses (E, P)


def items(work: Work) -> list[Item]:
    contests = TINY if work.stand_in else CONTESTS
    return jax_items(contests, work) if work.group == "jax" else torch_items(contests, work)


class Opponents:
    """gpubp's own times and losses in this process, each contest's once."""

    def __init__(self) -> None:
        self.losses: dict[str, np.ndarray] = {}

    def gpubp(self, contest: Contest, beside: str) -> Iterable[Row]:
        backend = get_backend("cupy")
        for engine in contest.engines:
            try:
                seconds, losses = by_gpubp(contest, engine, backend)
            except SettingsError as error:
                yield {"contest": contest.name, "beside": beside, "name": f"gpubp {engine}", "refused": str(error)}
                continue
            self.losses.setdefault(contest.name, losses)
            yield shown(contest, beside, f"gpubp {engine}", seconds)
        free(backend)

    def peer(
        self, contest: Contest, beside: str, name: str, measure: Callable[[], Measured], arithmetic: str = "float32"
    ) -> Iterable[Row]:
        """arithmetic: of the products, for the tolerance."""
        started = time.perf_counter()
        seconds, losses = measure()
        first = time.perf_counter() - started
        if contest.name not in self.losses:  # an earlier process had them
            self.losses[contest.name] = losses_of(contest, contest.engines[0], get_backend("cupy"))
        expected = self.losses[contest.name]
        apart = float(np.abs(losses[: len(expected)] / expected[: len(losses)] - 1).max())
        row = shown(contest, beside, name, seconds) | {"apart": apart, "whole_s": first}
        if not apart < TOLERANCE[arithmetic]:
            row = {key: row[key] for key in ("contest", "beside", "name", "apart")}
            row["error"] = f"the epoch losses are {apart:.1e} apart from gpubp's: not timed"
        yield row
        gc.collect()


def shown(contest: Contest, beside: str, name: str, seconds: float) -> Row:
    """seconds: of an epoch."""
    return {
        "contest": contest.name,
        "beside": beside,
        "name": name,
        "us": 1e6 * seconds / contest.updates,
        "updates_a_second": contest.updates / seconds,
        "flops": contest.training.operations * contest.n_networks / seconds,
    }


def by_gpubp(contest: Contest, engine: str, backend: Backend) -> Measured:
    losses, networks = losses_of(contest, engine, backend), contest.population(backend)
    with trainer(networks, contest.training, engine, rows=contest.rows, shuffle=False) as (run, _):
        run(1)
        return slope(run)[0], losses


def losses_of(contest: Contest, engine: str, backend: Backend) -> np.ndarray:
    training, networks = contest.training, contest.population(backend)
    how = training.how(contest.epochs, shuffle=False)
    return train(networks, *training.table(), how, rows=contest.rows, engine=engine).training_loss


def jax_items(contests: Iterable[Contest], work: Work) -> list[Item]:
    if find_spec("jax") is None:
        return [Item("JAX", lambda: [{"absent": "JAX is not installed"}], needs=0)]
    opponents, found = Opponents(), []
    for contest in contests:
        found.append(Item(f"gpubp beside JAX: {contest.name}", partial(opponents.gpubp, contest, "JAX"), 3, 40))
    # the precision that products ask for: the highest is float32's, the default lets the device take TF32
    ways = (("JAX vmap, highest", "highest", False), ("JAX vmap, as it comes", None, False))
    for name, precision, last in (*ways, ("JAX, networks last, highest", "highest", True)):
        for contest in contests:
            if last and not contest.training.tutorial:
                continue
            measure = partial(by_jax, contest, precision, last)
            arithmetic = "float32" if precision else "TF32"
            rows = partial(opponents.peer, contest, "JAX", name, measure, arithmetic)
            found.append(Item(f"{name}: {contest.name}", rows, 4, 45))
    return found


def by_jax(contest: Contest, precision: str | None, last: bool) -> Measured:
    """last: the networks along the last axis, products written out."""
    import jax
    from benchmarks import jax_online, jax_scan

    def once() -> tuple[float, np.ndarray]:
        if contest.training.tutorial:
            training = jax_online.Training(last, contest.epochs, contest.n_networks)
            rates = np.full(contest.n_networks, contest.rate)
            X, T = contest.training.table()
            return jax_online.train(training, contest.layers, X, T, rates, contest.order[:, :, None])
        scan = jax_scan.Training(contest.n_networks, contest.unroll, contest.epochs, True, contest.rate)
        return jax_scan.train(scan, contest.layers, *contest.batches)

    with jax.default_matmul_precision(precision):
        _, losses = once()
        seconds = min(once()[0] for _ in range(2))
    return seconds / contest.epochs, losses


def torch_items(contests: Iterable[Contest], work: Work) -> list[Item]:
    if find_spec("torch") is None:
        return [Item("PyTorch", lambda: [{"absent": "PyTorch is not installed"}], needs=0)]
    import torch

    from gpu.torch_population import Way

    device = "cpu" if work.stand_in else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        return [Item("PyTorch", lambda: [{"absent": "this PyTorch finds no CUDA device"}], needs=0)]
    opponents, found = Opponents(), []
    graphs = () if device == "cpu" else (
        ("PyTorch, CUDA graph of an epoch", Way("epoch")),
        ("PyTorch, CUDA graph of an update", Way("update")),
    )  # fmt: skip
    ways = (*graphs, ("PyTorch eager", Way()), ("PyTorch vmap", Way(vmapped=True)))
    for contest in contests:
        found.append(Item(f"gpubp beside PyTorch: {contest.name}", partial(opponents.gpubp, contest, "PyTorch"), 3, 40))
    compiled = (
        "PyTorch, compiled, CUDA graph of an epoch",
        Way("epoch", compiled=True),
    )  # takes long, so it comes last
    for name, way in (*ways, *[compiled] * bool(graphs)):
        for contest in contests:
            rows = partial(opponents.peer, contest, "PyTorch", name, partial(by_torch, contest, way, device))
            found.append(Item(f"{name}: {contest.name}", rows, 12 if way.compiled else 3, 60 if way.compiled else 30))
    return found


def by_torch(contest: Contest, way: Any, device: str) -> Measured:
    import torch

    from gpu.torch_population import Trainer

    torch.backends.cuda.matmul.allow_tf32 = False  # as it comes
    return Trainer(contest, way, device).measure(contest.epochs)
