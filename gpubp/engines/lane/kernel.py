"""The lane engine's kernel, seen from Python: how it is specialised, what it is given, and which networks it serves.

Names of activations, losses and optimizers are the reference's, in capitals; the kernel's tables hold the same entries
(tests/engines/test_native_tables.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.engines.arguments import REAL_NAMES, LaunchList
from gpubp.engines.dialect import read_source
from gpubp.engines.lane.arguments import PREDICT
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS

SOURCE = "lane.h"

# A CPU lane keeps its network in the L1 and L2 caches: beyond this many numbers other engines are faster.
LARGEST_ON_CPU = 8_000
# A CUDA thread keeps its network in its 255 registers of 32 bits. Measured (scripts/kernel_report.py): up to this many
# of them for what is kept (LaneKernel.registers), the temporaries of the arithmetic find room, too: nothing is spilled.
LARGEST_ON_CUDA = {"float32": 205, "float64": 168}
# Prediction keeps a row's values alone, parameters stay in memory; but it is unrolled as well, and for more parameters
# than this NVRTC takes very long.
PREDICTION_REGISTERS_ON_CUDA, PREDICTION_PARAMETERS_ON_CUDA = 120, 600
CUDA_THREADS = 64
# How many blocks a multiprocessor is to hold at a time, and what each thread may keep for it: the more, the less its
# schedulers wait. Four schedulers with 16,384 registers each share the warps, so threads of eight blocks have 128
# registers, those of six 168. Measured, too, with nothing spilled; divisions, which go side by side, take some more.
MOST_KEPT = {"float32": {8: 85, 6: 115}, "float64": {8: 41, 6: 81}}
KEPT_FOR_DIVISIONS = {"float32": 30, "float64": 25}  # of optimizers that divide
KEPT_WHERE_TIGHT = 25  # of the former, in float32: where ptxas spilled below LARGEST_ON_CUDA
NARROW_BYTES = 16


@dataclass(frozen=True)
class LaneKernel:
    """What the kernel is compiled for."""

    architecture: Architecture
    dtype: str
    loss: str
    optimizer: str
    online: bool  # updates of one row each
    l2: bool
    clip: bool
    validation: bool
    weights: int  # row weights: 0 none, 1 a column of the table, 2 one row of them for each network
    shuffle: bool
    dropout: bool
    shared_order: bool  # all networks take the same rows, in the same order if nothing is shuffled
    smoothing: bool = False  # labels are smoothed by the kernel
    decay_varies: bool = False  # L2 and weight decay have factors
    narrow: bool = False  # on a CPU: all networks fit into a vector of NARROW_BYTES, which is quicker than a wide one
    averages: bool = False  # the parameters are a running average of the weights

    def definitions(self) -> dict[str, object]:
        """For the compiler."""
        some: dict[str, object] = {"VECTOR_BYTES": NARROW_BYTES} if self.narrow else {}
        some |= {"AVERAGES": True} if self.averages else {}
        return some | {
            "REAL": REAL_NAMES[self.dtype],
            "SIZES": self.architecture.sizes,
            "ACTIVATIONS": [name.upper() for name in self.architecture.activations],
            "LOSS": self.loss.upper(),
            "OPTIMIZER": self.optimizer.upper(),
            "ONLINE": self.online,
            "HAS_L2": self.l2,
            "HAS_CLIP": self.clip,
            "HAS_VALIDATION": self.validation,
            "WEIGHTS": self.weights,
            "SHUFFLE": self.shuffle,
            "HAS_DROPOUT": self.dropout,
            "HAS_SMOOTHING": self.smoothing,
            "DECAY_VARIES": self.decay_varies,
            "SHARED_ORDER": self.shared_order,
            "THREADS": CUDA_THREADS,
            "BLOCKS": self.blocks,
        }

    @property
    def source(self) -> str:
        return read_source(SOURCE)

    @property
    def slots(self) -> int:
        """State arrays (P, K); Adam's count of steps follows from the epoch."""
        return len(OPTIMIZERS[self.optimizer].arrays) + self.averages

    @property
    def numbers(self) -> int:
        """How many numbers a lane keeps: parameters, optimizer state, gradient."""
        return self.architecture.n_parameters * (1 + self.slots + (self.clip or not self.online))

    @property
    def registers(self) -> int:
        """How many 32-bit registers hold what a CUDA thread keeps from one row to the next, and of a row."""
        n_inputs, *hidden, n_outputs = self.architecture.sizes
        # of an output its value, gradient and target, and in a regression's validation a sum; of a hidden neuron its
        # value, and its pre-activation where the derivative takes it
        sums = self.validation and not LOSSES[self.loss].is_classification
        row = n_inputs + (4 if sums else 3) * n_outputs
        for width, name in zip(hidden, self.architecture.activations, strict=False):
            row += width * ((2 if ACTIVATIONS[name].needs_input else 1) + 2 * self.dropout)
            if self.dtype == "float32" and ACTIVATIONS[name].divides:  # side by side: see divisions.h
                row += width // 2
        row += KEPT_WHERE_TIGHT * self._tight
        hyper = self._kept_of_options + 3 * self.l2 + self.clip + (self.weights > 0) + 2 * self.smoothing
        return (self.numbers + row + hyper) * np.dtype(self.dtype).itemsize // 4

    @property
    def _kept_of_options(self) -> int:
        """The rate, the options' rows, what is computed for each update: the first of this takes the rate's place."""
        rule = OPTIMIZERS[self.optimizer]
        options = (*rule.options, *LOSSES[self.loss].options)
        rows = sum(len(option.rows) for option in options) + 2 * self.averages
        return 1 + rows + max(0, len(rule.update_numbers) - 1)

    @property
    def _tight(self) -> bool:
        """Whether an update's divisions need registers of their own. Measured: Adam's mostly find some."""
        rule = OPTIMIZERS[self.optimizer]
        many = rule.divides and self.weights == 2 and not self.online
        return self.dtype == "float32" and (rule.divides_apart or many)

    @property
    def blocks(self) -> int:
        """How many blocks of CUDA_THREADS a multiprocessor is to hold: as many as can be without spilling registers."""
        kept = self.registers - KEPT_WHERE_TIGHT * self._tight
        if OPTIMIZERS[self.optimizer].divides:
            kept += KEPT_FOR_DIVISIONS[self.dtype]
        return next((blocks for blocks, most in MOST_KEPT[self.dtype].items() if kept <= most), 1)

    def refusal(self, in_registers: bool) -> str | None:
        """Why lanes cannot serve such networks; None if they can. in_registers: see `Backend.lanes_in_registers`."""
        limit = LARGEST_ON_CUDA[self.dtype]
        if (self.registers <= limit) if in_registers else (self.numbers <= LARGEST_ON_CPU):
            return None
        network = f"a network of {self.numbers} numbers (parameters, optimizer state, gradient)"
        if in_registers:
            takes = f"in {self.dtype} it would take {self.registers} of them, {limit} at most"
            return f"{network} is too large for a CUDA thread's registers: {takes}"
        return f"{network} is too large for a CPU core's caches"


def prediction_refusal(architecture: Architecture, dtype: np.dtype[Any], in_registers: bool) -> str | None:
    """Why lanes cannot predict with such networks; None if they can. in_registers: see `Backend.lanes_in_registers`."""
    if not in_registers:
        return None
    registers = sum(architecture.sizes) * dtype.itemsize // 4  # a row's inputs and neurons
    if registers > PREDICTION_REGISTERS_ON_CUDA:
        limit = f"{PREDICTION_REGISTERS_ON_CUDA} at most"
        return f"a row's inputs and neurons would take {registers} of a CUDA thread's registers, {limit}"
    if architecture.n_parameters > PREDICTION_PARAMETERS_ON_CUDA:
        return f"a kernel for {architecture.n_parameters} parameters takes long to compile for a GPU"
    return None


def prediction_definitions(architecture: Architecture, dtype: np.dtype[Any]) -> dict[str, object]:
    """For the compiler of predict.h."""
    return {
        "REAL": REAL_NAMES[dtype.name],
        "SIZES": architecture.sizes,
        "ACTIVATIONS": [name.upper() for name in architecture.activations],
        "THREADS": CUDA_THREADS,
    }


def predict(backend: Backend, architecture: Architecture, flat: Array, X: Array) -> Array:
    """Outputs (P, N, O) for flat parameters (P, K) and X (N, I), as operations.network.predict: a row in each lane."""
    program = backend.compile(read_source("predict.h"), prediction_definitions(architecture, flat.dtype))
    n_networks, n_rows = flat.shape[0], X.shape[0]
    out = backend.xp.empty((n_networks, n_rows, architecture.n_outputs), dtype=flat.dtype)
    calls = LaunchList(PREDICT, flat.dtype, I=architecture.n_inputs)
    calls.keep({"params": flat, "n_networks": n_networks, "X": X, "out": out, "n_rows": n_rows})
    pieces = program.pieces(0, n_rows)
    program.launch(PREDICT.name, [calls.call({"first": first, "last": last}) for first, last in pieces])
    return out
