"""What stands behind the options of a recipe, as Python values; SettingsError for what cannot be read."""

from __future__ import annotations

from collections.abc import Sequence

from gpubp.errors import SettingsError


def sizes(text: str) -> tuple[int, ...]:
    if text.strip().lower() == "none":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--hidden {text!r}: give whole numbers such as 64 or 128,64, or none.") from None


def shares(text: str) -> float | tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--dropout {text!r}: give shares such as 0.2, or 0.3,0.1 for two hidden layers.") from None
    return found if len(found) > 1 else found[0]


def patience(text: str) -> int | None:
    """None for infinity."""
    if text.strip().lower() == "inf":
        return None
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"--patience {text!r}: give a whole number such as 10, or inf.") from None


def batch_size(text: str) -> int | None:
    if text.strip().lower() == "all":
        return None
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"--batch-size {text!r}: give a whole number such as 32, or all.") from None


def numbers(option: str, given: Sequence[str] | None) -> dict[str, float]:
    """["a=1", "b=2"] as a mapping."""
    found: dict[str, float] = {}
    for item in given or ():
        name, _, value = (part.strip() for part in item.partition("="))
        name = name.replace("-", "_")
        try:
            number = float(value)
        except ValueError:
            raise SettingsError(f"{option} {item!r}: expected NAME=NUMBER, such as beta1=0.9.") from None
        if name in found:
            raise SettingsError(f"{option} {name} is given twice.")
        found[name] = number
    return found
