"""The temperature of an ensemble: what it does to probabilities, which one is found, and what a file may say of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubp import Ensemble, sweep
from gpubp.errors import ModelFileError
from gpubp.models.ensemble import HOTTEST, tempered
from gpubp.tabular.calibration import HOT, temperature_of

RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 3))


def ensemble() -> Ensemble:
    return sweep(X, X[:, 0] > 0, {"hidden": [(3,)], "epochs": 2}, n_trials=1, cv=2, engine="array").ensemble(1)


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6), st.floats(1 / HOTTEST, HOTTEST))
def test_probabilities_stay_in_order_and_sum_to_1(given_: list[float], temperature: float) -> None:
    values = np.array(given_)
    if values.sum() == 0:
        return
    values = values / values.sum()
    found = tempered(values[None], temperature)[0]
    assert found.sum() == pytest.approx(1.0)
    assert (np.diff(found[np.argsort(values, kind="stable")]) >= -1e-12).all()
    assert found.argmax() == values.argmax() or found[values.argmax()] == found.max()


def test_a_temperature_of_1_changes_nothing() -> None:
    values = RNG.dirichlet(np.ones(4), 10)
    assert tempered(values, 1.0) is values


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_that_spoiled_the_probabilities_is_found(true: float) -> None:
    calibrated = RNG.dirichlet(np.ones(3), 20_000)
    index = (RNG.random(20_000)[:, None] > calibrated.cumsum(axis=1)).sum(axis=1)
    assert temperature_of(tempered(calibrated, 1.0 / true), index) == pytest.approx(true, rel=0.05)


def test_it_stays_within_bounds() -> None:
    sure = np.tile([0.99, 0.01], (50, 1))
    assert temperature_of(sure, np.zeros(50, dtype=int)) >= 1.0 / HOT
    assert temperature_of(sure, np.ones(50, dtype=int)) <= HOT


def test_weights_count() -> None:
    values, index = np.tile([0.8, 0.2], (2, 1)), np.array([0, 1])
    assert temperature_of(values, index, np.array([9.0, 1.0])) < temperature_of(values, index, np.array([1.0, 9.0]))


def test_an_ensemble_answers_by_it() -> None:
    plain = ensemble()
    hot = replace(plain, temperature=3.0)
    np.testing.assert_allclose(hot.predict_proba(X), tempered(plain.predict_proba(X), 3.0))
    np.testing.assert_array_equal(hot.predict(X), plain.predict(X))


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1e9])
def test_a_file_with_a_temperature_that_cannot_be_is_damaged(temperature: float, tmp_path: Path) -> None:
    replace(ensemble(), temperature=temperature).save(tmp_path / "e")
    with pytest.raises(ModelFileError, match="temperature"):
        Ensemble.load(tmp_path / "e")
