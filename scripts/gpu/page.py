"""The page about a device: what was found, from the parts' JSON files; what failed and what was left out, too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gpu.findings import Findings
from gpu.parts import PARTS
from gpu.sections import SECTIONS, Facts
from gpu.tables import short, table


def write_page(folder: Path, page: Path, stand_in: bool) -> bool:
    """Write the page about every part that has a file in the folder; whether nothing in them has failed."""
    found = {name: Findings(folder / f"{name}.json").content for name in PARTS if (folder / f"{name}.json").exists()}
    page.write_text("\n".join(lines(found, stand_in)) + "\n", encoding="utf-8")
    return not any(complaints(content) for content in found.values())


def complaints(content: dict[str, Any]) -> list[str]:
    """What went wrong in a part, a line each."""
    told = []
    for row in content["rows"]:
        if "error" in row:
            told.append(f"{row['item']}: {row['error']}")
        elif row.get("passed") is False or row.get("healthy") is False:
            told.append(f"{row['item']}: {wrong(row)}")
        told += [f"{test['test']}: {test['reason']}" for test in row.get("failed", [])]
    return told


def wrong(row: dict[str, Any]) -> str:
    """What is not as it should be, where nothing went wrong on the way."""
    if "checks" in row:
        failed = [
            f"{each['name']}, {each['backend']}: {each['message']}" for each in row["checks"] if not each["passed"]
        ]
        return "; ".join(failed) or "no check failed, but something is missing"
    if "differing" in row:
        return f"{row['differing']} of {row['numbers']} numbers differ, by at most {row['most']:.1e}"
    return "not as it should be"


def lines(found: dict[str, dict[str, Any]], stand_in: bool) -> Iterable[str]:
    facts = Facts.of(found)
    yield f"# gpubp on {facts.name}"
    yield ""
    if stand_in:
        yield "**A rehearsal without a device, on the tests' stand-in for CuPy. The times and rates say nothing.**"
        yield ""
    yield (
        "Measured by `python scripts/gpu_check.py`. µs are of one network's update, where nothing else is said. "
        "Operations are counted as 6 for each parameter and row of a batch: a multiply-add forward, two backward."
    )
    yield ""
    yield from table(["part", "when (UTC)", "ended", "seconds", "limit", "rows", "failed", "left out"], parts(found))
    for name, content in found.items():
        yield from ["", f"## {PARTS[name].title}", ""]
        yield from section(SECTIONS[name], content["rows"], facts)
        failed = complaints(content)
        if failed:
            yield from ["", f"What failed ({len(failed)}):", ""]
            yield from (f"- {short(complaint)}" for complaint in failed)
        if content["left_out"]:
            yield from ["", f"Left out, for want of time: {'; '.join(content['left_out'])}."]
    absent = [name for name in PARTS if name not in found]
    if absent:
        yield from ["", f"Not run: {', '.join(absent)}."]


def parts(found: dict[str, dict[str, Any]]) -> Iterable[list[Any]]:
    for name, content in found.items():
        when = content["started"].removesuffix("+00:00").replace("T", " ")
        ended = content.get("ending", "not ended")
        counts = [len(content["rows"]), len(complaints(content)), len(content["left_out"])]
        yield [name, when, ended, content.get("seconds"), content.get("limit"), *counts]


def section(write: Callable[..., Iterable[str]], rows: list[dict[str, Any]], facts: Facts) -> Iterable[str]:
    """Of the rows that are no errors; those are told below it."""
    absent = [row["absent"] for row in rows if "absent" in row]
    good = [row for row in rows if "error" not in row and "absent" not in row]
    yield from (f"{reason}." for reason in absent)
    if good:
        yield from write(good, facts)
    elif not absent:
        yield "Nothing was found."
