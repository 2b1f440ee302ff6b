"""Where kernels cannot be compiled, what nobody asked for by name is done by arrays, and one warning says so."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import SEEDS, gpubp, only_error

from gpubp.backends import NumpyBackend, host_compiler, kernel_cache, notices
from gpubp.backends.host_compiler import find_compiler, why_not_compile
from gpubp.engines.registry import USUAL_COSTS
from gpubp.errors import BackendError
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.training.history import History
from gpubp.training.loop import train

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")

RANDOM = np.random.default_rng(5)
X, T = RANDOM.normal(size=(400, 7)), np.eye(3)[RANDOM.integers(0, 3, 400)]
LARGE = Architecture(7, (60_000,), 3, "relu", "softmax")  # fused kernels


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was said or given up, and the cache is a new folder: what this process found out is of others."""
    monkeypatch.setattr(notices, "_said", set())
    monkeypatch.setattr(host_compiler, "_given_up", {})
    monkeypatch.setenv("GPUBP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)


Change = Callable[[Path, pytest.MonkeyPatch], None]


def script(path: Path, lines: str) -> str:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return str(path)


def no_folder(place: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("GPUBP_CACHE_DIR", "/proc/1/kernels")


def unknown_user(place: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("GPUBP_CACHE_DIR", "~no-such-user-here/kernels")


def open_folder(place: Path, patch: pytest.MonkeyPatch) -> None:
    (place / "cache").mkdir()
    (place / "cache").chmod(0o777)


def read_only(place: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "access", lambda *_: False)


def full_disk(place: Path, patch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> str:
        raise OSError(28, "No space left on device")

    patch.setattr(kernel_cache.tempfile, "mkdtemp", full)


def nothing_executed(place: Path, patch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> Any:
        raise OSError(f"{path}: failed to map segment from shared object")

    patch.setattr(host_compiler.ctypes, "CDLL", refuse)


def compiler_that_is_none(place: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("CXX", "no-such-compiler-here")


def compiler_without_headers(place: Path, patch: pytest.MonkeyPatch) -> None:
    real = find_compiler()
    assert real is not None
    lines = f'case "$*" in *--version*|*-dM*) exec {real.command[0]} "$@";; esac; echo "no headers" >&2; exit 1'
    patch.setenv("CXX", script(place / "slim++", lines))


def compiler_that_writes_nothing(place: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("CXX", script(place / "silent++", "exit 0"))


def compiler_for_a_few_lines_only(place: Path, patch: pytest.MonkeyPatch) -> None:
    """An old one: it takes the probe, and rejects kernels."""
    real = find_compiler()
    assert real is not None
    lines = f'case "$*" in *-DREAL*) echo "error: no such builtin" >&2; exit 1;; esac; exec {real.command[0]} "$@"'
    patch.setenv("CXX", script(place / "old++", lines))


SURROUNDINGS: list[Change] = [
    no_folder,
    unknown_user,
    open_folder,
    read_only,
    full_disk,
    nothing_executed,
    compiler_that_is_none,
    compiler_without_headers,
    compiler_that_writes_nothing,
    compiler_for_a_few_lines_only,
]


def trained(engine: str = "auto", shape: Architecture | None = None, epochs: int = 3) -> tuple[np.ndarray, History]:
    population = Population.initialize(
        shape or Architecture(7, 5, 3, "tanh", "softmax"), network_seeds(0, 2), NumpyBackend()
    )
    settings = Settings(optimizer="sgd", learning_rate=0.01, epochs=epochs, batch_size=1)
    history = train(population, X[:20], T[:20], settings, engine=engine)
    return population.params, history


@pytest.fixture
def by_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """So short a training would else go by arrays."""
    for engine, costs in USUAL_COSTS.items():
        monkeypatch.setitem(USUAL_COSTS, engine, replace(costs, compiling=0.0))


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("change", SURROUNDINGS)
def test_training_goes_by_arrays_and_says_so_once(
    change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = trained("array")
    change(tmp_path, monkeypatch)
    with pytest.warns(UserWarning, match="without compiled kernels: ") as said:
        found, history = trained()
    assert len(said) == 1
    assert history.engine == "array"
    np.testing.assert_array_equal(found, expected)
    trained()  # a second warning would be an error here
    with pytest.raises(BackendError):
        trained("block")


@pytest.mark.usefixtures("by_kernels")
@pytest.mark.parametrize("change", [no_folder, compiler_without_headers])
def test_everything_else_that_compiles_by_itself(
    change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fused kernels of large networks, predictions of many rows, sweeps: one warning for all of them."""
    import gpubp as package

    change(tmp_path, monkeypatch)
    monkeypatch.setattr("gpubp.engines.block.kernel.PREDICTION_COMPILES", 0.0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        large, _ = trained("array", LARGE, 1)
        population = Population.initialize(Architecture(7, (64, 64), 3), 1, NumpyBackend())
        outputs = population.predict(X, engine="auto")
        estimator = package.MLPClassifier((30,), max_iter=30, tol=0.0, n_iter_no_change=100).fit(X, T.argmax(1))
        sweep = package.sweep(
            X[:90], T[:90].argmax(1), {"hidden": [(4,), (5,)], "epochs": 50, "batch_size": 4}, strategy="grid", cv=2
        )
    words = [str(warning.message) for warning in said]
    assert len([word for word in words if "without compiled kernels: " in word]) == 1, words
    assert np.isfinite(large).all()
    np.testing.assert_array_equal(outputs, population.predict(X, engine="array"))
    assert estimator.predict(X).shape == (400,)
    assert len(sweep.trials) == 2


@pytest.mark.parametrize("strategy", ["grid", "halving"])
def test_a_sweep_whose_kernels_fail_though_the_probe_passes(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gpubp as package

    for engine, seconds in (("lane", 0.0), ("block", -1.0)):
        monkeypatch.setitem(USUAL_COSTS, engine, replace(USUAL_COSTS[engine], compiling=seconds))
    space = {"hidden": [(4,), (5,)], "epochs": 4, "batch_size": 4}
    sweep = functools.partial(package.sweep, X[:60], T[:60, 0], space, strategy=strategy, n_trials=2, cv=2)
    expected = sweep(engine="array")
    compiler_for_a_few_lines_only(tmp_path, monkeypatch)
    with pytest.warns(UserWarning, match="without compiled kernels: ") as said:
        found = sweep()
    assert len(said) == 1
    assert set(found.experiment.engines.chosen.values()) == {"array"}
    assert [trial.score for trial in found.trials] == [trial.score for trial in expected.trials]
    with pytest.raises(BackendError):
        sweep(engine="block")


def test_a_small_training_asks_for_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> None:
        raise AssertionError("a training that goes by arrays anyway needs no answer")

    monkeypatch.setattr(host_compiler, "why_not_compile", asked)
    population = Population.initialize(Architecture(7, 5, 3, "tanh", "softmax"), 1, NumpyBackend())
    assert train(population, X, T, Settings(epochs=1, batch_size=32)).engine == "array"


def test_the_answer_is_kept(tmp_path: Path) -> None:
    """A process asks the compiler a machine's first time only, and the few lines are no kernel of the cache's list."""
    assert why_not_compile() is None
    assert len(list((tmp_path / "cache").glob("*.so"))) == 1
    assert kernel_cache.cache_entries() == []
    host_compiler._why_not_compile.cache_clear()
    assert why_not_compile() is None
    assert len(list((tmp_path / "cache").glob("*.so"))) == 1


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = os.environ | {"GPUBP_CACHE_DIR": "/proc/1/kernels"}
    command = [sys.executable, "-m", "gpubp", "train", str(SEEDS), "--hidden", "5", "--batch-size", "1", "-q"]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        output = ("--epochs", "30", "--output", str(tmp_path / "model.safetensors"))
        return subprocess.run([*command, *output, *more], env=environment, capture_output=True, text=True, check=False)

    found = run()
    assert found.returncode == 0
    assert found.stderr.count("Warning: Training and prediction are slower here, without compiled kernels: ") == 1
    assert ".py" not in found.stderr
    assert "Traceback" not in found.stderr
    refused = run("--engine", "block")
    assert refused.returncode == 2
    only_error(refused.stderr, ("The kernel cache folder /proc/1/kernels cannot be used", "GPUBP_CACHE_DIR"))


def test_doctor_names_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler_without_headers(tmp_path, monkeypatch)
    found = gpubp("doctor", "--backend", "numpy")
    assert found.code == 0  # what is missing is no illness
    assert "slim++" in found.out
    assert "is of no use: The C++ compiler" in " ".join(found.out.split())
    unknown_user(tmp_path, monkeypatch)
    assert "no-such-user-here" in gpubp("doctor", "--backend", "numpy").out


def test_the_backend_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.warns(UserWarning, match="No C.. compiler found") as said:
        reason = NumpyBackend().compiler_missing()
    assert len(said) == 1
    assert reason is not None
    assert "gpubp[compiler]" in reason
