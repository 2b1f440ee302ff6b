"""What others have written down: names, parameters and options of gpubp that may not go without notice.

`python tests/public_names.py` writes today's into fixtures/public_names.json, for whoever means a change.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from json_keys import DOCUMENTED

import gpubp
from gpubp import errors
from gpubp.cli.commands import app

PACKAGE = Path(gpubp.__file__).parent
LIST = Path(__file__).parent / "fixtures" / "public_names.json"
MACROS = {"GPUBP_PROBE"}  # not read from the environment: of C++


def public_names() -> dict[str, list[str]]:
    """One line for each thing that somebody may rely on, by where it is found."""
    return {
        "Python": sorted({*of_package(), *of_errors()}),
        "attributes of fitted estimators": sorted(fitted_attributes()),
        "command line": sorted(of_commands()),
        "keys of --json": sorted(
            f"gpubp {name} {key}: {kind}" for name, keys in DOCUMENTED.items() for key, kind in keys.items()
        ),
        "environment variables": sorted(environment_variables()),
    }


def of_package() -> Iterator[str]:
    for name in gpubp.__all__:
        found = getattr(gpubp, name)
        if inspect.isclass(found):
            yield f"class gpubp.{name}"
            if not issubclass(found, Exception):
                yield from parameters(f"gpubp.{name}", found)
                yield from members(f"gpubp.{name}", found)
        elif callable(found):
            yield f"gpubp.{name}()"
            yield from parameters(f"gpubp.{name}", found)
        else:
            yield f"gpubp.{name}"


def of_errors() -> Iterator[str]:
    """With what they are, since somebody may catch one as the other."""
    for name, found in vars(errors).items():
        if inspect.isclass(found) and issubclass(found, Exception):
            bases = [each.__name__ for each in found.__mro__[1:] if each not in (object, BaseException)]
            yield f"class gpubp.errors.{name}: {', '.join(bases)}"


def parameters(place: str, function: Any) -> Iterator[str]:
    """One line for each, with its place where it may be given by that, and its default."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # of a class without an __init__ of its own
        return
    for i, each in enumerate(each for name, each in signature.parameters.items() if name != "self"):
        number = "" if each.kind == each.KEYWORD_ONLY else f"{i + 1}: "
        default = "" if each.default is each.empty else f"={words(each.default)}"
        yield f"{place}({number}{str(each).partition(':')[0].partition('=')[0].strip()}{default})"


def words(value: object) -> str:
    """A default, without addresses in the memory and without the names of modules."""
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) else re.sub(r"<(?:[\w.]+\.)?(\w+) object at 0x\w+>", r"<\1>", repr(value))


def members(place: str, kind: type) -> Iterator[str]:
    """Of the class and its bases within gpubp: what scikit-learn's have is theirs."""
    for base in kind.__mro__:
        if base.__module__.split(".")[0] != "gpubp":
            continue
        for name in {*vars(base), *inspect.get_annotations(base), *set_in_init(base)}:
            if name.startswith("_") or re.fullmatch(r"set_\w+_request", name):  # the latter are scikit-learn's
                continue
            if callable(getattr(kind, name, None)):
                yield f"{place}.{name}()"
                yield from parameters(f"{place}.{name}", getattr(kind, name))
            else:
                yield f"{place}.{name}"


def set_in_init(kind: type) -> Iterator[str]:
    init = vars(kind).get("__init__")
    if init is None or getattr(init, "__module__", "").split(".")[0] != "gpubp" or not has_source(init):
        return
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(init)))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def has_source(function: Any) -> bool:
    """Not the __init__ that a dataclass has been given."""
    return str(inspect.unwrap(function).__code__.co_filename).endswith(".py")


def fitted_attributes() -> set[str]:
    """Names such as coefs_ that are set anywhere in the package."""
    return {
        node.attr
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and re.fullmatch(r"[a-z]\w*(?<!_)_", node.attr)
    }


def of_commands() -> Iterator[str]:
    """Each command with its arguments and options: names, what they take, default."""
    for command, found in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        yield f"gpubp {command}"
        for each in found.params:
            names = ", ".join([*each.opts, *each.secondary_opts]) if each.param_type_name == "option" else each.name
            takes = "" if getattr(each, "is_flag", False) else f" {each.metavar}"
            takes += " …" if getattr(each, "multiple", False) or each.nargs != 1 else ""
            default = "required" if each.required else f"default {words_of_default(each.default)}"
            yield f"gpubp {command} {names}{takes}: {default}"


def words_of_default(value: Any) -> str:
    return repr(value() if callable(value) else str(value) if isinstance(value, Path) else value)


def environment_variables() -> set[str]:
    sources = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    return {*re.findall(r"\"(GPUBP_[A-Z_]+)\"", sources)} - MACROS


if __name__ == "__main__":
    LIST.write_text(json.dumps(public_names(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
