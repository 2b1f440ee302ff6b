"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from gpubp.errors import DataError


def write_whole(path: str | Path, content: bytes) -> None:
    """Write `content` to a temporary file beside `path` and rename it into place.

    Whatever goes wrong on the way, an old file of that name stays as it was and no half-written one is left.
    Raises DataError, with the system's reason, where the folder or the disk does not take the file.
    """
    target = Path(path)
    if target.is_dir():
        raise DataError(f"Cannot write {target}: it is a folder. Name a file.")
    try:
        mode = _mode_of(target)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise DataError(f"Cannot write {target}: {error.strerror}. Choose another place with --output.") from error
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
            raise DataError(f"Cannot write {target}: {error.strerror}. Nothing was changed.") from error
        raise


def _mode_of(target: Path) -> int:
    """The permissions of the file to be replaced, or those that a new file would get."""
    try:
        return target.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
