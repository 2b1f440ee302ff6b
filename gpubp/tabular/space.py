"""The space that the portfolio was chosen from, and that the search goes on in."""

from __future__ import annotations

from gpubp.search.space.ranges import Range
from gpubp.search.space.space import Space

RATES = {"classification": Range(0.015, 0.12, log=True), "regression": Range(0.02, 0.15, log=True)}


def space_of(task: str) -> Space:
    """RealMLP's ingredients (Holzmüller, Grinsztajn and Steinwart 2024, "Better by default", arXiv 2407.04491), varied
    around what did well in a first, wider draw: lower rates, slower waves, and smaller networks than its authors', for
    fewer epochs.
    """
    smoothing = {"label_smoothing": [0.0, 0.04, 0.08]} if task == "classification" else {}
    return Space(
        {
            "hidden": [(256,), (512,), (128, 128), (256, 256), (96, 96, 96), (128, 128, 128)],
            "front": [(), ("scale",), ("pbld", "scale"), ("pbld:16x2", "scale"), ("pbld:8x4", "scale")],
            "activation": ["relu", "mish", "selu", "parametric_mish", "silu"],
            "initializer": "data_dependent",
            "optimizer": "adamw",
            "learning_rate": RATES[task],
            "weight_decay": Range(0.003, 0.15, log=True),
            "beta2": [0.95, 0.99],
            "fan_in_power": 0.5,
            "bias_rate": [0.1, 1.0],
            "scale_rate": 6.0,
            "scale_decay": 6.0,
            "sigma": Range(0.05, 0.4, log=True),
            "schedule": ["coslog4", "flat_cos"],
            "decay_schedule": ["flat_cos", "constant"],
            "dropout": [0.0, 0.1, 0.2, 0.35],
            "dropout_schedule": ["constant", "flat_cos"],
            "batch_size": [64, 128, 256],
            "even_batches": True,
            "epochs": [48, 96, 160],
            "scale": ["robust", "quantile"],
            "category_encoding": ["scaled", "one_hot"],
            **smoothing,
        }
    )
