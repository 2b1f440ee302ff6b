"""Where the case study's table lies, in an installed package and in a source tree alike."""

from __future__ import annotations

from pathlib import Path

from gpubp.errors import DataError


def data_folder() -> Path:
    """The folder that holds wheat-seeds.csv: inside an installed package, or `data/` beside it in a source tree."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "data", package.parent / "data"):
        if (folder / "wheat-seeds.csv").is_file():
            return folder
    raise DataError(f"wheat-seeds.csv is missing from {package / 'data'}: reinstall gpubp.")


def wheat_seeds() -> Path:
    """The table of the case study: 210 rows, 7 measurements and the variety 1, 2 or 3; no header."""
    return data_folder() / "wheat-seeds.csv"


SEEDS = "wheat-seeds"
"""What the command line calls the table of the case study, wherever gpubp is installed."""


def table_path(given: str) -> str:
    """The file that is meant by a table on the command line: itself, or the wheat seeds by their name."""
    return str(wheat_seeds()) if given == SEEDS and not Path(given).exists() else given
