"""A table read as another was: what a column's texts mean is decided by the table that a model was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from gpubp.errors import quoted
from gpubp.tables.columns import read_by
from gpubp.tables.description import ColumnReading, Reading
from gpubp.tables.markers import Markers
from gpubp.tables.notation import Notation
from gpubp.tables.table import Table


def read_like(table: Table, trained: Reading, target: str) -> tuple[Table, tuple[str, ...]]:
    """(the table with every column in the notation that it had in training, where its texts were kept and fit that;
    notes on what was left out of the file, and on columns that do not fit).

    Columns are found by name where both tables have a header, else by position. target: a column of the training table
    that this one may lack.
    """
    if table.texts is None or table.reading is None:
        return table, ()
    own_markers = table.markers or Markers()
    markers = own_markers.together(trained.missing, trained.not_missing)
    columns, readings, notes = [], [], list(table.reading.remarks)
    pairs = dict(_pairs(table, trained, target))
    for own in table.reading.columns:
        column, before = table.frame[own.name], pairs.get(own.name)
        notation = own.notation if before is None else before.notation
        if markers != own_markers or notation != own.notation:
            values = read_by(table.texts[own.name], notation, markers)
            if values is not None:
                column, own = values.alias(own.name), replace(own, notation=notation)
            elif own.notation.kind not in ("text", "boolean") and notation.kind != "boolean":
                notes.append(
                    f"Column {quoted(own.name)} is not written as it was in training ({_said(notation)} there, "
                    f"{_said(own.notation)} here): it is read by its own values."
                )
        columns.append(column)
        readings.append(own if before is None else replace(own, guess=""))
    notes += [f"Column {quoted(own.name)}: {own.guess}." for own in readings if own.guess]
    reading = replace(table.reading, columns=tuple(readings))
    return replace(table, frame=pl.DataFrame(columns), reading=reading, texts=None), tuple(notes)


def _pairs(table: Table, trained: Reading, target: str) -> Iterator[tuple[str, ColumnReading]]:
    """(a column of the table, what it was in training)."""
    if table.has_header and trained.header:
        known = {column.name: column for column in trained.columns}
        yield from ((name, known[name]) for name in table.names if name in known)
        return
    columns = list(trained.columns)
    if len(columns) == len(table.names) + 1:
        columns = [column for column in columns if column.name != target]
    if len(columns) == len(table.names):
        yield from zip(table.names, columns, strict=True)


def _said(notation: Notation) -> str:
    plain = {"number": "plain numbers", "boolean": "true and false"}
    return str(notation) or plain.get(notation.kind, "texts")
