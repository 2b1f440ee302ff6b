"""How a CUDA device trains networks by blocks: threads of a block, blocks of a network, shared memory of each.

A pure function of the work and the device. No bit of a training depends on it (engines/block/block_tiles.h).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gpubp.backends.base import Multiprocessors
from gpubp.operations.architecture import Architecture
from gpubp.operations.dense import Dense

# Threads of a block, by the results that the largest product has at the least.
THREADS = ((8192, 256), (1024, 128), (0, 64))
# Blocks that a multiprocessor has registers for, by their threads; those of 512 are for float32 alone.
BLOCKS = {512: 1, 256: 1, 128: 4, 64: 8}
STAGE_BYTES = {512: 32 << 10, 256: 32 << 10, 128: 16 << 10, 64: 8 << 10}  # of the products' buffers (block_tiles.h)
TEAM_THREADS, TEAM_BLOCKS = 128, 2  # of a block of a team, and that a multiprocessor has registers for
OWN_BYTES = 6 << 10  # of a block's shared memory that hold the network's layout and the like, and the driver's own
# Of a team of blocks: multiply-adds of one in a second, the seconds of a meeting for each of its blocks and besides,
# and the meetings of an update for each layer.
BLOCK_RATE, MEETING, MEETING_BLOCK, MEETINGS = 6e10, 1.2e-6, 0.01e-6, 6


@dataclass(frozen=True)
class BlockLayout:
    """threads: of a block; blocks: that a multiprocessor has registers for; team: blocks that train one network;
    shared_bytes: of each block, for the network's arrays."""

    threads: int = 256
    blocks: int = 1
    team: int = 1
    shared_bytes: int = 0

    def definitions(self) -> dict[str, object]:
        """For the compiler. A team of one block, alone, needs no code for meeting others."""
        return {"THREADS": self.threads, "BLOCKS": self.blocks, "GROUPED": self.team > 1}


def block_layout(
    architecture: Architecture, batch_size: int, n_networks: int, needed_bytes: int, device: Multiprocessors
) -> BlockLayout:
    """needed_bytes: of one network's working memory."""
    products = list(_products(architecture, batch_size))
    largest = max(rows * columns for rows, columns, _ in products)
    threads = next(threads for least, threads in THREADS if largest >= least)
    team = 1
    if 2 * n_networks <= device.count:
        team = team_blocks(architecture, batch_size, device.count * TEAM_BLOCKS // n_networks)
    if team > 1:  # what its blocks have in common cannot lie in the shared memory of one
        return BlockLayout(TEAM_THREADS, TEAM_BLOCKS, team)
    blocks = BLOCKS[threads]
    resident = min(blocks, -(-n_networks // device.count))
    own = STAGE_BYTES[threads] + OWN_BYTES
    room = min(device.shared_bytes // resident, device.shared_bytes_of_block) - own
    return BlockLayout(threads, blocks, 1, max(0, min(room // 32, -(-needed_bytes // 32))) * 32)


def team_blocks(architecture: Architecture, batch_size: int, most: int) -> int:
    """The number of blocks, up to `most`, by which an update of one network is estimated to take the least time."""
    operations = multiply_adds(architecture, batch_size)
    useful = max(-(-rows // 32) * -(-columns // 32) for rows, columns, _ in _products(architecture, batch_size))

    def seconds(blocks: int) -> float:
        return operations / BLOCK_RATE / blocks + team_seconds(architecture, blocks)

    return min(range(1, max(1, min(most, useful)) + 1), key=seconds)


def team_seconds(architecture: Architecture, blocks: int) -> float:
    """That an update's blocks need for meeting."""
    return MEETINGS * architecture.n_layers * (MEETING + blocks * MEETING_BLOCK) if blocks > 1 else 0.0


def multiply_adds(architecture: Architecture, batch_size: int) -> float:
    """Of an update of one network."""
    return float(sum(rows * columns * steps for rows, columns, steps in _products(architecture, batch_size)))


def _products(architecture: Architecture, batch_size: int) -> Iterator[tuple[int, int, int]]:
    """Rows, columns and steps of an update's matrix products."""
    for place, layer in enumerate(architecture.layers):
        if isinstance(layer, Dense):
            yield batch_size, layer.n_outputs, layer.n_inputs
            yield layer.n_inputs, layer.n_outputs, batch_size
            if place:
                yield batch_size, layer.n_inputs, layer.n_outputs
