"""TabularClassifier and TabularRegressor in a file: that of their ensemble, which says in addition whose it is."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.errors import DataError, ModelFileError
from gpubp.estimators.described import NUMBER_TYPES, TEXT_TYPES, decoded, encoded
from gpubp.estimators.kinds import TABULAR
from gpubp.estimators.spelling import spelled_classes
from gpubp.models.ensemble import Ensemble
from gpubp.storage.schema import Given
from gpubp.tabular.presets import Preset

SCORES = ("oof_score_", "oof_spread_", "baseline_score_", "fit_seconds_")
ENTRY = "estimator"  # of an ensemble's description


def save(estimator: Any, path: str | Path) -> None:
    """ModelFileError for what a file cannot hold: a metric or a splitter of one's own, a RandomState."""
    name = next(name for name, kind in TABULAR.items() if isinstance(estimator, kind))
    names = getattr(estimator, "feature_names_in_", None)
    parameters = estimator.get_params(deep=False)
    if isinstance(parameters["folder"], Path):
        parameters["folder"] = str(parameters["folder"])
    preset = parameters["preset"]
    parameters["preset"] = asdict(preset) if isinstance(preset, Preset) else preset
    try:
        described = {
            "name": name,
            "parameters": {key: encoded(value, f"its parameter {key}") for key, value in parameters.items()},
            "features": estimator.n_features_in_,
            "feature_names": None if names is None else [str(each) for each in names],
            "classes": _labels(estimator),
            "scores": {key: encoded(float(getattr(estimator, key)), key) for key in SCORES},
            "metrics": estimator.oof_metrics_,
            "metric": estimator.metric_,
            "networks": estimator.n_networks_,
            "ended_early": estimator.ended_early_,
            "standings": encoded(estimator._standings, "its leaderboard"),
            "notes": list(estimator.notes_),
        }
    except DataError as error:
        raise ModelFileError(f"Cannot save this {name}. {error}") from error
    ensemble = estimator.ensemble_
    replace(ensemble, description={**ensemble.description, ENTRY: described}).save(path)


def load(path: str | Path, expected: type[Any]) -> Any:
    """ModelFileError for anything but an estimator of that kind."""
    ensemble = Ensemble.load(path)
    given = Given(dict(ensemble.description)).get(ENTRY)
    if given.is_null:
        raise ModelFileError(f"{path} holds an ensemble, but no {expected.__name__}: read it with gpubp.Ensemble.load.")
    try:
        name = given["name"].choice((*TABULAR,))
        if not issubclass(TABULAR[name], expected):
            raise ModelFileError(f"{path} holds a {name}, not a {expected.__name__}: load it with {name}.load.")
        return _assembled(TABULAR[name], ensemble, given)
    except (DataError, ValueError, TypeError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{path} is damaged: {error} Copy it again, or save the estimator again.") from error


def _assembled(kind: type[Any], ensemble: Ensemble, given: Given) -> Any:
    parameters = {name: decoded(entry.value) for name, entry in given["parameters"].entries().items()}
    if odd := sorted({*parameters} ^ {*kind._get_param_names()}):
        raise DataError(f"its {kind.__name__} and this gpubp's differ in their parameters: {', '.join(odd)}.")
    if isinstance(parameters["preset"], dict):  # one of one's own
        parameters["preset"] = Preset(**parameters["preset"])
    found = kind(**parameters)
    found._validate_params()
    description = {name: each for name, each in ensemble.description.items() if name != ENTRY}
    found.ensemble_ = replace(ensemble, description=description)
    found.n_features_in_ = given["features"].whole(1)
    if not given.get("feature_names").is_null:
        names = given["feature_names"].each(Given.text)
        if len(names) != found.n_features_in_:
            raise given["feature_names"].wrong(f"the names of {found.n_features_in_} columns")
        found.feature_names_in_ = np.array(names, dtype=object)
    if ensemble.task != kind._task or ensemble.target is None:
        raise DataError(f"its ensemble is not one of a {kind.__name__}.")
    if ensemble.task == "classification":
        _add_classes(found, given["classes"])
    for name in SCORES:
        value = decoded(given["scores"][name].value)
        if not isinstance(value, float):
            raise given["scores"][name].wrong("a number")
        setattr(found, name, value)
    found.oof_metrics_ = {name: entry.real() for name, entry in given["metrics"].entries().items()}
    found.metric_, found.n_networks_ = given["metric"].text(), given["networks"].whole(1)
    found.ended_early_, found.notes_ = given["ended_early"].flag(), tuple(given["notes"].each(Given.text))
    found._standings = decoded([each.value for each in given["standings"].items()])
    return found


def _labels(estimator: Any) -> dict[str, Any] | None:
    if estimator._task != "classification":
        return None
    classes = estimator.classes_
    kind = "str" if classes.dtype.kind == "U" else classes.dtype.name
    values = classes.tolist()
    if kind not in (*NUMBER_TYPES, *TEXT_TYPES) or (kind == "object" and not all(isinstance(v, str) for v in values)):
        raise DataError(
            f"Its classes are {classes.dtype} such as {values[0]!r:.60}, and the file can hold integers, floats, "
            "booleans and texts: fit on classes of such a type."
        )
    return {"dtype": kind, "values": values}


def _add_classes(found: Any, given: Given) -> None:
    kind = given["dtype"].choice((*NUMBER_TYPES, *TEXT_TYPES))
    values = [each.value for each in given["values"].items(least=2)]
    if not all(isinstance(value, (bool, int, float, str)) for value in values):
        raise given["values"].wrong("a list of labels")
    found.classes_ = np.array(values, dtype=kind)
    if {*spelled_classes(found.classes_)} != {*found.ensemble_.target.labels}:
        raise given["values"].wrong("the labels of its ensemble")
