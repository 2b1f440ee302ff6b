"""Lists in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def listed(parts: Sequence[str]) -> str:
    """a, b and c"""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def some(parts: Sequence[str], limit: int) -> str:
    """a, b, c; of more than `limit` (and not just one more), the first of them and how many there are besides."""
    more = len(parts) - limit
    return ", ".join(parts) if more <= 1 else f"{', '.join(parts[:limit])} and {more:,} more"
