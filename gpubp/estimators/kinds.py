"""The estimators by name, as files and conversions name them; each enters itself where it is defined."""

from __future__ import annotations

from typing import Any, TypeVar

Kind = TypeVar("Kind", bound=type[Any])

KINDS: dict[str, type[Any]] = {}
"""Those that others are made of first."""


TABULAR: dict[str, type[Any]] = {}
"""Those that are made of an ensemble, and whose files are its."""


def tabular_kind(estimator: Kind) -> Kind:
    """Enter a class of the latter; a decorator."""
    TABULAR[estimator.__name__] = estimator
    return estimator


def kind(estimator: Kind) -> Kind:
    """Enter a class; a decorator."""
    KINDS[estimator.__name__] = estimator
    return estimator
