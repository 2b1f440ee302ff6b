"""Which engine serves a training, and why: an estimate of the work, in seconds, for each that could.

The choice depends on the training alone, not on what the kernel cache holds or how busy the machine is: the same
training takes the same engine every time, and so gives the same bits. (Engines agree to rounding, not to the bit; name
one where populations of different sizes have to agree to the bit.)
"""

from __future__ import annotations

from dataclasses import dataclass

from gpubp.backends import Array
from gpubp.errors import SettingsError
from gpubp.training.array_engine import ArrayEngine
from gpubp.training.block_engine import BlockEngine
from gpubp.training.engine import Engine, Work
from gpubp.training.lane_engine import LaneEngine, lane_kernel

ENGINES = ("auto", "lane", "block", "array")

# Measured on a 2-core cloud machine with AVX-512 (scripts/crossover.py); only their ratios matter.
COMPILE_SECONDS = 1.0  # of the lane kernel, if it is not in the cache
ARRAY_UPDATE = 60e-6  # Python and NumPy calls of an update, whatever its size
ARRAY_NETWORK = 0.9e-6  # matrix products of a network's update, whatever its size
ARRAY_NUMBER = 1.3e-9  # per row of a batch and parameter
LANE_OPERATION = 1.0e-9  # one vector instruction
LANES, CORES = 8, 2
CUDA_ARRAY_UPDATE = 300e-6  # launches of an update's kernels; not measured, an estimate from CUDA's launch latency
CUDA_LANE_OPERATION = 3e-9  # one instruction of a lone thread; not measured, an estimate from the latency of an fma
CUDA_THREADS = 10_000  # that run side by side


@dataclass(frozen=True)
class EngineChoice:
    """engine: "lane" or "array"; reason: in words; seconds: the estimate for each engine that could serve."""

    engine: str
    reason: str
    seconds: dict[str, float]

    def build(self, work: Work, params: Array) -> Engine:
        """params (P, K) is trained in place."""
        if self.engine == "lane":
            return LaneEngine(work, params)
        if self.engine == "block":
            return BlockEngine(work, params)
        return ArrayEngine(work, params)


def choose_engine(work: Work, wanted: str = "auto") -> EngineChoice:
    """The engine asked for, or with "auto" the one whose estimate is least, compilation included.

    Raises SettingsError where the engine asked for cannot serve these networks; what a missing compiler means for an
    engine that was asked for is told when it is built (BackendError).
    """
    if wanted not in ENGINES:
        raise SettingsError(f"Unknown engine {wanted!r}: choose one of {', '.join(ENGINES)}.")
    refusal = lane_kernel(work).refusal(work.backend.name)
    seconds = {"array": array_seconds(work)}
    if refusal is None:
        seconds["lane"] = lane_seconds(work)
    if wanted == "lane" and refusal is not None:
        raise SettingsError(f"The engine lane cannot be used: {refusal}. Choose engine array, or auto.")
    if wanted != "auto":
        return EngineChoice(wanted, "asked for", seconds)
    if refusal is not None:
        return EngineChoice("array", refusal, seconds)
    missing = work.backend.compiler_missing()
    if missing is not None:
        return EngineChoice("array", missing, seconds)
    times = f"about {seconds['lane']:.2g} s by lane, {seconds['array']:.2g} s by array"
    if seconds["lane"] + COMPILE_SECONDS < seconds["array"]:
        return EngineChoice("lane", times, seconds)
    return EngineChoice("array", f"{times}: compiling a kernel (about {COMPILE_SECONDS:g} s) would not pay", seconds)


def array_seconds(work: Work) -> float:
    """The estimated time of the whole training, all epochs, by the array engine."""
    steps = float(work.steps.max()) * work.settings.epochs
    rows = float(work.rows.count.sum()) * work.settings.epochs
    update = CUDA_ARRAY_UPDATE if work.backend.name == "cupy" else ARRAY_UPDATE
    network = 0.0 if work.backend.name == "cupy" else ARRAY_NETWORK
    number = 0.0 if work.backend.name == "cupy" else ARRAY_NUMBER
    return steps * (update + work.n_networks * network) + rows * work.architecture.n_parameters * number


def lane_seconds(work: Work) -> float:
    """The estimated time of the whole training by the lane engine, without compiling."""
    parameters, neurons = work.architecture.n_parameters, sum(work.architecture.sizes[1:])
    per_row = 3 * parameters + 40 * neurons + 20
    per_update = parameters * (2 + 12 * len(work.settings.optimizer_rule.slots)) + 20
    per_epoch = float(work.rows.count.max()) * per_row + float(work.steps.max()) * per_update
    operations = per_epoch * work.settings.epochs
    if work.backend.name == "cupy":
        return operations * CUDA_LANE_OPERATION * max(1.0, work.n_networks / CUDA_THREADS)
    groups = -(-work.n_networks // LANES)
    return operations * LANE_OPERATION * max(1.0, groups / CORES)
