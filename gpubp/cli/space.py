"""A search space from the command line: --grid, --range, --set, and a TOML file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpubp.errors import SettingsError

if TYPE_CHECKING:
    from gpubp.sweeping.space import Space, When

DEFAULT: dict[
    str, Any
] = {  # of a sweep that varies nothing: what matters most, around the values that suit a middling table
    "hidden": [(8,), (16,), (32,), (64,), (32, 32)],
    "learning_rate": (1e-4, 1e-1),
    "l2": (1e-6, 1e-1),
    "epochs": 100,
}
WORDS = {"true": True, "false": False, "none": None}


def space_of(file: Path | None, grids: Sequence[str], ranges: Sequence[str], fixed: Sequence[str]) -> Space:
    """The options win over the file; of the options, none may name a parameter twice. SettingsError says what is wrong
    with which of them.
    """
    from gpubp.sweeping.ranges import Range
    from gpubp.sweeping.space import Space

    entries, conditions = ({}, ()) if file is None else _read(file)
    given: dict[str, Any] = {}
    options: tuple[tuple[str, Sequence[str], Callable[[str, str, str], Any]], ...] = (
        ("--grid", grids, _choices),
        ("--range", ranges, _range),
        ("--set", fixed, _value),
    )
    for option, texts, parse in options:
        for text in texts:
            name, equals, value = text.partition("=")
            name = name.strip().replace("-", "_")
            if not equals or not name or not value.strip():
                raise SettingsError(f"{option} {text!r}: expected NAME=…, such as {EXAMPLES[option]}.")
            if name in given:
                raise SettingsError(f"{option} {text!r}: {name} is given twice.")
            given[name] = parse(f"{option} {text!r}", name, value.strip())
    if file is None and not grids and not ranges:  # nothing is said about what to vary
        entries = {
            name: Range(default[0], default[1], log=True) if isinstance(default, tuple) else default
            for name, default in DEFAULT.items()
        }
    return Space(entries | given, *conditions)


EXAMPLES = {"--grid": "hidden=8;16;32,32", "--range": "learning-rate=1e-4:1:log", "--set": "epochs=50"}


def _choices(where: str, name: str, text: str) -> list[Any]:
    parts = [part.strip() for part in text.split(";")]
    if not all(parts):
        raise SettingsError(f"{where}: an empty choice; choices are separated by semicolons, as in hidden=8;16;32,32.")
    return [_value(where, name, part) for part in parts]


def _range(where: str, name: str, text: str) -> Any:
    from gpubp.sweeping.ranges import Range

    low, _, rest = text.partition(":")
    high, *kinds = rest.split(":")
    kinds = [kind.strip() for kind in kinds]
    try:
        first, last = float(low), float(high)
    except ValueError:
        raise SettingsError(f"{where}: expected LOW:HIGH, LOW:HIGH:log or LOW:HIGH:int, such as 1e-4:1:log.") from None
    if not set(kinds) <= {"log", "int"}:
        raise SettingsError(f"{where}: after LOW:HIGH there may be log and int, and this is {':'.join(kinds)!r}.")
    whole = "int" in kinds or (name in ("hidden", "epochs", "batch_size", "patience") and "." not in text)
    try:
        return Range(first, last, log="log" in kinds, integer=whole)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from None


def _value(where: str, name: str, text: str) -> Any:
    """A number, true, false, none, a name; several separated by commas are a tuple: one for each hidden layer."""
    if name == "hidden" and text.lower() == "none":
        return ()
    if "," in text:
        return tuple(_value(where, name, part.strip()) for part in text.split(","))
    if name == "batch_size" and text.lower() == "all":
        return None
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _read(path: Path) -> tuple[dict[str, Any], tuple[When, ...]]:
    """A table of parameters: a list is choices, {low, high, log, integer} a range, anything else a fixed value; of
    hidden layers a list of lists is choices, and each list one network's. [[when]]: parameters that a configuration has
    only under the condition `if`, a table of values.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"There is no search space file {path}.") from None
    except OSError as error:
        raise SettingsError(f"Cannot read the search space {path}: {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no TOML: {error}.") from None
    given = found.pop("when", [])
    if not isinstance(given, list) or not all(isinstance(each, Mapping) for each in given):
        raise SettingsError(f"{path}: conditions are written as [[when]], with `if = {{optimizer = 'sgd'}}` in each.")
    return _entries(path, found), tuple(_condition(path, each) for each in given)


def _condition(path: Path, given: Mapping[str, Any]) -> When:
    from gpubp.sweeping.space import When

    brought = {name: value for name, value in given.items() if name != "if"}
    if not isinstance(given.get("if"), Mapping) or not given["if"] or not brought:
        raise SettingsError(
            f"{path}: a [[when]] has a table `if`, such as `if = {{optimizer = 'sgd'}}`, and parameters that it "
            f"brings; found {', '.join(given) or 'nothing'}."
        )
    return When(_entries(path, given["if"]), _entries(path, brought))


def _entries(path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("-", "_"): _entry(path, name, value) for name, value in given.items()}


def _entry(path: Path, name: str, value: Any) -> Any:
    from gpubp.sweeping.ranges import Range

    if isinstance(value, Mapping):
        unknown = value.keys() - {"low", "high", "log", "integer"}
        if unknown or not {"low", "high"} <= value.keys():
            raise SettingsError(
                f"{path}: {name} is a range, and takes low, high, log and integer; found {', '.join(value)}."
            )
        try:
            return Range(**value)
        except SettingsError as error:
            raise SettingsError(f"{path}: {name}: {error}") from None
    if isinstance(value, list):
        return [tuple(each) if isinstance(each, list) else each for each in value]
    return value
