"""What a part consists of, and what it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Item:
    """One thing to measure. Rows are written as they come; an exception is written as the item's error.

    needs: seconds; with fewer left it is left out. limit: seconds after which its process is ended, and the part goes
    on with the other items in a new one.
    """

    name: str
    rows: Callable[[], Iterable[Row]]
    needs: float = 2.0
    limit: float = 60.0


@dataclass(frozen=True)
class Work:
    """What the process of a part is told.

    group: of the items that share a process, "" where the part has one group. deadline: by time.monotonic().
    stand_in: no device: CuPy's stand-in takes its place, everything is tiny, and times say nothing.
    """

    folder: Path
    group: str
    deadline: float
    stand_in: bool

    def left(self) -> float:
        return self.deadline - time.monotonic()
