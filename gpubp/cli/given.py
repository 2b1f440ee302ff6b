"""Which options somebody gave, on the command line or in a file: the others have their defaults."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

_given: ContextVar[frozenset[str]] = ContextVar("given", default=frozenset())


def given_options() -> frozenset[str]:
    """Those of the command that is running, by parameter."""
    return _given.get()


def remember(command: Any, ctx: Any) -> None:
    sources = {param.name: ctx.get_parameter_source(param.name) for param in command.params}
    _given.set(frozenset(name for name, source in sources.items() if source is not None and source.name != "DEFAULT"))
