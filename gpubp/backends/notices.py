"""Warnings of what this machine lacks, each once in a process."""

from __future__ import annotations

import warnings

_said: set[str] = set()


def warn_once(text: str) -> None:
    """A UserWarning, unless this text was said before, whatever the warning filters are."""
    if text not in _said:
        _said.add(text)
        warnings.warn(text, UserWarning, stacklevel=3)
