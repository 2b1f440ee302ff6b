"""The check of a device, rehearsed without one: on the stand-in, tiny, with parts that crash and hang."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from script_run import run_here

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The packages of the scripts can be imported."""
    monkeypatch.syspath_prepend(SCRIPTS)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ("gpu", "gpu_check", "benchmarks")]:
        del sys.modules[name]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / "gpu_check.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")


def rows_of(part: str, tmp_path: Path, group: str = "") -> list[dict[str, Any]]:
    """What the part finds on the stand-in, which the caller has installed."""
    from gpu import timing
    from gpu.findings import Findings
    from gpu.parts import PARTS
    from gpu.work import Work
    from gpu.worker import measure

    timing.LONG_ENOUGH = 0.001
    work = Work(tmp_path, group, deadline=float("inf"), stand_in=True)
    findings = Findings(tmp_path / f"{part}.json", part)
    assert measure(importlib.import_module(PARTS[part].module).items(work), work, findings) == 0
    written = json.loads(findings.path.read_text(encoding="utf-8"))
    assert written["done"] == written["items"]
    return written["rows"]


def page_of(**parts: list[dict[str, Any]]) -> str:
    from gpu.findings import Findings
    from gpu.page import lines

    nowhere = Findings(Path("nowhere.json")).content
    return "\n".join(lines({name: nowhere | {"rows": rows} for name, rows in parts.items()}, stand_in=True))


def test_one_command(tmp_path: Path) -> None:
    """A part in its process on the stand-in, one that has nothing to do, and the page."""
    page = tmp_path / "lab" / "gpu-none.md"
    done = run("--stand-in", "--parts", "machine,sanitize", "--out", str(tmp_path / "out"), "--page", str(page))
    assert done.returncode == 0, done.stdout + done.stderr
    told = page.read_text(encoding="utf-8")
    assert told == (tmp_path / "out" / "page.md").read_text(encoding="utf-8")
    for line in ("# gpubp on Stand-in for a CUDA device", "| multiprocessors | 132 |", "Not run: doctor, bits"):
        assert line in told
    assert "There is no device to check." in told
    assert told.count("| done |") == 2


def test_an_unknown_part_is_refused() -> None:
    done = run_here("gpu_check.py", "--parts", "machine,engines")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Unknown part 'engines': choose from machine, doctor" in done.stderr


def test_the_parts_on_the_stand_in(standin: Any, tmp_path: Path) -> None:
    bits, speed, variants = (rows_of(part, tmp_path) for part in ("bits", "speed", "variants"))
    assert [row["passed"] for row in bits] == [True] * len(bits)
    assert {row["item"].split("-")[0].split(" ")[0] for row in bits} == {"lane", "block", "array"}
    assert [row["engine"] for row in speed] == ["lane", "block", "array"]
    assert all(row["us"] > 0 and row["flops"] > 0 for row in [*speed, *variants])
    assert [row["differing"] for row in variants] == [0, 0]
    page = page_of(bits=bits, speed=speed, variants=variants)
    assert "The CPU's bits in 3 of 3 trainings by lane and block" in page
    assert "| 2-2-3, SGD, batch 1 | 3 | lane | " in page
    assert "| 3-5-3, Adam, batch 4, 2 networks | nothing in shared memory | " in page


@pytest.mark.parametrize("group", ["jax", "torch"])
def test_peers(standin: Any, tmp_path: Path, group: str) -> None:
    rows = rows_of("peers", tmp_path, group)
    if importlib.util.find_spec(group) is None:
        assert [list(row) for row in rows] == [["item", "absent"]]
        assert page_of(peers=rows).endswith(
            " is not installed.\n\nNot run: machine, doctor, bits, speed, case, variants, sanitize, tests."
        )
        return
    assert [row for row in rows if "error" in row] == []
    assert all(row["apart"] < 1e-5 for row in rows if not row["name"].startswith("gpubp"))
    assert page_of(peers=rows).count("| × 1 |") == 3  # gpubp against itself


def test_a_peer_with_other_losses_is_not_timed(standin: Any) -> None:
    from gpu.contenders import TINY
    from gpu.peers import Opponents

    opponents = Opponents()
    (ours,) = opponents.gpubp(TINY[0], "a peer")
    assert ours["us"] > 0
    wrong = opponents.losses[TINY[0].name] * 1.01
    (row,) = opponents.peer(TINY[0], "a peer", "a peer", lambda: (1.0, wrong))
    assert "us" not in row
    assert "× 1 |" in page_of(peers=[{"item": "gpubp", **ours}, {"item": "peer", **row}])
    assert "1.0e-02 apart from gpubp's: not timed" in row["error"]


BROKEN = """
    import os, time
    from gpu.work import Item

    def items(work):
        def one(): yield {"number": 1}
        def raises(): yield {"number": 2}; raise ValueError("nothing to see")
        def crashes(): os._exit(7)
        def hangs(): yield {"number": 4}; time.sleep(3600)
        return [Item("one", one), Item("raises", raises), Item("crashes", crashes), Item("hangs", hangs, limit=0.2),
                Item("late", one, needs=1e9), Item("last", one)]
"""


def test_whatever_ends_a_process_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpu.page import complaints, lines
    from gpu.parts import Part
    from gpu.runner import Runner, environment

    (tmp_path / "broken_part.py").write_text(textwrap.dedent(BROKEN), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told: list[str] = []
    broken = Part("variants", "broken_part", 1, "A title")
    findings = Runner(tmp_path, environment(), False, told.append).run(broken, 1e6)
    assert findings.rows == [
        {"item": "one", "number": 1},
        {"item": "raises", "number": 2},
        {"item": "raises", "error": "ValueError: nothing to see"},
        {"item": "crashes", "error": "the process ended with 7"},
        {"item": "hangs", "number": 4},
        {"item": "hangs", "error": "took longer than 0 s"},
        {"item": "last", "number": 1},
    ]
    assert findings.content["left_out"] == ["late"]
    assert told[0].startswith("variants: done, ")
    assert told[0].endswith(" 7 rows, 3 errors, 1 items left out")
    assert len(complaints(findings.content)) == 3
    findings.content["rows"] = [row for row in findings.rows if "error" in row]
    page = "\n".join(lines({"variants": findings.content}, False))
    assert "- raises: ValueError: nothing to see" in page
    assert "Left out, for want of time: late." in page


def test_a_part_is_cut_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpu import runner
    from gpu.parts import Part

    endless = "import time\nfrom gpu.work import Item\n"
    endless += "def items(work): return [Item('endless', lambda: time.sleep(3600), 0), Item('next', list, 0)]\n"
    (tmp_path / "endless_part.py").write_text(endless, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(runner, "LEAST", 0.0)
    run = runner.Runner(tmp_path, runner.environment(), False, lambda _: None).run
    findings = run(Part("speed", "endless_part", 1, "A title"), 3.0)
    assert findings.content["ending"] == "cut at its limit"
    assert findings.content["left_out"] in (["next"], [])  # a busy machine has not begun by then
    assert findings.rows in ([{"item": "endless", "error": "cut at its limit"}], [])


def test_a_part_that_cannot_begin_says_why(tmp_path: Path) -> None:
    from gpu.parts import Part
    from gpu.runner import Runner, environment

    missing = Part("speed", "no_such_part", 1, "A title", ("first", "second"))
    findings = Runner(tmp_path, environment(), False, lambda _: None).run(missing, 1e6)
    assert findings.content["ending"] == "failed"
    assert [row["item"] for row in findings.rows] == ["first", "second"]
    assert "No module named 'no_such_part'" in findings.rows[0]["error"]


def test_the_outcomes_of_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpu import tests
    from gpu.work import Work

    (tmp_path / "test_three.py").write_text(
        "import pytest\npytestmark = pytest.mark.gpu\n"
        "def test_good(): pass\ndef test_bad(): assert 1 == 2\ndef test_absent(): pytest.skip('no device')\n"
    )
    (tmp_path / "test_unimportable.py").write_text("import a_package_that_is_not_there\n")
    for variable in ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS", "PYTEST_PLUGINS"):  # of the run that this test is in
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SCRIPTS), str(ROOT)]))
    monkeypatch.setattr(tests, "REHEARSED", (tmp_path,))
    monkeypatch.setattr(tests, "find_spec", lambda name: None)  # one process is enough
    (row,) = tests.run(Work(tmp_path, "", float("inf"), stand_in=True))
    assert row["counts"] == {"passed": 1, "failed": 1, "skipped": 1}
    assert [(failed["test"].split("::")[1], failed["reason"]) for failed in row["failed"]] == [
        ("test_bad", "assert 1 == 2")
    ]
    assert row["skipped"] == {"Skipped: no device": 1}
    assert "No module named 'a_package_that_is_not_there'" in next(iter(row["uncollected"].values()))
    page = page_of(tests=[{"item": "pytest", **row}])
    assert "1 passed, 1 failed, 1 skipped, in 1 files, 1 at a time." in page
    assert "test_bad: assert 1 == 2" in page


def test_a_difference_is_found() -> None:
    from gpu.distance import apart

    expected = {"params": np.array([[1.0, -0.0, 4.0]], np.float32)}
    found = {"params": np.array([[1.0, 0.0, 4.5]], np.float32)}
    row = apart(found, expected, 0.0)
    assert row == {"numbers": 3, "differing": 2, "most": 0.5, "relative": 0.125, "passed": False}
    assert apart(found, expected, 0.2)["passed"]
    assert apart({"params": expected["params"] * np.nan}, expected, 0.2)["relative"] == np.inf
    with pytest.raises(ValueError, match="not all are finite"):
        apart(found, {"params": expected["params"] * np.nan}, 0.0)


@pytest.mark.parametrize(
    ("code", "lines", "passed"),
    [
        (0, ["trained by block: [1.]", "========= ERROR SUMMARY: 0 errors"], True),
        (
            0,
            ["trained by block: [1.]", "========= RACECHECK SUMMARY: 0 hazards displayed"],
            True,
        ),
        (99, ["trained by block: [1.]", "========= ERROR SUMMARY: 2 errors"], False),
        (0, ["========= ERROR SUMMARY: 0 errors"], False),
        (0, ["trained by block: [1.]"], False),
    ],
)
def test_what_the_sanitizer_says(code: int, lines: list[str], passed: bool) -> None:
    from gpu.sanitize import judged

    row = judged(code, lines)
    assert (row["passed"], "error" in row) == (passed, not passed)


def test_names_are_unique_and_every_part_has_its_section() -> None:
    """Items are known by their names, also after a process has died."""
    from gpu import bits, contenders, speed, variants
    from gpu.parts import PARTS
    from gpu.sections import SECTIONS
    from gpu.work import Work

    assert list(SECTIONS) == list(PARTS)
    work = Work(Path(), "", float("inf"), stand_in=False)
    for names in (
        [each.name for each in bits.all_comparisons()],
        [each.name for each in contenders.CONTESTS],
        [item.name for item in speed.items(work)],
        [str(place) for place in variants.PLACES],
        [variant.name for variant in variants.VARIANTS],
    ):
        assert len(names) == len(set(names))


def test_a_variant_that_would_be_the_kernel_as_it_is_is_refused() -> None:
    from gpu.variants import Variant

    with (
        pytest.raises(ValueError, match="knows no THREEDS"),
        Variant("misspelt", definitions={"THREEDS": 64}).applied(),
    ):
        pass


def test_the_time_of_a_unit_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from gpu import timing

    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)

    def run(units: int) -> None:
        clock.now += 0.7 + 0.01 * units

    seconds, units = timing.slope(run)
    assert seconds == pytest.approx(0.01)
    assert units >= 12
