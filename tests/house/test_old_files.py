"""Files that gpubp 0.1.0 has written: they load, predict the same, and what was cut short is gone on with.

What the file itself decides, and what the lane engine trains, is the same to the bit; sums of the array engine depend
on the machine's BLAS, and agree to TOLERANCE.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import old_files as old
import pytest
from command_line import contents, succeeds

import gpubp
from gpubp import Checkpoint, Ensemble, MLPClassifier, MLPRegressor
from gpubp.errors import SettingsError
from gpubp.estimators.files import load
from gpubp.storage.array_files import read_array_file, write_array_file

FOLDER = Path(__file__).parents[1] / "fixtures" / "written_by_0_1_0"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
TABLE = FOLDER / "table.csv"
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}
TRAINED = {"rtol": 1e-4, "atol": 1e-5}  # after some epochs, in float32
TIMES = {"seconds", "time_share", "written"}
ESTIMATORS = {
    "classifier": MLPClassifier,
    "members": MLPRegressor,
    "partial_fit": MLPRegressor,
    "adaptive": MLPClassifier,
    "warm_start": MLPClassifier,
}


@pytest.fixture(autouse=True)
def _version(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was cut short is gone on with by the version that began it: another one's training is another training."""
    monkeypatch.setattr(gpubp, "__version__", "0.1.0")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy, in which something may be written."""
    return Path(shutil.copytree(FOLDER, tmp_path / "files"))


def agree(found: Any, expected: Any, tolerance: dict[str, float] = TOLERANCE, place: str = "") -> None:
    """JSON values with all keys that were there then (new ones may have come), and the same numbers but for times."""
    if isinstance(expected, dict):
        assert {*expected} <= {*found}, f"{place} has lost { ({*expected} - {*found}) }"
        for name in {*expected} - TIMES:
            agree(found[name], expected[name], tolerance, f"{place}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            agree(one, other, tolerance, f"{place}[{i}]")
    elif isinstance(expected, float):
        np.testing.assert_allclose(found, expected, **tolerance, err_msg=place)
    else:
        assert found == expected, place


@pytest.mark.parametrize("name", ["model", "regression", "ensemble"])
def test_models_predict_as_they_did(name: str) -> None:
    asked = () if name == "regression" else ("--probabilities",)
    agree(succeeds("predict", FOLDER / name, TABLE, *asked, "--json", "-q").json, EXPECTED[name]["predict"])
    agree(succeeds("evaluate", FOLDER / name, TABLE, "--json", "-q").json, EXPECTED[name]["evaluate"])


@pytest.mark.parametrize(
    ("name", "words"),
    [("model", "colour"), ("regression", "price"), ("ensemble", "member 2"), ("finished/best.safetensors", "kind")],
)
def test_models_are_shown(name: str, words: str) -> None:
    assert words in succeeds("show", FOLDER / name).out


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # the trainings are short
@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_predict_as_they_did_and_train_on(name: str) -> None:
    estimator = ESTIMATORS[name].load(FOLDER / name)
    agree(old.numbers_of(estimator), EXPECTED[name])
    if further := EXPECTED.get(f"{name}, gone on with"):
        agree(old.numbers_of(old.go_on(name, estimator)), further, TOLERANCE if estimator.engine == "lane" else TRAINED)


def test_what_a_sweep_of_arrays_has_given_predicts_as_it_did() -> None:
    agree(old.numbers_of(load(FOLDER / "swept")), EXPECTED["swept"])
    agree(old.numbers_of(Ensemble.load(FOLDER / "team")), EXPECTED["team"])


@pytest.mark.parametrize("engine", ["array", "lane"])
def test_a_training_is_gone_on_with(files: Path, engine: str) -> None:
    epochs: list[int] = []
    checkpoint = Checkpoint(files / f"{engine}.checkpoint", seconds=1e6, resume=True)
    found = old.train(checkpoint, engine, [lambda report: epochs.append(report.epoch)])
    assert epochs[0] == old.CUT_AFTER
    expected = np.array(EXPECTED[f"{engine}.checkpoint"], dtype=np.float32)
    if engine == "lane":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, **TRAINED)


def test_a_study_of_halving_is_gone_on_with_from_its_snapshots(files: Path) -> None:
    epochs: list[float] = []
    watch = [lambda progress: epochs.append(progress.epochs)]
    found = old.halving(files / "unfinished", resume=True, watch=watch)
    agree(old.described(found), EXPECTED["unfinished"], TRAINED)
    assert {trial.rung for trial in found.trials} == {0, 1, 2}
    assert epochs[0] == 2 * 8 * 2 + 2 * 2 * 2, "the first rung of 8 trials, and half of the second, on 2 folds"


def test_a_sweep_that_was_done_is_read_and_nothing_is_trained(files: Path) -> None:
    trained: list[int] = []
    watch = [lambda progress: trained.append(progress.trained)]
    agree(old.described(old.random_sweep(files / "complete", resume=True, watch=watch)), EXPECTED["complete"])
    assert trained == [], "there was something to watch"


def test_the_folder_of_a_finished_sweep_is_read(files: Path) -> None:
    path = files / "finished" / "sweep.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    del described["sha256"]
    content = gpubp.read_table(TABLE).frame.write_ipc(None, compression="uncompressed").getbuffer()
    described["meaning"]["table"] = hashlib.sha256(content).hexdigest()  # other versions of polars write other bytes
    path.write_text(json.dumps(described), encoding="utf-8")
    before = contents(files)
    again = succeeds("sweep", TABLE, *old.SWEEP_COMMAND, "-o", files / "finished", "--resume", "--json", "-q")
    agree(again.json, EXPECTED["finished"])
    assert contents(files) == before
    for name in ("best", "ensemble"):
        succeeds("predict", files / "finished" / f"{name}.safetensors", TABLE, "--json", "-q")
    succeeds("report", files / "finished", "-q")
    assert "kind" in (files / "finished" / "report.html").read_text(encoding="utf-8")


def test_a_checkpoint_knows_no_settings_that_came_later(files: Path) -> None:
    """It was written when every training was what their defaults do; of another value it is another training."""
    path = files / "array.checkpoint"
    arrays, found = read_array_file(path, "a checkpoint", "")
    for name, same in (("label_smoothing", True), ("tolerance", True), ("dropout", False)):
        described = json.loads(json.dumps(found))
        described.pop("sha256", None)
        meaning = described["meaning"]
        del (meaning["early_stopping"] if name == "tolerance" else meaning)[name]
        write_array_file(path, arrays, described)
        checkpoint = Checkpoint(path, seconds=1e6, resume=True)
        with nullcontext() if same else pytest.raises(SettingsError, match=r"the dropout was 0\.0, and is 0\.1 now"):
            old.train(checkpoint, "array")


@pytest.mark.parametrize(("changed", "same"), [("seed=0, ", True), ("epochs=100", False)])
def test_a_sweep_knows_no_defaults_that_came_later(files: Path, changed: str, same: bool) -> None:
    path = files / "complete" / "sweep.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    del described["sha256"]
    words = described["meaning"]["defaults"]
    described["meaning"]["defaults"] = words.replace(changed, "" if same else "epochs=200")
    assert described["meaning"]["defaults"] != words
    path.write_text(json.dumps(described), encoding="utf-8")
    with nullcontext() if same else pytest.raises(SettingsError, match="the defaults was"):
        agree(old.described(old.random_sweep(files / "complete", resume=True)), EXPECTED["complete"])
