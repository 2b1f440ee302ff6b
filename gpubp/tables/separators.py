"""Which separator a text has: the one that gives the widest table of equally many fields in every line."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from gpubp.errors import DataError
from gpubp.tables.lines import Body, Fitted, fitted
from gpubp.tables.records import UNUSED, Records, collapse_whitespace, ragged_error, split_records

CANDIDATES = "\t;|,"
"""Of equally wide tables the first wins."""
SAMPLE = 200
WHITESPACE = "whitespace"
PADDED = re.compile(rb"(?m)[^\s\"][ ]{2,}(?=\S)")
DECIMAL = re.compile(r"^[^\w,]*(\d*,\d+|\d{1,3}(,\d{3})+(\.\d*)?|\d{1,3}([. ']\d{3})*,\d+)[^\d,]*$")


@dataclass(frozen=True)
class Found:
    """records of one width; separator as people name it: a character, "whitespace", or "" for one column."""

    records: Records
    separator: str
    remarks: tuple[str, ...]
    row_names: bool


def find_records(body: Body, source: str, separator: str | None = None, titled: bool = True) -> Found:
    """By the separator that is given or declared, else by the best. DataError for ragged lines and stray quotes."""
    if given := separator or body.separator:
        return _by(given, body, source, titled)
    best: list[tuple[str, Fitted]] = []
    ragged: list[Records] = []
    quote_error: DataError | None = None
    for candidate in CANDIDATES:
        if candidate.encode() not in body.text:
            continue
        try:
            records, repaired = _split(body, candidate, source)
        except DataError as error:
            quote_error = error
            continue
        if records.fields[0] == 1 and np.mean(records.fields > 1) < 0.5:
            continue
        if (found := fitted(records, titled)) is not None and found.records.fields[-1] > 1:
            best.append((candidate, replace(found, remarks=repaired + found.remarks)))
        elif records.width > 1 or records.fields[0] > 1:
            ragged.append(records)
    if best:
        candidate, found = _widest(best)
        if _may_be_spaced(body, candidate, found) and (spaced := _spaced(body, source, titled)):
            wider = spaced.records.fields[-1] > found.records.fields[-1]
            if _are_decimals(spaced.records) if candidate == "," else wider:
                candidate, found = WHITESPACE, spaced
        return _as_found(found, candidate)
    if {records.separator for records in ragged} <= {"\t", ","}:
        commas = any(records.separator == "," for records in ragged)
        if (spaced := _spaced(body, source, titled)) and not (commas and not _are_decimals(spaced.records)):
            return _as_found(spaced, WHITESPACE)
        if quote_error is None and not commas:
            records = _of_spaces(body, source)
            if records.width > 1 and records.share >= 0.5:
                ragged.append(records)
    if ragged:
        raise ragged_error(max(reversed(ragged), key=lambda records: (records.share, records.width)), source)
    if quote_error is not None:
        raise quote_error
    return _one_column(body, source)


def _by(separator: str, body: Body, source: str, titled: bool) -> Found:
    remarks: tuple[str, ...] = ()
    if separator == WHITESPACE:
        records = _of_spaces(body, source)
    else:
        records, remarks = _split(body, separator, source)
    found = fitted(records, titled)
    if found is None:
        raise ragged_error(records, source)
    return _as_found(replace(found, remarks=remarks + found.remarks), separator)


def _as_found(found: Fitted, separator: str) -> Found:
    return Found(found.records, separator, found.remarks, found.row_names)


def _split(body: Body, separator: str, source: str) -> tuple[Records, tuple[str, ...]]:
    """Records, and what was mended. Spaces between a separator and a quote are left out where it is read only so."""
    problem: DataError | None = None
    try:
        records = _without(split_records(body.text, separator, source), body)
        if records.quoting or b'"' not in body.text:
            return records, ()
    except DataError as error:
        problem = error
    mended = _without_spaces_at_quotes(body.text, separator)
    if mended != body.text:
        try:
            quoted = _without(split_records(mended, separator, source), body)
        except DataError:
            pass
        else:
            if problem is not None or quoted.quoting:
                return quoted, ("Spaces beside quoted fields are left out.",)
    if problem is not None:
        raise problem
    return records, ()


def _without_spaces_at_quotes(text: bytes, separator: str) -> bytes:
    mark = re.escape(separator.encode())
    text = re.sub(rb"(?m)(^|" + mark + rb")[ ]+(?=\")", rb"\1", text)
    return re.sub(rb"(?m)\"[ ]+(?=" + mark + rb"|$)", b'"', text)


def _without(records: Records, body: Body) -> Records:
    """A table of one column has no missing value where a comment was."""
    if not body.emptied or records.fields.max() > 1:
        return records
    return records.keep(~np.isin(records.lines, sorted(body.emptied)))


def _of_spaces(body: Body, source: str) -> Records:
    return _without(split_records(collapse_whitespace(body.text), "\t", source), body)


def _spaced(body: Body, source: str, titled: bool) -> Fitted | None:
    """The table of runs of spaces and tabs, if it is one of several columns."""
    try:
        found = fitted(_of_spaces(body, source), titled)
    except DataError:  # a stray quote
        return None
    return found if found is not None and found.records.fields[-1] > 1 else None


def _may_be_spaced(body: Body, candidate: str, found: Fitted) -> bool:
    """Soon told: whether runs of spaces may be the separator although tabs, or commas, would do as one: columns are
    padded with spaces and a tab stands between two of them, as in UCI's auto-mpg, or all commas are those of numbers.
    """
    if candidate == "\t":
        lines = body.text[: 1 << 16].split(b"\n")
        padded = sum(PADDED.search(line.replace(b"\t", b" ")) is not None for line in lines)
        return 2 * padded > len(lines)
    if candidate != ",":
        return False
    records = found.records
    sample = zip(records.starts[1:SAMPLE], records.ends[1:SAMPLE], strict=True)
    words = [records.text[a:b].decode("utf-8", errors="replace").split() for a, b in sample]
    commas = [word.strip('"') for line in words for word in line if "," in word]
    return any(len(line) > 1 for line in words) and all(DECIMAL.match(word) for word in commas)


def _widest(candidates: list[tuple[str, Fitted]]) -> tuple[str, Fitted]:
    """Of equally wide ones the first. Commas that are the decimal marks of another candidate separate nothing."""
    others = [each for each in candidates if each[0] != ","]
    if len(others) < len(candidates) and any(_are_decimals(found.records) for _, found in others):
        candidates = others
    return max(candidates, key=lambda each: int(each[1].records.fields[-1]))


def _are_decimals(records: Records) -> bool:
    """Whether fields that hold commas are numbers with decimal commas or thousands, in a sample after the header."""
    rows = range(1, min(SAMPLE, len(records.fields)))
    fields = [value for i in rows for value in records.values(i) if "," in value]
    return bool(fields) and all(DECIMAL.match(value) for value in fields)


def _one_column(body: Body, source: str) -> Found:
    stand_in = next((character for character in UNUSED if character.encode() not in body.text), None)
    if stand_in is None:
        raise DataError(f"{source}: found control characters; this is not a table of text.")
    return Found(_without(split_records(body.text, stand_in, source), body), "", (), False)
