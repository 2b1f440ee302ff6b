"""A target of more than 1,000 classes: trained, measured and reported, without matrices of almost only zeros."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import refused, succeeds, write

from gpubp.models.metrics import classification_report
from gpubp.models.model import Model
from gpubp.reporting import load

CLASSES = 1100
QUICK = ("--engine", "array", "--backend", "numpy")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [f"{row % CLASSES},{row % 7},species {row % CLASSES}" for row in range(2 * CLASSES)]
    return write(tmp_path_factory.mktemp("many") / "t.csv", "\n".join(["x,z,species", *lines]) + "\n")


def test_training_and_evaluation(table: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    arguments = ("--hidden", 4, "--epochs", 1, "--batch-size", 256, *QUICK, "--json")
    trained = succeeds("train", table, "--validation", 0.5, *arguments, "-o", path).json
    assert len(trained["labels"]) == Model.load(path).target.outputs == CLASSES
    found = succeeds("evaluate", path, table, "--json").json
    assert found["confusion_matrix"] is None
    assert sum(rows for _, _, rows in found["confusions"]) == found["rows"] == 2 * CLASSES
    right = sum(rows for true, predicted, rows in found["confusions"] if true == predicted)
    assert right / found["rows"] == pytest.approx(found["accuracy"])
    text = succeeds("evaluate", path, table).out
    assert len([line for line in text.splitlines() if "species" in line]) <= 16
    assert "confusions" not in succeeds("show", path).out


def test_a_sweep_and_its_report(table: Path, tmp_path: Path) -> None:
    settings = ("--set", "epochs=1", "--set", "hidden=4", "--set", "batch-size=512")
    arguments = ("--trials", 1, "--folds", 2, "--ensemble", 0, *settings, *QUICK)
    succeeds("sweep", table, *arguments, "-o", tmp_path, "--report")
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
    classes = load(tmp_path).classes
    assert classes is not None
    assert sum(classes.confusions.values()) == classes.rows == 2 * CLASSES


def test_the_pairs_are_those_of_the_matrix() -> None:
    rng = np.random.default_rng(0)
    truth, probabilities = rng.integers(0, 1001, 3000), rng.uniform(size=(3000, 1001))
    found = classification_report(truth, probabilities, [str(i) for i in range(1001)])
    matrix = np.zeros((1001, 1001), dtype=int)
    np.add.at(matrix, (truth, probabilities.argmax(axis=1)), 1)
    assert found["confusions"] == [[i, j, matrix[i, j]] for i, j in np.argwhere(matrix).tolist()]


def test_a_class_for_each_row_is_refused_as_a_target(tmp_path: Path) -> None:
    lines = [f"{row},{row % 7},person {row % 150}" for row in range(200)]
    table = write(tmp_path / "t.csv", "\n".join(["x,z,name", *lines]) + "\n")
    words = ("the target column 'name' has 150 different values on 200 rows", "Is it the right column?", "--target")
    for command in (("train", table, "-o", tmp_path / "m"), ("cross-validate", table), ("sweep", table)):
        assert "leave the column out" not in refused(tmp_path, *command, words=words)
