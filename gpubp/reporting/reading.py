"""`results.json`, read and checked: the one place where its values are doubted."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from gpubp.errors import DataError
from gpubp.reporting.results import (
    STATUSES,
    Bin,
    Classes,
    Curves,
    Ensemble,
    Entry,
    FoldCurve,
    Results,
    Trial,
    Value,
    Values,
)
from gpubp.search.results.summary import FORMAT, VERSION
from gpubp.storage.json_values import parse, unsealed
from gpubp.storage.schema import Given

RESULTS = "results.json"
LARGEST, LEAST = 1e100, 1e-100  # of what can be drawn: widths and products stay finite, logarithms too
NAMES = (
    *("format", "version", "gpubp", "date", "outcome", "table", "task", "metric", "strategy", "seed", "folds"),
    *("labels", "space", "trials", "best"),
)


def load(folder: Path) -> Results:
    """Read what `gpubp sweep … --output folder` has written. DataError where there is nothing, or anything else."""
    path = folder / RESULTS
    found = _read(path, folder)
    try:
        return _results(folder, Given(unsealed(found)))
    except DataError as error:
        raise DataError(f"{path} is damaged: {error} Run the sweep again.") from error


def _read(path: Path, folder: Path) -> dict[str, Any]:
    """The document, of which only the format is sure."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"There is no {path}: run `gpubp sweep TABLE --output {folder}` first, or name the folder of a sweep."
        ) from None
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from None
    try:
        found = parse(content)
    except DataError as error:
        raise DataError(f"{path} is damaged: {error} Run the sweep again.") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DataError(f"{path} holds no results of a sweep. Name the folder of a `gpubp sweep … --output`.")
    if found.get("version") != VERSION:
        raise DataError(
            f"{path} has the format version {found.get('version')!r:.40}; this gpubp reads version {VERSION}. Make "
            "the report with the gpubp that ran the sweep, or run the sweep again."
        )
    return found


def _results(folder: Path, given: Given) -> Results:
    given.only(*NAMES)
    table, outcome, best = given["table"], given["outcome"], given["best"]
    folds = given["folds"].whole(1)
    trials = tuple(sorted(given["trials"].each(lambda trial: _trial(trial, folds), least=1), key=lambda t: t.rank))
    if [trial.rank for trial in trials] != list(range(1, len(trials) + 1)):
        raise given["trials"].wrong("trials with the ranks 1, 2, 3 and so on")
    if len({trial.number for trial in trials}) < len(trials):
        raise given["trials"].wrong("trials with different numbers")
    if trials[0].mean is None or trials[0].status not in ("complete", "stopped"):
        raise given["trials"].wrong("trials of which the one of rank 1 has a score")
    if trials[0].number != best["trial"].whole():
        raise best["trial"].wrong(f"the number of the trial of rank 1, {trials[0].number}")
    task = given["task"].choice(("classification", "regression"))
    labels = given["labels"].maybe(lambda names: names.each(Given.readable, least=2)) or ()
    if bool(labels) != (task == "classification"):
        raise given["labels"].wrong("the classes of a classification, and null for a regression")
    found = best["predictions"]
    _check_outcome(outcome)
    return Results(
        folder=folder,
        gpubp=given["gpubp"].readable(),
        date=_date(given["date"]),
        source=table["source"].maybe(Given.readable),
        rows=table["rows"].whole(1),
        target=table["target"].maybe(Given.readable),
        columns=table["columns"].maybe(lambda names: len(names.each(Given.readable))),
        task=task,
        metric=given["metric"].readable(),
        strategy=given["strategy"].readable(),
        seed=given["seed"].whole(),
        folds=folds,
        labels=labels,
        space=_space(given["space"]),
        trials=trials,
        curves=best["curves"].maybe(lambda curves: _curves(curves, folds)),
        classes=found.maybe(lambda classes: _classes(classes, len(labels))) if labels else None,
        values=() if labels or found.is_null else found["outputs"].each(lambda o: _values(o, _rows(found)), least=1),
        baseline=outcome["baseline"].maybe(_number),
        ensemble=outcome["ensemble"].maybe(_ensemble),
        command=outcome["command"].readable(),
        networks=outcome["networks"].whole(1),
        seconds=_positive(outcome["seconds"]),
        backend=outcome["backend"].readable(),
        ended_early=outcome["ended_early"].flag(),
        notes=outcome["notes"].each(Given.readable),
        outcome=outcome.value,
    )


def _check_outcome(given: Given) -> None:
    """What `_results` does not take out of it: a leaderboard, which the command shows again."""
    for name in ("task", "metric", "strategy"):
        given[name].readable()
    given["trials"].whole(1)
    given["diverged"].whole()
    for trial in (given["best"], *given["leaderboard"].items(least=1)):
        trial["trial"].whole()
        trial["score"].maybe(_number)
        trial["standard_deviation"].maybe(_positive)
        trial["fold_scores"].each(_number_or_none)
        _positive(trial["epochs"])
        trial["status"].choice(STATUSES)
        trial["engine"].readable()
        _parameters(trial["parameters"])
    given.get("written").maybe(lambda files: files.each(Given.readable))


def _trial(given: Given, folds: int) -> Trial:
    epochs = given["epochs"].each(Given.whole, least=1)
    scores = given["scores"].each(_number_or_none)
    if not len(epochs) == len(scores) == folds:
        raise given.wrong(f"with epochs and scores of {folds} folds")
    return Trial(
        number=given["trial"].whole(),
        rank=given["rank"].whole(1),
        parameters=_parameters(given["parameters"]),
        status=given["status"].choice(STATUSES),
        scores=scores,
        mean=given["mean"].maybe(_number),
        std=given["std"].maybe(_positive),
        epochs=sum(epochs) / folds,
        diverged_epoch=given["diverged_epoch"].maybe(Given.whole),
        time_share=_share(given["time_share"]),
    )


def _parameters(given: Given) -> dict[str, Value]:
    return {_name(given, name): _value(value) for name, value in given.entries().items()}


def _space(given: Given) -> dict[str, tuple[Entry, ...]]:
    found: dict[str, tuple[Entry, ...]] = {}
    for place in (given, *given["conditions"].items()):
        for name, entry in place["entries"].entries().items():
            found[_name(place["entries"], name)] = (*found.get(name, ()), _entry(entry))
    return found


def _entry(given: Given) -> Entry:
    if not given.get("choices").is_null:
        return Entry(given["choices"].each(_value, least=1))
    low, high, log = _number(given["low"]), _number(given["high"]), given["log"].flag()
    if low > high or (log and low <= 0):
        raise given.wrong("a range from a low to a high number, above 0 for a logarithmic one")
    return Entry(low=low, high=high, log=log)


def _curves(given: Given, most_folds: int) -> Curves:
    epochs = given["epoch"].each(lambda epoch: epoch.whole(1), least=1)
    if any(later <= earlier for earlier, later in pairwise(epochs)):
        raise given["epoch"].wrong("a list of growing numbers")
    names = ("training_loss", "validation_loss", "validation_score")
    folds = []
    for fold in given["folds"].items(least=1):
        series = [fold[name].each(_number_or_none, least=1) for name in names]
        if len({*map(len, series)}) != 1 or len(series[0]) > len(epochs):
            raise fold.wrong(f"with curves of one length, up to {len(epochs)}")
        number = fold["fold"].whole(1, most_folds)
        folds.append(FoldCurve(number, fold["best_epoch"].maybe(lambda epoch: epoch.whole(1)), *series))
    rows = given["rows"].choice(("held", "test"))
    return Curves(rows, given["loss"].readable(), given["score"].readable(), epochs, tuple(folds))


def _classes(given: Given, n_labels: int) -> Classes:
    rows = _rows(given)
    confusions = _confusions(given, n_labels, rows)
    bins = given["calibration"].each(_bin, least=1)
    if sum(each.rows for each in bins) != rows or any(b.low != a.high for a, b in pairwise(bins)):
        raise given["calibration"].wrong(f"bins side by side, of {rows} rows")
    return Classes(
        rows=rows,
        accuracy=_share(given["accuracy"]),
        log_loss=_positive(given["log_loss"]),
        macro_f1=_share(given["macro_f1"]),
        confusions=confusions,
        calibration_error=_share(given["expected_calibration_error"]),
        bins=bins,
    )


def _confusions(given: Given, n_labels: int, rows: int) -> dict[tuple[int, int], int]:
    """By (true, predicted), from a matrix, or, of very many classes, from the pairs that occur."""
    if given["confusion_matrix"].is_null:
        pairs = given["confusions"].each(lambda pair: pair.each(Given.whole))
        if any(len(pair) != 3 or max(pair[:2]) >= n_labels for pair in pairs) or sum(pair[2] for pair in pairs) != rows:
            raise given["confusions"].wrong(f"pairs of {n_labels} classes with their counts, of {rows} rows")
        return {(true, predicted): count for true, predicted, count in pairs}
    matrix = given["confusion_matrix"].each(lambda row: row.each(Given.whole))
    if {len(matrix), *map(len, matrix)} != {n_labels} or sum(map(sum, matrix)) != rows:
        raise given["confusion_matrix"].wrong(f"{n_labels} × {n_labels} counts of {rows} rows")
    return {(i, j): count for i, counts in enumerate(matrix) for j, count in enumerate(counts) if count}


def _bin(given: Given) -> Bin:
    low, high, rows = _share(given["from"]), _share(given["to"]), given["rows"].whole()
    probability, right = given["probability"].maybe(_share), given["right"].maybe(_share)
    if low >= high or (rows == 0) != (probability is None) or (rows == 0) != (right is None):
        raise given.wrong("a bin from a lower to a higher share, with two more shares where it has rows")
    return Bin(low, high, rows, probability, right)


def _values(given: Given, rows: int) -> Values:
    true, predicted = (given[name].each(_number, least=1) for name in ("true", "predicted"))
    if len(true) != len(predicted) or len(true) > rows:
        raise given.wrong(f"with as many true as predicted values, up to {rows}")
    residuals = given["residuals"]
    edges, counts = residuals["edges"].each(_number), residuals["rows"].each(Given.whole, least=1)
    if len(edges) != len(counts) + 1 or any(b <= a for a, b in pairwise(edges)) or sum(counts) != rows:
        raise residuals.wrong(f"counts of {rows} rows between growing edges")
    return Values(
        rows=rows,
        r2=_number(given["r2"]),
        rmse=_positive(given["rmse"]),
        mae=_positive(given["mae"]),
        true=true,
        predicted=predicted,
        residual_edges=edges,
        residual_rows=counts,
    )


def _ensemble(given: Given) -> Ensemble:
    return Ensemble(_number(given["score"]), _number(given["best_alone"]), given["networks"].whole(1))


def _rows(given: Given) -> int:
    return given["rows"].whole(1, 2**53)


def _date(given: Given) -> datetime:
    try:
        return datetime.fromisoformat(given.text())
    except ValueError:
        raise given.wrong("a date and a time") from None


def _name(given: Given, name: str) -> str:
    """Of a hyperparameter; names of pictures are made of it."""
    if not re.fullmatch("[a-z0-9_]{1,40}", name):
        raise given.wrong("an object by the names of hyperparameters")
    return name


def _number(given: Given) -> float:
    """As far as it can be drawn: what is closer to 0 is 0."""
    found = given.number(-LARGEST, LARGEST)
    return found if abs(found) >= LEAST else 0.0


def _number_or_none(given: Given) -> float | None:
    return given.maybe(_number)


def _positive(given: Given) -> float:
    given.number(0.0, LARGEST)
    return _number(given)


def _share(given: Given) -> float:
    given.number(0.0, 1.0 + 1e-9)  # a sum of shares may be rounded
    return min(1.0, _number(given))


def _value(given: Given) -> Value:
    if isinstance(given.value, list):
        return given.each(_scalar)
    return _scalar(given)


def _scalar(given: Given) -> Value:
    if given.is_null or isinstance(given.value, bool):
        found: Value = given.value
        return found
    if isinstance(given.value, str):
        return given.readable()
    if isinstance(given.value, int):
        return given.whole(-(2**63))
    return _number(given)
