"""Times on the command line: 90s, 10m, 2h."""

from __future__ import annotations

import re

from gpubp.errors import SettingsError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(option: str, text: str, least: float = 0.0) -> float:
    """SettingsError for what is no time above `least` seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if match is None or not float(match[1]) * UNITS[match[2] or "s"] > least:
        raise SettingsError(f"{option} {text!r}: give a time such as 90s, 10m or 2h.")
    return float(match[1]) * UNITS[match[2] or "s"]
