"""What the ends of commands say of how good a network is, and of what they do not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import DATA, numbers_table, succeeds

from gpubp.storage.datasets import table_path

QUICK = ("--epochs", 2, "--engine", "array")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return numbers_table(tmp_path / "my table.csv")


@pytest.mark.parametrize("members", [(), ("--members", 2)])
def test_training_without_validation_says_what_would_tell(members: tuple[object, ...], table: Path) -> None:
    output = ("-o", table.with_name("m"))
    blind = succeeds("train", table, "--target", "kind", *QUICK, *members, *output).out
    assert "training loss does not tell" in blind
    assert "--validation 0.2" in blind
    assert f"gpubp cross-validate '{table}' --target kind" in " ".join(blind.split())
    for tested in (("--validation", 0.3), ("--early-stopping",)):
        assert "does not tell" not in succeeds("train", table, *QUICK, *members, *tested, *output).out


@pytest.mark.parametrize("trials", [1, 2])
def test_the_best_of_many_is_partly_lucky(trials: int, table: Path) -> None:
    page = succeeds("sweep", table, "--trials", trials, "--folds", 2, "--set", "epochs=1", "--engine", "array").out
    assert ("luckiest" in page) == (trials > 1)
    assert ("The best of 2 trials is partly the luckiest of them" in " ".join(page.split())) == (trials == 2)


def test_the_wheat_seeds_have_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path(table_path("wheat-seeds")).samefile(DATA / "wheat-seeds.csv")
    assert table_path("seeds.csv") == "seeds.csv"
    outcome = succeeds("train", "wheat-seeds", *QUICK, "-o", "m", "--json")
    assert outcome.json["training_rows"] == 210
    assert succeeds("predict", "m", "wheat-seeds", "--json").json["rows"] == 210
    (tmp_path / "wheat-seeds").write_text("a file of this name comes first")
    assert table_path("wheat-seeds") == "wheat-seeds"
