"""The portfolio: configurations that were chosen once, for all tables, and how they are fitted to one.

`portfolio.json` is the result of scripts/make_portfolio.py, which says how they were chosen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from gpubp.fitting.table_data import TableData
from gpubp.operations.architecture import kind_of
from gpubp.operations.periodic import Periodic
from gpubp.search.space.parameters import as_value, recipe_of

ROWS = 1_000
"""Rows that networks are trained on for which the epochs of the portfolio hold: with N rows they are √(ROWS / N) of
these, so that ten times as many rows take three times as long. Smaller tables have as many epochs.
"""
FEWEST_EPOCHS = 10
MOST_INPUTS = 512
"""Of dense layers: where waves would make more of a table's numbers, or there are no numbers, there are no waves."""


def portfolio(task: str, name: str = "good") -> list[dict[str, Any]]:
    """The configurations for "classification" or "regression", as parameters of a search space, the best first. name:
    "good", or "fast", whose few ones take little time.
    """
    found = json.loads(files("gpubp.tabular").joinpath("portfolio.json").read_text(encoding="utf-8"))
    return [{name: _value(name, each) for name, each in given.items()} for given in found[task][name]]


def fitted_to(parameters: Mapping[str, Any], data: TableData, n_training: int) -> dict[str, Any]:
    """A configuration for this table, of which each network is trained on so many rows."""
    found = dict(parameters)
    share = min(1.0, (ROWS / n_training) ** 0.5)
    found["epochs"] = max(min(FEWEST_EPOCHS, found["epochs"]), round(found["epochs"] * share))
    recipe = recipe_of(found)
    n_inputs, indicators = data.n_inputs(recipe.inputs), data.indicators(recipe.inputs)
    front = recipe.architecture(n_inputs, data.n_outputs, data.task, indicators).layers[: len(recipe.front)]
    waves = [layer for layer in front if isinstance(layer, Periodic)]
    if any(not layer.numbers or layer.n_outputs > MOST_INPUTS for layer in waves):
        found["front"] = tuple(kind for kind in recipe.front if kind_of(kind) not in {layer.name for layer in waves})
        found.pop("sigma", None)
    return found


def _value(name: str, given: Any) -> Any:
    """JSON has lists where parameters are tuples."""
    return as_value(name, tuple(given) if isinstance(given, list) else given)
