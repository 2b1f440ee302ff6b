"""The array engine's kernels for large networks (native/fused.h), seen from Python: how they are compiled and launched.

Shapes and activations are arguments, so one compiled program serves every architecture; it is specialised for the loss,
the optimizer and the dtype. Names are the reference's, in capitals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend, Program
from gpubp.kernels.architecture import Architecture
from gpubp.kernels.lane import REAL_NAMES
from gpubp.kernels.native import read_source
from gpubp.kernels.reference.activations import ACTIVATIONS

SOURCE = "fused.h"
CUDA_THREADS = 256
STEP_NUMBERS = 5  # rows of the table that fused_begin fills
PARTS, CHUNK = 64, 4096  # of a sum of squares
MOST_CELLS = 2**30  # kernels count cells, and numbers of a network, in ints
# A call takes about 14 microseconds, one that two threads share 50: worth it from about 100 microseconds of work on.
SHARED_CELLS = 1 << 17
SHARE = 64  # cells; a thread's share is a multiple, so that threads do not write into one cache line


@dataclass(frozen=True)
class FusedKernel:
    """What the program is compiled for."""

    dtype: str
    loss: str
    optimizer: str

    def definitions(self) -> dict[str, object]:
        """For the compiler."""
        return {
            "REAL": REAL_NAMES[self.dtype],
            "LOSS": self.loss.upper(),
            "OPTIMIZER": self.optimizer.upper(),
            "THREADS": CUDA_THREADS,
        }

    @property
    def source(self) -> str:
        return read_source(SOURCE)


class Launcher:
    """Calls the kernels of a compiled program for cells 0 … n−1, by as many threads as that is worth."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.threads = program.team(1)

    def __call__(self, name: str, n_cells: int, *arguments: Any) -> None:
        shares = self.threads if n_cells >= SHARED_CELLS else 1
        size = -(-n_cells // (shares * SHARE)) * SHARE
        ranges = [(first, min(first + size, n_cells)) for first in range(0, n_cells, size)]
        self.program.launch(name, [[*arguments, first, last] for first, last in ranges])


@dataclass(frozen=True)
class Part:
    """One layer's weights, or biases, among a network's K parameters; `chunk`: where its sums of squares begin."""

    layer: int
    offset: int
    rows: int  # of weights: the fan-in; of biases 1
    columns: int
    is_bias: bool
    chunk: int

    @property
    def numbers(self) -> int:
        return self.rows * self.columns

    @property
    def chunks(self) -> int:
        return -(-self.numbers // CHUNK)


def parts_of(architecture: Architecture) -> list[Part]:
    """Weights and biases of every layer, in the order in which they lie."""
    parts: list[Part] = []
    offset = chunk = 0
    for layer in range(architecture.n_layers):
        fan_in, fan_out = architecture.sizes[layer : layer + 2]
        for rows, is_bias in ((fan_in, False), (1, True)):
            parts.append(Part(layer, offset, rows, fan_out, is_bias, chunk))
            offset += parts[-1].numbers
            chunk += parts[-1].chunks
    return parts


def activation_code(name: str) -> int:
    return list(ACTIVATIONS).index(name)


def refusal(architecture: Architecture, loss: str, n_networks: int, batch_size: int) -> str | None:
    """Why the kernels cannot serve such networks; None if they can."""
    if architecture.output_activation == "softmax" and loss != "cross_entropy":
        return f"softmax outputs are not elementwise, and the loss {loss} needs their derivative"
    cells = n_networks * max(batch_size * max(architecture.sizes), *(part.numbers for part in parts_of(architecture)))
    if max(cells, architecture.n_parameters) >= MOST_CELLS:
        return f"a matrix of all networks has {cells:,} numbers, and the kernels count them up to 2^30"
    return None


def split_seeds(backend: Backend, seeds: np.ndarray) -> tuple[Array, Array]:
    """(P,) uint32 each on the device: the low and the high half of every seed."""
    low, high = seeds & np.uint64(0xFFFFFFFF), seeds >> np.uint64(32)
    return backend.to_device(low.astype(np.uint32)), backend.to_device(high.astype(np.uint32))
