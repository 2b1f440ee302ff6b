"""Recipes that have names: whole sets of choices that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class NamedRecipe:
    """help: one line. fields: of `Recipe`; by_task: those that are different where numbers, or classes, are
    predicted.
    """

    name: str
    help: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    by_task: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


REALMLP = NamedRecipe(
    "realmlp",
    "RealMLP's: waves, learned factors, cycles of the rate, the best epoch",
    {
        "hidden": (256, 256, 256),
        "front": ("pbld", "scale"),
        "activation": "parametric_selu",
        "initializer": "data_dependent",
        "optimizer": "adamw",
        "learning_rate": 0.04,
        "optimizer_options": {"beta2": 0.95, "weight_decay": 0.02},
        "layer_options": {"fan_in_power": 0.5, "bias_rate": 0.1, "scale_rate": 6.0, "scale_decay": 6.0},
        "schedule": "coslog4",
        "decay_schedule": "flat_cos",
        "dropout": 0.15,
        "dropout_schedule": "flat_cos",
        "label_smoothing": 0.1,
        "batch_size": 256,
        "even_batches": True,  # RealMLP leaves the rows of an incomplete batch out
        "epochs": 256,
        "early_stopping": True,
        "patience": None,
        "monitor": "validation_score",
        "ties": "last",
        "scale": "robust",
        "category_encoding": "scaled",
    },
    {"regression": {"activation": "parametric_mish", "learning_rate": 0.2, "label_smoothing": 0.0}},
)
"""Holzmüller, Grinsztajn and Steinwart 2024, "Better by default", arXiv 2407.04491, table A.1 (RealMLP-TD)."""

NAMED_RECIPES = {recipe.name: recipe for recipe in (NamedRecipe("plain", "what the options say"), REALMLP)}
