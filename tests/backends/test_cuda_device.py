"""A CUDA device among several: everything happens on the one that was asked for; what it lacks is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import standin
from command_line import gpubp

from gpubp import MLPClassifier, doctor
from gpubp.backends import Backend, NumpyBackend, get_backend
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.host_compiler import find_compiler
from gpubp.errors import BackendError, SettingsError
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.training.history import History
from gpubp.training.loop import train

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
T = np.eye(2, dtype=np.float32)[(X[:, 0] > 0).astype(int)]
TWO = replace(standin.READY, devices=2)


@pytest.fixture
def two() -> Iterator[Any]:
    with standin.installed(TWO) as cupy:
        yield cupy


def trained(backend: Backend, engine: str, epochs: int = 3) -> tuple[np.ndarray, History]:
    population = Population.initialize(Architecture(3, 4, 2, "tanh", "softmax"), network_seeds(0, 3), backend)
    history = train(population, X, T, Settings(batch_size=8, epochs=epochs), engine=engine)
    return population.state()["params"], history


@needs_compiler
@pytest.mark.parametrize("engine", ["array", "lane", "block"])
def test_a_training_is_on_its_device_whatever_is_current(two: Any, engine: str) -> None:
    """The stand-in's arrays refuse another device's work."""
    with two.cuda.Device(0):
        population = Population.initialize(Architecture(3, 4, 2), network_seeds(0, 3), get_backend("cupy", 1))
        two.cuda.Device(0).use()
        train(population, X, T, Settings(loss="squared_error", batch_size=8, epochs=3), engine=engine)
        two.cuda.Device(0).use()
        assert np.isfinite(population.backend.to_host(population.predict(X))).all()
        assert population.params.device.id == 1
    assert get_backend("cupy").number == 0


def test_arrays_of_another_device_are_brought_over(two: Any) -> None:
    first, second = get_backend("cupy", device=0), get_backend("cupy", device=1)
    there = first.to_device(X)
    here = second.to_device(there)
    assert (there.device.id, here.device.id) == (0, 1)
    np.testing.assert_array_equal(second.to_host(here), X)
    assert second.to_device(here) is here


def test_the_device_is_told(two: Any) -> None:
    assert get_backend("cupy", 1).device().endswith(", device 1 of 0 to 1")
    two.cuda.Device(1).use()
    assert get_backend("cupy").number == 1  # None is CuPy's current one


def test_estimators_compute_where_their_data_is(two: Any) -> None:
    two.cuda.Device(1).use()
    on_device = two.asarray(X)
    two.cuda.Device(0).use()
    network = MLPClassifier(4, max_iter=3, batch_size=8, early_stopping=False, learning_rate_init=0.01)
    with pytest.warns(Warning, match="Maximum iterations"):
        network.fit(on_device, T.argmax(axis=1))
    assert network.predict_proba(on_device).device.id == 1


@pytest.mark.parametrize(
    ("name", "device", "words"),
    [
        ("cupy", 2, "no CUDA device 2: this machine has devices 0 to 1"),
        ("auto", 7, "no CUDA device 7"),
        ("cupy", -1, "device -1: the number of a CUDA device"),
        ("cupy", True, "device True: the number"),
        ("cupy", 0.5, "device 0.5: the number"),
        ("numpy", 1, "the backend numpy has none: choose cupy"),
    ],
)
def test_a_device_that_is_none(two: Any, name: str, device: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        get_backend(name, device)


def test_a_backend_that_is_there_keeps_its_device(two: Any) -> None:
    backend = get_backend("cupy", 1)
    assert get_backend(backend, 1) is get_backend(backend) is backend
    with pytest.raises(SettingsError, match="device 0 cannot be had"):
        get_backend(backend, 0)


def test_the_option_of_the_commands(two: Any) -> None:
    said = gpubp("case-study", "--backend", "cupy", "--device", "2")
    assert (said.code, said.out) == (2, "")
    assert "Error: There is no CUDA device 2: this machine has devices 0 to 1." in said.err
    assert gpubp("case-study", "--backend", "numpy", "--device", "0").code == 2


# --- memory ---


def test_what_cupy_keeps_for_arrays_to_come_is_free() -> None:
    with standin.installed(replace(standin.LITTLE_MEMORY, pooled=4 << 30)):
        assert get_backend("cupy").memory().free == (8 << 20) + (4 << 30)
        assert get_backend("auto").name == "cupy"


# --- what is missing ---

LACKING = {
    "NVRTC": ({"missing_libraries": ("nvrtc",)}, "CuPy lacks NVRTC"),
    "cuBLAS": ({"missing_libraries": ("cublas",)}, "CuPy lacks cuBLAS"),
    "headers": ({"headers": False}, "it lacks CUDA's headers"),
}


@pytest.mark.parametrize(("changes", "words"), LACKING.values(), ids=LACKING)
def test_a_library_that_cupy_lacks_is_named_with_the_remedy(changes: dict[str, Any], words: str) -> None:
    with standin.installed(replace(standin.READY, **changes)):
        with pytest.raises(BackendError, match=rf"{words}.*pip install 'gpubp\[cuda13\]'"):
            get_backend("cupy")
        backend = get_backend("auto")
    assert backend.name == "numpy"
    assert words in backend.reason
    assert "defect" not in backend.reason


@pytest.mark.parametrize("capability", [52, 61, 70])
def test_a_device_that_cuda_13_has_dropped(capability: int) -> None:
    with standin.installed(replace(standin.READY, capability=capability)):
        with pytest.raises(BackendError, match=r"CUDA 13 has dropped this CUDA device.*pip install 'gpubp\[cuda12\]'"):
            get_backend("cupy")
        assert get_backend("auto").reason.startswith("CUDA 13 has dropped this CUDA device")


def test_doctor_tells_why_there_are_no_kernels_and_what_changes_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPY_TF32", "1")
    with standin.installed(replace(standin.READY, cuda_core=False)):
        found = doctor.examine("cupy")
        assert found.healthy
        assert "lane engine = array engine" not in {check.name for check in found.checks}
        said = " ".join(gpubp("doctor", "--backend", "cupy").out.split())
    reason = found.backends[0].kernels_missing
    assert reason is not None
    assert reason.startswith("cuda-core, which compiles")
    assert "no compiled kernels: cuda-core, which compiles" in said
    assert "pip install 'gpubp[cuda13]'" in said
    assert "CUPY_TF32=1" in found.backends[0].bits_settings
    assert "other bits by the array engine: CUPY_TF32=1" in said


# --- settings that change bits ---


def test_settings_that_change_bits_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUPY_ACCELERATORS", "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUPY_TF32", "1")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")  # which asks for what is so anyway
    with standin.installed():
        _, history = trained(CupyBackend(), "array")
    assert history.bits_settings == ("CUPY_TF32=1",)
    assert trained(NumpyBackend(), "array")[1].bits_settings == ()


# --- watchdogs ---


@needs_compiler
@pytest.mark.parametrize("engine", ["lane", "block"])
def test_a_watchdog_is_served_by_short_launches_of_the_same_bits(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(standin.cuda.PROPERTIES, "multiProcessorCount", 1)
    monkeypatch.setitem(standin.cuda.PROPERTIES, "maxThreadsPerMultiProcessor", 64)
    monkeypatch.setattr("gpubp.training.loop.LONGEST_CALL", 1e9)
    launches = []
    for watchdog in (False, True):
        with standin.installed(replace(standin.READY, watchdog=watchdog)) as cupy:
            params, _ = trained(CupyBackend(), engine)
            launches.append((cupy.counters.launches, params))
    (free, expected), (watched, found) = launches
    # the first epoch by itself; one block at a time, for each of three networks
    assert (free, watched) == (1, 2 if engine == "lane" else 6)
    np.testing.assert_array_equal(found, expected)


@needs_compiler
def test_an_epoch_that_is_too_long_for_a_watchdog_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpubp.training.loop.WATCHED_SECONDS", 0.0)
    monkeypatch.setattr("gpubp.backends.notices._said", set())
    with standin.installed(replace(standin.READY, watchdog=True)):
        backend = CupyBackend()
        assert "watchdog" in backend.device()
        with pytest.warns(UserWarning, match="whose watchdog ends launches"):
            trained(backend, "lane")


def test_without_cuda_core_auto_trains_by_arrays_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpubp.backends.notices._said", set())
    with standin.installed(replace(standin.READY, cuda_core=False)):
        with pytest.warns(UserWarning, match=r"slower here, without compiled kernels: cuda-core"):
            _, history = trained(CupyBackend(), "auto", epochs=200)  # so many that a kernel would pay
        with pytest.raises(BackendError, match=r"cuda-core, .*pip install 'gpubp\[cuda13\]'"):
            trained(CupyBackend(), "lane")
    assert history.engine == "array"
    assert history.engine_reason.startswith("cuda-core, which compiles")
