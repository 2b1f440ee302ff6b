"""Which kernels are compiled to see what they take: covering sets, and the largest that the lane engine serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from gpubp.engines.block.kernel import BlockKernel
from gpubp.engines.lane.kernel import LaneKernel
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from proof import nvrtc

CAPABILITIES = (75, 80, 86, 89, 90, 100, 120)
DTYPES = ("float32", "float64")
HIDDEN = tuple(name for name, activation in ACTIVATIONS.items() if not activation.only_output)


def lane_kernel(
    sizes: tuple[int, ...],
    hidden: tuple[str, ...] = (),
    output: str = "softmax",
    loss: str = "cross_entropy",
    optimizer: str = "sgd",
    dtype: str = "float32",
    *,
    online: bool = True,
    everything: bool = False,
    dropout: bool = False,
    scheduled: bool = False,
) -> LaneKernel:
    """hidden: activations, repeated over the hidden layers. everything: L2, clipping, each network its own weights.
    scheduled: factors of decay, and smoothed labels.
    """
    n_inputs, *widths, n_outputs = sizes
    activations = [hidden[i % len(hidden)] for i in range(len(widths))]
    return LaneKernel(
        architecture=Architecture(n_inputs, widths, n_outputs, activations, output),
        dtype=dtype,
        loss=loss,
        optimizer=optimizer,
        online=online,
        l2=everything,
        clip=everything,
        validation=True,
        weights=2 if everything else 0,
        shuffle=True,
        dropout=dropout,
        shared_order=False,
        smoothing=scheduled,
        decay_varies=scheduled,
    )


def largest(make: Callable[[int], LaneKernel]) -> LaneKernel:
    """The kernel make(size) of the largest size that a GPU's lane engine does not refuse; size 1 must be served."""
    size = 1
    while make(size + 1).refusal(in_registers=True) is None:
        size += 1
    kernel = make(size)
    if kernel.refusal(in_registers=True) is not None:
        raise ValueError(f"none is served: {kernel.refusal(in_registers=True)}")
    return kernel


def usage(kernel: LaneKernel | BlockKernel, capability: int) -> nvrtc.Usage:
    """What the kernel that trains takes on sm_<capability>."""
    entry = "lane_train" if isinstance(kernel, LaneKernel) else "block_train"
    return nvrtc.compile_cubin(kernel.source, kernel.definitions(), capability, entry)[1]


def block_kernels() -> Iterator[BlockKernel]:
    """Every optimizer with one of the losses, in each dtype with another; shapes and activations are arguments."""
    losses = list(LOSSES)
    for turn, dtype in enumerate(DTYPES):
        for i, optimizer in enumerate(OPTIMIZERS):
            yield BlockKernel(dtype, losses[(i + turn) % len(losses)], optimizer)


def covering_set() -> Iterator[tuple[str, LaneKernel]]:
    """Every optimizer, activation, loss and dtype, with what each kernel is there for. All are served."""
    for dtype in DTYPES:
        case_study = lane_kernel((7, 5, 3), ("logistic",), "logistic", "squared_error", dtype=dtype)
        yield "the case study", case_study
        for i in range(0, len(HIDDEN), 3):
            yield "activations", lane_kernel((2, 3, 3, 3, 2), (*HIDDEN[i : i + 3], *HIDDEN)[:3], dtype=dtype)
        for loss, entry in LOSSES.items():
            yield "losses", lane_kernel((4, 4, 3), ("tanh",), entry.link or "identity", loss, dtype=dtype)
        for optimizer in OPTIMIZERS:
            yield from _largest_of(optimizer, dtype)


def _largest_of(optimizer: str, dtype: str) -> Iterator[tuple[str, LaneKernel]]:
    def linear(n_inputs: int) -> LaneKernel:
        return lane_kernel((n_inputs, 3), optimizer=optimizer, dtype=dtype)

    def shallow(width: int) -> LaneKernel:
        link = LOSSES["poisson"].link or "identity"
        return lane_kernel((4, width, 1), ("gelu",), link, "poisson", optimizer, dtype, online=False)

    def wide(n_outputs: int) -> LaneKernel:
        return lane_kernel((2, 2, n_outputs), ("mish",), "softplus", "squared_error", optimizer, dtype)

    def deep(width: int) -> LaneKernel:
        return lane_kernel((2, width, 2, 1), ("tanh",), "logistic", "binary_cross_entropy", optimizer, dtype)

    def loaded(n_inputs: int) -> LaneKernel:
        return lane_kernel((n_inputs, 1, 2), ("silu",), optimizer=optimizer, dtype=dtype, online=False, everything=True)

    def thinned(width: int) -> LaneKernel:
        return lane_kernel((3, width, 2), ("tanh",), optimizer=optimizer, dtype=dtype, online=False, dropout=True)

    def averaged(n_inputs: int) -> LaneKernel:
        return replace(linear(n_inputs), averages=True)

    def scheduled(width: int) -> LaneKernel:
        return lane_kernel(
            (3, width, 3), ("tanh",), optimizer=optimizer, dtype=dtype, online=False, everything=True, dropout=True,
            scheduled=True,
        )  # fmt: skip

    for make in (linear, shallow, wide, deep, loaded, thinned, averaged, scheduled):
        if make(1).refusal(in_registers=True) is None:
            yield f"the largest {make.__name__}", largest(make)
