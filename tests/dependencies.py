"""What pyproject.toml asks for, what is installed of it, and what gpubp's sources import.

python tests/dependencies.py           the installed versions
python tests/dependencies.py oldest    the same; fails where one is not the oldest that pyproject.toml allows
"""

from __future__ import annotations

import ast
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "gpubp").rglob("*.py"))
STANDARD = {*sys.stdlib_module_names, "tomllib", "compression"}  # which came with Python 3.11 and 3.14
FOR_DEVELOPERS = ("test", "bench", "dev")  # extras that gpubp itself never imports
MODULES = {  # of what may not be installed
    "cupy-cuda12x": ("cupy", "cupyx"),
    "cupy-cuda13x": ("cupy", "cupyx"),
    "cuda-core": ("cuda",),  # packages that share a name
    "cuda-bindings": ("cuda",),
    "cuda-toolkit": ("cuda",),  # the libraries that they load
}
COMMANDS = {"ziglang"}  # started as programs, not imported


@dataclass(frozen=True)
class Import:
    """`import module` (name is None) or `from module import name`, of a package that is not gpubp's."""

    place: str  # file:line
    module: str
    name: str | None

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


@cache
def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def requirements(*extras: str) -> list[Requirement]:
    """gpubp's own, whichever Python they are for; with `extras`, those of these extras instead."""
    listed = [line for extra in extras for line in project()["optional-dependencies"][extra]]
    found = [Requirement(line) for line in (listed if extras else project()["dependencies"])]
    return [requirement for requirement in found if requirement.name != "gpubp"]


def extras() -> list[str]:
    return [*project()["optional-dependencies"]]


def installed(requirement: Requirement) -> Version | None:
    """None where it is not for this Python and this machine, or not there."""
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    try:
        return Version(metadata.version(requirement.name))
    except metadata.PackageNotFoundError:
        return None


def floor(requirement: Requirement) -> Version | None:
    found = [Version(each.version) for each in requirement.specifier if each.operator == ">="]
    return found[0] if found else None


def has_ceiling(requirement: Requirement) -> bool:
    return any(each.operator in ("<", "<=", "~=", "==") for each in requirement.specifier)


def modules_of(requirement: Requirement) -> set[str]:
    """The names under which it is imported."""
    name = canonicalize_name(requirement.name)
    provided = {module for module, of in providers().items() if name in of}
    return provided or {*MODULES.get(name, (name.replace("-", "_"),))}


@cache
def providers() -> dict[str, set[str]]:
    """Of each module that is installed: the packages that brought it."""
    found = {"sklearn": ["scikit-learn"], **metadata.packages_distributions()}  # Python 3.10 does not see it
    return {module: {canonicalize_name(name) for name in names} for module, names in found.items()}


def imports(path: Path) -> Iterator[Import]:
    """Every import of a foreign package in a source file, also inside functions and under TYPE_CHECKING."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for module, name in found:
            each = Import(f"{path.relative_to(ROOT).as_posix()}:{node.lineno}", module, name)
            if each.top != "gpubp" and each.top not in STANDARD:
                yield each


@cache
def nodes(path: Path) -> list[ast.AST]:
    """A source file's syntax tree, every node of it."""
    return [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


def main(arguments: list[str]) -> int:
    asked = {"oldest": True, "": False}["".join(arguments)]
    every = requirements() + requirements("test")
    versions = {each.name: (installed(each), floor(each)) for each in every if installed(each) is not None}
    print(f"python {platform.python_version()};", ", ".join(f"{name} {found}" for name, (found, _) in versions.items()))
    if not asked:
        return 0
    lies = [
        f"{name}: {least} is allowed, {found} is there" for name, (found, least) in versions.items() if found != least
    ]
    if lies:
        print("Floors of pyproject.toml that cannot be had together:", *lies, sep="\n  ")
    return 1 if lies else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
