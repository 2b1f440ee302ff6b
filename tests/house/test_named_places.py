"""A file, or a part of gpubp, that a comment, a document or a setting names is there; and C++ lines have an end.

A reader who looks for what is named should find it, also after a move.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATTERNS = ("*.md", "pyproject.toml", ".ci/*", "data/*.md", "docs/**/*.md", "scripts/**/*.py")
CODE = ("gpubp/**/*.py", "gpubp/**/*.h", "tests/**/*.py", "tests/**/*.h", "tests/**/*.cpp", "tests/**/*.cu")
WITHOUT = ("CHANGELOG.md", "test_named_places.py", "test_rooms.py")  # the past; files that name invented ones
FILES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for pattern in (*PATTERNS, *CODE)
    for path in sorted(ROOT.glob(pattern))
    if path.is_file() and path.name not in WITHOUT
}
FOLDERS = "docs|tests|scripts|gpubp|examples|data|\\.ci"
PATH = re.compile(rf"(?<![\w./:<>{{}}*-])((?:{FOLDERS})/[\w./*-]*[\w*/-])(?![\w{{<])")
TEST = re.compile(r"(?<![\w./-])(test_\w+\.py)\b")
DOTTED = re.compile(r"(?<![\w./@-])gpubp((?:\.[a-zA-Z]\w*)+)")  # gpubp.training.loop.train, wherever it stands
LONG = re.compile(r"(?<![\w./-])((?:[a-z]\w*\.){2,}[A-Za-z]\w*)")  # training.loop.train, in prose

INVENTED = {
    "docs/lab/gpu-h100.md": "written by a command that is shown",
    "docs/lab/gpu-NAME.md": "NAME is the reader's",
    "gpubp/data/wheat-seeds.csv": "in a wheel alone",
    "gpubp/data/README.md": "in a wheel alone",
    "gpubp.cu": "what NVRTC calls a source",
    "gpubp.sh": "written by a shell",
    "gpubp.magic": "an invented format",
    "gpubp.arguments": "a key of click's context",
    "test_three.py": "written by a test",
    "test_unimportable.py": "written by a test",
}
"""What is not meant to be there, and why."""


def test_what_is_named_is_there() -> None:
    found = [each for file, text in FILES.items() for each in missing(file, text)]
    assert [each for each in found if each.split(": ")[1] not in INVENTED] == []


def test_what_is_invented_is_named_somewhere() -> None:
    everything = "\n".join(FILES.values())
    assert [name for name in INVENTED if name not in everything] == []


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("a.h", "// see\n// tests/test_gone.py.", ["a.h:2: tests/test_gone.py"]),
        ("a.md", "[page](docs/gone.md)", ["a.md:1: docs/gone.md"]),
        ("a.toml", "# ours: test_gone.py", ["a.toml:1: test_gone.py"]),
        ("a.md", "`gpubp.models.gone`", ["a.md:1: gpubp.models.gone"]),
        ("a.md", "gpubp.models.model.Gone", ["a.md:1: gpubp.models.model.Gone"]),
        ("gpubp/a.py", "x = 1  # of kernels.fused.FusedKernel", ["gpubp/a.py:1: kernels.fused.FusedKernel"]),
        ("gpubp/a.py", 'def f():\n    """See training.loop.gone."""', ["gpubp/a.py:2: training.loop.gone"]),
        ("gpubp/a.py", 'def f():\n    """See training.loop.train."""\n    a.b.c.d()', []),
        ("a.md", "docs/, tests/*.py; https://x.org/docs/gone.md; gpubp.models.model.Model, gpubp.Model.save", []),
    ],
)
def test_what_is_gone_is_found(file: str, text: str, found: list[str]) -> None:
    assert [*missing(file, text)] == found


def test_no_line_of_cpp_is_longer_than_those_of_python() -> None:
    cpp = {file: text for file, text in FILES.items() if file.endswith((".h", ".cpp", ".cu"))}
    lines = [(f"{file}:{number}", line) for file in cpp for number, line in enumerate(cpp[file].splitlines(), 1)]
    assert len(lines) > 1000
    assert [place for place, line in lines if len(line) > 120] == []


def missing(file: str, text: str) -> Iterator[str]:
    """What the file names and nothing is, each as "file:line: name"."""

    def told(at: int, name: str) -> str:
        return f"{file}:{text.count(chr(10), 0, at) + 1}: {name}"

    for found in PATH.finditer(text):
        if not any(ROOT.glob(found[1])):
            yield told(found.start(1), found[1])
    for found in TEST.finditer(text):
        if found[1] not in files_of_tests():
            yield told(found.start(1), found[1])
    for found in DOTTED.finditer(text):
        if not is_there(found[1][1:], (ROOT / "gpubp",)):
            yield told(found.start(), found[0])
    if not file.startswith("gpubp/") or not file.endswith(".py"):
        return
    for line, prose in comments(text):
        for found in LONG.finditer(prose):
            if found[1].split(".")[0] not in FOREIGN and not is_there(found[1], packages()):
                yield f"{file}:{line + prose.count(chr(10), 0, found.start())}: {found[1]}"


FOREIGN = {"ai", "concurrent", "cupy", "dask", "gpubp", "numpy", "os", "polars", "scipy", "sklearn"}
"""Where names begin that are not gpubp's, or that DOTTED finds."""


def comments(source: str) -> Iterator[tuple[int, str]]:
    """The line and text of each comment and of each docstring, those of variables too."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def is_there(dotted: str, bases: tuple[Path, ...]) -> bool:
    """Whether a name such as training.loop.train leads, from a folder, to a module or to a name bound in one."""
    return any(leads(base, dotted.split(".")) for base in bases)


def leads(base: Path, parts: list[str]) -> bool:
    if not parts:
        return True
    if (base / parts[0]).is_dir():
        return leads(base / parts[0], parts[1:])
    inside = base / f"{parts[0]}.py"
    module, names = (inside, parts[1:]) if inside.exists() else (base / "__init__.py", parts)
    return not names or names[0] in bound(module)


@cache
def bound(module: Path) -> frozenset[str]:
    """The names that a module's statements bind, in its functions and classes too."""
    found = {"__file__"}
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if module.exists() else ():
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return frozenset(found)


@cache
def packages() -> tuple[Path, ...]:
    """gpubp's folders, in which a name may begin."""
    return (ROOT / "gpubp", *(path for path in (ROOT / "gpubp").rglob("*") if path.is_dir()))


@cache
def files_of_tests() -> frozenset[str]:
    return frozenset(path.name for path in (ROOT / "tests").rglob("test_*.py"))
