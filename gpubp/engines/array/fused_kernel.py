"""The array engine's kernels for large networks (fused.h), seen from Python: how they are compiled and launched.

Shapes and activations are arguments, so one compiled program serves every architecture; it is specialised for the loss,
the optimizer and the dtype. Names are the reference's, in capitals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpubp.backends import Program
from gpubp.engines.arguments import REAL_NAMES
from gpubp.engines.dialect import read_source
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS

SOURCE = "fused.h"
CUDA_THREADS = 256
PARTS, CHUNK = 64, 4096  # of a sum of squares
MOST_CELLS = 2**30  # kernels count cells, and numbers of a network, in ints
# Waking a thread between two products takes longer than half of what there is to do: measured on two cores. Three
# helpers or more are taken to be worth it, which was not measured.
SHARED_CELLS, FEWEST_THREADS = 1 << 18, 4
SHARE = 64  # cells; a thread's share is a multiple, so that threads do not write into one cache line


@dataclass(frozen=True)
class FusedKernel:
    """What the program is compiled for."""

    dtype: str
    loss: str
    optimizer: str
    averages: bool = False  # whether a running average of the weights is kept

    def definitions(self) -> dict[str, object]:
        """For the compiler."""
        return {
            "REAL": REAL_NAMES[self.dtype],
            "LOSS": self.loss.upper(),
            "OPTIMIZER": self.optimizer.upper(),
            "THREADS": CUDA_THREADS,
            **({"AVERAGES": True} if self.averages else {}),
        }

    @property
    def step_numbers(self) -> int:
        """Rows of the table that fused_begin fills: the L2 term's share, the rate, the optimizer's own."""
        return 2 + len(OPTIMIZERS[self.optimizer].update_numbers)

    @property
    def source(self) -> str:
        return read_source(SOURCE)


class Launcher:
    """Calls the kernels of a compiled program for cells 0 … n−1, by as many threads as that is worth."""

    def __init__(self, program: Program) -> None:
        self.program = program
        threads = program.team(1)
        self.threads = threads if threads >= FEWEST_THREADS else 1

    def __call__(self, name: str, n_cells: int, *arguments: Any) -> None:
        shares = self.threads if n_cells >= SHARED_CELLS else 1
        size = -(-n_cells // (shares * SHARE)) * SHARE
        ranges = [(first, min(first + size, n_cells)) for first in range(0, n_cells, size)]
        self.program.launch(name, [[*arguments, first, last] for first, last in ranges])


@dataclass(frozen=True)
class Part:
    """One layer's weights, or its biases, among a network's K parameters."""

    offset: int
    rows: int  # of weights: the fan-in; of biases 1
    columns: int
    is_bias: bool

    @property
    def numbers(self) -> int:
        return self.rows * self.columns

    @property
    def chunks(self) -> int:
        return -(-self.numbers // CHUNK)


def parts_of(architecture: Architecture) -> list[Part]:
    """In the order in which they lie: weights and biases of the first layer, of the second, …"""
    parts: list[Part] = []
    for layer in range(architecture.n_layers):
        fan_in, fan_out = architecture.sizes[layer : layer + 2]
        for rows, is_bias in ((fan_in, False), (1, True)):
            offset = architecture.offset(layer) + is_bias * fan_in * fan_out
            parts.append(Part(offset, rows, fan_out, is_bias))
    return parts


def activation_code(name: str) -> int:
    return list(ACTIVATIONS).index(name)


def refusal(architecture: Architecture, loss: str, batch_size: int) -> str | None:
    """Why the kernels cannot serve such networks; None if they can."""
    if architecture.special:
        return f"the kernels know no layer {' or '.join(architecture.special)}"
    if architecture.output_activation == "softmax" and LOSSES[loss].link is None:
        return f"softmax outputs are not elementwise, and the loss {loss} needs their derivative"
    largest = max(architecture.n_parameters, batch_size * max(architecture.sizes))
    if largest >= MOST_CELLS:
        return f"a network has a matrix of {largest:,} numbers, and the kernels count up to 2^30"
    return None
