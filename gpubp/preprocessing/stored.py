"""What a model file says about preprocessing, checked before it is believed: DataError, always a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from gpubp.errors import DataError

T = TypeVar("T", str, int, bool, list, dict)


def entry(metadata: Any, key: str, kind: type[T], what: str) -> T:
    """metadata[key], which must be there and be exactly of the JSON type `kind`."""
    if not isinstance(metadata, Mapping):
        raise DataError(f"The {what} is damaged: it is not a mapping of names to values.")
    value = metadata.get(key)
    if type(value) is not kind:
        raise DataError(f"The {what} is damaged: {key!r} should be of type {kind.__name__}, found {value!r:.60}.")
    return value


def texts(metadata: Any, key: str, what: str) -> tuple[str, ...]:
    """metadata[key], a list of distinct texts."""
    values = entry(metadata, key, list, what)
    if not all(type(value) is str for value in values) or len(set(values)) < len(values):
        raise DataError(f"The {what} is damaged: {key!r} should be a list of different texts.")
    return tuple(values)


def choice(metadata: Any, key: str, allowed: tuple[str, ...], what: str) -> str:
    """metadata[key], one of the `allowed` texts."""
    value = entry(metadata, key, str, what)
    if value not in allowed:
        raise DataError(f"The {what} is damaged: {key!r} is {value!r:.60}, expected one of {', '.join(allowed)}.")
    return value


def array(arrays: Any, key: str, length: int, what: str, *, positive: bool = False) -> np.ndarray:
    """arrays[key] as a copy: float64 (length,), finite, and above zero if `positive`."""
    value = arrays.get(key) if isinstance(arrays, Mapping) else None
    if not isinstance(value, np.ndarray) or value.dtype != np.float64 or value.shape != (length,):
        found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else "nothing"
        raise DataError(f"The {what} is damaged: array {key!r} should be float64 ({length},), found {found}.")
    if not np.isfinite(value).all() or (positive and not (value > 0).all()):
        bounds = "finite numbers above zero" if positive else "finite numbers"
        raise DataError(f"The {what} is damaged: array {key!r} should hold {bounds} only.")
    return value.copy()
