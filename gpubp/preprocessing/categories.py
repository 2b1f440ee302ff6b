"""A column of categories as inputs of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpubp.preprocessing.columns import Column
from gpubp.preprocessing.labels import canonical, places_among, suggest, told

if TYPE_CHECKING:
    from gpubp.tables import Table


def encode_categories(X: np.ndarray, column: Column, table: Table, name: str, notes: list[str]) -> None:
    """Write the categories' inputs into X (N, inputs of the column), which holds zeros: see `columns.ENCODINGS`, whose
    scaling is to come. `notes` is told what was not recognised.
    """
    texts = canonical(table.frame[name]).to_list()
    index, respelled = places_among({text for text in texts if text is not None}, column.categories)
    unknown = len(column.categories)
    positions = np.array([index.get(text, unknown) for text in texts])
    unseen = [text for text in texts if text is not None and text not in index]
    missing = texts.count(None)
    treatment = "count as missing" if column.tells_missing else "become zeros"
    if respelled:
        notes.append(f"Column {name!r}: taken as training spelled them: {told(respelled)}.")
    if unseen:
        notes.append(
            f"Column {name!r}: {len(unseen)} value(s) not seen in training {treatment}: {suggest(sorted(set(unseen)))}."
        )
    if missing and not column.has_missing:
        notes.append(f"Column {name!r}: {missing} missing value(s) become zeros; training had none.")
    if column.is_signed:
        X[:, 0] = np.array([-1.0, 1.0, 0.0])[positions]
        return
    written = positions < X.shape[1]
    X[np.flatnonzero(written), positions[written]] = 1.0


def encoded_categories(column: Column, table: Table, name: str) -> np.ndarray:
    """(N, inputs of the column), not scaled."""
    found = np.zeros((table.rows, len(column.input_names)))
    encode_categories(found, column, table, name, [])
    return found
