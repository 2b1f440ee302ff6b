"""Where TPE's studies are kept: passwords are shown nowhere, and a storage that cannot be used is one message."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import contents, gpubp, numbers_table, only_error, refused

from gpubp import TPE, sweep
from gpubp.errors import DataError, SettingsError
from gpubp.search.strategies.study_storage import masked, masked_text, reason

pytest.importorskip("optuna")

SHARED = ("--trials", 2, "--grid", "hidden=2;3", "--set", "epochs=1", "--engine", "array", "--ensemble", 0, "-q")


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("postgresql://bob:S3CRET@host:5432/db", "postgresql://bob:***@host:5432/db"),
        ("postgresql+psycopg2://bob:S3%40CRET@host/db", "postgresql+psycopg2://bob:***@host/db"),
        ("mysql://bob:S3@CR/ET@host/db", "mysql://bob:***@host/db"),  # not escaped, as it should be
        ("redis://:S3CRET@host:6379/0", "redis://:***@host:6379/0"),
        ("postgresql://bob@host/db?password=S3CRET&sslmode=require", "postgresql://bob@host/db?password=***&sslmode=require"),
        ("postgresql://bob:S3CRET@host/db?user=a@b", "postgresql://bob:***@host/db?user=a@b"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3DS3CRET", "mssql+pyodbc:///?odbc_connect=***"),
        ("mssql+pyodbc:///?x=DRIVER%3Dy%3BPWD%3DS3CRET", "mssql+pyodbc:///?x=***"),
        ("host=h password=S3CRET", "host=h password=***"),
        ("sqlite:////home/a:b/c.sqlite3", "sqlite:////home/a:b/c.sqlite3"),
        ("sqlite:///studies.sqlite3", "sqlite:///studies.sqlite3"),
        ("postgresql://bob@host:5432/db", "postgresql://bob@host:5432/db"),
        ("postgresql://bob:S3CRET@[::1]:5432,other:5432/db", "postgresql://bob:***@[::1]:5432,other:5432/db"),
        ("postgresql://[::1]:5432,other:5432/db", "postgresql://[::1]:5432,other:5432/db"),
        ("sqlite:////home/me@work/a:b@c.sqlite3?timeout=3", "sqlite:////home/me@work/a:b@c.sqlite3?timeout=3"),
        ("sqlite+pysqlcipher://:S3CRET@/file.db", "sqlite+pysqlcipher://:***@/file.db"),
        ("redis://host:6379/0?PW=S3CRET&db=1", "redis://host:6379/0?PW=***&db=1"),
        ("mysql://host/db?p%61ssword=S3CRET", "mysql://host/db?p%61ssword=***"),
        ("mysql://host/db?password=S3&CRET&charset=utf8", "mysql://host/db?password=***&***&charset=utf8"),
        ("mysql://host/db?password=a;S3CRET", "mysql://host/db?password=***"),
        ("mysql://bob:S3?CR@ET@host/db", "mysql://bob:***@host/db"),
        ("mysql://b@b:S3CRET@host/db", "mysql://b@b:***@host/db"),
        ("mysql://bob:S3 'CRET@host/db", "mysql://bob:***@host/db"),
        ("mysql://bob:S3CRET", "mysql://bob:***"),  # the host was forgotten
        ("mysql://bob%3AS3CRET@host/db", "mysql://***@host/db"),
        ("://bob:S3CRET@host", "://bob:***@host"),
        ("mysql:/bob:S3CRET@host/db", "mysql:/bob:***@host/db"),
        ("bob:S3CRET@host/db", "bob:***@host/db"),
        ("host=h password='S3 CRET' user=bob", "host=h password=*** user=bob"),
        ("mysql://" + 100_000 * "a,b:" + "S3CRET@host/db", "***"),
    ],
)  # fmt: skip
def test_passwords_are_masked_and_nothing_else(url: str, safe: str) -> None:
    assert masked(url) == safe
    if "://" in url[1:] and " " not in url:
        assert masked_text(f"it was {url!r}, and more") == f"it was {safe!r}, and more"
    said = reason(ValueError(f"cannot use {url}, since S3 CRET and {url!r} are wrong"), url)
    assert safe == url or not {"S3CRET", "S3 CRET"} & {said, *said.split()}


def test_a_reason_quotes_no_part_of_a_password() -> None:
    url = "postgresql://bob:S3/CR%20ET@host/db?sslpassword=0THER"
    for text in (f"cannot parse {url}", "int() of 'S3'", "no host 'CR ET'", "no host 'CR%20ET'", "of 0THER"):
        said = reason(ValueError(text), url)
        assert "***" in said
        assert not any(part in said for part in ("S3", "CR", "ET", "0THER"))


def test_the_same_plan_is_told_from_another_without_its_password() -> None:
    url = "postgresql://bob:{}@host/{}"
    assert repr(TPE(storage=url.format("A", "db"))) == repr(TPE(storage=url.format("B", "db")))
    assert repr(TPE(storage=url.format("A", "db"))) != repr(TPE(storage=url.format("A", "other")))
    optuna = pytest.importorskip("optuna")
    one, other = (TPE(sampler=optuna.samplers.RandomSampler(seed=1)) for _ in range(2))
    assert repr(one) == repr(other)
    assert "0x" not in repr(one)


def test_no_password_in_files_or_messages(tmp_path: Path) -> None:
    """Through a storage that can be used: SQLite takes no notice of further parameters."""
    table, folder = numbers_table(tmp_path / "t.csv"), tmp_path / "runs"
    storage = f"sqlite:///file:{tmp_path / 'study.db'}?uri=true&mode=rwc&password=S3CRET"
    common = ("sweep", table, *SHARED, "-o", folder, "--report", "--json")
    named = ("--strategy", "tpe", "--study", "s", "--storage")
    first = gpubp(*common, *named, storage)
    assert first.code == 0, first.err
    assert "study.db" in json.dumps(json.loads((folder / "sweep.json").read_text())["meaning"])
    other = gpubp(*common, "--strategy", "random", "--resume")
    only_error(other.err, ("another sweep", "strategy"))
    again = gpubp(*common, *named, storage.replace("S3CRET", "0THER"), "--resume")
    assert again.code == 0, "another password is not another sweep"
    elsewhere = gpubp(*common, *named, storage.replace("study.db", "other.db"), "--resume")
    only_error(elsewhere.err, ("another sweep", "other.db"))
    said = "".join(outcome.out + outcome.err for outcome in (first, other, again, elsewhere))
    assert "S3CRET" not in said
    assert "0THER" not in said
    assert not [name for name, content in contents(tmp_path).items() if b"S3CRET" in content]


def test_a_folder_of_before_shows_no_password(tmp_path: Path) -> None:
    """sweep.json as it was once written, with the storage's password in it."""
    table, folder = numbers_table(tmp_path / "t.csv"), tmp_path / "runs"
    assert gpubp("sweep", table, *SHARED, "-o", folder).code == 0
    described = json.loads((folder / "sweep.json").read_text())
    del described["sha256"]
    described["meaning"]["strategy"] = "TPE(storage='postgresql://bob:S3CRET@host/db', study='s')"
    (folder / "sweep.json").write_text(json.dumps(described))
    message = refused(tmp_path, "sweep", table, *SHARED, "-o", folder, "--resume", words=("bob:***@host", "random"))
    assert "S3CRET" not in message


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ("nonsense", "is no URL of a database"),
        ("postgresql://bob:S3CRET@127.0.0.1:x/db", "is no URL of a database"),
        ("what://bob:S3CRET@host/db", "cannot be used"),
        ("redis://:S3CRET@host", "cannot be used"),
        ("oracle+cx_oracle://bob:S3CRET@host/db", "driver that is not installed"),
        ("sqlite:////no/such/folder/s.db", "unable to open database file"),
        ("sqlite:///{}/t.csv", "not a database"),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused_before_the_sweep(tmp_path: Path, storage: str, words: str) -> None:
    table = numbers_table(tmp_path / "t.csv")
    options = ("--strategy", "tpe", "--study", "s", "--storage", storage.format(tmp_path), "-o", tmp_path / "runs")
    message = refused(tmp_path, "sweep", table, *SHARED, *options, words=words)
    assert "S3CRET" not in message
    assert not (tmp_path / "runs").exists()


def test_storages_in_python() -> None:
    for wrong in (3, object()):
        with pytest.raises(SettingsError, match="give a URL, or one of Optuna's storage objects"):
            sweep(np.eye(6), [0, 1] * 3, {"epochs": [1, 2]}, cv=2, strategy=TPE(storage=wrong))
    with pytest.raises(SettingsError, match="give a name"):
        TPE(study=3)  # type: ignore[arg-type]


def test_a_storage_that_fails_in_the_middle_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna

    ask, asked = optuna.study.Study.ask, []

    def fails(study: Any, *given: Any) -> Any:
        asked.append(1)
        if len(asked) > 3:
            raise optuna.exceptions.StorageInternalError("An exception is raised") from OSError(28, "database is full")
        return ask(study, *given)

    monkeypatch.setattr(optuna.study.Study, "ask", fails)
    common = {"cv": 2, "n_trials": 6, "strategy": TPE(batch=3), "folder": tmp_path, "engine": "array"}
    X, y, space = np.arange(12.0).reshape(6, 2), [0, 1] * 3, {"epochs": 2, "learning_rate": [0.1, 0.2, 0.3]}
    with pytest.raises(DataError, match=r"database is full.*What was trained is kept in .*resume=True"):
        sweep(X, y, space, **common)  # type: ignore[arg-type]
    monkeypatch.undo()
    with pytest.raises(SettingsError, match="cut short"):
        sweep(X, y, space, **common)  # type: ignore[arg-type]
    assert len(sweep(X, y, space, **common, resume=True).trials) == 6  # type: ignore[arg-type]


def test_a_disk_without_room_for_a_study(tmp_path: Path) -> None:
    """No file may grow beyond 20 kB: less than SQLite takes for an empty study."""
    table = numbers_table(tmp_path / "t.csv")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [sys.executable, "-m", "gpubp", "sweep", *map(str, (table, *SHARED)), "--strategy", "tpe"]
    command += ["--output", "runs"]
    # not measured: the file of what was covered would be larger than the limit, too
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    found = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=limit, cwd=tmp_path, env=environment
    )
    assert found.returncode == 2, found.stderr
    only_error(found.stderr, "The storage sqlite:///")


DESCRIPTORS = Path("/proc/self/fd")


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="this system does not list what a process has open")
def test_a_database_is_closed_after_the_sweep(tmp_path: Path) -> None:
    file = tmp_path / "studies.db"
    X = np.random.default_rng(0).normal(size=(12, 2))
    sweep(X, X[:, 0], {"epochs": 1}, n_trials=1, cv=2, strategy=TPE(storage=f"sqlite:///{file}"), engine="array")
    assert file.stat().st_size > 0
    assert str(file) not in {os.path.realpath(each) for each in DESCRIPTORS.iterdir()}
