"""`gpubp.doctor` and the command that prints it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import standin
from command_line import gpubp, succeeds

from gpubp import doctor
from gpubp.backends import NumpyBackend
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.errors import BackendError


@pytest.fixture
def no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: CupyBackend, reason: str = "", device: int | None = None) -> None:
        raise BackendError("CuPy is not installed. Install it.")

    monkeypatch.setattr(CupyBackend, "__init__", refuse)


@pytest.mark.usefixtures("no_cupy")
def test_a_machine_without_a_gpu_is_healthy() -> None:
    found = doctor.examine()
    assert found.healthy
    assert [(state.name, state.usable) for state in found.backends] == [("numpy", True), ("cupy", False)]
    assert found.backends[1].reason == "CuPy is not installed. Install it."
    assert found.backends[0].total_memory > found.backends[0].free_memory > 0
    assert {check.backend for check in found.checks} == {"numpy"}
    assert {"gpubp", "python", "numpy", "polars", "scikit-learn"} <= set(found.versions)
    with pytest.raises(BackendError, match="not installed"):
        doctor.examine("cupy")


def test_every_usable_backend_is_compared_with_the_first() -> None:
    with standin.installed():
        found = doctor.examine()
    assert found.healthy
    assert all(state.usable for state in found.backends)
    names = [check.name for check in found.checks if check.backend == "cupy"]
    assert len(names) == 5
    assert "4 networks as on numpy" in names
    assert all(check.difference is not None and check.difference <= check.tolerance for check in found.checks)


def test_wrong_arithmetic_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = doctor._trained
    monkeypatch.setattr(doctor, "_trained", lambda backend, seeds: trained(backend, seeds) + 1e-6 * len(seeds))
    found = doctor.self_test([NumpyBackend()])
    assert [check.passed for check in found] == [True, False]
    assert found[1].difference == pytest.approx(3e-6)


def test_a_number_that_is_none_fails() -> None:
    assert not doctor._check("x", NumpyBackend(), 1.0, lambda backend: float("nan")).passed


def test_a_check_that_breaks_is_a_failed_check_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr(doctor, "train_network", broken)
    outcome = gpubp("doctor", "--backend", "numpy")
    assert outcome.code == 1
    assert "FAILED" in outcome.out
    assert "the known weights, numpy: RuntimeError: illegal instruction" in outcome.out
    assert "Something is wrong" in outcome.out
    found = gpubp("doctor", "--backend", "numpy", "--json")
    assert found.code == 1
    assert json.loads(found.out)["healthy"] is False
    assert [check["passed"] for check in json.loads(found.out)["checks"]][:2] == [False, True]


def test_doctor_prints_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUBP_CACHE_DIR", str(tmp_path))
    text = succeeds("doctor").out
    for words in ("numpy", "backend cupy", "C++ compiler", "cache folder", "data folder", "tolerance", "All is well."):
        assert words in text
    found = succeeds("doctor", "--json", "-q")
    assert found.err == ""
    assert found.json["healthy"]
    assert found.json["cache_folder"] == str(tmp_path)
    assert {"versions", "platform", "backends", "compiler", "data_folder", "checks"} <= set(found.json)


@pytest.mark.usefixtures("no_cupy")
def test_asking_for_a_backend_that_is_missing() -> None:
    outcome = gpubp("doctor", "--backend", "cupy")
    assert (outcome.code, outcome.out) == (2, "")
    assert "Error: CuPy is not installed." in outcome.err
    assert "not usable: CuPy is not installed." in succeeds("doctor").out


def test_no_compiler_and_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_compiler", lambda: None)
    assert "none found" in succeeds("doctor", "--backend", "numpy").out

    def wrong() -> None:
        raise BackendError("The environment variable CXX names nothing.")

    monkeypatch.setattr(doctor, "find_compiler", wrong)
    assert "CXX names nothing" in succeeds("doctor", "--backend", "numpy").out


def test_missing_data_is_an_illness(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gpubp.storage.datasets.__file__", str(tmp_path / "gpubp" / "storage" / "datasets.py"))
    outcome = gpubp("doctor", "--backend", "numpy")
    assert outcome.code == 1
    assert "wheat-seeds.csv is missing" in outcome.out
