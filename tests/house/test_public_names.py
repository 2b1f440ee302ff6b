"""Names that others have written down: one that goes, or changes, breaks what they have built on it."""

from __future__ import annotations

import json
from functools import cache

import pytest
from public_names import LIST, public_names, words

LISTED = json.loads(LIST.read_text(encoding="utf-8"))


@cache
def names() -> dict[str, list[str]]:
    """By a test, not where every process collects them: hundreds of files are parsed."""
    return public_names()


@pytest.mark.parametrize("place", LISTED)
def test_no_public_name_has_gone_or_come_unnoticed(place: str) -> None:
    gone, come = sorted({*LISTED[place]} - {*names()[place]}), sorted({*names()[place]} - {*LISTED[place]})
    said = [f"gone (a breaking change): {each}" for each in gone] + [f"new: {each}" for each in come]
    assert said == [], "\n".join([*said, "If it is meant: python tests/public_names.py, and a line in CHANGELOG.md."])


def test_every_kind_of_name_is_listed() -> None:
    assert {*names()} == {*LISTED}
    assert {
        "class gpubp.Model",
        "gpubp.sweep(1: X)",
        "gpubp.sweep(cv=5)",
        "gpubp.Model.predict(1: table)",
        "gpubp.Population.seeds",  # set in __init__
        "gpubp.MLPClassifier.partial_fit(2: y)",  # there for some solvers only
    } <= {*names()["Python"]}
    assert {"coefs_", "t_"} <= {*names()["attributes of fitted estimators"]}


def test_defaults_have_no_addresses() -> None:
    assert words(object()) == "<object>"
    assert words(words) == "words"
