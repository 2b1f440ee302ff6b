"""Names that are not known: what may have been meant is suggested, from one place, and never taken silently."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from gpubp import Recipe, get_backend
from gpubp.backends import BACKENDS, float_dtype
from gpubp.engines.registry import ENGINES
from gpubp.errors import SettingsError
from gpubp.errors.suggestions import EXPLANATIONS, SYNONYMS, choose, did_you_mean, nearest, unknown
from gpubp.networks.settings import MONITORS
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.initializers import INITIALIZERS
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.schedules import SCHEDULES
from gpubp.preprocessing.columns import ENCODINGS
from gpubp.preprocessing.rules import MISSING_NUMBERS
from gpubp.preprocessing.scaling import SCALES
from gpubp.preprocessing.target import TASKS
from gpubp.search.strategies.by_name import strategy_of

STRATEGIES = ("grid", "random", "halving", "tpe")
CHOICES: dict[str, Iterable[str]] = {
    "activation": ACTIVATIONS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "initializer": ("auto", *INITIALIZERS),
    "dtype": ("float32", "float64"),
    "scale": SCALES,
    "category encoding": ENCODINGS,
    "missing numbers": MISSING_NUMBERS,
    "task": TASKS,
    "backend": BACKENDS,
    "engine": ENGINES,
    "strategy": STRATEGIES,
    "monitor": MONITORS,
}


@pytest.mark.parametrize("what", sorted(CHOICES))
def test_every_synonym_leads_to_a_choice_and_is_none_itself(what: str) -> None:
    choices = set(CHOICES[what])
    for name, meant in SYNONYMS[what].items():
        assert name not in choices
        assert set((meant,) if isinstance(meant, str) else meant) <= choices
    assert not {name for kind, name in EXPLANATIONS if kind == what and what != "activation"} & choices


def test_every_scorer_that_a_synonym_names_is_there() -> None:
    from sklearn.metrics import get_scorer_names

    assert set(SYNONYMS["metric"].values()) <= set(get_scorer_names())


@pytest.mark.parametrize(
    ("what", "name", "meant"),
    [
        ("activation", "sigmoid", ["logistic"]),
        ("activation", "Swish", ["silu"]),
        ("activation", "LeakyReLU", ["leaky_relu"]),
        ("activation", "tahn", ["tanh"]),
        ("loss", "mse", ["squared_error"]),
        ("loss", "CrossEntropy", ["cross_entropy"]),
        ("optimizer", "adamm", ["adam"]),
        ("optimizer", "AdamW", ["adamw"]),
        ("optimizer", "sgd+momentum", ["momentum"]),
        ("schedule", "OneCycle", ["one_cycle"]),
        ("initializer", "xavier", ["glorot_uniform", "glorot_normal"]),
        ("initializer", "kaiming_uniform", ["he_uniform"]),
        ("dtype", "float", ["float32"]),
        ("dtype", "double", ["float64"]),
        ("scale", "z-score", ["standard"]),
        ("scale", "MinMax", ["minmax"]),
        ("task", "classify", ["classification"]),
        ("backend", "gpu", ["cupy"]),
        ("engine", "blok", ["block"]),
        ("strategy", "hyperband", ["halving"]),
        ("optimizer", "quantum", []),
    ],
)
def test_what_was_meant(what: str, name: str, meant: list[str]) -> None:
    assert nearest(name, CHOICES[what], what) == meant


def test_no_suggestion_names_what_is_not_there() -> None:
    assert did_you_mean("median", ("standard", "none"), "scale") == ""
    assert did_you_mean("median", ("standard", "robust"), "scale") == " Did you mean 'robust'?"


def test_the_message_says_what_was_given_what_was_meant_and_what_there_is() -> None:
    assert unknown("scale", "zscore", ("standard", "none"), " here") == (
        "Unknown scale 'zscore' here. Did you mean 'standard'? Choose one of standard, none."
    )
    assert unknown("scale", "x", ("standard", "none")) == "Unknown scale 'x': choose one of standard, none."
    assert "There is no absolute error" in unknown("loss", "MAE", LOSSES)


@pytest.mark.parametrize("name", [None, 3, [], {}, "", "\x00", "ä" * 500])
def test_a_name_can_be_anything(name: Any) -> None:
    with pytest.raises(SettingsError, match=r"Unknown loss .*hoose one of squared_error"):
        choose("loss", name, LOSSES)


@pytest.mark.parametrize(
    ("refused", "meant"),
    [
        (lambda: Recipe(activation="sigmoid"), "logistic"),
        (lambda: Recipe(optimizer="adamm"), "adam"),
        (lambda: Recipe(loss="mse"), "squared_error"),
        (lambda: Recipe(schedule="cosine_annealing"), "cosine"),
        (lambda: Recipe(dtype="double"), "float64"),
        (lambda: float_dtype("float"), "float32"),
        (lambda: get_backend("gpu"), "cupy"),
        (lambda: strategy_of("bayes"), "tpe"),
        (lambda: Recipe(optimizer_options={"beta_1": 0.5}), "beta1"),
    ],
)
def test_python_suggests_too(refused: Callable[[], object], meant: str) -> None:
    with pytest.raises(SettingsError, match=f"Did you mean '{meant}'"):
        refused()
