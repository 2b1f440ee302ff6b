"""The comparison of small calls with scikit-learn's: that it runs, and that it judges."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from script_run import run_here

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    import compare_small_calls

    return compare_small_calls


def test_rows_in_short(tmp_path: Path) -> None:
    saved = tmp_path / "small_calls.json"
    done = run_here("compare_small_calls.py", "--quick", "--only", "of 1:", "--only", "(100,)", "--json", str(saved))
    assert done.returncode == 0, done.stderr
    names = [row["row"] for row in json.loads(saved.read_text(encoding="utf-8"))["rows"]]
    assert "partial_fit of 1: classifier (100,), adam" in names
    assert "predict of 1: regressor (100,), float32" in names
    assert "Model.predict of 1: a scaler and (100,)" in names
    assert [word for word in ("CPU:", *names, "Ratios: median") if word not in done.stdout] == []


def test_no_such_row() -> None:
    done = run_here("compare_small_calls.py", "--only", "fastest")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No row has 'fastest' in its name, such as 'partial_fit of 1: classifier (50,), sgd'" in done.stderr


@pytest.mark.parametrize(
    ("ours", "theirs", "slower"),
    [
        ([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], False),
        ([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], True),
        ([0.9, 2.0, 2.0], [1.0, 1.0, 1.0], False),  # the best round is quicker
        ([1.1, 1.1, 1.1], [1.0, 3.0, 3.0], False),  # the median round is quicker
    ],
)
def test_verdicts(script: ModuleType, ours: list[float], theirs: list[float], slower: bool) -> None:
    assert script.Outcome("row", (ours, theirs)).is_slower is slower


def test_every_round_is_timed(script: ModuleType) -> None:
    calls = [0, 0]

    def count(who: int) -> None:
        calls[who] += 1

    outcome = script.measure(script.Row("row", lambda: (lambda: count(0), lambda: count(1))), rounds=3, least=0.0)
    assert [len(times) for times in outcome.seconds] == [3, 3]
    assert min(calls) >= 3


def test_a_wrong_answer_is_not_timed(script: ModuleType) -> None:
    script.require_same(np.zeros(3), np.full(3, 1e-9))
    for wrong in (np.full(3, 1e-3), np.full(3, np.nan)):
        with pytest.raises(script.WrongAnswer, match="apart"):
            script.require_same(np.zeros(3), wrong)
