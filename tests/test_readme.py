"""The README tells the truth: its example runs, its commands exist, its files are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import succeeds

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    imports, example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(imports, "README.md", "exec"), {})
    exec(compile(example, "README.md", "exec"), {})
    rate, accuracy = map(float, capsys.readouterr().out.split())
    assert 1e-4 <= rate <= 1e-1
    assert accuracy > 0.85


def test_every_command_of_the_table_has_help() -> None:
    commands = re.findall(r"^\| `gpubp ([a-z-]+)", README, re.MULTILINE)
    assert len(commands) == 11
    for command in commands:
        assert "Examples" in succeeds(command, "--help").out


def test_every_link_leads_somewhere() -> None:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"
