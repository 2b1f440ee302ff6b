"""`gpubp describe`: how a table is read, and what a training would make of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpubp.cli import shapes
from gpubp.cli.options import ReportOptions
from gpubp.cli.table_options import TableOptions, TargetOptions
from gpubp.errors import DataError

if TYPE_CHECKING:
    from gpubp.fitting.dataset import Dataset
    from gpubp.tables import Table
    from gpubp.tables.description import ColumnReading

SHOWN = 200
"""Columns in the text; --json has all of them."""
SHORT = 24
EXACT = 1e15
"""Below it, whole numbers are written out."""


def describe(source: TableOptions, target: TargetOptions, report: ReportOptions) -> None:
    """Say how a table is read, and what a training would make of it.

    The file: format, encoding, separator, header, rows. Each column: whether it
    is an input, the target or left out, and why; how its values are written;
    missing values; its range, or its commonest values. Nothing is trained. The
    options are those of `gpubp train`: what they change can be seen here.

    \b
    Examples:
      gpubp describe data.csv
      gpubp describe data.csv --target price --ignore "id_*" --missing -999
      gpubp describe export.txt --encoding cp1252 --decimal , --json
    """
    from gpubp.fitting.dataset import Dataset

    table = source.read()
    dataset, trouble = None, None
    try:
        dataset = Dataset.of(table, target.target, **target.choices)
    except DataError as error:
        trouble = str(error)
    outcome = result(table, dataset, trouble)
    report.give(outcome, lambda: parts(outcome))


def result(table: Table, dataset: Dataset | None, trouble: str | None) -> dict[str, Any]:
    """trouble: what keeps the table from being trained on, where there is no dataset."""
    reading = table.reading
    assert reading is not None  # it was read from a file
    known = table.notes if dataset is None else dataset.notes
    return {
        "source": table.source,
        "format": reading.format,
        "compression": reading.compression or None,
        "encoding": reading.encoding or None,
        "separator": reading.separator or None,
        "header": table.has_header,
        "rows": table.rows,
        "rows_without_target": 0 if dataset is None else table.rows - dataset.table.rows,
        "remarks": list(reading.remarks),
        "columns": [column(table, each, dataset) for each in reading.columns],
        "target": None if dataset is None else _target(dataset),
        "inputs": 0 if dataset is None else sum(len(each.input_names) for each in dataset.columns),
        "notes": list(known),
        "trouble": trouble,
    }


def column(table: Table, reading: ColumnReading, dataset: Dataset | None) -> dict[str, Any]:
    from gpubp.tables.summary import Summary

    name = reading.name
    summary = Summary.of(table.frame[name])
    role, kind, inputs, why = _role(table, name, dataset)
    return {
        "name": name,
        "role": role,
        "kind": kind,
        "written": str(reading.notation) or None,
        "inputs": inputs,
        "missing": summary.missing,
        "missing_texts": dict(reading.missing),
        "distinct": summary.distinct,
        "lowest": summary.lowest,
        "median": summary.median,
        "highest": summary.highest,
        "commonest": [{"value": value, "rows": count} for value, count in summary.commonest],
        "why": why or reading.why or None,
    }


def _role(table: Table, name: str, dataset: Dataset | None) -> tuple[str, str, int, str]:
    """(input, target or left out; the kind of its values; how many inputs it makes; why it is that)."""
    import polars as pl

    dtype = table.frame[name].dtype
    kind = "number" if dtype.is_numeric() else "text" if dtype == pl.String else "date"
    if dataset is None:
        return ("row name" if name in table.row_names else "column"), kind, 0, ""
    if name == dataset.name:
        return "target", dataset.task, 0, ""
    for each in dataset.columns:
        if each.name == name:
            named = {"numeric": "number", "categorical": "category"}.get(each.kind, each.kind)
            return "input", named, len(each.input_names), each.why
    reasons = {each.name: each.reason for each in dataset.inputs.left_out}
    return "left out", kind, 0, reasons.get(name, "")


def _target(dataset: Dataset) -> dict[str, Any]:
    target = dataset.target
    return {"name": target.name, "task": target.task, "classes": list(target.labels)}


def parts(outcome: Mapping[str, Any]) -> Iterable[Any]:
    from gpubp.tables.description import ENCODINGS, SEPARATORS

    encoding = outcome["encoding"]
    yield shapes.facts(
        [
            ("table", outcome["source"]),
            ("format", outcome["format"]),
            ("compressed", outcome["compression"]),
            ("encoding", encoding and ENCODINGS.get(encoding, encoding.upper())),
            ("separator", outcome["separator"] and SEPARATORS.get(outcome["separator"], outcome["separator"])),
            ("header", "yes" if outcome["header"] else "no: columns are named by their positions"),
            ("rows", f"{outcome['rows']:,}"),
            ("columns", f"{len(outcome['columns']):,}"),
        ]
    )
    for remark in outcome["remarks"]:
        yield shapes.line(remark)
    columns = outcome["columns"]
    yield shapes.table(["column", "is", "missing>", "values", "because"], map(_row, _shown(columns)))
    if len(columns) > SHOWN:
        yield shapes.line(f"… and {len(columns) - SHOWN:,} more columns (--json has all of them).")
    if lost := outcome["rows_without_target"]:
        yield shapes.line(f"What is said under 'because' is of the {outcome['rows'] - lost:,} rows with a target.")
    yield shapes.facts(_outcome(outcome))
    said = {*outcome["remarks"]}
    for note in outcome["notes"]:
        if note not in said and _is_about_the_whole(note):
            yield shapes.line(note)
    if outcome["trouble"]:
        yield shapes.line(f"It cannot be trained on like this: {outcome['trouble']}")


def _is_about_the_whole(note: str) -> bool:
    """Not of one column, which the table of columns tells, unless it leaves a question open."""
    told = note.startswith(("Column", "Read as", "As categories", "Target", "And "))
    return not told or ("--" in note and not note.startswith(("As categories", "Target")) and "left out" not in note)


def _shown(columns: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of many columns, plain numbers that are inputs give way to those that there is more to say of."""
    plain = [each["role"] == "input" and each["why"] == "numbers" and not each["written"] for each in columns]
    order = sorted(range(len(columns)), key=plain.__getitem__)
    return [columns[i] for i in sorted(order[:SHOWN])]


def _row(each: Mapping[str, Any]) -> tuple[str, ...]:
    kind = each["kind"] if each["role"] == "input" else f"{each['role']} ({each['kind']})"
    return shapes.short(each["name"], SHORT), kind, f"{each['missing']:,}", _values(each), _because(each)


def _because(each: Mapping[str, Any]) -> str:
    """What is not in the other cells: not that numbers are numbers, nor an example of texts."""
    written, why = each["written"] or "", each["why"] or ""
    if each["role"] == "input":
        if each["kind"] == "number":
            why = ""
        elif each["kind"] == "category":
            what, _, example = why.partition(", such as ")
            why = what + ("; --categorical names it" if example.endswith("; --categorical names it") else "")
        elif written:
            why = why.removeprefix("dates, ")
    return "; ".join(text for text in (written, why) if text)


def _values(each: Mapping[str, Any]) -> str:
    if each["lowest"] is not None:
        if isinstance(each["lowest"], str):
            return f"{each['lowest']} to {each['highest']}"
        return f"{_number(each['lowest'])} to {_number(each['highest'])}, median {_number(each['median'])}"
    commonest = each["commonest"]
    if commonest and commonest[0]["rows"] == 1:
        commonest = commonest[:1]
    shown = ", ".join(f"{shapes.short(item['value'], SHORT)} ({item['rows']:,})" for item in commonest)
    more = each["distinct"] - len(commonest)
    return f"{shown}, {more:,} more" if more > 0 else shown


def _number(value: float) -> str:
    """Whole numbers to the last digit, years and codes among them; others to six."""
    return str(int(value)) if abs(value) < EXACT and value == int(value) else f"{value:g}"


def _outcome(outcome: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    target = outcome["target"]
    if target is not None:
        classes = f", {len(target['classes']):,} classes" if target["classes"] else ""
        yield "target", f"{target['name']!r}: {target['task']}{classes}"
        yield "inputs", f"{outcome['inputs']:,} numbers that a network is given for each row"
