"""The state of this machine as gpubp sees it, and a small self-test, as data. `gpubp doctor` prints it.

The self-test trains, on every usable backend, the tutorial's network (its final weights are known) and a population
of four networks, whose weights are compared with those of four separate trainings, with the lane engine's (where its
kernels can be compiled), and with NumPy's.
"""

from __future__ import annotations

import platform
import shlex
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from gpubp.backends import Backend, get_backend
from gpubp.backends.host_compiler import find_compiler, why_not_compile
from gpubp.backends.kernel_cache import cache_folder
from gpubp.errors import BackendError, DataError, GpubpError
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.storage.datasets import data_folder
from gpubp.training.loop import train
from gpubp.tutorial import initialize_network, train_network

PACKAGES = ("numpy", "scipy", "polars", "scikit-learn", "safetensors", "typer", "rich")
CUPY_PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "cupy")

TOY_ROWS = (
    (2.7810836, 2.550537003, 0),
    (1.465489372, 2.362125076, 0),
    (3.396561688, 4.400293529, 0),
    (1.38807019, 1.850220317, 0),
    (3.06407232, 3.005305973, 0),
    (7.627531214, 2.759262235, 1),
    (5.332441248, 2.088626775, 1),
    (6.922596716, 1.77106367, 1),
    (8.675418651, -0.242068655, 1),
    (7.673756466, 3.508563011, 1),
)
TOY_WEIGHTS = (  # the tutorial's, after 20 epochs at rate 0.5: neuron by neuron, the bias last
    (-1.4688375095432327, 1.850887325439514, 1.0858178629550297),
    (0.37711098142462157, -0.0625909894552989, 0.2765123702642716),
    (2.515394649397849, -0.3391927502445985, -0.9671565426390275),
    (-2.5584149848484263, 1.0036422106209202, 0.42383086467582715),
)
TUTORIAL_TOLERANCE = 1e-12
POPULATION_TOLERANCE = 1e-9
"""Largest difference of a weight, in float64, after 60 updates."""

LAYERED = Architecture(3, (8, 8), 2, "tanh", "softmax")


@dataclass(frozen=True)
class BackendState:
    """free_memory, total_memory: bytes; 0 where the backend is not usable."""

    name: str
    usable: bool
    reason: str  # why it is not usable; the device in words where it is
    free_memory: int = 0
    total_memory: int = 0
    kernels_missing: str | None = None  # why none can be compiled; None if they can, or where that is told elsewhere
    bits_settings: tuple[str, ...] = ()  # NAME=VALUE in the environment that changes the array engine's bits


@dataclass(frozen=True)
class Check:
    """difference: the largest one found (None where the check failed before there was one)."""

    name: str
    backend: str
    passed: bool
    difference: float | None
    tolerance: float
    seconds: float
    message: str = ""


@dataclass(frozen=True)
class Diagnosis:
    versions: dict[str, str]
    platform: str
    backends: tuple[BackendState, ...]
    compiler: str | None  # of C++ for CPU kernels; None where there is none that works
    compiler_message: str
    cache_folder: str
    data_folder: str | None
    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether every check of the self-test passed. A backend that is not there is no illness."""
        return self.data_folder is not None and all(check.passed for check in self.checks)


def examine(only: str | None = None, device: int | None = None) -> Diagnosis:
    """Look around and run the self-test on every usable backend, or on `only` ("numpy" or "cupy").

    device: the CUDA device's number. Raises BackendError where `only` is not usable, SettingsError for a device that
    is not there.
    """
    usable, states = _backends(only, device)
    compiler, compiler_message = _compiler()
    return Diagnosis(
        versions=versions(),
        platform=f"{platform.system()} {platform.release()}, {platform.machine()}",
        backends=states,
        compiler=compiler,
        compiler_message=compiler_message,
        cache_folder=_cache_folder(),
        data_folder=_data_folder(),
        checks=tuple(self_test(usable, compiler)),
    )


def versions() -> dict[str, str]:
    """Of gpubp, Python, and the packages it uses; those that are missing are left out."""
    from gpubp._version import __version__

    found = {"gpubp": __version__, "python": platform.python_version()}
    for package in (*PACKAGES, *CUPY_PACKAGES):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _backends(only: str | None, device: int | None) -> tuple[list[Backend], tuple[BackendState, ...]]:
    usable, states = [], []
    every = (("numpy", None), ("cupy", device))  # the CPU's has no number
    for name, number in every if only in (None, "auto") else ((only, device),):
        try:
            backend = get_backend(name, number)
        except BackendError as error:
            if only == name:
                raise
            states.append(BackendState(str(name), False, str(error)))
            continue
        memory = backend.memory()
        usable.append(backend)
        about = backend.name, True, backend.device(), memory.free, memory.total
        states.append(BackendState(*about, _kernels_missing(backend), backend.bits_settings()))
    return usable, tuple(states)


def _kernels_missing(backend: Backend) -> str | None:
    """On CUDA; the compiler for a CPU has a line of its own."""
    if backend.on_host:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the reason is in the report
        return backend.compiler_missing()


def _compiler() -> tuple[str | None, str]:
    try:
        compiler = find_compiler()
    except BackendError as error:
        return None, str(error)
    if compiler is None:
        return None, (
            "none found ($CXX, c++, g++, clang++, ziglang): CPU training uses the array engine. "
            "`pip install 'gpubp[compiler]'` brings one"
        )
    why_not = why_not_compile()
    if why_not is not None:
        return None, f"{shlex.join(compiler.command)} ({compiler.version}) is of no use: {why_not}"
    return shlex.join(compiler.command), compiler.version


def _cache_folder() -> str:
    try:
        return str(cache_folder())
    except BackendError as error:
        return str(error)


def _data_folder() -> str | None:
    try:
        return str(data_folder())
    except DataError:
        return None


def self_test(backends: list[Backend], compiler: str | None = None) -> list[Check]:
    """Every check on every backend; the first backend is the yardstick of the others.

    compiler: that of C++, which the lane engine needs on NumPy; CuPy brings its own.
    """
    checks = []
    for backend in backends:
        checks.append(_check("the tutorial's network: the known weights", backend, TUTORIAL_TOLERANCE, _tutorial))
        checks.append(_check("4 networks at once = one by one", backend, POPULATION_TOLERANCE, _alone))
        if compiler if backend.on_host else backend.compiler_missing() is None:
            checks.append(_check("lane engine = array engine", backend, POPULATION_TOLERANCE, _lane))
    for backend in backends[1:]:
        name = f"4 networks as on {backends[0].name}"
        checks.append(_check(name, backend, POPULATION_TOLERANCE, lambda one: _as_on(backends[0], one)))
        if compiler and backend.compiler_missing() is None:
            name = f"lane engine: the same bits as on {backends[0].name}"
            checks.append(_check(name, backend, 0.0, lambda one: _same_bits(backends[0], one)))
    return checks


def _check(name: str, backend: Backend, tolerance: float, measure: Callable[[Backend], float]) -> Check:
    """A check that fails says so; it never ends the examination of the others."""
    started = time.perf_counter()
    try:
        difference = measure(backend)
    except Exception as error:  # whatever is wrong with this machine is what is looked for
        message = str(error) if isinstance(error, GpubpError) else f"{type(error).__name__}: {error}"
        return Check(name, backend.name, False, None, tolerance, time.perf_counter() - started, message)
    passed = difference <= tolerance  # False for NaN
    return Check(name, backend.name, passed, difference, tolerance, time.perf_counter() - started)


def _tutorial(backend: Backend) -> float:
    network = initialize_network(2, 2, 2, seed=1, backend=backend)
    train_network(network, TOY_ROWS, 0.5, 20, 2)
    found = [[*neuron["weights"], neuron["bias"]] for layer in network.neurons() for neuron in layer]
    return _distance(np.array(found), np.array(TOY_WEIGHTS))


def _alone(backend: Backend) -> float:
    singly = [_trained(backend, seed[None])[0] for seed in network_seeds(0, 4)]
    return _distance(_trained(backend, network_seeds(0, 4)), np.array(singly))


def _lane(backend: Backend) -> float:
    """Of a network that is small enough for the registers of a CUDA thread, in float64 too."""
    seeds, small = network_seeds(0, 4), Architecture(3, 3, 2, "tanh", "softmax")
    by_lane, by_array = (_trained(backend, seeds, small, "sgd", engine) for engine in ("lane", "array"))
    return _distance(by_lane, by_array)


def _same_bits(first: Backend, backend: Backend) -> float:
    """0, or an error that names the first number in which the trainings differ."""
    seeds, small = network_seeds(0, 4), Architecture(3, 3, 2, "tanh", "softmax")
    for optimizer in ("sgd", "momentum", "rmsprop"):
        expected, found = (_trained(one, seeds, small, optimizer, "lane", "float32") for one in (first, backend))
        if not np.array_equal(expected, found):
            p, k = np.argwhere(expected != found)[0]
            raise BackendError(
                f"{optimizer}, network {p}, parameter {k}: {found[p, k]!r}, on {first.name} {expected[p, k]!r}"
            )
    return 0.0


def _as_on(first: Backend, backend: Backend) -> float:
    return _distance(_trained(backend, network_seeds(0, 4)), _trained(first, network_seeds(0, 4)))


def _trained(
    backend: Backend,
    seeds: np.ndarray,
    architecture: Architecture = LAYERED,
    optimizer: str = "adam",
    engine: str = "array",
    dtype: str = "float64",
) -> np.ndarray:
    """(P, K): weights after 10 epochs of 6 batches, on made-up rows."""
    population = Population.initialize(architecture, seeds, backend, dtype=dtype)
    angle = np.linspace(0.0, 6.0, 90)
    X = np.stack([np.sin(angle), np.cos(angle), angle - 3.0], axis=1)
    T = np.eye(2)[(np.sin(3.0 * angle) > 0).astype(np.int64)]
    train(population, X, T, Settings(optimizer=optimizer, batch_size=16, epochs=10, learning_rate=0.01), engine=engine)
    return population.state()["params"]


def _distance(found: Any, expected: Any) -> float:
    return float(np.abs(found - expected).max())
