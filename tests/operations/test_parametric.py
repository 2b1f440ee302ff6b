"""Parametric activations: gradients, slopes of a group of their own, and what a network is while they are ones."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from finite_differences import assert_close, numerical_gradient

from gpubp import Architecture, EarlyStopping, Population, Settings, train
from gpubp.backends import Backend, NumpyBackend
from gpubp.backends.host_compiler import find_compiler
from gpubp.engines.choose import choose_engine
from gpubp.errors import DataError, SettingsError
from gpubp.fitting.fold_scaling import unscaled
from gpubp.fitting.job import Sheet
from gpubp.networks.preparation import prepare
from gpubp.operations.activations import HIDDEN
from gpubp.operations.losses import LOSSES
from gpubp.operations.network import Tape, decaying, loss_and_gradient
from gpubp.operations.parametric import PARAMETRIC, PREFIX
from gpubp.operations.regularization import l2_penalty
from gpubp.storage.schema import Given
from gpubp.training.lbfgs import fit_lbfgs
from gpubp.training.snapshot import Snapshot

BACKEND = NumpyBackend()
P, B, I, O = 3, 6, 4, 3  # noqa: E741
RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, I))
T = np.eye(O)[RNG.integers(O, size=40)]
ENGINES = ["array", pytest.param("block", marks=pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler"))]
every_activation = pytest.mark.parametrize("activation", PARAMETRIC)
every_engine = pytest.mark.parametrize("engine", ENGINES)


def network(activation: Any = "parametric_mish", hidden: tuple[int, ...] = (5, 4), **more: Any) -> Architecture:
    return Architecture(I, hidden, O, activation, **({"output_activation": "softmax"} | more))


def check_gradient(backend: Backend, shape: Architecture, loss: str) -> None:
    """Against finite differences in float64, with row weights, dropout and L2."""
    rng = np.random.default_rng(1)
    params = 0.4 * rng.normal(size=(P, shape.n_parameters))
    rows, targets = backend.to_device(X[:B]), backend.to_device(T[:B] * (1.0 if shape.output_activation else 0.9))
    share = rng.uniform(0.1, 0.4, size=(P, B))
    scale = backend.to_device(share[:, :, None])
    tape = Tape(backend, shape, P, B, np.float64)
    tape.drop(backend, [backend.to_device(2.0 * rng.integers(2, size=(P, B, n))) for n in shape.hidden])
    given = {option.name: backend.to_device(np.full((P, 1, 1), option.default)) for option in LOSSES[loss].options}

    def objective(at: np.ndarray) -> tuple[float, np.ndarray]:
        flat = backend.to_device(at.copy())
        grads = backend.xp.full_like(flat, np.nan)
        views, d_views = shape.views(flat), shape.views(grads)
        loss_and_gradient(backend, shape, LOSSES[loss], views, rows, targets, scale, tape, d_views, tape.loss, given)
        total, penalty = (backend.to_host(tape.loss) * share).sum(), backend.xp.zeros(P)
        for (*_, W), (*_, dW) in zip(decaying(shape, views), decaying(shape, d_views), strict=True):
            l2_penalty([W], [dW], backend.to_device(np.full((P, *[1] * (W.ndim - 1)), 0.3)), 1.0, penalty)
        return float(total + backend.to_host(penalty).sum()), backend.to_host(grads)

    assert_close(objective(params)[1], numerical_gradient(lambda at: objective(at)[0], params))


@every_activation
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_every_activation_and_loss(activation: str, loss: str) -> None:
    check_gradient(BACKEND, network(activation, (3,), output_activation=LOSSES[loss].link or "identity"), loss)


@pytest.mark.parametrize("front", [(), ("scale",), ("pbld:2x3", "scale")])
def test_gradients_of_several_layers(backend: Backend, front: tuple[str, ...]) -> None:
    shape = network(("parametric_selu", "tanh", "parametric_mish"), (3, 2, 2), front=front)
    check_gradient(backend, shape, "cross_entropy")


@every_activation
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_while_slopes_are_ones_it_is_the_plain_network(activation: str, dtype: str) -> None:
    """To the bit: outputs, first weights, and what an update does to the weights."""
    plain = Population.initialize(network(activation.removeprefix(PREFIX)), [1, 2], BACKEND, dtype=dtype)
    own = Population.initialize(network(activation), [1, 2], BACKEND, dtype=dtype)

    def compare() -> None:
        for layer in range(3):
            np.testing.assert_array_equal(own.weights(layer), plain.weights(layer))
            np.testing.assert_array_equal(own.biases(layer), plain.biases(layer))

    compare()
    assert all((its["slopes"] == 1.0).all() for its in own.architecture.views(own.params)[:2])
    np.testing.assert_array_equal(own.predict(X), plain.predict(X))
    for each in (own, plain):
        train(each, X, T, Settings(epochs=1, batch_size=None, dropout=0.2), engine="array")
    compare()
    assert all((its["slopes"] != 1.0).any() for its in own.architecture.views(own.params)[:2])


def test_where_slopes_are_zeros_it_is_linear() -> None:
    own = Population.initialize(network(), [1], BACKEND, dtype=np.float64)
    for its in own.architecture.views(own.params)[:2]:
        its["slopes"][...] = 0.0
    linear = Population.initialize(network("identity"), [1], BACKEND, dtype=np.float64)
    for layer in range(3):
        linear.weights(layer)[...] = own.weights(layer)
    np.testing.assert_allclose(own.predict(X), linear.predict(X))


# ------------------------------------------------------------------------------------------------------- training

OPTIONS = {"slope_rate": np.array([0.1, 0.5, 1.0]), "slope_decay": np.array([0.0, 1.0, 3.0])}


def fresh(networks: Any = slice(None), shape: Architecture | None = None, **more: Any) -> Population:
    return Population.initialize(shape or network(), np.array([1, 2, 3])[networks], BACKEND, dtype=np.float64, **more)


def settings(networks: Any = slice(None), **more: Any) -> Settings:
    own = {name: values[networks] for name, values in OPTIONS.items()}
    return Settings(**({"layer_options": own, "learning_rate": 0.02, "epochs": 4, "batch_size": 8} | more))


@every_engine
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_network_is_as_alone(optimizer: str, engine: str) -> None:
    more = {"optimizer": optimizer, "l2": 0.1, "clip_norm": 1.0, "dropout": 0.2}
    both = fresh()
    train(both, X, T, settings(**more), engine=engine)
    for p in range(P):
        one = fresh([p])
        train(one, X, T, settings([p], **more), engine=engine)
        np.testing.assert_array_equal(both.params[p], one.params[0])


@every_engine
def test_a_pause_changes_no_bit(engine: str) -> None:
    """By way of the snapshot's arrays and metadata, as a file has them."""
    chosen = settings(optimizer="adamw", average=0.9, l2=0.1, dropout=0.1)
    whole, paused, again = fresh(), fresh(), fresh()
    train(whole, X, T, chosen, engine=engine)
    kept = train(paused, X, T, chosen, engine=engine, until=2).snapshot
    assert kept is not None
    train(again, X, T, chosen, engine=engine, resume=Snapshot.from_parts(kept.to_arrays(), kept.to_metadata()))
    np.testing.assert_array_equal(again.params, whole.params)


@every_engine
def test_early_stopping_restores_the_best_slopes(engine: str) -> None:
    rows, held = np.arange(30), np.arange(30, 40)
    more = {"learning_rate": 0.3, "batch_size": 8}
    stopped = fresh()
    rule = EarlyStopping(patience=3)
    found = train(
        stopped, X, T, settings(epochs=30, early_stopping=rule, **more), rows=rows, validation_rows=held, engine=engine
    )
    for p, best in enumerate(found.best_epoch.tolist()):
        one = fresh([p])
        train(one, X, T, settings([p], epochs=best + 1, **more), rows=rows, engine=engine)
        np.testing.assert_array_equal(one.params[0], stopped.params[p])


@every_engine
def test_factors_of_rate_and_decay(engine: str) -> None:
    """One update by plain descent, and what decoupled decay takes."""
    shape = network("parametric_tanh", (4,))

    def step(options: dict[str, float], **more: Any) -> list[dict[str, np.ndarray]]:
        """How far an update goes, by layer and name."""
        population = fresh([0], shape)
        before = population.params.copy()
        base = {"optimizer": "sgd", "epochs": 1, "batch_size": None, "shuffle": False, "learning_rate": 0.1}
        train(population, X, T, Settings(layer_options=options, **(base | more)), engine=engine)
        return shape.views(population.params - before)

    usual = step({"slope_rate": 1.0})[0]
    assert_close = np.testing.assert_allclose
    for options, factors in (
        ({}, (1.0, 1.0, 0.1)),
        ({"slope_rate": 3.0}, (1.0, 1.0, 3.0)),
        ({"bias_rate": 0.5, "first_rate": 2.0, "fan_in_power": 0.5}, (1.0, 1.0, 0.2)),  # 2 / √4 and 0.5 · 2
    ):
        found = step(options)[0]
        for name, factor in zip(("weights", "biases", "slopes"), factors, strict=True):
            assert_close(found[name], factor * usual[name], rtol=1e-9)
    one, l2 = {"slope_rate": 1.0}, {"l2": 0.5}
    shrunk, free = (step(one | {"slope_decay": decay}, **l2)[0]["slopes"] for decay in (2.0, 0.0))
    np.testing.assert_array_equal(free, usual["slopes"])
    assert_close(shrunk - free, -0.1 * 2.0 * 0.5 / len(X) * np.ones((1, 4)), rtol=1e-9)
    adamw = {"optimizer": "adamw", "learning_rate": 1e-3}
    options = {"slope_rate": 0.5, "slope_decay": 2.0}
    decayed, free = (step(options, **adamw, optimizer_options={"weight_decay": by})[0] for by in (0.3, 0.0))
    assert_close(decayed["slopes"] - free["slopes"], -1e-3 * 0.5 * 2.0 * 0.3 * np.ones((1, 4)), rtol=1e-9)
    np.testing.assert_array_equal(decayed["biases"], free["biases"])


def test_first_weights_that_look_at_the_rows() -> None:
    own, plain = (fresh(shape=network(name), initializer="data_dependent", X=X) for name in ("parametric_elu", "elu"))
    for layer in range(3):
        np.testing.assert_array_equal(own.weights(layer), plain.weights(layer))
        np.testing.assert_array_equal(own.biases(layer), plain.biases(layer))
    assert (own.architecture.views(own.params)[0]["slopes"] == 1.0).all()


def test_the_quasi_newton_method_learns_slopes() -> None:
    shape, begin = network("parametric_softplus", (4,)), fresh([0], network("parametric_softplus", (4,)))
    found = fit_lbfgs(
        shape, begin.params[0], X, T, "cross_entropy", 1e-3, max_iter=60, max_fun=500, tol=1e-6, backend=BACKEND
    )
    assert found.loss < 0.7
    assert np.abs(shape.views(found.params[None])[0]["slopes"] - 1.0).max() > 0.1

    def objective(params: np.ndarray) -> float:
        its = shape.views(params)
        Z = X @ its[0]["weights"][0] + its[0]["biases"]
        H = Z + its[0]["slopes"] * (np.logaddexp(Z, 0.0) - Z)
        Z = H @ its[1]["weights"][0] + its[1]["biases"]
        loss = (np.log(np.exp(Z).sum(axis=1)) - (Z * T).sum(axis=1)).mean()
        squares = sum((each["weights"] ** 2).sum() for each in its) + 0.1 * (its[0]["slopes"] ** 2).sum()
        return float(loss + 0.5 * 1e-3 * squares / len(X))

    assert objective(found.params[None]) == pytest.approx(found.loss)


# -------------------------------------------------------------------------------------- engines, and what people write


def test_the_lane_engine_says_that_it_does_not_know_them() -> None:
    population = fresh()
    plan = prepare(population, X, T, Settings())
    with pytest.raises(SettingsError, match="The engine lane cannot be used: its kernel knows no layer parametric"):
        choose_engine(plan, "lane")
    with pytest.raises(SettingsError, match="cannot predict: its kernel knows no layer parametric"):
        population.predict(X, engine="lane")


@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize("hidden", [(5, 4), (40, 17), (130, 1, 256)])
@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_block_and_array_agree(hidden: tuple[int, ...], clip_norm: float | None) -> None:
    """To rounding, in what they learn and in what they predict."""
    shape = Architecture(I, hidden, O, ("parametric_selu", "tanh", "parametric_mish")[: len(hidden)], "softmax")
    more = {"optimizer": "adamw", "l2": 0.1, "clip_norm": clip_norm, "dropout": 0.1, "average": 0.5}
    one, other = fresh(shape=shape), fresh(shape=shape)
    held = {"rows": np.arange(30), "validation_rows": np.arange(30, 40)}
    found = [
        train(each, X, T, settings(**more), engine=name, **held) for each, name in ((one, "array"), (other, "block"))
    ]
    np.testing.assert_allclose(other.params, one.params, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(found[1].training_loss, found[0].training_loss, rtol=1e-9)
    np.testing.assert_allclose(found[1].validation_loss, found[0].validation_loss, rtol=1e-9)
    np.testing.assert_allclose(one.predict(X, engine="block"), one.predict(X, engine="array"), rtol=1e-9, atol=1e-12)


def test_large_networks_of_the_array_engine() -> None:
    """Its compiled kernels know none of them: they are trained operation by operation."""
    own = Population.initialize(network(hidden=(450, 450)), [1], BACKEND)
    before = own.params.copy()
    train(own, X, T, Settings(epochs=1, batch_size=None), engine="array")
    slopes = [its["slopes"] for its in own.architecture.views(own.params - before)[:2]]
    assert all((each != 0.0).mean() > 0.9 for each in slopes)


@every_activation
def test_to_a_file_and_back(activation: str) -> None:
    shape = network(("relu", activation))
    assert shape.to_dict() == {"sizes": [4, 5, 4, 3], "activations": ["relu", activation, "softmax"]}
    assert Architecture.from_given(Given(shape.to_dict())) == shape
    assert shape != network(("relu", activation.removeprefix(PREFIX)))
    assert shape.n_parameters == 4 * 5 + 5 + 5 * 4 + 2 * 4 + 4 * 3 + 3
    assert shape.reordered(np.arange(4)[::-1]).activations == shape.activations


def test_scaling_goes_into_the_network() -> None:
    trained = fresh()
    train(trained, X, T, settings(), engine="array")
    offset, scale = np.arange(1.0, I + 1), np.array([2.0, 0.5, 10.0, 1.0])
    plain = fresh()
    plain.params[...] = unscaled(network(), trained.params, Sheet(X, T, offset, scale, np.zeros(O), np.ones(O)))
    np.testing.assert_allclose(plain.predict(X * scale + offset), trained.predict(X))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("parametric_identity", "Unknown activation 'parametric_identity' for a hidden layer"),
        ("parametric_softmax", "Unknown activation 'parametric_softmax' for a hidden layer"),
        ("parametric_mihs", r"Did you mean 'parametric_mish'\?"),
        ("parametric-mish", r"Did you mean 'parametric_mish'\?"),
        ("parametric_", "Choose one of parametric_logistic"),
        ("parametric_parametric_mish", "Unknown activation"),
        ("Parametric_mish", "Unknown activation"),
        (3, "Unknown activation 3"),
    ],
)
def test_what_names_none(name: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Architecture(2, (3,), 1, (name,))
    if isinstance(name, str):
        written = {"sizes": [2, 3, 1], "activations": [name, "identity"]}
        with pytest.raises(DataError, match="Unknown activation"):
            Architecture.from_given(Given(written))


def test_of_the_output_layer_there_are_none() -> None:
    with pytest.raises(SettingsError, match="Unknown activation 'parametric_relu' for the output layer"):
        Architecture(2, (3,), 1, "relu", "parametric_relu")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"slope_rate": 0.0}, "layer option slope_rate 0: expected a finite number above 0"),
        ({"slope_rate": np.nan}, "slope_rate nan"),
        ({"slope_decay": -1.0}, "at least 0"),
        ({"slope_rat": 1.0}, "Did you mean 'slope_rate'?"),
    ],
)
def test_options_that_cannot_be(options: dict[str, float], words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace("?", r"\?")):
        Settings(layer_options=options)


@pytest.mark.parametrize(("activation", "hidden"), [("relu", (4,)), ("parametric_relu", ())])
def test_options_of_a_network_without_slopes(activation: str, hidden: tuple[int, ...]) -> None:
    words = "slope_rate is an option of the layer parametric, and this network has none: choose such an activation"
    population = fresh(shape=network(activation, hidden))
    with pytest.raises(SettingsError, match=words):
        train(population, X, T, Settings(layer_options={"slope_rate": 1.0}))


def test_every_hidden_activation_but_the_identity_has_one() -> None:
    assert {*PARAMETRIC} == {PREFIX + name for name in HIDDEN} - {"parametric_identity"}


@every_engine
def test_a_copied_network_has_the_same_groups(engine: str) -> None:
    """As processes exchange them: a group is known by what it is, not by where it lies."""
    options = {"slope_rate": 0.5, "bias_rate": 0.3, "fan_in_power": 0.5}
    one, shape = fresh(), pickle.loads(pickle.dumps(fresh().architecture))
    assert all(layer.parameters for layer in shape.layers)
    other = fresh(shape=pickle.loads(pickle.dumps(shape)))
    for each in (one, other):
        train(each, X, T, Settings(layer_options=options, epochs=2), engine=engine)
    np.testing.assert_array_equal(other.params, one.params)
