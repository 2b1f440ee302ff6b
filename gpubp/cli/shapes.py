"""The few shapes that reports are made of: tables, and lists of names with values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gpubp.cli.output import clean

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


LONGEST = 2000  # characters of a cell


def line(text: Any) -> Text:
    from rich.text import Text

    shown = str(text)
    if len(shown) > LONGEST:  # a label can be as long as a book
        shown = f"{shown[:LONGEST]}… ({len(shown):,} characters)"
    return Text(clean(shown), overflow="fold")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, total: Sequence[Any] | None = None) -> Table:
    """Columns whose name ends in ">" are flush right; a row `total` is set off by a rule."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name in columns:
        justify = "right" if name.endswith(">") else "left"
        shown.add_column(line(name.removesuffix(">")), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        shown.add_row(*map(line, row))
    if total is not None:
        shown.add_section()
        shown.add_row(*map(line, total), style="bold")
    return shown


def facts(pairs: Iterable[tuple[str, Any]]) -> Table:
    """Name and value, a line each; those whose value is None are left out."""
    from rich.table import Table

    shown = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            shown.add_row(line(name), line(value))
    return shown


def short(label: Any, most: int = 60) -> str:
    text = str(label)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def percent(share: float, digits: int = 2) -> str:
    return f"{100.0 * share:.{digits}f} %"


def number(value: float | None) -> str:
    """Four significant digits; a dash for what is missing or not a number."""
    return "–" if value is None or value != value else f"{value:.4g}"


def seconds(value: float) -> str:
    return f"{value:.3g} s" if value < 60 else f"{int(value) // 60} min {int(value) % 60} s"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def metrics(report: dict[str, Any]) -> str:
    """The numbers of gpubp.models.metrics in one line."""
    if "r2" in report:
        return f"R² {report['r2']:.4f}, RMSE {number(report['rmse'])}, MAE {number(report['mae'])}"
    return (
        f"accuracy {percent(report['accuracy'])}, log-loss {report['log_loss']:.4f}, macro-F1 {report['macro_f1']:.4f}"
    )
