"""Write files of every kind with the gpubp of today, as fixtures of tests/house/test_old_files.py.

    python scripts/make_old_files.py

They go to tests/fixtures/written_by_0_1_0 (or the version at hand), with what they have to predict, and to be trained
to, in expected.json. Files of an earlier version are never written again: that they can still be read is what the tests
prove. All but the seconds and dates in the files is the same whenever they are written on one machine.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import gpubp
from gpubp.cli.app import main as command_line

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))
import old_files as old  # noqa: E402

TRAIN = ("--epochs", 4, "--validation", 0.25, "--hidden", "5", "--engine", "array")
TABLE_FILES: dict[str, tuple[object, ...]] = {
    "model": ("--target", "kind", "--categorical", "colour", *TRAIN),
    "regression": ("--target", "price", "--task", "regression", "--target-scale", "log", *TRAIN),
    "ensemble": ("--target", "kind", "--members", 2, "--bootstrap", *TRAIN),
}


def gpubp_json(*arguments: object) -> Any:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = command_line([str(each) for each in (*arguments, "--json", "--quiet", "--backend", "numpy")])
    if code:
        sys.exit(err.getvalue())
    return json.loads(out.getvalue())


def cut(run: Callable[[], object]) -> None:
    with suppress(old.Cut):
        run()
        sys.exit("Nothing was cut short: there would be nothing to go on with.")


def on_tables() -> dict[str, Any]:
    """Models, an ensemble and a sweep, written by the command line."""
    Path("table.csv").write_text(old.mixed_table(), encoding="utf-8")
    expected: dict[str, Any] = {}
    for name, options in TABLE_FILES.items():
        gpubp_json("train", "table.csv", *options, "--output", name)
        asked = () if name == "regression" else ("--probabilities",)
        expected[name] = {
            "predict": gpubp_json("predict", name, "table.csv", *asked),
            "evaluate": gpubp_json("evaluate", name, "table.csv"),
        }
    expected["finished"] = gpubp_json("sweep", "table.csv", *old.SWEEP_COMMAND, "--output", "finished")
    return expected


def trainings() -> dict[str, Any]:
    expected: dict[str, Any] = {}
    for engine in ("array", "lane"):
        checkpoint = gpubp.Checkpoint(f"{engine}.checkpoint", seconds=0)
        cut(lambda: old.train(checkpoint, engine, [old.cut_training]))  # noqa: B023
        expected[f"{engine}.checkpoint"] = old.train(None, engine).tolist()
    return expected


def sweeps() -> dict[str, Any]:
    """One that was cut short, and one that has come to its end and has not let go of its results."""
    cut(lambda: old.halving(Path("unfinished"), watch=[old.cut_in_second_rung]))
    expected: dict[str, Any] = {"unfinished": old.described(old.halving(Path("whole")))}
    shutil.rmtree("whole")
    found = old.random_sweep(Path("complete"))
    expected["complete"] = old.described(found)
    swept, team = found.refit(), found.ensemble(3)
    swept.save("swept")
    team.save("team")
    expected |= {"swept": old.numbers_of(swept), "team": old.numbers_of(team)}
    return expected


def estimators() -> dict[str, Any]:
    expected: dict[str, Any] = {}
    for name, estimator in old.estimators().items():
        estimator.save(name)
        expected[name] = old.numbers_of(estimator)
        if name in ("partial_fit", "adaptive", "warm_start"):
            expected[f"{name}, gone on with"] = old.numbers_of(old.go_on(name, estimator))
    return expected


def main() -> None:
    folder = TESTS / "fixtures" / f"written_by_{gpubp.__version__.replace('.', '_')}"
    if folder.exists():
        sys.exit(f"{folder} is there: old files are not written again. Raise the version, or remove the folder.")
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the trainings are short
        os.chdir(place)
        expected = on_tables() | trainings() | sweeps() | estimators()
        Path("expected.json").write_text(json.dumps(expected) + "\n", encoding="utf-8")
        for lock in Path().rglob("*.lock"):
            lock.unlink()
        shutil.copytree(place, folder)
        os.chdir(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    print(f"{folder}: {len(files)} files, {sum(path.stat().st_size for path in files) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
