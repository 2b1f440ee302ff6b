"""A small table of every kind of column, and presets that train little, for the tests of this folder."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from gpubp.tabular.fit import TabularFit, train_tabular
from gpubp.tabular.presets import Preset

ROWS = 60
TINY = Preset("tiny", "two configurations on three folds", 2, 3, 6, 60.0)
QUICK: dict[str, Any] = {"fixed": {"epochs": 6, "hidden": (16,)}, "backend": "numpy", "seed": 3}


def frame(rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    """Numbers, a text, a date, gaps; and a class and a number that depend on them."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=rows), rng.exponential(size=rows)
    text = rng.choice(["red", "green", "blue"], rows)
    signal = a + (text == "red") - 0.5 * b
    return pl.DataFrame(
        {
            "a": np.where(rng.random(rows) < 0.1, np.nan, a),
            "b": b,
            "text": text,
            "day": pl.date_range(pl.date(2020, 1, 1), pl.date(2030, 1, 1), eager=True)[:rows],
            "kind": np.where(signal > 0.4, "high", np.where(signal > -0.5, "middle", "low")),
            "value": 3.0 * signal + rng.normal(size=rows) * 0.1,
        }
    )


def classes(rows: int = ROWS) -> pl.DataFrame:
    return frame(rows).drop("value")


def numbers(rows: int = ROWS) -> pl.DataFrame:
    return frame(rows).drop("kind")


def fitted(table: Any, target: str = "kind", preset: Any = TINY, **given: Any) -> TabularFit:
    return train_tabular(table, target, preset, **QUICK | given)
