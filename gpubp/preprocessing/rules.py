"""What is chosen about a table's inputs before the table is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpubp.errors.suggestions import check_choice
from gpubp.preprocessing.columns import ENCODINGS, Column
from gpubp.preprocessing.scaling import SCALES

if TYPE_CHECKING:
    from gpubp.tables import Table

MISSING_NUMBERS = ("median", "indicate")


@dataclass(frozen=True)
class InputRules:
    """scale: of numbers, one of SCALES. encoding: of categories, one of ENCODINGS. missing_numbers: they become the
    median of their column; with "indicate", columns of numbers or dates that lack some have one more input, which says
    where.

    Raises SettingsError for any other.
    """

    scale: str = "robust"
    encoding: str = "one_hot"
    missing_numbers: str = "median"

    def __post_init__(self) -> None:
        check_choice("scale", self.scale, SCALES)
        check_choice("category encoding", self.encoding, ENCODINGS)
        check_choice("missing numbers", self.missing_numbers, MISSING_NUMBERS)

    def columns(self, table: Table, columns: Sequence[Column]) -> tuple[Column, ...]:
        """The columns, encoded by these rules. The whole table is looked at, so that every fold has the same inputs."""
        return tuple(self._column(table, column) for column in columns)

    def _column(self, table: Table, column: Column) -> Column:
        if column.kind == "categorical":
            return replace(column, encoding=self.encoding)
        if self.missing_numbers == "median" or not table.frame[column.name].null_count():
            return column
        return replace(column, has_indicator=True)
