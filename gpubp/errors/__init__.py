"""Errors that a user can cause and mend.

Each message says what was found, where, and what to do. The command line prints the message alone and exits
with code 2; a traceback therefore always means a defect of gpubp's own.
"""

from __future__ import annotations


class GpubpError(Exception):
    """Base of every expected error."""


class BackendError(GpubpError, RuntimeError):
    """The requested array backend cannot be used here."""


class DataError(GpubpError, ValueError):
    """A table or an array cannot be used as it is."""


class SettingsError(GpubpError, ValueError):
    """A setting, or a combination of settings, makes no sense."""


class ModelFileError(GpubpError, ValueError):
    """A model file cannot be read or written."""


class DivergenceError(GpubpError, ArithmeticError):
    """Training left the finite numbers."""


def quoted(value: object, most: int = 80) -> str:
    """A value for a message, as Python writes it; of a long one, the beginning and the length."""
    if isinstance(value, str) and len(value) > most:
        return f"{value[:most]!r}… ({len(value):,} characters)"
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"
