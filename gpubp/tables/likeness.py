"""A table read as another was: what a column's texts mean is decided by the table that a model was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from gpubp.errors import quoted
from gpubp.tables.columns import read_by
from gpubp.tables.description import SHOWN, ColumnReading, Reading
from gpubp.tables.markers import Markers
from gpubp.tables.notation import Notation
from gpubp.tables.table import Table


def read_like(table: Table, trained: Reading, target: str) -> tuple[Table, tuple[str, ...]]:
    """(the table with every column in the notation that it had in training, where its texts were kept and fit that;
    notes on what was left out of the file, and on columns that do not fit). Of a frame: with those texts read that were
    no texts in training.

    Columns are found by name where both tables have a header, else by position. target: a column of the training table
    that this one may lack.
    """
    if table.texts is None or table.reading is None:
        return _frame_like(table, trained, target)
    own_markers = table.markers or Markers()
    markers = own_markers.together(trained.missing, trained.not_missing)
    columns, readings, notes = [], [], list(table.reading.remarks)
    different: dict[str, list[str]] = {}
    pairs = dict(_pairs(table, trained, target))
    for own in table.reading.columns:
        column, before = table.frame[own.name], pairs.get(own.name)
        notation = own.notation if before is None else before.notation
        if markers != own_markers or notation != own.notation:
            values = read_by(table.texts[own.name], notation, markers)
            if values is not None:
                column, own = values.alias(own.name), replace(own, notation=notation)
            elif own.notation.kind not in ("text", "boolean") and notation.kind != "boolean":
                how = f"({_said(notation)} there, {_said(own.notation)} here)"
                different.setdefault(how, []).append(quoted(own.name))
        columns.append(column)
        readings.append(own if before is None else replace(own, guess=""))
    notes += [_differing(names, how) for how, names in different.items()]
    notes += [f"Column {quoted(own.name)}: {own.guess}." for own in readings if own.guess]
    reading = replace(table.reading, columns=tuple(readings))
    return replace(table, frame=pl.DataFrame(columns), reading=reading, texts=None), tuple(notes)


def _frame_like(table: Table, trained: Reading, target: str) -> tuple[Table, tuple[str, ...]]:
    """Parquet and frames keep clock times and the like as texts, which training read from a text file."""
    markers = Markers().together(trained.missing, trained.not_missing)
    read, notes = {}, []
    for name, before in _pairs(table, trained, target):
        texts = table.frame[name]
        if texts.dtype == pl.String and before.notation.kind not in ("text", "boolean"):
            values = read_by(texts.fill_null("").str.strip_chars(), before.notation, markers)
            if values is not None:
                read[name] = values.alias(name)
                notes.append(f"Column {quoted(name)}: its texts are read as in training ({_said(before.notation)}).")
    if not read:
        return table, ()
    frame = pl.DataFrame([read.get(column.name, column) for column in table.frame])
    return replace(table, frame=frame), tuple(notes)


def _differing(names: list[str], how: str) -> str:
    if len(names) == 1:
        return f"Column {names[0]} is not written as it was in training {how}: it is read by its own values."
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (
        f"Columns {', '.join(names[:SHOWN])}{more} are not written as they were in training {how}: they are read by "
        "their own values."
    )


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
