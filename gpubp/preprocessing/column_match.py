"""Where a fitted column is in another table: by name, or by position where there are no names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpubp.errors import DataError
from gpubp.storage.schema import Given

if TYPE_CHECKING:
    from gpubp.tables import Table

MOST_COLUMNS = 2**31


@dataclass(frozen=True)
class ColumnMatch:
    """Names and positions (from 0) of the input columns in the training table of `width` columns."""

    names: tuple[str, ...]
    positions: tuple[int, ...]
    width: int
    has_header: bool
    target_position: int | None

    @classmethod
    def of(cls, table: Table, names: Sequence[str], target: str | None) -> ColumnMatch:
        where = {name: i for i, name in enumerate(table.names)}
        return cls(
            tuple(names),
            tuple(where[name] for name in names),
            len(where),
            table.has_header,
            None if target is None else where[target],
        )

    def find(self, table: Table) -> tuple[list[str], list[str]]:
        """(the table's names of the input columns in order, notes).

        By name if both tables have a header: other columns and another order do no harm. By position if not:
        then the table has all columns of the training table, or all but the target, or the inputs alone.
        """
        from gpubp.tables.table import unknown_column

        if self.has_header and table.has_header:
            absent = [name for name in self.names if name not in table.names]
            if absent:
                also = f" {len(absent)} input columns are missing in all." if len(absent) > 1 else ""
                raise DataError(f"{unknown_column(absent[0], table)}{also} The model was trained with it.")
            return list(self.names), []
        notes = []
        if self.has_header or table.has_header:
            which = "the table" if self.has_header else "the training table"
            notes.append(f"Columns are taken by position, because {which} has no header.")
        positions = self._positions_in(len(table.names))
        if positions is None:
            with_target = f"{self.width} (with the target)" if self.target_position is not None else f"{self.width}"
            raise DataError(
                f"{table.source}: found {len(table.names)} columns, expected {len(self.names)} (the inputs "
                f"alone) or {with_target}, in the order of the training table."
            )
        return [table.names[i] for i in positions], notes

    def _positions_in(self, width: int) -> Sequence[int] | None:
        if width == self.width:
            return self.positions
        if width == self.width - 1 and self.target_position is not None:
            return [i - (i > self.target_position) for i in self.positions]
        if width == len(self.positions):
            return range(width)
        return None

    def to_metadata(self) -> dict[str, Any]:
        return {
            "positions": list(self.positions),
            "width": self.width,
            "has_header": self.has_header,
            "target_position": self.target_position,
        }

    @classmethod
    def from_metadata(cls, given: Given, names: Sequence[str]) -> ColumnMatch:
        """The inverse of `to_metadata`; DataError where it is none, or none of these columns."""
        width = given["width"].whole(1, MOST_COLUMNS)
        positions = given["positions"].each(lambda each: each.whole(0, width - 1))
        target = given.get("target_position").maybe(lambda each: each.whole(0, width - 1))
        used = positions if target is None else (*positions, target)
        if len(positions) != len(names) or not names or len({*names}) < len(names) or len({*used}) < len(used):
            raise given.wrong(f"different positions of {len(names)} different columns")
        return cls(tuple(names), positions, width, given["has_header"].flag(), target)
