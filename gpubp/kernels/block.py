"""The block engine's kernel, seen from Python: how it is specialised, and the memory that a network needs.

Shapes and activations are arguments, so one compiled kernel serves every architecture; it is specialised for the loss,
the optimizer and the dtype. Names are the reference's, in capitals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpubp.kernels.architecture import Architecture
from gpubp.kernels.lane import REAL_NAMES
from gpubp.kernels.native import read_source
from gpubp.kernels.reference.activations import ACTIVATIONS
from gpubp.kernels.reference.optimizers import OPTIMIZERS

SOURCE = "block.h"
CUDA_THREADS = 256
MOST_LAYERS = 32
PARTIAL_SUMS = 64
MOST_PADDING = 32  # numbers that a row of a matrix may be padded with, whatever the vector's width


@dataclass(frozen=True)
class BlockKernel:
    """What the kernel is compiled for."""

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
            "BLOCK_PER_NETWORK": True,
        }

    @property
    def source(self) -> str:
        return read_source(SOURCE)

    @property
    def slots(self) -> int:
        """Optimizer state arrays (P, K); Adam's count of steps follows from the epoch."""
        return len(OPTIMIZERS[self.optimizer].arrays)


def refusal(architecture: Architecture, batch_size: int, slots: int) -> str | None:
    """Why the kernel cannot serve such networks; None if it can."""
    if architecture.n_layers > MOST_LAYERS:
        return f"{architecture.n_layers} layers of weights are more than its {MOST_LAYERS}"
    numbers = memory_numbers(architecture, batch_size, slots)
    if numbers >= 2**31:
        return f"a network with its batch takes {numbers:,} numbers of memory, and it counts them up to 2^31"
    return None


def shape_numbers(architecture: Architecture) -> np.ndarray:
    """int32: layers of weights, sizes, activation codes (places in the reference's table)."""
    codes = list(ACTIVATIONS)
    activations = [codes.index(name) for name in architecture.activations]
    return np.array([architecture.n_layers, *architecture.sizes, *activations], dtype=np.int32)


def memory_numbers(architecture: Architecture, batch_size: int, slots: int) -> int:
    """How many numbers of working memory a network needs: at least what the kernel lays out (Network::lay_out)."""
    rows = -(-batch_size // 16) * 16
    numbers = rows * (architecture.n_inputs + 1 + MOST_PADDING)
    widest = 0
    for fan_in, fan_out in zip(architecture.sizes[:-1], architecture.sizes[1:], strict=True):
        numbers += (fan_in + 1) * (fan_out + MOST_PADDING) * (2 + slots)  # weights, gradient, optimizer state
        numbers += rows * 3 * (fan_out + 1 + MOST_PADDING)  # values, pre-activations, their gradients
        widest = max(widest, fan_out * (fan_in + MOST_PADDING))  # the transposed weights
    return numbers + widest + 5 * rows + PARTIAL_SUMS + MOST_PADDING
