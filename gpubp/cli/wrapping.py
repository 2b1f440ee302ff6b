"""Lines broken at words. What must stay in one piece (a path, a name in quotes, a command) stays so."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

TOGETHER = re.compile(r"(?<!\w)(?:'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`)(?!\w)")
"""Names and commands in quotes."""

NARROWEST = 20  # columns: a narrower terminal is taken for one of this width


def wrapped(text: str, width: int, *, whole: Sequence[str] = (), indent: str = "  ") -> str:
    """`text` in lines of at most `width` columns; lines that follow from a longer one begin with `indent`.

    A word is never broken, however long; nor are the texts of `whole` and what stands in quotes, unless quotes hold
    more than a line. Line breaks of the text stay.
    """
    return "\n".join(_line(line, max(width, NARROWEST), whole, indent) for line in text.split("\n"))


def _line(text: str, width: int, whole: Sequence[str], indent: str) -> str:
    beginning = text[: len(text) - len(text.lstrip(" "))]
    lines, current, used = [], beginning, columns(beginning)
    follows = beginning + indent
    fresh = True
    for word in _words(text.lstrip(" "), whole, width - columns(follows)):
        if not fresh and used + 1 + columns(word) > width:
            lines.append(current)
            current, used, fresh = follows, columns(follows), True
        if not fresh:
            current, used = current + " ", used + 1
        current, used, fresh = current + word, used + columns(word), False
    return "\n".join([*lines, current])


def _words(text: str, whole: Sequence[str], width: int) -> Iterator[str]:
    """The pieces between spaces; a space within something that belongs together is none."""
    kept = [match.span() for match in TOGETHER.finditer(text) if columns(match[0]) <= width]
    for name in whole:
        kept += [match.span() for match in re.finditer(re.escape(name), text)] if name.strip() else []
    start = 0
    for match in re.finditer(" +", text):
        if not any(first < match.start() < last for first, last in kept):
            if match.start() > start:
                yield text[start : match.start()]
            start = match.end()
    if start < len(text):
        yield text[start:]


def columns(text: str) -> int:
    """How wide a terminal shows it: Chinese, Japanese and Korean characters take two columns, accents none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
