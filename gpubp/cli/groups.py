"""Options that several commands share: a dataclass as a parameter stands for all of its fields.

    @dataclass(frozen=True)
    class TableOptions:
        table: Annotated[str, typer.Argument(...)]
        separator: Annotated[str | None, typer.Option(...)] = None

    def evaluate(source: TableOptions, ...) -> None: ...

`grouped(evaluate)` is the function that Typer sees: it has the parameters `table` and `separator` instead of `source`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def grouped(command: Callable[..., None], also: Any = None) -> Callable[..., None]:
    """`command`, with each parameter that is annotated with a dataclass replaced by that dataclass's fields.

    The fields of `also`, a dataclass too, are parameters as well, and kept from the command.
    """
    # not get_type_hints: before Python 3.11 it hides the Annotated of a parameter whose default is None
    hints = inspect.get_annotations(command, eval_str=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

    @wraps(command)
    def flat(**given: Any) -> None:
        for field in () if also is None else fields(also):
            given.pop(field.name, None)
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    parameters = [*_parameters(command, hints, groups), *(() if also is None else _of_group(also))]
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


def _parameters(
    command: Callable[..., None], hints: dict[str, Any], groups: dict[str, Any]
) -> Iterator[inspect.Parameter]:
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            yield _keyword(name, parameter.default, hints[name])
            continue
        yield from _of_group(groups[name])


def _of_group(group: Any) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        yield _keyword(field.name, _default(field), hints[field.name])


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    """By keyword only, so that parameters with and without defaults may come in any order."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _default(field: Field[Any]) -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default
