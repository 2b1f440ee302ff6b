"""Running `gpubp` in this process, and tables for it."""

from __future__ import annotations

import functools
import io
import json
import random
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main

from gpubp.cli.app import main

# Making the commands of their functions takes ten times as long as what most of them do, and gives the same every time.
typer.main.get_command = functools.lru_cache(maxsize=8)(typer.main.get_command)

DATA = Path(__file__).parents[1] / "data"
SEEDS = DATA / "seeds_dataset.txt"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON value without NaN or infinity."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is no JSON")

        return json.loads(self.out, parse_constant=refuse)


def gpubp(*arguments: object) -> Outcome:
    """What `gpubp` does with these arguments. An unexpected exception comes through and fails the test."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Outcome(code, out.getvalue(), err.getvalue())


def succeeds(*arguments: object) -> Outcome:
    outcome = gpubp(*arguments)
    assert outcome.code == 0, outcome.err
    return outcome


def refused(folder: Path, *arguments: object, words: str | tuple[str, ...]) -> str:
    """The message of a command that must end with exit code 2, print nothing and change nothing in `folder`."""
    before = contents(folder)
    outcome = gpubp(*arguments)
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert contents(folder) == before
    return only_error(outcome.err, words)


def only_error(err: str, words: str | tuple[str, ...]) -> str:
    """The one error message in standard error, which must hold all the words."""
    lines = err.splitlines()
    errors = [line for line in lines if line.startswith("Error: ")]
    assert len(errors) == 1, err
    assert lines[-1] == errors[0], err
    assert "Traceback" not in err
    for word in (words,) if isinstance(words, str) else words:
        assert word in errors[0]
    return errors[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def numbers_table(path: Path, rows: int = 40) -> Path:
    """x, y and the class `kind` (a or b), which x decides."""
    source = random.Random(4)
    lines = ["x,y,kind"]
    for i in range(rows):
        kind = "ab"[i % 2]
        lines.append(f"{source.gauss(2.0 * (i % 2), 0.5):.3f},{source.gauss(0.0, 1.0):.3f},{kind}")
    return write(path, "\n".join(lines) + "\n")


def mixed_table(path: Path, rows: int = 120) -> Path:
    """Text labels, categories, missing values, and names that a terminal might misread."""
    source = random.Random(3)
    lines = ["age,colour,[bold]city,height,score,group"]
    for i in range(rows):
        group = source.choice(["red team", "blue team"])
        age = source.gauss(40 if group == "red team" else 55, 8)
        colour = source.choice(["red", "green", ""] if group == "red team" else ["blue", "green"])
        height = "" if i % 9 == 0 else f"{source.gauss(170, 9):.1f}"
        city = source.choice(["Bern", "Köln", "[red]Rome"])
        lines.append(f"{age:.1f},{colour},{city},{height},{2 * age + source.gauss(0, 3):.2f},{group}")
    return write(path, "\n".join(lines) + "\n")
