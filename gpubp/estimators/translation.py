"""The one table of what a sweep's options are called as parameters of its estimators; read in both directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpubp.estimators.parameters import MOMENTUM, OPTIMIZER_OPTIONS
from gpubp.fitting.recipe import Recipe
from gpubp.networks.settings import Settings
from gpubp.operations.optimizers import OPTIMIZERS

SCHEDULES = {"inverse_scaling": "invscaling"}  # where the names differ


@dataclass(frozen=True)
class Translation:
    """options: fields of Recipe. parameters: what an estimator has of a recipe; recipe: the fields that it stands for.

    task: the only one that has it; None for both.
    """

    options: tuple[str, ...]
    parameters: Callable[[Recipe], dict[str, Any]]
    recipe: Callable[[Mapping[str, Any]], dict[str, Any]]
    task: str | None = None


def _renamed(option: str, parameter: str, kind: Callable[[Any], Any] = lambda value: value) -> Translation:
    return Translation(
        (option,),
        lambda recipe: {parameter: kind(getattr(recipe, option))},
        lambda given: {option: kind(given[parameter])},
    )


def _optional(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else kind(value)


def _shares(value: Any) -> Any:
    return tuple(float(each) for each in value) if np.ndim(value) else float(value)


def _sizes(value: Any) -> tuple[int, ...]:
    return tuple(np.atleast_1d(np.asarray(value, dtype=np.int64)).tolist())


def _one_activation(value: Any) -> str:
    """Of hidden layers that are all alike, which is all that an estimator has."""
    return value if isinstance(value, str) else str(value[0]) if len(value) else "relu"


def _settings(recipe: Recipe) -> Settings:
    return recipe.settings(recipe.likely_task)


def _optimizer(recipe: Recipe) -> dict[str, Any]:
    settings = _settings(recipe)
    options = {OPTIMIZER_OPTIONS[name]: float(value) for name, value in settings.all_optimizer_options().items()}  # type: ignore[arg-type]
    if recipe.optimizer not in MOMENTUM:
        return {"solver": recipe.optimizer, **options}
    nesterovs = bool(MOMENTUM[recipe.optimizer])
    return {"solver": "sgd", "momentum": options.get("momentum", 0.0), "nesterovs_momentum": nesterovs}


def _optimizer_of(given: Mapping[str, Any]) -> dict[str, Any]:
    name = given["solver"]
    if name == "sgd" and given["momentum"]:
        name = "nesterov" if given["nesterovs_momentum"] else "momentum"
    options = {option: float(given[OPTIMIZER_OPTIONS[option]]) for option in OPTIMIZERS[name].hyperparameters}
    return {"optimizer": name, "optimizer_options": options}


def _schedule(recipe: Recipe) -> dict[str, Any]:
    settings = _settings(recipe)
    options = {name: float(value) for name, value in settings.all_schedule_options().items()}
    found: dict[str, Any] = {"learning_rate": SCHEDULES.get(recipe.schedule, recipe.schedule)}
    if "power" in options:
        found["power_t"] = options.pop("power")
    return found | {"schedule_options": options or None}


def _schedule_of(given: Mapping[str, Any]) -> dict[str, Any]:
    names = {theirs: ours for ours, theirs in SCHEDULES.items()}
    name = names.get(given["learning_rate"], given["learning_rate"])
    options = dict(given["schedule_options"] or {})
    if name == "inverse_scaling":
        options["power"] = float(given["power_t"])
    return {"schedule": name, "schedule_options": options}


def _stopping(recipe: Recipe) -> dict[str, Any]:
    if not recipe.early_stopping:
        return {"early_stopping": False, "n_iter_no_change": np.inf}
    patience = np.inf if recipe.patience is None else recipe.patience
    found = {"early_stopping": True, "n_iter_no_change": patience, "validation_fraction": recipe.validation_share}
    return found | {"monitor": recipe.monitor, "ties": recipe.ties}


def _stopping_of(given: Mapping[str, Any]) -> dict[str, Any]:
    if not given["early_stopping"]:
        return {"early_stopping": False}
    patience = None if given["n_iter_no_change"] == np.inf else int(min(given["n_iter_no_change"], 2**62))
    found = {"early_stopping": True, "patience": patience, "validation": float(given["validation_fraction"])}
    return found | {"monitor": given["monitor"], "ties": given["ties"]}


def _floats(options: Mapping[str, Any]) -> dict[str, float] | None:
    return {name: float(value) for name, value in options.items()} or None


def _whole(value: Any) -> int:
    return int(value)


TRANSLATIONS = (
    _renamed("hidden", "hidden_layer_sizes", _sizes),
    _renamed("activation", "activation", _one_activation),
    Translation(
        ("loss", "loss_options"),
        lambda recipe: {"loss": recipe.loss_for("regression"), "loss_options": _floats(recipe.loss_options)},
        lambda given: {"loss": given["loss"], "loss_options": given["loss_options"] or {}},
        task="regression",
    ),
    Translation(
        ("loss", "loss_options"),
        lambda recipe: {},  # the log loss is the only one of a classifier
        lambda given: {"loss": "cross_entropy"},
        task="classification",
    ),
    Translation(
        ("front", "layer_options"),
        lambda recipe: {"front": ",".join(recipe.front) or None, "layer_options": _floats(recipe.layer_options)},
        lambda given: {"front": given["front"], "layer_options": given["layer_options"] or {}},
    ),
    _renamed("initializer", "initializer"),
    _renamed("zero_last_layer", "zero_last_layer", bool),
    _renamed("even_batches", "even_batches", bool),
    Translation(("optimizer", "optimizer_options"), _optimizer, _optimizer_of),
    _renamed("learning_rate", "learning_rate_init", float),
    _renamed("l2", "alpha", float),
    _renamed("clip_norm", "clip_norm", _optional(float)),
    Translation(("schedule", "schedule_options"), _schedule, _schedule_of),
    _renamed("dropout", "dropout", _shares),
    _renamed("dropout_schedule", "dropout_schedule"),
    _renamed("decay_schedule", "decay_schedule"),
    replace(_renamed("label_smoothing", "label_smoothing", float), task="classification"),
    replace(_renamed("smoothing_schedule", "smoothing_schedule"), task="classification"),
    _renamed("batch_size", "batch_size", _optional(_whole)),
    _renamed("epochs", "max_iter", _whole),
    _renamed("average", "average", _optional(float)),
    _renamed("shuffle", "shuffle", bool),
    Translation(("early_stopping", "patience", "validation", "monitor", "ties"), _stopping, _stopping_of),
    _renamed("scale", "scale"),
    Translation(  # arrays have neither categories nor missing values
        ("category_encoding", "missing_numbers"), lambda recipe: {}, lambda given: {}
    ),
    Translation(  # an estimator has y as it is given, and predicts what its last layer says
        ("target_scale", "clip_predictions"),
        lambda recipe: {},
        lambda given: {"target_scale": "standard", "clip_predictions": False},
    ),
    _renamed("seed", "random_state", _whole),
    _renamed("dtype", "training_dtype"),
)


def parameters_of(recipe: Recipe, task: str) -> dict[str, Any]:
    """An estimator's parameters that train the recipe's network. Its hidden layers' activations have to be alike."""
    found: dict[str, Any] = {}
    for each in TRANSLATIONS:
        if each.task in (None, task):
            found |= each.parameters(recipe)
    return found


def recipe_of_parameters(given: Mapping[str, Any], task: str) -> Recipe:
    """The recipe that such parameters stand for."""
    found: dict[str, Any] = {}
    for each in TRANSLATIONS:
        if each.task in (None, task):
            found |= each.recipe(given)
    return Recipe(**found)
