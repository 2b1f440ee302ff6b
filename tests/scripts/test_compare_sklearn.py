"""The comparison with scikit-learn: that it runs, and that it judges."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from script_run import run_here

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    import compare_sklearn

    return compare_sklearn


def test_help() -> None:
    done = run_here("compare_sklearn.py", "--help")
    assert done.returncode == 0
    assert [word for word in ("--rows", "--seeds", "--engine", "--json") if word not in done.stdout] == []


def test_a_row_in_short(tmp_path: Path) -> None:
    saved = tmp_path / "comparison.json"
    done = run_here(
        "compare_sklearn.py", "--quick", "--rows", "iris:lbfgs", "--rows", "diabetes:adam", "--json", str(saved)
    )
    assert done.returncode == 0, done.stderr
    for text in ("CPU:", "iris:lbfgs", "diabetes:adam", "× as fast", "Median of the ratios"):
        assert text in done.stdout
    first, second = json.loads(saved.read_text(encoding="utf-8"))["rows"]
    assert (first["row"], second["row"]) == ("iris:lbfgs", "diabetes:adam")
    assert [len(scores) for scores in first["scores"]] == [2, 2]
    assert all(score > 0.8 for scores in first["scores"] for score in scores)
    assert first["ratio"] == pytest.approx(first["seconds"][1] / first["seconds"][0])


def test_an_unknown_row() -> None:
    done = run_here("compare_sklearn.py", "--rows", "iris:fastest")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Unknown row 'iris:fastest': choose from iris:adam" in done.stderr


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ([0.90, 0.92], [0.91, 0.92], "within noise"),
        ([0.80, 0.80], [0.90, 0.90], "worse"),
        ([0.95, 0.95], [0.90, 0.90], "better"),
        ([0.90, 0.90], [0.905, 0.905], "within noise"),  # half a row of the data
        ([0.72, 0.92], [0.95, 0.95], "within noise"),
    ],
)
def test_verdicts(script: ModuleType, ours: list[float], theirs: list[float], verdict: str) -> None:
    assert script.Outcome("row", (ours, theirs), (1.0, 1.0), 0.01).verdict == verdict


def test_complaints(script: ModuleType) -> None:
    def outcome(row: str, ours: float, seconds: tuple[float, float]) -> Any:
        return script.Outcome(row, ([ours, ours], [0.9, 0.9]), seconds, 0.01)

    fast, slow, bad = outcome("a", 0.9, (1.0, 9.0)), outcome("b", 0.9, (2.0, 1.0)), outcome("c", 0.5, (1.0, 9.0))
    assert script.complaints([fast]) == []
    assert script.complaints([fast, fast, slow]) == ["Slower than scikit-learn: b."]
    assert script.complaints([fast, bad]) == ["Scores worse than scikit-learn's: c."]
    assert script.complaints([slow])[1] == "The median of the ratios, 0.50, is under 3."


def test_a_wrong_answer_is_not_timed(script: ModuleType) -> None:
    class Wrong(script.MLPRegressor):  # type: ignore[misc, name-defined]
        def predict(self, X: Any) -> Any:
            return super().predict(X) + 1e-3

    X = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(script.WrongAnswer, match=r"apart"):
        script.check(Wrong(hidden_layer_sizes=(2,), max_iter=2), X, X[:, 0])
    script.check(script.MLPRegressor(hidden_layer_sizes=(2,), max_iter=2), X, X[:, 0])
