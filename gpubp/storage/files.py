"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from gpubp.errors import DataError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
"""To open a file that nobody else has made: whatever lies at its name already, a link too, is an error."""


def write_whole(path: str | Path, content: bytes, alone: bool = False) -> None:
    """Write `content` to a temporary file beside `path` and rename it into place.

    Whatever goes wrong on the way, an old file of that name stays as it was and no half-written one is left. Where
    `path` is a link to a file, that file is replaced and the link stays. A new file has the mode that the process gives
    to its files; one that replaces another has the other's.
    alone: nobody else writes this file, since the caller holds a lock, and nobody but gpubp has chosen its name. The
    temporary file has a name of its own then (see `temporary_of`): what a killed process left of it is replaced. A link
    at `path` is replaced too, since it can only have been planted.
    Raises DataError, with the system's reason, where the folder or the disk does not take the file.
    """
    check_place(path)
    target = Path(os.path.realpath(path))
    if alone:
        target = Path(os.path.realpath(Path(path).parent)) / Path(path).name
    try:
        mode = _mode_of(target)
        temporary = temporary_of(target) if alone else target.with_name(f".gpubp-{secrets.token_hex(8)}.part")
        if alone:
            temporary.unlink(missing_ok=True)  # never opened: it may be a link to something else
        handle = os.open(temporary, _NEW, 0o666 if mode is None else 0o600)
    except OSError as error:
        raise DataError(f"Cannot write {path}: {error.strerror}. Choose another place with --output.") from error
    try:
        with os.fdopen(handle, "wb") as file:
            if mode is not None and hasattr(os, "fchmod"):  # not on Windows
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise DataError(f"Cannot write {path}: {error.strerror}. Nothing was changed.") from error
        raise


def temporary_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def check_place(path: str | Path) -> None:
    """Raise DataError where a file cannot be written, before the work that would fill it."""
    try:
        _refuse_links_of_others(path)
        target = Path(os.path.realpath(path))
        folder = target.parent
        if not os.path.isdir(folder):
            reason = f"{folder} is not a folder" if is_there(folder) else f"No such file or directory: {folder}"
            raise DataError(f"Cannot write {path}: {reason}. Create the folder, or choose another --output.")
        if is_there(target):
            if target.is_dir():
                raise DataError(f"Cannot write {path}: it is a folder. Name a file.")
            if not target.is_file():
                raise DataError(f"Cannot write {path}: it is a device or a pipe, not a file. Name a file.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise DataError(
                f"Cannot write {path}: the folder {folder} does not let you. Choose another place with --output."
            )
    except DataError:  # which is a ValueError
        raise
    except (OSError, ValueError) as error:  # a name that is too long, or a null character in it, for example
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"Cannot write {path}: {reason}. Choose another name with --output.") from error


def is_there(path: str | Path) -> bool:
    """Whether anything has this name. OSError where the system will not say, as for a name that is too long: pathlib's
    own answers to that differ between versions of Python.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_planted(path: Path) -> bool:
    """Whether a link lies at a name that gpubp has chosen, in a folder where somebody else may have made it."""
    if not path.is_symlink() or not hasattr(os, "geteuid"):
        return False
    folder = path.parent.stat()
    return folder.st_uid != os.geteuid() or bool(folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def remove_planted(path: Path) -> None:
    """Before a file is written whose name gpubp has chosen: see `is_planted`. DataError where it cannot be removed."""
    try:
        if is_planted(path):
            path.unlink()
    except OSError as error:
        raise DataError(f"Cannot write {path}: {error.strerror}. Choose another place with --output.") from error


def make_folder(path: Path) -> None:
    """With those above it, where it is not there yet. DataError where that cannot be."""
    try:
        _refuse_links_of_others(path)
        path.mkdir(parents=True, exist_ok=True)
    except DataError:  # which is a ValueError
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"Cannot make the folder {path}: {reason}.") from error


def _refuse_links_of_others(path: str | Path) -> None:
    """DataError where the path leads through a link that is neither this user's nor made by the owner of the folder
    that it lies in: whoever may write to a shared folder could lead us to any file of ours. (Linux follows no such
    links either, in folders like /tmp, but resolving a path, as it is done here, goes around that.)
    """
    if not hasattr(os, "geteuid"):  # Windows
        return
    whole = Path(path).absolute()
    for place in (whole, *whole.parents):
        try:
            found = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISLNK(found.st_mode) and found.st_uid not in (os.geteuid(), 0, place.parent.stat().st_uid):
            raise DataError(
                f"Cannot write {path}: {place} is a link that another user (uid {found.st_uid}) has made in a folder "
                "of somebody else's. Remove it, or name the place that it leads to."
            )


def _mode_of(target: Path) -> int | None:
    """The permissions of the file to be replaced; None where there is none. (Those of a new file are the system's to
    give: the process's umask cannot be asked without being changed, for all of its threads.)
    """
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return None
    return found.st_mode & 0o777 if target.is_file() and not target.is_symlink() else None
