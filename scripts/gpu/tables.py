"""Numbers and tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterable[str]:
    yield "| " + " | ".join(head) + " |"
    yield "| " + " | ".join("---" for _ in head) + " |"
    for row in rows:
        yield "| " + " | ".join(cell(value) for value in row) + " |"


def cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return number(value)
    return str(value).replace("|", "\\|").replace("\n", " ")


def number(value: float) -> str:
    """Three digits; powers of ten where there would be many zeros."""
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:.2e}"


def share(part: float | None, whole: float | None) -> str | None:
    """In percent; None where one of them is not known."""
    if part is None or not whole:
        return None
    return f"{100 * part / whole:.1f} %"


def short(text: str, most: int = 400) -> str:
    """One line of a message."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
