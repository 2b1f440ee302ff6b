"""`gpubp explain`, `gpubp cache`, and the option --engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import refused, succeeds

from gpubp.backends import NumpyBackend
from gpubp.backends.host_compiler import find_compiler

SEEDS = Path(__file__).parents[2] / "data" / "seeds_dataset.txt"
ONLINE = ("--hidden", "5", "--batch-size", "1", "--epochs", "500")
needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")


@needs_compiler
def test_explain_says_which_engine_and_why() -> None:
    found = succeeds("explain", SEEDS, *ONLINE, "--json").json
    assert found["engine"] == "block"
    assert found["estimated_seconds"]["block"] < found["estimated_seconds"]["array"]
    shown = succeeds("explain", SEEDS, *ONLINE).out
    assert "block" in shown
    assert found["reason"] in " ".join(shown.split())


def test_explain_a_short_training_and_a_large_network() -> None:
    assert succeeds("explain", SEEDS, "--epochs", "1", "--json").json["engine"] == "array"
    large = succeeds("explain", SEEDS, "--hidden", "1024,1024", "--json").json
    assert large["engine"] == "block"
    assert "too large" in large["reason"]


def test_explain_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NumpyBackend, "compiler_missing", lambda self: "no C++ compiler was found")
    found = succeeds("explain", SEEDS, *ONLINE, "--json").json
    assert (found["engine"], found["reason"]) == ("array", "no C++ compiler was found")


@needs_compiler
@pytest.mark.parametrize("engine", ["lane", "array"])
def test_the_engine_that_is_asked_for(engine: str, tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    found = succeeds("train", SEEDS, "--hidden", "5", "--epochs", "3", "--engine", engine, "--output", output, "--json")
    assert found.json["engine"] == engine
    assert succeeds("show", output, "--json").json["training"]["engine"] == engine
    folds = succeeds("cross-validate", SEEDS, "--hidden", "5", "--epochs", "3", "--engine", engine, "--json").json
    assert folds["engine"] == engine


def test_engines_that_cannot_be(tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    refused(tmp_path, "train", SEEDS, "--engine", "warp", "--output", output, words="auto, lane, block, array")
    large = ("--hidden", "4000,400", "--engine", "lane")
    refused(tmp_path, "train", SEEDS, *large, "--output", output, words="The engine lane cannot be used")


@needs_compiler
def test_cache_shows_and_clears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "kernels"
    monkeypatch.setenv("GPUBP_CACHE_DIR", str(folder))
    assert succeeds("cache", "--json").json == {"folder": str(folder), "kernels": []}
    model = tmp_path / "model.safetensors"
    succeeds("train", SEEDS, "--hidden", "5", "--epochs", "1", "--engine", "lane", "--output", model)
    found = succeeds("cache", "--json").json
    assert [kernel["shape"] for kernel in found["kernels"]] == ["7-5-3"]
    assert found["kernels"][0]["bytes"] > 0
    shown = succeeds("cache").out
    assert "7-5-3" in shown
    assert str(folder) in shown.replace("\n", "")
    assert succeeds("cache", "--clear", "--json").json["removed_files"] >= 2
    assert succeeds("cache", "--json").json["kernels"] == []
    assert "Removed 0 files" in succeeds("cache", "--clear").out
