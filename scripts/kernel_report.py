"""What the lane kernels take on each kind of GPU, and how fast they should be: the tables of docs/kernels.md.

Needs no GPU, but NVRTC (`pip install 'nvidia-cuda-nvrtc>=13,<14'`). Ends with exit code 1 if a kernel that the engine
serves keeps anything outside of registers.

    python scripts/kernel_report.py                # rewrites docs/kernels.md between its markers: some minutes
    python scripts/kernel_report.py --show         # prints instead
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the proof's tools live with the tests

from proof import nvrtc  # noqa: E402
from proof.kernels import CAPABILITIES, covering_set, lane_kernel  # noqa: E402
from proof.speed import estimate  # noqa: E402

from gpubp.kernels.lane import LaneKernel  # noqa: E402

DOCUMENT = ROOT / "docs" / "kernels.md"
BEGIN, END = "<!-- kernel_report: begin -->", "<!-- kernel_report: end -->"
console = Console(stderr=True)


def main(
    show: Annotated[bool, typer.Option("--show", help="Print the tables instead of writing them.")] = False,
    jobs: Annotated[int, typer.Option(help="Compilations at a time.")] = 2,
) -> None:
    """Compile the covering set for every architecture and write what ptxas says."""
    if reason := nvrtc.missing():
        console.print(reason)
        raise typer.Exit(2)
    kernels = list(covering_set())
    tasks = [(kernel, capability) for _, kernel in kernels for capability in CAPABILITIES]
    with ThreadPoolExecutor(jobs) as pool:
        found = list(track(pool.map(lambda task: usage(*task), tasks), "compiling", len(tasks), console=console))
    usages = [found[i : i + len(CAPABILITIES)] for i in range(0, len(found), len(CAPABILITIES))]
    lines = [
        f"NVRTC {nvrtc.version()}, {len(tasks)} compilations.",
        "",
        *registers_table(kernels, usages),
        "",
        *speed_table(),
    ]
    if show:
        print("\n".join(lines))
    else:
        write(lines)
    if spilling := sum(not all(each.fits for each in row) for row in usages):
        console.print(f"{spilling} of {len(kernels)} kernels keep something outside of registers.")
        raise typer.Exit(1)


def usage(kernel: LaneKernel, capability: int) -> nvrtc.Usage:
    return nvrtc.compile_cubin(kernel.source, kernel.definitions(), capability, "lane_train")[1]


def registers_table(kernels: Iterable[tuple[str, LaneKernel]], usages: list[list[nvrtc.Usage]]) -> Iterable[str]:
    heads = ["kernel", "network", "trained by", "dtype", "kept", *(f"sm_{c}" for c in CAPABILITIES), "stack", "spills",
             "shared"]  # fmt: skip
    yield from head(heads)
    for (what, kernel), row in zip(kernels, usages, strict=True):
        yield line(
            what,
            shape(kernel),
            f"{kernel.loss}, {kernel.optimizer}" + ("" if kernel.online else ", batches") + (", all" * kernel.l2),
            kernel.dtype,
            kernel.registers,
            *(each.registers for each in row),
            max(each.stack for each in row),
            max(each.spill_stores + each.spill_loads for each in row),
            max(each.shared for each in row),
        )


def speed_table() -> Iterable[str]:
    yield from head(["network", "trained by", "dtype", "instructions", "cycles", "warps", "networks", "updates/s"])
    logistic = ("logistic",), "logistic", "squared_error"
    for kernel in (
        lane_kernel((7, 5, 3), *logistic),
        lane_kernel((7, 5, 3), *logistic, dtype="float64"),
        lane_kernel((7, 5, 3), ("relu",), optimizer="adam"),
        lane_kernel((10, 8, 4), ("relu",)),
    ):
        if refusal := kernel.refusal("cupy"):
            raise ValueError(refusal)
        found = estimate(kernel, usage(kernel, 90).registers)
        yield line(
            shape(kernel),
            f"{kernel.loss}, {kernel.optimizer}",
            kernel.dtype,
            f"{found.instructions:.0f}",
            f"{found.cycles:.0f}",
            found.warps,
            f"{found.networks:,}",
            f"{found.updates:.1e}",
        )


def shape(kernel: LaneKernel) -> str:
    sizes = "-".join(map(str, kernel.architecture.sizes))
    return f"{sizes} {' '.join(dict.fromkeys(kernel.architecture.activations))}"


def head(names: list[str]) -> Iterable[str]:
    yield line(*names)
    yield line(*("---" for _ in names))


def line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def write(lines: list[str]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    DOCUMENT.write_text("\n".join([before + BEGIN, *lines, END + after]), encoding="utf-8")
    console.print(f"{DOCUMENT.relative_to(ROOT)} is written.")


if __name__ == "__main__":
    typer.run(main)
