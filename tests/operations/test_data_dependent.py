"""First weights that fit the rows: every sum has variance 1 over them, and every neuron's kink lies among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpubp import Architecture, Population, Settings, get_backend, train
from gpubp.backends import Backend
from gpubp.errors import DataError, SettingsError
from gpubp.networks.first_weights import SAMPLE
from gpubp.operations.activations import ACTIVATIONS, HIDDEN
from gpubp.operations.data_dependent import _exponent, _rounded
from gpubp.operations.layer_kinds import FRONT
from gpubp.operations.network import initial_parameters

BACKEND = get_backend("numpy")
RNG = np.random.default_rng(3)
X = RNG.normal(size=(300, 6)) * [1.0, 20.0, 0.1, 1.0, 1e-3, 5.0] + [0.0, 300.0, 5.0, 0.0, 0.0, -5.0]
X[:, 3] = 7.0
SEEDS = [1, 2**63, 5]


def start(shape: Architecture, seeds: Any = SEEDS, rows: Any = None, X: np.ndarray = X, **given: Any) -> Population:
    given = {"initializer": "data_dependent", "dtype": np.float64, "X": X, "rows": rows} | given
    return Population.initialize(shape, seeds, BACKEND, **given)


def sums(networks: Population, X: np.ndarray = X) -> list[np.ndarray]:
    """Of each dense layer X W + b (P, N, O)."""
    found = []
    H = X
    for layer, its in zip(networks.architecture.layers, networks.architecture.views(networks.params), strict=True):
        if layer.name != "dense":
            H = layer.forward(BACKEND, H, its, layer.values(BACKEND, len(networks), len(X), np.float64, False))
            continue
        Z = H @ its["weights"] + its["biases"][:, None, :]
        H = np.empty_like(Z)
        layer.f.forward(BACKEND, Z, H)  # type: ignore[attr-defined]
        found.append(Z)
    return found


@pytest.mark.parametrize("activation", HIDDEN)
def test_every_sum_has_variance_1_and_changes_its_sign(activation: str) -> None:
    networks = start(Architecture(6, (40, 17, 5), 3, activation, "softmax"))
    for Z in sums(networks):
        assert_allclose(Z.std(axis=1), 1.0, atol=1e-5)
        assert (Z.min(axis=1) <= 1e-9).all()
        assert (Z.max(axis=1) >= -1e-9).all()
    single = Population(networks.architecture, networks.params.astype(np.float32), networks.seeds, BACKEND)
    for Z in sums(single, X.astype(np.float32)):
        assert_allclose(Z.std(axis=1), 1.0, atol=1e-3)


@pytest.mark.parametrize("kind", FRONT)
def test_layers_in_front_come_first(kind: str) -> None:
    for Z in sums(start(Architecture(6, (9,), 2, "mish", front=kind))):
        assert_allclose(Z.std(axis=1), 1.0, atol=1e-5)


def test_linear_networks_and_single_inputs() -> None:
    for shape, inputs in ((Architecture(6, (), 2), X), (Architecture(1, (4,), 1), X[:, 1:2])):
        for Z in sums(start(shape, X=inputs), inputs):
            assert_allclose(Z.std(axis=1), 1.0, atol=1e-5)


def test_a_network_starts_alone_as_among_others() -> None:
    """Rows of its own, fewer and more than the sample; whatever stands beside it, in whatever dtype."""
    table = np.random.default_rng(0).normal(size=(SAMPLE + 200, 6))
    every = np.arange(len(table))
    rows = [every[:40], every, every[100:], np.array([3, 3, 9, 9]), every]
    seeds, shape = [7, 8, 9, 10, 11], Architecture(6, (31, 8), 2, "tanh")
    among = start(shape, seeds, rows, table)
    for p in range(5):
        assert_array_equal(start(shape, [seeds[p]], [rows[p]], table).params[0], among.params[p])
        assert_array_equal(start(shape, [seeds[p]], None, table[rows[p]]).params[0], among.params[p])
    single = start(shape, seeds, rows, table, dtype=np.float32)
    assert_array_equal(single.params, among.params.astype(np.float32))
    assert (among.params[1] != among.params[4]).any()


def test_more_rows_than_the_sample_are_drawn_by_the_seed() -> None:
    """A table whose first rows are not like the others: variance over all of them is near 1 all the same."""
    table = np.random.default_rng(0).normal(size=(20 * SAMPLE, 6))
    table[:SAMPLE] *= 0.01
    for Z in sums(start(Architecture(6, (50, 50), 2, "selu"), X=table), table):
        assert_allclose(Z.std(axis=1), 1.0, atol=0.2)


@pytest.mark.parametrize("fan_in", [1, 2, 3, 255, 256, 257, 1000])
def test_sums_of_products_are_exact(fan_in: int) -> None:
    """The largest that there can be, and random ones, in any order."""
    bits = (53 - (fan_in - 1).bit_length()) // 2
    rng = np.random.default_rng(fan_in)
    for scale, sample in ((1.0, np.full((1, 4, fan_in), 1.0 - 1e-12)), (1e-9, rng.normal(size=(1, 4, fan_in)))):
        A = _rounded(sample * scale, _exponent(sample * scale), bits)
        W = _rounded(rng.normal(size=(1, fan_in, 3)), 4, bits)
        order = rng.permutation(fan_in)
        assert_array_equal(A @ W, A[:, :, order] @ W[:, order])
        assert_array_equal(A @ W, np.add.accumulate(A[:, :, :, None] * W[:, None], axis=2)[:, :, -1])
        assert_allclose(A, sample * scale, atol=scale * 2.0 ** (3 - bits))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_last_bits_of_activations_do_not_matter(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    """In which exponentials differ from machine to machine."""
    shape = (6, (40, 30, 20), 3, "tanh", "softmax")
    expected, rng = start(Architecture(*shape), dtype=dtype).params, np.random.default_rng(0)  # type: ignore[arg-type]

    def other(backend: Backend, Z: np.ndarray, out: np.ndarray) -> None:
        out[...] = np.nextafter(np.tanh(Z), rng.choice([-2.0, 2.0], size=Z.shape))

    monkeypatch.setitem(ACTIVATIONS, "tanh", replace(ACTIVATIONS["tanh"], forward=other))
    assert_array_equal(start(Architecture(*shape), dtype=dtype).params, expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "table",
    [
        X[:1],
        np.zeros((5, 6)),
        np.full((9, 6), 1e30),
        np.full((9, 6), 1.7e308),
        np.full((9, 6), -1e-3) + 1e-19,
        np.repeat(X[:1], 7, axis=0),
        np.full((4, 6), 5e-324),
        X * 1e-200,
    ],
)
def test_rows_without_a_difference(table: np.ndarray) -> None:
    """Weights as for inputs of any kind, 1 / √I, biases of 0: no division by nothing, no weight that overflows."""
    networks = start(Architecture(6, (200, 9), 2, "relu", "softmax"), X=table, dtype=np.float32)
    assert np.isfinite(networks.params).all()
    assert networks.weights(0).std() == pytest.approx(6**-0.5, rel=0.1)
    assert (networks.biases(0) == 0).all()


@pytest.mark.parametrize("scale", [1e-20, 1e-5, 1e30, 1e38])
def test_inputs_of_any_scale(scale: float) -> None:
    table = np.random.default_rng(0).normal(size=(50, 6)) / 4 * scale
    networks = start(Architecture(6, (20,), 2, "selu"), X=table)
    for Z in sums(networks, table):
        assert_allclose(Z.std(axis=1), 1.0, atol=1e-5)
    assert np.isfinite(networks.params.astype(np.float32)).all()


def test_one_row_far_out_and_two_rows() -> None:
    far = X.copy()
    far[0, 0] = 1e12
    for table in (far, X[:2]):
        for Z in sums(start(Architecture(6, (20,), 2, "selu"), X=table), table):
            assert_allclose(Z.std(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("initializer", ["auto", "data_dependent", "ntk_normal"])
def test_a_last_layer_of_zeros(initializer: str) -> None:
    shape = Architecture(6, (8,), 3, "selu", "softmax", front="scale")
    usual = start(shape, initializer=initializer)
    zero = start(shape, initializer=initializer, zero_last_layer=True)
    assert_array_equal(zero.params[:, : -9 * 3], usual.params[:, : -9 * 3])
    assert (zero.params[:, -9 * 3 :] == 0).all()
    assert (usual.params[:, -9 * 3 :] != 0).any()
    assert_allclose(zero.predict(X), 1 / 3)
    T = np.eye(3)[RNG.integers(0, 3, len(X))]
    for engine in ("array", "block"):
        trained = zero.copy()
        history = train(trained, X / X.std(axis=0).clip(1), T, Settings(epochs=3, learning_rate=0.01), engine=engine)
        assert (trained.params != zero.params).mean() > 0.9
        assert history.training_loss[0, 0] == pytest.approx(np.log(3), rel=0.3)


def test_ntk_normal_has_normal_biases() -> None:
    drawn = initial_parameters(Architecture(300, (), 200), np.array([1], dtype=np.uint64), "ntk_normal")[0]
    assert drawn[:-200].std() == pytest.approx(300**-0.5, rel=0.02)
    assert drawn[-200:].std() == pytest.approx(1.0, rel=0.15)


def test_without_rows_it_says_so() -> None:
    shape = Architecture(6, (8,), 3)
    with pytest.raises(SettingsError, match=r"data_dependent looks at the rows .* \(Population.initialize\(..., X="):
        start(shape, X=None)
    with pytest.raises(DataError, match=r"X has shape \(300, 5\): this network needs \(rows, 6\)"):
        start(shape, X=X[:, :5])
    with pytest.raises(DataError, match="at least one row"):
        start(shape, X=X[:0])
    with pytest.raises(DataError, match="numbers that are not finite"):
        start(shape, X=np.where(X[3, 1] == X, np.nan, X))
    with pytest.raises(DataError, match="row 300 is not among"):
        start(shape, rows=np.array([300]))
    with pytest.raises(SettingsError, match="2 sets of training rows for 3 networks"):
        start(shape, rows=[np.arange(3)] * 2)


def test_the_same_bits_on_every_backend(backend: Backend) -> None:
    shape, table = Architecture(6, (9, 4), 2, "selu"), np.random.default_rng(0).normal(size=(2 * SAMPLE, 6))
    expected = start(shape, X=table).params
    for given in (table, backend.to_device(table)):
        found = Population.initialize(
            shape, SEEDS, backend, initializer="data_dependent", dtype=np.float64, X=given, rows=np.arange(SAMPLE + 9)
        )
        assert_array_equal(backend.to_host(found.params), start(shape, X=table[: SAMPLE + 9]).params)
        assert (expected != start(shape, X=table[: SAMPLE + 9]).params).any()
