"""Presets: how much is done for a table, in a word."""

from __future__ import annotations

from dataclasses import dataclass

from gpubp.errors.suggestions import choose


@dataclass(frozen=True)
class Preset:
    """configurations: how many of the portfolio are trained, None for all of them. folds: of the cross-validation, each
    of which gives every configuration a network. picks: how often the ensemble may choose one. seconds: after which
    nothing new is begun, where nobody says; tables as small as those that the portfolio was made with never use them
    up. repeats: of the cross-validation where there are few rows, each with other folds, at most. portfolio: its name,
    see portfolio.py. searches: whether a search goes on from the portfolio's results.
    """

    name: str
    help: str
    configurations: int | None
    folds: int
    picks: int
    seconds: float
    repeats: int = 1
    portfolio: str = "good"
    searches: bool = False


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "fast", "three quick configurations, and the best ensemble of them", None, 5, 10, 60.0, portfolio="fast"
        ),
        Preset("good", "a portfolio of configurations, and the best ensemble of them", 12, 8, 25, 240.0, repeats=3),
        Preset("best", "twice as many, and a search from there on", None, 8, 40, 300.0, repeats=3, searches=True),
    )
}
USUAL = "good"


def preset_of(name: str | Preset) -> Preset:
    """SettingsError, with the nearest name, for an unknown one."""
    return name if isinstance(name, Preset) else choose("preset", name, PRESETS)
