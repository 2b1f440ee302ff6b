"""gpubp's engines as contenders."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.contest import OURS
from gpubp.engines.registry import ENGINES
from gpubp.errors import BackendError, SettingsError


def served_by(auto: bool = False) -> list[tuple[str, str]]:
    """(contender, engine) for each engine there is; auto: and for the choice between them."""
    return [(f"{OURS} {engine}", engine) for engine in ENGINES if auto or engine != "auto"]


def refusal(attempt: Callable[[], object]) -> str | None:
    """Why an engine cannot do it here; None if it can."""
    try:
        attempt()
    except (BackendError, SettingsError) as error:
        return str(error)
    return None
