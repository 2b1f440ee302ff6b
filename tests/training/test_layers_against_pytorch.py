"""Layers in front and groups of parameters against PyTorch's, from scripts/make_pytorch_layers_fixture.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpubp.backends import Backend, NumpyBackend
from gpubp.networks.population import Population
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES, smooth_labels
from gpubp.operations.network import Tape, decaying, loss_and_gradient
from gpubp.operations.regularization import l2_penalty
from gpubp.training.loop import train

OPTIMISATION = "-O0"

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "pytorch_layers.json").read_text(encoding="utf-8"))
X = np.array(FIXTURE["data"]["X"])
CASES = {case["name"]: case for case in FIXTURE["cases"]}
TOLERANCES = {"float64": (1e-9, 1e-12), "float32": (2e-5, 5e-6)}
every_case = pytest.mark.parametrize("name", sorted(CASES))


def architecture(case: dict[str, Any]) -> Architecture:
    output = LOSSES[case["loss"]].link or "identity"
    return Architecture(X.shape[1], case["hidden"], 3, case["activation"], output, case["front"], FIXTURE["indicators"])


def settings(case: dict[str, Any]) -> Settings:
    same = ("loss", "optimizer_options", "learning_rate", "l2", "label_smoothing", "schedule", "layer_options")
    return Settings(
        optimizer="adamw", batch_size=None, epochs=len(case["losses"]), shuffle=False,
        **{name: case[name] for name in same},
    )  # fmt: skip


def flat(case: dict[str, Any], named: list[dict[str, Any]]) -> np.ndarray:
    """(1, K)"""
    return np.concatenate([np.ravel(values) for layer in named for values in layer.values()])[None, :]


@pytest.mark.parametrize("name", sorted(CASES))
def test_both_name_the_same_parameters(name: str) -> None:
    shape = architecture(CASES[name])
    for layer, named in zip(shape.layers, CASES[name]["parameters"], strict=True):
        assert [(each.name, each.shape) for each in layer.parameters] == [
            (each, np.shape(values)) for each, values in named.items()
        ]


@every_case
def test_gradients_of_the_first_update(backend: Backend, name: str) -> None:
    case, shape = CASES[name], architecture(CASES[name])
    params = backend.to_device(flat(case, case["parameters"]))
    gradients = backend.xp.full_like(params, np.nan)
    views, d_views = shape.views(params), shape.views(gradients)
    tape = Tape(backend, shape, 1, len(X), np.float64)
    T = smooth_labels(np.array(FIXTURE["data"][case["loss"]]), case["label_smoothing"])
    loss_and_gradient(
        backend, shape, LOSSES[case["loss"]], views, backend.to_device(X), backend.to_device(T), 1 / len(X), tape,
        d_views, tape.loss,
    )  # fmt: skip
    penalty = backend.xp.zeros(1)
    for (layer, parameter, W), (*_, dW) in zip(decaying(shape, views), decaying(shape, d_views), strict=True):
        strength = case["l2"] * layer.factors(parameter, _given(shape, case)).l2
        alpha = backend.to_device(np.full((1, *[1] * (W.ndim - 1)), strength))
        l2_penalty([W], [dW], alpha, float(len(X)), penalty)
    found = backend.to_host(gradients)
    np.testing.assert_allclose(found, flat(case, case["gradients"]), *TOLERANCES["float64"])
    loss = (backend.to_host(tape.loss).sum() + backend.to_host(penalty)[0]) / len(X)
    np.testing.assert_allclose(loss, case["losses"][0], *TOLERANCES["float64"])


def _given(shape: Architecture, case: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings(case).all_layer_options(shape).items() if name != "sigma"}


@every_case
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("engine_name", ["array", "block"])
def test_losses_and_parameters_of_ten_updates(name: str, dtype: str, engine_name: str) -> None:
    backend = NumpyBackend()
    if engine_name == "block" and backend.compiler_missing() is not None:
        pytest.skip("no C++ compiler on this machine")
    case = CASES[name]
    first = flat(case, case["parameters"]).astype(dtype)
    population = Population.from_host(architecture(case), first, np.zeros(1, np.uint64), backend)
    T = np.array(FIXTURE["data"][case["loss"]])
    history = train(population, X, T, settings(case), engine=engine_name)
    np.testing.assert_allclose(history.training_loss[:, 0], case["losses"], *TOLERANCES[dtype])
    np.testing.assert_allclose(population.params, flat(case, case["trained_parameters"]), *TOLERANCES[dtype])
