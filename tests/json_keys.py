"""The keys of every --json, as docs/reference/command-line.md lists them."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "command-line.md"


def documented() -> dict[str, dict[str, str]]:
    """Key to type, by the heading that it stands under: a command, and sometimes an option."""
    sections = re.split(r"^### `gpubp (.+)`$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    rows = {
        heading: re.findall(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
        for heading, text in zip(sections[1::2], sections[2::2], strict=True)
    }
    for heading, found in rows.items():
        assert len(dict(found)) == len(found), f"{heading} names a key twice"
    return {heading: {key: kind.strip() for key, kind in found} for heading, found in rows.items()}


DOCUMENTED = documented()
