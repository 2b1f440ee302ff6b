"""Names that other packages do not promise to keep: which ones gpubp uses, that they are there, and an upper bound.

A new version of a package may drop such a name without notice. Then these tests name it and the line that uses it,
before a user meets an ImportError; and pyproject.toml keeps users at the versions that were tried.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import dependencies
import pytest
from dependencies import SOURCES, has_ceiling, imports, modules_of, nodes, providers, requirements
from packaging.version import Version

# Attributes that gpubp's own estimators get from functions beside them (`estimator._state = ...`).
OURS = {"_plateau", "_seed", "_state"}
# Methods and tables that gpubp's classes override, and that scikit-learn calls or reads.
HOOKS = {
    "sklearn.base.BaseEstimator": {"_validate_params"},
    "sklearn.model_selection._search.BaseSearchCV": {"_parameter_constraints", "_run_search"},
    "sklearn.neural_network.MLPClassifier": {"_parameter_constraints"},
}
# Read with a default, since scikit-learn's estimators have them from this version on only.
SINCE = {"_skl_callbacks": "1.9"}


def test_every_private_name_that_is_imported_is_there() -> None:
    assert [each for path in SOURCES for each in missing_imports(path)] == []


def test_one_file_imports_what_scikit_learn_does_not_promise() -> None:
    found = {
        path.name
        for path in SOURCES
        for each in imports(path)
        if each.top == "sklearn" and is_private(each.module, each.name) and "gpubp" in path.parts
    }
    assert found == {"_sklearn.py"}


def test_every_private_attribute_that_is_read_is_there() -> None:
    """On an object of gpubp's, or on one of scikit-learn's that gpubp meets."""
    known = {*OURS, *SINCE, *own_names()}
    foreign = [each for path in SOURCES for each in private_attributes(path) if each[1] not in known]
    lost = [f"{place}: {name} is no name of scikit-learn's any more" for place, name in foreign if not of_sklearn(name)]
    assert lost == []
    assert {"_best_coefs", "_select_best_index"} <= {name for _, name in foreign}


@pytest.mark.parametrize("name", SINCE)
def test_a_name_that_came_later_is_written_by_scikit_learn(name: str) -> None:
    folder = Path(str(import_module("sklearn").__file__)).parent
    written = any(
        name in path.read_text(encoding="utf-8") for path in [*folder.glob("*.py"), *folder.glob("callback/*.py")]
    )
    assert written == (Version(version("scikit-learn")) >= Version(SINCE[name]))


@pytest.mark.parametrize("place", HOOKS)
def test_scikit_learn_still_has_the_hooks(place: str) -> None:
    module, _, name = place.rpartition(".")
    kind = getattr(import_module(module), name)
    assert [hook for hook in sorted(HOOKS[place]) if not hasattr(kind, hook)] == []


def test_packages_with_private_names_have_an_upper_bound() -> None:
    private = {each.top for path in SOURCES for each in imports(path) if is_private(each.module, each.name)}
    assert "sklearn" in private
    bounded = [*requirements(), *requirements("cuda12", "cuda13", "onnx", "plot", "tune")]
    users = [each for each in bounded if modules_of(each) & private]
    assert {each.name for each in users} >= {"scikit-learn"}
    assert [f"{each} uses private names: give it an upper bound" for each in users if not has_ceiling(each)] == []


def test_no_name_is_used_that_cupy_does_not_document() -> None:
    """Of those that have no underscore, and yet are not in its reference."""
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    assert re.findall(r"\bcuda\.(?:compiler|nvrtc|function|cublas|driver)\b(?!\.)|\bcupy_backends\b", text) == []


def test_a_name_that_is_gone_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "ROOT", tmp_path)
    source = tmp_path / "module.py"
    source.write_text(
        "from sklearn.utils._gone import name\nfrom sklearn.base import _fit_context, _gone, clone\n"
        "import numpy as np\nnp._nothing\nx._that\ngetattr(x, '_this', 0)\nself.__dict__\n",
        encoding="utf-8",
    )
    assert [*missing_imports(source)] == [
        "module.py:1: scikit-learn VERSION has no sklearn.utils._gone.name".replace("VERSION", version("scikit-learn")),
        "module.py:2: scikit-learn VERSION has no sklearn.base._gone".replace("VERSION", version("scikit-learn")),
    ]
    assert {name for _, name in private_attributes(source)} == {"_nothing", "_that", "_this"}
    assert not of_sklearn("_nothing")


def is_private(*names: str | None) -> bool:
    parts = [part for name in names if name for part in name.split(".")]
    return any(part.startswith("_") and not part.startswith("__") for part in parts)


def missing_imports(path: Path) -> Iterator[str]:
    """The private names that a file imports from other packages and that are not there, one line each."""
    for each in imports(path):
        if not is_private(each.module, each.name) or (owner := owner_of(each.top)) is None:
            continue
        try:
            module = import_module(each.module)
        except ImportError:
            module = None
        if module is None or (each.name is not None and not hasattr(module, each.name)):
            whole = each.module if each.name is None else f"{each.module}.{each.name}"
            yield f"{each.place}: {owner} {version(owner)} has no {whole}"


def owner_of(module: str) -> str | None:
    """The package that a module comes from; None where it is not installed."""
    return min(providers().get(module, set()), default=None)


def version(package: str) -> str:
    return metadata.version(package)


def private_attributes(path: Path) -> Iterator[tuple[str, str]]:
    """Place and name of each `x._name`, read or written, and of each getattr(x, "_name")."""
    for node in nodes(path):
        name = None
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            name = node.args[1].value if isinstance(node.args[1], ast.Constant) else None
        if isinstance(name, str) and is_private(name):
            yield f"{path.relative_to(dependencies.ROOT).as_posix()}:{node.lineno}", name


def own_names() -> set[str]:
    """What gpubp's modules and classes define, and what their methods set on self."""
    found = set()
    for path in SOURCES:
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found |= {node.attr} if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls") else set()
    return found


def of_sklearn(name: str) -> bool:
    return any(hasattr(each, name) for each in witnesses())


@cache
def witnesses() -> list[Any]:
    """Objects of scikit-learn's of the kinds that gpubp reads."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics._scorer import _MultimetricScorer
    from sklearn.model_selection._search import BaseSearchCV
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier(2, max_iter=1, batch_size=10, early_stopping=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit([[0.0], [1.0]] * 20, [0, 1] * 20)
    return [BaseSearchCV, network, network._optimizer, _MultimetricScorer(scorers={})]
