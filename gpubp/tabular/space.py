"""The space that the portfolio was chosen from, and that the search goes on in."""

from __future__ import annotations

from gpubp.search.space.ranges import Range
from gpubp.search.space.space import Space

RATES = {"classification": Range(0.01, 0.25, log=True), "regression": Range(0.02, 0.5, log=True)}


def space_of(task: str) -> Space:
    """RealMLP's ingredients (Holzmüller, Grinsztajn and Steinwart 2024, "Better by default", arXiv 2407.04491), varied
    about as widely as its authors do for tuning, with smaller networks and fewer epochs besides.
    """
    smoothing = {"label_smoothing": [0.0, 0.05, 0.1]} if task == "classification" else {}
    return Space(
        {
            "hidden": [(64, 64), (128, 128), (128, 128, 128), (256, 256, 256), (96, 96, 96), (256,), (256, 256)],
            "front": [(), ("scale",), ("pbld", "scale"), ("pbld:16x2", "scale"), ("pbld:8x4", "scale")],
            "activation": ["relu", "mish", "selu", "parametric_mish", "parametric_selu", "silu"],
            "initializer": "data_dependent",
            "optimizer": "adamw",
            "learning_rate": RATES[task],
            "weight_decay": Range(0.002, 0.5, log=True),
            "beta2": [0.95, 0.99],
            "fan_in_power": 0.5,
            "bias_rate": [0.1, 1.0],
            "scale_rate": 6.0,
            "scale_decay": 6.0,
            "sigma": Range(0.05, 2.0, log=True),
            "schedule": ["coslog4", "cosine", "flat_cos"],
            "decay_schedule": ["flat_cos", "constant"],
            "dropout": [0.0, 0.1, 0.2, 0.35, 0.5],
            "dropout_schedule": ["constant", "flat_cos"],
            "batch_size": [64, 128, 256],
            "even_batches": True,
            "epochs": [48, 96, 192],
            "scale": ["robust", "quantile"],
            "category_encoding": ["scaled", "one_hot"],
            **smoothing,
        }
    )
