"""The report in a real browser: its console, its width, its colours, its script, its print."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Chromium, installed
from command_line import SEEDS, mixed_table, succeeds

pytestmark = pytest.mark.skipif(installed() is None, reason="there is no Chromium here (Debian: apt install chromium)")

LONG = "<script>alert(1)</script>" + "a_name_of_a_column_without_any_space_" * 6
KINDS = ("wheat", "numbers", "names", "many")


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """wheat: classes; numbers: a regression; names: of a table, hostile and long, with many classes; many: trials."""
    folder = tmp_path_factory.mktemp("pages")
    space = ("--grid", "hidden=3;4,2", "--range", "learning-rate=0.005:0.2:log", "--set", "epochs=12", "--folds", 3)
    sweep = (*space, "--trials", 20, "--report", "--quiet", "-o")
    succeeds("sweep", SEEDS, *sweep, folder / "wheat")
    succeeds("sweep", mixed_table(folder / "table.csv"), "-t", "score", *sweep, folder / "numbers")
    source, names = random.Random(1), folder / f"{'long' * 40}.csv"
    rows = "".join(f"{source.random()},{LONG}{i % 25}\n" for i in range(150))
    names.write_text(f"a,{LONG}\n{rows}", encoding="utf-8")
    succeeds("sweep", names, *sweep, folder / "names")
    results = json.loads((folder / "wheat" / "results.json").read_bytes())
    del results["sha256"]
    first = results["trials"][0]
    results["trials"] = [
        first
        | {"trial": i, "rank": i + 1, "mean": 0.9 - i * 1e-4}
        | {"parameters": {"learning_rate": 0.005 + 1e-4 * source.random(), "l2": source.random(), "hidden": [i % 9]}}
        for i in range(2000)
    ]
    results["best"]["trial"] = 0
    (folder / "many").mkdir()
    (folder / "many" / "results.json").write_text(json.dumps(results))
    succeeds("report", folder / "many")
    return {name: folder / name / "report.html" for name in KINDS}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1200])
@pytest.mark.parametrize("name", KINDS)
def test_it_fits_any_screen_and_complains_of_nothing(
    name: str, width: int, dark: bool, browser: Chromium, pages: dict[str, Path]
) -> None:
    browser.open(pages[name], width, dark, touch=width == 360)
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate("document.documentElement.classList.contains('scripts')")  # its script has run
    red = browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(red) < 60) == dark
    smallest = (
        "Math.min(...[...document.querySelectorAll('svg.chart text')].map(e => e.getBoundingClientRect().height))"
    )
    assert browser.evaluate(smallest) >= 9
    assert browser.complaints() == []


def test_texts_stay_within_their_pictures(browser: Chromium, pages: dict[str, Path]) -> None:
    outside = """[...document.querySelectorAll('svg.chart text, svg.parallel text')].filter(text => {
        const inner = text.getBoundingClientRect(), outer = text.ownerSVGElement.getBoundingClientRect();
        return inner.width && (inner.left < outer.left - 2 || inner.right > outer.right + 2
            || inner.top < outer.top - 2 || inner.bottom > outer.bottom + 2);
    }).map(text => text.textContent)"""
    for name in KINDS:
        for width in (360, 1200):
            browser.open(pages[name], width)
            assert browser.evaluate(outside) == [], (name, width)


def test_a_trial_is_told_and_lit_in_all_charts(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["wheat"])
    point = """(async () => {
        const mark = document.querySelector('.points.best [data-t]');
        mark.scrollIntoView({block: 'center'});
        await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));  // scrolling is told of
        const box = mark.getBoundingClientRect();
        return {x: box.x + box.width / 2, y: box.y + box.height / 2, trial: mark.dataset.t};
    })()"""
    place = browser.evaluate(point)
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=place["x"], y=place["y"])
    told = browser.evaluate("document.getElementById('tip').hidden ? '' : document.getElementById('tip').innerText")
    assert f"Trial {place['trial']}, place 1" in told
    assert "learning-rate" in told
    lit = browser.evaluate("[...document.querySelectorAll('.on')].map(e => e.localName + e.dataset.t)")
    assert {name[len(name) - len(place["trial"]) :] for name in lit} == {place["trial"]}
    assert len(lit) == 1 + 2 + 2  # its row, two charts, and the parallel coordinates for both widths
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=5)
    assert browser.evaluate("document.getElementById('tip').hidden && !document.querySelector('.on')")
    assert browser.complaints() == []


def test_the_leaderboard_is_sorted_by_a_click(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["wheat"])
    column = """(() => {
        const heads = [...document.querySelectorAll('table.sortable thead th')];
        const place = heads.findIndex(head => head.textContent === 'learning-rate');
        heads[place].querySelector('button').click();
        const rows = [...document.querySelector('table.sortable').tBodies[0].rows];
        return rows.map(row => Number(row.cells[place].dataset.v));
    })()"""
    up, down = browser.evaluate(column), browser.evaluate(column)
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert len(up) == 10


def test_without_scripts_everything_is_there(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(pages["wheat"])
        assert browser.complaints() == []
        shown = (
            "[...document.querySelectorAll('section svg.chart')].filter(e => e.getBoundingClientRect().height > 100)"
        )
        assert browser.evaluate(f"{shown}.length") == 2 + 2 + 2
        assert browser.evaluate("getComputedStyle(document.querySelector('.scripted')).display") == "none"
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)


def test_it_prints_on_a_few_pages_of_paper(browser: Chromium, pages: dict[str, Path]) -> None:
    for name, most in (("wheat", 5), ("many", 6)):
        browser.open(pages[name], dark=True)  # paper is white all the same
        pdf = browser.pdf()
        assert pdf.startswith(b"%PDF")
        assert 2 <= pdf.count(b"/Type /Page\n") <= most


def test_a_report_that_complains_would_be_found(browser: Chromium, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://localhost:9/x.png'><script>console.log('found'); undefined_name()</script>")
    browser.open(bad)
    complaints = " ".join(browser.complaints())
    for words in ("localhost:9", "found", "undefined_name"):
        assert words in complaints
