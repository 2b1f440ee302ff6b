"""How a page of help is ordered: panels by what people look for, and in each what they need first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

MODEL = "The model"
SWEEP = "The sweep"
DATA = "The table"
READING = "How the table is read"
SEARCH = "The search"
NETWORK = "The network"
TRAINING = "The training"
TESTING = "The test"
RESULT = "The result"
LONG_RUNS = "Long runs"
MACHINE = "Where it runs"
GENERAL = "Help, and options from a file"

PANELS = (MODEL, SWEEP, DATA, SEARCH, NETWORK, TRAINING, TESTING, RESULT, LONG_RUNS, MACHINE, READING, GENERAL)
"""In this order. An option names its panel, as `rich_help_panel`; one that names none stands in the last."""

FIRST = (
    *("model", "folder", "table", "target", "task", "ignore", "categorical"),
    *("preset", "trials", "budget", "strategy", "grid", "range_", "fixed", "space"),
    *("hidden", "activation", "members", "bootstrap"),
    *("epochs", "learning_rate", "batch_size", "optimizer", "validation", "early_stopping", "patience", "l2"),
    *("dropout", "loss", "schedule", "folds", "repeats", "metric"),
    *("output", "probabilities", "keep", "keep_all", "ensemble", "page", "as_json", "quiet"),
    *("resume", "checkpoint", "header", "separator", "config", "print_config"),
)
"""Parameters that come first in their panel, in this order; others follow, in the order of the command."""

COMMANDS = (
    *("train", "predict", "evaluate", "cross-validate", "sweep", "report"),
    *("describe", "show", "explain", "case-study", "doctor", "cache"),
)


def in_panels(params: Iterable[Any]) -> Iterator[tuple[str, list[Any]]]:
    """The panels that have something to show, with their parameters."""
    visible = [param for param in params if not getattr(param, "hidden", False)]
    titles = [getattr(param, "rich_help_panel", None) or GENERAL for param in visible]
    for title in sorted(set(titles), key=lambda each: (_place(each, PANELS[:-1]), each == GENERAL)):
        members = [param for param, of in zip(visible, titles, strict=True) if of == title]
        yield title, sorted(members, key=lambda param: _place(param.name, FIRST))


def _place(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)
