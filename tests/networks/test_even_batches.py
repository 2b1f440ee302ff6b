"""Even batches: as many updates as whole batches fit, and none of a few rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubp import Recipe, Settings, cross_validate
from gpubp.backends import NumpyBackend
from gpubp.errors import SettingsError
from gpubp.networks.population import Population
from gpubp.operations.architecture import Architecture
from gpubp.tables import Table
from gpubp.training.loop import train

RANDOM = np.random.default_rng(5)
X, T = RANDOM.normal(size=(50, 3)), np.eye(2)[RANDOM.integers(2, size=50)]


@given(st.integers(1, 5000), st.integers(1, 600))
def test_batches_are_as_many_as_fit_and_alike(rows: int, size: int) -> None:
    settings = Settings(batch_size=size, even_batches=True)
    each = settings.batch_rows(rows)
    updates = -(-rows // each)
    assert updates <= max(1, rows // size)
    assert each >= min(size, rows)
    last = rows - (updates - 1) * each
    assert updates == 1 or each - last < max(1, rows // size)
    assert Settings(batch_size=size).batch_rows(rows) == size
    assert Settings(batch_size=None, even_batches=True).batch_rows(rows) == rows


def trained(engine: str, rows: Any = None, **settings: Any) -> np.ndarray:
    population = Population.initialize(Architecture(3, (4,), 2, "tanh", "softmax"), [1, 2], NumpyBackend())
    train(population, X, T, Settings(epochs=3, **settings), rows=rows, engine=engine)
    return np.asarray(population.params)


def test_they_are_batches_of_that_size(engine: str) -> None:
    """50 rows in batches of 16: three of 17, 17 and 16."""
    found = trained(engine, batch_size=16, even_batches=True)
    np.testing.assert_array_equal(found, trained(engine, batch_size=17))


def test_networks_of_other_rows_train_apart() -> None:
    with pytest.raises(SettingsError, match="train on 32 to 50 rows have even batches of different sizes"):
        trained("array", [np.arange(50), np.arange(32)], batch_size=16, even_batches=True)
    alike = [np.arange(50), np.arange(49)]  # both in three of 17
    np.testing.assert_array_equal(
        trained("array", alike, batch_size=16, even_batches=True), trained("array", alike, batch_size=17)
    )


def test_folds_of_other_sizes_have_batches_of_their_own() -> None:
    table = Table.from_arrays(X[:41], (X[:41, 0] > 0).astype(int))
    recipe = Recipe(hidden=(4,), epochs=3, batch_size=10, even_batches=True)
    found = cross_validate(table, None, recipe, folds=4, task="classification", backend="numpy", engine="array")
    assert len(found.fold_scores) == 4
