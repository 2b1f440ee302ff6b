"""Parquet files that lie: the process that reads them may end, and the one that asked for them does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import gpubp, only_error

from gpubp.errors import DataError
from gpubp.tables import parquet, read_table

ABORTS = "import os; os.write(2, b'memory allocation of 2305843009213693944 bytes failed'); os.abort()"
"""As Rust does where a file asks for more than there is; which files do differs from release to release."""


@pytest.fixture
def frame() -> pl.DataFrame:
    return pl.DataFrame({"x": np.arange(500.0), "n": range(500), "t": ["a", None] * 250, "b": [True, False] * 250})


@pytest.mark.parametrize(
    ("child", "words"),
    [
        (ABORTS, "memory allocation of 2305843009213693944 bytes failed"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
        ("raise SystemExit(7)", "exit code 7"),
    ],
)
def test_a_file_that_ends_its_reader(
    tmp_path: Path, frame: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, child: str, words: str
) -> None:
    path = tmp_path / "t.parquet"
    frame.write_parquet(path)
    monkeypatch.setattr(parquet, "CHILD", child)
    with pytest.raises(DataError, match="not a readable Parquet file: it is damaged, or asks for more memory"):
        read_table(path)
    outcome = gpubp("explain", path)
    assert (outcome.code, outcome.out) == (2, "")
    only_error(outcome.err, ("not a readable Parquet file", words))


def test_both_ways_of_reading_give_the_same(
    tmp_path: Path, frame: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.parquet"
    frame.write_parquet(path, row_group_size=100)
    whole = path.read_bytes()
    by_child, _ = parquet.read_parquet(whole, "t")
    assert by_child.equals(frame)
    assert by_child.n_chunks() == 1
    for python in ("", "/usr/bin/uwsgi", "/no/such/python"):  # embedded, another program, gone
        monkeypatch.setattr(sys, "executable", python)
        here, _ = parquet.read_parquet(whole, "t")
        assert here.write_ipc(None).getvalue() == by_child.write_ipc(None).getvalue()
        with pytest.raises(DataError, match="t: this is not a readable Parquet file"):
            parquet.read_parquet(b"PAR1" + bytes(20) + b"PAR1", "t")


def test_the_child_imports_nothing_from_the_current_folder(tmp_path: Path, frame: pl.DataFrame) -> None:
    (tmp_path / "polars.py").write_text("open('was_here', 'w')\n")
    (tmp_path / "io.py").write_text("open('was_here', 'w')\n")
    frame.write_parquet(tmp_path / "t.parquet")
    code = "import os, sys, gpubp.tables.reading as r; os.chdir(sys.argv[1]); print(r.read_table('t.parquet').rows)"
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert found.stdout == "500\n"
    assert not (tmp_path / "was_here").exists()


def test_a_reader_that_hangs_is_ended(tmp_path: Path, frame: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    frame.write_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(parquet, "CHILD", "import time; time.sleep(1000)")
    monkeypatch.setattr(parquet, "SECONDS", 0.2)
    with pytest.raises(DataError, match="has not ended after 0 seconds"):
        read_table(tmp_path / "t.parquet")


def test_a_child_without_polars_is_done_without(
    tmp_path: Path, frame: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame.write_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(parquet, "CHILD", f"import sys; sys.exit({parquet.WITHOUT_POLARS})")
    assert read_table(tmp_path / "t.parquet").rows == 500


def test_no_file_is_left(tmp_path: Path, frame: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    frame.write_parquet(tmp_path / "t.parquet")
    monkeypatch.delattr(os, "memfd_create", raising=False)  # as on other systems than Linux
    monkeypatch.setattr("tempfile.tempdir", None)
    assert read_table(tmp_path / "t.parquet").rows == 500
    assert not list((tmp_path / "tmp").iterdir())
