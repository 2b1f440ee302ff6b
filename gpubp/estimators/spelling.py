"""How a table spells the classes of an array."""

from __future__ import annotations

import numpy as np

from gpubp.preprocessing.labels import canonical
from gpubp.tables.frames import series_of


def spelled_classes(classes: np.ndarray) -> list[str]:
    """Each class as a table spells it. ValueError where two of them are spelled alike."""
    found = canonical(series_of(classes, "y", "y")).to_list()
    texts = [str(text) for text in found]
    if len({*texts}) < len(texts):
        raise ValueError(f"y has classes that are spelled alike: {', '.join(map(repr, classes.tolist()[:10]))}.")
    return texts
