"""Where a network's numbers lie in its working memory: laid out here, once, and handed to the kernel as a table.

The kernel reads the table (Network::lay_out in block_network.h) and computes no place itself. Rows of a matrix begin
whole vectors apart. What is used most often comes first, so that it lies in a CUDA block's shared memory, as long as
there is room; the rest lies in the device's own memory, some ten times as far away. On a CPU all is one piece. No bit
depends on where anything lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gpubp.backends import Program
from gpubp.operations.architecture import Architecture
from gpubp.operations.dense import Dense
from gpubp.operations.embedding import Embedding
from gpubp.operations.layers import Layer
from gpubp.operations.parametric import ParametricDense
from gpubp.operations.periodic import Periodic

# What the table holds, in its order; the kernel's enums are generated from these (scripts/generate_arguments.py). First
# of the network: rows of a batch, numbers between rows of inputs, how many rows of weights are packed at a time, and
# numbers of a member's panel of a gradient; then places.
OF_NETWORK = (
    "batch_rows", "ldx", "packed_steps", "panel_numbers", "row_loss", "row_weight", "row_right", "rows", "parts", "d",
    "x", "scratch", "gradients", "sums",
)  # fmt: skip
# Of each layer: numbers between rows of weights, values, the last layer's gradient, and of the gradient at the values;
# then places. The places of the optimizer's state arrays come last, one for each slot.
OF_LAYER = ("ldw", "ldh", "ldd", "ldu", "h", "d", "z", "raw", "keep", "w", "g")
NOWHERE = -1
"""The place of an array that there is not. Places 0, 1, … are in a network's own memory; −2, −3, … in the shared."""

ROW_STEP = 16  # rows of a batch are laid out in multiples of so many: a vector has no more numbers
PARTIAL_SUMS = 64  # of a sum over all parameters (block_update.h)
# On a CPU, weights of layers with so many numbers are trained where the caller has them, if rows are whole vectors.
IN_PLACE, WHOLE_VECTORS = 1 << 17, 16
PACKED_STEPS = 256  # rows of a large matrix that are packed at a time
PANEL = 1 << 14  # numbers of a gradient that are taken at a time: they stay in the L1 cache


@dataclass(frozen=True)
class Vectors:
    """A CPU's: numbers of a vector; rows and vectors of a register tile, at the most."""

    numbers: int
    tile_rows: int
    tile_vectors: int


WIDEST = Vectors(16, 6, 4)
"""With which a network takes the most memory."""
CUDA_NUMBERS = 4  # on CUDA, rows begin at multiples of so many, which travel at once


def vectors_of(program: Program) -> Vectors | None:
    """Those that a kernel was compiled for; None on CUDA."""
    numbers = program.constant("vector_numbers")
    if numbers is None:
        return None
    rows, vectors = program.constant("tile_rows"), program.constant("tile_vectors")
    return Vectors(numbers, rows or 0, vectors or 0)


@dataclass(frozen=True, eq=False)
class MemoryLayout:
    """numbers: of each network's own memory, some even where all is shared; shared_numbers: of a CUDA block's shared
    memory; table: (T,) int32, for the kernel.
    """

    numbers: int
    shared_numbers: int
    table: np.ndarray


class Arena:
    """Hands out places: as long as there is room for an array in shared memory, there; else in a network's own."""

    def __init__(self, shared: int) -> None:
        self.room, self.shared_numbers, self.numbers = shared, 0, 0

    def take(self, count: int) -> int:
        """The place of `count` numbers; NOWHERE for none."""
        if count == 0:
            return NOWHERE
        if count <= self.room - self.shared_numbers:
            self.shared_numbers += count
            return -2 - (self.shared_numbers - count)
        self.numbers += count
        return self.numbers - count


def padded(columns: int, vectors: Vectors | None) -> int:
    """Numbers from one row of a matrix to the next: whole vectors, and on a CPU no power of two, which would put the
    rows of a large matrix into the same few cache sets."""
    step = CUDA_NUMBERS if vectors is None else vectors.numbers
    whole = -(-columns // step) * step
    return whole + step if vectors is not None and whole >= 128 and whole % 64 == 0 else whole


@lru_cache(maxsize=256)
def training_layout(
    architecture: Architecture,
    batch_size: int,
    slots: int,
    *,
    dropout: bool = False,
    clips: bool = False,
    members: int = 1,
    vectors: Vectors | None = WIDEST,
    shared: int = 0,
) -> MemoryLayout:
    """members: of the team of CPU threads that train a network. shared: numbers of a CUDA block's shared memory."""
    arena, rows = Arena(shared), -(-batch_size // ROW_STEP) * ROW_STEP
    net = {"batch_rows": rows, "ldx": padded(architecture.n_inputs + 1, vectors)}
    for name in ("row_loss", "row_weight", "row_right", "rows"):
        net[name] = arena.take(rows)
    net["parts"] = arena.take(PARTIAL_SUMS)
    layers, last, upstream = [], len(architecture.layers) - 1, 0
    shapes = [_rows_and_columns(layer) for layer in architecture.layers]
    for i, (layer, (n, columns)) in enumerate(zip(architecture.layers, shapes, strict=True)):
        ldu, ldh = padded(layer.n_outputs, vectors), padded(layer.n_outputs + 1, vectors)
        own = vectors is None or columns % WHOLE_VECTORS != 0 or (n - 1) * columns < IN_PLACE
        own = own or not isinstance(layer, Dense)
        at = {"ldw": padded(columns, vectors) if own else columns, "ldh": ldh, "ldu": ldu, "h": arena.take(rows * ldh)}
        at["ldd"], at["d"] = (ldu, arena.take(rows * ldu)) if i == last else (ldh, at["h"])
        f = layer.f if isinstance(layer, Dense) else None
        mixes = isinstance(layer, ParametricDense)
        at["z"] = arena.take(rows * ldh) if mixes or (f is not None and f.needs_input) else at["h"]
        drops = dropout and f is not None and i < last
        at["raw"] = arena.take(rows * ldh) if drops or mixes else at["h"]
        at["keep"] = arena.take(rows * ldh) if drops else NOWHERE
        at |= _of_front(layer, rows, at["ldw"], arena)
        at["copied"] = n * at["ldw"] if own else 0
        upstream = max(upstream, rows * ldu if i < last else 0)
        layers.append(at)
    net["d"] = arena.take(upstream)
    net["x"] = arena.take(rows * net["ldx"])
    for at in layers:
        at["w"] = arena.take(at["copied"])
    net |= _scratch(architecture, vectors, members, arena)
    net["panel_numbers"] = 0 if clips else max(_panel(*shape, vectors) for shape in shapes)
    net["gradients"] = arena.take(members * net["panel_numbers"])
    for at, (n, _) in zip(layers, shapes, strict=True):
        at["g"] = arena.take(n * at["ldw"]) if clips else NOWHERE
    states = [[arena.take(at["copied"]) for _ in range(slots)] for at in layers]
    net["sums"] = arena.take(2 * layers[last]["ldw"])
    return _layout(arena, net, layers, states)


@lru_cache(maxsize=256)
def forward_layout(
    architecture: Architecture, n_rows: int, *, vectors: Vectors | None = WIDEST, shared: int = 0
) -> MemoryLayout:
    """For the forward pass alone, on n_rows rows at a time."""
    arena, rows = Arena(shared), -(-n_rows // ROW_STEP) * ROW_STEP
    net = {"batch_rows": rows, "ldx": padded(architecture.n_inputs, vectors)}
    net["x"] = arena.take(rows * net["ldx"])
    layers = []
    shapes = [_rows_and_columns(layer) for layer in architecture.layers]
    for layer, (_, columns) in zip(architecture.layers, shapes, strict=True):
        at = {"ldw": padded(columns, vectors), "ldh": padded(layer.n_outputs + 1, vectors)}
        at["h"] = at["z"] = at["raw"] = arena.take(rows * at["ldh"])
        if isinstance(layer, ParametricDense):
            at["z"] = arena.take(rows * at["ldh"])
        layers.append(at | _of_front(layer, rows, at["ldw"], arena))
    for at, (n, _) in zip(layers, shapes, strict=True):
        at["w"] = arena.take(n * at["ldw"])
    net |= _scratch(architecture, vectors, 1, arena)
    return _layout(arena, net, layers, [[] for _ in layers])


def _rows_and_columns(layer: Layer) -> tuple[int, int]:
    """Of the matrix that a layer's parameters are, one under the other; a dense layer's biases are its last row, before
    a parametric one's slopes.
    """
    return layer.n_parameters // layer.columns, layer.columns


def _of_front(layer: Layer, rows: int, ldw: int, arena: Arena) -> dict[str, int]:
    """Of a periodic layer its numbers and their sums, both in rows as long as those of its parameters (ldw); see
    block_periodic.h. Of one of vectors which of them each row has, and sums as long as they are: block_embedding.h.
    """
    if isinstance(layer, Embedding):
        groups = len(layer.groups)
        return {"z": arena.take(groups * rows), "raw": arena.take(groups * rows * ldw)}
    if isinstance(layer, Periodic):
        return {"z": arena.take(rows * ldw), "raw": arena.take(layer.learned * rows * ldw)}
    return {}


def _scratch(architecture: Architecture, vectors: Vectors | None, members: int, arena: Arena) -> dict[str, int]:
    """For each member a strip of the largest matrix, packed."""
    if vectors is None:
        return {"packed_steps": 0, "scratch": NOWHERE}
    steps = min(PACKED_STEPS, max(architecture.sizes))
    return {
        "packed_steps": steps,
        "scratch": arena.take(members * vectors.tile_vectors * vectors.numbers * steps),
    }


def _panel(rows: int, fan_out: int, vectors: Vectors | None) -> int:
    """Of a layer's gradient, with its biases, what one member takes at a time: a tile's rows of it at the least."""
    if vectors is None:
        return 0
    columns = -(-fan_out // vectors.numbers) * vectors.numbers
    return min(rows * columns, max(PANEL, vectors.tile_rows * columns))


def _layout(arena: Arena, net: dict[str, int], layers: list[dict[str, int]], states: list[list[int]]) -> MemoryLayout:
    """The table; what is not there is NOWHERE, a distance that nobody needs too."""
    numbers = [net.get(name, NOWHERE) for name in OF_NETWORK]
    for at, state in zip(layers, states, strict=True):
        numbers += [*(at.get(name, NOWHERE) for name in OF_LAYER), *state]
    if max(arena.numbers, arena.shared_numbers) < 2**31:
        table = np.array(numbers, dtype=np.int32)
        table.flags.writeable = False
    else:
        table = np.empty(0, dtype=np.int32)  # refused: see kernel.refusal
    return MemoryLayout(max(arena.numbers, CUDA_NUMBERS), arena.shared_numbers, table)
