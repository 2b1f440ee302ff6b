"""`gpubp train` without options of a network: the portfolio, what is said of it, what becomes of an interrupted one."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from command_line import SEEDS, gpubp, numbers_table, refused, succeeds, write

from gpubp import Ensemble
from gpubp.search.run.experiment import Experiment

OPTIMISATION = "-O1"  # trains much
FAST = ("--preset", "fast", "--backend", "numpy")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return numbers_table(tmp_path / "t.csv")


def test_a_table_alone_is_enough(table: Path, tmp_path: Path) -> None:
    outcome = succeeds("train", table, "-o", tmp_path / "m", "--backend", "numpy")
    for words in ("configuration", "together", "on unseen rows", "without inputs", "preset good"):
        assert words in outcome.out
    assert "Target 'kind'" in outcome.err
    assert isinstance(Ensemble.load(tmp_path / "m"), Ensemble)
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", "m"}, "no checkpoints are left"
    assert "prediction" in succeeds("predict", tmp_path / "m", table).out
    assert "accuracy" in succeeds("evaluate", tmp_path / "m", table).out
    shown = succeeds("show", tmp_path / "m").out
    assert "temperature" in shown
    assert "neg_log_loss" in shown


def test_it_is_what_python_trains(table: Path, tmp_path: Path) -> None:
    from gpubp import train_tabular

    found = succeeds("train", table, *FAST, "-o", tmp_path / "m", "--seed", 3, "--json").json
    fit = train_tabular(table, preset="fast", seed=3, backend="numpy", fixed={"clip_predictions": True})
    assert found["score"] == fit.score
    assert found["temperature"] == fit.ensemble.temperature
    assert [each["score"] for each in found["leaderboard"]] == [each.score for each in fit.leaderboard]


@pytest.mark.parametrize("option", [("--hidden", "4"), ("--epochs", "3"), ("--members", "2"), ("--recipe", "plain")])
def test_an_option_of_a_network_trains_that_network(option: tuple[str, ...], table: Path, tmp_path: Path) -> None:
    quick = () if option[0] == "--epochs" else ("--epochs", "2")
    found = succeeds("train", table, *option, *quick, "-o", tmp_path / "m", "--json").json
    assert "preset" not in found
    words = f"--preset is for a portfolio of networks, and {min(option[0], quick[0] if quick else option[0])} names one"
    refused(tmp_path, "train", table, *option, *quick, "--preset", "fast", "-o", tmp_path / "m", words=words)
    refused(tmp_path, "train", table, *option, *quick, "--budget", "9s", "-o", tmp_path / "m", words="--budget is for")


def test_options_that_go_with_a_preset(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "x,y\n" + "".join(f"{i},{2.0 ** (i % 12)}\n" for i in range(60)))
    given = ("train", table, *FAST, "-o", tmp_path / "m", "--target-scale", "log", "--no-clip", "--json")
    found = succeeds(*given, "--task", "regression").json
    assert found["target_scale"] == "log"
    assert found["target_limits"] is None
    assert found["target_scale_offer"] is None
    refused(tmp_path, *given, words="The target scale log is for numbers, and 'y' has classes")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--preset", "fats"), "Did you mean 'fast'"),
        (("--budget", "soon"), "--budget 'soon': give a time"),
        (("--resume", "--checkpoint", "never"), "leave --checkpoint never out"),
    ],
)
def test_what_makes_no_sense_is_refused(options: tuple[str, ...], words: str, table: Path, tmp_path: Path) -> None:
    refused(tmp_path, "train", table, *options, "-o", tmp_path / "m", words=words)


def test_ctrl_c_keeps_what_is_done_and_resume_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = succeeds("train", SEEDS, "-o", tmp_path / "whole", *FAST, "--json").json
    tell, sent = Experiment._tell, []

    def tell_and_interrupt(self: Experiment) -> None:
        tell(self)
        if self._scored and not sent:
            sent.append(True)
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "_tell", tell_and_interrupt)
        cut = gpubp("train", SEEDS, "-o", tmp_path / "m", *FAST, "--json")
    assert cut.code == 130
    assert "the best of these were saved to" in cut.err
    assert "Go on with --resume." in cut.err
    assert cut.json["interrupted"]
    assert cut.json["configurations"] < whole["configurations"]
    assert Ensemble.load(tmp_path / "m").n_members > 0
    refused(tmp_path, "train", SEEDS, "-o", tmp_path / "m", *FAST, words=("was cut short", "--resume"))
    resumed = succeeds("train", SEEDS, "-o", tmp_path / "m", *FAST, "--resume", "--json").json
    assert resumed["score"] == whole["score"]
    assert (tmp_path / "m").read_bytes() == (tmp_path / "whole").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "m"}


def test_nothing_is_left_where_nothing_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Experiment) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Experiment, "_tell", interrupt)
    monkeypatch.setattr(Experiment, "must_end", lambda self: True)
    outcome = gpubp("train", SEEDS, "-o", tmp_path / "m", "--backend", "numpy")
    assert outcome.code in (2, 130)
    assert not list(tmp_path.iterdir())
