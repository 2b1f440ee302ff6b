"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from gpubp.errors import DataError


def write_whole(path: str | Path, content: bytes, alone: bool = False) -> None:
    """Write `content` to a temporary file beside `path` and rename it into place.

    Whatever goes wrong on the way, an old file of that name stays as it was and no half-written one is left. Where
    `path` is a link to a file, that file is replaced and the link stays. alone: nobody else writes this file, since
    the caller holds a lock: the temporary file has a name of its own then (see `temporary_of`), so that what a killed
    process left of it is written over.
    Raises DataError, with the system's reason, where the folder or the disk does not take the file.
    """
    check_place(path)
    target = Path(os.path.realpath(path))
    try:
        mode = _mode_of(target)
        if alone:
            temporary = str(temporary_of(target))
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        else:
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".gpubp-", suffix=".part")
    except OSError as error:
        raise DataError(f"Cannot write {path}: {error.strerror}. Choose another place with --output.") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError):
            raise DataError(f"Cannot write {path}: {error.strerror}. Nothing was changed.") from error
        raise


def temporary_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def check_place(path: str | Path) -> None:
    """Raise DataError where a file cannot be written, before the work that would fill it."""
    target = Path(os.path.realpath(path))
    folder = target.parent
    try:
        if target.is_dir():
            raise DataError(f"Cannot write {path}: it is a folder. Name a file.")
        if os.path.lexists(target) and not target.is_file():
            raise DataError(f"Cannot write {path}: it is a device or a pipe, not a file. Name a file.")
        if not folder.is_dir():
            reason = f"{folder} is not a folder" if os.path.lexists(folder) else f"No such file or directory: {folder}"
            raise DataError(f"Cannot write {path}: {reason}. Create the folder, or choose another --output.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise DataError(
                f"Cannot write {path}: the folder {folder} does not let you. Choose another place with --output."
            )
    except OSError as error:  # a name that is too long, for example
        raise DataError(f"Cannot write {path}: {error.strerror}. Choose another name with --output.") from error


def make_folder(path: Path) -> None:
    """With those above it, where it is not there yet. DataError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"Cannot make the folder {path}: {error.strerror or error}.") from error


def _mode_of(target: Path) -> int:
    """The permissions of the file to be replaced, or those that a new file would get."""
    try:
        return target.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
