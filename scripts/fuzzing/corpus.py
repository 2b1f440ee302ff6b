"""Sound files of every kind, the same bytes every time: what `mutations` spoils."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import lzma
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import gpubp
from gpubp import MLPClassifier, MLPRegressor, Population, Range, Settings, get_backend, network_seeds
from gpubp.cli.app import main
from gpubp.networks.settings import EarlyStopping
from gpubp.operations.architecture import Architecture
from gpubp.storage.array_files import read_array_file, write_array_file
from gpubp.storage.json_values import SEAL, sealed
from gpubp.tables import read_table
from gpubp.training.checkpoint import Checkpoint
from gpubp.training.loop import train

X = (np.arange(90).reshape(30, 3) % 7) / 4 - 0.5
Y = np.array(["no", "yes"])[(np.arange(30) % 3 == 0) * 1]
SPACE: dict[str, Any] = {"hidden": [(2,), (3,)], "learning_rate": Range(1e-3, 1e-1, log=True), "epochs": [2, 4]}
HOW: dict[str, Any] = {"n_trials": 4, "cv": 3, "checkpoint": 0.0, "engine": "array", "backend": "numpy"}
TOML = """
hidden = [[4], [8, 4], 3]
activation = ["relu", "tanh"]
epochs = 5
l2 = {low = 1e-6, high = 0.1, log = true}
batch-size = {low = 4, high = 32, integer = true}
optimizer = ["adam", "sgd"]
early-stopping = [true, false]
[[when]]
if = {optimizer = "sgd"}
learning-rate = {low = 0.01, high = 0.5}
[[when]]
if = {hidden = [[8, 4]]}
dropout = [0.1, 0.2]
"""


class Killed(Exception):
    """What ends a training here as a kill would."""


def table(rows: int = 30) -> str:
    lines = [f"{i % 7 / 4},{'red' if i % 3 else 'blue'},{i % 5 / 3:.3f},{'ab'[i % 2]}" for i in range(rows)]
    return "\n".join(["x,colour,y,kind", *lines]) + "\n"


def table_in_costume(rows: int = 30) -> str:
    """The same columns as people write them."""
    lines = [
        f"{i:03d};{i % 28 + 1:02d}.01.2020;{i % 24}:30;{1000 + i * 37}.{i:03d},5 €;{i % 9} kg;{'a?'[i % 2]}"
        for i in range(rows)
    ]
    return "\n".join(["# by hand", "id;day;time;x;y;kind", ";;;;kg;", *lines]) + "\n"


def build(folder: Path) -> None:
    """Fill the folder. Files lie in it by their kind; the trainings behind them take seconds."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            _build()
    finally:
        os.chdir(before)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            _without_times(path)


def _build() -> None:
    for kind in ("model", "ensemble", "estimator", "checkpoint", "space", "parquet", "table"):
        Path(kind).mkdir()
    Path("table/a.csv").write_text(table())
    Path("table/b.gz").write_bytes(gzip.compress(table().encode(), mtime=0))
    Path("table/c.xz").write_bytes(lzma.compress(table().encode()))
    Path("table/d.utf16").write_bytes(table().encode("utf-16"))
    Path("table/e.txt").write_text(table_in_costume())
    Path("space/a.toml").write_text(TOML)
    read_table("table/a.csv").frame.write_parquet("parquet/a.parquet")
    _write_row_groups("parquet/b.parquet")
    quick = ("--hidden", "3", "--epochs", "2", "--engine", "array", "--backend", "numpy", "-q")
    _run("train", "table/a.csv", *quick, "-o", "model/classes")
    _run("train", "table/a.csv", "-t", "y", *quick, "-o", "model/values")
    _run("train", "table/a.csv", *quick, "--members", "2", "-o", "ensemble/a")
    fitted = MLPClassifier((3,), max_iter=3, random_state=0, solver="sgd", learning_rate="adaptive").fit(X, Y)
    fitted.partial_fit(X, Y).save("estimator/classes")
    MLPRegressor(hidden_layer_sizes=(2,), max_iter=2, random_state=0, n_members=2).fit(X, X[:, 0]).save(
        "estimator/members"
    )
    with contextlib.suppress(Killed):
        resume(Path("checkpoint/a"), killed=True)
    done = ("--trials", "3", "--folds", "2", "--set", "epochs=2", "--engine", "array", "--ensemble", "2", "-q")
    for name, target in (("classes", "kind"), ("values", "y")):
        _run("sweep", "table/a.csv", "-t", target, *done, "-o", f"results/{name}")
    sweep(Path("ledger"), resume=False)


def _write_row_groups(path: str) -> None:
    import polars as pl

    frame = pl.DataFrame({"x": np.arange(40) / 7, "colour": ["red", None] * 20, "y": [1, None, 3, 4] * 10})
    frame.with_columns(pl.Series("kind", ["a", "b"] * 20)).write_parquet(path, row_group_size=10, compression="gzip")


def _run(*arguments: str) -> None:
    if main(arguments) != 0:
        raise SystemExit(f"gpubp {' '.join(arguments)} did not succeed: there is nothing to fuzz.")


def resume(path: Path, killed: bool = False) -> None:
    """The training of the checkpoint: killed after its second epoch, or gone on with."""

    def callback(report: Any) -> None:
        if killed and report.epoch == 2:
            raise Killed

    networks = Population.initialize(Architecture(3, (3,), 1), network_seeds(0, 3), get_backend("numpy"))
    settings = Settings(
        "squared_error", epochs=5, early_stopping=EarlyStopping(monitor="training_loss"), schedule="adaptive"
    )
    checkpoint = Checkpoint(path, seconds=0, resume=not killed, tell=lambda text: None)
    try:
        train(networks, X, X[:, :1], settings, engine="array", checkpoint=checkpoint, callbacks=[callback])
    finally:
        checkpoint.lock.release()


def sweep(folder: Path, resume: bool) -> None:
    gpubp.sweep(X, Y, SPACE, folder=folder, resume=resume, **HOW)


def _without_times(path: Path) -> None:
    """What a clock has written into a file, made the same for all times."""
    if path.suffix == ".json":
        found = json.loads(path.read_bytes())
        found.pop(SEAL)
        path.write_text(json.dumps(sealed(_timeless(found))))
    elif path.parts[-2] in ("model", "ensemble", "estimator", "checkpoint"):
        arrays, described = read_array_file(path, "a file", "")
        arrays = {name: np.ones_like(array) if name.startswith("seconds") else array for name, array in arrays.items()}
        write_array_file(path, arrays, _timeless(described))


def _timeless(value: Any) -> Any:
    fixed = {"seconds": 1.0, "time_share": 0.25, "date": "2026-01-01T00:00:00+00:00"}
    if isinstance(value, Mapping):
        return {name: fixed.get(name, _timeless(item)) for name, item in value.items()}
    return [_timeless(item) for item in value] if isinstance(value, list) else value
