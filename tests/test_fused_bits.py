"""The fused kernels' bits: the same for every vector width, number of threads, and on the CUDA path without a GPU.

Matrix products are NumPy's in all of these trainings, so that whatever differs comes from the kernels.
"""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import numpy as np
import pytest
import standin as standin_module
from bit_cases import assert_same_bits
from proof import nvrtc
from proof.backend import PtxBackend
from proof.kernels import CAPABILITIES

from gpubp.backends import Backend, NumpyBackend, Program
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.host_compiler import ISAS, Isa, find_compiler, runnable_isas
from gpubp.backends.host_program import HostProgram
from gpubp.engines.array import engine as array_engine
from gpubp.engines.array import fused_kernel as fused
from gpubp.engines.array import fused_slice
from gpubp.engines.array.fused_kernel import FusedKernel
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.networks.state import TrainingState
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.training.history import History
from gpubp.training.loop import train

OPTIMISATION = "shipped"
pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")
needs_nvrtc = pytest.mark.skipif(nvrtc.missing() is not None, reason=str(nvrtc.missing()))

N, I, P = 29, 3, 3  # noqa: E741
RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(N, I))
TARGETS = {
    "squared_error": RANDOM.normal(size=(N, 17)),
    "cross_entropy": np.eye(5)[RANDOM.integers(0, 5, N)],
    "binary_cross_entropy": RANDOM.integers(0, 2, size=(N, 2)).astype(float),
    "poisson": RANDOM.poisson(1.5, size=(N, 1)).astype(float),
}
RAGGED = [np.random.default_rng(p).permutation(N)[: 21 + p % 2] for p in range(P)]
WEIGHTS = {"none": None, "rows": RANDOM.uniform(0.2, 2, N), "each": RANDOM.uniform(0.2, 2, (P, N))}
HIDDEN = [name for name, entry in ACTIVATIONS.items() if not entry.only_output]
KERNELS = (
    "fused_forward",
    "fused_drop",
    "fused_backward",
    "fused_loss",
    "fused_begin",
    "fused_update",
    "fused_squares",
)

# In turns. Layers of one neuron, of less and more than a vector; the first network drops nothing and decays nothing.
CASES: list[dict[str, Any]] = [
    dict(zip(("dtype", "loss", "optimizer", "activations", "hidden", "clip_norm", "weights", "l2", "dropout"),
             values, strict=True))
    for values in islice(zip(
        cycle(("float32", "float32", "float64")),
        cycle(LOSSES),
        cycle(OPTIMIZERS),
        (HIDDEN[:3], HIDDEN[3:5], HIDDEN[5:8], HIDDEN[8:9], HIDDEN[9:11], HIDDEN[1:2]),
        ((17, 1, 33), (70, 3), (3, 16, 5), (130,), (1, 18), (35,)),
        cycle((None, 0.5, None)),
        cycle(("none", "each", "rows", "none")),
        cycle((0.05, 0.0)),
        cycle((0.4, 0.0, 0.3)),
        strict=False,
    ), 6)
]  # fmt: skip


def name(case: dict[str, Any]) -> str:
    return f"{case['loss']}-{case['optimizer']}-{case['dtype']}"


def trained(
    patch: pytest.MonkeyPatch, backend: Backend, case: dict[str, Any], epochs: int = 3, networks: int = P
) -> tuple[np.ndarray, History, TrainingState]:
    """Parameters (P, K) on the host, the history, and the optimizer's state."""
    patch.setattr(array_engine, "FUSED_PARAMETERS", 0)
    patch.setattr(fused_slice, "PANEL", {"numpy": 40, "cupy": 40})  # several panels, of equal shape on both
    T = TARGETS[case["loss"]]
    shape = Architecture(I, case["hidden"], T.shape[1], case["activations"], LOSSES[case["loss"]].link or "tanh")
    population = Population.initialize(shape, network_seeds(3, networks), backend, dtype=case["dtype"])
    settings = Settings(
        loss=case["loss"],
        optimizer=case["optimizer"],
        learning_rate=0.02 * np.linspace(0.5, 1.5, networks),
        l2=case["l2"] * np.arange(networks),
        clip_norm=case["clip_norm"],
        dropout=case["dropout"] * np.minimum(np.arange(networks), 1)[:, None] * np.ones(len(case["hidden"])),
        batch_size=6,
        epochs=epochs,
    )
    weights, state = WEIGHTS[case["weights"]], TrainingState()
    weights = weights[:networks] if case["weights"] == "each" and weights is not None else weights
    rows = RAGGED[:networks]
    history = train(population, X, T, settings, engine="array", rows=rows, row_weights=weights, state=state)
    assert np.isfinite(history.training_loss).all()
    return backend.to_host(population.params), history, state


def assert_same(found: tuple[np.ndarray, History, TrainingState], expected: Any) -> None:
    assert_same_bits(found[0], expected[0])
    assert_same_bits(found[1].training_loss, expected[1].training_loss)
    assert found[2].slots.keys() == expected[2].slots.keys()
    for slot, values in found[2].slots.items():
        assert_same_bits(values, expected[2].slots[slot])


class _OtherBackend(NumpyBackend):
    """Compiles for an instruction set, with flags or for a number of threads of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def compile(self, source: str, definitions: Any) -> Program:
        return HostProgram(source, definitions, **self.options)


@pytest.mark.parametrize("isa", list(ISAS))
@pytest.mark.parametrize("case", [CASES[i] for i in (0, 1, 5)], ids=name)
def test_every_vector_width(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any], isa: Isa) -> None:
    compiler = find_compiler()
    assert compiler is not None
    if isa not in runnable_isas(compiler):
        pytest.skip(f"this CPU does not run {isa}")
    expected = trained(monkeypatch, NumpyBackend(), case)
    assert_same(trained(monkeypatch, _OtherBackend(isa=isa), case), expected)


@pytest.mark.parametrize("case", [CASES[i] for i in (0, 1, 5)], ids=name)
def test_optimisation_changes_no_bits(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]) -> None:
    """Not even where it is left out altogether."""
    expected = trained(monkeypatch, NumpyBackend(), case)
    assert_same(trained(monkeypatch, _OtherBackend(extra=("-O0",)), case), expected)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("case", CASES, ids=name)
def test_one_thread_or_several(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any], threads: int) -> None:
    expected = trained(monkeypatch, NumpyBackend(), case)
    monkeypatch.setattr(fused, "SHARED_CELLS", 1)
    monkeypatch.setattr(fused, "FEWEST_THREADS", 2)
    monkeypatch.setattr(fused, "SHARE", 7)  # pieces begin anywhere
    assert_same(trained(monkeypatch, _OtherBackend(threads=threads), case), expected)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_the_cuda_branch_on_the_stand_in(
    monkeypatch: pytest.MonkeyPatch, standin: CupyBackend, case: dict[str, Any]
) -> None:
    monkeypatch.setenv("STANDIN_CXXFLAGS", "-O1")
    monkeypatch.setenv("CUDA_ON_CPU_ORDER", "777")
    expected = trained(monkeypatch, NumpyBackend(), case)
    standin.xp.counters.reset()
    found = trained(monkeypatch, standin, case)
    assert standin.xp.counters.launches > 0
    assert_same(found, expected)


def test_transfers_do_not_grow_with_the_epochs(monkeypatch: pytest.MonkeyPatch, standin: CupyBackend) -> None:
    monkeypatch.setenv("STANDIN_CXXFLAGS", "-O1")

    def counted(epochs: int) -> tuple[int, int]:
        standin.xp.counters.reset()
        trained(monkeypatch, standin, CASES[0], epochs)
        return standin.xp.counters.to_device, standin.xp.counters.to_host

    assert counted(2) == counted(6)
    assert standin_module.is_standin(standin.xp)


@needs_nvrtc
@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[3]], ids=name)
def test_the_ptx_interpreted(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]) -> None:
    """Every kernel, in warps; the interpreter refuses instructions that a later compiler may round otherwise."""
    small = case | {"hidden": tuple(min(width, 9) for width in case["hidden"])}
    backend = PtxBackend(THREADS=32)
    found = trained(monkeypatch, backend, small, epochs=1, networks=2)
    assert_same(found, trained(monkeypatch, NumpyBackend(), small, epochs=1, networks=2))
    run = {machine.kernel.name for machine in backend.machines}
    assert run >= set(KERNELS) - {"fused_drop", "fused_squares"}
    assert ("fused_drop" in run) == bool(case["dropout"])


@needs_nvrtc
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_nvrtc_compiles_it_for_every_architecture(capability: int) -> None:
    """Nothing spills, nothing is on a stack, and enough registers are left for many warps."""
    losses, optimizers, turn = list(LOSSES), list(OPTIMIZERS), CAPABILITIES.index(capability)
    for i, dtype in ((turn, "float32"), (turn + 3, "float64")):
        kernel = FusedKernel(dtype, losses[i % len(losses)], optimizers[i % len(optimizers)])
        for entry, found in usages(kernel, capability).items():
            assert found.fits, (kernel, entry, found)
            assert found.registers <= 64
            assert found.shared == 0


def usages(kernel: FusedKernel, capability: int) -> dict[str, nvrtc.Usage]:
    """Of each of the program's kernels, from one compilation."""
    options = [*nvrtc._options(kernel.definitions()), f"--gpu-architecture=sm_{capability}", "--ptxas-options=-v"]
    log = nvrtc._compile(kernel.source, options, "CUBIN")[1]
    return {entry: nvrtc.parse_usage(log, entry) for entry in KERNELS}


def test_the_cases_have_everything() -> None:
    assert {case["loss"] for case in CASES} == set(LOSSES)
    assert {case["optimizer"] for case in CASES} == set(OPTIMIZERS)
    assert {activation for case in CASES for activation in case["activations"]} >= set(HIDDEN[:11])
