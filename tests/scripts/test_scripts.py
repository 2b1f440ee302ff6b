"""The scripts, run as a user runs them."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from script_run import run_here

SCRIPTS = Path(__file__).parents[2] / "scripts"
FIXTURE = Path(__file__).parents[1] / "fixtures" / "pytorch_training.json"


def run(script: str, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")


@pytest.mark.parametrize(
    ("script", "mentions"),
    [
        ("case_study.py", ["--backend", "--epochs"]),
        ("benchmark.py", ["--rows", "--quick", "--json", "--plot", "case-study"]),
        ("crossover.py", ["--quick", "--json", "--markdown"]),
    ],
)
def test_help(script: str, mentions: list[str]) -> None:
    done = run_here(script, "--help")
    assert done.returncode == 0
    assert [word for word in mentions if word not in done.stdout] == []


def test_the_walk_through_the_tutorial(tmp_path: Path) -> None:
    done = run("case_study.py", "--backend", "numpy", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    headings = ["The data", "The bar to clear", "1. Initialise", "2. Propagate forward", "3. Propagate the error back"]
    headings += ["4. Train", "5. Predict", "6. The wheat seeds"]
    places = [done.stdout.index(heading) for heading in headings]
    assert places == sorted(places)
    expected = [
        "15.26       14.84",  # the first row
        "70 of 1, 70 of 2, 70 of 3",
        "28.095",  # the Zero Rule
        "0.1344  0.8474   0.7638",  # weights and bias
        "0.6630",  # an output
        "(0.6630 − 0) · 0.6630 · 0.3370 = 0.1481",
        "(0.2551 · 0.1481 + 0.4495 · −0.0547) · 0.7106 · 0.2894",
        "epoch  1  error 6.350",
        "epoch 20  error 1.132",
        "10 of 10 are right",
        "134.163   143.042   133.913   142.741   157.121",  # errors of the first epoch
        "4.544     6.117     7.379     6.120     4.892",  # and of the last
        "90.476   92.857   97.619   92.857   92.857   93.333",
        "Mean accuracy 93.333 %",
    ]
    assert [text for text in expected if text not in done.stdout] == []
    assert re.search(r"Trained in \d+\.\d\d s on\s+numpy", done.stdout)
    assert "\x1b" not in done.stdout  # no colours in a file
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


def test_the_walk_refuses_an_unknown_backend() -> None:
    done = run_here("case_study.py", "--backend", "abacus")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: Unknown backend 'abacus'")


def test_the_benchmark_in_short(tmp_path: Path) -> None:
    saved = tmp_path / "times.json"
    rows = ("--rows", "case-study", "--rows", "minibatch-small")
    done = run_here("benchmark.py", "--quick", *rows, "--backend", "numpy", "--json", saved)
    assert done.returncode == 0, done.stderr
    for text in (
        "CPU:",
        "BLAS:",
        "numpy:",
        "gpubp array",
        "plain Python",
        "scikit-learn",
        "16-64-64-3, Adam, batch 32",
    ):
        assert text in done.stdout
    told = json.loads(saved.read_text(encoding="utf-8"))
    assert list(told["rows"]) == ["case-study", "minibatch-small"]
    study = told["rows"]["case-study"]
    assert study["checked"] == "the same fold accuracies, and every epoch error to 1e-06"
    assert all(len(times) == 2 and min(times) > 0 for times in study["times"].values())
    assert {"gpubp array", "gpubp case_study()", "plain Python"} <= set(study["times"])
    assert study["least"] == {name: min(times) for name, times in study["times"].items()}
    fastest = min(value for name, value in study["medians"].items() if name.startswith("gpubp"))
    for name, ratio in study["ratios"].items():
        assert ratio == pytest.approx(study["medians"][name] / fastest)
    small = told["rows"]["minibatch-small"]
    assert set(small["missing"]) | set(small["times"]) == {
        "gpubp auto",
        "gpubp lane",
        "gpubp block",
        "gpubp array",
        "scikit-learn",
        "JAX",
        "JAX donated",
        "PyTorch",
        "PyTorch as it comes",
    }
    assert [goal["times"] for goal in small["goals"]] == [3, 40]
    for goal in small["goals"]:
        peers = [small["medians"][name] for name in goal["peers"] if name in small["medians"]]
        ours = min(value for name, value in small["medians"].items() if name.startswith("gpubp"))
        assert goal["found"] == (pytest.approx(min(peers) / ours) if peers else None)


def test_the_rows_of_one_network_of_many_and_of_one_core() -> None:
    rows = ["online-1", "online-5", "minibatch-many", "many-wide", "sgemm-small", "predict-many"]
    named = [argument for row in rows for argument in ("--rows", row)]
    done = run_here("benchmark.py", "--quick", "--repeats", "1", *named, "--backend", "numpy")
    assert done.returncode == 0, done.stderr
    titles = re.findall(r"^(7-5-3 online.*): .*epoch losses as plain Python's, to 0\.0001", done.stdout, re.MULTILINE)
    assert len(set(titles)) == 2
    for package, contender in (("jax", "JAX tuned"), ("torch", "PyTorch")):
        if importlib.util.find_spec(package) is None:
            for title in titles:
                assert re.search(rf"^No {contender} for .*{re.escape(title)}", done.stdout, re.MULTILINE)
        else:
            assert len(re.findall(rf"{contender}\s+\d", done.stdout)) >= len(titles)
    for text in (
        "16-32-3, Adam, batch 32, 2 networks: the same epoch losses",
        "784-128-10, Adam, batch 128, 2 networks: the same epoch losses",
        "16-64-64-3, Adam, batch 32, one thread: the same epoch losses as by train(), to the bit",
        "16-64-64-3, prediction of 100 rows by 64 networks: the same probabilities",
    ):
        assert text in done.stdout
    assert re.search(r"784-128-10, .*JAX, JAX donated +× 2 +\S+", done.stdout)


def test_the_rows_of_sweeps(benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from benchmarks import sweep_seeds

    monkeypatch.setattr(sweep_seeds, "by_scikit_learn", first_answer(sweep_seeds.by_scikit_learn))
    monkeypatch.setattr(sweep_seeds, "usable_cores", lambda: 1)  # joblib starts no processes, which import all again
    saved = tmp_path / "times.json"
    rows = ["sweep-seeds", "sweep-heterogeneous"]
    named = [argument for row in rows for argument in ("--rows", row)]
    done = run_here("benchmark.py", "--quick", "--repeats", "1", *named, "--backend", "numpy", "--json", saved)
    assert done.returncode == 0, done.stderr
    seeds, different = json.loads(saved.read_text(encoding="utf-8"))["rows"].values()
    assert seeds["title"] == "wheat seeds, 6 configurations × 5 folds"
    assert seeds["checked"].startswith("scores within noise of scikit-learn's")
    assert {"gpubp sweep", "gpubp PopulationSearchCV", "scikit-learn"} <= set(seeds["times"])
    assert set(seeds["missing"]) | set(seeds["times"]) >= {"JAX", "JAX with compilation"}
    assert different["title"] == "12 networks 10-1-1 to 10-20-1, SGD, batch 32"
    if importlib.util.find_spec("torch") is not None:
        assert different["checked"].startswith("the same epoch losses of 12 networks")
        assert [goal["times"] for goal in different["goals"] if goal["found"] > 0] == [150, 8]


def first_answer(run: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the first call's answer to all others: what takes long is done once, for the check and its time."""
    answers: list[Any] = []

    def once(*arguments: Any) -> Any:
        if not answers:
            answers.append(run(*arguments))
        return answers[0]

    return once


def test_what_compiling_for_a_sweep_takes(benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import sweep_compile

    from gpubp.backends import NumpyBackend

    monkeypatch.setattr(sweep_compile, "from_nothing", functools.cache(sweep_compile.from_nothing))
    row = sweep_compile.sweep_compile_row(NumpyBackend(), quick=True)
    assert row.check() == "1 compiled in all"
    assert 0 < row.contenders["gpubp"]() < 300
    assert row.contenders[sweep_compile.TRAINING]() > 0


def test_scores_that_differ_by_more_than_chance_are_wrong(benchmarks: ModuleType) -> None:
    from benchmarks.contest import WrongAnswer
    from benchmarks.sweep_seeds import Found, check

    random = np.random.default_rng(0)
    scores = random.uniform(0.85, 0.95, 200)
    theirs = Found(2.0, scores)
    near = Found(1.0, scores + random.normal(0.0, 0.01, 200).clip(-0.015, 0.015))
    seconds: dict[str, float] = {}
    assert "took 2 s" in check({"gpubp sweep": lambda: near, "scikit-learn": lambda: theirs}, seconds)
    assert seconds == {"gpubp sweep": 1.0, "scikit-learn": 2.0}
    for what, wrong in (
        ("above", scores - 0.012),
        ("best", np.append(scores[:-1], 0.999)),
        ("no score", scores * np.nan),
    ):
        with pytest.raises(WrongAnswer, match=f"gpubp sweep: .*{what}"):
            check({"gpubp sweep": lambda wrong=wrong: Found(1.0, wrong), "scikit-learn": lambda: theirs}, {})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell a process's peak")
def test_the_memory_of_a_large_training(benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import memory

    from gpubp.backends import NumpyBackend

    monkeypatch.setattr(memory, "trained", functools.cache(memory.trained))
    row = memory.memory_row(NumpyBackend(), quick=True)
    assert row.contenders[memory.ALLOWED]() == pytest.approx(4e-6 * 3 * (1_863_690 + 256 * 2058))
    assert row.check().startswith("the same epoch losses")
    parameters_and_state = 4e-6 * 3 * 1_863_690
    assert row.contenders["gpubp auto"]() > parameters_and_state


def test_a_goal_is_against_the_best_peer(benchmarks: ModuleType) -> None:
    from benchmarks.contest import Goal, Outcome, Row

    goals = (Goal(3, ("JAX", "JAX donated")), Goal(2, ("PyTorch",)), Goal(1, ("JAX",), ours="gpubp auto"))
    row = Row("r", "a row", "s", lambda: "agreed", {}, goals=goals)
    times = {"gpubp block": [2.0], "gpubp auto": [4.0], "JAX": [8.0], "JAX donated": [5.0]}
    outcome = Outcome(row, "agreed", times)
    assert [found for _, found in outcome.goals()] == [2.5, None, 2.0]


def test_a_timing_in_a_busy_moment_is_taken_again(benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import contest

    moments = [(9.0, 1.5), (2.0, 0.25), (8.0, 0.75), (4.0, 0.0)]  # the run's time, other programs' cores
    monkeypatch.setattr(contest, "WAIT", 0.0)
    monkeypatch.setattr(contest, "timed", lambda run: moments.pop(0))
    row = contest.Row("r", "a row", "s", lambda: "agreed", {"gpubp array": lambda: 0.0})
    outcome = contest.measure(row, 2, quiet=0.5)
    assert outcome.times == {"gpubp array": [2.0, 4.0]}
    assert outcome.others == 0.125


def test_who_else_is_busy(benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from benchmarks.machine import Bystanders

    monkeypatch.setattr(Bystanders, "STAT", tmp_path / "stat")
    assert Bystanders().cores() is None
    monkeypatch.setattr(Bystanders, "_now", lambda self: moments.pop(0))
    moments = [(100.0, 50.0, 1.0), (102.0, 53.0, 2.0)]  # of 2 s: 3 s of all cores' work, 1 s our own
    assert Bystanders().cores() == pytest.approx(1.0)


def test_the_plot_of_the_benchmark(benchmarks: ModuleType, tmp_path: Path) -> None:
    from benchmarks.contest import Outcome, Row

    file = tmp_path / "ratios.svg"
    if importlib.util.find_spec("matplotlib") is None:
        done = run("benchmark.py", "--quick", "--rows", "online-1", "--plot", str(file))
        assert (done.returncode, done.stdout) == (2, "")
        assert "--plot needs matplotlib" in done.stderr
        return
    from benchmarks.plot import draw

    row = Row("r", "a row", "s", lambda: "agreed", {})
    outcome = Outcome(row, "agreed", {"gpubp lane": [2.0, 1.0, 3.0], "a peer": [6.0, 5.0, 9.0]})
    draw([outcome, outcome], {"CPU": "a processor"}, file)
    assert file.read_text(encoding="utf-8").count("<svg") == 1


def test_crossover_marks_a_choice_that_costs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    from crossover import Point, cell

    from gpubp.backends import get_backend
    from gpubp.engines.registry import USUAL_COSTS

    measured = {"lane": 15.5, "array": 20.0}  # µs an update: 1.55 s of 100,000, 0.05 s of compiling; 2 s
    points = {engine: Point(1, (7, 5, 3), 1, "sgd", measured, measured, engine) for engine in measured}
    assert points["lane"].parameters == 58
    assert points["lane"].seconds("lane") == pytest.approx(
        1.55 + USUAL_COSTS["lane"].compile_share(get_backend("numpy"))
    )
    assert points["array"].seconds("array") == pytest.approx(2.0)
    assert points["array"].regret == pytest.approx(2.0 / points["lane"].seconds("lane"))
    assert cell(points["lane"]) == "**16** / 20"
    assert cell(points["array"]) == "16 / **20** (×1.2)"


def test_the_benchmark_refuses_an_unknown_row() -> None:
    done = run_here("benchmark.py", "--rows", "fastest")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Unknown row 'fastest': choose from case-study, online-1" in done.stderr


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package of the benchmark's rows."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import benchmarks

    yield benchmarks
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", ["accuracies", "errors", "nan"])
def test_a_wrong_answer_is_not_timed(benchmarks: ModuleType, kind: str) -> None:
    from benchmarks.case_study import Result, check
    from benchmarks.contest import Row, WrongAnswer, measure

    right = Result([0.9, 0.8], np.array([[5.0, 6.0], [3.0, 4.0]]), 1.0)
    wrong = {
        "accuracies": Result([0.9, 0.7], right.errors, 1.0),
        "errors": Result(right.accuracies, right.errors * (1 + 1e-5), 1.0),
        "nan": Result(right.accuracies, right.errors * np.nan, 1.0),
    }[kind]
    runs = {"gpubp array": lambda: wrong, "plain Python": lambda: right}
    timed: list[float] = []
    row = Row("r", "a row", "s", lambda: check(runs), {"gpubp array": lambda: timed.append(1.0) or 1.0})
    with pytest.raises(WrongAnswer, match="gpubp array"):
        measure(row, repeats=2)
    assert timed == []


@pytest.mark.parametrize("warm", [False, True])
def test_contenders_take_turns_after_a_warm_up(benchmarks: ModuleType, warm: bool) -> None:
    from benchmarks.contest import Row, measure

    calls: list[str] = []

    def contender(name: str, seconds: list[float]) -> float:
        calls.append(name)
        return seconds[calls.count(name) - 1]

    row = Row(
        "r",
        "a row",
        "s",
        lambda: "agreed",
        {
            "gpubp array": lambda: contender("gpubp array", [9.0, 2.0, 3.0, 1.0][warm:]),
            "peer": lambda: contender("peer", [9.0, 8.0, 4.0, 6.0][warm:]),
        },
        warm=warm,
    )
    outcome = measure(row, repeats=3)
    assert calls == ["gpubp array", "peer"] * (3 if warm else 4)
    assert outcome.medians() == {"gpubp array": 2.0, "peer": 6.0}
    assert outcome.ratios() == {"gpubp array": 1.0, "peer": 3.0}


def test_the_pytorch_fixture_is_what_its_script_writes(tmp_path: Path) -> None:
    output = tmp_path / "fixture.json"
    if importlib.util.find_spec("torch") is None:
        done = run_here("make_pytorch_fixture.py", "--output", output)
        assert done.returncode == 1
        assert "needs PyTorch" in done.stderr
        assert not output.exists()
        return
    done = run("make_pytorch_fixture.py", "--output", str(output))
    assert done.returncode == 0, done.stderr
    written, committed = (json.loads(path.read_text(encoding="utf-8")) for path in (output, FIXTURE))
    assert [case["name"] for case in written["cases"]] == [case["name"] for case in committed["cases"]]
    for ours, theirs in zip(written["cases"], committed["cases"], strict=True):
        np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=1e-9)
