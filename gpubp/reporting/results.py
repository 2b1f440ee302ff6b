"""`results.json` as values that are what they seem to be: the rest of the report needs no doubts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from gpubp.errors import DataError
from gpubp.sweeping.summary import FORMAT, VERSION

RESULTS = "results.json"
STATUSES = ("complete", "stopped", "diverged", "unfinished")
DAMAGE = (KeyError, TypeError, IndexError, ValueError, OverflowError, AttributeError, RecursionError)
LARGEST = 1e100  # of what can be drawn: widths and products stay finite
T = TypeVar("T")

Value = str | int | float | bool | tuple[Any, ...] | None
"""Of a hyperparameter."""


@dataclass(frozen=True)
class Trial:
    """rank: 1 for the best. scores: of each fold, None for a lost network; mean, std: None where there is none."""

    number: int
    rank: int
    parameters: Mapping[str, Value]
    status: str
    scores: tuple[float | None, ...]
    mean: float | None
    std: float | None
    epochs: float
    diverged_epoch: int | None
    time_share: float


@dataclass(frozen=True)
class Entry:
    """Of the search space: choices, or a range from low to high."""

    choices: tuple[Value, ...] = ()
    low: float = math.nan
    high: float = math.nan
    log: bool = False

    @property
    def is_range(self) -> bool:
        return not self.choices


@dataclass(frozen=True)
class FoldCurve:
    """After the epochs of `Curves`, or after the first of them where early stopping came; None: not a finite number."""

    fold: int
    best_epoch: int | None
    training_loss: tuple[float | None, ...]
    validation_loss: tuple[float | None, ...]
    validation_score: tuple[float | None, ...]


@dataclass(frozen=True)
class Curves:
    """rows: whose validation_loss and validation_score are: "held" back for early stopping, or of the "test" fold."""

    rows: str
    loss: str
    score: str
    epochs: tuple[int, ...]
    folds: tuple[FoldCurve, ...]


@dataclass(frozen=True)
class Bin:
    """Of the predicted class's probability: the rows in it, their mean probability, and how many were right, 0 to 1."""

    low: float
    high: float
    rows: int
    probability: float | None
    right: float | None


@dataclass(frozen=True)
class Classes:
    """confusion: a row for each true class, a column for each predicted one."""

    rows: int
    accuracy: float
    log_loss: float
    macro_f1: float
    confusion: tuple[tuple[int, ...], ...]
    calibration_error: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Values:
    """residual_rows: of predicted − true between each two of residual_edges. true, predicted: of some rows."""

    rows: int
    r2: float
    rmse: float
    mae: float
    true: tuple[float, ...]
    predicted: tuple[float, ...]
    residual_edges: tuple[float, ...]
    residual_rows: tuple[int, ...]


@dataclass(frozen=True)
class Ensemble:
    score: float
    best_alone: float
    networks: int


@dataclass(frozen=True)
class Results:
    """folder: where they lie. trials: the best first. space: by name, with those of conditions."""

    folder: Path
    gpubp: str
    date: datetime
    source: str | None
    rows: int
    target: str | None
    columns: int | None
    task: str
    metric: str
    strategy: str
    seed: int
    folds: int
    labels: tuple[str, ...]
    space: Mapping[str, tuple[Entry, ...]]
    trials: tuple[Trial, ...]
    curves: Curves | None
    classes: Classes | None
    values: tuple[Values, ...]
    baseline: float | None
    ensemble: Ensemble | None
    command: str
    networks: int
    seconds: float
    backend: str
    ended_early: bool
    notes: tuple[str, ...]

    @property
    def best(self) -> Trial:
        return self.trials[0]

    def count(self, status: str) -> int:
        return sum(trial.status == status for trial in self.trials)


def load(folder: Path) -> Results:
    """What `gpubp sweep … --output folder` has written. DataError where there is none, and for anything else."""
    given = document(folder)
    try:
        return _results(folder, given)
    except DAMAGE as error:
        path = folder / RESULTS
        raise DataError(f"{path} is damaged ({type(error).__name__}: {error!s:.120}). Run the sweep again.") from None


def document(folder: Path) -> dict[str, Any]:
    """The same as it is written, in JSON values; only its format is sure."""
    path = folder / RESULTS
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"There is no {path}: run `gpubp sweep TABLE --output {folder}` first, or name the folder of a sweep."
        ) from None
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged: it is no JSON ({error}). Run the sweep again.") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DataError(f"{path} holds no results of a sweep. Name the folder of a `gpubp sweep … --output`.")
    if found.get("version") != VERSION:
        raise DataError(
            f"{path} has the format version {found.get('version')!r:.40}; this gpubp reads version {VERSION}. Make "
            "the report with the gpubp that ran the sweep, or run the sweep again."
        )
    return found


def _results(folder: Path, given: dict[str, Any]) -> Results:
    table, outcome, best = given["table"], given["outcome"], given["best"]
    labels = _maybe(lambda labels: _each(_text, labels), given["labels"]) or ()
    trials = tuple(sorted(_each(_trial, given["trials"]), key=lambda trial: trial.rank))
    if (
        [trial.rank for trial in trials] != list(range(1, len(trials) + 1))
        or trials[0].mean is None
        or trials[0].status not in ("complete", "stopped")
    ):
        raise ValueError("the trials have no order, or no best one")
    if trials[0].number != best["trial"] or len({trial.number for trial in trials}) < len(trials):
        raise ValueError("the best trial is not the first")
    found = _maybe(dict, best["predictions"])
    task = _one_of(given["task"], ("classification", "regression"))
    classes = None if found is None or task == "regression" else _classes(found, len(labels))
    values = () if found is None or classes is not None else _each(lambda o: _values(o, found), found["outputs"])
    return Results(
        folder=folder,
        gpubp=_text(given["gpubp"]),
        date=datetime.fromisoformat(given["date"]),
        source=_maybe(_text, table["source"]),
        rows=_whole(table["rows"]),
        target=_maybe(_text, table["target"]),
        columns=_maybe(lambda names: len(_each(_text, names)), table["columns"]),
        task=task,
        metric=_text(given["metric"]),
        strategy=_text(given["strategy"]),
        seed=_whole(given["seed"]),
        folds=_whole(given["folds"]),
        labels=labels,
        space=_space(given["space"]),
        trials=trials,
        curves=_maybe(_curves, best["curves"]),
        classes=classes,
        values=values,
        baseline=_maybe(_number, outcome["baseline"]),
        ensemble=_maybe(_ensemble, outcome["ensemble"]),
        command=_text(outcome["command"]),
        networks=_whole(outcome["networks"]),
        seconds=_number(outcome["seconds"]),
        backend=_text(outcome["backend"]),
        ended_early=_flag(outcome["ended_early"]),
        notes=_each(_text, outcome["notes"]),
    )


def _trial(given: Any) -> Trial:
    epochs = _each(_whole, given["epochs"])
    return Trial(
        number=_whole(given["trial"]),
        rank=_whole(given["rank"]),
        parameters={_name(name): _value(value) for name, value in given["parameters"].items()},
        status=_one_of(given["status"], STATUSES),
        scores=_each(_number_or_none, given["scores"]),
        mean=_number_or_none(given["mean"]),
        std=_number_or_none(given["std"]),
        epochs=sum(epochs) / len(epochs),
        diverged_epoch=_maybe(_whole, given["diverged_epoch"]),
        time_share=_number(given["time_share"]),
    )


def _space(given: Any) -> dict[str, tuple[Entry, ...]]:
    found: dict[str, tuple[Entry, ...]] = {}
    for entries in (given["entries"], *(condition["entries"] for condition in given["conditions"])):
        for name, entry in entries.items():
            found[_name(name)] = (*found.get(name, ()), _entry(entry))
    return found


def _entry(given: Any) -> Entry:
    if "choices" in given:
        choices = _each(_value, given["choices"])
        if not choices:
            raise ValueError("no choices")
        return Entry(choices)
    low, high, log = _number(given["low"]), _number(given["high"]), _flag(given["log"])
    if low > high or (log and low <= 0):
        raise ValueError(f"a range from {low} to {high}")
    return Entry(low=low, high=high, log=log)


def _curves(given: Any) -> Curves:
    folds = _each(
        lambda fold: FoldCurve(
            _whole(fold["fold"]),
            _maybe(_whole, fold["best_epoch"]),
            *(_each(_number_or_none, fold[name]) for name in ("training_loss", "validation_loss", "validation_score")),
        ),
        given["folds"],
    )
    epochs = _each(_whole, given["epoch"])
    for fold in folds:
        lengths = {len(fold.training_loss), len(fold.validation_loss), len(fold.validation_score)}
        if len(lengths) != 1 or not 1 <= lengths.pop() <= len(epochs):
            raise ValueError("learning curves of different lengths")
    rows = _one_of(given["rows"], ("held", "test"))
    return Curves(rows, _text(given["loss"]), _text(given["score"]), epochs, folds)


def _classes(given: dict[str, Any], n_labels: int) -> Classes:
    confusion = _each(lambda row: _each(_whole, row), given["confusion_matrix"])
    if n_labels < 2 or {len(confusion), *map(len, confusion)} != {n_labels}:
        raise ValueError("the confusion matrix does not fit the labels")
    bins = _each(
        lambda each: Bin(
            _number(each["from"]),
            _number(each["to"]),
            _whole(each["rows"]),
            _number_or_none(each["probability"]),
            _number_or_none(each["right"]),
        ),
        given["calibration"],
    )
    return Classes(
        rows=_whole(given["rows"]),
        accuracy=_number(given["accuracy"]),
        log_loss=_number(given["log_loss"]),
        macro_f1=_number(given["macro_f1"]),
        confusion=confusion,
        calibration_error=_number(given["expected_calibration_error"]),
        bins=bins,
    )


def _values(given: Any, of: dict[str, Any]) -> Values:
    true, predicted = (_each(_number, given[name]) for name in ("true", "predicted"))
    edges, rows = _each(_number, given["residuals"]["edges"]), _each(_whole, given["residuals"]["rows"])
    if not true or len(true) != len(predicted) or len(edges) != len(rows) + 1 or not rows:
        raise ValueError("predictions of different lengths")
    return Values(
        rows=_whole(of["rows"]),
        r2=_number(given["r2"]),
        rmse=_number(given["rmse"]),
        mae=_number(given["mae"]),
        true=true,
        predicted=predicted,
        residual_edges=edges,
        residual_rows=rows,
    )


def _ensemble(given: Any) -> Ensemble:
    return Ensemble(_number(given["score"]), _number(given["best_alone"]), _whole(given["networks"]))


def _each(kind: Callable[[Any], T], given: Any) -> tuple[T, ...]:
    if not isinstance(given, list):
        raise TypeError(f"{given!r:.40} is no list")
    return tuple(kind(item) for item in given)


def _maybe(kind: Callable[[Any], T], given: Any) -> T | None:
    return None if given is None else kind(given)


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f"{given!r:.40} is no text")
    return given.encode(errors="replace").decode()  # halves of a surrogate pair, which JSON allows


def _name(given: Any) -> str:
    """Of a hyperparameter; names of pictures are made of it."""
    if not re.fullmatch("[a-z0-9_]{1,40}", _text(given)):
        raise ValueError(f"{given!r:.40} is no hyperparameter")
    return str(given)


def _number(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not abs(given) <= LARGEST:
        raise TypeError(f"{given!r:.40} is no number within ±{LARGEST:g}")
    return float(given)


def _number_or_none(given: Any) -> float | None:
    return _maybe(_number, given)


def _whole(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < 2**64:
        raise TypeError(f"{given!r:.40} is no count")
    return given


def _flag(given: Any) -> bool:
    if not isinstance(given, bool):
        raise TypeError(f"{given!r:.40} is neither true nor false")
    return given


def _one_of(given: Any, allowed: tuple[str, ...]) -> str:
    if given not in allowed:
        raise ValueError(f"{given!r:.40} is none of {', '.join(allowed)}")
    return str(given)


def _value(given: Any) -> Value:
    if isinstance(given, list):
        return tuple(_value(item) for item in given)
    if isinstance(given, str):
        return _text(given)
    if given is None or isinstance(given, bool):
        return given
    number = _number(given)
    return given if isinstance(given, int) else number
