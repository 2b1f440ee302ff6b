"""`gpubp doctor`: is this machine fit for gpubp, and does gpubp compute what it should?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from gpubp.cli import shapes
from gpubp.cli.options import BackendOptions, ReportOptions

if TYPE_CHECKING:
    from gpubp.doctor import BackendState, Check, Diagnosis


def doctor(report: ReportOptions, backend: BackendOptions) -> None:
    """Show versions, backends, compiler and folders, and run a small self-test.

    The self-test trains networks on every usable backend (or on the one of
    --backend) and compares them with each other and with the tutorial's known
    numbers. Exit code 1 if anything differs by more than the tolerance shown.

    \b
    Examples:
      gpubp doctor
      gpubp doctor --backend cupy
      gpubp doctor --json
    """
    from gpubp.doctor import examine

    report.note("Training a few small networks …")
    found = examine(backend.backend, backend.device)
    report.give(asdict(found) | {"healthy": found.healthy}, lambda: parts(found))
    if not found.healthy:
        raise typer.Exit(1)


def parts(found: Diagnosis) -> Iterable[Any]:
    yield shapes.facts([("platform", found.platform), *found.versions.items()])
    yield shapes.facts([(f"backend {state.name}", backend(state)) for state in found.backends])
    compiler = f"{found.compiler} ({found.compiler_message})" if found.compiler else found.compiler_message
    yield shapes.facts(
        [
            ("C++ compiler", compiler),
            ("cache folder", found.cache_folder),
            ("data folder", found.data_folder or "wheat-seeds.csv is missing: reinstall gpubp"),
        ]
    )
    yield shapes.table(
        ["self-test", "backend", "difference>", "tolerance>", "time>", "result"], map(check_row, found.checks)
    )
    for check in found.checks:
        if check.message:
            yield shapes.line(f"{check.name}, {check.backend}: {check.message}")
    yield shapes.line("All is well." if found.healthy else "Something is wrong: see above.")


def backend(state: BackendState) -> str:
    if not state.usable:
        return f"not usable: {state.reason}"
    memory = f", {state.free_memory / 2**30:.1f} of {state.total_memory / 2**30:.1f} GiB free"
    words = state.reason + (memory if state.total_memory else "")
    if state.kernels_missing:
        words += f"; no compiled kernels: {state.kernels_missing}"
    if state.bits_settings:
        words += f"; other bits by the array engine: {', '.join(state.bits_settings)}"
    return words


def check_row(check: Check) -> tuple[str, ...]:
    return (
        check.name,
        check.backend,
        "–" if check.difference is None else f"{check.difference:.1e}",
        f"{check.tolerance:.0e}",
        shapes.seconds(check.seconds),
        ("same bits" if check.tolerance == 0 else "passed") if check.passed else "FAILED",
    )
