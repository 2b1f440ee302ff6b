"""`gpubp explain`: which engine a training would take, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gpubp.cli import shapes
from gpubp.cli.options import BackendOptions, EngineOptions, ReportOptions
from gpubp.cli.recipe_options import RecipeOptions
from gpubp.cli.table_options import TableOptions, TargetOptions

if TYPE_CHECKING:
    from gpubp.engines.choose import EngineChoice


def explain(
    source: TableOptions,
    target: TargetOptions,
    recipe: RecipeOptions,
    backend: BackendOptions,
    engine: EngineOptions,
    report: ReportOptions,
) -> None:
    """Say which engine `gpubp train` would take with the same options, and why.

    The times are estimates of the whole training, good for comparing engines;
    compiling a kernel is not in them.

    \b
    Examples:
      gpubp explain wheat-seeds --hidden 5 --batch-size 1
      gpubp explain data.csv --target class --hidden 256,256 --json
    """
    from gpubp.fitting.fit import explain_engine

    chosen_recipe = recipe.recipe()
    table = source.read()
    chosen = backend.choose(report)
    choice = explain_engine(
        table,
        target.target,
        chosen_recipe,
        **target.choices,
        backend=chosen,
        engine=engine.engine,
    )
    outcome = {
        "engine": choice.engine,
        "reason": choice.reason,
        "estimated_seconds": choice.seconds,
        "backend": chosen.name,
    }
    report.give(outcome, lambda: parts(choice, chosen.name))


def parts(choice: EngineChoice, backend: str) -> Iterable[Any]:
    yield shapes.facts(
        [
            ("engine", choice.engine),
            ("because", choice.reason),
            ("backend", backend),
            *((f"estimate, {name}", shapes.seconds(seconds)) for name, seconds in choice.seconds.items()),
        ]
    )
