"""On a real CUDA device: the engines with native kernels give the bits that they give on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from bit_cases import CASES, Case, assert_same_bits, trained
from conftest import real_cupy

from gpubp.backends import NumpyBackend
from gpubp.backends.host_compiler import find_compiler
from gpubp.tutorial import case_study

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_bits_as_on_the_cpu(case: Case) -> None:
    device = real_cupy()
    expected, its_history = trained(NumpyBackend(), case)
    found, history = trained(device, case)
    assert np.isfinite(expected).all()
    assert_same_bits(found, expected)
    assert_same_bits(history.training_loss, its_history.training_loss)
    if case.held != "none":
        for metric in ("validation_loss", "validation_score"):
            assert_same_bits(getattr(history, metric), getattr(its_history, metric))


def test_the_case_study() -> None:
    found = case_study(backend=real_cupy(), engine="lane")
    assert (found.backend, found.engine) == ("cupy", "lane")
    assert round(100 * found.mean_accuracy, 3) == 93.333
