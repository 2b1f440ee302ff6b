"""--scale quantile, --category-encoding, --missing-numbers: train, show, predict, cross-validate, sweep."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import mixed_table, refused, succeeds

QUICK = ("--epochs", 2, "--hidden", 3, "--engine", "array", "--backend", "numpy", "-q")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mixed_table(tmp_path_factory.mktemp("mixed") / "mixed.csv")


def test_normal_scores_from_training_to_prediction(mixed: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    succeeds("train", mixed, "--scale", "quantile", *QUICK, "-o", model)
    shown = succeeds("show", model).out
    assert "scaling: quantile: normal scores" in shown
    assert "score among" in shown
    found = succeeds("show", model, "--json").json["preprocessing"]
    assert found["scaling"] == "quantile"
    assert all(row == sorted(row) for row in found["quantiles"])
    assert len(succeeds("predict", model, mixed, "-q").out.splitlines()) > 20


def test_normal_scores_in_folds_and_sweeps(mixed: Path, tmp_path: Path) -> None:
    succeeds("cross-validate", mixed, "--scale", "quantile", "--folds", 2, *QUICK)
    team = tmp_path / "team"
    succeeds(
        *("sweep", mixed, "--grid", "scale=quantile;robust;standard", "--set", "epochs=2", "--strategy", "grid"),
        *("--folds", 2, "--ensemble", 3, "-o", team, "--engine", "array", "--backend", "numpy", "-q"),
    )
    refused(tmp_path, "train", mixed, "--scale", "quantiles", words=("Did you mean 'quantile'?",))


def test_categories_from_training_to_prediction(mixed: Path, tmp_path: Path) -> None:
    model, config = tmp_path / "model", tmp_path / "train.toml"
    config.write_text('category-encoding = "signed"\n')
    options = ("--target", "group", "--categorical", "height", *QUICK)
    succeeds("train", mixed, *options, "--config", config, "-o", model)
    found = succeeds("show", model, "--json").json
    assert "colour=red" in found["inputs"]
    assert not any("(missing)" in name for name in found["inputs"])
    encodings = [column.get("encoding") for column in found["preprocessing"]["columns"]]
    assert encodings == [None, "signed", "signed", "signed", None]
    succeeds("train", mixed, *options, "--category-encoding", "scaled", "-o", model)
    assert "then scaled" in succeeds("show", model).out
    assert succeeds("predict", model, mixed, "-q").out
    refused(tmp_path, "train", mixed, "--category-encoding", "dummies", words=("Did you mean 'one_hot'?",))


def test_the_best_network_of_a_sweep_is_trained_again_by_the_command_that_it_names(mixed: Path, tmp_path: Path) -> None:
    found = succeeds(
        *("sweep", mixed, "--grid", "category-encoding=scaled", "--set", "epochs=2", "--strategy", "grid", "--json"),
        *("--folds", 2, "--engine", "array", "--backend", "numpy", "-q", "-o", tmp_path / "found"),
    ).json
    assert "--category-encoding scaled" in str(found)


def test_indicators_from_training_to_prediction(mixed: Path, tmp_path: Path) -> None:
    model, team = tmp_path / "model", tmp_path / "team"
    said = succeeds("train", mixed, "--missing-numbers", "indicate", *QUICK[:-1], "-o", model).err
    assert "Inputs of their own say where values are missing: 'height'." in said
    assert "height=(missing)" in succeeds("show", model, "--json").json["inputs"]
    assert "; 0 and 1" in succeeds("show", model).out
    assert succeeds("predict", model, mixed, "-q").out
    succeeds(
        *("sweep", mixed, "--grid", "missing-numbers=median;indicate", "--set", "epochs=2", "--strategy", "grid"),
        *("--folds", 2, "--ensemble", 2, "-o", team, "--engine", "array", "--backend", "numpy", "-q"),
    )
    refused(tmp_path, "train", mixed, "--missing-numbers", "flag", words=("Did you mean 'indicate'?",))
