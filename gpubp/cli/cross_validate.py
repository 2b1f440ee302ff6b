"""`gpubp cross-validate`: how good a recipe is on a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpubp.cli import shapes
from gpubp.cli.options import BackendOptions, EngineOptions, ReportOptions
from gpubp.cli.output import Interrupted, say
from gpubp.cli.panels import TESTING
from gpubp.cli.recipe_options import RecipeOptions
from gpubp.cli.table_options import TableOptions, TargetOptions
from gpubp.errors import SettingsError

if TYPE_CHECKING:
    from gpubp.fitting.cross_validation import CrossValidation

BASELINES = {"classification": "Zero Rule", "regression": "the mean"}


def cross_validate(
    source: TableOptions,
    target: TargetOptions,
    recipe: RecipeOptions,
    backend: BackendOptions,
    engine: EngineOptions,
    report: ReportOptions,
    folds: Annotated[
        int,
        typer.Option(
            metavar="N", rich_help_panel=TESTING, help="Parts that the rows are split into; each is predicted once."
        ),
    ] = 5,
    repeats: Annotated[int, typer.Option(metavar="N", rich_help_panel=TESTING, help="How often to split anew.")] = 1,
) -> None:
    """Train and test on every fold of a table, all folds and repeats at once.

    Folds are shuffled, and hold the classes in equal shares. Scales, medians
    and early stopping are fitted on a fold's training rows alone. The baseline
    learns nothing: it answers with the most common class (Zero Rule), or with
    the mean. The ± is the sample standard deviation over all folds; in the JSON
    accuracies are shares, 0 to 1.

    \b
    Examples:
      gpubp cross-validate wheat-seeds
      gpubp cross-validate data.csv -t class --folds 10 --repeats 3
      gpubp cross-validate data.csv -t price --early-stopping --json
    """
    from gpubp.fitting import cross_validation

    chosen_recipe = recipe.recipe()
    if recipe.validation is not None and not chosen_recipe.early_stopping:
        raise SettingsError(
            "--validation goes with --early-stopping here: each fold is tested on rows of its own. Leave one out, or "
            "add the other."
        )
    table = source.read()
    chosen = backend.choose(report)
    scores = cross_validation.cross_validate(
        table,
        target.target,
        chosen_recipe,
        **target.choices,
        folds=folds,
        repeats=repeats,
        backend=chosen,
        engine=engine.engine,
        progress=report.progress,
        note=report.note,
    )
    if scores.history.interrupted:
        raise Interrupted("Interrupted before the end of the training: there are no results.")
    if lost := int(scores.history.diverged.sum()):
        say(f"Training diverged in {lost} of {folds * repeats} folds; their best weights before it were used.")
    outcome = result(scores) | {"target_scale_offer": scores.offer}
    report.give(outcome, lambda: parts(scores, outcome))


def result(scores: CrossValidation) -> dict[str, Any]:
    metric, history = scores.metric, scores.history
    values, baseline = scores.values().tolist(), scores.baseline_values().tolist()
    return {
        "task": scores.task,
        "metric": metric,
        "mean": statistics.fmean(values),
        "standard_deviation": statistics.stdev(values),
        "baseline": BASELINES[scores.task],
        "baseline_mean": statistics.fmean(baseline),
        "beats_baseline": statistics.fmean(values) > statistics.fmean(baseline),
        "folds": scores.folds,
        "repeats": scores.repeats,
        "rows": scores.rows,
        "fold_scores": scores.fold_scores,
        "baseline_scores": scores.baseline_scores,
        "epochs": history.epochs,
        "notes": list(scores.notes),
        "train_seconds": history.seconds,
        "backend": history.backend,
        "engine": history.engine,
    }


def parts(scores: CrossValidation, outcome: dict[str, Any]) -> Iterable[Any]:
    baseline = outcome["baseline"]
    rows = list(fold_rows(scores))
    if scores.task == "classification":
        name, columns = "accuracy", ["accuracy>", "log-loss>", "macro-F1>", f"{baseline}: accuracy>"]

        def shown(value: float) -> str:
            return shapes.percent(value)
    else:
        name, columns = "R²", ["R²>", "RMSE>", "MAE>", f"{baseline}: R²>"]

        def shown(value: float) -> str:
            return f"{value:.4f}"

    yield shapes.table(["repeat>", "fold>", *columns][0 if scores.repeats > 1 else 1 :], rows)
    networks = shapes.counted(len(rows), "network")
    yield shapes.facts(
        [
            (
                name,
                f"{shown(outcome['mean'])} ± {shown(outcome['standard_deviation'])} "
                f"(mean and sample standard deviation of {len(rows)} folds)",
            ),
            ("baseline", f"{shown(outcome['baseline_mean'])} ({baseline})"),
            ("target scale", None if scores.offer is None else "--target-scale log may do better"),
            ("verdict", f"the network {'beats' if outcome['beats_baseline'] else 'does not beat'} the baseline"),
            (
                "time",
                f"{shapes.seconds(outcome['train_seconds'])} for {networks} at once, backend {outcome['backend']}, "
                f"engine {outcome['engine']}",
            ),
        ]
    )


def fold_rows(scores: CrossValidation) -> Iterable[tuple[Any, ...]]:
    for i, (network, baseline) in enumerate(zip(scores.fold_scores, scores.baseline_scores, strict=True)):
        if scores.task == "classification":
            values: tuple[Any, ...] = (
                shapes.percent(network["accuracy"]),
                f"{network['log_loss']:.4f}",
                f"{network['macro_f1']:.4f}",
                shapes.percent(baseline["accuracy"]),
            )
        else:
            values = (
                f"{network['r2']:.4f}",
                shapes.number(network["rmse"]),
                shapes.number(network["mae"]),
                f"{baseline['r2']:.4f}",
            )
        place = (i // scores.folds + 1, i % scores.folds + 1)
        yield (*place[0 if scores.repeats > 1 else 1 :], *values)
