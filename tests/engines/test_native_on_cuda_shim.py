"""The CUDA path of the native engines without a GPU: the same bits as the CPU's.

The real launch code runs on the stand-in for CuPy, and the CUDA branch of the kernels' source on a CPU, one fiber for
each thread (standin/cuda_on_cpu.h). Both are compiled with -O0 here, in a fifth of the time; test_compiled_bits.py
compares that with the flags that users get. Of blocks a few networks are trained: none knows of another.

A lane kernel is compiled for each case, so of these there are as many as have every value of every option but the
activation. Activations are in the cases of blocks, which have all of them in few kernels, from the same header, and
with lanes in test_lane_ptx.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bit_cases import (
    BLOCK_CASES,
    HELD,
    LANE_CASES,
    ROWS,
    WEIGHTS,
    Case,
    P,
    X,
    assert_same_bits,
    bits,
    population,
    setting,
    trained,
    trained_in_calls,
)
from bit_cases import TARGETS as T

from gpubp.backends import NumpyBackend
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.host_compiler import find_compiler
from gpubp.engines.lane.kernel import LARGEST_ON_CUDA
from gpubp.errors import SettingsError
from gpubp.networks.population import Population
from gpubp.networks.settings import EarlyStopping, Settings
from gpubp.operations.activations import HIDDEN
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.parametric import PARAMETRIC
from gpubp.operations.schedules import SCHEDULES
from gpubp.training.loop import train
from gpubp.tutorial import case_study

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")

SOME_LANES = [LANE_CASES[i] for i in (0, 1, 2, 3, 5, 12)]
# Of the later ones those that differ from another case in more than the activation.
SOME_LANES += [case for case in LANE_CASES[13:] if case != replace(LANE_CASES[4], activation=case.activation)]
ONLINE, BATCHES = LANE_CASES[0], LANE_CASES[1]
BLOCK, VALIDATED = BLOCK_CASES[1], BLOCK_CASES[8]
SOME = {"lane": None, "block": np.array([0, 1, 20])}  # networks


@pytest.fixture(autouse=True)
def _compiled_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the shim alone; the bits do not depend on it."""
    monkeypatch.setenv("STANDIN_CXXFLAGS", "-O0")


@pytest.mark.parametrize("case", SOME_LANES + BLOCK_CASES, ids=str)
def test_the_same_bits_as_on_the_cpu(standin: CupyBackend, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", "31")  # threads take turns
    expected, its_metrics = trained_in_calls(NumpyBackend(), case, (5,), keep=SOME[case.engine])
    found, metrics = trained_in_calls(standin, case, (5,), keep=SOME[case.engine])
    assert standin.xp.counters.launches > 0
    assert np.isfinite(expected).all()
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


@pytest.mark.parametrize(
    ("cases", "activations"),
    [(LANE_CASES, True), (SOME_LANES, False), (BLOCK_CASES, True)],
    ids=["lane", "some", "block"],
)
def test_the_cases_have_every_value_of_every_option(cases: list[Case], activations: bool) -> None:
    def values(name: str) -> set[Any]:
        # a network without a hidden layer has no activation to show
        return {getattr(case, name) for case in cases if case.hidden or name != "activation"}

    if activations:
        assert values("activation") - {*PARAMETRIC} == {*HIDDEN}
    tables = {"loss": LOSSES, "optimizer": OPTIMIZERS, "schedule": SCHEDULES.keys() - {"adaptive"}, "rows": ROWS,
              "held": HELD, "weights": WEIGHTS, "dtype": ("float32", "float64"), "shuffle": (False, True)}  # fmt: skip
    for name, table in tables.items():
        assert values(name) == set(table), name
    assert {len(hidden) for hidden in values("hidden")} == {0, 1, 2, 3}
    assert {1, 4, None} <= values("batch_size")
    assert all(len(values(name)) == 2 for name in ("l2", "clip_norm"))


@pytest.mark.parametrize("order", ["1", "20241", "777"])
@pytest.mark.parametrize("case", [ONLINE, BATCHES, BLOCK, VALIDATED], ids=str)
def test_the_order_of_threads_and_blocks_does_not_matter(
    standin: CupyBackend, monkeypatch: pytest.MonkeyPatch, case: Case, order: str
) -> None:
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", "0")
    expected, its_metrics = trained_in_calls(standin, case, (3,), keep=SOME[case.engine])
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", order)
    found, metrics = trained_in_calls(standin, case, (3,), keep=SOME[case.engine])
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


def test_more_networks_than_a_block_has_threads(standin: CupyBackend) -> None:
    def params(backend: NumpyBackend | CupyBackend) -> np.ndarray:
        many = Population.initialize(Architecture(3, 3, 2, "logistic", "tanh"), np.arange(1000), backend)
        settings = Settings(loss="squared_error", optimizer="sgd", batch_size=1, epochs=2, shuffle=False)
        train(many, X, T["squared_error"], settings, engine="lane")
        return backend.to_host(many.params)

    assert_same_bits(params(standin), params(NumpyBackend()))


@pytest.mark.parametrize("case", [ONLINE, BATCHES, BLOCK], ids=str)
def test_epochs_in_one_call_or_in_several(standin: CupyBackend, case: Case) -> None:
    whole, its_metrics = trained_in_calls(standin, case, (10,), keep=SOME[case.engine])
    parts, metrics = trained_in_calls(standin, case, (1, 4, 5), keep=SOME[case.engine])
    assert_same_bits(parts, whole)
    assert_same_bits(metrics, its_metrics)


@pytest.mark.parametrize("case", [BATCHES, BLOCK], ids=str)
def test_early_stopping_leaves_the_same_networks_at_the_same_epochs(standin: CupyBackend, case: Case) -> None:
    case = replace(case, rows="ragged", held="ragged", schedule="constant")
    rule = EarlyStopping(patience=1, tolerance=0.002)
    expected, its_history = trained(NumpyBackend(), case, early_stopping=rule, epochs=30)
    found, history = trained(standin, case, early_stopping=rule, epochs=30)
    assert len(set(history.epochs.tolist())) > 2
    np.testing.assert_array_equal(history.epochs, its_history.epochs)
    np.testing.assert_array_equal(history.best_epoch, its_history.best_epoch)
    assert_same_bits(found, expected)


def test_denormal_numbers_are_numbers_on_the_device_too(standin: CupyBackend) -> None:
    """CuPy's own way of compiling would flush them (-ftz=true). Weights from zero, by rows of 1e-38, are denormal."""

    def params(backend: NumpyBackend | CupyBackend) -> np.ndarray:
        networks = population(backend, ONLINE)
        networks.params[...] = 0
        train(networks, X * 1e-38, T["squared_error"], setting(ONLINE), engine="lane")
        return backend.to_host(networks.params)

    expected = params(NumpyBackend())
    assert ((expected != 0) & (np.abs(expected) < np.finfo(np.float32).tiny)).any()
    assert_same_bits(params(standin), expected)


def test_the_case_study_is_the_same(standin: CupyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """All five folds, 500 epochs: the populations that it trains agree to the bit, and so the accuracies."""
    trained_params = []
    predict = Population.predict

    def spy(networks: Population, *args: object, **more: object) -> object:
        trained_params.append(networks.backend.to_host(networks.params))
        return predict(networks, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Population, "predict", spy)
    expected = case_study(backend="numpy", engine="lane")
    found = case_study(backend="cupy", engine="lane")
    assert (expected.backend, found.backend) == ("numpy", "cupy")
    assert found.engine == "lane"
    assert_same_bits(trained_params[1], trained_params[0])
    assert found.fold_accuracies == expected.fold_accuracies
    assert found.mean_accuracy > 0.9


@pytest.mark.parametrize("case", [ONLINE, BLOCK], ids=str)
def test_transfers_do_not_grow_with_the_epochs(standin: CupyBackend, case: Case) -> None:
    def counted(epochs: int) -> tuple[int, int, int]:
        counters = standin.xp.counters
        counters.reset()
        trained_in_calls(standin, case, (epochs,), keep=SOME[case.engine])
        return counters.to_device, counters.to_host, counters.launches

    few, many = counted(1), counted(9)
    assert few == many
    assert few[1] == 2  # the parameters and the metrics


def test_what_does_not_fit_into_a_threads_registers_is_refused(standin: CupyBackend) -> None:
    shape = Architecture(3, 40, 3, "tanh", "softmax")
    networks = Population.initialize(shape, [1, 2], standin)
    words = (
        f"a network of {3 * shape.n_parameters + shape.n_parameters} numbers .* too large for a CUDA thread's registers"
    )
    assert 4 * shape.n_parameters > LARGEST_ON_CUDA["float32"]
    before = standin.to_host(networks.params)
    with pytest.raises(SettingsError, match=words):
        train(networks, X, T["cross_entropy"], Settings(epochs=1), engine="lane")
    assert_same_bits(standin.to_host(networks.params), before)
    history = train(networks, X, T["cross_entropy"], Settings(epochs=1), engine="auto")
    assert history.engine == "array"
    assert "too large for a CUDA thread's registers" in history.engine_reason
    assert standin.xp.counters.launches == 0


def test_a_difference_of_one_bit_would_be_seen() -> None:
    one = np.array([1, 0], np.float32)
    assert (bits(np.nextafter(one, np.float32(2))) != bits(one)).all()
    with pytest.raises(AssertionError):
        assert_same_bits(np.array([-0.0]), np.array([0.0]))
    assert P % 4
