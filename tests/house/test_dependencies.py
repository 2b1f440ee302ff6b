"""pyproject.toml is true: what gpubp imports is declared, what is declared is used, within bounds that are kept."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import dependencies
import pytest
from dependencies import COMMANDS, FOR_DEVELOPERS, SOURCES, Import, imports, modules_of, nodes, requirements
from packaging.requirements import Requirement
from packaging.version import Version

EXTRAS = [extra for extra in dependencies.extras() if extra not in FOR_DEVELOPERS]
OURS = requirements() + requirements(*EXTRAS)
EVERYTHING = OURS + requirements(*FOR_DEVELOPERS)


@cache
def imported() -> list[Import]:
    """By a test, not where every process collects them: hundreds of files are parsed."""
    return [each for path in SOURCES for each in imports(path)]


def test_every_import_is_of_a_declared_dependency() -> None:
    declared = set().union(*map(modules_of, OURS))
    strangers = [each for each in imported() if each.top not in declared]
    assert [f"{each.place}: {each.top} is no dependency in pyproject.toml" for each in strangers] == []


def test_every_declared_dependency_is_used() -> None:
    used = {each.top for each in imported()} | (COMMANDS & strings())
    assert [str(requirement) for requirement in OURS if not modules_of(requirement) & used] == []


def test_every_dependency_has_a_floor() -> None:
    assert [str(requirement) for requirement in EVERYTHING if dependencies.floor(requirement) is None] == []


def test_what_is_installed_lies_within_the_bounds() -> None:
    installed = [(each, dependencies.installed(each)) for each in EVERYTHING]
    outside = [f"{each}: {found}" for each, found in installed if found is not None and not allowed(each, found)]
    assert outside == []
    assert len([found for _, found in installed if found is not None]) > 20


def test_one_package_has_the_same_bounds_in_every_extra() -> None:
    bounds: dict[tuple[str, str], set[str]] = {}
    for each in requirements() + requirements(*{*dependencies.extras()} - {"cuda12"}):  # of two CUDAs one is taken
        bounds.setdefault((each.name, str(each.marker)), set()).add(str(each.specifier))
    assert {name: found for (name, _), found in bounds.items() if len(found) > 1} == {}


def test_imports_are_found_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "ROOT", tmp_path)
    source = tmp_path / "module.py"
    source.write_text(
        "import json, numpy.linalg\nfrom gpubp import errors\nfrom . import near\n"
        "def f():\n    from sklearn.base import _fit_context\n",
        encoding="utf-8",
    )
    assert [*imports(source)] == [
        Import("module.py:1", "numpy.linalg", None),
        Import("module.py:5", "sklearn.base", "_fit_context"),
    ]


def allowed(requirement: Requirement, version: Version) -> bool:
    return requirement.specifier.contains(version, prereleases=True)


@cache
def strings() -> set[str]:
    """Every string that stands in gpubp's sources, docstrings included."""
    found = (node for path in SOURCES for node in nodes(path))
    return {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}
