"""Files of arrays with a description: safetensors, with JSON in its metadata. Reading one executes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.errors import ModelFileError
from gpubp.files import write_whole

KEY = "gpubp"  # of the metadata's entry


def write_array_file(path: Path, tensors: Mapping[str, np.ndarray], description: Any, alone: bool = False) -> None:
    """Whole or not at all. description: whatever JSON there is; its floats come back as they were, NaN included.
    alone: see `write_whole`.

    Raises DataError, with the system's reason, where the folder or the disk does not take the file.
    """
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_whole(path, save(contiguous, {KEY: json.dumps(description)}), alone)


def read_array_file(path: Path, what: str, remedy: str) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays by name, and the description: whatever JSON there is.

    what: the kind of file, with its article ("a model"); remedy: what to do about a damaged one. ModelFileError, with
    the reason, for anything that is no such file.
    """
    from safetensors import SafetensorError, safe_open

    kind = what.split(" ", 1)[1]
    if os.path.isdir(path):  # what the system says about other names is told below
        raise ModelFileError(f"{path} is a folder: name {what} file of gpubp.")
    try:
        with safe_open(str(path), framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError as error:
        raise ModelFileError(f"There is no {kind} file {path}.") from error
    except OSError as error:
        raise ModelFileError(f"Cannot read the {kind} file {path}: {error.strerror or error}.") from error
    except (SafetensorError, ValueError, TypeError) as error:
        raise ModelFileError(
            f"{path} is not {what} file of gpubp, or it is cut short or damaged ({error}). {remedy}"
        ) from error
    try:
        return tensors, json.loads(metadata[KEY])
    except (KeyError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is a safetensors file, but not {what} of gpubp.") from error


def format_of(path: str | Path) -> str | None:
    """Which kind of gpubp's files this one says that it is; None for whatever does not say."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            described = json.loads((file.metadata() or {})[KEY])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError):
        return None
    found = described.get("format") if isinstance(described, dict) else None
    return found if isinstance(found, str) else None
