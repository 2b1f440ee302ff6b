"""docs/reference/command-line.md lists the keys of every --json: those that the commands really give, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import numbers_table, succeeds, write
from json_keys import DOCUMENTED

from gpubp.backends import kernel_cache
from gpubp.doctor import BackendState, Check, Diagnosis

QUICK = ("--epochs", 2, "--engine", "array")


def keys(value: Any, maps: set[str], place: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with its value; those of an object within are `outer.inner`, in a list `outer[].inner`. What the page
    calls a map is not looked into: its names are those of the table, of a recipe, of a machine.
    """
    if isinstance(value, dict) and place not in maps:
        for name, inner in value.items():
            key = f"{place}.{name}" if place else name
            yield key, inner
            yield from keys(inner, maps, key)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict):
                yield from keys(inner, maps, f"{place}[]")


def fits(value: Any, kind: str) -> bool:
    kinds: dict[str, Callable[[Any], bool]] = {
        "text": lambda each: isinstance(each, str),
        "number": lambda each: isinstance(each, (int, float)) and not isinstance(each, bool),
        "whole": lambda each: isinstance(each, int) and not isinstance(each, bool),
        "true/false": lambda each: isinstance(each, bool),
        "list": lambda each: isinstance(each, list),
        "object": lambda each: isinstance(each, dict),
        "map": lambda each: isinstance(each, dict),
        "null": lambda each: each is None,
    }
    return any(kinds[name.split(" of ")[0]](value) for name in kind.split(" or "))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What the commands print, several times where it depends on the task."""
    folder = tmp_path_factory.mktemp("json")
    table = numbers_table(folder / "classes.csv")
    values = write(
        folder / "values.csv", table.read_text().replace("kind", "z").replace(",a", ",1.5").replace(",b", ",2.25")
    )
    codes = write(folder / "codes.csv", table.read_text().partition("\n")[2].replace(",a", ",1").replace(",b", ",2"))
    model, regression, team, runs = (folder / name for name in ("model", "regression", "team", "runs"))
    regress = (values, "--task", "regression", *QUICK)

    def json(*arguments: object) -> Any:
        return succeeds(*arguments, "--json", "--quiet").json

    preset = ("--preset", "fast", "--engine", "array")
    sweep = ("--trials", 2, "--folds", 2, "--engine", "array", "--set", "epochs=2")
    return {
        "train": [
            json("train", table, *preset, "-o", folder / "best"),
            json("train", values, "--task", "regression", *preset, "-o", folder / "best"),
        ],
        "train --hidden N": [
            json("train", table, *QUICK, "--validation", 0.3, "-o", model),
            json("train", *regress, "--validation", 0.3, "-o", regression),
        ],
        "train --members N": [
            json("train", table, *QUICK, "--members", 2, "--validation", 0.3, "-o", team),
            json("train", *regress, "--members", 2, "--validation", 0.3, "-o", folder / "other"),
        ],
        "predict": [
            json("predict", model, table, "-p"),
            json("predict", team, table),
            json("predict", regression, values),
        ],
        "evaluate": [json("evaluate", each, of) for each, of in ((model, table), (regression, values), (team, table))],
        "cross-validate": [
            json("cross-validate", table, *QUICK, "--folds", 2),
            json("cross-validate", *regress, "--folds", 2),
        ],
        "sweep": [json("sweep", table, *sweep, "-o", runs), json("sweep", values, "--task", "regression", *sweep)],
        "describe": [json("describe", table), json("describe", values)],
        "report": [json("report", runs)],
        "show": [json("show", model), json("show", regression)],
        "show (an ensemble)": [json("show", team)],
        "explain": [json("explain", table, *QUICK)],
        "case-study": [json("case-study", codes, "--engine", "array")],
    }


def compare(heading: str, outcomes: list[Any]) -> None:
    page = DOCUMENTED[heading]
    maps = {key for key, kind in page.items() if "map" in kind}
    found = [pair for outcome in outcomes for pair in keys(outcome, maps)]
    assert {key for key, _ in found} == set(page)
    for key, value in found:
        assert fits(value, page[key]), f"{heading}: {key} is no {page[key]}: {value!r:.60}"


def test_the_keys_of_tables_and_models(given: dict[str, list[Any]]) -> None:
    for heading, outcomes in given.items():
        compare(heading, outcomes)


def test_the_keys_of_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    state, check = BackendState("numpy", True, "a CPU", 1, 2), Check("sums", "numpy", True, 0.0, 1e-6, 0.1)
    found = Diagnosis({"python": "3"}, "Linux", (state,), "c++", "works", "/cache", "/data", (check,))
    monkeypatch.setattr("gpubp.doctor.examine", lambda *asked: found)
    compare("doctor", [succeeds("doctor", "--json", "--quiet").json])


def test_the_keys_of_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = kernel_cache.CacheEntry("key", Path("library"), 100, "c++", (), {"SIZES": "2,3,1"}, 0.0, 1.5)
    monkeypatch.setattr(kernel_cache, "cache_entries", lambda: [entry])
    monkeypatch.setattr(kernel_cache, "clear_cache", lambda: (2, 100))
    compare("cache", [succeeds("cache", "--json").json])
    compare("cache --clear", [succeeds("cache", "--clear", "--json").json])


def test_every_command_is_there(given: dict[str, list[Any]]) -> None:
    assert set(DOCUMENTED) == {*given, "doctor", "cache", "cache --clear"}
