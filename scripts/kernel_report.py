"""What the native kernels take on each kind of GPU, and how fast lanes should be: the tables of the kernels' page.

Needs no GPU, but NVRTC (`pip install 'nvidia-cuda-nvrtc>=13,<14'`). Ends with exit code 1 if a kernel that the engine
serves keeps anything outside of registers.

    python scripts/kernel_report.py                # rewrites the page between its markers: some minutes
    python scripts/kernel_report.py --only block   # the tables of one engine
    python scripts/kernel_report.py --show         # prints instead
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the proof's tools live with the tests

from proof import nvrtc  # noqa: E402
from proof.kernels import CAPABILITIES, block_kernels, covering_set, lane_kernel, usage  # noqa: E402
from proof.speed import estimate  # noqa: E402

from gpubp.engines.block.kernel import BlockKernel  # noqa: E402
from gpubp.engines.block.layout import BlockLayout  # noqa: E402
from gpubp.engines.lane.kernel import LaneKernel  # noqa: E402

DOCUMENT = ROOT / "docs" / "explanation" / "kernels.md"
ENGINES = ("lane", "block")
console = Console(stderr=True)


def main(
    show: Annotated[bool, typer.Option("--show", help="Print the tables instead of writing them.")] = False,
    jobs: Annotated[int, typer.Option(help="Compilations at a time.")] = 2,
    only: Annotated[str, typer.Option(help="lane or block; all where it is not given.")] = "",
) -> None:
    """Compile the covering sets for every architecture and write what ptxas says."""
    if reason := nvrtc.missing():
        console.print(reason)
        raise typer.Exit(2)
    if only not in ("", *ENGINES):
        raise typer.BadParameter(f"{only!r}: choose one of {', '.join(ENGINES)}", param_hint="--only")
    outside = 0
    for engine in [only] if only else ENGINES:
        found, lines = lane_tables(jobs) if engine == "lane" else block_table(jobs)
        outside += found
        if show:
            print("\n".join(lines))
        else:
            write(engine, lines)
    if outside:
        console.print(f"{outside} compilations keep something outside of registers.")
        raise typer.Exit(1)


def compiled(
    kernels: Sequence[LaneKernel | BlockKernel], jobs: int, capabilities: Sequence[int] = CAPABILITIES
) -> list[list[nvrtc.Usage]]:
    """A row for each kernel, with its usage on each architecture."""
    tasks = [(kernel, capability) for kernel in kernels for capability in capabilities]
    with ThreadPoolExecutor(jobs) as pool:
        found = list(track(pool.map(lambda task: usage(*task), tasks), "compiling", len(tasks), console=console))
    return [found[i : i + len(capabilities)] for i in range(0, len(found), len(capabilities))]


def summary(usages: list[list[nvrtc.Usage]]) -> str:
    return f"NVRTC {nvrtc.version()}, {sum(map(len, usages))} compilations."


REGISTERS = [f"sm_{capability}" for capability in CAPABILITIES]
MEMORY = ["stack", "spills", "shared"]


def cells(row: list[nvrtc.Usage]) -> list[int]:
    """Under REGISTERS and MEMORY; of memory the most of any architecture."""
    spills = max(each.spill_stores + each.spill_loads for each in row)
    memory = [max(each.stack for each in row), spills, max(each.shared for each in row)]
    return [*(each.registers for each in row), *memory]


def lane_tables(jobs: int) -> tuple[int, list[str]]:
    """How many compilations keep something outside of registers, and the lines of the tables."""
    kernels = list(covering_set())
    usages = compiled([kernel for _, kernel in kernels], jobs)
    rows = [
        line(
            what,
            shape(kernel),
            f"{kernel.loss}, {kernel.optimizer}" + ("" if kernel.online else ", batches") + (", all" * kernel.l2),
            kernel.dtype,
            kernel.registers,
            *cells(row),
        )
        for (what, kernel), row in zip(kernels, usages, strict=True)
    ]
    heads = head(["kernel", "network", "trained by", "dtype", "kept", *REGISTERS, *MEMORY])
    outside = sum(not each.fits for row in usages for each in row)
    return outside, [summary(usages), "", *heads, *rows, "", *speed_table()]


def block_table(jobs: int) -> tuple[int, list[str]]:
    """How many compilations of blocks of 256 threads have functions that keep something outside of registers; lines.

    A compilation takes ten seconds and more: Hopper stands for the others.
    """
    capabilities = [90]
    layouts = [BlockLayout(512), BlockLayout(128, 4), BlockLayout(128, 2, team=2), BlockLayout(64, 8)]
    kernels = [*block_kernels(), *(BlockKernel("float32", "cross_entropy", "adam", layout) for layout in layouts)]
    usages = compiled(kernels, jobs, capabilities)
    rows = [
        line(
            f"{kernel.loss}, {kernel.optimizer}",
            kernel.dtype,
            f"{kernel.layout.threads}" + " in teams" * (kernel.layout.team > 1),
            *(each.registers for each in row),
            max(each.stack for each in row),
            max(each.spill_stores + each.spill_loads for each in row),
            max(each.called for each in row),
            max(each.shared for each in row),
        )
        for kernel, row in zip(kernels, usages, strict=True)
    ]
    registers = [f"sm_{capability}" for capability in capabilities]
    names = ["trained by", "dtype", "threads", *registers, "stack", "spills", "in functions", "shared"]
    outside = sum(each.called > 0 for kernel, row in zip(kernels, usages, strict=True) for each in row
                  if kernel.layout.threads == 256)  # fmt: skip
    return outside, [summary(usages), "", *head(names), *rows]


def speed_table() -> Iterable[str]:
    yield from head(
        ["network", "trained by", "dtype", "instructions", "cycles", "warps", "networks", "updates/s", "of one"]
    )
    logistic = ("logistic",), "logistic", "squared_error"
    for kernel in (
        lane_kernel((7, 5, 3), *logistic),
        lane_kernel((7, 5, 3), *logistic, dtype="float64"),
        lane_kernel((7, 5, 3), ("relu",), optimizer="adam"),
        lane_kernel((10, 8, 4), ("relu",)),
    ):
        if refusal := kernel.refusal(in_registers=True):
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
            f"{found.alone:.1e}",
        )


def shape(kernel: LaneKernel) -> str:
    sizes = "-".join(map(str, kernel.architecture.sizes))
    return f"{sizes} {' '.join(dict.fromkeys(kernel.architecture.activations))}"


def head(names: list[str]) -> Iterable[str]:
    yield line(*names)
    yield line(*("---" for _ in names))


def line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def write(engine: str, lines: list[str]) -> None:
    """Between the engine's markers."""
    begin, end = f"<!-- kernel_report {engine}: begin -->", f"<!-- kernel_report {engine}: end -->"
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    DOCUMENT.write_text("\n".join([before + begin, *lines, end + after]), encoding="utf-8")
    console.print(f"{DOCUMENT.relative_to(ROOT)} is written: {engine}.")


if __name__ == "__main__":
    typer.run(main)
