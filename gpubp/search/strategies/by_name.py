"""Strategies by their names."""

from __future__ import annotations

from typing import Any

from gpubp.errors import SettingsError
from gpubp.errors.suggestions import check_choice
from gpubp.search.strategies.strategies import Grid, Halving, Random, Strategy
from gpubp.search.strategies.tpe import TPE


def strategy_of(given: Any) -> Strategy:
    """By its name, with its defaults; or as it is."""
    if not isinstance(given, str):
        if not all(hasattr(given, part) for part in ("name", "count", "run")) or isinstance(given, type):
            raise SettingsError(f"strategy {given!r:.60}: give grid, random, halving, tpe, or one of their objects.")
        found: Strategy = given
        return found
    if given == "tpe":
        return TPE()
    named: dict[str, Strategy] = {"grid": Grid(), "random": Random(), "halving": Halving()}
    check_choice("strategy", given, (*named, "tpe"))
    return named[given]
