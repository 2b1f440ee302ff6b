"""Files of arrays with a description: safetensors, with JSON in its metadata. Reading one executes nothing.

The description begins with a checksum of everything: of the names, types, shapes and numbers of the arrays, and of the
rest of the description, to the letter. Files of gpubp 0.1.0 have none, and are read as they are.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.errors import DataError, ModelFileError
from gpubp.storage.files import write_whole
from gpubp.storage.json_values import parse

KEY = "gpubp"  # of the metadata's entry, the description
SEAL = '{"sha256": "'  # what a description with a checksum begins with
DTYPES = {
    "BOOL": "bool",
    **{f"{sign}{bits}": f"{kind}{bits}" for sign, kind in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)},
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
}
"""Types of safetensors that NumPy has, too: no float8, no bfloat16, no complex numbers."""


def write_array_file(
    path: str | Path,
    tensors: Mapping[str, np.ndarray],
    description: Mapping[str, Any],
    alone: bool = False,
    finite: bool = False,
) -> None:
    """Whole or not at all. description: JSON values by name; floats come back as they were, NaN included.
    finite: NaN and infinity are refused, so that any JSON reader reads it. alone: see `write_whole`.

    Raises DataError, with the system's reason, where the folder or the disk does not take the file; ValueError for
    numbers that `finite` refuses.
    """
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    text = sealed(contiguous, json.dumps(description, allow_nan=not finite))
    write_whole(path, save(contiguous, {KEY: text}), alone)


def read_array_file(path: Path, what: str, remedy: str) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays by name, and the description: whatever JSON there is. The checksum is right, where there is one.

    what: the kind of file, with its article ("a model"); remedy: what to do about a damaged one. ModelFileError, with
    the reason, for anything that is no such file.
    """
    from safetensors import SafetensorError, safe_open

    kind = what.split(" ", 1)[1]
    try:
        if os.path.isdir(path):  # what the system says about other names is told below
            raise ModelFileError(f"{path} is a folder: name {what} file of gpubp.")
        with safe_open(str(path), framework="np") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            odd = {name: found for name in names if (found := file.get_slice(name).get_dtype()) not in DTYPES}
            tensors = {} if odd else {name: file.get_tensor(name) for name in names}
    except FileNotFoundError as error:
        raise ModelFileError(f"There is no {kind} file {path}.") from error
    except OSError as error:
        raise ModelFileError(f"Cannot read the {kind} file {path}: {error.strerror or error}.") from error
    except ModelFileError:
        raise
    except (SafetensorError, ValueError, TypeError) as error:
        raise ModelFileError(
            f"{path} is not {what} file of gpubp, or it is cut short or damaged ({error}). {remedy}"
        ) from error
    if odd:
        name, dtype = next(iter(odd.items()))
        raise ModelFileError(
            f"{path} is not {what} file of gpubp: its array {name!r:.60} has numbers of the type {dtype!r:.20}, which "
            f"gpubp does not write. {remedy}"
        )
    if KEY not in metadata:
        raise ModelFileError(f"{path} is a safetensors file, but not {what} of gpubp.")
    text = unsealed(tensors, metadata[KEY])
    if text is None:
        raise ModelFileError(
            f"{path} is damaged: its content was changed after it was written, for its checksum is another. {remedy}"
        )
    try:
        return tensors, parse(text)
    except DataError as error:
        raise ModelFileError(
            f"{path} is a safetensors file, but not {what} of gpubp: of its description, {error} {remedy}"
        ) from error


def format_of(path: str | Path) -> str | None:
    """Which kind of gpubp's files this one says that it is; None for whatever does not say."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            described = parse((file.metadata() or {})[KEY])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):  # DataError is a ValueError
        return None
    found = described.get("format") if isinstance(described, dict) else None
    return found if isinstance(found, str) else None


def array(
    arrays: Mapping[str, np.ndarray],
    name: str,
    shape: tuple[int | None, ...],
    *dtypes: Any,
    finite: bool = True,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
) -> np.ndarray:
    """The array of that name: of this shape (None: any number), one of these dtypes, all its numbers in the range.

    finite: NaN and infinity are refused; without it they are let through, and the range is for the others.
    """
    found = arrays.get(name)
    wanted = " or ".join(np.dtype(each).name for each in dtypes)
    if not isinstance(found, np.ndarray):
        raise DataError(f"array {name!r} should be {wanted} {_spelled(shape)}; there is none.")
    if found.dtype not in [np.dtype(each) for each in dtypes] or not _has_shape(found, shape):
        what = f"{found.dtype} {found.shape}"
        raise DataError(f"array {name!r} should be {wanted} {_spelled(shape)}; found {what}.")
    with np.errstate(invalid="ignore"):
        good = (found >= least) & (found <= most) & (found > above)
    if found.dtype.kind == "f":
        good = good & np.isfinite(found) if finite else good | ~np.isfinite(found)
    if not np.all(good):
        bounds = [f"from {least:g}" * math.isfinite(least), f"above {above:g}" * math.isfinite(above)]
        bounds += [f"up to {most:g}" * math.isfinite(most)]
        kind = "finite numbers" if found.dtype.kind == "f" else "numbers"
        first = tuple(np.argwhere(~good)[0].tolist())
        where = ", ".join(map(str, first))
        raise DataError(
            f"array {name!r} should hold {' '.join(part for part in (kind, *bounds) if part)} only; found "
            f"{found[first]} at [{where}]."
        )
    return found


def _has_shape(found: np.ndarray, shape: tuple[int | None, ...]) -> bool:
    return found.ndim == len(shape) and all(
        wanted is None or n == wanted for n, wanted in zip(found.shape, shape, strict=True)
    )


def _spelled(shape: tuple[int | None, ...]) -> str:
    sizes = ["any" if n is None else str(n) for n in shape]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


def sealed(tensors: Mapping[str, np.ndarray], text: str) -> str:
    """The description with the checksum of the arrays and of itself, as the first of its entries."""
    return f'{SEAL}{_checksum(tensors, text)}"{"" if text == "{}" else ", "}{text[1:]}'


def unsealed(tensors: Mapping[str, np.ndarray], text: str) -> str | None:
    """The description without the checksum; None where that is not of these arrays and this text."""
    found = text[len(SEAL) : len(SEAL) + 64]
    if not text.startswith(SEAL) and not re.fullmatch("[0-9a-f]{64}", found):  # else damaged in what comes before it
        return text
    rest = "{" + text[len(SEAL) + 64 :].removeprefix('"').removeprefix(", ")
    return rest if text == sealed(tensors, rest) else None


def _checksum(tensors: Mapping[str, np.ndarray], text: str) -> str:
    """SHA-256 of the arrays in the order of their names, and of the description."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name}\n{tensor.dtype.name}\n{tensor.shape}\n".encode(errors="backslashreplace"))
        found.update(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)
    found.update(text.encode(errors="backslashreplace"))
    return found.hexdigest()
