"""Fixtures that several test files share: backends, and an environment that tests cannot leak into."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import standin

from gpubp.backends import Backend, NumpyBackend, host_compiler, host_program
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.errors import BackendError

# Reproducible anywhere: the same examples in every run, and none that fails because a machine is busy. The
# backend fixture is as good for the hundredth example as for the first.
hypothesis.settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("ci")


# So that none of them is begun when the other cores have nothing left to do.
LONGEST = (
    "test_native_compiles.py",
    "test_native_engines.py",
    "test_fused_bits.py",
    "test_native_on_cuda_shim.py",
    "test_compiled_bits.py",
    "test_scripts.py",
    "test_block_on_cuda_shim.py",
    "test_native_bits.py",
    "test_block_ptx.py",
    "test_promises.py",
    "test_forks_and_endings.py",
    "test_lane_ptx.py",
    "test_cli_process.py",
    "test_population_search.py",
    "test_cli_resume.py",
    "test_sweep_trials.py",
    "test_fused_training.py",
    "test_average.py",
    "test_estimator_members.py",
    "test_search_interrupted.py",
    "test_estimator_contract.py",
    "test_fuzz.py",
    "test_report.py",
    "test_native_math.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Files are handed to the processes in their order, not those with the most tests first."""
    if hasattr(config.option, "loadscopereorder"):  # xdist from 3.7 on
        config.option.loadscopereorder = False
    share_bytecode(config)
    gc.set_threshold(20_000, 20, 20)  # instead of 700: most of what tests make are no cycles


def share_bytecode(config: pytest.Config) -> None:
    """Where Python is told to write no bytecode beside its sources, it writes it into a folder of this run.

    Else each of the hundreds of processes that tests start would compile gpubp again: half of the time that they take.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        folder = tempfile.TemporaryDirectory(prefix="gpubp-bytecode-", ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = folder.name
        sys.dont_write_bytecode = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take longest first; the others stay in alphabetical order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's choice of a backend does not steer the tests; compiled kernels get a folder of their own, which all
    processes of this run share: and other runs, where GPUBP_TEST_KERNELS names one for them.
    """
    run = tmp_path_factory.getbasetemp()
    own = (run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / "gpubp-cache"
    kernels = Path(os.environ.get("GPUBP_TEST_KERNELS") or own)
    kernels.mkdir(mode=0o700, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GPUBP_BACKEND", raising=False)
        patch.setenv("GPUBP_CACHE_DIR", str(kernels))
        yield


@pytest.fixture(params=["numpy", "cupy-standin", pytest.param("cupy", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend in turn: NumPy, the strict stand-in for CuPy, and CuPy itself where there is a device."""
    if request.param == "numpy":
        yield NumpyBackend()
    elif request.param == "cupy-standin":
        with standin.installed():
            yield CupyBackend()
    else:
        yield real_cupy()


OPTIMISATION = "-O0"  # compiles in a fifth of the time that the shipped flags take
_PROGRAMS: dict[str, dict[Any, host_program.HostProgram]] = {}


@pytest.fixture(scope="module", autouse=True)
def _optimisation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compiles the kernels of a module's tests with -O0, or with what the module names in OPTIMISATION.

    "-O1" is for modules that train much, nearly as fast as users do; "shipped" has the flags that users get, as every
    process has that a test starts. All give the same bits: test_compiled_bits.py and test_fused_bits.py compare them.
    """
    with optimised(getattr(request.module, "OPTIMISATION", OPTIMISATION)):
        yield


@contextmanager
def optimised(level: str) -> Iterator[None]:
    """Kernels are compiled with `level` inside; those that the run has already, in whichever file, are not again."""
    with pytest.MonkeyPatch.context() as patch:
        if level != "shipped":
            for flags in ("GNU", "OTHERS"):
                patch.setattr(host_compiler, flags, (level,))
        patch.setattr(host_program, "_loaded", _PROGRAMS.setdefault(level, {}))
        yield


@pytest.fixture
def numpy_backend() -> NumpyBackend:
    return NumpyBackend()


@pytest.fixture(params=["array", "fused", "lane", "block"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of each engine in turn; "fused": the array engine's compiled kernels, for small networks too."""
    if request.param != "array" and host_compiler.find_compiler() is None:
        pytest.skip("no C++ compiler on this machine")
    if request.param != "fused":
        return str(request.param)
    monkeypatch.setattr("gpubp.engines.array.engine.FUSED_PARAMETERS", 0)
    return "array"


@pytest.fixture(name="standin")
def standin_backend() -> Iterator[CupyBackend]:
    """The CuPy backend on the stand-in; `standin.xp.counters` has counted nothing yet."""
    with standin.installed() as cupy:
        backend = CupyBackend()
        cupy.counters.reset()
        yield backend


def assert_same_networks(backend: Backend, found: Any, expected: Any) -> None:
    """Numbers of networks that the array engine trained among others, and alone: the same bits.

    Not on a real CUDA device: their products are cuBLAS's there, which takes other algorithms, and so other orders of
    summing up, for other numbers of networks. In float32 they may differ by 1e-5, or by a ten-thousandth of themselves.
    """
    if backend.name == "cupy" and not standin.is_standin(backend.xp):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    else:
        np.testing.assert_array_equal(found, expected)


def real_cupy() -> CupyBackend:
    """CuPy itself, or a skip that says why not."""
    try:
        backend = CupyBackend()
    except BackendError as error:
        pytest.skip(str(error))
    if standin.is_standin(backend.xp):
        pytest.fail("the stand-in is installed: ask for the fixture `backend` or `standin`, not for both")
    return backend
