"""Layers before the dense ones: gradients, groups of parameters, and what a network with them is as another network.

Every kind that can stand there is tested, whatever it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import assert_close, numerical_gradient

from gpubp import EarlyStopping, Settings
from gpubp.backends import Backend, NumpyBackend
from gpubp.backends.host_compiler import find_compiler
from gpubp.engines.choose import choose_engine
from gpubp.errors import DataError, SettingsError
from gpubp.fitting.fold_scaling import unscaled, without_front
from gpubp.fitting.job import Sheet
from gpubp.networks.population import Population
from gpubp.networks.preparation import prepare
from gpubp.operations.activations import ACTIVATIONS, HIDDEN
from gpubp.operations.architecture import Architecture
from gpubp.operations.dense import Dense
from gpubp.operations.layer_kinds import FRONT, LAYERS
from gpubp.operations.layers import Inputs
from gpubp.operations.losses import LOSSES
from gpubp.operations.network import Tape, decaying, loss_and_gradient, predict
from gpubp.operations.regularization import l2_penalty
from gpubp.storage.schema import Given
from gpubp.training.loop import train

BACKEND = NumpyBackend()
P, B, I, O = 2, 5, 4, 3  # noqa: E741
RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(40, I))
T = np.eye(O)[RANDOM.integers(O, size=40)]
every_kind = pytest.mark.parametrize("kind", FRONT)
OPTIONS = {
    "scale_rate": np.array([1.0, 6.0]),
    "scale_decay": np.array([0.5, 0.0]),
    "periodic_rate": np.array([0.1, 0.5]),
    "periodic_decay": np.array([0.0, 2.0]),
    "sigma": np.array([0.1, 1.0]),
    "embedding_rate": np.array([1.0, 0.3]),
    "embedding_decay": np.array([1.0, 0.0]),
    "embedding_sigma": np.array([1.0, 0.2]),
}
SMALL = {name: f"{name}:2x3" for name, kind in FRONT.items() if kind.takes_sizes} | {"embed": "embed:2x1"}
"""Layers of few parameters, for finite differences."""


def network(
    kind: str, hidden: tuple[int, ...] = (4,), activation: str = "tanh", output: str = "softmax"
) -> Architecture:
    front = SMALL.get(kind, kind)
    return Architecture(I, hidden, O, activation, output, front=front, indicators=(1,), categories=((0,), (1, 3)))


def options_of(kind: str) -> dict[str, Any]:
    return {option.name: OPTIONS[option.name] for option in FRONT[kind].options}


def check_gradient(backend: Backend, shape: Architecture, loss: str, shared: bool = True) -> None:
    """Against finite differences in float64, with row weights and L2."""
    params = 0.4 * np.random.default_rng(1).normal(size=(P, shape.n_parameters))
    rows = backend.to_device(X[:B] if shared else np.stack([X[:B], X[B : 2 * B]]))
    targets = backend.to_device(T[:B] if loss != "binary_cross_entropy" else T[:B] * 0.9)
    share = RANDOM.uniform(0.1, 0.4, size=(P, B))
    scale, alpha = backend.to_device(share[:, :, None]), backend.to_device(np.full((P, 1), 0.3))
    tape = Tape(backend, shape, P, B, np.float64)
    given = {option.name: backend.to_device(np.full((P, 1, 1), option.default)) for option in LOSSES[loss].options}

    def objective(at: np.ndarray) -> tuple[float, np.ndarray]:
        flat = backend.to_device(at.copy())
        grads = backend.xp.full_like(flat, np.nan)
        views, d_views = shape.views(flat), shape.views(grads)
        loss_and_gradient(backend, shape, LOSSES[loss], views, rows, targets, scale, tape, d_views, tape.loss, given)
        total, penalty = (backend.to_host(tape.loss) * share).sum(), backend.xp.zeros(P)
        for (*_, W), (*_, dW) in zip(decaying(shape, views), decaying(shape, d_views), strict=True):
            l2_penalty([W], [dW], alpha.reshape(P, *[1] * (W.ndim - 1)), 1.0, penalty)
        return float(total + backend.to_host(penalty).sum()), backend.to_host(grads)

    assert_close(objective(params)[1], numerical_gradient(lambda at: objective(at)[0], params))


@every_kind
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", HIDDEN)
def test_gradients_before_every_activation_and_loss(kind: str, activation: str, loss: str) -> None:
    check_gradient(BACKEND, network(kind, (3,), activation, LOSSES[loss].link or "identity"), loss)


@every_kind
@pytest.mark.parametrize("hidden", [(), (3,), (2, 3)])
def test_gradients_of_rows_that_networks_share_or_do_not(backend: Backend, kind: str, hidden: tuple[int, ...]) -> None:
    for shared in (True, False):
        check_gradient(backend, network(kind, hidden), "cross_entropy", shared)


class _Asked(dict[str, Any]):
    """Remembers what it was asked for."""

    def __init__(self, values: dict[str, float]) -> None:
        super().__init__(values)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_kind_names_the_options_of_its_groups(kind: str) -> None:
    layer = LAYERS[kind].of(Inputs(3)) if kind in FRONT else LAYERS[kind](3, 2, "relu", True)  # type: ignore[call-arg]
    options = LAYERS[kind].options
    if isinstance(layer, Dense):  # kinds of them have the options of dense layers, and their own
        options = tuple(dict.fromkeys([*Dense.options, *options]))
    asked_for = _Asked({option.name: 1.0 for option in options})
    for parameter in layer.parameters:
        layer.factors(parameter, asked_for)
    assert asked_for.names == {option.name for option in options if not option.of_first_values}
    assert layer.initial(np.array([1, 2], np.uint64), 0, "auto").shape == (2, layer.n_parameters)


@every_kind
def test_views_are_of_the_whole_row_in_its_order(kind: str) -> None:
    shape = network(kind)
    flat = np.arange(2.0 * shape.n_parameters).reshape(2, -1)
    views = [view for its in shape.views(flat) for view in its.values()]
    np.testing.assert_array_equal(np.concatenate([view.reshape(2, -1) for view in views], axis=1), flat)
    assert all(np.shares_memory(view, flat) for view in views)
    np.testing.assert_array_equal(shape.weights(flat, 0), shape.views(flat)[1]["weights"])
    np.testing.assert_array_equal(shape.biases(flat, 1), views[-1])


@every_kind
def test_the_dense_layers_begin_as_without_it(kind: str) -> None:
    front = Population.initialize(network(kind), [1, 2], BACKEND)
    width = front.architecture.layers[0].n_outputs
    alone = Population.initialize(Architecture(width, (4,), O, "tanh", "softmax"), [1, 2], BACKEND)
    for layer in range(2):
        np.testing.assert_array_equal(front.weights(layer), alone.weights(layer))


# ------------------------------------------------------------------------------------------------------- training


def trained(kind: str, engine: str = "array", networks: slice = slice(None), **settings: Any) -> np.ndarray:
    own = {name: values[networks] for name, values in options_of(kind).items()}
    population = Population.initialize(network(kind), [1, 2][networks], BACKEND, dtype=np.float64, layer_options=own)
    chosen = {"layer_options": own, "learning_rate": 0.01, "epochs": 4, "batch_size": 8} | settings
    train(population, X, T, Settings(**chosen), engine=engine)
    return np.asarray(population.params)


@every_kind
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_network_is_as_alone(kind: str, optimizer: str) -> None:
    settings = {"optimizer": optimizer, "l2": 0.1, "clip_norm": 1.0, "dropout": 0.2}
    both = trained(kind, **settings)
    for p in range(2):
        np.testing.assert_array_equal(both[p], trained(kind, networks=slice(p, p + 1), **settings)[0])


def test_factors_of_rate_and_decay() -> None:
    """One update by plain descent: a rate of its own for the factors, and L2 with a factor of its own."""
    base = {"optimizer": "sgd", "epochs": 1, "batch_size": None, "shuffle": False}

    def step(l2: float = 0.0, **options: float) -> np.ndarray:
        """How far an update goes."""
        population = Population.initialize(network("scale"), [1], BACKEND, dtype=np.float64)
        before = population.params.copy()
        train(population, X, T, Settings(**base, l2=l2, learning_rate=0.1, layer_options=options), engine="array")
        return (population.params - before)[0]

    usual, own = step(scale_rate=1.0), step(scale_rate=3.0)
    np.testing.assert_allclose(own[:I], 3.0 * usual[:I])
    np.testing.assert_array_equal(own[I:], usual[I:])
    np.testing.assert_allclose(step()[:I], 6.0 * usual[:I])
    decayed = step(0.5, scale_rate=3.0, scale_decay=2.0)
    np.testing.assert_allclose(decayed[:I] - own[:I], -3.0 * 0.1 * 2.0 * 0.5 / len(X) * np.ones(I))
    np.testing.assert_array_equal(step(0.5, scale_rate=3.0)[:I], own[:I])  # factors are free, as biases are
    free = {"optimizer": "adamw", "optimizer_options": {"weight_decay": 0.5}}
    shrunk, kept = (trained("scale", **free, layer_options={"scale_decay": decay}) for decay in (1.0, 0.0))
    assert (np.abs(shrunk[:, :I]) < np.abs(kept[:, :I])).all()


def test_rates_of_dense_layers() -> None:
    """One update by plain descent, and what decoupled decay takes: see `Dense`."""
    shape = Architecture(I, (16,), O, "tanh", "softmax")

    def step(**settings: Any) -> list[dict[str, np.ndarray]]:
        """How far an update goes, by layer and name."""
        population = Population.initialize(shape, [1], BACKEND, dtype=np.float64)
        before = population.params.copy()
        chosen = {"optimizer": "sgd", "epochs": 1, "batch_size": None, "shuffle": False, "learning_rate": 0.1}
        train(population, X, T, Settings(**(chosen | settings)), engine="array")
        return shape.views(population.params - before)

    usual = step()
    own = step(layer_options={"bias_rate": 0.1, "first_rate": 3.0, "fan_in_power": 0.5})
    for layer, fan_in, first in ((0, I, 3.0), (1, 16, 1.0)):
        np.testing.assert_allclose(own[layer]["biases"], 0.1 * first * usual[layer]["biases"])
        np.testing.assert_allclose(own[layer]["weights"], first / np.sqrt(fan_in) * usual[layer]["weights"])
    for same in ({"bias_rate": 1.0}, {"first_rate": 1.0}, {"fan_in_power": 0.0}):
        np.testing.assert_array_equal(step(layer_options=same)[0]["weights"], usual[0]["weights"])
    adamw = {"optimizer": "adamw", "learning_rate": 1e-3, "layer_options": {"fan_in_power": 0.5}}
    decayed, free = (step(**adamw, optimizer_options={"weight_decay": decay}) for decay in (0.5, 0.0))
    first = Population.initialize(shape, [1], BACKEND, dtype=np.float64)
    for layer, its in enumerate(shape.views(first.params)):
        taken = decayed[layer]["weights"] - free[layer]["weights"]
        np.testing.assert_allclose(taken, -1e-3 * 0.5 * its["weights"], rtol=1e-9, atol=1e-15)


def test_only_block_and_array_know_rates_of_dense_layers() -> None:
    population = Population.initialize(Architecture(I, (4,), O, "tanh", "softmax"), [1, 2], BACKEND)
    plan = prepare(population, X, T, Settings(layer_options={"bias_rate": 0.5}))
    with pytest.raises(SettingsError, match="The engine lane cannot be used: its kernel knows no bias_rate"):
        choose_engine(plan, "lane")


PERIODIC = [name for name, kind in FRONT.items() if kind.takes_indicators]


@pytest.mark.parametrize("kind", PERIODIC)
def test_waves_come_first_on_the_block_engine(kind: str) -> None:
    """Behind a layer that learns, the array engine alone trains them; so it does where no input is a number."""
    behind, none = "the first layer, or as the second behind embed", "numbers alone"
    for front, indicators, words in (
        (f"scale,{kind}:2x3", (), f"as {behind}"),
        (f"{kind}:2x3", range(I), f"of {none}"),
    ):
        shape = Architecture(I, (4,), O, "tanh", "softmax", front, indicators)
        population = Population.initialize(shape, [1, 2], BACKEND, dtype=np.float64)
        before = population.params.copy()
        train(population, X, T, Settings(epochs=1, learning_rate=0.01))
        assert (population.params != before).mean() > 0.5
        with pytest.raises(SettingsError, match=f"knows {kind} {words}"):
            choose_engine(prepare(population, X, T, Settings()), "block")


@pytest.mark.parametrize("kind", PERIODIC)
@pytest.mark.parametrize("seed_and_sigma", [(1, 0.1), (2, 3.0)])
def test_first_frequencies_are_as_wide_as_sigma(kind: str, seed_and_sigma: tuple[int, float]) -> None:
    seed, sigma = seed_and_sigma
    shape = Architecture(40, (4,), O, "tanh", "softmax", f"{kind}:50x4")
    its = shape.views(Population.initialize(shape, seed, BACKEND, layer_options={"sigma": sigma}).params)[0]
    assert np.std(its["frequencies"]) == pytest.approx(sigma, rel=0.05)
    bound = 1 / np.sqrt(shape.layers[0].n_waves)  # type: ignore[attr-defined]
    assert 0.95 * bound < np.abs(its["weights"]).max() <= bound
    if "phases" in its:
        assert 3.0 < np.abs(its["phases"]).max() <= np.pi


@pytest.mark.parametrize("kind", PERIODIC)
def test_angles_beyond_all_bounds(kind: str) -> None:
    """An outlier gives finite outputs, the same from both engines."""
    shape = Architecture(2, (), 1, front=f"{kind}:3x3")
    population = Population.initialize(shape, [1], BACKEND, dtype=np.float64)
    rows = np.array([[1e7, -1e12], [3.0, 0.0], [1e300, -1e300]])
    found = population.predict(rows)
    assert np.isfinite(found).all()
    if find_compiler() is not None:
        np.testing.assert_allclose(population.predict(rows, engine="block"), found, rtol=1e-9, atol=1e-9)


@every_kind
def test_engines_that_do_not_know_a_layer_say_so(kind: str) -> None:
    population = Population.initialize(network(kind), [1, 2], BACKEND)
    plan = prepare(population, X, T, Settings())
    with pytest.raises(SettingsError, match=f"The engine lane cannot be used: its kernel knows no layer {kind}"):
        choose_engine(plan, "lane")
    assert f"no lanes: its kernel knows no layer {kind}" in choose_engine(plan).reason
    with pytest.raises(SettingsError, match=f"cannot predict: its kernel knows no layer {kind}"):
        population.predict(X, engine="lane")


# ------------------------------------------------------------------------------------ the same as another network


def outputs(shape: Architecture, params: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.asarray(predict(BACKEND, shape, params, rows))


@every_kind
def test_scaling_goes_into_the_network(kind: str) -> None:
    params = trained(kind)
    offset, scale = np.arange(1.0, I + 1), np.array([2.0, 0.5, 10.0, 1.0])
    sheet = Sheet(X, T, offset, scale, np.zeros(O), np.ones(O))
    found = unscaled(network(kind), params, sheet)
    np.testing.assert_allclose(outputs(network(kind), found, X * scale + offset), outputs(network(kind), params, X))


@every_kind
def test_inputs_in_another_order(kind: str) -> None:
    params = trained(kind)
    shape, order = network(kind), np.array([2, 0, 3, 1])
    moved, other = params.copy(), shape.reordered(order)
    next_order: np.ndarray | None = order
    for layer, its in zip(shape.layers, shape.views(moved), strict=True):
        next_order = layer.reorder(its, next_order) if next_order is not None else None
    np.testing.assert_allclose(outputs(other, moved, X[:, order]), outputs(shape, params, X))


@pytest.mark.parametrize("kind", [name for name, kind in FRONT.items() if kind.only_factors])
def test_factors_go_into_the_weights(kind: str) -> None:
    params = trained(kind)
    plain, folded = without_front(network(kind), params.copy())
    assert not plain.front
    np.testing.assert_allclose(outputs(plain, folded, X), outputs(network(kind), params, X))
    assert without_front(plain, folded)[1] is folded


# ---------------------------------------------------------------------------------------------- what people write


@every_kind
def test_to_a_file_and_back(kind: str) -> None:
    shape = network(kind)
    assert Architecture.from_given(Given(shape.to_dict())) == shape
    assert str(shape) == f"{SMALL.get(kind, kind)} + 4-4-3"
    assert "front" not in Architecture(2, (3,), 1).to_dict()
    with pytest.raises(DataError, match="Unknown layer in front 'scael'"):
        Architecture.from_given(Given(shape.to_dict() | {"front": ["scael"]}))
    with pytest.raises(DataError, match="front should be a list"):
        Architecture.from_given(Given(shape.to_dict() | {"front": kind}))


@pytest.mark.parametrize(
    ("front", "kinds"),
    [("none", ()), (None, ()), ((), ()), ("scale", ("scale",)), (["pl:2x3", "scale"], ("pl:2x3", "scale"))],
)
def test_what_names_layers(front: Any, kinds: tuple[str, ...]) -> None:
    assert Architecture(2, (3,), 1, front=front).front == kinds


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ("scael", "Unknown layer in front 'scael'. Did you mean 'scale'?"),
        ("dense", "Unknown layer in front 'dense'"),
        ("scale,scale", "name each kind once"),
        (("none", "scale"), "none alone"),
        (3, "Unknown layer in front 3"),
        ("scale:3x4", "Layer in front scale: it has no sizes; found 3x4"),
        ("pbld:16", "its sizes are frequencies and outputs of a number, such as pbld:16x4.*found 16"),
        ("pbld:0x4", "found 0x4"),
        ("pbld:4x1", "from 1 and 2 to 1,024; found 4x1"),
        ("pl:4x99999", "found 4x99999"),
        ("pbld:axb", "sizes are whole numbers with x between"),
        ("pbld:", "sizes are whole numbers"),
        ("pbld,pbld:16x4", "name each kind once"),
        ("", "Unknown layer in front ''"),
    ],
)
def test_what_names_none(front: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace("?", r"\?")):
        Architecture(2, (3,), 1, front=front)


@pytest.mark.parametrize("indicators", [(4,), (-1,), (0, 9)])
def test_indicators_are_inputs(indicators: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match="a network has the inputs 0 to 3"):
        Architecture(I, (3,), 1, front="pbld", indicators=indicators)
    assert Architecture(I, (3,), 1, front="scale", indicators=indicators).indicators == ()  # which does not care
    given = Architecture(I, (3,), 1, front="pbld", indicators=(1,)).to_dict()
    with pytest.raises(DataError, match="a network has the inputs 0 to 3"):
        Architecture.from_given(Given(given | {"indicators": [9]}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sigma": 0.0}, "above 0"),
        ({"fan_in_power": 2.0}, "at most 1"),
        ({"scale_rate": 0.0}, "layer option scale_rate 0: expected a finite number above 0"),
        ({"scale_decay": -1.0}, "at least 0"),
        ({"scale_rat": 1.0}, "No layer has an option 'scale_rat'.*Did you mean 'scale_rate'?"),
    ],
)
def test_options_that_cannot_be(options: dict[str, float], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings(layer_options=options)


def test_options_of_layers_that_are_not_there() -> None:
    population = Population.initialize(Architecture(I, (4,), O, "tanh", "softmax"), [1], BACKEND)
    with pytest.raises(SettingsError, match="scale_rate is an option of the layer scale, and this network has none"):
        train(population, X, T, Settings(layer_options={"scale_rate": 2.0}))


@every_kind
def test_early_stopping_restores_the_best(kind: str) -> None:
    """Best weights are whole rows of parameters, those in front among them."""
    population = Population.initialize(network(kind), [1, 2], BACKEND)
    rule = EarlyStopping(patience=3)
    settings = Settings(learning_rate=0.3, epochs=30, early_stopping=rule, layer_options=options_of(kind))
    history = train(population, X, T, settings, rows=np.arange(30), validation_rows=np.arange(30, 40))
    again = Population.initialize(network(kind), [1, 2], BACKEND)
    for p, best in enumerate(history.best_epoch.tolist()):
        one = again.take([p])
        own = {name: values[p] for name, values in options_of(kind).items()}
        train(one, X, T, Settings(learning_rate=0.3, epochs=best + 1, layer_options=own), rows=np.arange(30))
        np.testing.assert_array_equal(one.params[0], population.params[p])


def test_every_activation_is_a_dense_layers() -> None:
    assert LAYERS["dense"](2, 3, "relu").f is ACTIVATIONS["relu"]  # type: ignore[call-arg,attr-defined]
