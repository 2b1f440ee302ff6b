"""The PTX that NVRTC really emits for the lane kernels, interpreted: the same bits as the CPU's build."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from operation_cases import later_cases, with_later_losses
from proof import nvrtc
from proof.backend import PtxBackend

from gpubp.backends import Backend, NumpyBackend
from gpubp.backends.host_compiler import find_compiler
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.training.history import History
from gpubp.training.loop import train

pytestmark = [
    pytest.mark.skipif(nvrtc.missing() is not None, reason=str(nvrtc.missing())),
    pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine"),
]

N, I, O, P = 7, 2, 2, 3  # noqa: E741
RANDOM = np.random.default_rng(8)
X = RANDOM.normal(size=(N, I))
TARGETS = {
    "squared_error": RANDOM.normal(size=(N, O)),
    "cross_entropy": np.eye(O)[RANDOM.integers(0, O, N)],
    "binary_cross_entropy": RANDOM.integers(0, 2, size=(N, O)).astype(float),
    "poisson": RANDOM.poisson(1.5, size=(N, O)).astype(float),
}
RAGGED = [RANDOM.permutation(N)[:count] for count in (4, 5, 4)]  # batches of 2, 3 and 4 leave rows over, and none
HELD = [np.arange(2), np.arange(3), np.arange(2, 4)]
EACH = RANDOM.uniform(0.2, 2.0, (P, N))

# The number of rows and updates is small: the interpreter runs some 50,000 instructions a second.
CASES: dict[str, dict[str, Any]] = {
    "online, shuffled": {
        "hidden": ("logistic", "tanh", "relu"), "loss": "squared_error", "output": "logistic", "optimizer": "sgd",
        "batch_size": 1, "shuffle": True, "rows": RAGGED[0],
    },
    "online, each its own order": {
        "hidden": ("tanh",), "loss": "cross_entropy", "optimizer": "rmsprop", "batch_size": 1, "shuffle": False,
        "rows": RAGGED, "row_weights": EACH, "l2": 0.1,
    },
    "online, clipped, no hidden layer": {
        "hidden": (), "loss": "squared_error", "output": "identity", "optimizer": "adamw", "batch_size": 1,
        "shuffle": True, "rows": RAGGED, "validation_rows": HELD, "l2": 0.1, "clip_norm": 0.3,
        "optimizer_options": {"weight_decay": 0.1},
    },
    "batches, weighted rows": {
        "hidden": ("leaky_relu", "elu", "selu"), "loss": "cross_entropy", "optimizer": "momentum", "batch_size": 3,
        "shuffle": False, "rows": RAGGED, "validation_rows": HELD, "row_weights": EACH[0],
    },
    "whole, own weights, clipped": {
        "hidden": ("silu", "gelu", "gelu_tanh"), "loss": "binary_cross_entropy", "optimizer": "nesterov",
        "batch_size": None, "shuffle": True, "row_weights": EACH, "l2": 0.1, "clip_norm": 0.3, "validation_rows": HELD,
    },
    "batches, a schedule": {
        "hidden": ("mish", "softplus", "identity"), "loss": "poisson", "optimizer": "adam", "batch_size": 4,
        "shuffle": True, "rows": RAGGED[1], "validation_rows": np.arange(3), "l2": 0.05, "schedule": "one_cycle",
        "dropout": 0.3,
    },
    "a running average": {
        "hidden": ("tanh",), "loss": "cross_entropy", "optimizer": "adam", "batch_size": 1, "shuffle": True,
        "validation_rows": HELD, "average": np.array([0.0, 0.5, 0.9]),
    },
    "batches, more schedules": {
        "hidden": ("tanh", "elu"), "loss": "cross_entropy", "optimizer": "adamw", "batch_size": 3, "shuffle": True,
        "rows": RAGGED[1], "l2": 0.1, "dropout": 0.4, "label_smoothing": [0.0, 0.2, 0.4],
        "dropout_schedule": "flat_cos", "decay_schedule": "cosine", "smoothing_schedule": "one_cycle",
    },
    "online, labels smoothed": {
        "hidden": (), "loss": "cross_entropy", "optimizer": "sgd", "batch_size": 1, "shuffle": False,
        "rows": RAGGED[0], "validation_rows": HELD, "label_smoothing": [0.0, 0.2, 0.4],
    },
    "one shared order": {
        "hidden": ("relu",), "loss": "squared_error", "output": "softplus", "optimizer": "sgd", "batch_size": 2,
        "shuffle": False, "rows": RAGGED[2], "validation_rows": np.arange(4), "clip_norm": 1.0,
    },
}  # fmt: skip

CASES |= {
    f"later: {name}": {
        "hidden": ("tanh",), "loss": "squared_error", "output": None, "optimizer": "sgd", "batch_size": 3,
        "shuffle": False, "rows": RAGGED[0], **({"hidden": (name,)} if kind == "activation" else {kind: name}),
    }
    for later in later_cases()
    for kind, name in later.items()
}  # fmt: skip
TARGETS = with_later_losses(TARGETS)


def run(backend: Backend, case: dict[str, Any], dtype: str) -> tuple[Population, History]:
    options = dict(case)
    hidden, loss = options.pop("hidden"), options["loss"]
    output = options.pop("output", None) or LOSSES[loss].link or "identity"
    apart = {name: options.pop(name) for name in ("rows", "validation_rows", "row_weights") if name in options}
    shape = Architecture(I, (2,) * len(hidden), O, hidden, output)
    population = Population.initialize(shape, network_seeds(3, P), backend, dtype=dtype)
    settings = Settings(learning_rate=np.array([0.02, 0.05, 0.1]), epochs=2, **options)
    every_epoch = [lambda report: None]  # is a launch of its own, then
    return population, train(population, X, TARGETS[loss], settings, engine="lane", callbacks=every_epoch, **apart)


def assert_same_bits(found: tuple[Population, History], expected: tuple[Population, History]) -> None:
    np.testing.assert_array_equal(found[0].params, expected[0].params)
    for name in ("training_loss", "validation_loss", "validation_score"):
        np.testing.assert_array_equal(getattr(found[1], name), getattr(expected[1], name))


# Every activation in both: elementary functions are others for each.
DTYPES = {
    "online, each its own order": ["float32"],
    "online, clipped, no hidden layer": ["float64"],
    "one shared order": ["float64"],
    "a running average": ["float32"],
}


@pytest.mark.parametrize(
    ("case", "dtype"), [(case, dtype) for case in CASES for dtype in DTYPES.get(case, ["float32", "float64"])]
)
def test_trainings_give_the_same_bits(case: str, dtype: str) -> None:
    backend = PtxBackend()
    found = run(backend, CASES[case], dtype)
    assert len(backend.machines) >= 2  # launches
    assert np.isfinite(found[0].params).all()
    assert_same_bits(found, run(NumpyBackend(), CASES[case], dtype))


def test_every_activation_loss_and_optimizer_is_among_them() -> None:
    outputs = {case.get("output") or LOSSES[case["loss"]].link or "identity" for case in CASES.values()}
    assert {name for case in CASES.values() for name in case["hidden"]} | outputs == set(ACTIVATIONS)
    assert {case["loss"] for case in CASES.values()} == set(LOSSES)
    assert {case["optimizer"] for case in CASES.values()} == set(OPTIMIZERS)


@pytest.mark.parametrize(("scale", "rate"), [(1e-39, 0.1), (1e30, 1e6)], ids=["denormal numbers", "overflow"])
def test_the_same_bits_at_the_ends_of_the_numbers(scale: float, rate: float) -> None:
    """Denormal inputs and products are kept by both; infinity and NaN appear in the same places."""

    def trained(backend: Backend) -> tuple[Population, History]:
        population = Population.initialize(Architecture(I, 2, O, "silu"), network_seeds(3, P), backend)
        settings = Settings(
            loss="squared_error", optimizer="sgd", learning_rate=rate, batch_size=2, epochs=2, shuffle=False
        )
        return population, train(population, X * scale, TARGETS["squared_error"] * scale, settings, engine="lane")

    found = trained(PtxBackend())
    assert_same_bits(found, trained(NumpyBackend()))
    weights = found[0].weights(0)
    assert np.isnan(weights).any() == (scale > 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_give_the_same_bits(dtype: str) -> None:
    shape = Architecture(I, (3, 2), O, ("gelu", "elu"), "softmax")

    def predicted(backend: Backend) -> np.ndarray:
        return Population.initialize(shape, network_seeds(3, P), backend, dtype=dtype).predict(X, engine="lane")

    np.testing.assert_array_equal(predicted(PtxBackend()), predicted(NumpyBackend()))
