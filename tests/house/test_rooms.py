"""The house: a package imports from those below it alone, never from one above, and no files of one run in a circle.

Every import counts, also one inside a function or under TYPE_CHECKING: it is the knowledge that points up.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import gpubp.backends
from gpubp.engines.registry import ENGINE_KINDS

PACKAGE = Path(gpubp.backends.__file__).parents[1]

ROOMS = (
    "__main__",
    "cli",
    "doctor",
    "tutorial",
    "sweeping",
    "reporting",
    "estimators",
    "tabular",
    "search",
    "fitting",
    "models",
    "training",
    "engines",
    "networks",
    "operations",
    "backends",
    "preprocessing",
    "tables",
    "storage",
    "errors",
    "_version",
)
"""From the top down: no two stand beside each other, so which of two may know the other is never a question."""


def room(file: Path) -> str:
    """The first part of a file's path within the package."""
    return file.parts[0].removesuffix(".py")


SOURCES = {path.relative_to(PACKAGE): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.mark.parametrize("file", SOURCES, ids=[file.as_posix() for file in SOURCES])
def test_imports_point_down(file: Path) -> None:
    assert complaints(file, SOURCES[file]) == []


def test_no_files_run_in_a_circle() -> None:
    assert circle(SOURCES) is None


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("tables/reading.py", "import gpubp.engines.base", "tables/reading.py:1: tables imports engines, which stands"),
        ("errors/__init__.py", "from gpubp.models.model import Model", "errors imports models, which stands above"),
        ("training/loop.py", "from gpubp import cli", "training/loop.py:1: training imports cli, which stands above"),
        ("operations/dense.py", "from ..training import loop", "operations imports training"),
        ("networks/plan.py", "def f():\n    from gpubp.search import g", "networks/plan.py:2: networks imports search"),
        ("backends/base.py", "if TYPE_CHECKING:\n    from gpubp.models import model", "backends imports models"),
        ("storage/files.py", "import importlib\nimportlib.import_module('gpubp.training')", "storage imports training"),
        ("models/model.py", "from gpubp import MLPClassifier", "import MLPClassifier from the module that defines it"),
        ("models/model.py", "from gpubp.wheels import Wheel", "wheels has no place: give it one in ROOMS"),
        ("wheels.py", "", "wheels has no place: give it one in ROOMS"),
    ],
)
def test_an_import_that_points_up_is_found(file: str, line: str, complaint: str) -> None:
    found = complaints(Path(file), line)
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("cli/fit.py", "from gpubp.estimators import MLPClassifier"),
        ("engines/choose.py", "from .lane.kernel import LaneKernel\nfrom gpubp.engines import arguments"),
        ("models/model.py", "from gpubp import tables\nimport gpubp\nimport numpy.typing"),
        ("__init__.py", "from gpubp.estimators import MLPClassifier"),  # the package's own lazy exports
    ],
)
def test_an_import_that_points_down_passes(file: str, line: str) -> None:
    assert complaints(Path(file), line) == []


@pytest.mark.parametrize("file", [file for file in SOURCES if file.parts[0] != "backends"], ids=str)
def test_no_backend_is_told_by_its_name(file: Path) -> None:
    """What depends on the machine asks for a trait (backends/base.py): a new backend has those to fill in."""
    assert told_by_name(SOURCES[file]) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("if backend.name == 'numpy': pass", [1]),
        ("room = 1 if self.backend.name != other.backend.name else 2", [1]),
        ("x = 0\nfast = plan.backend.name in NAMES", [2]),
        ("size = PANEL[self.backend.name]", [1]),
        ("size = PANEL.get(self.backend.name)", [1]),
        ("def f(backend_name): return backend_name == name", [1]),
        ("if name == 'cupy' or name in ('a', 'numpy'): pass", [1, 1]),
        ("match backend.name:\n    case _: pass", [1]),
        ("SIZES = {'numpy': 1, 'cupy': 2}", [1]),
        ("said = f'on {backend.name}'; result = {'backend': backend.name}; NAMES = ('numpy', 'cupy')", []),
    ],
)
def test_a_backend_told_by_its_name_is_found(line: str, found: list[int]) -> None:
    assert told_by_name(line) == found


ABOVE_ENGINES = [file for file in SOURCES if room(file) in ROOMS[: ROOMS.index("engines")]]


@pytest.mark.parametrize("file", ABOVE_ENGINES, ids=str)
def test_no_engine_is_told_by_its_name(file: Path) -> None:
    """Who wants to know something of an engine asks the registry's entry (engines/base.py)."""
    found = [node.lineno for node in ast.walk(ast.parse(SOURCES[file])) if compares_with(node, {*ENGINE_KINDS})]
    assert found == []


def test_a_circle_is_found() -> None:
    files = {
        "tables/a.py": "from gpubp.tables.b import f",
        "tables/b.py": "def f():\n    from gpubp.tables import c",
        "tables/c.py": "from .a import g",
        "tables/d.py": "from gpubp.tables.a import g",
        "tables/__init__.py": "from gpubp.tables.a import g",
    }
    assert circle({Path(name): text for name, text in files.items()}) == [
        "tables.a",
        "tables.b",
        "tables.c",
        "tables.a",
    ]
    del files["tables/c.py"]
    assert circle({Path(name): text for name, text in files.items()}) is None


def complaints(file: Path, source: str) -> list[str]:
    """What is wrong with the imports of a file (its path within the package), one line each."""
    if file == Path("__init__.py"):
        return []
    importer = room(file)
    if importer not in ROOMS:
        return [f"{file}: {importer} has no place: give it one in ROOMS"]
    found = []
    for line, module, name in imports(file, source):
        imported = (module or name).split(".")[0]
        if not imported or (not module and name == "__version__"):
            continue
        if imported not in ROOMS and not module:
            found.append(f"{file.as_posix()}:{line}: import {name} from the module that defines it")
        elif imported not in ROOMS:
            found.append(f"{file.as_posix()}:{line}: {imported} has no place: give it one in ROOMS")
        elif ROOMS.index(imported) < ROOMS.index(importer):
            found.append(
                f"{file.as_posix()}:{line}: {importer} imports {imported}, which stands above it; move what it needs "
                "down, or pass it in"
            )
    return found


def told_by_name(source: str) -> list[int]:
    """The lines that compare a backend's name, look something up by it, or have a table for the names."""
    names = {"numpy", "cupy"}

    def is_name(node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute) and node.attr == "name":
            return ast.unparse(node.value).endswith("backend")
        return isinstance(node, ast.Name) and node.id == "backend_name"

    def tells(node: ast.AST) -> bool:
        if isinstance(node, ast.Compare):
            return compares_with(node, names) or any(map(is_name, [node.left, *node.comparators]))
        if isinstance(node, ast.Subscript):
            return is_name(node.slice)
        if isinstance(node, ast.Call):
            looks = isinstance(node.func, ast.Attribute) and node.func.attr == "get"
            return looks and any(map(is_name, node.args))
        if isinstance(node, ast.Match):
            return is_name(node.subject)
        return isinstance(node, ast.Dict) and names <= {getattr(key, "value", None) for key in node.keys}

    return [node.lineno for node in ast.walk(ast.parse(source)) if tells(node)]


def compares_with(node: ast.AST, names: set[str]) -> bool:
    """Whether this is a comparison with one of the names, or with several."""
    if not isinstance(node, ast.Compare):
        return False
    parts = [part for side in (node.left, *node.comparators) for part in getattr(side, "elts", [side])]
    return any(isinstance(part, ast.Constant) and part.value in names for part in parts)


def circle(sources: Mapping[Path, str]) -> list[str] | None:
    """Modules of one package of which each imports the next, the last being the first; None where there are none.

    A package's __init__ stands for its whole, and does not count.
    """
    modules = {".".join(file.with_suffix("").parts): file for file in sources if file.name != "__init__.py"}
    graph = {}
    for module, file in modules.items():
        targets = [
            (imported, f"{imported}.{name}" if imported else name) for _, imported, name in imports(file, sources[file])
        ]
        graph[module] = sorted({part for both in targets for part in both if part in modules and part != module})
    done: set[str] = set()

    def walk(path: list[str]) -> list[str] | None:
        for module in graph[path[-1]]:
            if module in path:
                return [*path[path.index(module) :], module]
            if module not in done:
                found = walk([*path, module])
                if found is not None:
                    return found
        done.add(path[-1])
        return None

    for module in sorted(graph):
        found = None if module in done else walk([module])
        if found is not None:
            return found
    return None


def imports(file: Path, source: str) -> Iterator[tuple[int, str, str]]:
    """(line, module below gpubp, name) of every import from the package; name is "" for a module as a whole, and the
    module "" for names of the package itself.
    """
    package = ["gpubp", *file.parts[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            given = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            given = [(module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = [(str(node.args[0].value), "")] if function in ("import_module", "__import__") else []
        else:
            given = []
        for module, name in given:
            root, _, rest = module.partition(".")
            if root == "gpubp":
                yield node.lineno, rest, name
