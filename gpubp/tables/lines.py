"""What stands around a table in its file: lines to skip, comments, `sep=;`, titles, separators too many."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from gpubp.errors import DataError, SettingsError
from gpubp.tables.markers import ALWAYS
from gpubp.tables.records import Records

TITLES = 30
"""At most so many lines before the header are taken for titles."""
ERROR_VALUE = re.compile(
    "|".join(re.escape(each) + r"(?![\w ])" for each in sorted(ALWAYS) if each.startswith("#")).encode()
)
"""A spreadsheet's #N/A and its like at the beginning of a line: a value, and no comment."""
DECLARED = re.compile(rb'^"?sep=(.)"?[;,\t ]*$', re.IGNORECASE)


@dataclass(frozen=True)
class Body:
    """A text whose lines before the table, and comments, are empty; numbers of the emptied lines, from 1.

    commented: the last comment right before the table, which may be its header; separator: what `sep=` declares.
    """

    text: bytes
    emptied: frozenset[int]
    remarks: tuple[str, ...]
    commented: str = ""
    separator: str = ""


def body_of(text: bytes, source: str, skip: int = 0, comment: str | None = None) -> Body:
    """Skipped lines are emptied, and so are comments: lines that begin with `comment`; without one, the lines at the
    top that begin with #. DataError where nothing is left.
    """
    if skip < 0:
        raise SettingsError(f"--skip {skip}: give the number of lines before the table, 0 or more.")
    if comment is not None and (not comment.strip() or "\n" in comment):
        raise SettingsError(f"--comment {comment!r}: give the text that comment lines begin with, such as #.")
    lines = text.split(b"\n") if skip or comment is not None else text.split(b"\n", 1000)
    emptied, remarks, separator, commented = set(range(1, skip + 1)), [], "", ""
    if skip:
        remarks.append(f"The first {skip} line{'s were' if skip > 1 else ' was'} skipped, as asked.")
    top = skip
    while top < len(lines) and not lines[top].strip():
        top += 1
    if top < len(lines) and (declared := DECLARED.match(lines[top].strip(b"\r"))):
        separator = declared[1].decode("ascii", errors="replace")
        emptied.add(top + 1)
        remarks.append(f"Line {top + 1} declares the separator {separator!r}.")
        top += 1
    if comment is not None:
        mark = comment.strip().encode()
        found = {i + 1 for i, line in enumerate(lines) if line.lstrip().startswith(mark) and i + 1 not in emptied}
    else:
        found = _comments_at_top(lines, top)
        if found:
            commented = lines[max(found) - 1].decode("utf-8", errors="replace").lstrip().lstrip("#")
    if found:
        remarks.append(_told(sorted(found), "comment"))
    emptied |= found
    if not emptied:
        return Body(text, frozenset(), (), separator=separator)
    left = b"\n".join(b"" if i + 1 in emptied else line for i, line in enumerate(lines))
    if not left.strip():
        raise DataError(f"{source}: nothing is left after {len(emptied)} line(s) that are skipped or comments.")
    return Body(left, frozenset(emptied), tuple(remarks), commented, separator)


def _comments_at_top(lines: list[bytes], top: int) -> set[int]:
    """Numbers of the lines that begin with #, up to the first that does not; none where all do."""
    found = set()
    for i in range(top, min(len(lines) - (len(lines) > 1000), 1000)):
        if lines[i].lstrip().startswith(b"#") and not ERROR_VALUE.match(lines[i].lstrip()):
            found.add(i + 1)
        elif lines[i].strip():
            return found
    return set()


def _told(lines: list[int], what: str) -> str:
    shown = ", ".join(map(str, lines[:5])) + (", …" if len(lines) > 5 else "")
    return f"Lines {shown} are {what}s, and left out." if len(lines) > 1 else f"Line {shown} is a {what}, and left out."


@dataclass(frozen=True)
class Fitted:
    """Records of one width. row_names: the header names one column less than there are, as R writes it."""

    records: Records
    remarks: tuple[str, ...] = ()
    row_names: bool = False


def fitted(records: Records, titled: bool = True) -> Fitted | None:
    """Records of equally many fields: as they are, or without what stands around a table; None where neither is so.

    titled: whether there may be titles over the header.
    """
    found: Records | None = records
    remarks: list[str] = []
    if not records.consistent:
        width, fields = records.width, records.fields
        odd = np.flatnonzero(fields != width)
        if comments := _inner_comments(records, odd):
            remarks.append(_told(records.lines[comments].tolist(), "comment"))
            records = records.keep(np.setdiff1d(np.arange(len(fields)), comments))
            width, fields = records.width, records.fields
            odd = np.flatnonzero(fields != width)
            found = records
        if not len(odd):
            pass
        elif odd.tolist() == [0] and fields[0] == width - 1 and not _are_empty(records, width):
            if _names_rows(records):
                return Fitted(records, tuple(remarks), True)
            if not titled or not _titles(records, odd):
                return None
            remarks.append(_told(records.lines[:1].tolist(), "title"))
            found = records.keep(np.arange(1, len(fields)))
        elif odd.tolist() == [0] and fields[0] == width - 1:
            found = records.cut(width - 1)
            remarks.append("Its lines end with a separator, which the header does not.")
        elif titled and (titles := _titles(records, odd)):
            remarks.append(_told(records.lines[:titles].tolist(), "title"))
            found = records.keep(np.arange(titles, len(fields)))
        elif (fields[odd] > width).all() and (found := records.cut(width)) is not None:
            which = "The header ends" if odd.tolist() == [0] else "Some lines end"
            remarks.append(
                f"{which} with {'a separator' if fields[odd].max() == width + 1 else 'separators'} too many."
            )
        else:
            return None
    if found is None or not found.consistent:
        return None
    if titled and found.fields[0] > 2 and (titles := _wide_titles(found)):
        remarks.append(_told(found.lines[:titles].tolist(), "title"))
        found = found.keep(np.arange(titles, len(found.fields)))
    return Fitted(found, tuple(remarks))


def _inner_comments(records: Records, odd: np.ndarray) -> list[int]:
    """Records that begin with # and do not fit, where all that do not fit at the top or within are such."""
    found = [i for i in odd.tolist() if records.text[records.starts[i] : records.ends[i]].lstrip().startswith(b"#")]
    return found if len(found) < len(records.fields) else []


def _are_empty(records: Records, width: int) -> bool:
    """Whether the last of `width` fields is empty in all records after the first."""
    rest = records.keep(np.arange(1, len(records.fields)))
    return rest.cut(width - 1) is not None


def _names_rows(records: Records) -> bool:
    """Whether the first fields after the header are row names as R has them: 1, 2, 3, ..., or different texts."""
    first = [
        records.text[a : a + 4096].split(records.separator.encode(), 1)[0].strip(b' "').decode("utf-8", "replace")
        for a in records.starts[1:]
    ]
    if len(set(first)) < len(first) or any(map(_is_number, records.values(0))):
        return False
    alone = records.fields[0] == 1 and len(first) > 1
    if alone and not any(map(_is_number, records.values(1))):
        below = range(2, min(2 + TITLES, len(records.fields)))
        if any(_is_number(field) for i in below for field in records.values(i)):
            return False  # a title, and then the header
    return first == [str(i + 1) for i in range(len(first))] or not any(map(_is_number, first))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _titles(records: Records, odd: np.ndarray) -> int:
    """How many records before the table have a single field, which is no number, and are all that do not fit."""
    count = len(odd)
    if count > TITLES or 2 * count >= len(records.fields) or odd.tolist() != list(range(count)):
        return 0
    alone = (records.fields[odd] == 1).all() and not any(_is_number(records.values(i)[0]) for i in range(count))
    return count if alone else 0


def _wide_titles(records: Records) -> int:
    """How many records at the top hold one text or none, beside empty fields, as spreadsheets write titles. A number is
    a value, and so may be an empty record over numbers.
    """
    titled = False
    for i in range(min(TITLES, len(records.fields) - 2)):
        held = [field for field in records.values(i) if field]
        if len(held) > 1:
            below = sum(map(bool, records.values(i + 1))) > 1
            return i if below and (titled or not any(map(_is_number, held))) else 0
        if held and _is_number(held[0]):
            return 0
        titled |= bool(held)
    return 0
