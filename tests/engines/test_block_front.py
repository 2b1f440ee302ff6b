"""Vectors of categories and waves in the block engine: every order of them, rows of ones and zeros, teams, CUDA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bit_cases import FRONT_CASES, Case, assert_same_bits, kernel, trained_in_calls

from gpubp import Settings
from gpubp.backends import Backend, NumpyBackend
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.host_compiler import find_compiler
from gpubp.backends.host_program import HostProgram
from gpubp.engines.block import engine as block_engine
from gpubp.engines.choose import choose_engine
from gpubp.errors import SettingsError
from gpubp.networks.population import Population
from gpubp.networks.preparation import prepare
from gpubp.operations.architecture import Architecture
from gpubp.training.loop import train

OPTIMISATION = "-O0"
pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")
N, I, COLUMNS = 41, 9, [(1, 2, 3), (4, 5, 6, 7)]  # noqa: E741
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N, I))
X[:, 1:8] = 0.0
X[np.arange(N), 1 + RANDOM.integers(3, size=N)] = 1.0
X[np.arange(35), 4 + RANDOM.integers(4, size=35)] = 1.0  # the others have no category
X[3, 1:4] = 0.5, 0.2, 0.0
T = np.eye(3)[RANDOM.integers(3, size=N)]


def trained(backend: Backend, front: str, engine: str, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and predictions."""
    shape = Architecture(I, (6,), 3, "tanh", "softmax", front, categories=COLUMNS)
    networks = Population.initialize(shape, [1, 2, 3], backend, dtype=np.float64)
    embedded = {"embedding_rate": [1.0, 2.0, 0.5], "embedding_decay": [0.5, 0.0, 2.0]} if "embed" in front else {}
    usual = {"epochs": 5, "batch_size": 16, "learning_rate": 0.02, "layer_options": embedded}
    train(networks, X, T, Settings(**(usual | settings)), engine=engine)
    return backend.to_host(networks.params), backend.to_host(networks.predict(X, engine=engine))


@pytest.mark.parametrize(
    "front",
    [
        "embed",  # of which no column has enough categories
        "embed:3x1",
        "embed:20x3,scale",
        "embed:3x3,pbld:3x4,scale",
        "pbld:3x4,embed:5x1,scale",
        "embed:3x1,plr:2x2",
        "pl:2x3,embed:3x1",
    ],
)
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adamw", "l2": 0.1, "optimizer_options": {"weight_decay": 0.1}},
        {"optimizer": "sgd", "clip_norm": 0.3, "l2": 0.2, "dropout": 0.3},
    ],
    ids=["adamw", "clipped"],
)
def test_as_the_array_engine(front: str, settings: dict[str, Any]) -> None:
    ours, reference = (trained(NumpyBackend(), front, engine, **settings) for engine in ("block", "array"))
    np.testing.assert_allclose(ours[0], reference[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours[1], reference[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("front", ["embed:3x1,pbld:2x2", "embed", "embed:2x0", "pl:2x2"])
def test_the_same_bits_on_cuda(standin: CupyBackend, monkeypatch: pytest.MonkeyPatch, front: str) -> None:
    """Rows with one category, with none, and with parts of several; where nothing passes, or nothing is embedded."""
    monkeypatch.setenv("STANDIN_CXXFLAGS", "-O0")
    for found, expected in zip(
        trained(standin, front, "block", epochs=2), trained(NumpyBackend(), front, "block", epochs=2), strict=True
    ):
        assert_same_bits(found, expected)


@pytest.mark.parametrize("case", FRONT_CASES[-3:], ids=str)
def test_a_team_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    keep = np.array([1])
    expected, its_metrics = trained_in_calls(NumpyBackend(), case, (1, 2), keep=keep)
    monkeypatch.setattr(block_engine, "MEMBER_OPERATIONS", 1)
    monkeypatch.setattr(block_engine, "others_waiting", lambda: 0.0)
    ours = kernel(case)
    program = HostProgram(ours.source, ours.definitions(), threads=3)
    found, metrics = trained_in_calls(NumpyBackend(), case, (1, 2), program, keep=keep)
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ("scale,embed:2x1", "knows embed as the first layer, or as the second behind pbld, pl or plr"),
        ("embed:2x1,scale,pbld", "knows pbld as the first layer, or as the second behind embed"),
        ("pbld,plr", "knows plr as the first layer, or as the second behind embed"),
        ("pbld,embed,pl", "knows pl as the first layer"),
    ],
)
def test_what_it_does_not_serve(front: str, words: str) -> None:
    """Gradients at numbers or categories that a layer before it has changed."""
    shape = Architecture(I, (6,), 3, "tanh", "softmax", front, categories=COLUMNS)
    plan = prepare(Population.initialize(shape, [1], NumpyBackend()), X, T, Settings())
    with pytest.raises(SettingsError, match=words):
        choose_engine(plan, "block")
