"""Options of a loss, from what people write to the kernels: of each network its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import gpubp, succeeds
from sklearn.exceptions import ConvergenceWarning

from gpubp import MLPRegressor, Range, Recipe, Settings, Space
from gpubp.backends import NumpyBackend
from gpubp.backends.host_compiler import find_compiler
from gpubp.cli.space import space_of
from gpubp.errors import SettingsError
from gpubp.networks.population import Population, network_seeds
from gpubp.operations.architecture import Architecture
from gpubp.search.space.parameters import recipe_of
from gpubp.training.loop import train

RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(40, 3))
T = X[:, :1] * 2 + RANDOM.standard_t(1, size=(40, 1))
DELTAS = np.array([0.1, 1.0, 30.0])


def trained(engine: str, delta: float | np.ndarray, networks: int = 3) -> np.ndarray:
    shape = Architecture(3, (4,), 1)
    population = Population.initialize(shape, network_seeds(1, networks), NumpyBackend(), dtype=np.float64)
    settings = Settings(loss="huber", loss_options={"delta": delta}, learning_rate=0.01, epochs=5, batch_size=8)
    train(population, X, T, settings, engine=engine, validation_rows=np.arange(9))
    return np.asarray(population.params)


@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")
@pytest.mark.parametrize("engine", ["lane", "block"])
def test_kernels_have_each_networks_own(engine: str) -> None:
    np.testing.assert_allclose(trained(engine, DELTAS), trained("array", DELTAS), rtol=1e-9, atol=1e-12)


def test_a_network_is_as_alone() -> None:
    np.testing.assert_array_equal(trained("array", DELTAS)[0], trained("array", 0.1, 1)[0])
    assert (trained("array", DELTAS) != trained("array", 1.0)).any(axis=1).tolist() == [True, False, True]


def test_a_huge_delta_is_the_squared_error() -> None:
    def coefficients(**loss: object) -> np.ndarray:
        return MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", random_state=0, **loss).fit(X, T.ravel()).coefs_[0]  # type: ignore[arg-type]

    squared = coefficients()
    huber = coefficients(loss="huber", loss_options={"delta": 1e6})
    np.testing.assert_allclose(huber, squared, atol=1e-4)
    true = np.array([[2.0], [0.0], [0.0]])
    robust = coefficients(loss="huber", loss_options={"delta": 0.5})
    assert np.abs(robust - true).max() < np.abs(squared - true).max()


def test_the_estimator_trains_with_it() -> None:
    options = {"loss": "huber", "hidden_layer_sizes": (3,), "max_iter": 3, "n_iter_no_change": 10, "random_state": 0}
    with pytest.warns(ConvergenceWarning):
        curves = [
            MLPRegressor(**options, loss_options={"delta": delta}).fit(X, T.ravel()).loss_curve_  # type: ignore[arg-type]
            for delta in (0.1, 10.0)
        ]
    assert curves[0][0] < curves[1][0]


def test_the_command_line(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    rows = (f"{a},{b}" for a, b in zip(X[:, 0], T[:, 0], strict=True))
    table.write_text("\n".join(["x,y", *rows]), encoding="utf-8")
    options = ("--task", "regression", "--epochs", 1, "--engine", "array", "--loss", "huber")
    found = succeeds("train", table, *options, "--loss-option", "delta=0.5", "-o", tmp_path / "m", "--json").out
    assert json.loads(found)["recipe"]["loss_options"] == {"delta": 0.5}
    refused = gpubp("train", table, *options, "--loss-option", "delta=0", "-o", tmp_path / "m")
    assert refused.code == 2
    assert "delta 0" in refused.err
    assert "above 0" in refused.err


def test_a_search_space_may_name_it() -> None:
    space = Space({"loss": "huber", "delta": Range(0.1, 10, log=True)})
    drawn = recipe_of(space.sample(1)[0])
    assert 0.1 <= drawn.loss_options["delta"] <= 10
    usual = space_of(None, [], ["delta"], ["loss=huber"]).entries["delta"]
    assert usual == Range(0.1, 10.0, log=True)
    with pytest.raises(SettingsError, match="delta, which belongs to the loss huber"):
        Space({"delta": Range(0.1, 10)})


def test_only_its_own() -> None:
    with pytest.raises(SettingsError, match=r"The loss squared_error has no option 'delta'"):
        Recipe(loss="squared_error", loss_options={"delta": 1.0})
