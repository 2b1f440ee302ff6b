"""Values as JSON has them: made plain, read from a text that anybody may have written, and sealed by a checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from gpubp.errors import DataError

SEAL = "sha256"  # of a document: the entry with the checksum of all others
DEEPEST = 60  # lists and objects inside each other: far from where Python's own recursion ends


def plain(value: Any) -> Any:
    """NumPy numbers and arrays as numbers and lists, tuples as lists, what is not a finite number as null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value


def parse(text: str | bytes) -> Any:
    """The value of a JSON text. DataError, with the reason, for anything else, for a name that an object has twice,
    for whole numbers of more than 64 bits, and for more than `DEEPEST` lists and objects inside each other.
    """
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_int=_whole)
    except RecursionError:
        raise DataError("it is no JSON (too many lists and objects inside each other).") from None
    except ValueError as error:
        raise DataError(f"it is no JSON ({error}).") from None
    check_depth(found)
    return found


def check_depth(value: Any) -> None:
    """DataError for more than `DEEPEST` lists and objects inside each other."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise DataError(f"it has more than {DEEPEST} lists and objects inside each other.")


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the checksum of its content: not of how it is written, so that it may be formatted anew."""
    return {**document, SEAL: _checksum(document)}


def unsealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without its checksum; DataError where the content is another. One without a checksum (gpubp 0.1.0
    wrote none) is taken as it is.
    """
    content = {name: value for name, value in document.items() if name != SEAL}
    if SEAL in document and document[SEAL] != _checksum(content):
        raise DataError("its content was changed after it was written: its checksum is another.")
    return content


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"an object has the name {twice!r:.60} twice")
    return found


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**64:
        raise ValueError(f"{text[:20]}… is a whole number of more than 64 bits")
    return int(text)
