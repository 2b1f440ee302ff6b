"""The PTX that NVRTC really emits for the block kernel, interpreted: the same bits as the CPU's build.

Of three kernels, a loss, optimizer and dtype each, for NVRTC takes eight seconds over one. Every optimizer, loss and
activation is in the PTX of lanes and of fused kernels, with the same functions: test_lane_ptx.py, test_fused_bits.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bit_cases import (
    AVERAGE_CASES,
    BLOCK_CASES,
    FRONT_CASES,
    PARAMETRIC_CASES,
    SCHEDULED_BLOCKS,
    Case,
    assert_same_bits,
    trained_in_calls,
)
from proof import nvrtc
from proof.backend import PtxBackend

from gpubp.backends import NumpyBackend
from gpubp.backends.cupy_program import STATIC_SHARED
from gpubp.backends.host_compiler import find_compiler
from gpubp.networks.population import Population, network_seeds
from gpubp.operations.architecture import Architecture

pytestmark = [
    pytest.mark.skipif(nvrtc.missing() is not None, reason=str(nvrtc.missing())),
    pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine"),
]


@pytest.mark.parametrize(
    ("case", "networks"),
    [
        (BLOCK_CASES[5], [3]),  # a regression: R²; RMSprop, each network its own weights
        (replace(BLOCK_CASES[11], weights="rows"), [0]),  # all rows at once, shuffled, L2
        (BLOCK_CASES[4], [0, 1]),  # softmax, float64, left-over rows, networks of different lengths, L2 with clipping
        (SCHEDULED_BLOCKS[0], [36]),  # dropout, L2 and smoothed labels by schedules
        (FRONT_CASES[2], [0]),  # waves, then factors of the inputs, groups with rates and decays of their own
        (FRONT_CASES[5], [0]),  # sines and cosines
        (FRONT_CASES[-3], [0]),  # vectors of categories, before waves
        (PARAMETRIC_CASES[0], [0]),  # slopes: dropout and weight decay
        (PARAMETRIC_CASES[1], [1]),  # clipping, float64
        (AVERAGE_CASES[0], [0]),
        (replace(BLOCK_CASES[10], held="shared"), [36]),  # a layer wider than a warp, validation in two batches
    ],
    ids=str,
)
def test_trainings_give_the_same_bits(case: Case, networks: list[int]) -> None:
    """A warp for each network: the interpreter's time goes with the number of instructions, not of threads. Room for
    everything in shared memory, or for some of it."""
    backend = PtxBackend(THREADS=32, shared=STATIC_SHARED + 3000 if 0 in networks else 48 << 10)
    found, metrics = trained_in_calls(backend, case, (1,), keep=np.array(networks))
    expected, its_metrics = trained_in_calls(NumpyBackend(), case, (1,), keep=np.array(networks))
    assert [(machine.blocks, machine.threads) for machine in backend.machines] == [(1, 32)] * len(networks)
    assert all(machine.shared_bytes > 0 for machine in backend.machines)
    assert np.isfinite(found).all()
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_give_the_same_bits(dtype: str) -> None:
    """Of two networks, with the last rows left over."""
    shape = Architecture(3, (5, 2), 3, ("gelu", "elu"), "softmax")
    rows = np.random.default_rng(1).normal(size=(19, 3))

    def predicted(backend: NumpyBackend) -> np.ndarray:
        return Population.initialize(shape, network_seeds(3, 2), backend, dtype=dtype).predict(rows, engine="block")

    np.testing.assert_array_equal(predicted(PtxBackend(THREADS=32)), predicted(NumpyBackend()))
