"""`engine="auto"`: which engine is chosen, why, and that the choice depends on the training alone."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, get_type_hints

import numpy as np
import pytest
from standin.cuda import PROPERTIES

from gpubp.backends import NumpyBackend, get_backend
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.cli.options import EngineOptions
from gpubp.engines.array.costs import array_seconds
from gpubp.engines.array.kind import ArrayKind
from gpubp.engines.block.costs import block_seconds
from gpubp.engines.block.kernel import refusal as block_refusal
from gpubp.engines.choose import EngineChoice, choose_engine
from gpubp.engines.lane.costs import lane_seconds
from gpubp.engines.registry import ENGINE_KINDS, USUAL_COSTS
from gpubp.errors import SettingsError
from gpubp.networks.plan import TrainingPlan
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.preparation import prepare
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.training.loop import train
from gpubp.tutorial import load_seeds, one_hot, online_settings, split_folds


@pytest.fixture(autouse=True)
def _with_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice is the same on machines that have none, but for that."""
    monkeypatch.setattr(NumpyBackend, "compiler_missing", lambda self: None)


def compile_share(engine: str) -> float:
    return USUAL_COSTS[engine].compile_share(get_backend("numpy"))


def plan_of(
    sizes: tuple[int, ...], n_networks: int, n_rows: int, dtype: Any = np.float32, **settings: Any
) -> TrainingPlan:
    architecture = Architecture(sizes[0], sizes[1:-1], sizes[-1], "relu", "softmax")
    source = np.random.default_rng(0)
    X, T = source.normal(size=(n_rows, sizes[0])), np.eye(sizes[-1])[source.integers(0, sizes[-1], n_rows)]
    seeds = network_seeds(1, n_networks)
    population = Population.initialize(architecture, seeds, get_backend("numpy"), dtype=dtype)
    return prepare(population, X.astype(dtype), T.astype(dtype), Settings(**settings))


def case_study_plan() -> TrainingPlan:
    X, classes, names = load_seeds()
    folds = split_folds(len(X), 5, random.Random(1))
    rows = [np.concatenate([other for other in folds if other is not fold]) for fold in folds]
    architecture = Architecture(7, 5, 3, "logistic", "logistic")
    population = Population.initialize(architecture, network_seeds(1, 5), get_backend("numpy"), dtype=np.float64)
    return prepare(population, X, one_hot(classes, len(names)), online_settings(0.3, 500), rows)


def test_the_case_study_goes_by_lanes() -> None:
    choice = choose_engine(case_study_plan())
    assert choice.engine == "lane"
    assert choice.seconds["lane"] + compile_share("lane") < choice.seconds["array"]
    by_engine = [f"{choice.seconds[engine]:.2g} s by {engine}" for engine in ("lane", "block", "array")]
    assert choice.reason == f"about {', '.join(by_engine)}"


def test_a_population_goes_by_lanes() -> None:
    assert choose_engine(plan_of((16, 32, 3), 256, 1000, batch_size=32, epochs=100)).engine == "lane"


def test_a_short_training_is_not_worth_a_compilation() -> None:
    choice = choose_engine(plan_of((7, 5, 3), 1, 100, batch_size=32, epochs=5))
    assert choice.engine == "array"
    fastest = min(choice.seconds, key=lambda engine: choice.seconds[engine])
    assert choice.seconds[fastest] < choice.seconds["array"] < choice.seconds[fastest] + compile_share(fastest)
    assert choice.reason.endswith("s, once) would not pay")


def test_epochs_make_it_worth_one() -> None:
    engines = [choose_engine(plan_of((7, 5, 3), 20, 100, batch_size=1, epochs=e)).engine for e in (1, 20, 10_000)]
    assert engines == ["array", "block", "lane"]


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NumpyBackend, "compiler_missing", lambda self: "no C++ compiler was found")
    choice = choose_engine(case_study_plan())
    assert (choice.engine, choice.reason) == ("array", "no C++ compiler was found")


def test_one_middle_network_goes_by_blocks() -> None:
    choice = choose_engine(plan_of((16, 64, 64, 3), 1, 3200, batch_size=32, epochs=1000))
    assert choice.engine == "block"
    assert "no lanes: a network of" in choice.reason


@pytest.mark.parametrize("engine", ["lane", "block", "array"])
def test_an_engine_asked_for_is_taken(engine: str) -> None:
    for plan in (case_study_plan(), plan_of((7, 5, 3), 1, 100, batch_size=32, epochs=1)):
        choice = choose_engine(plan, engine)
        assert (choice.engine, choice.reason) == (engine, "asked for")


def test_lanes_asked_for_a_network_too_large() -> None:
    plan = plan_of((784, 1024, 10), 1, 100, batch_size=32, epochs=1)
    with pytest.raises(SettingsError, match=r"lane cannot be used: a network of 3256\d+ numbers .* is too large"):
        choose_engine(plan, "lane")


def test_an_unknown_engine() -> None:
    with pytest.raises(SettingsError, match=r"Unknown engine 'warp': choose one of auto, lane, .*array"):
        choose_engine(case_study_plan(), "warp")


def test_the_same_choice_twice_whatever_was_trained_between() -> None:
    def choices() -> list[EngineChoice]:
        trainings = [plan_of((7, 5, 3), p, 100, batch_size=1, epochs=e) for p in (1, 50) for e in (1, 300, 3000)]
        return [choose_engine(plan) for plan in trainings]

    before = choices()
    population = Population.initialize(Architecture(2, 2, 2, "relu", "softmax"), 1, get_backend("numpy"))
    train(population, np.eye(2), np.eye(2), Settings(epochs=2, batch_size=1), engine="array")
    assert choices() == before
    assert {choice.engine for choice in before} == {"lane", "block", "array"}


def test_the_estimates_grow_with_the_work() -> None:
    small: dict[str, Any] = {"sizes": (7, 5, 3), "n_networks": 1, "n_rows": 64, "batch_size": 8, "epochs": 2}
    for more in (
        {"sizes": (7, 50, 3)},
        {"n_networks": 100},
        {"n_rows": 640},
        {"batch_size": 1},
        {"epochs": 20},
    ):
        for estimate in (array_seconds, block_seconds, lane_seconds):
            assert estimate(plan_of(**(small | more))) > estimate(plan_of(**small)), (more, estimate)


def test_a_shuffle_and_an_optimizer_state_cost_something() -> None:
    given: dict[str, Any] = {"sizes": (7, 5, 3), "n_networks": 1, "n_rows": 64, "batch_size": 1, "epochs": 2}
    plain = plan_of(**given, optimizer="sgd", shuffle=False)
    for more in (plan_of(**given, optimizer="adam", shuffle=False), plan_of(**given, optimizer="sgd", shuffle=True)):
        assert array_seconds(more) > array_seconds(plain)
        assert lane_seconds(more) > lane_seconds(plain)


def test_lanes_of_a_wider_number_hold_fewer_networks() -> None:
    given: dict[str, Any] = {"sizes": (7, 5, 3), "n_networks": 160, "n_rows": 64, "batch_size": 1, "epochs": 2}
    single, double = (lane_seconds(plan_of(**given, dtype=dtype)) for dtype in (np.float32, np.float64))
    assert double == pytest.approx(2 * single)


@pytest.mark.parametrize("engine", ["auto", "array"])
def test_the_history_carries_the_reason(engine: str) -> None:
    population = Population.initialize(Architecture(2, 3, 2, "relu", "softmax"), 1, get_backend("numpy"))
    history = train(population, np.eye(2), np.eye(2), Settings(epochs=2, batch_size=2), engine=engine)
    assert history.engine == "array"
    assert ("would not pay" in history.engine_reason) if engine == "auto" else (history.engine_reason == "asked for")


def test_one_large_network_goes_by_blocks() -> None:
    choice = choose_engine(plan_of((784, 1024, 10), 1, 100, batch_size=32, epochs=1000))
    assert choice.engine == "block"
    assert "too large for a CPU core's caches" in choice.reason


def test_an_epoch_that_keeps_ctrl_c_waiting_goes_by_arrays() -> None:
    """Whatever the number of epochs."""
    for epochs in (2, 1000):
        given: dict[str, Any] = {"sizes": (9, 60_000, 2), "n_networks": 1, "batch_size": 1, "epochs": epochs}
        assert choose_engine(plan_of(**given, n_rows=1000)).engine == "block"
        assert choose_engine(plan_of(**given, n_rows=20_000)).engine == "array"


def test_blocks_asked_for_networks_they_cannot_hold() -> None:
    deep = plan_of((2, *([2] * 40), 2), 1, 100, batch_size=32, epochs=1000)
    with pytest.raises(SettingsError, match="block cannot be used: 41 layers of weights are more than its 32"):
        choose_engine(deep, "block")
    assert "block" not in choose_engine(deep).seconds
    wide = Architecture(1000, (1_000_000,), 10)
    assert "2^31" in str(block_refusal(wide, 32, 2))
    assert block_refusal(Architecture(1000, (1000,), 10), 32, 2) is None


def test_squared_errors_of_softmax_outputs_go_by_arrays() -> None:
    """The native kernels have no derivative of a softmax by itself."""
    population = Population.initialize(Architecture(2, 3, 2, "tanh", "softmax"), 1, get_backend("numpy"))
    plan = prepare(population, np.eye(2), np.eye(2), Settings(loss="squared_error", epochs=100_000))
    assert choose_engine(plan).engine == "array"
    for engine in ("lane", "block"):
        with pytest.raises(SettingsError, match=f"engine {engine} cannot be used: its kernel knows no squared_error"):
            choose_engine(plan, engine)


def on_cuda(
    standin: CupyBackend, sizes: tuple[int, ...], n_networks: int, n_rows: int, **settings: Any
) -> TrainingPlan:
    architecture = Architecture(sizes[0], sizes[1:-1], sizes[-1], "relu", "softmax")
    source = np.random.default_rng(0)
    X = source.normal(size=(n_rows, sizes[0])).astype(np.float32)
    T = np.eye(sizes[-1], dtype=np.float32)[source.integers(0, sizes[-1], n_rows)]
    population = Population.initialize(architecture, network_seeds(1, n_networks), standin)
    return prepare(population, X, T, Settings(**settings))


@pytest.mark.parametrize("n_networks", [1, 132, 1056])
def test_blocks_serve_a_cuda_device(standin: CupyBackend, n_networks: int) -> None:
    """On an H200 they took a twentieth of the array engine's time for one network, a tenth for a thousand."""
    plan = on_cuda(standin, (16, 64, 64, 3), n_networks, 640, batch_size=32, epochs=100, optimizer="adam")
    choice = choose_engine(plan)
    assert choice.engine == "block"
    assert choice.seconds["block"] < choice.seconds["array"] / 8


def test_tiny_networks_go_by_lanes_on_a_cuda_device(standin: CupyBackend) -> None:
    assert choose_engine(on_cuda(standin, (7, 5, 3), 5, 200, batch_size=1, epochs=500)).engine == "lane"


def test_a_short_training_on_a_cuda_device_is_not_worth_a_compilation(standin: CupyBackend) -> None:
    choice = choose_engine(on_cuda(standin, (7, 5, 3), 1, 100, batch_size=32, epochs=5))
    assert choice.engine == "array"
    assert choice.reason.endswith("s, once) would not pay")


def test_another_device_is_another_choice(standin: CupyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of one network, whose choice is kept: half the clock takes twice the time."""

    def seconds() -> float:
        plan = on_cuda(CupyBackend(), (16, 64, 64, 3), 1, 64, batch_size=32, epochs=9)
        return choose_engine(plan, "block").seconds["block"]

    before = seconds()
    monkeypatch.setitem(PROPERTIES, "clockRate", PROPERTIES["clockRate"] // 2)
    assert seconds() == pytest.approx(2 * before)


def test_measured_costs_take_the_place_of_the_usual_ones() -> None:
    plan = case_study_plan()
    slow = {"lane": replace(USUAL_COSTS["lane"], operation=1e-3, compiling=60.0)}
    choice, usual = choose_engine(plan, costs=USUAL_COSTS | slow), choose_engine(plan)
    assert (choice.engine, usual.engine) == ("block", "lane")
    assert choice.seconds["lane"] > 1e6 * usual.seconds["lane"]
    assert choice.seconds["block"] == usual.seconds["block"]


def test_an_engine_is_an_entry_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing else, auto finds it, and a training goes by it."""

    class Prompt(ArrayKind):
        name = "prompt"

        def seconds(self, plan: TrainingPlan, costs: Any) -> float:
            return 0.0

    monkeypatch.setitem(ENGINE_KINDS, "prompt", Prompt())
    monkeypatch.setitem(USUAL_COSTS, "prompt", Prompt.costs)
    population = Population.initialize(Architecture(2, 3, 2, "relu", "softmax"), [1, 2], get_backend("numpy"))
    alike, settings = population.copy(), Settings(epochs=2, batch_size=1)
    history = train(population, np.eye(2), np.eye(2), settings)
    assert history.engine == "prompt"
    assert history.engine_reason.startswith("about ")
    assert "0 s by prompt" in history.engine_reason
    train(alike, np.eye(2), np.eye(2), settings, engine="array")
    np.testing.assert_array_equal(population.params, alike.params)


def test_the_help_of_the_option_has_every_engine() -> None:
    option = get_type_hints(EngineOptions, include_extras=True)["engine"].__metadata__[0]
    for name, kind in ENGINE_KINDS.items():
        assert f"{name} ({kind.help})" in option.help
