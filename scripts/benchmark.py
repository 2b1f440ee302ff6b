"""gpubp and its peers, side by side on this machine: answers are checked first, then timed.

    python scripts/benchmark.py                                  # everything, a few minutes
    python scripts/benchmark.py --rows case-study --rows minibatch-small
    python scripts/benchmark.py --quick --json benchmark.json --plot benchmark.png

JAX and PyTorch take part where they are installed (`pip install "gpubp[bench]"`). Contenders take turns, and the
medians are shown; the times of a busy machine are worth little, their ratios more. `taskset -c 0 python
scripts/benchmark.py` keeps everybody to one core.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from benchmarks.case_study import case_study_row
from benchmarks.contest import OURS, Outcome, Row, WrongAnswer, measure
from benchmarks.front import FRONT_ROWS
from benchmarks.machine import describe
from benchmarks.many import MANY_ROWS
from benchmarks.memory import MEMORY_ROWS
from benchmarks.minibatch import MINIBATCH_ROWS
from benchmarks.online import ONLINE_ROWS
from benchmarks.prediction import PREDICTION_ROWS
from benchmarks.sgemm import SGEMM_ROWS
from benchmarks.sweep_compile import SWEEP_COMPILE_ROWS
from benchmarks.sweep_heterogeneous import SWEEP_HETEROGENEOUS_ROWS
from benchmarks.sweep_seeds import SWEEP_SEEDS_ROWS
from rich import box
from rich.console import Console
from rich.table import Table

from gpubp.backends import Backend, get_backend
from gpubp.errors import GpubpError

console = Console(highlight=False)
notes = Console(stderr=True, highlight=False)

# name: (backend, quick) -> Row. A new contender is no new row: it belongs into the rows' own modules.
ROWS: dict[str, Callable[[Backend, bool], Row]] = {
    "case-study": case_study_row,
    **ONLINE_ROWS,
    **MANY_ROWS,
    **MINIBATCH_ROWS,
    **FRONT_ROWS,
    **SGEMM_ROWS,
    **MEMORY_ROWS,
    **PREDICTION_ROWS,
    **SWEEP_SEEDS_ROWS,
    **SWEEP_HETEROGENEOUS_ROWS,
    **SWEEP_COMPILE_ROWS,
}
REPEATS = 7


def main(
    rows: Annotated[list[str] | None, typer.Option(help=f"Only this row, of {', '.join(ROWS)}. Repeatable.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Little work, 2 repeats: to see that everything runs.")
    ] = False,
    repeats: Annotated[int | None, typer.Option(min=1, help=f"Of each contender; {REPEATS} by default.")] = None,
    quiet_cores: Annotated[
        float | None,
        typer.Option(min=0.0, help="Take a timing again if other programs kept more cores busy than this meanwhile."),
    ] = None,
    backend: Annotated[str | None, typer.Option(help="auto, numpy or cupy; else GPUBP_BACKEND decides.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Save machine, times and ratios here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the ratios: .png or .svg. Needs matplotlib.")] = None,
) -> None:
    """Check and time gpubp against its peers."""
    unknown = [name for name in rows or [] if name not in ROWS]
    if unknown:
        fail(f"Unknown row {unknown[0]!r}: choose from {', '.join(ROWS)}.")
    if plot is not None and find_spec("matplotlib") is None:
        fail("--plot needs matplotlib: pip install matplotlib.")
    try:
        chosen = get_backend(backend)
    except GpubpError as error:
        fail(str(error))
    machine = describe(chosen)
    for what, found in machine.items():
        console.print(f"{what + ':':<20} {found}", markup=False, soft_wrap=True)
    outcomes = []
    for name in rows or ROWS:
        notes.print(f"[dim]{name} …[/]")
        try:
            outcomes.append(measure(ROWS[name](chosen, quick), repeats or (2 if quick else REPEATS), quiet_cores))
        except WrongAnswer as error:
            fail(f"{name}: wrong answer, so there is nothing to time. {error}.", code=1)
    show(outcomes)
    if json_file is not None:
        saved = {"machine": machine, "quick": quick, "rows": {o.row.name: o.to_dict() for o in outcomes}}
        json_file.write_text(json.dumps(saved, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        notes.print(f"Saved as {json_file}", markup=False)
    if plot is not None:
        from benchmarks.plot import draw

        draw(outcomes, machine, plot)
        notes.print(f"Drawn as {plot}", markup=False)


def show(outcomes: list[Outcome]) -> None:
    """One line for each contender of each row: the median, the least, and how many times gpubp's best the median is."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "unit", "", "median", "least", "× gpubp's best"):
        table.add_column(heading, justify="right" if heading in ("median", "least", "× gpubp's best") else "left")
    for outcome in outcomes:
        medians, least, ratios = outcome.medians(), outcome.least(), outcome.ratios()
        title, unit = outcome.row.title, outcome.row.unit
        for name in sorted(medians, key=medians.__getitem__):
            table.add_row(title, unit, name, number(medians[name]), number(least[name]), number(ratios[name]))
            title = unit = ""
        table.add_section()
    if not console.is_terminal:
        console.width = max(console.width, 140)  # a file has room
    console.print()
    console.print(table)
    for outcome in outcomes:
        console.print(f"{outcome.row.title}: {outcome.checked}.", markup=False, soft_wrap=True)
    show_goals(outcomes)
    absent: dict[tuple[str, str], list[str]] = {}
    for outcome in outcomes:
        for name, reason in outcome.row.missing.items():
            absent.setdefault((name, reason), []).append(outcome.row.title)
    for (name, reason), titles in absent.items():
        console.print(f"No {name} for {'; '.join(titles)}: {reason}", markup=False, soft_wrap=True)


def show_goals(outcomes: list[Outcome]) -> None:
    """How many times as fast as the best of which peers gpubp is to be, and is."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "against the best of", "goal", "found", "others' cores"):
        table.add_column(heading, justify="right" if heading in ("goal", "found", "others' cores") else "left")
    for outcome in outcomes:
        others = "unknown" if outcome.others is None else f"{outcome.others:.1f}"
        for goal, found in outcome.goals():
            times = "not measured" if found is None else f"{number(found)}{'' if found >= goal.times else ' (missed)'}"
            title = outcome.row.title if goal.ours == OURS else f"{outcome.row.title}: {goal.ours}"
            table.add_row(title, ", ".join(goal.peers), f"× {goal.times:g}", times, others)
    if table.row_count:
        console.print(table)


def number(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def fail(message: str, code: int = 2) -> None:
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    typer.run(main)
