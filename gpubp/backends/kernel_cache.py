"""Compiled kernels are kept between runs: in one private folder per user.

An entry is two files: `<key>-<checksum>.so`, the library, and `<key>.json`, its record, which names the library and
its SHA-256. Both are put in place by an atomic rename, the record last, so a reader finds either nothing or a whole
entry, whoever else writes at the same time. A library that does not match its record counts as absent.

A library is machine code that runs in this process, so the folder must belong to the user and nobody else may write
to it; any other folder is refused. It may have been open to others before: a file in it that is not the user's own,
that others may write to, or that is a link counts as absent, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpubp.errors import BackendError

VARIABLE = "GPUBP_CACHE_DIR"
REMEDY = f"Set {VARIABLE} to a folder of your own, or choose engine='array', which compiles nothing."
PROBE = "GPUBP_PROBE"  # defined in a library that only shows that compiling works: no kernel
OTHER_FOLDERS = ("zig",)  # of what else compiling keeps
KEY_LENGTH = 64  # of a SHA-256 in hexadecimal digits
STALE_SECONDS = 3600.0  # a workshop this old was left behind by a process that was killed


@dataclass(frozen=True)
class CacheEntry:
    """One compiled library. `made` is seconds since the epoch, `seconds` what compiling it took."""

    key: str
    library: Path
    bytes: int
    compiler: str
    flags: tuple[str, ...]
    definitions: dict[str, str]
    made: float
    seconds: float


@dataclass(frozen=True)
class FoundLibrary:
    """A library that was checked. pinned: a path to the very file that was checked, while its folder is open."""

    path: Path
    pinned: Path


def cache_folder() -> Path:
    """`$GPUBP_CACHE_DIR`, else the platform's cache folder for gpubp; it need not exist.

    Raises BackendError where there is no home folder to look for it in.
    """
    chosen = os.environ.get(VARIABLE)
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        import platformdirs

        folder = Path(platformdirs.user_cache_dir("gpubp", appauthor=False))
    except (RuntimeError, OSError) as error:  # ~ of a user who is unknown; a current folder that is gone
        raise BackendError(
            f"The kernel cache folder {chosen or ''} cannot be found: {str(error).rstrip('.')}. {REMEDY}"
        ) from error
    if not folder.is_absolute():
        raise BackendError(f"There is no home folder for the kernel cache (it would be {str(folder)!r}). {REMEDY}")
    return folder


def private_folder() -> Path:
    """The cache folder, made if need be (mode 0700); BackendError if it is not this user's alone."""
    folder = cache_folder()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        with _opened(folder):
            pass
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError("it is not writable")
    except OSError as error:
        raise _unusable(folder, error) from error
    return folder


def private_subfolder(name: str) -> Path:
    """A folder in the cache folder for what else compiling keeps, made if need be; BackendError like the cache's."""
    folder = private_folder() / name
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink():
            raise PermissionError("it is a link: delete it")
        with _opened(folder):
            return folder
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> BackendError:
    return BackendError(f"The kernel cache folder {folder} cannot be used: {error.strerror or error}. {REMEDY}")


@contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """A descriptor of the folder, which is this user's alone; None on Windows. Raises OSError and BackendError."""
    if not hasattr(os, "getuid"):  # Windows: the profile folder is private by its access list
        yield None
        return
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _require_private(folder, os.fstat(place))
        yield place
    finally:
        os.close(place)


def _require_private(folder: Path, status: os.stat_result) -> None:
    if status.st_uid != os.getuid():
        raise BackendError(
            f"The kernel cache folder {folder} belongs to another user (uid {status.st_uid}, you are "
            f"{os.getuid()}), who could put code there that you would run. Set {VARIABLE} to a folder of your own."
        )
    if _others_may_write(status):
        remedy = f"Set {VARIABLE} to a folder of your own."
        if not status.st_mode & stat.S_ISVTX:  # else it is a place that everyone shares, such as /tmp
            quoted = shlex.quote(str(folder))
            remedy = f"Run `chmod 700 {quoted}`, then `gpubp cache --clear` to delete what is in it, or set "
            remedy += f"{VARIABLE} to another folder."
        raise BackendError(
            f"Others may write to the kernel cache folder {folder} (mode {stat.S_IMODE(status.st_mode):04o}), so "
            f"they could have put code there that you would run. {remedy}"
        )


def _others_may_write(status: os.stat_result) -> bool:
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _read(folder: Path, place: int | None, name: str) -> bytes:
    """A file of the opened folder, which must be a plain file of this user's that only they may write to (OSError)."""
    where: str | Path = name if place is not None else folder / name
    wanted = ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")  # O_NONBLOCK: a pipe would keep us waiting
    flags = sum(getattr(os, flag, 0) for flag in wanted)
    with os.fdopen(os.open(where, os.O_RDONLY | flags, dir_fd=place), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(f"{name} is no file")
        if place is not None and (status.st_uid != os.getuid() or _others_may_write(status)):
            raise PermissionError(f"{name} may be another user's")
        return file.read()


@contextmanager
def open_library(folder: Path, key: str) -> Iterator[FoundLibrary | None]:
    """The library of `key`, to be loaded within this context; None if it is not there whole, and this user's own."""
    with ExitStack() as stack:
        try:
            place = stack.enter_context(_opened(folder))
        except OSError:
            yield None
            return
        name = _library_of(folder, place, key)
        yield None if name is None else FoundLibrary(folder / name, _pinned(folder, place, name))


def _library_of(folder: Path, place: int | None, key: str) -> str | None:
    """The name of the key's library, if that has the SHA-256 that its record says."""
    try:
        entry = _parse(folder / f"{key}.json", _read(folder, place, f"{key}.json"))
        name = entry.library.name
        return name if name == _library_name(key, _read(folder, place, name)) else None
    except (OSError, ValueError):
        return None


def _pinned(folder: Path, place: int | None, name: str) -> Path:
    """By way of the descriptor, where the system has such paths: whatever becomes of the folder's own path."""
    through = Path(f"/proc/self/fd/{place}") / name
    return through if place is not None and through.is_file() else folder / name


def find_library(folder: Path, key: str) -> Path | None:
    """The path of the library of `key`, if it is there whole, and this user's own."""
    with open_library(folder, key) as found:
        return None if found is None else found.path


def keep_library(folder: Path, key: str, built: Path, record: dict[str, Any]) -> Path:
    """Move a freshly `built` library (a file in a workshop of `folder`) into the cache; returns its place."""
    content = built.read_bytes()
    library = folder / _library_name(key, content)
    note = built.with_suffix(".json")
    note.write_text(json.dumps(record | {"library": library.name, "bytes": len(content), "made": time.time()}))
    built.chmod(0o700)  # whatever the umask is: files that others may write to are not loaded
    note.chmod(0o600)
    _put(built, library)
    _put(note, folder / f"{key}.json")
    return library


def _put(source: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink():  # nothing of ours
        shutil.rmtree(target, ignore_errors=True)
    os.replace(source, target)


def discard_library(folder: Path, key: str) -> None:
    """Forget the entry of `key`, if there is one: it does not load."""
    with suppress(OSError, ValueError):
        name = _parse(folder / f"{key}.json", (folder / f"{key}.json").read_bytes()).library.name
        if name.startswith(key):
            (folder / name).unlink()
    with suppress(OSError):
        (folder / f"{key}.json").unlink()


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """A temporary folder inside `folder`, and so on the same file system: what is made there can be renamed into it."""
    try:
        place = Path(tempfile.mkdtemp(prefix="building-", dir=folder))
    except OSError as error:
        raise BackendError(
            f"Nothing can be written to the kernel cache folder {folder}: {error.strerror or error}. "
            f"Set {VARIABLE} to a folder with room."
        ) from error
    try:
        yield place
    except OSError as error:
        raise _unusable(folder, error) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def cache_entries() -> list[CacheEntry]:
    """The entries that are kept, newest first; a damaged record is left out."""
    folder = cache_folder()
    found = []
    for path in folder.glob("*.json") if folder.is_dir() else ():
        with suppress(OSError, ValueError):
            found.append(_parse(path, path.read_bytes()))
    return sorted((entry for entry in found if PROBE not in entry.definitions), key=lambda entry: -entry.made)


def clear_cache() -> tuple[int, int]:
    """Delete all kept libraries; returns how many files, and how many bytes.

    Only files with the cache's own names are touched. A library in use stays usable: its file loses its name only.
    """
    if not cache_folder().is_dir():
        return 0, 0
    folder = private_folder()
    count = size = 0
    for path in [*folder.glob("*.json"), *folder.glob("*.so")]:
        if not _is_key(path.name.partition(".")[0].partition("-")[0]):
            continue
        try:
            freed = path.lstat().st_size
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
                continue
            path.unlink()
        except FileNotFoundError:  # another process was quicker
            continue
        count, size = count + 1, size + freed
    for name in OTHER_FOLDERS:
        inside = [path for path in (folder / name).rglob("*") if path.is_file()]
        count, size = count + len(inside), size + sum(path.lstat().st_size for path in inside)
        shutil.rmtree(folder / name, ignore_errors=True)
    for place in folder.glob("building-*"):
        with suppress(FileNotFoundError):
            if time.time() - place.lstat().st_mtime > STALE_SECONDS:
                shutil.rmtree(place, ignore_errors=True)
    return count, size


def _library_name(key: str, content: bytes) -> str:
    return f"{key}-{hashlib.sha256(content).hexdigest()}.so"


def _is_key(text: str) -> bool:
    return len(text) == KEY_LENGTH and set(text) <= set("0123456789abcdef")


def _parse(path: Path, content: bytes) -> CacheEntry:
    """The entry of the record at `path`; ValueError if it is none."""
    try:
        record = json.loads(content)
        name = record["library"]
        if not _is_key(path.stem) or Path(name).name != name:  # a record names a neighbour, never a path
            raise ValueError(name)
        return CacheEntry(
            key=path.stem,
            library=path.with_name(name),
            bytes=int(record["bytes"]),
            compiler=str(record["compiler"]),
            flags=tuple(record["flags"]),
            definitions=dict(record["definitions"]),
            made=float(record["made"]),
            seconds=float(record["seconds"]),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no record of a kernel") from error
