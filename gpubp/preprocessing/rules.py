"""What is chosen about a table's inputs before the table is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpubp.errors.suggestions import check_choice
from gpubp.preprocessing.columns import ENCODINGS, Column
from gpubp.preprocessing.scaling import SCALES


@dataclass(frozen=True)
class InputRules:
    """scale: of numbers, one of SCALES. encoding: of categories, one of ENCODINGS. Raises SettingsError for others."""

    scale: str = "robust"
    encoding: str = "one_hot"

    def __post_init__(self) -> None:
        check_choice("scale", self.scale, SCALES)
        check_choice("category encoding", self.encoding, ENCODINGS)

    def columns(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """The columns, encoded by these rules."""
        return tuple(
            replace(column, encoding=self.encoding) if column.kind == "categorical" else column for column in columns
        )
