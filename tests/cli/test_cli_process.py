"""`gpubp` as a process: exit codes, pipes, signals, speed."""

from __future__ import annotations

import io
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import SEEDS, gpubp, numbers_table, only_error, succeeds

from gpubp.backends import interruption
from gpubp.search.run.experiment import Experiment

GPUBP = [sys.executable, "-m", "gpubp"]


def process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [*GPUBP, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("process")
    table = numbers_table(folder / "table.csv", rows=20_000)
    succeeds("train", table, "--epochs", 1, "--batch-size", 1000, "--output", folder / "model.safetensors")
    return folder / "model.safetensors"


def test_exit_codes(model: Path, tmp_path: Path) -> None:
    good = process("show", model)
    assert (good.returncode, good.stderr) == (0, "")
    bad = process("train", tmp_path / "nothing.csv", "--output", tmp_path / "m")
    assert (bad.returncode, bad.stdout) == (2, "")
    only_error(bad.stderr, ("nothing.csv", "no such file"))
    usage = gpubp("train", "--epochs", "many", "t.csv")
    assert (usage.code, usage.out) == (2, "")
    only_error(usage.err, "--epochs")
    assert not list(tmp_path.iterdir())


def test_the_installed_command() -> None:
    script = Path(sys.executable).with_name("gpubp")
    if not script.exists():
        pytest.fail("gpubp is not installed beside this Python: pip install -e .")
    found = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"gpubp \d+\.\d+\.\d+\S*\n", found.stdout)


def test_a_defect_shows_its_traceback(model: Path) -> None:
    code = "import gpubp.models.model, gpubp.cli.app as a; del gpubp.models.model.Model; a.main(['show', 'x'])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "Traceback (most recent call last)" in found.stderr
    assert "╭" not in found.stderr


def test_tables_come_through_pipes(model: Path) -> None:
    table = model.with_name("table.csv")
    piped = process("predict", model, "-", "--quiet", input=table.read_text())
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout == succeeds("predict", model, table).out


def test_an_empty_pipe(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    empty = gpubp("evaluate", model, "-")
    assert empty.code == 2
    only_error(empty.err, ("standard input", "empty"))


def test_a_closed_pipe_ends_quietly(model: Path) -> None:
    command = [*GPUBP, "predict", str(model), str(model.with_name("table.csv")), "-p", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "prediction,probability_a,probability_b\n"
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait() == 0


def test_notes_that_nobody_reads_stop_nothing(model: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    arguments = ["train", str(model.with_name("table.csv")), "--epochs", "1", "--output", str(tmp_path / "m")]
    try:
        found = subprocess.run([*GPUBP, *arguments], stdout=subprocess.PIPE, stderr=writer, check=False)
    finally:
        os.close(writer)
    assert found.returncode == 0
    assert b"training loss" in found.stdout
    succeeds("show", tmp_path / "m")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_standard_output_on_a_full_disk(model: Path) -> None:
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            [*GPUBP, "show", str(model)], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert found.returncode == 2
    only_error(found.stderr, ("standard output", "No space left on device"))


def test_closed_standard_streams(model: Path) -> None:
    command = shlex.join([*GPUBP, "predict", str(model), str(model.with_name("table.csv"))])
    assert subprocess.run(["sh", "-c", f"{command} >&- 2>&-"], check=False).returncode == 2, "nobody had the answers"
    written = f"{command} -o {shlex.quote(str(model.with_name('a.csv')))} >&- 2>&-"
    assert subprocess.run(["sh", "-c", written], check=False).returncode == 0
    closed = subprocess.run(["sh", "-c", f"{command} >&-"], stderr=subprocess.PIPE, text=True, check=False)
    assert closed.returncode == 2
    only_error(closed.stderr, "standard output: it is closed")


def test_a_closed_standard_input(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("standard input: it is closed", "name a file")
    line = shlex.join([*GPUBP, "predict", str(model), "-"])
    closed = subprocess.run(["sh", "-c", f"{line} <&-"], capture_output=True, text=True, check=False)
    assert (closed.returncode, closed.stdout) == (2, "")
    only_error(closed.stderr, words)
    monkeypatch.setattr(sys, "stdin", None)  # as it is in such a process
    for command in ("train", "explain"):
        outcome = gpubp(command, "-")
        assert (outcome.code, outcome.out) == (2, "")
        only_error(outcome.err, words)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_help_that_nobody_can_read() -> None:
    for arguments in (["--help"], ["train", "--help"], ["--version"]):
        with open("/dev/full", "w") as full:
            found = subprocess.run([*GPUBP, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert found.returncode == 2
        only_error(found.stderr, ("standard output", "No space left on device"))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        found = subprocess.run([*GPUBP, "train", "--help"], stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)
    assert (found.returncode, found.stderr) == (0, b"")


def test_output_survives_a_terminal_without_these_characters(model: Path) -> None:
    found = process("cross-validate", SEEDS, "--epochs", 1, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert found.returncode == 0, found.stderr
    assert "accuracy" in found.stdout
    assert found.stdout.isascii()


def test_ctrl_c_keeps_the_best_weights_and_says_so(tmp_path: Path) -> None:
    """With standard error on a terminal, which gets the progress bar; interrupted once the bar has seen some epochs."""
    pty = pytest.importorskip("pty")
    output = tmp_path / "model.safetensors"
    arguments = ["train", str(SEEDS), "--epochs", "100000000", "--lr", "1e-5", "--output", str(output)]
    arguments += ["--early-stopping", "--patience", "100000000"]
    ours, theirs = pty.openpty()
    command = [*GPUBP, *arguments]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment) as running:
        os.close(theirs)
        try:
            bar = read_until(ours, r"epoch +\d{2,}/100000000.*validation loss")
            running.send_signal(signal.SIGINT)
            said = bar + read_until(ours, "were saved to")
            out, _ = running.communicate(timeout=60)
        finally:
            running.kill()
    os.close(ours)
    assert running.returncode == 130
    assert "Traceback" not in said
    assert re.search(r"Interrupted after [\d,]+ epochs: the best weights so far were saved to", said)
    assert "(interrupted)" in out
    assert succeeds("show", output, "--json").json["training"]["interrupted"] is True
    assert succeeds("evaluate", output, SEEDS, "--json").json["accuracy"] > 0.3


def read_until(descriptor: int, pattern: str, seconds: float = 60.0) -> str:
    """What a program writes to a terminal until the pattern appears, without its colours and cursor movements."""
    seen, deadline = "", time.monotonic() + seconds
    while not re.search(pattern, seen):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            pytest.fail(f"{pattern!r} did not appear in {seen[-500:]!r}")
        seen += re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", os.read(descriptor, 65536).decode(errors="replace"))
    return seen


@pytest.fixture
def interrupted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Ctrl-C came in the moment in which a training begins."""
    enter = interruption.Interruption.__enter__

    def enter_and_request(self: interruption.Interruption) -> interruption.Interruption:
        enter(self)
        self.requested = True
        return self

    monkeypatch.setattr(interruption.Interruption, "__enter__", enter_and_request)


@pytest.mark.usefixtures("interrupted_at_once")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_interrupted_study_prints_nothing_half_done(options: tuple[str, ...]) -> None:
    for arguments in (("case-study",), ("cross-validate", SEEDS)):
        outcome = gpubp(*arguments, *options)
        assert (outcome.code, outcome.out) == (130, "")
        assert "Interrupted before the end of the training: there are no results." in outcome.err


@pytest.mark.usefixtures("interrupted_at_once")
def test_nothing_is_saved_before_the_first_epoch_is_done(tmp_path: Path) -> None:
    outcome = gpubp("train", SEEDS, "--output", tmp_path / "m")
    assert (outcome.code, outcome.out) == (130, "")
    assert "no model was written" in outcome.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_interrupted_sweep_gives_what_is_done(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell, sent = Experiment._tell, []

    def tell_and_interrupt(self: Experiment) -> None:
        tell(self)
        if self._networks and not sent:
            sent.append(True)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Experiment, "_tell", tell_and_interrupt)
    space = ("--grid", "hidden=2;3;4", "--set", "epochs=2", "--strategy", "grid", "--engine", "array")
    outcome = gpubp("sweep", SEEDS, *space, "--folds", "2", "--output", tmp_path / "found", *options)
    assert outcome.code == 130
    done = "2 of 6 networks are done (1 of 3 trials)"
    assert f"The sweep ended early: {done}, and what follows is of these trials." in outcome.err
    assert f"Interrupted: {done}, and these are their results. --resume goes on with it." in outcome.err
    assert (tmp_path / "found" / "best.safetensors").exists()
    assert outcome.out


def test_ctrl_c_outside_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gpubp.tables.read_table", interrupt)
    outcome = gpubp("cross-validate", SEEDS)
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "Interrupted.\n")


@pytest.mark.parametrize("module", ["typer", "gpubp.cli.train", "gpubp.cli.output"])
def test_ctrl_c_while_the_program_starts(module: str) -> None:
    code = (
        "import signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}: signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from gpubp.cli.app import main\n"
        "sys.exit(main(['--version']))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "Interrupted.\n")


def test_help_is_light() -> None:
    """No array library, no table reader: what makes `gpubp --help` start fast."""
    code = (
        "import sys, gpubp.cli.app as a; a.main(['train', '--help'])\n"
        "heavy = {'numpy', 'polars', 'sklearn', 'scipy', 'cupy', 'safetensors', 'jinja2'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_no_command_waits_for_scikit_learn(tmp_path: Path) -> None:
    """Nor for SciPy and pandas: all of them together take longer to import than a small table to train on."""
    table = numbers_table(tmp_path / "t.csv")
    model = str(tmp_path / "m.safetensors")
    brief = ["--epochs", "1", "--engine", "array", "--backend", "numpy"]
    sweep = ["sweep", str(table), "--trials", "2", "--engine", "array", "--backend", "numpy", "--set", "epochs=1"]
    commands = [
        ["train", str(table), "--validation", "0.2", "-o", model, *brief],
        ["evaluate", model, str(table), "--backend", "numpy"],
        ["cross-validate", str(table), "--early-stopping", *brief],
        ["cross-validate", str(table), "--target", "y", *brief],
        [*sweep, "-o", str(tmp_path / "runs"), "--report"],
        [*sweep, "--target", "y", "--metric", "loss"],
    ]
    code = (
        "import sys\n"
        "from gpubp.cli.app import main\n"
        "sys.modules.update(dict.fromkeys(['sklearn', 'scipy', 'pandas', 'joblib']))\n"  # importing None fails
        f"sys.exit(any([main([*command, '--quiet']) for command in {commands!r}]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
