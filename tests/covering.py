"""Covering sets: few combinations of options in which every value meets every other value at least once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Case = dict[str, Any]


def pairwise(options: Mapping[str, Sequence[Any]], allowed: Callable[[Case], bool] = lambda case: True) -> list[Case]:
    """Greedy: each case takes, name by name, the value that covers the most pairs not yet covered.

    allowed: tells which (whole) cases make sense; pairs that occur in no allowed case are left out.
    """
    names = list(options)
    every = [dict(zip(names, values, strict=True)) for values in _some(options)]
    candidates = [case for case in every if allowed(case)]
    places: dict[Any, int] = {}  # of pairs, as bits
    covered = [sum(1 << places.setdefault(pair, len(places)) for pair in _pairs(case)) for case in candidates]
    missing = (1 << len(places)) - 1
    chosen = []
    while missing:
        best = max(range(len(candidates)), key=lambda i: (covered[i] & missing).bit_count())
        chosen.append(candidates[best])
        missing &= ~covered[best]
    return chosen


def _some(options: Mapping[str, Sequence[Any]], limit: int = 4000) -> list[tuple[Any, ...]]:
    """The full product where it is small; else a spread of it in which every pair still occurs."""
    values = list(options.values())
    total = 1
    for choices in values:
        total *= len(choices)
    if total <= limit:
        return list(itertools.product(*values))
    cases = []
    for (i, first), (j, second) in itertools.combinations(enumerate(values), 2):
        for a, b in itertools.product(range(len(first)), range(len(second))):
            for turn in range(3):  # the other options rotate
                picks = [(a * 3 + b * 5 + k * 7 + turn * 11) % len(choices) for k, choices in enumerate(values)]
                picks[i], picks[j] = a, b
                cases.append(tuple(choices[pick] for choices, pick in zip(values, picks, strict=True)))
    return list(dict.fromkeys(cases))


def _pairs(case: Case) -> set[tuple[tuple[str, Any], tuple[str, Any]]]:
    return set(itertools.combinations(case.items(), 2))


def name(case: Case) -> str:
    return "-".join(str(value) for value in case.values()).replace(" ", "")
