"""What trainings came to when the fixture was made, they come to now: to the bit, or closely where a BLAS has a part.

bit_records.py says which results are compared how, and why. The kernels are those of test_native_on_cuda_shim.py and
test_fused_bits.py, compiled with -O0; test_compiled_bits.py and test_fused_bits.py compare that with the flags that
users get.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bit_faces import FACE_CASES
from bit_records import ENGINE_CASES, Outcome, data, differences, recorded

from gpubp.backends.host_compiler import find_compiler

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "bits.json").read_text(encoding="utf-8"))
CASES = {**ENGINE_CASES, **FACE_CASES}
WHAT_TO_DO = (
    "If nothing was meant to change a result, this is a mistake. If it was, that is a decision: make the fixture anew "
    "by `python scripts/make_bits_fixture.py`, and say in the commit why these bits had to change."
)

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")


@pytest.mark.parametrize("name", FIXTURE["cases"])
def test_the_same_as_in_the_fixture(name: str) -> None:
    told = differences(recorded(CASES[name]()), FIXTURE["cases"][name])
    assert not told, "\n".join([f"{name} is not what it was:", *told, WHAT_TO_DO])


def test_the_fixture_has_every_case() -> None:
    assert list(FIXTURE["cases"]) == list(CASES), WHAT_TO_DO


def test_what_is_trained_on_is_the_same() -> None:
    """Drawn by NumPy's generators: where this fails, other failures follow from it."""
    assert data() == FIXTURE["data"]


def test_differences_are_told() -> None:
    """One bit of an exact array, and of a close one what is more than the tolerance, the same for NaN."""
    exact, close = np.arange(5, dtype=np.float32), np.array([1.0, -200.0, np.nan])
    kept = recorded(Outcome({"params": exact}, {"losses": close}, 1e-3))
    one_bit = np.nextafter(exact, np.float32(9))
    assert differences(recorded(Outcome({"params": exact}, {"losses": close + 0.19})), kept) == []
    assert differences(recorded(Outcome({"params": one_bit}, {"losses": close})), kept)[0].startswith("params: other")
    told = differences(recorded(Outcome({"params": exact}, {"losses": close + 0.21})), kept)
    assert told[0].startswith("losses: -199.79, was -200; the tolerance is 0.2")
    assert differences(recorded(Outcome({"params": exact}, {"losses": np.nan_to_num(close)})), kept) != []
    assert differences(recorded(Outcome({}, {"losses": close})), kept) != []
    assert differences(recorded(Outcome({"params": exact})), kept) != []
