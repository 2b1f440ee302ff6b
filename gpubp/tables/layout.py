"""The columns of a table under their names: without its header, a line of units, and columns that hold nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from gpubp.errors import DataError
from gpubp.tables.columns import Conventions, read_columns
from gpubp.tables.description import ColumnReading
from gpubp.tables.headers import FirstLine, is_number, is_units, names_of, row_names_of
from gpubp.tables.markers import Markers
from gpubp.tables.separators import WHITESPACE


@dataclass(frozen=True)
class Layout:
    """The columns under their names: texts, values and readings, without the header and a line of units."""

    texts: pl.DataFrame
    values: list[pl.Series]
    readings: list[ColumnReading]
    lines: np.ndarray
    header: bool
    row_names: tuple[str, ...]
    remarks: list[str]
    commented: bool = False

    @classmethod
    def of(
        cls,
        frame: pl.DataFrame,
        lines: np.ndarray,
        header: bool | None,
        above: Sequence[str],
        commented: Sequence[str],
        given: Conventions,
        name: str,
    ) -> Layout:
        """frame: all records as stripped texts, the first line too. above: the names of all columns but the first, as
        R writes them, where they are not in the frame. commented: names in a comment above a table without a header.
        """
        remarks: list[str] = []
        if above:
            first, rest, header = ["", *above], frame, True
            lines = np.append(lines[:1], lines)
        else:
            first, rest = list(frame.row(0)), frame.slice(1)
        values, readings = ([], []) if header is False else read_columns(rest, given)
        named = header is None and bool(commented)
        if named and any(map(is_number, first)):
            header = False
        if header is None:
            held = [i for i, field in enumerate(first) if field or readings[i].blank < rest.height]
            held = held or [*range(frame.width)]
            header = FirstLine(
                [first[i] for i in held],
                rest[:, held],
                [values[i] for i in held],
                [readings[i] for i in held],
                given.markers,
            ).is_header()
        fields = first if header else [""] * frame.width
        if header:
            texts, lines = rest, lines[1:]
            if not texts.height:
                raise DataError(f"{name}: found a header line and no rows of data.")
        else:
            texts = frame
            values, readings = read_columns(texts, given)
            if named:
                fields, header = list(commented), True
                remarks.append(f"The columns have the names in the comment above them: {', '.join(fields[:5])}.")
        if header and texts.height > 2:
            second = [str(field) for field in texts.row(0)]
            if _may_be_units(second, texts, given.markers):
                below = texts.slice(1)
                other_values, other_readings = read_columns(below, given)
                if is_units(second, other_values, other_readings, given.markers, below):
                    remarks.append(f"Line {lines[0]} holds units ({_some(second)}), and is left out.")
                    texts, lines, values, readings = below, lines[1:], other_values, other_readings
        texts, fields, values, readings, more = _without_empty(texts, fields, values, readings)
        names, renamed = names_of(fields)
        values = [column.alias(names[i]) for i, column in enumerate(values)]
        readings = [replace(reading, name=names[i]) for i, reading in enumerate(readings)]
        return cls(
            texts.rename(dict(zip(texts.columns, names, strict=True))),
            values,
            readings,
            lines,
            header,
            row_names_of(fields, names, values) if header else (),
            [*remarks, *more, *renamed],
            named and texts.height == frame.height,
        )


def _some(fields: Sequence[str]) -> str:
    return ", ".join([field for field in fields if field][:5])


def names_in_comment(commented: str, separator: str, width: int) -> list[str]:
    """The names in a comment right above the table; [] where it does not name each column once."""
    if not commented.strip():
        return []
    parts = commented.split() if separator == WHITESPACE else commented.split(separator or None)
    names = [part.strip().strip('"') for part in parts]
    if len(names) == width and not names[0]:
        names[0] = "#"
    known = [each for each in names if each]
    return names if len(names) == width and width > 1 and len(set(known)) == width else []


def _may_be_units(fields: Sequence[str], texts: pl.DataFrame, markers: Markers) -> bool:
    """Quickly: no number among them, and numbers in the next lines."""
    known = [field for field in fields if field not in markers.always]
    if not known or any(re.match(r"^[+-]?[0-9.,]+$", field) for field in known):
        return False
    below = texts.slice(1, 20).rows()
    return any(re.match(r"^[+-]?[0-9]*[.,]?[0-9]+$", str(field)) for row in below for field in row)


def _without_empty(
    texts: pl.DataFrame,
    fields: Sequence[str],
    values: list[pl.Series],
    readings: list[ColumnReading],
) -> tuple[pl.DataFrame, list[str], list[pl.Series], list[ColumnReading], list[str]]:
    """Without columns at either end that have neither a name nor a value."""
    remarks: list[str] = []
    named = any(fields)
    empty = [not field and reading.blank == texts.height for field, reading in zip(fields, readings, strict=True)]
    first, last = 0, texts.width
    while named and last - 1 > first and empty[last - 1]:
        last -= 1
    while named and first < last - 1 and empty[first] and texts.width > 2:
        first += 1
    if dropped := texts.width - (last - first):
        which = "Columns" if dropped > 1 else "A column"
        remarks.append(f"{which} without a name and without a value at the lines' ends: left out.")
    if dropped:
        texts, values, readings = texts[:, first:last], values[first:last], readings[first:last]
    return texts, list(fields)[first:last], values, readings, remarks
