"""Search spaces: what they draw, what they list, and what they refuse."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpubp import Range, Space, When
from gpubp.errors import SettingsError
from gpubp.search.space.parameters import NAMES, recipe_of

SPACE = Space(
    {
        "hidden": [(8,), 16, (32, 32)],
        "optimizer": ["adam", "momentum", "adamw"],
        "learning_rate": Range(1e-4, 1.0, log=True),
        "epochs": Range(5, 9, integer=True),
        "momentum": Range(0.5, 0.99),
        "weight_decay": [0.0, 0.1],
    },
    When({"hidden": [(8,), (16,)]}, {"dropout": [0.1, 0.2]}),
    When({"dropout": 0.2}, {"clip_norm": 1.0}),
)


def test_a_trial_does_not_depend_on_how_many_there_are() -> None:
    assert SPACE.sample(40, seed=3)[:7] == SPACE.sample(7, seed=3)
    assert SPACE.sample(7, seed=3) != SPACE.sample(7, seed=4)
    finite = Space({"hidden": [(4,), (8,)], "epochs": Range(1, 9, integer=True)})
    assert finite.sample(15, seed=3)[:7] == finite.sample(7, seed=3)


def test_a_parameter_does_not_depend_on_which_others_there_are() -> None:
    alone = Space({"learning_rate": Range(1e-4, 1.0, log=True)}).sample(9)
    with_others = Space({"l2": Range(0.0, 1.0), "learning_rate": Range(1e-4, 1.0, log=True)}).sample(9)
    assert [one["learning_rate"] for one in alone] == [one["learning_rate"] for one in with_others]


def test_options_and_conditions_come_where_they_belong() -> None:
    drawn = SPACE.sample(200)
    for one in drawn:
        assert ("momentum" in one) == (one["optimizer"] == "momentum")
        assert ("weight_decay" in one) == (one["optimizer"] == "adamw")
        assert ("dropout" in one) == (one["hidden"] != (32, 32))
        assert ("clip_norm" in one) == (one.get("dropout") == 0.2)
        recipe_of(one)
    assert {one["hidden"] for one in drawn} == {(8,), (16,), (32, 32)}
    assert {one["epochs"] for one in drawn} == {5, 6, 7, 8, 9}


def test_draws_are_spread_evenly() -> None:
    drawn = Space({"learning_rate": Range(1e-4, 1.0, log=True), "epochs": Range(1, 4, integer=True)}).sample(4000)
    decades = np.histogram(np.log10([one["learning_rate"] for one in drawn]), bins=[-4, -3, -2, -1, 0])[0]
    assert np.abs(decades - 1000).max() < 120
    assert np.abs(np.bincount([one["epochs"] for one in drawn], minlength=5)[1:] - 1000).max() < 120


def test_grids() -> None:
    grid = SPACE.grid(3)
    assert len(grid) == len({repr(one) for one in grid})
    per_optimizer = 3 * 3 * (3 + 1 + 2)  # rates, epochs; momentum takes 3 values, weight_decay 2
    assert len(grid) == per_optimizer * (2 * 2 + 1)  # with dropout of two kinds, and without
    rates = sorted({one["learning_rate"] for one in grid})
    np.testing.assert_allclose(rates, [1e-4, 1e-2, 1.0])
    assert Range(3, 3).points(5) == [3.0]
    assert Range(1, 4, integer=True).points(100) == [1, 2, 3, 4]


def test_a_finite_space_is_drawn_without_repetition() -> None:
    space = Space({"hidden": [(4,), (8,)], "optimizer": ["sgd", "momentum"], "momentum": [0.5, 0.9]})
    assert space.size() == 6
    assert SPACE.size() is None
    drawn = space.sample(100)
    assert len(drawn) == 6
    assert sorted(map(repr, drawn)) == sorted(map(repr, space.grid()))
    assert [repr(one) for one in drawn] != [repr(one) for one in space.grid()]


@pytest.mark.parametrize(
    ("name", "given", "choices"),
    [
        ("learning_rate", np.array([0.1, 0.01]), [0.1, 0.01]),
        ("learning_rate", np.geomspace(1e-3, 1, 4, dtype=np.float32), np.geomspace(1e-3, 1, 4, dtype="f4").tolist()),
        ("learning_rate", [np.float64(0.1), np.float32(0.5), 1], [0.1, 0.5, 1]),
        ("learning_rate", pd.Series([0.1, 0.01]), [0.1, 0.01]),
        ("learning_rate", pl.Series([0.1, 0.01]), [0.1, 0.01]),
        ("learning_rate", np.float64(0.1), [0.1]),
        ("learning_rate", np.array(0.1), [0.1]),
        ("epochs", np.array([5, 9]), [5, 9]),
        ("epochs", range(5, 8), [5, 6, 7]),
        ("epochs", np.int64(5), [5]),
        ("hidden", np.array([4, 8]), [(4,), (8,)]),
        ("hidden", np.array([[4, 4], [8, 2]]), [(4, 4), (8, 2)]),
        ("hidden", [np.array([4, 4]), (8,), np.int32(3), [5, 5]], [(4, 4), (8,), (3,), (5, 5)]),
        ("optimizer", np.array(["adam", "sgd"]), ["adam", "sgd"]),
        ("optimizer", np.str_("sgd"), ["sgd"]),
        ("shuffle", np.array([True, False]), [True, False]),
        ("batch_size", np.array([8, None], dtype=object), [8, None]),
    ],
)
def test_choices_may_be_arrays(name: str, given: Any, choices: list[Any]) -> None:
    found = [one[name] for one in Space({name: given}).grid()]
    assert found == choices
    assert repr(found) == repr(choices)  # no type of NumPy's is left


def test_conditions_and_ranges_may_be_of_numpys_numbers() -> None:
    plain = Space({"hidden": [(4,), (8,)], "epochs": Range(5, 9, integer=True)}, When({"hidden": [4]}, {"l2": [0.1]}))
    arrays = Space(
        {"hidden": np.array([4, 8]), "epochs": Range(np.int64(5), np.float64(9), integer=True)},
        When({"hidden": np.array([4])}, {"l2": np.array([0.1])}),
    )
    assert arrays.grid(np.int64(3)) == plain.grid(3)
    assert repr(Range(np.float32(0.5), np.int64(1))) == repr(Range(0.5, 1))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"learning_rate": np.array([])}, "learning_rate is an empty list"),
        ({"learning_rate": np.array([0.1, np.nan])}, "learning rate nan: expected a finite number above 0"),
        ({"learning_rate": np.array([[0.1, 0.2]])}, "is a tuple"),
        ({"hidden": np.array([1.5])}, "hidden"),
        ({"lerning_rate": 0.1}, "'lerning_rate', which is no parameter. Did you mean 'learning_rate'"),
        ({"hidden": []}, "hidden is an empty list"),
        ({"learning_rate": [0.1, 0.1]}, "learning_rate names a choice twice"),
        ({"learning_rate": [0.1, Range(0, 1)]}, "a Range among its choices"),
        ({"learning_rate": Range(0, 1)}, "learning rate 0: expected a finite number above 0"),
        ({"learning_rate": (0.1, 0.2)}, "is a tuple"),
        ({"optimizer": ["adm"]}, "Unknown optimizer 'adm'"),
        ({"momentum": 0.9}, "belongs to the optimizer momentum or nesterov, and draws the optimizer adam alone"),
        ({"patience": 5}, "belongs to the early_stopping True"),
        ({"hidden": [(4, 0)]}, "0 neurons in hidden layer 2"),
        ({"hidden": "many"}, "a layer needs a whole number of neurons"),
        ({"epochs": 1.5}, "epochs 1.5: expected a whole number"),
        ({"scale": "log"}, "Unknown scale 'log'"),
        ({"target_scale": "sqrt"}, "Unknown target scale 'sqrt'"),
        ({"clip_predictions": 1}, "give True or False"),
        ({"shuffle": "yes"}, "give True or False"),
        ({"seed": 3}, "'seed', which is no parameter"),
        ({3: 3}, "3, which is no parameter"),
        ([("hidden", 3)], "is a dict of parameters"),
    ],
)
def test_what_cannot_be_is_refused(entries: Any, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Space(entries)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 1), "low is above high"),
        ((0, 1, True), "a logarithm needs low above 0"),
        ((0.5, 3, False, True), "whole numbers"),
        ((float("nan"), 1), "finite numbers"),
        (("a", 1), "finite numbers"),
        ((True, 1), "finite numbers"),
    ],
)
def test_ranges_that_cannot_be(arguments: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Range(*arguments)


@pytest.mark.parametrize(
    ("entries", "conditions", "message"),
    [
        ({"hidden": 4}, [When({"optimizer": "sgd"}, {"l2": 0.1})], "does not name"),
        ({"optimizer": ["adam"]}, [When({"optimizer": "sgd"}, {"l2": 0.1})], "can never come true"),
        ({"optimizer": "adam", "l2": 0.1}, [When({"optimizer": "adam"}, {"l2": 0.2})], "already has"),
        ({"optimizer": "adam"}, [{"optimizer": "adam"}], "Conditions of a search space are When"),
    ],
)
def test_conditions_that_cannot_be(entries: Any, conditions: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Space(entries, *conditions)
    with pytest.raises(SettingsError, match="two dicts"):
        When({}, {"l2": 0.1})


def test_two_conditions_that_bring_the_same() -> None:
    adam = When({"optimizer": "adam"}, {"l2": 0.1})
    fine = Space({"optimizer": ["adam", "sgd"]}, adam, When({"optimizer": "sgd"}, {"l2": 0.2}))
    assert {(one["optimizer"], one["l2"]) for one in fine.grid()} == {("adam", 0.1), ("sgd", 0.2)}
    both = Space({"optimizer": ["adam"], "hidden": 4}, adam, When({"hidden": 4}, {"l2": 0.2}))
    with pytest.raises(SettingsError, match="Two When bring l2"):
        both.sample(1)


@pytest.mark.parametrize("n_trials", [0, -1, 1.5, True, "3"])
def test_numbers_of_trials_that_make_no_sense(n_trials: Any) -> None:
    with pytest.raises(SettingsError, match="whole number"):
        SPACE.sample(n_trials)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.floats(),
    st.sampled_from(["adam", "sgd", "relu", "cosine", "standard", "float64", "", "auto"]),
    st.tuples(st.integers(-1, 9), st.integers(0, 9)),
    st.builds(dict),
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(NAMES), st.one_of(VALUES, st.lists(VALUES, max_size=3)), max_size=4))
def test_a_space_is_refused_in_words_or_draws_what_recipes_are_made_of(entries: dict[str, Any]) -> None:
    try:
        drawn = Space(entries).sample(3)
    except SettingsError:  # and no other error
        return
    for one in drawn:
        with contextlib.suppress(SettingsError):  # values that are fine alone, and not together
            assert recipe_of(one).epochs >= 1


@settings(max_examples=200)
@given(
    st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.booleans(), st.booleans(), st.floats(0, 1, exclude_max=True)
)  # fmt: skip
def test_numbers_of_a_range_lie_in_it(low: float, high: float, log: bool, integer: bool, share: float) -> None:
    try:
        found = Range(math.floor(low) if integer else low, math.floor(high) if integer else high, log, integer)
    except SettingsError:
        return
    assert found.low <= found.at(share) <= found.high
    assert all(found.low <= point <= found.high for point in found.points(4))
    assert isinstance(found.at(share), int) == integer
