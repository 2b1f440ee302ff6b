"""Ensembles: which networks are chosen, what they say together, and the file they live in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load, save

from gpubp import Ensemble, Range, SweepResult, read_table, sweep
from gpubp.errors import DataError, ModelFileError, SettingsError
from gpubp.networks.population import Population
from gpubp.search.results.selection import greedy
from gpubp.storage.datasets import wheat_seeds
from gpubp.tables import Table

RNG = np.random.default_rng(9)
X = RNG.normal(size=(80, 3)) + np.array([0.0, 50.0, 0.0])
LABELS = np.array(["a", "b", "c"])[(X[:, 0] * X[:, 2] > 0).astype(int) + (X[:, 1] > 50)]
VALUES = X[:, 0] * X[:, 2] + X[:, 1]
SPACE = {
    "hidden": [(3,), (6,), (4, 4)],
    "learning_rate": Range(1e-3, 0.1, log=True),
    "epochs": 40,
    "scale": ["standard", "minmax"],
    "activation": ["tanh", "relu"],
}


@pytest.fixture(scope="module")
def labelled() -> SweepResult:
    return sweep(X, LABELS, SPACE, n_trials=12, engine="array", metric="neg_log_loss")


def test_greedy_selection_is_caruanas(labelled: SweepResult) -> None:
    """Against the plainest form of it, with scikit-learn's metric."""
    from sklearn.metrics import log_loss

    predictions = np.stack([labelled.out_of_fold(trial) for trial in labelled.trials])
    chosen, scores = greedy(predictions, labelled.experiment.metric, 6)
    by_hand: list[int] = []
    for _ in range(6):
        losses = [
            log_loss(LABELS, mean / mean.sum(axis=1, keepdims=True))
            for mean in (predictions[[*by_hand, place]].mean(axis=0) for place in range(12))
        ]
        by_hand.append(int(np.argmin(losses)))
    assert chosen == by_hand
    assert scores[0] == pytest.approx(max(m for m in (-log_loss(LABELS, p / p.sum(1)[:, None]) for p in predictions)))
    assert max(scores) >= scores[0]


def test_it_answers_with_the_mean_of_its_members(labelled: SweepResult) -> None:
    found = labelled.ensemble(7)
    assert found.counts.sum() == 7
    assert found.n_members == len(found.names) == len(set(found.names)) > 1
    outputs = found.member_outputs(X)
    assert outputs.shape == (found.n_members, 80, 3)
    np.testing.assert_allclose(outputs.sum(axis=-1), 1.0)
    mean = np.average(outputs, axis=0, weights=found.counts)
    np.testing.assert_allclose(found.predict_proba(X), mean)
    assert (found.predict(X) == np.array(["a", "b", "c"])[mean.argmax(axis=1)]).all()
    spread = np.sqrt(np.average((outputs - mean) ** 2, axis=0, weights=found.counts))
    np.testing.assert_allclose(found.disagreement(X), spread[np.arange(80), mean.argmax(axis=1)])
    assert found.description["out_of_fold_score"] >= found.description["best_single_score"]
    for name, member in zip(found.names, outputs, strict=True):
        alone = labelled.refit(int(name.removeprefix("trial ")))
        np.testing.assert_allclose(alone.predict_proba(X), member, rtol=1e-9, atol=1e-12)


def test_members_of_one_architecture_are_one_population(labelled: SweepResult, monkeypatch: pytest.MonkeyPatch) -> None:
    found = labelled.ensemble(9)
    calls: list[int] = []
    real = Population.predict

    def counted(self: Population, *arguments: Any, **options: Any) -> Any:
        calls.append(len(self))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Population, "predict", counted)
    found.predict(X)
    assert len(calls) == len({group.architecture for group in found.members})
    assert sum(calls) == found.n_members


def test_ensembles_of_numbers_and_of_tables(tmp_path: Path) -> None:
    numbers = sweep(X, VALUES, SPACE, n_trials=6, engine="array").ensemble(4)
    assert numbers.predict(X).shape == (80,)
    assert np.corrcoef(numbers.predict(X), VALUES)[0, 1] > 0.5
    assert (numbers.disagreement(X) >= 0).all()
    with pytest.raises(SettingsError, match="predicts numbers"):
        numbers.predict_proba(X)
    several = sweep(X, np.stack([VALUES, X[:, 0]], axis=1), SPACE, n_trials=4, engine="array").ensemble(2)
    assert several.predict(X).shape == several.disagreement(X).shape == (80, 2)
    frame = pd.DataFrame({"x": X[:, 0], "kind": LABELS, "y": VALUES})
    frame.loc[2, "x"] = np.nan
    mixed = sweep(frame, "y", SPACE, n_trials=4, engine="array").ensemble(3)
    expected = mixed.predict(frame)
    np.testing.assert_array_equal(mixed.predict(Table.from_frame(frame.drop(columns="y"))), expected)
    assert np.isfinite(expected).all()
    for each, rows in ((numbers, X), (several, X), (mixed, frame)):
        each.save(tmp_path / "file")
        again = Ensemble.load(tmp_path / "file")
        np.testing.assert_array_equal(again.predict(rows), each.predict(rows))
        np.testing.assert_array_equal(again.disagreement(rows), each.disagreement(rows))
        assert (again.names, again.description) == (each.names, each.description)


def test_an_ensemble_of_the_wheat_seeds() -> None:
    table = read_table(wheat_seeds())
    space = {"hidden": [(8,), (16,)], "epochs": [20, 40], "learning_rate": Range(3e-3, 0.1, log=True)}
    found = sweep(table, None, space, n_trials=8, engine="array").ensemble(5)
    assert set(found.predict(table)) == {1, 2, 3}
    assert (found.predict(table) == table.frame[:, -1].to_numpy()).mean() > 0.9


def test_rows_that_cannot_be(labelled: SweepResult) -> None:
    found = labelled.ensemble(2)
    for rows, message in (
        (X[:, 0], "expected a table"),
        (np.full((2, 3), np.nan), "finite numbers"),
        ([["a", "b", "c"]], "no number"),
        (X[:, :2], "this network takes 3 inputs"),
    ):
        with pytest.raises(DataError, match=message):
            found.predict(rows)
    with pytest.raises(SettingsError, match="k 0"):
        labelled.ensemble(0)
    with pytest.raises(SettingsError, match="candidates 'all'"):
        labelled.ensemble(3, candidates="all")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [np.int64, np.float64, bool, object, "U8"])
def test_labels_of_every_kind_survive_the_file(tmp_path: Path, kind: Any) -> None:
    labels = np.array([str(v) for v in (X[:, 0] > 0)] if kind in (object, "U8") else X[:, 0] > 0).astype(kind)
    found = sweep(X, labels, {"hidden": (3,), "epochs": 5}, engine="array").ensemble(1)
    found.save(tmp_path / "file")
    again = Ensemble.load(tmp_path / "file")
    assert again.predict(X).dtype == found.predict(X).dtype == labels.dtype
    assert (again.predict(X) == found.predict(X)).all()


def test_a_damaged_file_is_an_error_in_words(labelled: SweepResult, tmp_path: Path) -> None:
    path = tmp_path / "file"
    labelled.ensemble(3).save(path)
    content = path.read_bytes()
    tensors = load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    described = json.loads(header["__metadata__"]["gpubp"])
    del described["sha256"]

    def refused(tensors: dict[str, np.ndarray], described: Any, message: str = "is damaged: .* Copy|gpubp") -> None:
        path.write_bytes(save(tensors, {"gpubp": json.dumps(described)}))
        with pytest.raises(ModelFileError, match=message):
            Ensemble.load(path)

    for name in described:
        refused(tensors, {key: value for key, value in described.items() if key != name})
        for junk in (None, 3, "x", [], {}, [None]):
            if described[name] != junk and (name, junk) != ("description", {}):
                refused(tensors, described | {name: junk})
    first = "members.0.params"
    refused(
        {k: v for k, v in tensors.items() if k != first},
        described,
        "params' should be float64 .* there is none",
    )
    refused(
        tensors | {first: tensors[first][:, 1:].copy()},
        described,
        "params' should be float64 .*; found float64",
    )
    refused(tensors | {first: np.full_like(tensors[first], np.nan)}, described, "finite numbers only; found nan at")
    refused(
        tensors | {"members.0.counts": -tensors["members.0.counts"]},
        described,
        "counts' should hold numbers from 1",
    )
    refused(tensors, described | {"version": 99}, "format version 99; this gpubp reads versions 1 and 2")
    for cut in (0, 7, 100, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(ModelFileError, match="not an ensemble file of gpubp"):
            Ensemble.load(path)
    with pytest.raises(ModelFileError, match="There is no ensemble file"):
        Ensemble.load(tmp_path / "none")
    with pytest.raises(ModelFileError):
        labelled.ensemble(1).save(tmp_path / "no" / "folder")
