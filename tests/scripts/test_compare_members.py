"""The comparison of one network, members, and scikit-learn's bagging: that it runs, and what it saves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from script_run import run_here


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(60, 2)).round(6)
    lines = [f"{a},{b},{'left' if a < b else 'right'}" for a, b in numbers]
    (tmp_path / "sides.csv").write_text("\n".join(["a,b,target", *lines]), encoding="utf-8")
    lines = [f"{a},{b},{a + 2 * b + 0.5}" for a, b in numbers]
    (tmp_path / "sums.csv").write_text("\n".join(["a,b,target", *lines]), encoding="utf-8")
    return tmp_path


def test_both_tasks_in_short(folder: Path) -> None:
    done = run_here("compare_members.py", folder, "--quick", "--members", 3, "--json", folder / "found.json")
    assert done.returncode == 0, done.stderr
    for text in ("CPU:", "sides, accuracy", "sums, R²", "× as fast", "3 members."):
        assert text in done.stdout
    sides, sums = json.loads((folder / "found.json").read_text(encoding="utf-8"))["tables"]
    assert (sides["table"], sums["table"]) == ("sides", "sums")
    for outcome in (sides, sums):
        assert [*outcome["scores"]] == ["one network", "members", "bagged", "scikit-learn, bagged"]
        assert all(len(scores) == 2 for scores in outcome["scores"].values())
        assert all(seconds > 0 for seconds in outcome["seconds"].values())
    assert all(0.0 <= score <= 1.0 for scores in sides["scores"].values() for score in scores)


def test_a_table_that_is_not_there(folder: Path) -> None:
    done = run_here("compare_members.py", folder, "--tables", "sonar")
    assert (done.returncode, done.stdout) == (2, "")
    assert "There is no sonar.csv in" in done.stderr
    assert "it has sides, sums." in done.stderr


def test_a_table_that_cannot_be_read(folder: Path) -> None:
    (folder / "empty.csv").write_text("", encoding="utf-8")
    done = run_here("compare_members.py", folder, "--tables", "empty", "--quick")
    assert done.returncode == 2
    assert "Error: empty: " in done.stderr
    assert "Traceback" not in done.stderr
