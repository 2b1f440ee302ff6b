"""A plugin of pytest: a line of JSON for each collected file, each file that cannot be, and each test's outcome.

GPU_CHECK_OUTCOMES=FILE pytest -p gpu.outcomes
"""

from __future__ import annotations

import json
import os
from typing import Any

MOST = 300  # characters of a reason


def write(**outcome: Any) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # the process that started the workers hears of everything
    with open(os.environ["GPU_CHECK_OUTCOMES"], "a", encoding="utf-8") as file:
        file.write(json.dumps(outcome) + "\n")


def pytest_collection_finish(session: Any) -> None:
    if session.config.option.collectonly:
        for path in dict.fromkeys(item.path for item in session.items):
            write(file=str(path), outcome="collected")


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        write(file=report.nodeid, outcome="broken", reason=last_line(report.longreprtext))


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" and report.passed:
        write(test=report.nodeid, outcome="passed", reason="")
    elif report.failed:
        write(test=report.nodeid, outcome="failed", reason=reason_of(report.longreprtext))
    elif report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        write(test=report.nodeid, outcome="skipped", reason=reason[:MOST])


def reason_of(text: str) -> str:
    """What was raised: the first line that pytest marks with E and that says something."""
    marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E")]
    return "; ".join([line for line in marked if line][:4])[:MOST] or last_line(text)


def last_line(text: str) -> str:
    lines = [line.removeprefix("E").strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:MOST] if lines else ""
