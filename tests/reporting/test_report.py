"""The report of a sweep: what the page and the pictures hold, and what is said of a file that is none."""

from __future__ import annotations

import copy
import json
import random
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from command_line import SEEDS, gpubp, mixed_table, refused, succeeds

from gpubp.reporting.axes import Axis, number
from gpubp.reporting.figures import Points
from gpubp.reporting.outcomes import wilson
from gpubp.reporting.page import page
from gpubp.reporting.parameters import MOST_POINTS, chosen, score_charts, varied
from gpubp.reporting.reading import load
from gpubp.reporting.results import Bin

VOID = {"meta", "br"}
SECTIONS = ["leaderboard", "hyperparameters", "parallel", "curves", "predictions", "use", "notes"]
SMALL = ("--set", "epochs=12", "--folds", 3, "--ensemble", 3, "--quiet")


class Page(HTMLParser):
    """Tags that are opened and closed in their order, attributes, and texts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> has an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> outside a picture is not closed by this"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes <{self.open[-1:]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def having(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]

    def count(self, tag: str, kind: str) -> int:
        return sum(found == tag and kind in (attrs.get("class") or "").split() for found, attrs in self.tags)


def checked(html: str) -> Page:
    """The page, which has every section, closes what it opens, and asks for nothing from elsewhere."""
    found = Page(html)
    assert [attrs.get("id") for tag, attrs in found.tags if tag == "section"] == SECTIONS
    assert not {"link", "img", "iframe", "object", "embed", "base", "form", "image", "use"} & {t for t, _ in found.tags}
    for name in ("src", "href", "xlink:href", "srcset", "style", "action"):
        assert found.having(name) == [], name
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
    assert "@import" not in html
    assert "url(" not in html
    assert "http://" not in html
    assert "https://" not in html
    for tag, attrs in found.tags:
        if tag == "svg":
            assert attrs.get("aria-hidden") == "true" or (attrs["role"] == "img" and attrs["aria-label"])
    assert "nan" not in re.findall(r'"[^"]*\bnan\b[^"]*"', html)
    return found


def made(folder: Path, *arguments: object) -> Page:
    """The page of a sweep with these arguments, which is written into the folder."""
    succeeds("sweep", *arguments, *SMALL, "--report", "-o", folder)
    return checked((folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "wheat"
    space = ("--grid", "hidden=3;4,2", "--range", "learning-rate=0.005:0.2:log", "--range", "l2=1e-6:0.1:log")
    succeeds("sweep", SEEDS, *space, *SMALL, "--trials", 30, "--seed", 1, "-o", folder)
    return folder


def document(folder: Path) -> dict[str, Any]:
    """Without its checksum, so that it may be changed."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_bytes())
    assert len(found.pop("sha256")) == 64
    return found


def page_of(folder: Path, results: dict[str, Any]) -> str:
    """The page of results that were changed."""
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results))
    return page(load(folder))


def test_a_classification(wheat: Path, tmp_path: Path) -> None:
    told = succeeds("report", wheat, "--json").json
    assert told == {"written": str(wheat / "report.html"), "plots": []}
    found, results = checked((wheat / "report.html").read_text()), document(wheat)
    best = results["outcome"]["best"]
    for words in (
        "Sweep of seeds_dataset.txt",
        f"{best['score']:.4f} ± {best['standard_deviation']:.4f}",
        f"{results['outcome']['baseline']:.4f}",
        "column_8 (3 classes) in 210 rows × 7 columns; random search, 30 trials × 3 folds",
        "networks trained 90",
        "The next 20 trials",
        f"gpubp predict {wheat / 'best.safetensors'} new.csv",
        f"gpubp predict {wheat / 'ensemble.safetensors'} new.csv",
        results["outcome"]["command"],
        "0.005 to 0.2, logarithmic",
        "Expected calibration error",
    ):
        assert words in found.text
    for name in ("hidden", "learning-rate", "l2", "Parallel coordinates", "Loss", "Accuracy", "Confusion matrix"):
        assert name in found.texts
    assert found.count("svg", "chart") == 3 + 2 + 2
    assert found.count("svg", "parallel") == 2  # for wide and for narrow screens
    assert found.count("rect", "cell") == 9
    for name in ("color-scheme", "viewport"):
        assert name in found.having("name")
    html = (wheat / "report.html").read_text()
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    policy = next(content for content in found.having("content") if "src" in content)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert sum(len(row) for row in results["best"]["predictions"]["confusion_matrix"]) == 9


def test_every_trial_is_drawn_in_every_chart(wheat: Path) -> None:
    results = load(wheat)
    for chart in score_charts(results):
        drawn = [trial for mark in chart.marks if isinstance(mark, Points) for trial in mark.trials]
        assert sorted(drawn) == list(range(30))
        best = [mark.trials for mark in chart.marks if isinstance(mark, Points) and mark.kind == "best"]
        assert best == [(results.best.number,)]


def test_the_page_is_the_same_every_time(wheat: Path) -> None:
    assert page(load(wheat)) == page(load(wheat))


def test_a_regression_with_conditions_and_missing_values(tmp_path: Path) -> None:
    table = mixed_table(tmp_path / "table.csv")
    space = ("--grid", "optimizer=adam;momentum", "--range", "momentum=0.5:0.9", "--grid", "batch-size=all;16")
    found = made(tmp_path / "runs", table, "-t", "score", *space, "--trials", 12)
    for words in ("Predicted against true", "Residuals", "R²", "root mean squared error", "do not have it", "Missing"):
        assert words in found.text
    assert "Confusion" not in found.text
    assert {"none", "all", "adam"} <= set(found.texts)
    assert "[bold]city" not in found.text or "Missing texts" in found.text


def test_a_single_trial(tmp_path: Path) -> None:
    found = made(tmp_path / "runs", SEEDS, "--set", "hidden=3", "--set", "learning-rate=0.05", "--set", "l2=0")
    for words in ("best and only trial", "There is only one trial", "takes two trials", "Confusion matrix"):
        assert words in found.text
    assert "ensemble 0" not in found.text


def test_a_grid_of_categories_alone(tmp_path: Path) -> None:
    choices = ("--grid", "hidden=3;4,2;none", "--grid", "activation=relu;tanh", "--grid", "shuffle=true;false")
    found = made(tmp_path / "runs", SEEDS, *choices, "--strategy", "grid")
    assert {"4,2", "none", "tanh", "yes", "no"} <= set(found.texts)
    assert "grid search, 12 trials" in found.text


def test_halving(tmp_path: Path) -> None:
    options = ("--range", "learning-rate=0.001:0.3:log", "--set", "epochs=45", "--strategy", "halving", "--trials", 9)
    folder = tmp_path / "runs"
    succeeds("sweep", SEEDS, *options, "--folds", 2, "--quiet", "--report", "-o", folder)
    found = checked((folder / "report.html").read_text())
    assert "8 of 9 trials were stopped before the last epoch" in found.text
    assert "stopped before its last epoch" in found.text
    medians = [mark.kind for chart in score_charts(load(folder)) for mark in chart.marks if mark.kind == "median"]
    assert medians == []  # of the one that was trained to the end


def test_all_but_one_diverged(tmp_path: Path) -> None:
    table = tmp_path / "values.csv"
    values = np.random.default_rng(0).normal(size=(40, 2))
    table.write_text("a,b,y\n" + "".join(f"{a},{b},{2 * a - b}\n" for a, b in values))
    rates = ("--grid", "learning-rate=0.01;1e20;1e25;1e30", "--set", "optimizer=sgd", "--set", "hidden=4")
    found = made(tmp_path / "runs", table, "-t", "y", *rates, "--strategy", "grid")
    assert "3 trials diverged" in found.text
    assert "3 of 4 trials diverged: a network left the finite numbers" in found.text
    assert found.count("g", "diverged") >= 2  # in the legend and in the chart


def test_early_stopping_shows_what_was_kept(tmp_path: Path) -> None:
    options = ("--grid", "learning-rate=0.05;0.1", "--set", "early-stopping=true", "--set", "patience=3")
    found = made(tmp_path / "runs", SEEDS, *options)
    assert "weights kept by early stopping" in found.text
    assert "rows that were held back for early stopping" in found.text


def test_thousands_of_trials_are_thinned(wheat: Path, tmp_path: Path) -> None:
    results, source = document(wheat), random.Random(3)
    first = results["trials"][0]
    results["trials"] = [
        copy.deepcopy(first)
        | {"trial": i, "rank": i + 1, "mean": 0.95 - i * 1e-4, "parameters": first["parameters"] | drawn(source)}
        for i in range(5000)
    ]
    results["best"]["trial"] = 0
    html = page_of(tmp_path / "many", results)
    found = checked(html)
    assert "1,500 of 5,000 trials are drawn" in found.text
    assert "400 of 5,000 trials" in found.text
    assert "4,500 more are in trials.csv" in found.text
    assert len(html) < 3_000_000
    trials = load(tmp_path / "many").trials
    some = chosen(trials, MOST_POINTS)
    assert len(some) == len({trial.number for trial in some}) == MOST_POINTS
    assert [trial.rank for trial in some[:500]] == list(range(1, 501))
    assert some[-1].rank > 4990


def drawn(source: random.Random) -> dict[str, Any]:
    return {"hidden": [source.randint(1, 300)], "learning_rate": 10 ** source.uniform(-4, 0), "l2": source.random()}


def test_many_categories_are_gathered(wheat: Path, tmp_path: Path) -> None:
    results = document(wheat)
    for trial in results["trials"]:
        i = trial["trial"]
        trial["parameters"] |= {
            "hidden": [i, 2] if i > 9 else [3, 4],
            "activation": "relu",
            "l2": [1, 1.0, True][i % 3],
        }
    found = checked(page_of(tmp_path / "many", results))
    assert "10 others" in found.texts
    charts = {chart.title: chart for chart in score_charts(load(tmp_path / "many"))}
    assert charts["l2"].x.labels == ("1", "1", "yes")
    assert len(charts["hidden"].x.labels) == 12
    assert "3,4" in charts["hidden"].x.labels
    assert sorted(charts) == ["hidden", "l2", "learning-rate"]


def test_what_is_missing_is_said(wheat: Path, tmp_path: Path) -> None:
    results = document(wheat)
    results["best"] |= {"curves": None, "predictions": None}
    results["outcome"] |= {"baseline": None, "ensemble": None, "ended_early": True}
    results["table"] = {"source": None, "rows": 210, "target": None, "columns": None}
    found = checked(page_of(tmp_path / "less", results))
    for words in ("The sweep ended early", "interrupted before", "There are no out-of-fold predictions"):
        assert words in found.text
    assert "gpubp predict" not in found.text  # there is no model in that folder


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}\u2028"


def test_names_from_a_table_are_texts_and_nothing_else(tmp_path: Path) -> None:
    table, folder = tmp_path / "<b>table<i>.csv", tmp_path / "runs"
    name, low = EVIL.replace('"', '""'), "<i>low</i>"
    rows = "".join(f"{i % 7},{i % 5},{low if i % 2 else '<svg onload=alert(3)>'}\n" for i in range(40))
    table.write_text(f'a,"x{name}","{name}"\n{rows}', encoding="utf-8")
    found = made(folder, table, "--grid", "hidden=2;3", "--grid", "activation=relu;tanh")
    html = (folder / "report.html").read_text()
    assert EVIL.replace("\u2028", "").strip() in found.text.replace("\u2028", "")
    assert low in found.texts
    assert {name for _, attrs in found.tags for name, value in attrs.items() if "alert" in (value or "")} == {
        "aria-label"
    }
    assert [attrs.get("type") for tag, attrs in found.tags if tag == "script"] == ["application/json", None]
    assert "7*7" in html


def test_the_embedded_data_are_escaped(wheat: Path, tmp_path: Path) -> None:
    results = document(wheat)
    for trial in results["trials"]:
        trial["parameters"]["activation"] = EVIL + str(trial["trial"] % 3)
    results["metric"] = EVIL
    html = page_of(tmp_path / "evil", results)
    found = checked(html)
    data = html.split('<script type="application/json" id="trials">')[1].split("</script>")[0]
    assert "<" not in data
    assert any(EVIL in value for value in json.loads(data)["trials"]["0"])
    assert sum(tag == "script" for tag, _ in found.tags) == 2
    assert "img" not in {tag for tag, _ in found.tags}


def test_pictures(wheat: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folder, page_file = tmp_path / "a" / "pictures", tmp_path / "wheat.html"
    told = succeeds("report", wheat, "-o", page_file, "--plots", folder).out
    assert page_file.exists()
    assert f"16 files in {folder}" in " ".join(told.split())
    names = {path.name for path in folder.iterdir()}
    expected = ("score-hidden", "score-learning-rate", "score-l2", "parallel-coordinates", "learning-loss")
    expected += ("learning-score", "confusion-matrix", "calibration")
    assert names == {f"{name}.{kind}" for name in expected for kind in ("png", "svg")}
    for path in folder.iterdir():
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG\r\n")
        else:
            assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_pictures_of_numbers_with_gaps(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table = mixed_table(tmp_path / "$table$.csv")
    space = ("--grid", "optimizer=adam;momentum", "--range", "momentum=0.5:0.9", "--range", "learning-rate=1e-4:1:log")
    made(tmp_path / "runs", table, "-t", "score", *space, "--trials", 8)
    succeeds("report", tmp_path / "runs", "--plots", tmp_path / "pictures")
    names = {path.stem for path in (tmp_path / "pictures").iterdir()}
    assert {"predicted-against-true", "residuals", "residual-histogram", "score-momentum"} <= names


def test_pictures_without_matplotlib(wheat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    arguments = ("report", wheat, "-o", tmp_path / "x.html", "--plots", tmp_path / "pictures")
    refused(tmp_path, *arguments, words="pip install 'gpubp[plot]'")
    assert not (tmp_path / "pictures").exists()


def test_the_page_without_matplotlib(wheat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "written" in succeeds("report", wheat, "-o", tmp_path / "x.html").out


def test_a_folder_without_results(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        refused(tmp_path, "report", folder, words=("There is no", "gpubp sweep TABLE --output"))
    file = tmp_path / "file"
    file.write_text("precious")
    refused(tmp_path, "report", file, words="There is no")


def test_places_that_take_no_page(wheat: Path, tmp_path: Path) -> None:
    refused(tmp_path, "report", wheat, "-o", tmp_path / "no" / "x.html", words=("x.html", "No such file"))
    file = tmp_path / "file"
    file.write_text("precious")
    pytest.importorskip("matplotlib")
    refused(tmp_path, "report", wheat, "-o", tmp_path / "x.html", "--plots", file, words="Cannot make the folder")


BAD_FILES = {
    "": "is no JSON",
    "{": "is no JSON",
    "[" * 100_000: "is no JSON",
    "[]": "holds no results",
    '{"format": "something else"}': "holds no results",
    '{"format": "gpubp sweep results", "version": 2}': "version 2",
    '{"format": "gpubp sweep results", "version": 1}': "is missing",
}


@pytest.mark.parametrize("content", BAD_FILES)
def test_files_that_are_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(content)
    refused(tmp_path, "report", tmp_path, words=("results.json", BAD_FILES[content]))


@pytest.mark.parametrize("seed", range(60))
def test_damaged_results_are_refused_or_drawn(seed: int, wheat: Path, tmp_path: Path) -> None:
    """Something in the file is replaced by something else: an error in one message, or a sound page."""
    source, results = random.Random(seed), document(wheat)
    for _ in range(source.randint(1, 2)):
        damage(results, source)
    (tmp_path / "results.json").write_text(json.dumps(results))
    outcome = gpubp("report", tmp_path)
    assert outcome.code in (0, 2)
    if outcome.code == 2:
        assert "results.json" in outcome.err
    else:
        checked((tmp_path / "report.html").read_text())


JUNK = (None, True, -1, 0, 1, 1e308, 10**400, 1e-300, "", "<b>", [], {}, [[]], ["x", None], {"a": 1})


def damage(value: Any, source: random.Random) -> None:
    """Walk down at random, and replace what is there."""
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = source.choice(list(keys))
        inner = value[key]
        if not isinstance(inner, (dict, list)) or not inner or source.random() < 0.15:
            value[key] = source.choice(JUNK)
            return
        value = inner


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        (Axis("", 0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (Axis("", -30.0, 95.0), ["0", "50"]),
        (Axis("", 0.0, 45_000.0), ["0", "10,000", "20,000", "30,000", "40,000"]),
        (Axis("", 1e-4, 0.1, log=True), ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹"]),
        (Axis("", 0.01, 10, log=True), ["0.01", "0.1", "1", "10"]),
        (Axis("", 0.03, 0.7, log=True), ["0.05", "0.1", "0.2", "0.5"]),
        (Axis("", 1e-12, 1.0, log=True), ["10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³", "1"]),
        (Axis("", 3.1, 3.9, log=True), ["3.2", "3.4", "3.6", "3.8"]),
        (Axis.of_labels("", ["a", "b"]), ["a", "b"]),
    ],
)
def test_ticks(axis: Axis, texts: list[str]) -> None:
    ticks = axis.ticks()
    assert [text for _, text in ticks] == texts
    assert all(axis.low <= place <= axis.high or place == pytest.approx(axis.high) for place, _ in ticks)


def test_axes_around_numbers() -> None:
    for numbers, log in (((5, 5), False), ((5, 5), True), ((1e50, 1e50), False), ((0, 0), False), ((1, 100), True)):
        axis = Axis.around("", numbers, log)
        assert axis.low < min(numbers) <= max(numbers) < axis.high
        assert 0 < axis.share(numbers[0]) < 1
        assert axis.ticks()
    assert Axis("", 1.0, 100.0, log=True).share(10.0) == pytest.approx(0.5)
    assert Axis("", 0.0, 1.0).share(7.0) == 1.0


def test_numbers_are_written_shortly() -> None:
    found = [number(value) for value in (None, 0.0, 0.0123456, 1234.5, 123456.7, 1e-7, -2.5e9, 1.5e6)]
    assert found == ["–", "0", "0.01235", "1234", "123,457", "10⁻⁷", "−2.5×10⁹", "1.5×10⁶"]


def test_an_interval_of_a_share() -> None:
    low, high = wilson(Bin(0.0, 1.0, 10, 0.5, 0.8))  # by the formula in Wilson (1927)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


def test_outliers_do_not_squeeze_the_others(wheat: Path, tmp_path: Path) -> None:
    results = document(wheat)
    worst = max(results["trials"], key=lambda trial: trial["rank"])
    worst["mean"] = -400.0
    html = page_of(tmp_path / "outlier", results)
    charts = score_charts(load(tmp_path / "outlier"))
    assert all(chart.y.low > 0 for chart in charts)
    below = [mark.trials for mark in charts[0].marks if isinstance(mark, Points) and mark.kind == "below"]
    assert worst["trial"] in below[0]
    assert "below the axis" in checked(html).text
    assert len(varied(load(tmp_path / "outlier"))) == 3
