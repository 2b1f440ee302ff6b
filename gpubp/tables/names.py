"""Different names for all columns."""

from __future__ import annotations

from collections.abc import Sequence


def distinct(names: Sequence[str]) -> list[str]:
    """x, x, x as x, x_2, x_3; never a name that another column has by itself."""
    taken, seen = set(names), set[str]()
    latest: dict[str, int] = {}
    found = []
    for name in names:
        fresh = name
        if name in seen:
            number = latest.get(name, 1) + 1
            while f"{name}_{number}" in taken:
                number += 1
            latest[name], fresh = number, f"{name}_{number}"
            taken.add(fresh)
        seen.add(fresh)
        found.append(fresh)
    return found
