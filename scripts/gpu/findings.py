"""What a part has found, written to its JSON file row by row, so that whatever ends the process loses nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any


class Findings:
    """The file of a part: its rows, its items (all, done, left out), the item at hand.

    Whoever opens a file that is there goes on with it: a part whose process died is started again for the other items.
    """

    def __init__(self, path: Path, part: str = "") -> None:
        self.path = path
        self.content: dict[str, Any] = {
            "part": part,
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "rows": [],
            "items": [],
            "done": [],
            "left_out": [],
            "at_hand": None,
        }
        if path.exists():
            self.content = json.loads(path.read_text(encoding="utf-8"))

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.content["rows"]

    @property
    def at_hand(self) -> dict[str, Any] | None:
        """The item that is being measured: its name, when it began (time.time()), and the seconds that it may take."""
        return self.content["at_hand"]

    def plan(self, items: Iterable[str]) -> None:
        self.content["items"] += [name for name in items if name not in self.content["items"]]
        self.write()

    def begin(self, item: str, limit: float) -> None:
        self.content["at_hand"] = {"item": item, "began": time.time(), "limit": limit}
        self.write()

    def add(self, item: str, row: Mapping[str, Any]) -> None:
        self.rows.append({"item": item, **row})
        self.write()

    def end(self, item: str) -> None:
        self.content["done"].append(item)
        self.content["at_hand"] = None
        self.write()

    def fail(self, item: str, reason: str) -> None:
        self.add(item, {"error": reason})
        self.end(item)

    def leave_out(self, item: str) -> None:
        if item not in self.content["left_out"]:
            self.content["left_out"].append(item)
        self.write()

    def finish(self, **facts: Any) -> None:
        """All that was planned and not done was left out. facts: seconds, limit, how it ended."""
        done = {*self.content["done"], *self.content["left_out"]}
        self.content["left_out"] += [item for item in self.content["items"] if item not in done]
        self.content |= facts
        self.write()

    def write(self) -> None:
        """As a whole: a reader sees the old file or the new one."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.content, indent=1, default=str, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(fresh, self.path)
