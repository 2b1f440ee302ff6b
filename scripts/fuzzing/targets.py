"""Who has to bear a spoiled file or command line: an answer, or one error in words. Anything else is a Fault."""

from __future__ import annotations

import contextlib
import functools
import io
import random
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import typer

from fuzzing import corpus
from fuzzing.mutations import arrays_changed, bytes_changed, document_changed, toml_changed
from gpubp.cli.app import main
from gpubp.cli.commands import app
from gpubp.cli.space import space_of
from gpubp.errors import GpubpError
from gpubp.estimators.files import load, save

typer.main.get_command = functools.cache(typer.main.get_command)  # which takes longer than most cases
QUICK = ("--engine", "array", "--backend", "numpy", "--epochs", "1", "-q")


class Fault(Exception):
    """gpubp ended as it must not."""


class Case:
    """Works in the current folder, which is empty, with the sound files of `files` (see `corpus`)."""

    def __init__(self, kind: str, source: random.Random, files: Path) -> None:
        self.kind, self.source, self.files = kind, source, files

    def run(self) -> None:
        """Fault, or whatever exception came through, where gpubp is wrong."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            KINDS[self.kind](self)

    def spoiled(self, place: str, change: Callable[[bytes, random.Random], bytes], name: str = "spoiled") -> Path:
        found = self.source.choice(sorted((self.files / place).iterdir()))
        path = Path(name)
        path.write_bytes(change(found.read_bytes(), self.source))
        return path

    def gpubp(self, *arguments: object) -> int:
        """The exit code; Fault where it is none of those that there are, or is not told of in one message."""
        out, err = io.StringIO(), io.StringIO()
        stdin, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(b"x,y\n1,2\n" * self.source.randrange(2)))
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main([str(argument) for argument in arguments])
        finally:
            sys.stdin = stdin
        told = err.getvalue()
        if code not in (0, 2) or "Traceback" in told:
            raise Fault(f"exit code {code}: {told[-300:]}")
        if code == 2 and sum(line.startswith("Error: ") for line in told.splitlines()) != 1:
            raise Fault(f"not one message: {told[-300:]}")
        return code


def model(case: Case) -> None:
    path = case.spoiled(case.source.choice(("model", "ensemble")), arrays_changed)
    table = case.files / "table" / "a.csv"
    case.gpubp(*case.source.choice([("show", path), ("show", path, "--json"), ("predict", path, table, "-q", "-p")]))
    case.gpubp(*case.source.choice([("predict", path, table, "-q", "--json"), ("evaluate", path, table, "-q")]))


def estimator(case: Case) -> None:
    path = case.spoiled("estimator", arrays_changed)
    try:
        loaded = load(path)
    except GpubpError:
        return
    rows = np.zeros((2, loaded.n_features_in_))
    assert len(loaded.predict(rows)) == 2
    save(loaded, path)
    if loaded.solver != "lbfgs" and hasattr(loaded, "classes_") and loaded.batch_size == "auto":
        with contextlib.suppress(ValueError):  # what scikit-learn's rules say of the labels
            loaded.partial_fit(rows, loaded.classes_[:1].repeat(2))


def checkpoint(case: Case) -> None:
    path = case.spoiled("checkpoint", arrays_changed)
    with contextlib.suppress(GpubpError):
        corpus.resume(path)


def ledger(case: Case) -> None:
    folder = Path("ledger")
    shutil.copytree(case.files / "ledger", folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".safetensors", ".json"))
    path = case.source.choice(files)
    change = document_changed if path.suffix == ".json" else arrays_changed
    if path.suffix == ".safetensors" and case.source.random() < 0.15:
        name = case.source.choice(("results-00000009", "cohort-00000009", "results-1", "x", "results-00000001 (copy)"))
        shutil.copy(path, path.with_name(f"{name}.safetensors"))
    else:
        path.write_bytes(change(path.read_bytes(), case.source))
    with contextlib.suppress(GpubpError):
        corpus.sweep(folder, resume=True)


def results(case: Case) -> None:
    from gpubp.cli.sweep_outcome import parts
    from gpubp.reporting import load as load_results

    folder = Path("results")
    name = case.source.choice(("classes", "values"))
    folder.mkdir()
    content = (case.files / "results" / name / "results.json").read_bytes()
    (folder / "results.json").write_bytes(document_changed(content, case.source))
    if case.gpubp("report", folder, "-o", "page.html", *case.source.choice([(), ("--json",)])) == 0:
        list(parts(dict(load_results(folder).outcome)))


def space(case: Case) -> None:
    path = case.spoiled("space", toml_changed)
    options = [("--grid", "hidden=2"), ("--range", "l2=0:1"), ("--set", "epochs=1")]
    try:
        found = space_of(path, [], [], [])
        found.sample(3)
    except GpubpError:
        case.gpubp(
            "sweep", case.files / "table" / "a.csv", "--space", path, *case.source.choice(options), "--trials", 0
        )


def parquet(case: Case) -> None:
    path = case.spoiled("parquet", bytes_changed, "spoiled.parquet")
    case.gpubp("predict", case.files / "model" / "classes", path, "-q")


def table(case: Case) -> None:
    path = case.spoiled("table", bytes_changed, "spoiled.csv")
    case.gpubp(
        *case.source.choice([("predict", case.files / "model" / "classes", path, "-q"), ("train", path, *QUICK)])
    )


def command(case: Case) -> None:
    case.gpubp(*_arguments(case))


LONG_LISTS = ("epochs", "trials", "repeats", "members", "folds", "ensemble", "patience", "budget", "eta")
FEW = ("0", "1", "2", "-1", "x", "", "nan", "1.5", "1e3", "\ud800", "inf")
MANY = (*FEW, "3", "0.5", "-inf", "9" * 30, "1e400", str(2**63), "3,2", "none", "all", ",", "64;32", "=", "a=1", "a=x")
MANY = (
    *MANY,
    "beta1=0.5",
    "momentum=2",
    "hidden=inf",
    "hidden=3",
    "learning-rate=0.1:1:log",
    "l2=1:0",
    "x:y:z",
    "\x1b[m",
)
NAMES = ("relu", "adam", "sgd", "cosine", "adaptive", "poisson", "cross_entropy", "float64", "tpe", "halving", "grid")
NAMES = (
    *NAMES,
    "regression",
    "kind",
    "y",
    "tab",
    "whitespace",
    "é",
    "array",
    "standard",
    "robust",
    "quantile",
    "signed",
    "indicate",
    "log",
    "5s",
    "never",
    "numpy",
    "cupy",
)
URLS = ("sqlite:///x.sqlite3", "sqlite:///no/x", "redis://127.0.0.1:1", "mysql://u:p@127.0.0.1:1/x", "x", "", "://")
SKIPPED = ("--help", "-h", "--version", "--install-completion", "--show-completion", "--plots")


def _arguments(case: Case) -> list[str]:
    """A command with some of its options, each with a value of its own kind or another."""
    source = case.source
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    name = source.choice([name for name in commands if name != "doctor"])  # which compiles kernels
    found, trains = [name], name in ("train", "sweep", "cross-validate", "explain")
    paths = [str(path) for path in sorted(case.files.rglob("*")) if path.suffix != ".lock"]
    paths += ["", ".", "-", "no/x", "n" * 300, "/dev/null", "out", "é", "~", "\udcff"]
    options = []
    for parameter in commands[name].params:
        if parameter.param_type_name == "argument":
            if source.random() < 0.95:
                likely = [case.files / "table" / "a.csv"] if parameter.name == "table" else []
                likely += sorted((case.files / "model").iterdir()) if parameter.name == "model" else []
                found.append(str(source.choice(likely)) if likely and source.random() < 0.8 else source.choice(paths))
            continue
        option = source.choice([*parameter.opts, *parameter.secondary_opts])
        if option not in SKIPPED and source.random() < 0.12:
            options.append([option] if parameter.is_flag else [option, _value(parameter.name, source, paths)])
    if trains and not any(option[0] == "--engine" for option in options):
        options.append(["--engine", "array"])
    if trains or name == "case-study":
        for least, value in (("--epochs", "1"), ("--trials", "2"), ("--folds", "2")):
            if any(least in each.opts for each in commands[name].params):
                options.insert(0, [least, value])
    if name == "sweep":
        options.insert(0, ["--set", "epochs=1"])
    if any("--output" in each.opts for each in commands[name].params) and name == "train":
        options.insert(0, ["--output", "out"])
    if source.random() < 0.1:
        options.append([source.choice(("--nothing", "-z", "x", "--", "--json=1", "--epochs"))])
    return [*found, *(word for option in options for word in option)]


def _value(name: str, source: random.Random, paths: list[str]) -> str:
    if name in LONG_LISTS:
        return source.choice(FEW)
    if name == "storage":
        return source.choice(URLS)
    if name in ("output", "plots"):
        return source.choice(("out", "a/b", "", ".", "n" * 300, "/dev/null", "é", "\udcff"))
    if name == "engine":
        return source.choice(("array", "x", "", "9" * 30))
    if name == "space":
        return source.choice(paths)
    return source.choice(source.choice((FEW, MANY, NAMES, (source.choice(paths),))))


KINDS: dict[str, Callable[[Case], None]] = {
    each.__name__: each for each in (model, estimator, checkpoint, ledger, results, space, parquet, table, command)
}


def where(error: BaseException) -> str:
    """What came through, and the last line of gpubp's own that it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "gpubp" in Path(frame.filename).parts]
    place = f" at {'/'.join(Path(frames[-1].filename).parts[-2:])}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}: {ascii(str(error))[:200]}"
