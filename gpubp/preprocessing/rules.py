"""What is chosen about a table's inputs before the table is seen."""

from __future__ import annotations

from dataclasses import dataclass

from gpubp.errors.suggestions import check_choice
from gpubp.preprocessing.scaling import SCALES


@dataclass(frozen=True)
class InputRules:
    """scale: of numbers, one of SCALES. Raises SettingsError for any other."""

    scale: str = "robust"

    def __post_init__(self) -> None:
        check_choice("scale", self.scale, SCALES)
