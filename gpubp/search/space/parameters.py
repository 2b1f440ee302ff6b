"""The parameters that a search space may name, and the recipe that a drawn configuration stands for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gpubp.errors import SettingsError
from gpubp.errors.suggestions import did_you_mean
from gpubp.fitting.recipe import Recipe
from gpubp.operations.architecture import front_kinds, kind_of
from gpubp.operations.dense import Dense
from gpubp.operations.losses import LOSSES
from gpubp.operations.parametric import PARAMETRIC, ParametricDense
from gpubp.operations.registry import OPTIONS, kind_of_option
from gpubp.operations.registry import owners as owners_of_option
from gpubp.operations.schedules import SCHEDULES

OPTION_FIELDS = {kind: f"{kind}_options" for kind in OPTIONS}
"""The fields of Recipe that hold an operation's options by name; a search space names the options themselves."""
OWNERS = {"layer": "front"}  # the parameter that says who has a kind's options, where its name is another
NOT_SEARCHED = ("seed", "by_task", *OPTION_FIELDS.values())
RECIPE_NAMES = tuple(field.name for field in dataclasses.fields(Recipe) if field.name not in NOT_SEARCHED)
NAMES = (*RECIPE_NAMES, *(name for kind in ("optimizer", "schedule", "loss", "layer") for name in OPTIONS[kind]))
STOPPING_OPTIONS = ("patience", "validation", "monitor", "ties")
FLAGS = ("early_stopping", "shuffle", "clip_predictions", "zero_last_layer", "even_batches")
TUPLES = ("hidden", "dropout", "activation", "front")  # whose values may be tuples, of as many as there are layers


def check_name(name: Any) -> None:
    """SettingsError, with the nearest name, for what is no parameter."""
    if name in NAMES:
        return
    hint = did_you_mean(name, NAMES, "option")
    raise SettingsError(f"The search space names {name!r}, which is no parameter.{hint} There are {', '.join(NAMES)}.")


def owners(name: str) -> tuple[str, tuple[Any, ...]] | None:
    """For an option the parameter that says who has it ("optimizer", "front", "activation", …), and the values that
    have it; None for all others.
    """
    kind = kind_of_option(name)
    if kind is not None:
        having = owners_of_option(kind, name)
        if ParametricDense.name in having:
            return "activation", PARAMETRIC
        return None if Dense.name in having else (OWNERS.get(kind, kind), having)
    return ("early_stopping", (True,)) if name in STOPPING_OPTIONS else None


def applies(name: str, chosen: Mapping[str, Any]) -> bool:
    """Whether a configuration with these choices has a use for the parameter: an option is its optimizer's alone."""
    owned = owners(name)
    return owned is None or has_option(chosen.get(owned[0], getattr(Recipe, owned[0])), owned[1])


def has_option(value: Any, owned: tuple[Any, ...]) -> bool:
    """Whether the value is one of the owners of an option; of several layers or activations, whether one of them is."""
    return any(kind_of(each) in owned for each in value) if isinstance(value, tuple) else value in owned


def as_value(name: str, value: Any) -> Any:
    """One value of a parameter in its usual form: hidden layers as a tuple, whatever NumPy type it came in."""
    if isinstance(value, np.ndarray) and value.ndim:
        value = value.tolist()
    if name == "front" and (value is None or isinstance(value, str)):
        return front_kinds(value)
    if name == "hidden" and not isinstance(value, (tuple, list)):
        return (as_value("", value),)
    if isinstance(value, (tuple, list)):
        return tuple(as_value("", each) for each in value)
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def choices_of(given: Any) -> list[Any]:
    """What a list of choices may come as: a list, an array (its first axis), a range, or a series of pandas or polars.
    Anything else is one value; so is a tuple.
    """
    if isinstance(given, (list, range)):
        return list(given)
    convert = getattr(given, "tolist", None) or getattr(given, "to_list", None)
    if isinstance(given, (str, bytes, tuple)) or convert is None or np.ndim(given) == 0:
        return [given]
    return list(convert())


def check_value(name: str, value: Any) -> None:
    """SettingsError, in the words of `Recipe` and `Settings`, for a value that no recipe could have."""
    owned = owners(name)
    chosen = {name: value} | ({owned[0]: owned[1][0]} if owned else {})
    if chosen.get("schedule") in [schedule.name for schedule in SCHEDULES.values() if schedule.steers]:
        chosen["early_stopping"] = True
    if name in ("label_smoothing", "smoothing_schedule"):
        chosen["loss"] = next(loss.name for loss in LOSSES.values() if loss.takes_smooth_labels)
    if name in ("dropout", "activation") and isinstance(value, tuple):
        chosen["hidden"] = (1,) * len(value)
    try:
        if isinstance(value, tuple) and name not in TUPLES:
            raise SettingsError(f"{value!r:.60} is a tuple: give one value, or a list of choices.")
        if name in FLAGS and not isinstance(value, bool):
            raise SettingsError(f"{value!r:.60}: give True or False.")
        recipe_of(chosen)
    except SettingsError as error:
        raise SettingsError(f"The search space's {name}: {error}") from None
    except (TypeError, ValueError) as error:
        raise SettingsError(f"The search space's {name} cannot be {value!r:.60} ({error}).") from None


def recipe_of(parameters: Mapping[str, Any], seed: int = 0, **defaults: Any) -> Recipe:
    """The recipe of a drawn configuration; `defaults` are for what it does not name."""
    given = defaults | dict(parameters)
    for kind, what in OPTION_FIELDS.items():
        given[what] = _pop(given, OPTIONS[kind])
    return Recipe(**given, seed=seed)


def _pop(given: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: given.pop(name) for name in names if name in given}
