"""Turns a file, a frame or arrays that a user gives into a `Table`, and finds the columns that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gpubp.tables.frames import is_frame
from gpubp.tables.reading import read_table
from gpubp.tables.table import Table, find_column

WILDCARDS = frozenset("*?[")


def table_of(data: Any) -> Table:
    """A Table as it is; a file, by its path; a data frame (see `Table.from_frame`); an array (N, D), without names."""
    if isinstance(data, Table):
        return data
    if isinstance(data, (str, Path)):
        return read_table(data)
    if is_frame(data):
        return Table.from_frame(data)
    return Table.from_arrays(data.toarray() if hasattr(data, "toarray") else data)


def find_columns(table: Table, given: str | int | Sequence[str | int]) -> tuple[str, ...]:
    """The names of columns given by name, position (see `find_column`) or wildcard (* ? [abc]), in the table's order.

    A name that is there as it is written is no pattern. DataError for one that names no column.
    """
    found: set[str] = set()
    for each in [given] if isinstance(given, (str, int)) else given:
        matching: list[str] = []
        if isinstance(each, str) and each not in table.names and WILDCARDS & {*each}:
            matching = [name for name in table.names if fnmatchcase(name, each)]
        found.update(matching or [find_column(table, each)])
    return tuple(name for name in table.names if name in found)
