"""scripts/make_portfolio.py: what it trains, and that it chooses what is best together."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from script_run import SCRIPTS
from typer.testing import CliRunner

from gpubp.search.space.parameters import recipe_of

SPEC = importlib.util.spec_from_file_location("make_portfolio", SCRIPTS / "make_portfolio.py")
assert SPEC is not None
assert SPEC.loader is not None
script: Any = importlib.util.module_from_spec(SPEC)
sys.modules["make_portfolio"] = script  # where dataclasses look for their module
SPEC.loader.exec_module(script)
RNG = np.random.default_rng(0)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    x, y = RNG.normal(size=(2, 60))
    for name, target in (("kinds", np.where(x > 0, "a", "b")), ("values", x * 2 + y)):
        rows = "".join(f"{a},{b},{t}\n" for a, b, t in zip(x, y, target, strict=True))
        (tmp_path / f"{name}.csv").write_text(f"x,y,target\n{rows}")
    listed = [{"name": "kinds", "task": "classification"}, {"name": "values", "task": "regression"}]
    (tmp_path / "tables.json").write_text(json.dumps(listed))
    return tmp_path


def test_it_trains_chooses_and_writes(tables: Path) -> None:
    results, output = tables / "results", tables / "portfolio.json"
    runner = CliRunner()
    trained = runner.invoke(
        script.app, ["train", str(tables), str(results), "--trials", "2", "--splits", "1", "--engine", "array"]
    )
    assert trained.exit_code == 0, trained.output
    again = runner.invoke(script.app, ["train", str(tables), str(results), "--trials", "2", "--splits", "1"])
    assert "npz" not in again.output, "what is there is not trained again"
    chosen = runner.invoke(
        script.app, ["choose", str(results), "--most", "2", "--fast", "2", "--output", str(output), "--leave-out"]
    )
    assert chosen.exit_code == 0, chosen.output
    assert "classification: --leave-out needs a second table." in chosen.output
    written = json.loads(output.read_text())
    assert {(task, name): len(each) for task, found in written.items() for name, each in found.items()} == {
        (task, name): 2 for task in ("classification", "regression") for name in ("fast", "good")
    }
    for found in written.values():
        for each in (*found["fast"], *found["good"]):
            recipe_of({name: tuple(value) if isinstance(value, list) else value for name, value in each.items()})


def run(outputs: Any, tests: Any, truth: Any, test_truth: Any, cpu: Any = (1.0, 1.0, 1.0)) -> Any:
    arrays = [np.array(each, dtype=float)[:, :, None] for each in (outputs, tests)]
    return script.Run("t", "regression", *arrays, np.array(cpu), np.array(truth), np.array(test_truth))


def test_a_team_is_chosen_by_rows_that_were_not_seen_and_valued_by_the_test_rows() -> None:
    mine = run([[1, 3], [3, 1], [9, 9]], [[5, 5], [7.5, 7.5], [0, 0]], [2, 2], [6, 6])
    assert sorted(mine.team([0, 1, 2])[:2]) == [0, 1], "the errors of the two even out"
    assert mine.loss([0]) == pytest.approx(0.0), "the logarithm of an RMSE of 1"
    assert mine.loss([0, 1]) < mine.loss([0])


def test_portfolios_are_tried_on_tables_that_had_no_say(capsys: pytest.CaptureFixture[str]) -> None:
    one = run([[1, 3], [3, 1], [9, 9]], [[5, 5], [7.5, 7.5], [0, 0]], [2, 2], [6, 6])
    other = dataclasses.replace(one, table="u")
    script.tell_of_other_tables("regression", [one, other], 2, 0.0)
    assert f"2 configurations, tables left out: {one.loss([0, 1]):.4f}" in capsys.readouterr().out


def test_a_network_that_was_lost_is_in_no_team() -> None:
    mine = run([[np.nan, 1], [3, 1], [9, 9]], [[np.nan, 5], [7, 7], [0, 0]], [2, 2], [6, 6])
    assert 0 not in mine.team([0, 1, 2])
    assert mine.team([0]) == []
    assert mine.loss([0]) == script.WORST


def test_of_equals_the_cheaper_one_is_chosen() -> None:
    mine = run([[1, 3], [1, 3], [9, 9]], [[6, 6.5], [6, 6.5], [0, 0]], [2, 2], [6, 6], cpu=(5.0, 1.0, 1.0))
    assert script.portfolio_of([mine], 1, 0.01) == [1]
