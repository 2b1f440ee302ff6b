"""A search space from the command line: --grid, --range, --set, and a TOML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpubp.cli.toml_files import read_toml
from gpubp.errors import DataError, SettingsError
from gpubp.operations.registry import usual_option
from gpubp.storage.schema import Given

if TYPE_CHECKING:
    from gpubp.search.space.space import Space, When

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
    from gpubp.search.space.ranges import Range
    from gpubp.search.space.space import Space

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
            usual = usual_option(name)
            if option == "--range" and not equals and usual is not None and usual.searched is not None:
                low, high = usual.searched
                given[name] = Range(low, high, log=usual.log)
                continue
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
    from gpubp.search.space.ranges import Range

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
    found = read_toml(path, "search space")
    try:
        given = Given(found)
        conditions = given["when"].items() if "when" in found else []
        entries = {name: value for name, value in given.entries().items() if name != "when"}
        return _entries(entries), tuple(_condition(each) for each in conditions)
    except DataError as error:
        raise SettingsError(f"{path}: {error}") from None


def _condition(given: Given) -> When:
    from gpubp.search.space.space import When

    brought = given.entries()
    asked = brought.pop("if", None)
    if asked is None or not asked.entries() or not brought:
        raise given.wrong(
            "a table with `if`, such as `if = {optimizer = 'sgd'}`, and with the parameters that this brings"
        )
    return When(_entries(asked.entries()), _entries(brought))


def _entries(given: Mapping[str, Given]) -> dict[str, Any]:
    return {name.replace("-", "_"): _entry(value) for name, value in given.items()}


def _entry(given: Given) -> Any:
    from gpubp.search.space.ranges import Range

    if isinstance(given.value, Mapping):
        if not {"low", "high"} <= given.value.keys() <= {"low", "high", "log", "integer"}:
            raise given.wrong("a range, which has low and high, and may have log and integer")
        low, high = (given[name] for name in ("low", "high"))
        flags = {name: given[name].flag() for name in ("log", "integer") if name in given.value}
        for end in (low, high):
            end.number()
        try:
            return Range(low.value, high.value, **flags)
        except SettingsError as error:
            raise DataError(f"{given.place}: {error}") from None
    if isinstance(given.value, list):
        return [each.each(_scalar) if isinstance(each.value, list) else _scalar(each) for each in given.items()]
    return _scalar(given)


def _scalar(given: Given) -> Any:
    if isinstance(given.value, int):
        return given.value if isinstance(given.value, bool) else given.whole(-(2**63))
    if isinstance(given.value, float):
        return given.number()
    if isinstance(given.value, str):
        return given.text()
    raise given.wrong("a number, true or false, a text, or a list of these")
