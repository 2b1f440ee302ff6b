"""Parquet and Arrow (Feather) files, read by a process of their own.

A damaged or hostile file can say that it holds more than any memory does. The decoder then ends its whole process,
which no `except` can keep from happening; so it is a child's, and the frame comes back as an Arrow file.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from typing import IO

import polars as pl

from gpubp.errors import DataError
from gpubp.tables.forks import require_polars

MAGIC, ARROW = b"PAR1", b"ARROW1"
FAILED, WITHOUT_POLARS = 10, 11  # exit codes of the child
SECONDS, SECONDS_PER_BYTE = 60.0, 1e-6  # a child that takes longer hangs

CHILD = f"""
import sys
kind, sys.path[:] = sys.argv[1], sys.argv[2:]
try:
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # where memory runs out, this process is to end, and not its parent
except OSError:
    pass
try:
    import polars
except BaseException:
    sys.exit({WITHOUT_POLARS})
import io
data = sys.stdin.buffer.read()
try:
    if kind == "Arrow":
        frame = polars.read_ipc(io.BytesIO(data))
    else:
        frame = polars.read_parquet(io.BytesIO(data))
except BaseException as error:
    sys.stderr.buffer.write(b"\\0" + (str(error) or type(error).__name__).encode(errors="replace"))
    sys.exit({FAILED})
if kind == "Parquet":
    try:
        notes = polars.read_parquet_metadata(io.BytesIO(data)).get("pandas", "")
    except BaseException:
        notes = ""
    sys.stderr.buffer.write(b"\\0" + notes.encode(errors="replace"))
try:
    frame.write_ipc(sys.stdout.buffer, compression="uncompressed")
except BaseException as error:  # of a type that Arrow does not have
    sys.stderr.buffer.write(b"\\0" + (str(error) or type(error).__name__).encode(errors="replace"))
    sys.exit({FAILED})
"""


def is_parquet(data: bytes) -> bool:
    return data.startswith(MAGIC)


def is_arrow(data: bytes) -> bool:
    """Whether it is an Arrow file, which Feather of version 2 is as well."""
    return data.startswith(ARROW)


def read_parquet(data: bytes, name: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """(the table in a Parquet file's bytes, the columns that pandas wrote of its index). DataError, by the name, for
    what is no readable one.

    Where no child can be had (there is no Python to start, or no process is allowed), this process reads it itself.
    """
    if len(data) < 12 or not data.endswith((MAGIC, b"PARE")):
        raise unreadable(name, "Parquet", "it is cut short, or something else: its end is not that of a Parquet file.")
    frame, notes = _read(data, name, "Parquet")
    return frame, _index_of(notes)


def read_arrow(data: bytes, name: str) -> pl.DataFrame:
    """As `read_parquet`, of an Arrow file."""
    if not data.endswith(ARROW):
        raise unreadable(name, "Arrow", "it is cut short, or something else: its end is not that of an Arrow file.")
    return _read(data, name, "Arrow")[0]


def _read(data: bytes, name: str, kind: str) -> tuple[pl.DataFrame, str]:
    require_polars(name)
    found = _by_child(data, name, kind)
    if found is None:
        try:
            frame = pl.read_parquet(io.BytesIO(data)) if kind == "Parquet" else pl.read_ipc(io.BytesIO(data))
        except (Exception, pl.exceptions.PanicException) as error:  # it can fail anywhere in the decoder
            raise unreadable(name, kind, str(error)) from None
        found = frame, ""
    return found[0].rechunk(), found[1]  # the same chunks, however it came here


def _index_of(notes: str) -> tuple[str, ...]:
    """Names of the columns that were a pandas frame's index, by what pandas notes in the file: any JSON."""
    try:
        named = json.loads(notes)["index_columns"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()
    return tuple(each for each in named if isinstance(each, str)) if isinstance(named, list) else ()


def unreadable(name: str, kind: str, reason: str) -> DataError:
    first = (reason.strip().splitlines() or ["no reason was given"])[0]
    return DataError(f"{name}: this is not a readable {kind} file: {first[:300]}")


def _by_child(data: bytes, name: str, kind: str) -> tuple[pl.DataFrame, str] | None:
    """The frame, and pandas' notes in it; None where there is no child."""
    python = sys.executable
    if not python or getattr(sys, "frozen", False) or not re.match(r"(?i)python|pypy", os.path.basename(python)):
        return None  # an embedded or frozen Python, or another program that calls itself so
    home = os.path.dirname(os.path.dirname(os.path.abspath(pl.__file__)))
    command = [python, "-I", "-S", "-c", CHILD, kind, home, *(each for each in sys.path if os.path.isabs(each))]
    seconds = SECONDS + SECONDS_PER_BYTE * len(data)
    try:
        with _nameless() as given, _nameless() as taken:
            given.write(data)
            given.seek(0)
            done = subprocess.run(
                command, stdin=given, stdout=taken, stderr=subprocess.PIPE, check=False, timeout=seconds
            )
            taken.seek(0)
            if done.returncode == 0:
                return pl.read_ipc(taken), done.stderr.rpartition(b"\0")[2].decode(errors="replace")
    except subprocess.TimeoutExpired:
        raise unreadable(name, kind, f"reading it has not ended after {seconds:.0f} seconds.") from None
    except OSError:
        return None
    if done.returncode == WITHOUT_POLARS:
        return None
    if done.returncode == FAILED:
        raise unreadable(name, kind, done.stderr.rpartition(b"\0")[2].decode(errors="replace"))
    raise unreadable(
        name, kind, f"it is damaged, or asks for more memory than there is (its reader ended with {_how(done)})."
    )


def _nameless() -> IO[bytes]:
    """A file that goes with the process, however it ends: in memory where the system has that, faster than a pipe."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("gpubp"), "w+b")
    return tempfile.TemporaryFile()


def _how(done: subprocess.CompletedProcess[bytes]) -> str:
    said = re.search(rb"memory allocation of \d+ bytes failed", done.stderr)
    if said is not None:
        return said[0].decode()
    try:
        return signal.Signals(-done.returncode).name
    except ValueError:
        return f"exit code {done.returncode}"
