"""How long something takes on the device, without what it takes to begin."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

LONG_ENOUGH = 0.12  # seconds: what a timing's longer run takes beyond its shorter one; a rehearsal has less
MOST = 1 << 16  # units of work in a run


def slope(run: Callable[[int], None], long_enough: float | None = None, repeats: int = 3) -> tuple[float, int]:
    """(seconds of a unit of work, units that were timed): from the difference of a longer and a shorter run.

    run(n) does n units and waits for them; whatever it takes to begin and to end is in both runs and drops out. The
    median of the differences. It has run before: nothing is compiled any more.
    """
    long_enough = LONG_ENOUGH if long_enough is None else min(long_enough, LONG_ENOUGH)
    units = 1
    while units < MOST and (extra := timed(run, 1 + units) - timed(run, 1)) < long_enough:
        growth = 1.3 * long_enough / max(extra, long_enough / 50)
        units = min(MOST, max(units + 1, int(units * growth)))
    seconds = median(timed(run, 1 + units) - timed(run, 1) for _ in range(repeats)) / units
    if seconds <= 0:  # other programs had the machine: an upper bound
        seconds = timed(run, 1 + units) / (1 + units)
    return seconds, units


def timed(run: Callable[[int], None], units: int) -> float:
    started = time.perf_counter()
    run(units)
    return time.perf_counter() - started
