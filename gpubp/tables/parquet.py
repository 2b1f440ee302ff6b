"""Parquet files, read by a process of their own.

A damaged or hostile file can say that it holds more than any memory does. The decoder then ends its whole process,
which no `except` can keep from happening; so it is a child's, and the frame comes back as an Arrow file.
"""

from __future__ import annotations

import io
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

MAGIC = b"PAR1"
FAILED, WITHOUT_POLARS = 10, 11  # exit codes of the child
SECONDS, SECONDS_PER_BYTE = 60.0, 1e-6  # a child that takes longer hangs

CHILD = f"""
import sys
sys.path[:] = sys.argv[1:]
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
try:
    frame = polars.read_parquet(io.BytesIO(sys.stdin.buffer.read()))
except BaseException as error:
    sys.stderr.buffer.write(b"\\0" + (str(error) or type(error).__name__).encode(errors="replace"))
    sys.exit({FAILED})
frame.write_ipc(sys.stdout.buffer, compression="uncompressed")
"""


def read_parquet(data: bytes, name: str) -> pl.DataFrame:
    """The table in a Parquet file's bytes. DataError, by the name, for what is no readable one.

    Where no child can be had (there is no Python to start, or no process is allowed), this process reads it itself.
    """
    if len(data) < 12 or not data.endswith((MAGIC, b"PARE")):
        raise unreadable(name, "it is cut short, or something else: its end is not that of a Parquet file.")
    require_polars(name)
    found = _by_child(data, name)
    if found is None:
        try:
            found = pl.read_parquet(io.BytesIO(data))
        except (Exception, pl.exceptions.PanicException) as error:  # it can fail anywhere in the decoder
            raise unreadable(name, str(error)) from None
    return found.rechunk()  # the same chunks, however it came here


def unreadable(name: str, reason: str) -> DataError:
    first = (reason.strip().splitlines() or ["no reason was given"])[0]
    return DataError(f"{name}: this is not a readable Parquet file: {first[:300]}")


def _by_child(data: bytes, name: str) -> pl.DataFrame | None:
    """None where there is no child."""
    python = sys.executable
    if not python or getattr(sys, "frozen", False) or not re.match(r"(?i)python|pypy", os.path.basename(python)):
        return None  # an embedded or frozen Python, or another program that calls itself so
    home = os.path.dirname(os.path.dirname(os.path.abspath(pl.__file__)))
    command = [python, "-I", "-S", "-c", CHILD, home, *(each for each in sys.path if os.path.isabs(each))]
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
                return pl.read_ipc(taken)
    except subprocess.TimeoutExpired:
        raise unreadable(name, f"reading it has not ended after {seconds:.0f} seconds.") from None
    except OSError:
        return None
    if done.returncode == WITHOUT_POLARS:
        return None
    if done.returncode == FAILED:
        raise unreadable(name, done.stderr.rpartition(b"\0")[2].decode(errors="replace"))
    raise unreadable(
        name, f"it is damaged, or asks for more memory than there is (its reader ended with {_how(done)})."
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
