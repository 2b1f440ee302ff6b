"""The block engine's kernel, seen from Python: how it is specialised, and the memory that a network needs.

Shapes and activations are arguments, so one compiled kernel serves every architecture; it is specialised for the loss,
the optimizer and the dtype. Names are the reference's, in capitals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.engines.arguments import REAL_NAMES, LaunchList
from gpubp.engines.block.arguments import PREDICT
from gpubp.engines.block.layout import BlockLayout
from gpubp.engines.dialect import read_source
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.architecture import Architecture
from gpubp.operations.optimizers import OPTIMIZERS

SOURCE = "block.h"
MOST_LAYERS = 32
PARTIAL_SUMS = 64
PREDICTION_BYTES = 256 << 10  # of a piece's values on their way through a network: they stay in a core's L2 cache
# Seconds that a row saves for each parameter and each neuron, and those of compiling; measured on two cores.
SAVED_PARAMETER, SAVED_NEURON, PREDICTION_COMPILES = 5e-12, 1e-9, 0.8
WORKING_BYTES = 256 << 20  # of one launch: each CUDA block has working memory of its own
CUDA_PADDING = 3  # there, where rows begin at multiples of four numbers
MOST_PADDING = 32  # numbers that a row of a matrix may be padded with, whatever the vector's width
# What block_cpu.h says of these: numbers of a large matrix; its rows that are packed at a time; the columns of a strip,
# at the most; numbers of a gradient's panel; rows of a register tile, at the most.
LARGE_MATRIX, PACKED_STEPS, STRIP, PANEL, TILE_ROWS = 1 << 17, 256, 64, 1 << 14, 6


@dataclass(frozen=True)
class BlockKernel:
    """What the kernel is compiled for. layout: by which a CUDA device trains; a CPU takes no notice of it."""

    dtype: str
    loss: str
    optimizer: str
    layout: BlockLayout = field(default_factory=BlockLayout)

    def definitions(self) -> dict[str, object]:
        """For the compiler."""
        return {
            "REAL": REAL_NAMES[self.dtype],
            "LOSS": self.loss.upper(),
            "OPTIMIZER": self.optimizer.upper(),
            "BLOCK_PER_NETWORK": True,
            **self.layout.definitions(),
        }

    @property
    def source(self) -> str:
        return read_source(SOURCE)

    @property
    def slots(self) -> int:
        """Optimizer state arrays (P, K); Adam's count of steps follows from the epoch."""
        return len(OPTIMIZERS[self.optimizer].arrays)


@lru_cache(maxsize=256)
def refusal(architecture: Architecture, batch_size: int, slots: int, dropout: bool = False) -> str | None:
    """Why the kernel cannot serve such networks; None if it can."""
    if architecture.n_layers > MOST_LAYERS:
        return f"{architecture.n_layers} layers of weights are more than its {MOST_LAYERS}"
    numbers = max(memory_numbers(architecture, batch_size, slots, dropout, True, members) for members in (1, None))
    if numbers >= 2**31:
        return f"a network with its batch takes {numbers:,} numbers of memory, and it counts them up to 2^31"
    return None


def prediction_refusal(architecture: Architecture) -> str | None:
    """Why the kernel cannot predict with such networks; None if it can: it takes 16 rows at a time at the least."""
    return refusal(architecture, 16, 0)


def shape_numbers(architecture: Architecture) -> np.ndarray:
    """int32: layers of weights, sizes, activation codes (places in the reference's table)."""
    codes = list(ACTIVATIONS)
    activations = [codes.index(name) for name in architecture.activations]
    return np.array([architecture.n_layers, *architecture.sizes, *activations], dtype=np.int32)


def memory_numbers(
    architecture: Architecture,
    batch_size: int,
    slots: int,
    dropout: bool = False,
    clips: bool = False,
    members: int | None = 1,
) -> int:
    """How many numbers of working memory a network needs: at least what the kernel lays out (Network::lay_out).

    members: of the team of CPU threads that train it; None for a block of CUDA threads.
    """
    rows = -(-batch_size // 16) * 16
    padding = CUDA_PADDING if members is None else MOST_PADDING
    numbers = rows * (architecture.n_inputs + 1 + padding)
    scratch = gradients = upstream = 0
    for layer, (fan_in, fan_out) in enumerate(zip(architecture.sizes[:-1], architecture.sizes[1:], strict=True)):
        matrix = (fan_in + 1) * (fan_out + padding)
        in_place = members is not None and fan_out % 16 == 0 and fan_in * fan_out >= LARGE_MATRIX
        numbers += matrix * (clips + (0 if in_place else 1 + slots))  # gradient, weights, optimizer state
        values = rows * (fan_out + 1 + padding)
        # the values; pre-activations, where a derivative needs them; values before they are dropped, and the masks
        numbers += values * (1 + architecture.activation(layer).needs_input + 2 * dropout)
        upstream = max(upstream, values)  # the gradients at a layer's values, and at the last pre-activations
        scratch = max(scratch, packed_numbers(fan_in, fan_out, members))
        panel = 0 if members is None else members * panel_numbers(fan_in + 1, fan_out, members)
        gradients = max(gradients, panel)
    numbers += upstream + values + (0 if clips else gradients)
    numbers += scratch + 4 * rows + 2 * (architecture.n_outputs + padding) + PARTIAL_SUMS
    return -(-numbers // 4) * 4  # the next network's begin at a multiple of four


def packed_numbers(fan_in: int, fan_out: int, members: int | None = 1) -> int:
    """Of a layer's weights that the kernel has packed at a time; none on CUDA."""
    if members is None:
        return 0
    most = max(fan_in, fan_out)
    return members * STRIP * min(PACKED_STEPS, most)


def panel_numbers(rows: int, columns: int, members: int) -> int:
    """Of a layer's gradient, a member's part of which is taken a panel of rows at a time."""
    columns += STRIP
    return min(rows * columns, max(PANEL, TILE_ROWS * columns))


def prediction_pays(backend: Backend, architecture: Architecture, n_networks: int, n_rows: int) -> bool:
    """Whether prediction by blocks is likely to save the seconds that its kernel takes to compile, though it may be in
    the cache: a pure function of the work. On CUDA it has not been timed yet.
    """
    neurons = sum(architecture.sizes[1:])
    saved = SAVED_PARAMETER * architecture.n_parameters + SAVED_NEURON * neurons
    if not backend.on_host or n_networks * n_rows * saved <= PREDICTION_COMPILES:
        return False
    return prediction_refusal(architecture) is None and backend.compiler_missing() is None


def predict(backend: Backend, architecture: Architecture, flat: Array, X: Array) -> Array:
    """Outputs (P, N, O) for flat parameters (P, K) and X (N, I), as operations.network.predict: a network and a piece
    of the rows on each core, or in each CUDA block.
    """
    dtype, xp = flat.dtype, backend.xp
    definitions = BlockKernel(dtype.name, "squared_error", "sgd").definitions()
    program = backend.compile(read_source("block_predict.h"), definitions)
    (n_networks, _), n_rows = flat.shape, X.shape[0]
    out = xp.empty((n_networks, n_rows, architecture.n_outputs), dtype=dtype)
    widths = sum(size + 1 + MOST_PADDING for size in architecture.sizes)
    rows_at_once = max(16, min(1024, PREDICTION_BYTES // (widths * dtype.itemsize)) // 16 * 16)
    pairs = list(zip(architecture.sizes[:-1], architecture.sizes[1:], strict=True))
    numbers = rows_at_once * widths + max(packed_numbers(*pair) for pair in pairs)
    numbers += sum((fan_in + 1) * (fan_out + MOST_PADDING) for fan_in, fan_out in pairs)
    numbers = -(-numbers // 4) * 4  # the next network's begin at a multiple of four
    shared = min(numbers, program.shared_room() // dtype.itemsize)
    shape = backend.to_device(shape_numbers(architecture))
    arguments = LaunchList(PREDICT, dtype, I=architecture.n_inputs)
    arguments.keep({"shape": shape, "params": flat, "X": X, "out": out, "n_rows": n_rows, "rows_at_once": rows_at_once})
    arguments.keep({"memory_stride": numbers, "shared_numbers": shared})
    items = n_networks * -(-n_rows // rows_at_once)
    at_once = max(1, WORKING_BYTES // (numbers * dtype.itemsize))
    for first in range(0, items, at_once):
        pieces = program.pieces(first, min(first + at_once, items))
        calls = []
        for start, end in pieces:
            memory = backend.empty((program.columns(start, end), numbers), dtype)
            calls.append(arguments.call({"memory": memory, "first": start, "last": end}))
        program.launch(PREDICT.name, calls, shared_bytes=shared * dtype.itemsize)
    return out
