"""Files of earlier times load as before; in those of today a flipped bit is found, whatever it says."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import refused, succeeds
from safetensors.numpy import load as arrays_of
from safetensors.numpy import save as to_bytes

import gpubp
from gpubp import Architecture, MLPClassifier, Population, Settings, get_backend, network_seeds, train
from gpubp.errors import DataError, GpubpError, ModelFileError
from gpubp.search.run.result_store import ResultStore
from gpubp.storage.array_files import read_array_file, write_array_file
from gpubp.training.checkpoint import Checkpoint
from gpubp.training.snapshot import Snapshot

OLD = Path(__file__).parents[1] / "fixtures" / "files_without_checksum"  # written by gpubp 0.1.0
X = (np.arange(60).reshape(20, 3) % 7) / 4 - 0.5


def training(checkpoint: Checkpoint | None = None, killed: bool = False, resume: Snapshot | None = None) -> Any:
    """The training that the checkpoint in `OLD` is of."""
    networks = Population.initialize(Architecture(3, (3,), 1), network_seeds(0, 2), get_backend("numpy"))

    def callback(report: Any) -> None:
        if killed and report.epoch == 2:
            raise InterruptedError

    settings = Settings("squared_error", epochs=5)
    given = {"checkpoint": checkpoint, "callbacks": [callback], "resume": resume}
    try:
        train(networks, X, X[:, :1] * 2, settings, engine="array", **given)  # type: ignore[arg-type]
    finally:
        if checkpoint is not None:
            checkpoint.lock.release()
    return networks.params


@pytest.mark.parametrize("name", ["model", "ensemble", "estimator"])
def test_files_without_a_checksum_predict_as_they_did(name: str) -> None:
    expected = json.loads((OLD / "expected.json").read_text())[name]
    if name == "estimator":
        found = MLPClassifier.load(OLD / name).predict_proba(X)
    else:
        command = ("predict", OLD / name, OLD / "table.csv", "-p", "--json", "-q")
        found = succeeds(*command).json["probabilities"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_checkpoint_without_a_checksum_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpubp, "__version__", "0.1.0")  # another version's training is another one
    shutil.copy(OLD / "checkpoint", tmp_path / "c")
    found = training(Checkpoint(tmp_path / "c", resume=True))
    np.testing.assert_allclose(found, training(), rtol=1e-5)


def test_a_flipped_bit_is_found_anywhere(tmp_path: Path) -> None:
    """In every byte of a model's file: in its numbers, its header, its description, and its checksum."""
    path, source = tmp_path / "m", random.Random(1)
    write_array_file(path, {"a": np.arange(5.0), "b": np.zeros((2, 3), np.float32)}, {"name": "Köln", "rows": [1, 2.5]})
    content = path.read_bytes()
    read_array_file(path, "a model", "Copy it again.")
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << source.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(ModelFileError, match=r"Copy it again|but not a model"):
            read_array_file(path, "a model", "Copy it again.")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of every kind, and a sweep."""
    folder = tmp_path_factory.mktemp("files")
    quick = ("--hidden", 3, "--epochs", 2, "--engine", "array", "-q")
    succeeds("train", OLD / "table.csv", *quick, "-o", folder / "model")
    succeeds("train", OLD / "table.csv", *quick, "--members", 2, "-o", folder / "ensemble")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        MLPClassifier((3,), max_iter=2, random_state=0).fit(X, X[:, 0] > 0).save(folder / "estimator")
    with pytest.raises(InterruptedError):
        training(Checkpoint(folder / "checkpoint", seconds=0), killed=True)
    space = ("--set", "epochs=2", "--trials", 2, "--folds", 2, "--ensemble", 0, "--engine", "array", "-q")
    succeeds("sweep", OLD / "table.csv", *space, "-o", folder / "sweep")
    return folder


def load_checkpoint(path: Path) -> Any:
    return training(Checkpoint(path, resume=True))


def load_model(path: Path) -> Any:
    return succeeds("predict", path, OLD / "table.csv", "-q", "--json")


LOADERS: dict[str, Callable[[Path], Any]] = {
    "model": gpubp.Model.load,
    "ensemble": gpubp.Ensemble.load,
    "estimator": MLPClassifier.load,
    "checkpoint": load_checkpoint,
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_changed_number_is_found_and_what_to_do_is_said(files: Path, tmp_path: Path, name: str) -> None:
    content = bytearray((files / name).read_bytes())
    content[-3] ^= 1  # in the last array: still a number
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GpubpError, match=rf"{name} is damaged: .* checksum is another\. (Copy it|Remove it)"):
        LOADERS[name](tmp_path / name)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "BF16", "C64"])
def test_numbers_that_numpy_does_not_have(files: Path, tmp_path: Path, name: str, dtype: str) -> None:
    content = (files / name).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    array = next(found for key, found in header.items() if key != "__metadata__" and found["dtype"] in ("F32", "F64"))
    first, last = array["data_offsets"]
    size = {"F": 1, "B": 2, "C": 8}[dtype[0]]
    array |= {"dtype": dtype, "shape": [(last - first) // size]}
    array["data_offsets"] = [first, last]
    written = json.dumps(header).encode()
    (tmp_path / "m").write_bytes(len(written).to_bytes(8, "little") + written + content[8 + length :])
    with pytest.raises(GpubpError, match=r"type|not a|not an"):
        LOADERS[name](tmp_path / "m")


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize(
    "text",
    [
        "[" * 500 + "]" * 500,
        "[" * 100_000 + "]" * 100_000,
        '{"format": 1, "format": 2}',
        '{"format": 1%s}' % ("0" * 400),
        '{"format": 1%s}' % ("0" * 5000),
        '{"format": "\\ud800"}',
        '{"\\ud800": 1}',
    ],
    ids=["deep", "very deep", "twice", "400 digits", "5000 digits", "half a character", "a name of half a character"],
)
def test_descriptions_that_no_reader_should_meet(files: Path, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "m").write_bytes(to_bytes(arrays_of((files / name).read_bytes()), {"gpubp": text}))
    with pytest.raises(GpubpError):
        LOADERS[name](tmp_path / "m")


@pytest.mark.parametrize("name", ["model", "ensemble"])
@pytest.mark.parametrize("place", ["source", "\ud800"])
def test_what_people_read_of_a_training_may_hold_halves_of_characters(
    files: Path, tmp_path: Path, name: str, place: str
) -> None:
    """A table's name that is no UTF-8, for example."""
    arrays, described = read_array_file(files / name, "a file", "")
    described["training" if name == "model" else "description"][place] = "caf\udce9.csv"
    write_array_file(tmp_path / "m", arrays, described)
    assert "\\udce9.csv" in succeeds("show", tmp_path / "m").out
    assert "\\udce9.csv" in str(succeeds("show", tmp_path / "m", "--json").json)


def test_a_label_of_half_a_character_is_refused(files: Path, tmp_path: Path) -> None:
    arrays, described = read_array_file(files / "model", "a file", "")
    described["target"]["labels"][0] = "\ud800"
    write_array_file(tmp_path / "m", arrays, described)
    words = ("target.labels[0] should be a text of whole characters; found '\\ud800'", "Copy it again")
    refused(tmp_path, "predict", tmp_path / "m", OLD / "table.csv", "-q", words=words)


SPOILED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "active": lambda array: np.full(len(array), 7),
    "epochs": lambda array: array.astype(np.float64),
    "updates": lambda array: np.ones((2, 2), np.int64),
    "rates": lambda array: array.astype(np.float32),
    "best": lambda array: np.zeros((2, 2)),
    "waited": lambda array: array - 1,
    "best_epoch": lambda array: array + 10,
    "params": lambda array: array.astype(np.float16),
    "slots.mean": lambda array: array.astype(np.float64),
    "metrics": lambda array: array[:, :1],
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_checkpoint_of_other_types(files: Path, tmp_path: Path, name: str) -> None:
    arrays, described = read_array_file(files / "checkpoint", "a checkpoint", "")
    spoiled = np.ascontiguousarray(SPOILED[name](arrays[name]))
    write_array_file(tmp_path / "c", arrays | {name: spoiled}, described)
    with pytest.raises(DataError, match=f"c is damaged: array '{name}' should .* Remove it, and begin anew"):
        load_checkpoint(tmp_path / "c")
    snapshot = Snapshot.from_parts(arrays, described["snapshot"])
    if not name.startswith("slots."):
        vars(snapshot)[name] = spoiled  # as a program of one's own might
        with pytest.raises(DataError, match=f"array '{name}' should"):
            training(resume=snapshot)


def test_a_ledger_tells_copies_and_files_that_are_not_its_own(tmp_path: Path) -> None:
    Y = np.array(["a", "b"])[(X[:, 0] > 0) * 1]
    space = {"hidden": [(2,), (3,)], "epochs": [2, 4]}
    how: dict[str, Any] = {"n_trials": 4, "cv": 2, "checkpoint": 0, "engine": "array", "backend": "numpy"}
    gpubp.sweep(X, Y, space, folder=tmp_path, **how)
    results = next((tmp_path / "checkpoint").glob("results-*.safetensors"))
    arrays, described = read_array_file(results, "a checkpoint", "")
    for name, message in (
        (f"{results.stem} (copy)", "belongs to no ledger"),
        ("results-00000099", f"it is a copy of {results.name}"),
        ("cohort-00000099", "it is a copy of"),
        ("results-x", "belongs to no ledger"),
    ):
        copied = results.with_name(f"{name}.safetensors")
        shutil.copy(results, copied)
        with pytest.raises(DataError, match=rf"{message}.*Remove it: what it held is trained again"):
            gpubp.sweep(X, Y, space, folder=tmp_path, resume=True, **how)
        copied.unlink()
    write_array_file(results.with_name("results-00000098.safetensors"), arrays, {})  # as gpubp 0.1.0 wrote them
    with pytest.raises(DataError, match=r"has the result of trial \d+, fold \d+, too: it is a copy"):
        ResultStore.open(tmp_path / "checkpoint", 1.0, print)
    results.with_name("results-00000098.safetensors").unlink()
    for name, array in {"score": arrays["score"][1:], "keys": arrays["keys"] - 9, "rows": arrays["rows"] + 1}.items():
        write_array_file(results, arrays | {name: array}, described)
        with pytest.raises(DataError, match=r"results-\d+.safetensors is damaged: array"):
            ResultStore.open(tmp_path / "checkpoint", 1.0, print)
    write_array_file(results, arrays | {"epochs": arrays["epochs"] + 9}, described)
    with pytest.raises(DataError, match=r"holds a result of trial .* that cannot be: 1[0-9] of [24] epochs"):
        gpubp.sweep(X, Y, space, folder=tmp_path, resume=True, **how)


@pytest.mark.parametrize("name", ["results.json", "sweep.json"])
def test_a_changed_document_is_found(files: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "sweep"
    shutil.copytree(files / "sweep", folder)
    document = json.loads((folder / name).read_bytes())
    (folder / name).write_text(json.dumps(document, indent=1))  # written otherwise, it says the same
    space = ("--set", "epochs=2", "--trials", 2, "--folds", 2, "--ensemble", 0, "--engine", "array", "-q")
    resume = ("sweep", OLD / "table.csv", *space, "-o", folder, "--resume")
    succeeds(*resume)
    if name == "results.json":
        document["trials"][0]["mean"] += 1e-9
    else:
        document["finished"] = False
    (folder / name).write_text(json.dumps(document))
    remedy = "Run the sweep again" if name == "results.json" else "Remove the folder"
    refused(tmp_path, *resume, words=(f"{name} is damaged", "its checksum is another", remedy))


def outcome_without(document: dict[str, Any], name: str) -> None:
    del document["outcome"][name]


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "trials[0].epochs should be a list of at least 1": lambda d: d["trials"][0].update(epochs=[]),
    "trials[0].time_share should be a finite number from 0 to 1": lambda d: d["trials"][0].update(time_share=1.5),
    "accuracy should be a finite number from 0 to 1": lambda d: d["best"]["predictions"].update(accuracy=1.5),
    "best.predictions.calibration": lambda d: d["best"]["predictions"]["calibration"][9].update(right=2.0),
    "outcome.leaderboard is missing": lambda d: outcome_without(d, "leaderboard"),
    "outcome.diverged is missing": lambda d: outcome_without(d, "diverged"),
    "outcome.best.score should be a finite number": lambda d: d["outcome"]["best"].update(score="high"),
    "outcome.leaderboard[0].parameters": lambda d: d["outcome"]["leaderboard"][0].update(parameters=3),
    "outcome.written[0] should be a text": lambda d: d["outcome"].update(written=[3]),
    "date should be a date and a time": lambda d: d.update(date="yesterday"),
    "a whole number of more than 64 bits": lambda d: d.update(seed=10**400),
    "more than 60 lists and objects": lambda d: d.update(notes=json.loads("[" * 200 + "]" * 200)),
    "more should not be there": lambda d: d.update(more=1),
}


@pytest.mark.parametrize("message", CHANGES)
def test_results_are_what_they_seem(files: Path, tmp_path: Path, message: str) -> None:
    document = json.loads((files / "sweep" / "results.json").read_bytes())
    del document["sha256"]
    CHANGES[message](document)
    (tmp_path / "results.json").write_text(json.dumps(document))
    refused(tmp_path, "report", tmp_path, words=("results.json is damaged", message, "Run the sweep again"))


@pytest.mark.parametrize(
    "text",
    [
        "hidden = " + "[" * 100 + "]" * 100,
        "hidden = " + "[" * 100_000 + "]" * 100_000,
        "l2 = " + "{a = " * 90 + "1" + "}" * 90,
        "epochs = " + "9" * 30,
        "epochs = " + "9" * 5000,
        "l2 = [1979-05-27T07:32:00Z]",
        "l2 = nan",
        "l2 = {low = 1, high = '2'}",
        "l2 = {low = 1, high = 2, log = 'yes'}",
        "when = [3]",
        "[[when]]\nif = 3",
    ],
    ids=lambda text: text[:30],
)
def test_spaces_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "space.toml").write_text(text)
    refused(tmp_path, "sweep", OLD / "table.csv", "--space", tmp_path / "space.toml", "-q", words="space.toml")
