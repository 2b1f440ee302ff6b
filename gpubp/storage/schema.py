"""Checks of data that comes from outside, where it enters: the values of a JSON document (arrays: `array_files.array`).

Every check gives the value back as what it was checked to be, or raises DataError: a sentence that says where it
stands, what should be there, and what was found. The function that reads the file adds its name, and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gpubp.errors import DataError

T = TypeVar("T")
LARGEST_WHOLE = 2**64 - 1


@dataclass(frozen=True)
class Given:
    """A value that somebody gave, and its place in the document: "" is the whole of it, else "trials[3].rank"."""

    value: Any
    place: str = ""

    def wrong(self, expected: str) -> DataError:
        return DataError(f"{self.place or 'the document'} should be {expected}; found {shown(self.value)}.")

    def entries(self) -> dict[str, Given]:
        """Of an object, by name."""
        if not isinstance(self.value, Mapping):
            raise self.wrong("an object with names")
        return {
            Given(name, f"a name in {self.place or 'the document'}").text(): Given(item, self._inner(name))
            for name, item in self.value.items()
        }

    def __getitem__(self, name: str) -> Given:
        """The entry of that name; an object has to have it."""
        if not isinstance(self.value, Mapping):
            raise self.wrong("an object with names")
        if name not in self.value:
            raise DataError(f"{self._inner(name)} is missing.")
        return Given(self.value[name], self._inner(name))

    def get(self, name: str) -> Given:
        """The entry of that name; null where there is none."""
        if not isinstance(self.value, Mapping):
            raise self.wrong("an object with names")
        return Given(self.value.get(name), self._inner(name))

    def only(self, *names: str) -> None:
        """An object has no entries but these."""
        for name, entry in self.entries().items():
            if name not in names:
                raise DataError(f"{entry.place} should not be there: there may be {', '.join(names)}.")

    @property
    def is_null(self) -> bool:
        return self.value is None

    def maybe(self, check: Callable[[Given], T]) -> T | None:
        """None for null, else what the check says."""
        return None if self.value is None else check(self)

    def items(self, least: int = 0) -> list[Given]:
        """Of a list, with at least so many."""
        if not isinstance(self.value, list) or len(self.value) < least:
            raise self.wrong(f"a list of at least {least}" if least else "a list")
        return [Given(item, f"{self.place}[{i}]") for i, item in enumerate(self.value)]

    def each(self, check: Callable[[Given], T], least: int = 0) -> tuple[T, ...]:
        """The results of a check on each item of a list."""
        return tuple(check(item) for item in self.items(least))

    def distinct_texts(self) -> tuple[str, ...]:
        found = self.each(Given.text)
        if len(set(found)) < len(found):
            raise self.wrong("a list of different texts")
        return found

    def text(self) -> str:
        """Without halves of surrogate pairs, which JSON allows and no encoding takes."""
        if not isinstance(self.value, str):
            raise self.wrong("a text")
        if not self.value.isascii() and any("\ud800" <= character <= "\udfff" for character in self.value):
            raise self.wrong("a text of whole characters")
        return self.value

    def readable(self) -> str:
        """A text for people to read, such as a file's name: halves of surrogate pairs become escapes."""
        if not isinstance(self.value, str):
            raise self.wrong("a text")
        return str(_readable(self.value))

    def choice(self, options: Sequence[str]) -> str:
        if not isinstance(self.value, str) or self.value not in options:
            raise self.wrong(f"one of {', '.join(options)}")
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def whole(self, least: int = 0, most: int = LARGEST_WHOLE) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not least <= self.value <= most:
            top = "2^64 − 1" if most == LARGEST_WHOLE else f"{most}"
            raise self.wrong(f"a whole number from {least} to {top}")
        return self.value

    def number(self, least: float = -math.inf, most: float = math.inf) -> float:
        """A finite one, as a float."""
        found = self.value
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not _fits(found, least, most):
            bounds = [f"{word} {end:g}" for word, end in (("from", least), ("to", most)) if math.isfinite(end)]
            raise self.wrong(" ".join(["a finite number", *bounds]))
        return float(found)

    def real(self) -> float:
        """Any number as a float, NaN and infinity too."""
        found = self.value
        if isinstance(found, float) and not math.isfinite(found):
            return found
        return self.number()

    def notes(self) -> dict[str, Any]:
        """An object, for people to read, whatever it holds: halves of surrogate pairs become escapes."""
        if not isinstance(self.value, Mapping):
            raise self.wrong("an object with names")
        return dict(_readable(self.value))

    def _inner(self, name: str) -> str:
        written = name if name.isidentifier() else repr(name)[:60]
        return f"{self.place}.{written}" if self.place else written


def shown(value: Any) -> str:
    """In an error message: short, and in letters that can be printed."""
    if isinstance(value, int) and abs(value) >= 2**64:
        return "a whole number of more than 64 bits"
    written = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return written if len(written) <= 60 else written[:59] + "…"


def _fits(number: float, least: float, most: float) -> bool:
    try:
        return math.isfinite(number) and least <= number <= most
    except OverflowError:  # a whole number beyond the largest float
        return False


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_readable(name): _readable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return value
