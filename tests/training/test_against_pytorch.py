"""Gradients, losses and trained parameters against PyTorch's, from the fixture of scripts/make_pytorch_fixture.py."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpubp.backends import Backend
from gpubp.networks.population import Population
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES, smooth_labels
from gpubp.operations.network import Tape, decaying, loss_and_gradient
from gpubp.operations.regularization import l2_penalty
from gpubp.training.loop import train

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "pytorch_training.json").read_text(encoding="utf-8"))
DATA = {name: np.array(values) for name, values in FIXTURE["data"].items()}
CASES = {case["name"]: case for case in FIXTURE["cases"]}
N_STEPS = 10

# (relative, absolute), of gradients and losses, and of parameters after 10 updates. Measured on NumPy, the worst of
# all cases: 7e-16 in float64; in float32 losses to 2e-7 and parameters to 2e-7.
TOLERANCES: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "float64": ((1e-10, 1e-14), (1e-10, 1e-13)),
    "float32": ((2e-6, 1e-6), (2e-6, 2e-6)),
}

every_case = pytest.mark.parametrize("name", sorted(CASES))
# A lane kernel is compiled for each of these: every optimizer and every loss once.
LANE_CASES = ["all at once", *[name for name in CASES if name.startswith(("optimizer", "row weights"))]]


@dataclass(frozen=True)
class Case:
    """A case of the fixture in gpubp's own terms; row weights None where all count alike."""

    architecture: Architecture
    settings: Settings
    T: np.ndarray
    row_weights: np.ndarray | None
    told: dict[str, Any]

    @classmethod
    def named(cls, name: str) -> Case:
        told = CASES[name]
        batches = -(-len(DATA["X"]) // told["batch_size"])
        *activations, output = told["activations"]
        n_inputs, n_outputs = DATA["X"].shape[1], DATA[told["targets"]].shape[1]
        options = ("loss", "optimizer", "optimizer_options", "learning_rate", "batch_size", "l2", "clip_norm")
        options += ("label_smoothing", "schedule", "schedule_options")
        return cls(
            Architecture(n_inputs, told["hidden"], n_outputs, activations, output),
            Settings(shuffle=False, epochs=N_STEPS // batches, **{option: told[option] for option in options}),
            DATA[told["targets"]],
            DATA["row_weights"] if told["row_weights"] else None,
            told,
        )

    def flat(self, named: dict[str, Any]) -> np.ndarray:
        """(1, K) from {"W0": …, "b0": …}."""
        flat = np.empty((1, self.architecture.n_parameters))
        for i in range(self.architecture.n_layers):
            self.architecture.weights(flat, i)[0] = named[f"W{i}"]
            self.architecture.biases(flat, i)[0] = named[f"b{i}"]
        return flat

    def assert_close(self, flat: np.ndarray, expected: dict[str, Any], tolerance: tuple[float, float]) -> None:
        for i in range(self.architecture.n_layers):
            for name, values in (("W", self.architecture.weights(flat, i)), ("b", self.architecture.biases(flat, i))):
                np.testing.assert_allclose(values[0], expected[f"{name}{i}"], *tolerance, err_msg=f"{name}{i}")

    def epoch_losses(self) -> np.ndarray:
        """PyTorch's losses of each update as gpubp reports them: the mean over an epoch's rows, or their weights."""
        weights = np.ones(len(self.T)) if self.row_weights is None else self.row_weights
        starts = range(0, len(self.T), self.told["batch_size"])
        of_batches = np.array([weights[start : start + self.told["batch_size"]].sum() for start in starts])
        return np.average(np.reshape(self.told["losses"], (-1, len(starts))), axis=1, weights=of_batches)


@every_case
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_gradients_of_the_first_batch(backend: Backend, name: str, dtype: str) -> None:
    case, tolerance = Case.named(name), TOLERANCES[dtype][0]
    settings, rows = case.settings, slice(0, case.settings.batch_size)
    X, T = DATA["X"][rows], smooth_labels(case.T[rows], settings.label_smoothing)
    weights = np.ones(len(X)) if case.row_weights is None else case.row_weights[rows]

    def on_device(values: np.ndarray) -> Any:
        return backend.to_device(values.astype(dtype))

    params = on_device(case.flat(case.told["parameters"]))
    gradients = backend.xp.full_like(params, np.nan)
    views, d_views = case.architecture.views(params), case.architecture.views(gradients)
    tape = Tape(backend, case.architecture, 1, len(X), np.dtype(dtype))
    scale = on_device((weights / weights.sum())[None, :, None])
    loss_and_gradient(
        backend, case.architecture, LOSSES[settings.loss], views, on_device(X), on_device(T), scale, tape, d_views,
        tape.loss,
    )  # fmt: skip
    penalty = backend.xp.zeros(1, dtype=dtype)
    alpha, total = on_device(np.full((1, 1, 1), settings.l2)), on_device(np.full((1, 1, 1), weights.sum()))
    for (*_, W), (*_, dW) in zip(decaying(case.architecture, views), decaying(case.architecture, d_views), strict=True):
        l2_penalty([W], [dW], alpha, total, penalty)

    case.assert_close(backend.to_host(gradients), case.told["gradients"], tolerance)
    loss = (backend.to_host(tape.loss)[0] @ weights + backend.to_host(penalty)[0]) / weights.sum()
    np.testing.assert_allclose(loss, case.told["losses"][0], *tolerance)


@every_case
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_losses_and_parameters_of_ten_updates(backend: Backend, name: str, dtype: str) -> None:
    replay(backend, name, dtype, "array")


@pytest.mark.parametrize("name", LANE_CASES)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_ten_updates_by_the_lane_engine(numpy_backend: Backend, name: str, dtype: str) -> None:
    missing = numpy_backend.compiler_missing()
    if missing is not None:
        pytest.skip(missing)
    replay(numpy_backend, name, dtype, "lane")


def replay(backend: Backend, name: str, dtype: str, engine: str) -> None:
    case, (of_losses, of_parameters) = Case.named(name), TOLERANCES[dtype]
    initial = case.flat(case.told["parameters"]).astype(dtype)
    population = Population.from_host(case.architecture, initial, np.zeros(1), backend)
    history = train(population, DATA["X"], case.T, case.settings, row_weights=case.row_weights, engine=engine)
    assert len(case.told["losses"]) == N_STEPS
    np.testing.assert_allclose(history.training_loss[:, 0], case.epoch_losses(), *of_losses)
    case.assert_close(population.state()["params"], case.told["trained_parameters"], of_parameters)


@every_case
def test_the_case_would_notice_a_wrong_update(name: str) -> None:
    """Every case moves its network far beyond the tolerances: its agreement says something."""
    case = Case.named(name)
    moved = case.flat(case.told["trained_parameters"]) - case.flat(case.told["parameters"])
    assert np.abs(moved).max() > 1e-3
    assert np.abs(case.flat(case.told["gradients"])).max() > 1e-2
