"""The block engine's kernel, seen from Python: how it is specialised, and the memory that a network needs.

Shapes and activations are arguments, so one compiled kernel serves every architecture; it is specialised for the loss,
the optimizer and the dtype. Names are the reference's, in capitals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.engines.arguments import REAL_NAMES, LaunchList
from gpubp.engines.block.arguments import PREDICT
from gpubp.engines.block.layout import BlockLayout
from gpubp.engines.block.memory import WIDEST, forward_layout, training_layout, vectors_of
from gpubp.engines.dialect import read_source
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.architecture import Architecture
from gpubp.operations.dense import Dense
from gpubp.operations.embedding import Embedding
from gpubp.operations.layer_kinds import LAYERS
from gpubp.operations.layers import Layer
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.periodic import Periodic

SOURCE = "block.h"
MOST_LAYERS = 32
PREDICTION_BYTES = 256 << 10  # of a piece's values on their way through a network: they stay in a core's L2 cache
# Seconds that a row saves for each parameter and each neuron, and those of compiling; measured on two cores.
SAVED_PARAMETER, SAVED_NEURON, PREDICTION_COMPILES = 5e-12, 1e-9, 0.8
WORKING_BYTES = 256 << 20  # of one launch: each CUDA block has working memory of its own
MOST_PADDING = 32  # numbers that a row of values may be padded with, whatever the vector's width


@dataclass(frozen=True)
class BlockKernel:
    """What the kernel is compiled for. layout: by which a CUDA device trains; a CPU takes no notice of it."""

    dtype: str
    loss: str
    optimizer: str
    layout: BlockLayout = field(default_factory=BlockLayout)
    front: bool = False  # whether the networks have layers beside plain dense ones, or groups with rates of their own
    averages: bool = False  # whether the parameters are a running average of the weights

    def definitions(self) -> dict[str, object]:
        """For the compiler."""
        return {
            "REAL": REAL_NAMES[self.dtype],
            "LOSS": self.loss.upper(),
            "OPTIMIZER": self.optimizer.upper(),
            "BLOCK_PER_NETWORK": True,
            **({"FRONT": True} if self.front else {}),
            **({"AVERAGES": True} if self.averages else {}),
            **self.layout.definitions(),
        }

    @property
    def source(self) -> str:
        return read_source(SOURCE)

    @property
    def slots(self) -> int:
        """Optimizer state arrays (P, K); Adam's count of steps follows from the epoch."""
        return len(OPTIMIZERS[self.optimizer].arrays) + self.averages


@lru_cache(maxsize=256)
def refusal(architecture: Architecture, batch_size: int, slots: int, dropout: bool = False) -> str | None:
    """Why the kernel cannot serve such networks; None if it can."""
    if len(architecture.layers) > MOST_LAYERS:
        return f"{len(architecture.layers)} layers of weights are more than its {MOST_LAYERS}"
    before: list[Layer] = []
    for layer in architecture.layers:
        if isinstance(layer, Periodic) and not layer.numbers:
            return f"its kernel knows {layer.name} of numbers alone"
        if isinstance(layer, (Periodic, Embedding)):
            other = Embedding if isinstance(layer, Periodic) else Periodic
            if len(before) > 1 or not all(isinstance(each, other) for each in before):
                behind = "embed" if other is Embedding else "pbld, pl or plr"
                return f"its kernel knows {layer.name} as the first layer, or as the second behind {behind}"
        before.append(layer)
    numbers = max(
        training_layout(architecture, batch_size, slots, dropout=dropout, clips=True, vectors=vectors).numbers
        for vectors in (WIDEST, None)
    )
    if numbers >= 2**31:
        return f"a network with its batch takes {numbers:,} numbers of memory, and it counts them up to 2^31"
    return None


def prediction_refusal(architecture: Architecture) -> str | None:
    """Why the kernel cannot predict with such networks; None if it can: it takes 16 rows at a time at the least."""
    return refusal(architecture, 16, 0)


def shape_numbers(architecture: Architecture) -> np.ndarray:
    """int32: layers, sizes, codes of activations and of kinds (places in the reference's tables). Of each layer then
    columns, rows and first, decaying rows of its parameters; frequencies and sums of a number, of a periodic one; how
    many inputs it changes, inputs that pass, and groups of vectors, and where their places begin. Then these: places of
    such inputs, and where each group ends among the vectors. Kernels of plain dense layers alone look at none of it.
    """
    layers = architecture.layers
    sizes = [architecture.n_inputs, *(layer.n_outputs for layer in layers)]
    codes, kinds = list(ACTIVATIONS), list(LAYERS)
    activations = [codes.index(layer.f.name) if isinstance(layer, Dense) else 0 for layer in layers]
    numbers = [len(layers), *sizes, *activations, *(kinds.index(layer.name) for layer in layers)]
    places: list[int] = []
    for layer in layers:
        decaying = sum(each.size for each in takewhile(lambda each: each.group.decay != 0.0, layer.parameters))
        numbers += [layer.columns, layer.n_parameters // layer.columns, decaying // layer.columns]
        if isinstance(layer, Periodic):
            numbers += [layer.frequencies, layer.learned, len(layer.numbers), len(layer.passing), 0, len(places)]
            places += [*layer.numbers, *layer.passing]
        elif isinstance(layer, Embedding):
            numbers += [0, 0, len(layer.embedded), len(layer.passing), len(layer.groups), len(places)]
            places += [*layer.embedded, *layer.passing, *layer.starts[1:]]
        else:
            numbers += [0, 0, 0, 0, 0, 0]
    return np.array(numbers + places, dtype=np.int32)


def prediction_pays(backend: Backend, architecture: Architecture, n_networks: int, n_rows: int) -> bool:
    """Whether prediction by blocks is likely to save the seconds that its kernel takes to compile, though it may be in
    the cache: a pure function of the work. On CUDA it has not been timed yet.
    """
    neurons = architecture.n_values
    saved = SAVED_PARAMETER * architecture.n_parameters + SAVED_NEURON * neurons
    if not backend.on_host or n_networks * n_rows * saved <= PREDICTION_COMPILES:
        return False
    return prediction_refusal(architecture) is None and backend.compiler_missing() is None


def predict(backend: Backend, architecture: Architecture, flat: Array, X: Array) -> Array:
    """Outputs (P, N, O) for flat parameters (P, K) and X (N, I), as operations.network.predict: a network and a piece
    of the rows on each core, or in each CUDA block.
    """
    dtype, xp = flat.dtype, backend.xp
    definitions = BlockKernel(dtype.name, "squared_error", "sgd", front=bool(architecture.special)).definitions()
    program = backend.compile(read_source("block_predict.h"), definitions)
    (n_networks, _), n_rows = flat.shape, X.shape[0]
    out = xp.empty((n_networks, n_rows, architecture.n_outputs), dtype=dtype)
    sizes = [architecture.n_inputs, *(layer.n_outputs for layer in architecture.layers)]
    widths = sum(size + 1 + MOST_PADDING for size in sizes)
    rows_at_once = max(16, min(1024, PREDICTION_BYTES // (widths * dtype.itemsize)) // 16 * 16)
    room = program.shared_room() // dtype.itemsize
    layout = forward_layout(architecture, rows_at_once, vectors=vectors_of(program), shared=room)
    shape = backend.to_device(shape_numbers(architecture))
    arguments = LaunchList(PREDICT, dtype, I=architecture.n_inputs)
    arguments.keep({"shape": shape, "params": flat, "X": X, "out": out, "n_rows": n_rows, "rows_at_once": rows_at_once})
    arguments.keep({"memory_stride": layout.numbers, "layout": backend.to_device(layout.table)})
    items = n_networks * -(-n_rows // rows_at_once)
    at_once = max(1, WORKING_BYTES // (layout.numbers * dtype.itemsize))
    for first in range(0, items, at_once):
        pieces = program.pieces(first, min(first + at_once, items))
        calls = []
        for start, end in pieces:
            memory = backend.empty((program.columns(start, end), layout.numbers), dtype)
            calls.append(arguments.call({"memory": memory, "first": start, "last": end}))
        program.launch(PREDICT.name, calls, shared_bytes=layout.shared_numbers * dtype.itemsize)
    return out
