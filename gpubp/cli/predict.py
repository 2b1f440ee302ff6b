"""`gpubp predict`: a model's answers for the rows of a table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpubp.cli.options import BackendOptions, ReportOptions, TableOptions
from gpubp.cli.output import write, write_json
from gpubp.errors import DataError

if TYPE_CHECKING:
    from gpubp.model import Model, Prediction

MODEL_HELP = "A file that `gpubp train` wrote."


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", show_default=False, help=MODEL_HELP)],
    source: TableOptions,
    backend: BackendOptions,
    report: ReportOptions,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", show_default=False, help="Write here instead of standard output."
        ),
    ] = None,
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", "-p", help="For classes: a column with the probability of each, too."),
    ] = False,
) -> None:
    """Predict the target for every row of a table, as CSV with a header.

    One line for each row, in order: prediction, and with --probabilities also
    probability_<class>. Columns are found by name where both tables have a
    header, else by position; a target column may be there or not.

    \b
    Examples:
      gpubp predict model.safetensors new.csv
      gpubp predict model.safetensors new.csv --probabilities -o answers.csv
      cat new.csv | gpubp predict model.safetensors - | head
    """
    from gpubp.model import Model

    if output is not None:
        check_output(output, model, source.table)
    loaded = Model.load(model)
    if probabilities and loaded.task == "regression":
        raise DataError(f"{model} is a regression of {loaded.target.name!r}: it has no probabilities.")
    table = source.read()
    prediction = loaded.predict(table, backend.choose(report))
    report.note(*prediction.notes)
    if output is not None:
        from gpubp.files import write_whole

        write_whole(output, csv(loaded, prediction, probabilities).encode())
        report.note(f"{table.rows:,} predictions were written to {output}.")
    if report.as_json:
        write_json(result(loaded, prediction, probabilities, output))
    elif output is None:
        write(csv(loaded, prediction, probabilities))


def check_output(output: Path, model: Path, table: str) -> None:
    from gpubp.files import check_place

    check_place(output)
    for other in (str(model), table):
        if other != "-" and output.exists() and os.path.exists(other) and os.path.samefile(output, other):
            raise DataError(f"--output {output} is the file that is read: predictions would replace it.")


def csv(model: Model, prediction: Prediction, probabilities: bool) -> str:
    import polars as pl

    columns: dict[str, Any] = {"prediction": prediction.values}
    if probabilities and prediction.probabilities is not None:
        columns |= {
            f"probability_{label}": prediction.probabilities[:, c] for c, label in enumerate(model.target.labels)
        }
    return pl.DataFrame(columns).write_csv()


def result(model: Model, prediction: Prediction, probabilities: bool, output: Path | None) -> dict[str, Any]:
    return {
        "task": model.task,
        "target": model.target.name,
        "labels": list(model.target.labels),
        "rows": len(prediction.values),
        "predictions": prediction.values,
        "probabilities": prediction.probabilities if probabilities else None,
        "notes": list(prediction.notes),
        "output": None if output is None else str(output),
    }
