"""Backends: which one is chosen and why, what is said when it cannot be, and what transfers keep."""

from __future__ import annotations

import ast
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import standin as fake
from scipy import special

import gpubp.backends
from gpubp.backends import Backend, Memory, float_dtype, get_backend
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.numpy_backend import NumpyBackend
from gpubp.errors import BackendError, GpubpError, SettingsError

PACKAGE = Path(gpubp.backends.__file__).parents[1]

UNUSABLE = {
    "not installed": (fake.NOT_INSTALLED, ["CuPy is not installed", "pip install 'gpubp[cuda13]'", "cuda12"]),
    "broken import": (
        fake.BROKEN_IMPORT,
        ["installed, but cannot be imported", "libcudart.so.13", "Uninstall", "pip install 'gpubp[cuda13]'"],
    ),
    "no driver": (fake.NO_DRIVER, ["no usable NVIDIA driver", "nvidia-smi", "--backend numpy"]),
    "no device": (fake.NO_DEVICE, ["no CUDA device is visible", "CUDA_VISIBLE_DEVICES", "--backend numpy"]),
    "zero devices": (fake.ZERO_DEVICES, ["no CUDA device is visible", "CUDA_VISIBLE_DEVICES"]),
    "no memory": (
        fake.NO_MEMORY,
        ["no memory", "cudaErrorMemoryAllocation", "nvidia-smi", "--backend numpy"],
    ),
    "another error": (
        fake.Machine(driver_error="cudaErrorUnknown: unknown error"),
        ["cannot reach a CUDA device", "cudaErrorUnknown", "--backend numpy"],
    ),
}
unusable = pytest.mark.parametrize(("machine", "words"), UNUSABLE.values(), ids=UNUSABLE)


# --- the choice ---


def test_numpy_is_taken_when_asked_for() -> None:
    backend = get_backend("numpy")
    assert (backend.name, backend.reason, backend.xp) == ("numpy", "asked for", np)


def test_cupy_is_taken_when_asked_for() -> None:
    with fake.installed() as cupy:
        backend = get_backend("cupy")
    assert (backend.name, backend.reason, backend.xp) == ("cupy", "asked for", cupy)


def test_auto_takes_cupy_where_it_can() -> None:
    with fake.installed():
        backend = get_backend("auto")
    assert (backend.name, backend.reason) == ("cupy", "a CUDA device is available")


@unusable
def test_auto_takes_numpy_otherwise_and_says_why(machine: fake.Machine, words: list[str]) -> None:
    with fake.installed(machine):
        backend = get_backend("auto")
    assert backend.name == "numpy"
    assert words[0] in backend.reason
    assert "\n" not in backend.reason
    assert not backend.reason.endswith(".")


def test_auto_takes_numpy_where_the_device_is_full() -> None:
    with fake.installed(fake.LITTLE_MEMORY):
        backend = get_backend("auto")
        assert get_backend("cupy").name == "cupy"  # asked for is asked for
    assert (backend.name, backend.reason) == ("numpy", "the CUDA device has only 8 MiB of free memory")


@unusable
def test_cupy_that_was_asked_for_never_falls_back(machine: fake.Machine, words: list[str]) -> None:
    with fake.installed(machine), pytest.raises(BackendError) as caught:
        get_backend("cupy")
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message
    assert "====" not in message
    assert isinstance(caught.value, GpubpError)
    assert caught.value.__cause__ is not None or machine is fake.ZERO_DEVICES


def test_no_name_means_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUBP_BACKEND", "numpy")
    with fake.installed():
        backend = get_backend()
    assert backend.name == "numpy"
    assert backend.reason == "asked for (from the environment variable GPUBP_BACKEND)"


@pytest.mark.parametrize("value", [None, ""])
def test_no_name_and_no_variable_mean_auto(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("GPUBP_BACKEND", value)
    with fake.installed():
        assert get_backend().name == "cupy"
    with fake.installed(fake.NOT_INSTALLED):
        assert get_backend().name == "numpy"


def test_a_name_goes_before_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUBP_BACKEND", "cupy")
    with fake.installed():
        assert get_backend("numpy").name == "numpy"


def test_the_environment_variable_may_not_fall_back_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUBP_BACKEND", "cupy")
    with fake.installed(fake.NOT_INSTALLED), pytest.raises(BackendError, match="CuPy is not installed"):
        get_backend()


@pytest.mark.parametrize("name", ["torch", "", "NumPy", "cuda"])
def test_an_unknown_name_is_told_the_choices(name: str) -> None:
    with pytest.raises(SettingsError, match=f"Unknown backend '{name}'.*hoose one of auto, numpy, cupy"):
        get_backend(name)


def test_an_unknown_name_in_the_environment_says_where_it_is_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUBP_BACKEND", "tpu")
    with pytest.raises(SettingsError, match=r"'tpu' .*GPUBP_BACKEND"):
        get_backend()


def test_a_backend_passes_through(backend: Backend) -> None:
    assert get_backend(backend) is backend


@pytest.mark.gpu
def test_the_real_device_computes() -> None:
    from conftest import real_cupy

    backend = real_cupy()
    squares = backend.to_device(np.arange(5, dtype=np.float32)) ** 2
    np.testing.assert_array_equal(backend.to_host(squares), [0, 1, 4, 9, 16])


# --- transfers ---

ARRAYS = {
    "float32": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "float64, transposed": np.arange(12.0).reshape(3, 4).T,
    "int64, strided": np.arange(20)[::3],
    "uint64, large": np.array([0, 1, 2**64 - 1], dtype=np.uint64),
    "bool": np.array([True, False]),
    "0-d": np.array(1.5, dtype=np.float32),
    "empty": np.zeros((0, 3), dtype=np.float32),
    "not finite": np.array([np.nan, np.inf, -np.inf, -0.0]),
    "read-only": np.broadcast_to(np.float32(2), (2, 2)),
}


@pytest.mark.parametrize("host", ARRAYS.values(), ids=ARRAYS)
def test_a_round_trip_keeps_values_dtype_and_shape(backend: Backend, host: np.ndarray) -> None:
    device = backend.to_device(host)
    assert isinstance(device, backend.xp.ndarray)
    assert (device.dtype, device.shape) == (host.dtype, host.shape)
    assert device.flags.c_contiguous
    back = backend.to_host(device)
    assert type(back) is np.ndarray
    assert (back.dtype, back.shape) == (host.dtype, host.shape)
    assert back.tobytes() == host.tobytes()  # the same bits, NaN and −0 included


@pytest.mark.parametrize("dtype", ["float32", "float64", np.int64])
def test_to_device_converts(backend: Backend, dtype: object) -> None:
    for host in (np.arange(6).reshape(2, 3).T, np.int32(3)):
        device = backend.to_device(host, dtype)
        assert device.dtype == np.dtype(dtype)
        assert device.shape == np.shape(host)
        assert device.flags.c_contiguous
        np.testing.assert_array_equal(backend.to_host(device), host)
    assert backend.to_device(device, np.float64).dtype == np.float64


def test_what_is_there_already_is_not_copied(backend: Backend) -> None:
    device = backend.to_device(np.arange(6.0).reshape(2, 3))
    assert backend.to_device(device) is device
    assert backend.to_device(device, np.float64) is device
    straightened = backend.to_device(device.T)
    assert straightened.flags.c_contiguous
    np.testing.assert_array_equal(backend.to_host(straightened), np.arange(6.0).reshape(2, 3).T)


def test_a_transfer_moves_what_is_needed_and_once(standin: CupyBackend) -> None:
    counters = standin.xp.counters
    device = standin.to_device(np.arange(100.0)[::10], np.float32)  # 10 of 100, converted before they travel
    assert (counters.to_device, counters.bytes_to_device) == (1, 40)
    standin.to_device(device)
    standin.to_device(device, np.float64)
    standin.to_device(device.reshape(2, 5).T)
    assert counters == fake.Counters(to_device=1, bytes_to_device=40)
    standin.to_host(device)
    assert counters == fake.Counters(1, to_host=1, synchronize=1, bytes_to_device=40, bytes_to_host=40)


@pytest.mark.parametrize("shape", [(3, 5), (1, 1000), (7,), (2, 0)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_empty_arrays_are_writable_and_whole(backend: Backend, shape: tuple[int, ...], dtype: type) -> None:
    array = backend.empty(shape, dtype)
    array[...] = 7
    found = backend.to_host(array)
    assert found.shape == shape
    assert found.dtype == dtype
    assert found.flags.c_contiguous
    assert (found == 7).all()


def test_empty_arrays_begin_with_a_cache_line() -> None:
    for size in (1, 1000, 10**6):
        arrays = [NumpyBackend().empty((size,), np.float32) for _ in range(5)]
        assert [array.ctypes.data % 64 for array in arrays] == [0] * 5


def test_synchronize_waits(standin: CupyBackend) -> None:
    standin.synchronize()
    assert standin.xp.counters == fake.Counters(synchronize=1)


def test_synchronize_works_everywhere(backend: Backend) -> None:
    device = backend.to_device(np.ones(3))
    device += 1
    backend.synchronize()
    np.testing.assert_array_equal(backend.to_host(device), [2, 2, 2])


# --- the operations that the array namespaces do not share ---


def test_take_rows(backend: Backend) -> None:
    host = np.arange(12, dtype=np.float32).reshape(4, 3)
    indices = np.array([3, 0, 3, 1, 2])
    out = backend.xp.empty((5, 3), dtype=np.float32)
    backend.take_rows(backend.to_device(host), backend.to_device(indices), out)
    np.testing.assert_array_equal(backend.to_host(out), host[indices])


def test_take_rows_for_a_population(backend: Backend) -> None:
    """Indices (P, B) take (P, B, I) from (N, I)."""
    host = np.arange(12, dtype=np.float64).reshape(6, 2)
    indices = np.array([[5, 0, 1], [2, 2, 4]])
    out = backend.xp.empty((2, 3, 2))
    backend.take_rows(backend.to_device(host), backend.to_device(indices), out)
    np.testing.assert_array_equal(backend.to_host(out), host[indices])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erf(backend: Backend, dtype: type) -> None:
    host = np.linspace(-4, 4, 33, dtype=dtype)
    device = backend.to_device(host)
    out = backend.xp.empty_like(device)
    backend.erf(device, out)
    assert out.dtype == dtype
    np.testing.assert_allclose(backend.to_host(out), special.erf(host), rtol=4 * np.finfo(dtype).eps)
    backend.erf(device, device)  # in place
    np.testing.assert_array_equal(backend.to_host(device), backend.to_host(out))


def test_quiet_gives_inf_and_nan_without_a_warning(backend: Backend) -> None:
    device = backend.to_device(np.array([0.0, -1.0, 1000.0]))
    with backend.quiet(), warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [backend.to_host(f(device)) for f in (backend.xp.log, backend.xp.exp, backend.xp.reciprocal)]
    np.testing.assert_allclose(found, [[-np.inf, np.nan, np.log(1000)], [1, np.exp(-1), np.inf], [np.inf, -1, 1e-3]])


def test_numpy_warns_outside_of_quiet(numpy_backend: NumpyBackend) -> None:
    """So that a kernel that forgets `quiet` is found by these tests."""
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        numpy_backend.xp.log(numpy_backend.to_device(np.zeros(1)))


# --- what people are told ---


def test_memory(backend: Backend) -> None:
    memory = backend.memory()
    assert isinstance(memory, Memory)
    assert 0 < memory.free <= memory.total
    assert memory.total > 1 << 28


def test_memory_is_the_devices(standin: CupyBackend) -> None:
    assert standin.memory() == Memory(free=8192 << 20, total=81920 << 20)


def test_numpy_knows_no_memory_without_sysconf(numpy_backend: NumpyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sysconf")
    assert numpy_backend.memory() == Memory(free=0, total=0)


def test_device_in_words(backend: Backend) -> None:
    words = backend.device()
    assert len(words) > 10
    assert words.isprintable()
    assert ("logical cores" if backend.name == "numpy" else "compute capability") in words


def test_device_in_words_of_the_stand_in(standin: CupyBackend) -> None:
    assert standin.device() == "Stand-in for a CUDA device, compute capability 9.0"


def test_device_in_words_without_proc(numpy_backend: NumpyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert numpy_backend.device().startswith("arm64, ")


# --- the dtype policy ---


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float32, np.dtype(np.float64), float])
def test_float_dtype(dtype: object) -> None:
    assert float_dtype(dtype) == np.dtype(dtype)


@pytest.mark.parametrize(
    "dtype",
    ["float16", np.int32, "complex64", "double precision", object(), bool, None, "\ud800", 5000 * "9", "f4," * 3],
)
def test_float_dtype_refuses_the_others(dtype: object) -> None:
    """None too, which NumPy takes for float64."""
    with pytest.raises(SettingsError, match="not supported: choose 'float32' or 'float64'"):
        float_dtype(dtype)


# --- imports ---


@pytest.mark.parametrize("module", ["gpubp", "gpubp.backends", "gpubp.errors"])
def test_importing_loads_no_heavy_library(module: str) -> None:
    heavy = {"cupy", "cupyx", "sklearn", "polars", "scipy", "rich", "typer", "safetensors"}
    program = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


def test_only_one_file_imports_cupy() -> None:
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] in ("cupy", "cupyx") for name in _imports(path))
    }
    assert importers == {"backends/cupy_backend.py"}


def _imports(path: Path) -> Iterator[str]:
    """The absolute names of all modules that a file imports, anywhere in it, by statement or by string."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.Call) and node.args:
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if function in ("import_module", "__import__") and isinstance(first, ast.Constant):
                yield str(first.value)
