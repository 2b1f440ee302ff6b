"""The house: a module imports from its own floor and from those below, never from above.

Every import counts, also one inside a function or under TYPE_CHECKING: it is the knowledge that points up.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpubp.backends

PACKAGE = Path(gpubp.backends.__file__).parents[1]

FLOORS = (
    {
        "errors",
        "suggestions",
        "files",
        "locks",
        "turns",
        "array_files",
        "json_values",
        "schema",
        "datasets",
        "tables",
        "preprocessing",
        "metrics",
        "backends",
    },
    {"kernels"},
    {"initializers", "population", "sampling", "splits"},
    {"training"},
    {"model", "recipe", "baselines", "onnx_export", "dataset"},
    {"fitting", "estimators", "tutorial", "cross_validation", "sweeping", "ensemble", "ensemble_fitting", "reporting"}
    | {"doctor"},
    {"cli", "__main__"},
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=[path.relative_to(PACKAGE).as_posix() for path in SOURCES])
def test_imports_point_down(path: Path) -> None:
    assert complaints(path.relative_to(PACKAGE), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        (
            "tables/reading.py",
            "import gpubp.kernels.engines",
            "tables/reading.py:1: floor 0 imports kernels of floor 1",
        ),
        ("errors.py", "from gpubp.model import Model", "errors.py:1: floor 0 imports model of floor 4"),
        ("training/loop.py", "from gpubp import cli", "training/loop.py:1: floor 3 imports cli of floor 6"),
        ("kernels/reference/dense.py", "from ...training import fit", "floor 1 imports training of floor 3"),
        ("kernels/__init__.py", "from ..sampling import folds", "floor 1 imports sampling of floor 2"),
        ("population.py", "def f():\n    from gpubp.sweeping import g", "population.py:2: floor 2 imports sweep"),
        ("backends/base.py", "if TYPE_CHECKING:\n    from gpubp.model import Model", "floor 0 imports model"),
        ("metrics.py", "import importlib\nimportlib.import_module('gpubp.training')", "floor 0 imports training"),
        ("model.py", "from gpubp import MLPClassifier", "import MLPClassifier from the module that defines it"),
        ("model.py", "from gpubp.wheels import Wheel", "wheels has no floor: give it one in FLOORS"),
        ("wheels.py", "", "wheels has no floor: give it one in FLOORS"),
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
        ("kernels/engines.py", "from .reference.dense import dense_forward\nfrom gpubp.kernels import native"),
        ("tables/__init__.py", "from gpubp.preprocessing import encode"),  # the same floor
        ("model.py", "from gpubp import training, __version__\nimport gpubp\nimport numpy.typing"),
        ("__init__.py", "from gpubp.estimators import MLPClassifier"),  # the package's own lazy exports
    ],
)
def test_an_import_that_points_down_passes(file: str, line: str) -> None:
    assert complaints(Path(file), line) == []


def complaints(file: Path, source: str) -> list[str]:
    """What is wrong with the imports of a file (its path within the package), one line each."""
    if file == Path("__init__.py"):
        return []
    importer = file.parts[0].removesuffix(".py")
    if importer not in FLOOR_OF:
        return [f"{file}: {importer} has no floor: give it one in FLOORS"]
    found = []
    for line, imported in imports(file, ast.parse(source)):
        if imported not in FLOOR_OF:
            remedy = "has no floor: give it one in FLOORS"
            if imported.startswith("gpubp:"):
                imported = imported.removeprefix("gpubp:")
                remedy = f"is the package's: import {imported} from the module that defines it"
            found.append(f"{file.as_posix()}:{line}: {imported} {remedy}")
        elif FLOOR_OF[imported] > FLOOR_OF[importer]:
            found.append(
                f"{file.as_posix()}:{line}: floor {FLOOR_OF[importer]} imports {imported} of floor "
                f"{FLOOR_OF[imported]}; move what it needs down, or pass it in"
            )
    return found


def imports(file: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and top module (the part after `gpubp.`) of every import from the package; see `top_modules`."""
    package = ["gpubp", *file.parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from ((node.lineno, top) for top in top_modules(alias.name, []))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, top) for top in top_modules(module, [alias.name for alias in node.names]))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in ("import_module", "__import__"):
                yield from ((node.lineno, top) for top in top_modules(str(node.args[0].value), []))


def top_modules(module: str, names: list[str]) -> Iterator[str]:
    """["kernels"] for `gpubp.kernels.engines`; of `from gpubp import x`, x if it is a module, else "gpubp:x"."""
    root, *rest = module.split(".")
    if root != "gpubp":
        return
    if rest:
        yield rest[0]
    for name in names if not rest else []:
        if name in FLOOR_OF:
            yield name
        elif name != "__version__":
            yield f"gpubp:{name}"
