"""Texts that name categories and classes: how values are spelled, sorted, and found again in another spelling."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from gpubp.errors import quoted

if TYPE_CHECKING:
    import polars as pl

LONG = 64
"""Characters: longer labels are kept as objects."""
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
PLAIN = re.compile(r"0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)\.[0-9]*[1-9]")
"""How a number is spelled where nothing else has spelled it: without a sign, zeros or an exponent to spare."""
BOOLEANS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("off", "on"), ("0", "1"))


def canonical(values: pl.Series) -> pl.Series:
    """Values as the texts that name categories and classes; null stays null.

    A text is itself: "007" and "7", "1E5" and "10E4" are two each. A number is spelled in one way, 7 and 7.0 as "7"; a
    date as 2026-03-01, with the time where it has one.
    """
    import polars as pl

    if values.dtype == pl.String or values.dtype.is_integer():
        return values.cast(pl.String)
    spelled = {None: None} | {value: _spelled(value) for value in values.unique().to_list() if value is not None}
    return pl.Series(values.name, [spelled[value] for value in values.to_list()], dtype=pl.String)


def _spelled(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ").removesuffix(" 00:00:00")
    if isinstance(value, float) and value.is_integer() and abs(value) < 2.0**53:
        return str(int(value))
    return str(value)


def sorted_labels(texts: pl.Series) -> tuple[str, ...]:
    """The distinct texts: in numeric order if all are numbers, in alphabetical (code point) order if not."""
    labels = sorted(texts.drop_nulls().unique().to_list())
    numbers = {label: number_of(label) for label in labels}
    if any(number is None for number in numbers.values()):
        return tuple(labels)
    return tuple(sorted(labels, key=numbers.__getitem__))  # type: ignore[arg-type]


def number_of(text: str) -> Decimal | None:
    """Exactly, unlike a float: numbers of 20 digits stay apart. None for what is no finite number."""
    stripped = text.strip()
    return Decimal(stripped) if NUMBER.fullmatch(stripped) else None


def places_among(texts: Iterable[str], labels: Sequence[str]) -> tuple[dict[str, int], dict[str, str]]:
    """(where each text is among the labels, left out where it is not; what had to be respelled, and as which label).

    A text that is no label is taken for the one label that is the same number (7.0 for 7, 7 for 007), or, where the two
    labels say false and true in some spelling (`BOOLEANS`, in whatever case), for the one that says the same; else for
    the one that differs by surrounding spaces alone, which text files lose. Numbers that a label spells plainly are not
    worth telling of.
    """
    found = {label: place for place, label in enumerate(labels)}
    strange = sorted({text for text in texts if text not in found})
    if not strange:
        return found, {}
    truths, numbers, bare = _truths(labels), _numbers(labels), _bare(labels)
    respelled = {}
    for text in strange:
        number = number_of(text)
        same = numbers.get(number, []) if number is not None else []
        label = same[0] if len(same) == 1 else truths.get(_plain(text)) or bare.get(text.strip())
        if label is not None:
            found[text] = found[label]
            if number is None or label not in same or not PLAIN.fullmatch(label):
                respelled[text] = label
    return found, respelled


def told(respelled: Mapping[str, str], limit: int = 5) -> str:
    """'0' as 'false', '1' as 'true'."""
    said = [f"{quoted(text)} as {quoted(label)}" for text, label in respelled.items()]
    return ", ".join(said[:limit]) + (", ..." if len(said) > limit else "")


def _truths(labels: Sequence[str]) -> dict[str, str]:
    """What says false or true in any spelling, and the label that says so; empty where the labels do not."""
    spelled = {_plain(label): label for label in labels}
    if len(labels) != 2 or not any({*spelled} == {*pair} for pair in BOOLEANS):
        return {}
    no, yes = next((spelled[no], spelled[yes]) for no, yes in BOOLEANS if no in spelled)
    return {text: label for pair in BOOLEANS for text, label in zip(pair, (no, yes), strict=True)}


def _numbers(labels: Sequence[str]) -> dict[Decimal, list[str]]:
    found: dict[Decimal, list[str]] = {}
    for label in labels:
        number = number_of(label)
        if number is not None:
            found.setdefault(number, []).append(label)
    return found


def _bare(labels: Sequence[str]) -> dict[str, str]:
    """Labels by what they are without surrounding spaces, where that is one label's alone."""
    times = Counter(label.strip() for label in labels)
    return {label.strip(): label for label in labels if times[label.strip()] == 1}


def _plain(text: str) -> str:
    number = number_of(text)
    return text.strip().lower() if number is None else "1" if number == 1 else "0" if number == 0 else text


def as_labels(texts: Sequence[str]) -> np.ndarray:
    """Labels as an array (C,), to be picked from for each of N rows: text of one width, or objects where some are long,
    since a row of the former takes as many bytes as the longest label, times 4.
    """
    return np.array(texts, dtype=object if max(map(len, texts), default=0) > LONG else None)


def suggest(names: Sequence[str], limit: int = 5) -> str:
    """At most `limit` names, quoted, for messages."""
    return ", ".join(quoted(name) for name in names[:limit]) + (", ..." if len(names) > limit else "")
