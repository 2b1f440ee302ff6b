"""Small trainings that between them use everything the native kernels have, for tests that compare bits.

P is a multiple of no vector width. Lane networks have at most 170 numbers, so that a CUDA thread takes them; block
networks have layers of one neuron, of less and more than a vector, and batches of one row, few, and all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any
from unittest.mock import patch

import numpy as np
from operation_cases import RATES, first, later_cases, with_later_losses

from gpubp.backends import Backend, NumpyBackend, Program
from gpubp.backends.interruption import Interruption
from gpubp.engines.array import engine as array_engine
from gpubp.engines.block.engine import BlockEngine
from gpubp.engines.block.kernel import BlockKernel
from gpubp.engines.kernel_engine import KernelEngine
from gpubp.engines.lane.engine import LaneEngine, lane_kernel
from gpubp.engines.lane.kernel import LaneKernel
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.preparation import prepare
from gpubp.networks.settings import Settings
from gpubp.networks.state import TrainingState
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.architecture import Architecture, kind_of
from gpubp.operations.layer_kinds import FRONT
from gpubp.operations.losses import LOSSES
from gpubp.operations.parametric import PARAMETRIC, ParametricDense
from gpubp.training.history import History
from gpubp.training.lbfgs import fit_lbfgs as fit_lbfgs
from gpubp.training.loop import train

N, I, P = 23, 3, 37  # noqa: E741
EPOCHS = 5
RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=(N, I))
TARGETS = {
    "squared_error": RANDOM.normal(size=(N, 2)),
    "cross_entropy": np.eye(3)[RANDOM.integers(0, 3, N)],
    "binary_cross_entropy": RANDOM.integers(0, 2, size=(N, 2)).astype(float),
    "poisson": RANDOM.poisson(1.5, size=(N, 1)).astype(float),
}
TARGETS = with_later_losses(TARGETS)
ENGINES: dict[str, type[LaneEngine] | type[BlockEngine]] = {"lane": LaneEngine, "block": BlockEngine}
PER_NETWORK = [np.random.default_rng(p).permutation(N)[:15] for p in range(P)]
RAGGED = [np.random.default_rng(p).permutation(N)[: 15 + p % 3] for p in range(P)]
ROWS = {"all": None, "shared": RANDOM.permutation(N)[:17], "own": PER_NETWORK, "ragged": RAGGED}
RAGGED_HELD = [np.arange(4 + p % 2) for p in range(P)]
HELD = {"none": None, "shared": np.arange(7), "ragged": RAGGED_HELD}
WEIGHTS = {"none": None, "rows": RANDOM.uniform(0.2, 2, N), "each": RANDOM.uniform(0.2, 2, (P, N))}


@dataclass(frozen=True)
class Case:
    """One training; the names are those of ROWS, HELD and WEIGHTS, and of the settings."""

    engine: str
    activation: str
    hidden: tuple[int, ...]
    loss: str
    optimizer: str
    dtype: str
    schedule: str
    batch_size: int | None
    rows: str
    held: str
    weights: str
    shuffle: bool
    l2: float
    clip_norm: float | None
    dropout: float
    front: tuple[str, ...] = ()
    averages: bool = False
    own_rates: bool = False
    schedules: tuple[str, ...] = ()  # of dropout, decay and label smoothing
    smoothing: str = "one"  # amount for all networks, or "each" its own
    categories: tuple[tuple[int, ...], ...] = ((1, 2),)  # of layers that care

    def __str__(self) -> str:
        behind = "".join(f"{kind.replace(':', '')}-" for kind in self.front) + "own-rates-" * self.own_rates
        behind += "average-" * self.averages
        name = f"{self.engine}-{behind}{self.activation}-{self.loss}-{self.optimizer}-{self.batch_size}-{self.dtype}"
        return "-".join([name, *self.schedules, *([] if self.smoothing == "one" else ["smoothing-of-each"])])


# In turns, each option in its own period.
LANE_OPTIONS: dict[str, tuple[Any, ...]] = {
    "activation": (
        "logistic", "tanh", "relu", "leaky_relu", "elu", "selu", "silu", "gelu", "gelu_tanh", "mish", "softplus",
        "identity", "tanh",
    ),
    "hidden": (
        (3,), (3, 2), (3,), (3, 2, 2), (3,), (3, 2), (3,), (3, 2), (3, 2, 2), (3,), (3, 2), (3,), (),
    ),
    "loss": ("squared_error", "cross_entropy", "binary_cross_entropy", "poisson"),
    "optimizer": ("sgd", "adam", "momentum", "adamw", "nesterov", "rmsprop"),
    # a CUDA thread has registers for half as many double numbers
    "dtype": (
        "float32", "float32", "float64", "float32", "float32", "float32", "float64", "float32", "float32", "float32",
        "float32", "float64", "float64",
    ),
    "schedule": ("constant", "cosine", "one_cycle", "step", "inverse_scaling"),
    "batch_size": (1, 4, None),
    "rows": ("ragged", "all", "own", "shared"),
    "held": ("ragged", "none", "shared"),
    "weights": ("none", "rows", "each", "none", "each"),
    "shuffle": (False, True, True, False, True),
    "l2": (0.0, 0.05),
    "clip_norm": (None, None, 0.5, None, 0.5),
    "dropout": (0.0, 0.3, 0.0, 0.0, 0.5, 0.0, 0.2),
}  # fmt: skip
BLOCK_OPTIONS: dict[str, tuple[Any, ...]] = LANE_OPTIONS | {
    "hidden": (
        (17,), (33, 1), (3,), (1, 3, 17), (33,), (3, 17), (16,), (1,), (17, 33), (3, 3, 3), (70,), (17, 1), (),
    ),
    # a kernel is compiled for each of these: as few as have every loss, optimizer and dtype
    "loss": (
        "squared_error", "cross_entropy", "binary_cross_entropy", "poisson", "cross_entropy", "squared_error",
    ),
    "dtype": ("float32", "float32", "float64", "float32", "float64", "float32"),
    "batch_size": (4, None, 1, 4, 7),
    "rows": ("ragged", "all", "own", "shared", "ragged", "shared", "own"),
    "held": ("ragged", "shared", "none", "shared"),
    "weights": ("none", "rows", "each", "none", "rows", "each", "rows", "none", "each", "rows", "none"),
    "l2": (0.0, 0.05, 0.0, 0.05, 0.05, 0.0, 0.05),
}  # fmt: skip


def covering(engine: str, options: dict[str, tuple[Any, ...]]) -> list[Case]:
    """As many cases as there are activations in the table, and those of later operations."""
    turns = islice(zip(*map(cycle, options.values()), strict=True), len(options["activation"]))
    cases = [Case(engine, **dict(zip(options, values, strict=True))) for values in turns]
    return cases + [replace(cases[4], **later) for later in later_cases()]  # a batch of a few rows


LANE_CASES = covering("lane", LANE_OPTIONS)
LANE_CASES += [replace(LANE_CASES[i], averages=True, held="ragged", hidden=(3,)) for i in (0, 3, 8)]
BLOCK_CASES = covering("block", BLOCK_OPTIONS)
# Layers in front: weight decay, L2 and dropout in float32; L2 with clipping, rows of several lengths in float64. Every
# kind once at least, together with another, with more sums of a number than are taken at once, and before layers whose
# rates are their own.
FRONT_CASES = [
    replace(case, front=front, dropout=0.3, own_rates=own_rates)
    for case, front, own_rates in (
        (BLOCK_CASES[3], ("scale",), False),
        (BLOCK_CASES[4], ("scale",), False),
        (BLOCK_CASES[3], ("pbld:3x7", "scale"), True),
        (BLOCK_CASES[4], ("pbld:3x3",), False),
        (BLOCK_CASES[4], ("pl:2x2",), True),
        (BLOCK_CASES[3], ("plr:2x3",), False),
        (BLOCK_CASES[3], (), True),
    )
]
# Vectors of categories before waves, behind them, and of every input.
FRONT_CASES += [
    replace(FRONT_CASES[2], front=("embed:3x1", "pbld:3x3", "scale")),
    replace(FRONT_CASES[3], front=("pl:2x2", "embed:5x1")),
    replace(FRONT_CASES[0], front=("embed:2x0",), categories=((0,), (1, 2))),
]
# A running average of the weights: rows of several lengths, dropout, validation in batches; one state array, and none.
AVERAGE_CASES = [
    replace(BLOCK_CASES[3], averages=True, held="ragged"),
    replace(BLOCK_CASES[4], averages=True, optimizer="sgd"),
    replace(FRONT_CASES[0], averages=True, held="shared"),
]
# Parametric activations: dropout and weight decay in float32; L2, clipping and rates of dense layers in float64; behind
# factors of the inputs, nothing dropped, and a running average.
PARAMETRIC_CASES = [
    replace(BLOCK_CASES[3], activation="parametric_mish", dropout=0.3),
    replace(BLOCK_CASES[4], activation="parametric_selu", dropout=0.3, own_rates=True),
    replace(FRONT_CASES[0], activation="parametric_tanh", dropout=0.0, averages=True),
]
BLOCK_CASES += [*FRONT_CASES, *AVERAGE_CASES, *PARAMETRIC_CASES]
# Schedules of dropout, L2, weight decay and label smoothing; and label smoothing alone, of which each network has its
# own amount.
BY_SCHEDULE: dict[str, Any] = {"schedules": ("flat_cos", "cosine", "coslog4"), "smoothing": "each", "dropout": 0.4}
SCHEDULED_LANES = [
    replace(LANE_CASES[5], **BY_SCHEDULE, schedule="flat_cos", optimizer="adamw", batch_size=4, shuffle=True),
    replace(
        LANE_CASES[1],
        schedule="coslog4",
        schedules=("flat_cos", "constant", "constant"),
        smoothing="each",
        batch_size=1,
        shuffle=False,
    ),
]
SCHEDULED_BLOCKS = [
    replace(BLOCK_CASES[1], **BY_SCHEDULE, schedule="flat_cos", batch_size=4),
    replace(FRONT_CASES[2], schedule="coslog4", schedules=("coslog4", "flat_cos", "constant")),
]
LANE_CASES += SCHEDULED_LANES
BLOCK_CASES += SCHEDULED_BLOCKS
CASES = LANE_CASES + BLOCK_CASES


def own_options(loss: str, networks: int) -> dict[str, np.ndarray]:
    """Of the loss, other ones for each network."""
    factors = np.linspace(0.5, 1.5, networks)
    return {option.name: option.default * factors for option in LOSSES[loss].options}


def front_options(front: tuple[str, ...], networks: int) -> dict[str, np.ndarray]:
    """Of layers in front, other ones for each network."""
    given = [option.name for layer in front for option in FRONT[kind_of(layer)].options]
    return {name: np.linspace(0.5 + place % 2, 1.5 - place % 2, networks) for place, name in enumerate(given)}


def layer_options(case: Case) -> dict[str, np.ndarray]:
    bounds = {"bias_rate": (0.1, 1), "first_rate": (2, 1), "fan_in_power": (0, 1)}
    own = {name: np.linspace(*ends, P) for name, ends in bounds.items()}
    slopes = {option.name: np.linspace(0.5, 2.0, P) for option in ParametricDense.options}
    return front_options(case.front, P) | (own if case.own_rates else {}) | (slopes if is_parametric(case) else {})


def is_parametric(case: Case) -> bool:
    return case.activation in PARAMETRIC


def setting(case: Case, **more: Any) -> Settings:
    smoothing = 0.1 if case.smoothing == "one" else np.linspace(0.0, 0.4, P)
    options: dict[str, Any] = {
        "loss": case.loss,
        "optimizer": case.optimizer,
        "learning_rate": RATES[case.optimizer] * np.linspace(0.5, 1.5, P),
        "l2": case.l2,
        "clip_norm": case.clip_norm,
        "schedule": case.schedule,
        "batch_size": case.batch_size,
        "epochs": EPOCHS,
        "shuffle": case.shuffle,
        "dropout": np.linspace(0, case.dropout, P)[:, None] * np.ones(len(case.hidden)),
        "label_smoothing": smoothing if case.loss == "cross_entropy" else 0.0,
        "loss_options": own_options(case.loss, P),
        "layer_options": layer_options(case),
        "average": np.linspace(0.0, 0.9, P) if case.averages else None,
    }
    names = ("dropout_schedule", "decay_schedule", "smoothing_schedule")
    options |= dict(zip(names, case.schedules, strict=bool(case.schedules)))
    return Settings(**(options | more))


def population(backend: Backend, case: Case) -> Population:
    n_outputs = TARGETS[case.loss].shape[1]
    output = LOSSES[case.loss].link or "tanh"
    places = {"indicators": (1,), "categories": case.categories}
    shape = Architecture(I, case.hidden, n_outputs, case.activation, output, case.front, **places)
    return Population.initialize(
        shape, network_seeds(7, P), backend, dtype=case.dtype, layer_options=layer_options(case)
    )


def arguments(case: Case) -> dict[str, Any]:
    """Of train and prepare."""
    rows, held, weights = ROWS[case.rows], HELD[case.held], WEIGHTS[case.weights]
    return {"rows": rows, "validation_rows": held, "row_weights": weights}


def kernel(case: Case) -> LaneKernel | BlockKernel:
    """What the case's engine compiles."""
    if case.engine == "block":
        front = bool(case.front) or case.own_rates or is_parametric(case)
        return BlockKernel(case.dtype, case.loss, case.optimizer, front=front, averages=case.averages)
    backend = NumpyBackend()
    return lane_kernel(prepare(population(backend, case), X, TARGETS[case.loss], setting(case), **arguments(case)))


def trained(backend: Backend, case: Case, **more: Any) -> tuple[np.ndarray, History]:
    """(P, K) parameters on the host after a training by the case's engine, and its history."""
    networks = population(backend, case)
    history = train(networks, X, TARGETS[case.loss], setting(case, **more), engine=case.engine, **arguments(case))
    assert history.engine == case.engine
    return backend.to_host(networks.params), history


def engine(
    backend: Backend,
    case: Case,
    *,
    epochs: int,
    program: Program | None = None,
    keep: np.ndarray | None = None,
    poison: int | None = None,
) -> KernelEngine:
    """The engine alone, with its networks sorted as `train` sorts them (see sorted_places).

    keep: the networks (places in the population, ascending) that are trained; None: all. poison: a network whose first
    parameter is NaN before it begins.
    """
    networks = population(backend, case)
    plan = prepare(networks, X, TARGETS[case.loss], setting(case, epochs=epochs), **arguments(case))
    if poison is not None:
        networks.params[poison, 0] = np.nan
    order = sorted_places(case, keep)
    return ENGINES[case.engine](plan.networks(order), networks.params[backend.to_device(order)], program)


def sorted_places(case: Case, keep: np.ndarray | None = None) -> np.ndarray:
    """Networks with equally many rows, and validation rows, are neighbours."""
    count = np.array([len(rows) for rows in RAGGED]) if case.rows == "ragged" else np.zeros(P)
    held = np.array([len(rows) for rows in RAGGED_HELD]) if case.held == "ragged" else np.zeros(P)
    order = np.lexsort((np.arange(P), held, -count))
    return order if keep is None else order[np.isin(order, keep)]


def run_in_calls(engine: KernelEngine, calls: Sequence[int]) -> np.ndarray:
    """Metrics (3, epochs, networks) on the host of a training of `calls` epochs at a time."""
    epoch, parts = 0, []
    with engine.backend.quiet():
        for count in calls:
            metrics, _ = engine.run(epoch, count, Interruption())
            parts.append(engine.backend.to_host(metrics))
            epoch += count
    return np.concatenate(parts, axis=1)


def trained_in_calls(
    backend: Backend,
    case: Case,
    calls: Sequence[int],
    program: Program | None = None,
    keep: np.ndarray | None = None,
    poison: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(networks, K) parameters and (3, epochs, networks) metrics, in the population's order; see `engine`."""
    one = engine(backend, case, epochs=sum(calls), program=program, keep=keep, poison=poison)
    metrics = run_in_calls(one, calls)
    back = np.argsort(sorted_places(case, keep))
    return backend.to_host(one.params)[back], metrics[:, :, back]


# For the array engine's compiled kernels (fused.h). In turns: layers of one neuron, of less and more than a vector; the
# first network drops nothing and decays nothing.
FUSED_N, FUSED_P = 29, 3
FUSED_RANDOM = np.random.default_rng(5)
FUSED_X = FUSED_RANDOM.normal(size=(FUSED_N, I))
FUSED_TARGETS = {
    "squared_error": FUSED_RANDOM.normal(size=(FUSED_N, 17)),
    "cross_entropy": np.eye(5)[FUSED_RANDOM.integers(0, 5, FUSED_N)],
    "binary_cross_entropy": FUSED_RANDOM.integers(0, 2, size=(FUSED_N, 2)).astype(float),
    "poisson": FUSED_RANDOM.poisson(1.5, size=(FUSED_N, 1)).astype(float),
}
FUSED_TARGETS = with_later_losses(FUSED_TARGETS)
FUSED_RAGGED = [np.random.default_rng(p).permutation(FUSED_N)[: 21 + p % 2] for p in range(FUSED_P)]
FUSED_WEIGHTS = {
    "none": None,
    "rows": FUSED_RANDOM.uniform(0.2, 2, FUSED_N),
    "each": FUSED_RANDOM.uniform(0.2, 2, (FUSED_P, FUSED_N)),
}
HIDDEN = [name for name, entry in ACTIVATIONS.items() if not entry.only_output]
FUSED_CASES: list[dict[str, Any]] = [
    dict(zip(("dtype", "loss", "optimizer", "activations", "hidden", "clip_norm", "weights", "l2", "dropout"),
             values, strict=True))
    for values in islice(zip(
        cycle(("float32", "float32", "float64")),
        cycle(first("loss")),
        cycle(first("optimizer")),
        (HIDDEN[:3], HIDDEN[3:5], HIDDEN[5:8], HIDDEN[8:9], HIDDEN[9:11], HIDDEN[1:2]),
        ((17, 1, 33), (70, 3), (3, 16, 5), (130,), (1, 18), (35,)),
        cycle((None, 0.5, None)),
        cycle(("none", "each", "rows", "none")),
        cycle((0.05, 0.0)),
        cycle((0.4, 0.0, 0.3)),
        strict=False,
    ), 6)
]  # fmt: skip
FUSED_CASES += [
    FUSED_CASES[0] | {name: value for name, value in later.items() if name != "activation"}
    | ({"activations": (later["activation"],) * 3} if "activation" in later else {})
    for later in later_cases()
]  # fmt: skip

FUSED_CASES += [FUSED_CASES[0] | {"loss": "cross_entropy", "optimizer": "adamw", "weights": "each", "scheduled": True}]


FUSED_CASES.append(FUSED_CASES[3] | {"average": True, "optimizer": "adamw", "clip_norm": None})


def fused_name(case: dict[str, Any]) -> str:
    alone = {*case["activations"]} if len(case["activations"]) > 1 else {}
    averaged = ("average",) if case.get("average") else ()
    return "-".join([case["loss"], case["optimizer"], case["dtype"], *averaged, *(alone if len(alone) == 1 else ())])


def trained_fused(
    backend: Backend, case: dict[str, Any], epochs: int = 3, networks: int = FUSED_P
) -> tuple[np.ndarray, History, TrainingState]:
    """Parameters (P, K) on the host, the history, and the optimizer's state."""
    T = FUSED_TARGETS[case["loss"]]
    shape = Architecture(I, case["hidden"], T.shape[1], case["activations"], LOSSES[case["loss"]].link or "tanh")
    population = Population.initialize(shape, network_seeds(3, networks), backend, dtype=case["dtype"])
    more: dict[str, Any] = {}
    if case.get("scheduled"):
        more = {"dropout_schedule": "flat_cos", "decay_schedule": "cosine", "smoothing_schedule": "coslog4"}
        more["label_smoothing"] = np.linspace(0.0, 0.4, FUSED_P)[:networks]
    settings = Settings(
        loss=case["loss"],
        loss_options=own_options(case["loss"], networks),
        optimizer=case["optimizer"],
        learning_rate=0.02 * np.linspace(0.5, 1.5, networks),
        l2=case["l2"] * np.arange(networks),
        clip_norm=case["clip_norm"],
        dropout=case["dropout"] * np.minimum(np.arange(networks), 1)[:, None] * np.ones(len(case["hidden"])),
        batch_size=6,
        epochs=epochs,
        average=np.linspace(0.0, 0.9, networks) if case.get("average") else None,
        **more,
    )
    weights, state = FUSED_WEIGHTS[case["weights"]], TrainingState()
    weights = weights[:networks] if case["weights"] == "each" and weights is not None else weights
    rows = FUSED_RAGGED[:networks]
    panels = replace(backend.at_once, panel=40)  # several, of equal shape on both
    with patch.object(array_engine, "FUSED_PARAMETERS", 0), patch.object(type(backend), "at_once", panels):
        history = train(population, FUSED_X, T, settings, engine="array", rows=rows, row_weights=weights, state=state)
    assert np.isfinite(history.training_loss).all()
    return backend.to_host(population.params), history, state


def bits(array: np.ndarray) -> np.ndarray:
    """The patterns of the numbers: -0 is not 0."""
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def assert_same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(bits(found), bits(expected))
