"""gpubp on the GPU of this machine: what holds, how fast it is, and how fast others are. One command, within minutes.

    python scripts/gpu_check.py                                  # everything, 8 minutes at the most
    python scripts/gpu_check.py --parts machine --parts doctor   # does it work at all
    python scripts/gpu_check.py --minutes 4 --out gpu-check --page docs/lab/gpu-h100.md

Each part runs in a process of its own, has a share of the time, and writes what it has found into OUT/PART.json as it
goes; the page tells all that is there, and what is not. Parts that are run again replace what they had found before.
JAX and PyTorch take part where they are installed. Ends with exit code 1 where something failed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from gpu.page import write_page
from gpu.parts import PARTS
from gpu.runner import run_all


def main(
    parts: Annotated[
        list[str] | None, typer.Option(help=f"Only these, of {', '.join(PARTS)}; repeatable, or joined by commas.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="Of all parts together, at the most.")] = 8.0,
    out: Annotated[Path, typer.Option(help="Folder for what is found.")] = Path("gpu-check"),
    page: Annotated[Path | None, typer.Option(help="Write the page here, too: docs/lab/gpu-NAME.md.")] = None,
    stand_in: Annotated[
        bool, typer.Option("--stand-in", hidden=True, help="A rehearsal without a device: the times say nothing.")
    ] = False,
) -> None:
    """Look at everything on the GPU of this machine, and write a page about it."""
    names = [name for given in parts or [",".join(PARTS)] for name in given.split(",")]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        typer.echo(f"Error: Unknown part {unknown[0]!r}: choose from {', '.join(PARTS)}.", err=True)
        raise typer.Exit(2)
    names = [name for name in PARTS if name in names]
    out = out.resolve()
    run_all(names, 60 * minutes, out, stand_in, typer.echo)
    healthy = write_page(out, out / "page.md", stand_in)
    typer.echo(f"{out / 'page.md'}")
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text((out / "page.md").read_text(encoding="utf-8"), encoding="utf-8")
        typer.echo(f"{page}")
    raise typer.Exit(0 if healthy else 1)


if __name__ == "__main__":
    typer.run(main)
