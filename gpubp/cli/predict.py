"""`gpubp predict`: a model's answers for the rows of a table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpubp.cli.options import BackendOptions, ReportOptions
from gpubp.cli.output import write, write_json
from gpubp.cli.panels import MODEL, RESULT
from gpubp.cli.table_options import TableOptions
from gpubp.errors import DataError

if TYPE_CHECKING:
    from gpubp.backends import Backend
    from gpubp.models.ensemble import Ensemble
    from gpubp.models.model import Model
    from gpubp.preprocessing import Target
    from gpubp.tables import Table

MODEL_HELP = "A file that `gpubp train` wrote."


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", rich_help_panel=MODEL, show_default=False, help=MODEL_HELP)],
    source: TableOptions,
    backend: BackendOptions,
    report: ReportOptions,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            rich_help_panel=RESULT,
            show_default=False,
            help="Write here instead of standard output.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            rich_help_panel=RESULT,
            show_default=False,
            help="A column of the table to write before the prediction, such as an id; wildcards too. May be repeated.",
        ),
    ] = None,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", rich_help_panel=RESULT, help="Write all columns of the table before it.")
    ] = False,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            "-p",
            rich_help_panel=RESULT,
            help="For classes: a column with the probability of each, too.",
        ),
    ] = False,
) -> None:
    """Predict the target for every row of a table, as CSV with a header.

    One line for each row, in order: the columns to --keep, the prediction, and
    with --probabilities also probability_<class>; of an ensemble (`gpubp sweep`,
    `gpubp train --members`) also the disagreement of its members, as a standard
    deviation. A file that ends with .parquet, .arrow, .feather or .tsv is written
    as that. Columns are found by name where both tables have a header, else by
    position; a target column may be there or not.

    \b
    Examples:
      gpubp predict model.safetensors new.csv
      gpubp predict model.safetensors new.csv --probabilities -o answers.csv
      gpubp predict model.safetensors new.csv --keep id -o answers.parquet
      cat new.csv | gpubp predict model.safetensors - | head
    """
    form = "csv"
    if output is not None:
        check_output(output, model, source.table)
        form = form_of(output)
    loaded = load(model)
    if probabilities and loaded.task == "regression":
        raise DataError(f"{model} is a regression of {target_of(loaded).name!r}: it has no probabilities.")
    table = source.read(keep_texts=True)
    kept = kept_columns(table, keep or (), keep_all)
    answer = answers(loaded, table, backend.choose(report))
    report.note(*answer.notes)
    if output is not None:
        from gpubp.storage.files import write_whole

        write_whole(output, content(columns_of(answer, probabilities, kept), form))
        report.note(f"{table.rows:,} predictions were written to {output}.")
    if report.as_json:
        write_json(result(answer, probabilities, output, kept))
    elif output is None:
        write(content(columns_of(answer, probabilities, kept), "csv").decode())


def load(path: Path) -> Model | Ensemble:
    from gpubp.models.ensemble import FILE, Ensemble
    from gpubp.models.model import Model
    from gpubp.storage.array_files import format_of

    return Ensemble.load(path) if format_of(path) == FILE.format else Model.load(path)


def target_of(loaded: Model | Ensemble) -> Target:
    if loaded.target is None:
        raise DataError(
            "This ensemble was made from arrays, and knows no columns: load it in Python, with gpubp.Ensemble.load."
        )
    return loaded.target


@dataclass(frozen=True)
class Answer:
    """For N rows. disagreement (N,): of an ensemble's members, see Ensemble.disagreement; None for one network."""

    task: str
    target: str
    labels: tuple[str, ...]
    values: Any
    probabilities: Any
    disagreement: Any
    notes: tuple[str, ...]


def answers(loaded: Model | Ensemble, table: Table, backend: Backend) -> Answer:
    from gpubp.models.model import Model

    target = target_of(loaded)
    about = (loaded.task, target.name, tuple(target.labels))
    if isinstance(loaded, Model):
        found = loaded.predict(table, backend)
        return Answer(*about, found.values, found.probabilities, None, found.notes)
    answer = loaded.answer(table, backend)
    return Answer(*about, answer.values, answer.probabilities, answer.disagreement, answer.notes)


def check_output(output: Path, model: Path, table: str) -> None:
    from gpubp.storage.files import check_place

    check_place(output)
    for other in (str(model), table):
        if other != "-" and output.exists() and os.path.exists(other) and os.path.samefile(output, other):
            raise DataError(f"--output {output} is the file that is read: predictions would replace it.")


FORMS = {".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow", ".tsv": "tsv"}
UNWRITTEN = (".xlsx", ".xls", ".ods", ".json", ".jsonl", ".ndjson", ".gz", ".bz2", ".xz", ".zst", ".zip", ".h5", ".orc")


def form_of(output: Path) -> str:
    """What the file's name promises: CSV unless it ends otherwise. DataError for what gpubp does not write."""
    suffix = output.suffix.lower()
    if suffix in UNWRITTEN:
        other = " (--json prints JSON)" if suffix == ".json" else ""
        raise DataError(
            f"--output {output}: gpubp writes .csv, .tsv, .parquet and .arrow files, and no {suffix}{other}."
        )
    return FORMS.get(suffix, "csv")


def kept_columns(table: Table, keep: Sequence[str], keep_all: bool) -> dict[str, Any]:
    """The columns to carry through, by name, as they are written in the file. DataError for one that is not there."""
    from gpubp.tables import find_columns

    names = table.names if keep_all else find_columns(table, keep)
    written = table.frame if table.texts is None else table.texts
    return {name: written[name] for name in names}


def columns_of(answer: Answer, probabilities: bool, kept: Mapping[str, Any]) -> dict[str, Any]:
    """What is written of the answer, by name. DataError where a column to keep has the name of one of these."""
    values = answer.values
    columns: dict[str, Any] = {"prediction": values.tolist() if values.dtype.kind == "O" else values}
    if answer.disagreement is not None:
        columns["disagreement"] = answer.disagreement
    if probabilities and answer.probabilities is not None:
        columns |= {f"probability_{label}": answer.probabilities[:, c] for c, label in enumerate(answer.labels)}
    if both := [name for name in kept if name in columns]:
        raise DataError(f"The column {both[0]!r} cannot be kept: predictions have a column of that name. Rename it.")
    return {**kept, **columns}


def content(columns: Mapping[str, Any], form: str) -> bytes:
    import io

    import polars as pl

    frame, written = pl.DataFrame(dict(columns)), io.BytesIO()
    if form == "parquet":
        frame.write_parquet(written)
    elif form == "arrow":
        frame.write_ipc(written)
    else:
        frame.write_csv(written, separator="\t" if form == "tsv" else ",")
    return written.getvalue()


def result(answer: Answer, probabilities: bool, output: Path | None, kept: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "task": answer.task,
        "target": answer.target,
        "labels": list(answer.labels),
        "rows": len(answer.values),
        "predictions": answer.values,
        "probabilities": answer.probabilities if probabilities else None,
        "notes": list(answer.notes),
        "output": None if output is None else str(output),
    }
    if kept:
        found["kept"] = {name: list(map(_plain, column)) for name, column in kept.items()}
    return found if answer.disagreement is None else found | {"disagreement": answer.disagreement}


def _plain(value: Any) -> Any:
    """A value as JSON has it: a time as ISO text."""
    return value.isoformat(sep=" ") if hasattr(value, "isoformat") else value
