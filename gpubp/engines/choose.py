"""Which engine serves a training, and why: an estimate of the work, in seconds, for each that could.

The choice depends on the training alone, not on what the kernel cache holds or how busy the machine is: the same
training takes the same engine every time, and so gives the same bits. (Engines agree to rounding, not to the bit; name
one where populations of different sizes have to agree to the bit.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpubp.backends import Array, Backend
from gpubp.engines import cuda_costs
from gpubp.engines.array.engine import ArrayEngine
from gpubp.engines.base import Engine
from gpubp.engines.block.engine import BlockEngine, most_members
from gpubp.engines.block.kernel import refusal as block_refusal
from gpubp.engines.lane.engine import LaneEngine, lane_kernel
from gpubp.errors import SettingsError
from gpubp.errors.suggestions import check_choice
from gpubp.networks.plan import TrainingPlan

ENGINES = ("auto", "lane", "block", "array")

# Measured on two 2-core cloud machines with AVX-512 (docs/lab/performance.md); only their ratios matter.
COMPILE_SECONDS = {"lane": 0.8, "block": 1.7, "array": 0.0}  # of a kernel, if it is not in the cache
# It stays in the cache. A lane kernel serves trainings of one architecture with the same options: fifteen of them are
# to pay for it. A block kernel serves every architecture; a machine needs one for each loss, optimizer and dtype.
TRAININGS_THAT_PAY = {"lane": 15, "block": 170, "array": 1}
ARRAY_UPDATE, ARRAY_UPDATE_SLOT = 40e-6, 7e-6  # an update's NumPy calls; those of each slot of the optimizer
ARRAY_NETWORK = 0.1e-6  # of an update, for each network
ARRAY_PARAMETER, ARRAY_PARAMETER_SLOT = 2e-9, 1e-9  # of an update, for each network's parameter; and for its slots
ARRAY_ROW, ARRAY_SHUFFLED_ROW = 0.1e-6, 0.4e-6  # for each network's row; its place in the shuffle
ARRAY_NUMBER = 0.1e-9  # for each network's row and parameter: matrix products
LANE_OPERATION = 0.3e-9  # one vector instruction
LANE_SHUFFLE = 200  # of them for a row's place in the shuffle
LANE_BYTES, CORES = 64, 2  # of a vector, and how many vectors of networks are trained side by side
SHORT_BYTES, SHORT = 16, 0.4  # of the vector that so few networks get, and how long its instructions take compared
BLOCK_UPDATE, BLOCK_ROW = 0.5e-6, 30e-9  # of an update, whatever its size; of a row: gathering it, its loss
BLOCK_NUMBER = 0.07e-9  # for each row and parameter: six operations
BLOCK_PARAMETER, BLOCK_PARAMETER_SLOT = 0.1e-9, 0.15e-9  # of an update; and for its slots
# Ctrl-C waits for the end of a block engine's epoch: networks of more parameters are its work only as long as all of
# them together are expected to take no longer for an epoch than so many seconds.
LARGE_BLOCK, LONGEST_EPOCH = 500_000, 5.0


@dataclass(frozen=True)
class EngineChoice:
    """engine: "lane", "block" or "array"; reason: in words; seconds: the estimate for each that could serve.

    asked_for: by name, so that no other engine will do.
    """

    engine: str
    reason: str
    seconds: dict[str, float]
    asked_for: bool = True

    def build(self, plan: TrainingPlan, params: Array, buffers: Any = None) -> Engine:
        """params (P, K) is trained in place. buffers: of an earlier training by this engine, which serve this one."""
        if self.engine == "lane":
            return LaneEngine(plan, params)
        if self.engine == "block":
            return BlockEngine(plan, params)
        return ArrayEngine(plan, params, buffers=buffers)


def choose_engine(plan: TrainingPlan, wanted: str = "auto") -> EngineChoice:
    """The engine asked for, or with "auto" the one whose estimate is least, its share of a compilation included.

    Raises SettingsError where the engine asked for cannot serve these networks; what a missing compiler means for an
    engine that was asked for is told when it is built (BackendError).
    """
    choice = _choose(plan, wanted) if plan.n_networks > 1 else _known_choice(plan, wanted)
    if choice.asked_for or choice.engine == "array":
        return choice
    missing = plan.backend.compiler_missing()
    return choice if missing is None else EngineChoice("array", missing, choice.seconds, asked_for=False)


def _known_choice(plan: TrainingPlan, wanted: str) -> EngineChoice:
    """One network may be trained for microseconds, call after call: the choice is kept, by all that it depends on."""
    machine = plan.backend.multiprocessors()
    known = wanted, machine, plan.batch_size, plan.settings.epochs, int(plan.rows.count[0]), lane_kernel(plan)
    choice = _chosen.get(known)
    if choice is None:
        if len(_chosen) >= MOST_CHOSEN:
            _chosen.clear()
        choice = _chosen[known] = _choose(plan, wanted)
    return choice


MOST_CHOSEN = 256  # choices that a process keeps at hand
_chosen: dict[Any, EngineChoice] = {}


def _choose(plan: TrainingPlan, wanted: str) -> EngineChoice:
    """What `choose_engine` says, where kernels can be compiled."""
    check_choice("engine", wanted, ENGINES)
    no_softmax = softmax_refusal(plan)
    refusal = no_softmax or lane_kernel(plan).refusal(plan.backend.lanes_in_registers)
    if wanted == "lane" and refusal is not None:
        raise SettingsError(f"The engine lane cannot be used: {refusal}. Choose another engine, or auto.")
    slots = len(plan.settings.optimizer_rule.slots)
    no_block = no_softmax or block_refusal(plan.architecture, plan.batch_size, slots, plan.dropout is not None)
    if wanted == "block" and no_block is not None:
        raise SettingsError(f"The engine block cannot be used: {no_block}. Choose another engine, or auto.")
    seconds = estimates(plan, lane=refusal is None, block=no_block is None)
    if wanted != "auto":
        return EngineChoice(wanted, "asked for", seconds)
    best = min(seconds, key=lambda engine: seconds[engine] + compile_share(engine, plan.backend))
    reason = "about " + ", ".join(f"{seconds[engine]:.2g} s by {engine}" for engine in seconds)
    if refusal is not None:
        reason += f"; no lanes: {refusal}"
    fastest = min(seconds, key=lambda engine: seconds[engine])
    if best == "array" and fastest != "array":
        compiling = compile_seconds(plan.backend)[fastest]
        reason += f"; compiling a kernel (about {compiling:g} s, once) would not pay"
    return EngineChoice(best, reason, seconds, asked_for=False)


def softmax_refusal(plan: TrainingPlan) -> str | None:
    """Why no native kernel trains these networks; None if they do. Softmax outputs are for cross-entropy alone."""
    if plan.settings.loss == "squared_error" and plan.architecture.output_activation == "softmax":
        return "its kernel knows no squared errors of softmax outputs"
    return None


def compile_share(engine: str, backend: Backend | None = None) -> float:
    """Seconds of a kernel's compilation that one training has to be worth; on a CPU where no backend is given."""
    return compile_seconds(backend)[engine] / TRAININGS_THAT_PAY[engine]


def compile_seconds(backend: Backend | None) -> dict[str, float]:
    """Of each engine's kernel, where it is not in the cache."""
    return COMPILE_SECONDS if backend is None or backend.on_host else cuda_costs.COMPILE_SECONDS


def estimates(plan: TrainingPlan, lane: bool, block: bool) -> dict[str, float]:
    """Seconds of the whole training, without compiling, by each engine that could serve."""
    seconds = {"lane": lane_seconds(plan)} if lane else {}
    device = plan.backend.multiprocessors()
    if device is not None:
        if block:
            seconds["block"] = cuda_costs.block_seconds(plan, device)
        return seconds | {"array": cuda_costs.array_seconds(plan)}
    if block:
        by_block = block_seconds(plan)
        if plan.architecture.n_parameters <= LARGE_BLOCK or by_block <= LONGEST_EPOCH * plan.settings.epochs:
            seconds["block"] = by_block
    return seconds | {"array": array_seconds(plan)}


def array_seconds(plan: TrainingPlan) -> float:
    """The estimated time of the whole training, all epochs, by the array engine on a CPU."""
    steps = float(plan.steps.max()) * plan.settings.epochs
    rows = float(plan.rows.count.sum()) * plan.settings.epochs
    parameters, slots = plan.architecture.n_parameters, len(plan.settings.optimizer_rule.slots)
    network = ARRAY_NETWORK + parameters * (ARRAY_PARAMETER + slots * ARRAY_PARAMETER_SLOT)
    row = ARRAY_ROW + plan.settings.shuffle * ARRAY_SHUFFLED_ROW + parameters * ARRAY_NUMBER
    return steps * (ARRAY_UPDATE + slots * ARRAY_UPDATE_SLOT + plan.n_networks * network) + rows * row


def lane_seconds(plan: TrainingPlan) -> float:
    """The estimated time of the whole training by the lane engine, without compiling."""
    parameters, neurons = plan.architecture.n_parameters, sum(plan.architecture.sizes[1:])
    slots = len(plan.settings.optimizer_rule.slots)
    per_row = 3 * parameters + 8 * neurons + 60 + plan.settings.shuffle * LANE_SHUFFLE
    per_update = parameters * (3 + 7 * slots) + 120
    per_epoch = float(plan.rows.count.max()) * per_row + float(plan.steps.max()) * per_update
    operations = per_epoch * plan.settings.epochs
    device = plan.backend.multiprocessors()
    if device is not None:
        return cuda_costs.lane_seconds(plan, operations, device)
    networks = plan.n_networks * plan.dtype.itemsize
    if networks <= SHORT_BYTES:
        return operations * LANE_OPERATION * SHORT
    return operations * LANE_OPERATION * max(1.0, -(-networks // LANE_BYTES) / CORES)


def block_seconds(plan: TrainingPlan) -> float:
    """The estimated time of the whole training by the block engine on a CPU, without compiling."""
    parameters, slots = plan.architecture.n_parameters, len(plan.settings.optimizer_rule.slots)
    update = BLOCK_UPDATE + parameters * (BLOCK_PARAMETER + slots * BLOCK_PARAMETER_SLOT)
    row = BLOCK_ROW + parameters * BLOCK_NUMBER
    doubles = plan.dtype.itemsize / 4
    total = float(plan.steps.sum()) * update + float(plan.rows.count.sum()) * row
    cores = min(CORES, plan.n_networks * most_members(plan))
    return doubles * total * plan.settings.epochs / cores
