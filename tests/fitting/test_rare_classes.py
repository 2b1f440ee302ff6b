"""Tables in which some class has one row: every command goes on, and says what follows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import numbers_table, succeeds

from gpubp import Model, read_table
from gpubp.backends import NumpyBackend
from gpubp.models.ensemble import Ensemble

QUICK = ("--engine", "array", "--backend", "numpy")
BRIEF = ("--epochs", 2, *QUICK)
FOLDS = "Class 'odd' has only 1 row, fewer than the 5 folds"
STOPPING = "the rows that early stopping looks at have none of class 'odd'"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = numbers_table(tmp_path_factory.mktemp("rare") / "t.csv")
    path.write_text(path.read_text() + "9.5,9.5,odd\n")
    return path


def test_cross_validation_says_which_folds_lack_the_class(table: Path) -> None:
    outcome = succeeds("cross-validate", table, "--early-stopping", *BRIEF, "--json")
    assert FOLDS in outcome.err
    found = outcome.json
    assert all(any(words in note for note in found["notes"]) for words in (FOLDS, STOPPING))
    assert [len(scores["confusion_matrix"]) for scores in found["fold_scores"]] == [3] * 5
    tested = [sum(scores["confusion_matrix"][2]) for scores in found["fold_scores"]]
    assert sorted(tested) == [0, 0, 0, 0, 1]
    for scores in (*found["fold_scores"], *found["baseline_scores"]):
        assert all(np.isfinite(scores[name]) for name in ("accuracy", "log_loss", "macro_f1"))


@pytest.mark.parametrize("metric", ["accuracy", "loss", "f1_macro"])
def test_a_sweep_goes_on(table: Path, tmp_path: Path, metric: str) -> None:
    arguments = ("--trials", 2, "--metric", metric, "--set", "epochs=2", "--set", "early-stopping=true", *QUICK)
    outcome = succeeds("sweep", table, *arguments, "-o", tmp_path / "runs", "--report", "--json")
    assert FOLDS in outcome.err
    assert all(any(words in note for note in outcome.json["notes"]) for words in (FOLDS, STOPPING))
    assert np.isfinite(outcome.json["best"]["score"])
    assert "odd" in (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")
    answers = Ensemble.load(tmp_path / "runs" / "ensemble.safetensors").predict_proba(read_table(table), NumpyBackend())
    assert answers.shape == (41, 3)


@pytest.mark.parametrize("members", [(), ("--members", 2)])
def test_a_validation_that_lacks_the_class_says_so(table: Path, tmp_path: Path, members: tuple) -> None:
    path = tmp_path / "m.safetensors"
    outcome = succeeds("train", table, "--validation", 0.2, *members, *BRIEF, "-o", path, "--json")
    note = "The 8 validation rows have none of class 'odd', and say nothing of it."
    assert note in outcome.json["notes"]
    assert note in outcome.err
    assert outcome.json["validation"]["labels"] == ["a", "b", "odd"]


def test_a_class_that_was_not_trained_on_has_an_output_in_onnx(table: Path, tmp_path: Path) -> None:
    """Of 41 rows, 38 are held back, and the lone one with them or not: the network has three outputs all the same."""
    pytest.importorskip("onnx")
    succeeds("train", table, "--validation", 0.93, *BRIEF, "-o", tmp_path / "m.safetensors")
    model = Model.load(tmp_path / "m.safetensors")
    assert model.target.labels == ("a", "b", "odd")
    assert model.to_onnx().graph.node
