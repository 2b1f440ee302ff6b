"""What a shell is offered after Tab."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import polars as pl
import pytest
from command_line import DATA, gpubp, numbers_table, succeeds, write

from gpubp.backends import BACKENDS
from gpubp.cli.app import main
from gpubp.cli.completion import CHOICES, columns_of
from gpubp.engines.registry import ENGINES
from gpubp.networks.settings import MONITORS, TIES
from gpubp.operations.activations import ACTIVATIONS
from gpubp.operations.initializers import INITIALIZERS
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.parametric import PARAMETRIC
from gpubp.operations.schedules import SCHEDULES
from gpubp.preprocessing.columns import ENCODINGS
from gpubp.preprocessing.rules import MISSING_NUMBERS
from gpubp.preprocessing.scaling import SCALES
from gpubp.preprocessing.target import TASKS

NAMES = ["species", "bill length", "bill_depth", "sex"]
TABLE = "species,bill length,bill_depth,sex\nAdelie,39.1,18.7,male\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "penguins.csv", TABLE)


def offered(monkeypatch: pytest.MonkeyPatch, *words: object) -> list[str]:
    """What bash is told for the last of the words."""
    line = ["gpubp", *map(str, words)]
    monkeypatch.setenv("_GPUBP_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(line))
    monkeypatch.setenv("COMP_CWORD", str(len(line) - 1))
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(line[1:])
    assert ended.value.code in (0, None)
    assert err.getvalue() == ""
    return out.getvalue().splitlines() if out.getvalue().strip() else []


def test_the_choices_are_those_that_there_are() -> None:
    hidden = [name for name, entry in ACTIVATIONS.items() if not entry.only_output]
    known = {
        "activation": [*hidden, *PARAMETRIC],
        "initializer": ("auto", *INITIALIZERS),
        "scale": SCALES,
        "category_encoding": ENCODINGS,
        "missing_numbers": MISSING_NUMBERS,
        "task": TASKS,
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "backend": BACKENDS,
        "engine": ENGINES,
        "monitor": MONITORS,
        "ties": TIES,
    }
    for name, choices in known.items():
        assert set(CHOICES[name]) == set(choices), name
    from sklearn.metrics import get_scorer_names

    assert set(CHOICES["metric"]) - {"loss"} <= set(get_scorer_names())


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("tra",), ["train"]),
        (("train", "t.csv", "--optimizer", "ad"), ["adam", "adamw"]),
        (("train", "t.csv", "--optimizer", "=", "ad"), ["adam", "adamw"]),
        (("train", "t.csv", "--activation", "sel"), ["selu"]),
        (("train", "t.csv", "--preset", ""), ["fast", "good", "best"]),
        (("sweep", "t.csv", "--strategy", "h"), ["halving"]),
        (("sweep", "t.csv", "--metric", "neg_r"), ["neg_root_mean_squared_error"]),
        (("doctor", "--backend", ""), list(CHOICES["backend"])),
        (("train", "t.csv", "--epo"), ["--epochs"]),
        (("train", "t.csv", "--optimizer", "qqq"), []),
        (("train", "t.csv", "--target", ""), []),
        (("train", "--qqq", "--target", ""), []),
    ],
)
def test_values_options_and_commands(
    words: tuple[str, ...], answer: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert offered(monkeypatch, *words) == answer


def test_columns_of_the_table_on_the_line(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quoted = ["species", "bill\\ length", "bill_depth", "sex"]
    assert offered(monkeypatch, "train", table, "--target", "") == quoted
    assert offered(monkeypatch, "train", table, "--epochs", 5, "-t", "bill") == quoted[1:3]
    assert offered(monkeypatch, "train", table, "--target", "'bill l") == ["bill length"]
    assert offered(monkeypatch, "cross-validate", "--categorical", "sex", table, "--categorical", "s") == [
        "species",
        "sex",
    ]
    assert offered(monkeypatch, "predict", "model", table, "--target", "") == []  # it has none


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", TABLE.encode()),
        ("bom.csv", b"\xef\xbb\xbf" + TABLE.encode()),
        ("wide.csv", TABLE.encode("utf-16")),
        ("semicolons.csv", TABLE.replace(",", ";").encode()),
        ("tabs.tsv", TABLE.replace(",", "\t").encode()),
        ("comments.csv", b"# a comment\n\nsep=;\n" + TABLE.replace(",", ";").encode()),
        ("quoted.csv", b'"species","bill length","bill_depth","sex"\r\n'),
        ("a.csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
        ("a.csv.xz", lzma.compress(TABLE.encode())),
        ("long.csv", TABLE.encode() + 100_000 * "ü".encode()),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_the_first_line_names_the_columns(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert columns_of(str(tmp_path / name)) == NAMES


def test_columns_of_other_files(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1], "b c": [2]}).write_parquet(tmp_path / "t.parquet")
    assert columns_of(str(tmp_path / "t.parquet")) == ["a", "b c"]
    assert columns_of(str(DATA / "wheat-seeds.csv")) == []  # numbers: there is no header
    assert columns_of(str(tmp_path)) == []
    assert columns_of(str(write(tmp_path / "latin.csv", ""))) == []
    (tmp_path / "latin.csv").write_bytes("größe,höhe\n1,2\n".encode("cp1252"))
    assert columns_of(str(tmp_path / "latin.csv")) == ["größe", "höhe"]
    assert columns_of(str(write(tmp_path / "spaces.txt", "x y z\n1 2 3\n"))) == ["x", "y", "z"]


def test_what_cannot_be_read_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_bytes(b"\x1f\x8b broken")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 broken")
    os.mkfifo(tmp_path / "pipe")
    for name in ("t.csv", "t.parquet", "nothing.csv", "pipe", ""):
        assert offered(monkeypatch, "train", tmp_path / name, "--target", "") == []


def test_models_whatever_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = numbers_table(tmp_path / "t.csv")
    succeeds("train", table, "--epochs", 1, "--engine", "array", "-o", tmp_path / "my.model")
    write(tmp_path / "mylist.txt", 'not a "gpubp" model')
    (tmp_path / "myfolder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert offered(monkeypatch, "predict", "") == ["my.model"]
    assert offered(monkeypatch, "show", tmp_path / "my") == [str(tmp_path / "my.model")]
    assert offered(monkeypatch, "show", "nowhere/my") == []


def test_completion_imports_little(table: Path) -> None:
    """It runs at every Tab."""
    script = (
        "import sys\nfrom gpubp.cli.app import main\ntry: main()\n"
        "except SystemExit: print(sorted({'numpy', 'polars', 'sklearn'} & set(sys.modules)))"
    )
    words = ["gpubp", "train", str(table), "--target", ""]
    variables = {"_GPUBP_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": "4"}
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | variables, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "species" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is needed")
def test_bash_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", raising=False)
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    with pytest.raises(SystemExit):
        gpubp("--install-completion")
    installed = tmp_path / ".bash_completions" / "gpubp.sh"
    assert str(installed) in (tmp_path / ".bashrc").read_text()
    done = subprocess.run(["bash", "-c", f"source '{installed}' && complete -p gpubp"], capture_output=True, text=True)
    assert "_gpubp_completion" in done.stdout
