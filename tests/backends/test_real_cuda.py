"""CuPy, cuda-core and NVRTC themselves, as far as they go without a device: what the stand-in can only pretend.

CI has an environment with these packages; elsewhere the tests are skipped where they are missing.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from proof.kernels import lane_kernel

from gpubp.backends import get_backend, nvrtc
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.cupy_device import NO_DEVICE, NO_DRIVER
from gpubp.backends.kernel_cache import PROBE
from gpubp.backends.nvrtc import OPTIONS, SETTINGS, Nvrtc, compile_source, define_options, definition_texts, find_nvrtc
from gpubp.engines.array.fused_kernel import FusedKernel
from gpubp.engines.block.kernel import BlockKernel
from gpubp.engines.dialect import read_source
from gpubp.engines.lane.kernel import prediction_definitions
from gpubp.errors import BackendError

MISSING = [name for name in ("cupy", "cuda") if find_spec(name) is None]
REASON = f"not installed: {', '.join(MISSING)} (pip install 'gpubp[cuda13]')"
pytestmark = pytest.mark.skipif(bool(MISSING), reason=REASON)

LANE = lane_kernel((7, 5, 3), ("logistic",), "logistic", "squared_error")
BLOCK = BlockKernel("float32", "squared_error", "sgd")
FUSED = FusedKernel("float32", "cross_entropy", "adam")
# The block kernel that trains takes half a minute; test_native_compiles.py compiles it, by the same options.
KERNELS = {
    "lane": (LANE.source, LANE.definitions()),
    "fused": (FUSED.source, FUSED.definitions()),
    "prediction by lanes": (read_source("predict.h"), prediction_definitions(LANE.architecture, np.dtype("float32"))),
    "prediction by blocks": (read_source("block_predict.h"), BLOCK.definitions()),
}


@pytest.fixture(scope="module")
def found() -> Nvrtc:
    return find_nvrtc()


def test_the_libraries_are_found(found: Nvrtc) -> None:
    import cupy
    from cuda import core

    assert cupy.__version__.startswith("14.")
    assert core.__version__.startswith("1.")
    assert found.version >= (12, 0)
    assert found.size == found.library.stat().st_size > 1 << 20
    assert {80, 86, 89, 90} <= set(found.architectures)


@pytest.mark.parametrize(("source", "definitions"), KERNELS.values(), ids=KERNELS)
def test_every_kernel_compiles_through_the_path_that_loads_it(
    found: Nvrtc, source: str, definitions: dict[str, object]
) -> None:
    code = compile_source(found, source, definitions, found.target(90))
    assert code[:4] == b"\x7fELF"


def test_the_options_are_those_of_the_proofs() -> None:
    from cuda.core import ProgramOptions

    definitions = LANE.definitions()
    options = ProgramOptions(arch="sm_90", define_macro=[*definition_texts(definitions).items()], **SETTINGS)
    given = {option.decode() for option in options.as_bytes("nvrtc")}
    assert given == {"-arch=sm_90", *OPTIONS, *define_options(definitions)}


def test_a_rejected_source_is_our_defect_and_a_broken_nvrtc_is_not(
    found: Nvrtc, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackendError, match=r"(?s)defect of gpubp.*NVRTC \d+\.\d+ for sm_90.*nonsense"):
        compile_source(found, "nonsense", {PROBE: 1}, found.target(90))
    monkeypatch.setattr(nvrtc, "TINY_KERNEL", "nothing that compiles")
    with pytest.raises(BackendError, match=r"does not compile even a tiny kernel.*pip install --force-reinstall"):
        compile_source(found, "nonsense", {}, found.target(90))


def test_a_device_that_this_cuda_has_dropped(found: Nvrtc) -> None:
    with pytest.raises(BackendError, match=r"capability is 3\.5, and NVRTC .* compiles for .* and newer"):
        found.target(35)


def test_a_machine_without_a_driver_is_told_so() -> None:
    if get_backend("auto").name == "cupy":
        pytest.skip("there is a device")
    with pytest.raises(BackendError) as caught:
        CupyBackend()
    assert str(caught.value) in (NO_DRIVER, NO_DEVICE)
