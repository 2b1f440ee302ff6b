"""Ensembles trained on a table: by `train_ensemble`, and by `gpubp train --members`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import SEEDS, gpubp, mixed_table, numbers_table, refused, succeeds, write

from gpubp import Ensemble, Recipe, get_backend, network_seeds, read_table, train_ensemble, train_model
from gpubp.backends.interruption import Interruption
from gpubp.errors import DivergenceError, SettingsError
from gpubp.tables import Table

RECIPE = Recipe(hidden=(6,), epochs=15, seed=3)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return read_table(mixed_table(tmp_path_factory.mktemp("mixed") / "mixed.csv"))


@pytest.mark.parametrize("target", ["group", "score"])
def test_members_are_the_models_of_their_seeds(mixed: Table, target: str) -> None:
    fit = train_ensemble(mixed, target, RECIPE, members=3, engine="array")
    backend = get_backend("numpy")
    alone = [
        train_model(mixed, target, replace(RECIPE, seed=seed), engine="array").model.predict(mixed, backend)
        for seed in network_seeds(3, 3).tolist()
    ]
    answer = fit.ensemble.answer(mixed)
    if target == "group":
        each = np.array([found.probabilities for found in alone])
        np.testing.assert_allclose(answer.probabilities, each.mean(axis=0), rtol=1e-4)
    else:
        each = np.array([found.values for found in alone])
        np.testing.assert_allclose(answer.values, each.mean(axis=0), rtol=1e-4)
        np.testing.assert_allclose(answer.disagreement, each.std(axis=0), rtol=1e-3)
    assert fit.ensemble.names == ("member 1", "member 2", "member 3")
    assert (fit.n_training, fit.n_validation, fit.left_out, fit.validation) == (120, 0, (), None)
    assert any("Missing" in note for note in fit.notes)


def test_a_member_does_not_depend_on_how_many_there_are(mixed: Table) -> None:
    few, many = (
        train_ensemble(mixed, "group", RECIPE, members=m, bootstrap=True, engine="array").ensemble for m in (2, 5)
    )
    np.testing.assert_allclose(few.member_outputs(mixed), many.member_outputs(mixed)[:2], rtol=1e-6)


def test_members_stop_by_themselves_and_are_scored_together(mixed: Table) -> None:
    recipe = replace(RECIPE, early_stopping=True, patience=2, epochs=300, learning_rate=0.02)
    fit = train_ensemble(mixed, "group", recipe, members=6, bootstrap=True)
    assert len(set(fit.history.epochs.tolist())) > 1
    assert (fit.n_training, fit.n_validation) == (96, 24)
    assert fit.validation is not None
    assert fit.validation["accuracy"] > 0.6


def test_members_that_diverge_are_left_out(tmp_path: Path) -> None:
    """A target so far out in one row that those who draw it leave float32."""
    rng = np.random.default_rng(0)
    lines = ["x,y", *(f"{a:.4f},{a:.4f}" for a in rng.normal(size=40)), "0.5,1e30"]
    recipe = replace(RECIPE, optimizer="sgd", learning_rate=0.1, batch_size=None, loss="poisson", epochs=5)
    table = read_table(write(tmp_path / "far.csv", "\n".join(lines).replace("-", "")))
    fit = train_ensemble(table, "y", recipe, members=8, bootstrap=True, task="regression")
    assert 0 < len(fit.left_out) < 8
    assert fit.ensemble.n_members == 8 - len(fit.left_out)
    assert np.isfinite(fit.ensemble.predict(table)).all()
    with pytest.raises(DivergenceError, match="Training diverged: the loss of member 1"):
        train_ensemble(table, "y", recipe, members=2, task="regression")


@pytest.mark.parametrize("members", [1, 0, True, 2.5])
def test_too_few_members(mixed: Table, members: int) -> None:
    with pytest.raises(SettingsError, match="an ensemble has at least 2; for one network, use train_model"):
        train_ensemble(mixed, "group", RECIPE, members=members)


def test_the_command_writes_one_file_that_predict_takes(tmp_path: Path) -> None:
    path = tmp_path / "team.safetensors"
    arguments = ("train", SEEDS, "--members", 4, "--bootstrap", "--early-stopping", "--epochs", 30, "-o", path)
    found = succeeds(*arguments, "--json").json
    assert (found["members"], found["bootstrap"], found["left_out"], len(found["epochs"])) == (4, True, [], 4)
    assert (found["training_rows"], found["validation_rows"], found["task"]) == (168, 42, "classification")
    assert found["validation"]["accuracy"] > 0.8
    assert [*tmp_path.iterdir()] == [path]
    frame = pl.read_csv(succeeds("predict", path, SEEDS, "--probabilities").out.encode())
    assert frame.columns == ["prediction", "disagreement", "probability_1", "probability_2", "probability_3"]
    assert frame["disagreement"].min() >= 0  # type: ignore[operator]
    answer = Ensemble.load(path).answer(read_table(SEEDS))
    np.testing.assert_allclose(frame["disagreement"], answer.disagreement)
    text = succeeds(*arguments)
    shown = " ".join(text.out.split())
    for words in (
        "members 4 on rows drawn with replacement",
        "network 7-64-3",
        "accuracy",
        f"gpubp predict {path} TABLE",
    ):
        assert words in shown
    assert f"The model that {path} held before was replaced." in text.err


def test_the_command_says_who_is_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["x,y", *(f"{a:.4f},{a:.4f}" for a in np.abs(rng.normal(size=40))), "0.5,1e30"]
    table = write(tmp_path / "far.csv", "\n".join(lines))
    options = ("--optimizer", "sgd", "--lr", 0.1, "--batch-size", "all", "--loss", "poisson", "--epochs", 5)
    outcome = succeeds("train", table, *options, "--members", 8, "--bootstrap", "-o", tmp_path / "team", "--json")
    assert 0 < len(outcome.json["left_out"]) < 8
    assert "of 8 members diverged and are left out" in outcome.err


@pytest.mark.parametrize("looks", [0, 30])
def test_ctrl_c_keeps_the_members_so_far(looks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Ctrl-C came after the training has looked for it so many times: before its first epoch, and later."""
    seen: list[bool] = []

    def requested(self: Interruption) -> bool:
        seen.append(True)
        return len(seen) > looks

    monkeypatch.setattr(Interruption, "requested", property(requested, lambda self, value: None), raising=False)
    path = tmp_path / "team"
    outcome = gpubp("train", SEEDS, "--members", 3, "--engine", "array", "-o", path)
    assert outcome.code == 130
    if looks == 0:
        assert "no ensemble was written" in outcome.err
        assert not path.exists()
    else:
        assert "Interrupted after" in outcome.err
        assert Ensemble.load(path).n_members == 3


def test_bad_options(tmp_path: Path) -> None:
    table = numbers_table(tmp_path / "numbers.csv")
    output = tmp_path / "team"
    refused(tmp_path, "train", table, "--bootstrap", "-o", output, words="--bootstrap is for several networks")
    refused(tmp_path, "train", table, "--members", 0, "-o", output, words="--members '0'")
    refused(tmp_path, "train", table, "--members", 3, "--target", "nobody", "-o", output, words="nobody")
    assert "member 2" in succeeds("show", trained(table, output)).out


def trained(table: Path, output: Path) -> Path:
    succeeds("train", table, "--members", 2, "--epochs", 2, "-o", output)
    return output
