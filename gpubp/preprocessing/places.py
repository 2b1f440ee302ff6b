"""Where a fitted column is in another table: by name, or by position where there are no names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpubp.errors import DataError
from gpubp.preprocessing import stored

if TYPE_CHECKING:
    from gpubp.tables import Table

WHAT = "stored preprocessing"


@dataclass(frozen=True)
class Places:
    """Names and positions (from 0) of the input columns in the training table of `width` columns."""

    names: tuple[str, ...]
    positions: tuple[int, ...]
    width: int
    has_header: bool
    target_position: int | None

    @classmethod
    def of(cls, table: Table, names: Sequence[str], target: str | None) -> Places:
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
    def from_metadata(cls, metadata: Any, names: Sequence[str]) -> Places:
        positions = stored.entry(metadata, "positions", list, WHAT)
        width = stored.entry(metadata, "width", int, WHAT)
        has_target = metadata.get("target_position") is not None
        target = stored.entry(metadata, "target_position", int, WHAT) if has_target else None
        used = [*positions, target] if has_target else positions
        if (
            len(positions) != len(names)
            or not names
            or len(set(names)) < len(names)
            or len(set(map(str, used))) < len(used)
        ):
            raise DataError(f"The {WHAT} is damaged: columns and positions do not match one to one.")
        if not all(type(i) is int and 0 <= i < width for i in used):
            raise DataError(f"The {WHAT} is damaged: a column's position is not below its table's width {width}.")
        has_header = stored.entry(metadata, "has_header", bool, WHAT)
        return cls(tuple(names), tuple(positions), width, has_header, target)
