"""The script that gives gpubp spoiled files: a short run of it, and that it sees what it looks for."""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of the folder of scripts."""
    import importlib

    import typer

    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(typer.main, "get_command", typer.main.get_command)  # which the script replaces
    before = {*sys.modules}
    yield importlib.import_module
    for name in {*sys.modules} - before:
        if name.partition(".")[0] in ("fuzz", "fuzzing"):
            del sys.modules[name]


def test_a_short_run_finds_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "fuzz.py"), "--cases", "60", "--jobs", "2", "--limit", "60"]
    done = subprocess.run(
        command, cwd=tmp_path, env=None, capture_output=True, text=True, timeout=550, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all                60        0" in done.stdout
    for kind in ("model", "estimator", "checkpoint", "ledger", "results", "space", "parquet", "table", "command"):
        assert f"\n{kind}" in done.stdout
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("ending", "wrong"),
    [
        ("sleep 100", "did not end within 0.5 seconds"),
        ("kill -ABRT $$", "the process ended with -6"),
        ("echo panicked >&2; exit 101", "the process ended with 101: 'panicked'"),
        ("echo '[1, \"KeyError at files.py:3\"]'; echo '[2, null]'", "KeyError at files.py:3"),
    ],
    ids=["hang", "abort", "exit", "exception"],
)
def test_every_bad_end_is_told_of_and_gone_on_after(
    scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, wrong: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """By workers that are shell scripts: the second case ends badly, the third is done by another worker."""
    fuzz = scripts("fuzz")
    (tmp_path / "files").mkdir()
    worker = tmp_path / "worker"
    worker.write_text(
        f"#!/bin/sh\ncase \"$*\" in *'--start 0 '*) echo '[0, \"begun\"]'; echo '[0, null]';\n"
        f"echo '[1, \"begun\"]'; {ending};; *) echo '[2, \"begun\"]'; echo '[2, null]';; esac\n"
    )
    worker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(worker))
    given = argparse.Namespace(cases=3, seed=0, jobs=1, kind="model", limit=0.5)
    runner = fuzz.Runner(given, 0, tmp_path / "files")
    runner.run()
    assert runner.done == {"model": 3}
    assert [(number, kind) for number, kind, _ in runner.failures] == [(1, "model")]
    assert wrong in runner.failures[0][2]
    assert "python scripts/fuzz.py --seed 0 --kind model --case 1" in capsys.readouterr().out


def test_what_gpubp_must_not_do_is_a_fault(scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = scripts("fuzzing.targets")
    case = targets.Case("command", random.Random(0), tmp_path)

    def ends(code: int, told: str) -> None:
        def main(arguments: list[str]) -> int:
            print(told, file=sys.stderr)
            return code

        monkeypatch.setattr(targets, "main", main)

    ends(2, "Error: no such file. Name another.")
    assert case.gpubp("show", "x") == 2
    for code, told in ((1, ""), (0, "Traceback (most recent call last):"), (2, "no message"), (130, "Interrupted.")):
        ends(code, told)
        with pytest.raises(targets.Fault, match=r"exit code|not one message"):
            case.gpubp("show", "x")


def test_a_case_is_the_same_every_time(scripts: Any, tmp_path: Path) -> None:
    corpus, mutations = scripts("fuzzing.corpus"), scripts("fuzzing.mutations")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        corpus.build(tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    changes = {
        ".json": mutations.document_changed,
        ".toml": mutations.toml_changed,
        ".csv": mutations.bytes_changed,
        "": mutations.arrays_changed,
    }
    seen = 0
    for file in files:
        if file.parts[0] in ("ledger", "results") or file.suffix not in changes:
            continue
        content = (tmp_path / "a" / file).read_bytes()
        assert content == (tmp_path / "b" / file).read_bytes(), file
        spoiled = [[changes[file.suffix](content, random.Random(seed)) for seed in range(40)] for _ in range(2)]
        assert spoiled[0] == spoiled[1]
        assert sum(each != content for each in spoiled[0]) > 30
        seen += 1
    assert seen >= 8
