"""The README tells the truth: its example runs, its commands exist, its files are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from command_line import succeeds

from gpubp.cli.commands import app

OPTIMISATION = "-O1"  # its examples train much
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_examples_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    frame, imports, example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(ROOT)
    exec(compile(frame, "README.md", "exec"), {})
    assert float(capsys.readouterr().out.split()[0]) > 0.9
    exec(compile(imports, "README.md", "exec"), {})
    exec(compile(example, "README.md", "exec"), {})
    rate, accuracy = map(float, capsys.readouterr().out.split())
    assert 1e-4 <= rate <= 1e-1
    assert accuracy > 0.85


def test_every_command_of_the_table_has_help() -> None:
    commands = re.findall(r"^\| `gpubp ([a-z-]+)", README, re.MULTILINE)
    assert len(commands) == 12
    for command in commands:
        assert "Examples" in succeeds(command, "--help").out


def test_the_examples_of_the_shell_are_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every option and value of them is one, and the table is there."""
    (examples,) = re.findall(r"what becomes of each column\.\n\n```sh\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for example in examples.splitlines():
        words = example.split()[1:]
        assert "wheat-seeds" in words
        assert words[0] in typer.main.get_command(app).commands  # type: ignore[attr-defined]
        succeeds(*words, "--print-config")
    table = succeeds("explain", "wheat-seeds", "--target", "column_8", "--engine", "array", "--json")
    assert table.json["engine"] == "array"


def test_every_link_leads_somewhere() -> None:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"
