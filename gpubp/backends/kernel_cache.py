"""Where compiled kernels are kept between runs: one private folder per user.

An entry is two files: `<key>-<checksum>.so`, the library, and `<key>.json`, its record, which names the library and
its SHA-256. Both are put in place by an atomic rename, the record last, so a reader finds either nothing or a whole
entry, whoever else writes at the same time. A library that does not match its record counts as absent.

A library is machine code that runs in this process, so the folder must belong to the user and nobody else may write
to it; any other folder is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpubp.errors import BackendError

VARIABLE = "GPUBP_CACHE_DIR"
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


def cache_folder() -> Path:
    """`$GPUBP_CACHE_DIR`, else the platform's cache folder for gpubp; it need not exist."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("gpubp", appauthor=False))


def private_folder() -> Path:
    """The cache folder, made if need be (mode 0700); BackendError if it is not this user's alone."""
    folder = cache_folder()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        _require_private(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError("it is not writable")
    except OSError as error:
        reason = error.strerror or error
        raise BackendError(
            f"The kernel cache folder {folder} cannot be used: {reason}. "
            f"Set {VARIABLE} to a folder of your own, or choose engine='array', which compiles nothing."
        ) from error
    return folder


def _require_private(folder: Path) -> None:
    if not hasattr(os, "getuid"):  # Windows: the profile folder is private by its access list
        return
    status = folder.stat()
    if status.st_uid != os.getuid():
        raise BackendError(
            f"The kernel cache folder {folder} belongs to another user (uid {status.st_uid}, you are "
            f"{os.getuid()}), who could put code there that you would run. Set {VARIABLE} to a folder of your own."
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise BackendError(
            f"Others may write to the kernel cache folder {folder} (mode {stat.S_IMODE(status.st_mode):04o}), so "
            f"they could put code there that you would run. Run `chmod 700 {folder}`, or set {VARIABLE} to "
            "another folder."
        )


def find_library(folder: Path, key: str) -> Path | None:
    """The library of `key`, if it is there whole: same length and SHA-256 as its record says."""
    entry = _read_record(folder / f"{key}.json")
    if entry is None:
        return None
    try:
        content = entry.library.read_bytes()
    except OSError:
        return None
    return entry.library if entry.library.name == _library_name(key, content) else None


def keep_library(folder: Path, key: str, built: Path, record: dict[str, Any]) -> Path:
    """Move a freshly `built` library (a file in a workshop of `folder`) into the cache; returns its place."""
    content = built.read_bytes()
    library = folder / _library_name(key, content)
    os.replace(built, library)
    note = built.with_suffix(".json")
    note.write_text(json.dumps(record | {"library": library.name, "bytes": len(content), "made": time.time()}))
    os.replace(note, folder / f"{key}.json")
    return library


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
    finally:
        shutil.rmtree(place, ignore_errors=True)


def cache_entries() -> list[CacheEntry]:
    """What is kept, newest first; a damaged record is left out."""
    folder = cache_folder()
    found = (_read_record(path) for path in folder.glob("*.json")) if folder.is_dir() else ()
    return sorted((entry for entry in found if entry is not None), key=lambda entry: -entry.made)


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
            freed = path.stat().st_size
            path.unlink()
        except FileNotFoundError:  # another process was quicker
            continue
        count, size = count + 1, size + freed
    for place in folder.glob("building-*"):
        if time.time() - place.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(place, ignore_errors=True)
    return count, size


def _library_name(key: str, content: bytes) -> str:
    return f"{key}-{hashlib.sha256(content).hexdigest()}.so"


def _is_key(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _read_record(path: Path) -> CacheEntry | None:
    if not _is_key(path.stem):
        return None
    try:
        record = json.loads(path.read_text())
        name = record["library"]
        if Path(name).name != name:  # a record names a neighbour, never a path
            return None
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
