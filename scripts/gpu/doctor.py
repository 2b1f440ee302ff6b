"""`gpubp doctor`, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from gpu.work import Item, Row, Work


def items(work: Work) -> list[Item]:
    return [Item("doctor", doctor, needs=5, limit=120)]


def doctor() -> Iterable[Row]:
    from gpubp.doctor import examine

    found = examine()
    row = asdict(found)
    yield row | {"healthy": found.healthy}
