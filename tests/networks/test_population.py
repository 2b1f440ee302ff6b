from __future__ import annotations

import numpy as np
import pytest

from gpubp.backends import Backend
from gpubp.errors import DataError, SettingsError
from gpubp.networks.population import Population, network_seeds
from gpubp.operations.architecture import Architecture
from gpubp.operations.initializers import INITIALIZERS
from gpubp.operations.network import initial_parameters
from gpubp.storage.schema import Given

SHAPE = Architecture(3, (4, 2), 2, ("tanh", "relu"))


def test_layout_is_weights_then_biases_layer_by_layer(backend: Backend) -> None:
    flat = np.arange(2 * SHAPE.n_parameters, dtype=np.float64).reshape(2, -1)
    population = Population.from_host(SHAPE, flat, np.zeros(2), backend)
    assert SHAPE.n_parameters == 3 * 4 + 4 + 4 * 2 + 2 + 2 * 2 + 2
    np.testing.assert_array_equal(backend.to_host(population.weights(0))[0], np.arange(12).reshape(3, 4))
    np.testing.assert_array_equal(backend.to_host(population.biases(0))[0], np.arange(12, 16))
    np.testing.assert_array_equal(backend.to_host(population.weights(1))[0], np.arange(16, 24).reshape(4, 2))
    population.biases(2)[...] = 0.5  # views: what is written there is in the flat parameters
    np.testing.assert_array_equal(backend.to_host(population.params)[:, -2:], 0.5)


def test_forward_pass_is_the_formula(backend: Backend) -> None:
    population = Population.initialize(SHAPE, [1, 2], backend, dtype="float64")
    X = np.random.default_rng(0).normal(size=(5, 3))
    outputs = backend.to_host(population.predict(X))
    for p in range(2):
        W = [backend.to_host(population.weights(i))[p] for i in range(3)]
        b = [backend.to_host(population.biases(i))[p] for i in range(3)]
        expected = np.maximum(np.tanh(X @ W[0] + b[0]) @ W[1] + b[1], 0) @ W[2] + b[2]
        np.testing.assert_allclose(outputs[p], expected, rtol=1e-12)
    per_network = backend.to_host(population.predict(np.stack([X, X[::-1]])))
    np.testing.assert_allclose(per_network[1], outputs[1, ::-1], rtol=1e-12)


def test_long_tables_are_predicted_in_pieces(numpy_backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpubp.operations import network

    population = Population.initialize(SHAPE, [1, 2], numpy_backend, dtype="float64")
    X = np.random.default_rng(0).normal(size=(23, 3))
    whole = population.predict(X)
    pieces = network.predict(numpy_backend, SHAPE, population.params, X, rows_at_once=5)
    np.testing.assert_allclose(pieces, whole, rtol=1e-14)


def test_take_concatenate_copy_and_restore(backend: Backend) -> None:
    population = Population.initialize(SHAPE, [5, 6, 7], backend)
    parts = [population.take([2]), population.take([0, 1])]
    joined = Population.concatenate(parts)
    assert joined.seeds.tolist() == [7, 5, 6]
    params = backend.to_host(population.params).copy()
    np.testing.assert_array_equal(backend.to_host(joined.params), params[[2, 0, 1]])
    copy = population.copy()
    copy.params[...] = 0.0
    np.testing.assert_array_equal(backend.to_host(population.params), params)
    state = population.state()
    population.params[...] = 0.0  # the state is a snapshot
    restored = Population.from_host(SHAPE, **state, backend=backend)
    np.testing.assert_array_equal(backend.to_host(restored.params), params)
    assert restored.dtype == np.float32
    assert len(restored) == 3


def test_what_cannot_be_joined_is_refused(backend: Backend) -> None:
    one = Population.initialize(SHAPE, 1, backend)
    with pytest.raises(SettingsError, match="architecture"):
        Population.concatenate([one, Population.initialize(Architecture(3, 4, 2), 1, backend)])
    with pytest.raises(SettingsError, match=r"dtype cannot be joined: float32 and float64"):
        Population.concatenate([one, Population.initialize(SHAPE, 1, backend, dtype="float64")])


def test_a_networks_start_depends_on_its_seed_alone(backend: Backend) -> None:
    together = Population.initialize(SHAPE, [3, 4, 5], backend)
    alone = Population.initialize(SHAPE, 4, backend)
    np.testing.assert_array_equal(backend.to_host(together.params)[1], backend.to_host(alone.params)[0])
    assert network_seeds(9, 3).tolist() == network_seeds(9, 5).tolist()[:3]
    assert len({*network_seeds(0, 1000).tolist(), *network_seeds(1, 1000).tolist()}) == 2000


def test_float32_starts_where_float64_does(numpy_backend: Backend) -> None:
    single = Population.initialize(SHAPE, 8, numpy_backend)
    double = Population.initialize(SHAPE, 8, numpy_backend, dtype="float64")
    np.testing.assert_array_equal(single.params, double.params.astype(np.float32))


@pytest.mark.parametrize("name", sorted({*INITIALIZERS} - {"ntk_normal", "data_dependent"}))
def test_initial_weights_have_their_spread(name: str) -> None:
    """The standard deviation over 60 000 weights within 2 % of the one stated by the paper; biases zero."""
    fan_in, fan_out = 300, 200
    expected = {
        "tutorial": 12**-0.5,
        "glorot_uniform": (2 / (fan_in + fan_out)) ** 0.5,
        "glorot_normal": (2 / (fan_in + fan_out)) ** 0.5,
        "he_uniform": (2 / fan_in) ** 0.5,
        "he_normal": (2 / fan_in) ** 0.5,
        "lecun_uniform": fan_in**-0.5,
        "lecun_normal": fan_in**-0.5,
    }[name]
    shape = Architecture(fan_in, (), fan_out)
    drawn = initial_parameters(shape, np.array([1], dtype=np.uint64), name)
    weights, biases = drawn[0, : fan_in * fan_out], drawn[0, fan_in * fan_out :]
    assert weights.std() == pytest.approx(expected, rel=0.02)
    assert weights.mean() == pytest.approx(0.5 if name == "tutorial" else 0.0, abs=4 * expected / 60_000**0.5)
    assert (biases > 0).all() if name == "tutorial" else (biases == 0).all()


def test_auto_takes_what_suits_each_layer() -> None:
    seeds = np.array([1], dtype=np.uint64)
    mixed = initial_parameters(Architecture(5, (6, 7), 2, ("relu", "selu")), seeds)
    he = initial_parameters(Architecture(5, (6, 7), 2), seeds, "he_uniform")
    lecun = initial_parameters(Architecture(5, (6, 7), 2), seeds, "lecun_normal")
    glorot = initial_parameters(Architecture(5, (6, 7), 2), seeds, "glorot_uniform")
    np.testing.assert_array_equal(mixed[:, :36], he[:, :36])
    np.testing.assert_array_equal(mixed[:, 36:85], lecun[:, 36:85])
    np.testing.assert_array_equal(mixed[:, 85:], glorot[:, 85:])


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, "7"])
def test_bad_seeds(numpy_backend: Backend, seed: object) -> None:
    with pytest.raises(SettingsError, match=r"[Ss]eed"):
        Population.initialize(SHAPE, [seed], numpy_backend)  # type: ignore[list-item]


def test_bad_input(numpy_backend: Backend) -> None:
    population = Population.initialize(SHAPE, 1, numpy_backend)
    with pytest.raises(DataError, match="takes 3 inputs"):
        population.predict(np.zeros((2, 4)))
    with pytest.raises(DataError, match=r"expected \(networks, 32\)"):
        Population.from_host(SHAPE, np.zeros((1, 3)), np.zeros(1), numpy_backend)
    with pytest.raises(DataError, match="2 seeds for 1"):
        Population.from_host(SHAPE, np.zeros((1, SHAPE.n_parameters)), np.zeros(2), numpy_backend)
    with pytest.raises(SettingsError, match="at least one seed"):
        Population.initialize(SHAPE, [], numpy_backend)
    with pytest.raises(SettingsError, match="Unknown initializer 'magic'"):
        Population.initialize(SHAPE, 1, numpy_backend, initializer="magic")
    with pytest.raises(SettingsError, match="float16"):
        Population.initialize(SHAPE, 1, numpy_backend, dtype="float16")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 3, 2), "0 inputs"),
        ((3, (4, 0), 2), "0 neurons in hidden layer 2"),
        ((3, 4, 0), "0 outputs"),
        ((3, 4, 2, "reluu"), "Unknown activation 'reluu' for a hidden layer"),
        ((3, 4, 2, "softmax"), "Unknown activation 'softmax' for a hidden layer"),
        ((3, (4, 4), 2, ("relu",)), "1 activations for 2 hidden layers"),
        ((3, 4, 2, "relu", "swoosh"), "for the output layer"),
    ],
)
def test_impossible_architectures(arguments: tuple, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Architecture(*arguments)


def test_architectures_in_words_and_back() -> None:
    assert str(SHAPE) == "3-4-2-2"
    assert Architecture.from_given(Given(SHAPE.to_dict())) == SHAPE
    linear = Architecture(3, (), 2)
    assert (linear.n_layers, linear.n_parameters, linear.hidden) == (1, 8, ())
