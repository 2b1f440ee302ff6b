"""An ensemble as an ONNX graph: onnxruntime gives the same predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from gpubp import Ensemble, sweep, train_ensemble, train_tabular
from gpubp.errors import SettingsError
from gpubp.fitting.recipe import Recipe
from gpubp.tabular.presets import Preset

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

ROWS = 60
RNG = np.random.default_rng(2)
A, B = RNG.normal(size=ROWS), RNG.exponential(size=ROWS)
TEXTS = RNG.choice(["red", "green", "blue"], ROWS)
TABLE = pl.DataFrame(
    {
        "a": np.where(np.arange(ROWS) % 9 == 0, np.nan, A),
        "text": TEXTS,
        "b": B,
        "kind": np.where(A > 0.3, "x", np.where(B > 1, "y", "z")),
    }
)
PRICES = TABLE.with_columns(kind=pl.Series(np.exp(A + B)))
INPUTS = {
    "numbers": TABLE.select("a", "b").to_numpy(),
    "text": TEXTS.astype(object)[:, None],
}


def run(ensemble: Ensemble) -> list[Any]:
    session = ort.InferenceSession(ensemble.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    assert {each.name for each in session.get_inputs()} == {*INPUTS}
    return session.run(None, INPUTS)


def check(ensemble: Ensemble, table: pl.DataFrame) -> None:
    answer, found = ensemble.answer(table), run(ensemble)
    if answer.probabilities is None:
        np.testing.assert_allclose(found[0], answer.values, rtol=1e-5, atol=1e-6)
    else:
        assert found[0].tolist() == answer.values.tolist()
        np.testing.assert_allclose(found[1], answer.probabilities, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scales", [("robust", "quantile"), ("standard", "robust"), ("none", "minmax")])
def test_members_that_read_the_table_differently(scales: tuple[str, str]) -> None:
    space = {"hidden": [(4,), (5, 3)], "scale": [*scales], "category_encoding": ["one_hot", "scaled"], "epochs": 4}
    for table in (TABLE, PRICES):
        found = sweep(table, "kind", space, strategy="grid", cv=2, engine="array")
        check(found.ensemble(6), table)


def test_temperature_logarithms_and_limits() -> None:
    preset = Preset("two", "", 2, 2, 4, 60.0)
    given: dict[str, Any] = {"fixed": {"epochs": 8, "hidden": (8,)}, "backend": "numpy"}
    fit = train_tabular(TABLE, "kind", preset, **given)
    assert fit.ensemble.temperature != 1.0
    check(fit.ensemble, TABLE)
    given["fixed"]["target_scale"] = "log"
    check(train_tabular(PRICES, "kind", preset, **given).ensemble, PRICES)


def test_members_of_one_recipe() -> None:
    fit = train_ensemble(TABLE, "kind", Recipe(hidden=(4,), epochs=3), members=3)
    check(fit.ensemble, TABLE)


def test_arrays_have_no_columns() -> None:
    found = sweep(np.stack([A, B], axis=1), A > 0, {"hidden": [(3,)], "epochs": 2}, n_trials=1, cv=2, engine="array")
    with pytest.raises(SettingsError, match="made from arrays"):
        found.ensemble(1).to_onnx()
