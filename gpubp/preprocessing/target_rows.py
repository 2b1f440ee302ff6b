"""The rows of a table that have a target, and texts in the target column of which nobody knows what they mean."""

from __future__ import annotations

import numpy as np

from gpubp.errors import DataError, quoted
from gpubp.tables import Table

DOUBTED = 20
"""Of so many rows one that says NA is enough to ask whether that is a class."""


def with_target(
    table: Table, name: str, strict: bool | None = None
) -> tuple[Table, np.ndarray | None, tuple[str, ...]]:
    """(the rows of the table that have a value in the target column, which these are or None for all, notes).

    DataError where none has one; with `strict`, where any has none. strict None: there is no such choice.
    """
    missing = table.frame[name].is_null().to_numpy()
    if not missing.any():
        return table, None, ()
    other = "" if strict is None else " Name another column by --target."
    if missing.all():
        raise DataError(
            f"{table.source}: {quoted(name)}, the target, has no value on any of {table.rows:,} rows.{other}"
        )
    lost = np.flatnonzero(missing).tolist()
    have, they_are, them = ("has", "it is", "it") if len(lost) == 1 else ("have", "they are", "them")
    said = f"{len(lost):,} of {table.rows:,} rows {have} no value in {quoted(name)} ({table.places(lost)})"
    if strict:
        raise DataError(
            f"{table.source}: {said}. Fill {them} in or remove {them}; without --strict {they_are} left out."
        )
    kept = np.flatnonzero(~missing)
    hint = "" if strict is None else f"; --strict refuses {them} instead"
    return table.take(kept), kept, (f"{said}: {they_are} left out{hint}.",)


def refuse_doubtful(table: Table, name: str) -> None:
    """DataError where a text that usually means a missing value looks like a class: it is as frequent as another one,
    and nobody has said what it means.
    """
    from gpubp.tables.markers import DOUBTFUL

    column, reading = table.frame[name], table.reading
    if reading is None or table.markers is None or column.dtype.is_numeric() or column.dtype.is_temporal():
        return
    missing = next((each.missing for each in reading.columns if each.name == name), {})
    found = {text: count for text, count in missing.items() if text in DOUBTFUL - table.markers.named}
    classes = column.drop_nulls().value_counts()["count"]
    if not found or not len(classes):
        return
    text = max(found, key=lambda each: found[each])
    if found[text] * DOUBTED >= table.rows and found[text] >= int(classes.min()):  # type: ignore[arg-type]
        raise DataError(
            f"{table.source}: {quoted(text)} stands in the target column {quoted(name)} on {found[text]:,} of "
            f"{table.rows:,} rows. It usually means a missing value, and may be a class here: say --not-missing={text} "
            f"if it is one, --missing={text} to leave these rows out."
        )
