"""How a CUDA device's blocks share networks: a pure function of the work and the device."""

from __future__ import annotations

import pytest

from gpubp.backends.base import Multiprocessors
from gpubp.engines.block.layout import BLOCKS, STAGE_BYTES, block_layout, team_blocks
from gpubp.operations.architecture import Architecture

H200 = Multiprocessors(132, 1.98e9, 233_472, 232_448)
T4 = Multiprocessors(40, 1.59e9, 65_536, 65_536)
SMALL, MIDDLE = Architecture(16, (64, 64), 3, "relu", "softmax"), Architecture(64, (256,) * 3, 10, "relu", "softmax")
LARGE = Architecture(784, (1024, 1024), 10, "relu", "softmax")


def test_one_large_network_has_the_whole_device() -> None:
    layout = block_layout(LARGE, 256, 1, 1 << 30, H200)
    assert H200.count < layout.team <= layout.blocks * H200.count
    assert layout.shared_bytes == 0  # what a team has in common lies in the device's memory
    assert layout.definitions()["GROUPED"]


def test_a_population_that_fills_the_device_has_a_block_each() -> None:
    for n_networks in (H200.count, 10 * H200.count):
        assert block_layout(MIDDLE, 256, n_networks, 1 << 20, H200).team == 1


def test_a_small_network_has_no_team() -> None:
    """Its blocks would mostly wait for each other."""
    assert block_layout(SMALL, 32, 1, 1 << 20, H200).team == 1


def test_threads_go_with_the_largest_product() -> None:
    sizes = [(Architecture(4, 8, 2), 8), (SMALL, 32), (MIDDLE, 256)]
    assert [block_layout(shape, batch, 500, 0, H200).threads for shape, batch in sizes] == [64, 128, 256]


@pytest.mark.parametrize("device", [H200, T4], ids=["H200", "T4"])
@pytest.mark.parametrize("n_networks", [1, 100, 200, 5000])
@pytest.mark.parametrize(("shape", "batch"), [(SMALL, 32), (MIDDLE, 256)], ids=["small", "middle"])
def test_as_many_blocks_fit_as_are_to_share_a_multiprocessor(
    device: Multiprocessors, n_networks: int, shape: Architecture, batch: int
) -> None:
    layout = block_layout(shape, batch, n_networks, 1 << 30, device)
    resident = min(BLOCKS[layout.threads], -(-n_networks // device.count))
    if layout.shared_bytes:
        assert resident * (layout.shared_bytes + STAGE_BYTES[layout.threads]) <= device.shared_bytes
    assert layout.shared_bytes % 32 == 0


def test_a_network_takes_no_more_shared_memory_than_it_needs() -> None:
    """In steps of 32 bytes."""
    assert block_layout(SMALL, 32, 1, 10_000, H200).shared_bytes == 10_016


def test_a_team_is_no_larger_than_what_can_run_at_once() -> None:
    assert [team_blocks(LARGE, 256, most) for most in (0, 1, 7)] == [1, 1, 7]
