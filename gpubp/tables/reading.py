"""A file into a `Table`: bytes, then text, then records, then values, each step saying what it found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gpubp.errors import DataError, SettingsError
from gpubp.tables import other_formats, parquet, workbooks
from gpubp.tables.columns import Conventions
from gpubp.tables.content import bytes_of, name_of, text_of
from gpubp.tables.description import ColumnReading, Reading
from gpubp.tables.forks import require_polars
from gpubp.tables.layout import Layout, names_in_comment
from gpubp.tables.limits import TIME
from gpubp.tables.lines import Body, body_of
from gpubp.tables.markers import Markers
from gpubp.tables.notation import NUMBER, TEXT, Notation
from gpubp.tables.records import Records
from gpubp.tables.separators import WHITESPACE, find_records
from gpubp.tables.table import Table, automatic_names

SPACES = {False: re.compile(rb"[\t\x0b-\r ]"), True: re.compile(rb"[\x0b-\r ]")}
"""ASCII's, but for line breaks; and without tabs, where these separate."""


@dataclass(frozen=True)
class Options:
    """Options of reading a file; those that are not given are found out from it: see `read_table`."""

    header: bool | None = None
    separator: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    missing: Sequence[str] = ()
    not_missing: Sequence[str] = ()
    skip: int = 0
    comment: str | None = None
    day_first: bool | None = None
    sheet: str | None = None

    def conventions(self, separator: str) -> Conventions:
        markers = Markers.of(self.missing, self.not_missing)
        return Conventions(markers, self.decimal, "," if separator == ";" else ".", self.day_first)


def read_table(
    source: str | Path,
    *,
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    missing: Sequence[str] = (),
    not_missing: Sequence[str] = (),
    skip: int = 0,
    comment: str | None = None,
    day_first: bool | None = None,
    sheet: str | None = None,
    keep_texts: bool = True,
) -> Table:
    """Read a table: CSV and its kin, Parquet, Feather or Arrow, or an Excel sheet; "-" is standard input.

    Text may be compressed (gzip, bzip2, xz, Zstandard, a ZIP of one file) and is UTF-8, UTF-16, Windows-1252 or
    Latin-1 unless an `encoding` is given.

    Separator, unless given (one character, or "whitespace"): of tab, semicolon, vertical bar and comma, outside quotes,
    the one that gives the widest table with equally many fields in every line; if none of them does, runs of spaces
    and tabs. If nothing separates, one column. Left out and told of: `skip` lines, comments (lines that begin with
    `comment`; without it, those at the top that begin with #), `sep=;`, titles, separators at the ends of lines, a line
    of units. Other lines that do not fit raise DataError; none is padded, cut or dropped. Blank lines are skipped,
    except inside a table of one column, where they are missing values.

    Header, unless given: see `headers.FirstLine.is_header`. Without one, and where a name is empty, columns are called
    column_1, column_2, ...; of equal names the later ones get a number. Columns that number or name the rows (an
    unnamed first one, R's row names, pandas' index) are the table's `row_names`.

    Values: a column is of numbers, of times (seconds), of dates, or of texts, by all of its values (`columns`): numbers
    may have decimal commas, separators of thousands, one currency or unit, or parentheses for minus. `decimal` ("." or
    ",") and `day_first` decide what cannot be told. Whole numbers with leading zeros or more than 15 digits that no
    float holds stay texts. Missing: see `markers`, and the texts in `missing`, but not those in `not_missing`.

    `Table.reading` says how it was read, `Table.notes` in sentences. keep_texts: with the fields as they
    are written, which a model needs to read them as those of its training table.

    Raises DataError for whatever keeps the file from being one table, with the line and what to do.
    """
    if separator is not None:
        separator = _checked_separator(separator)
    if decimal not in (None, ".", ","):
        raise SettingsError(f'The decimal mark {decimal!r}: give "." or ",".')
    options = Options(
        header, separator, encoding, decimal, _texts(missing), _texts(not_missing), skip, comment, day_first, sheet
    )
    options.conventions(",")  # markers are refused before anything is read
    name = name_of(source)
    data, compression = bytes_of(source)
    if parquet.is_parquet(data) or (name.endswith(".parquet") and not compression):
        return _of_frame(*parquet.read_parquet(data, name), "Parquet", name)
    if parquet.is_arrow(data):
        return _of_frame(parquet.read_arrow(data, name), (), "Arrow", name)
    if workbooks.is_workbook(data):
        text, remarks = workbooks.read_workbook(data, name, sheet)
        return _of_text(text, name, replace(options, separator=","), "Excel", "", "", remarks, keep_texts)
    if sheet is not None:
        raise SettingsError(f"--sheet {sheet!r} is for Excel workbooks, and {name} is none.")
    other_formats.refuse_binary(data, name)
    text_found = text_of(data, name, encoding)
    return _of_text(
        text_found.data, name, options, "text", text_found.encoding, compression, text_found.remarks, keep_texts
    )


def _texts(given: Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(str(text) for text in given)


def _of_text(
    text: bytes,
    name: str,
    options: Options,
    form: str,
    encoding: str,
    compression: str,
    remarks: tuple[str, ...],
    keep_texts: bool,
) -> Table:
    body = body_of(text, name, options.skip, options.comment)
    if options.separator is None and not body.separator:
        other_formats.refuse_text(body.text, name)
    found = find_records(body, name, options.separator, titled=options.header is not False)
    conventions = options.conventions(found.separator)
    records = found.records
    above: tuple[str, ...] = ()
    if found.row_names:  # a header with one name less than there are columns
        above, records = tuple(records.values(0)), records.keep(np.arange(1, len(records.lines)))
    frame, lines = _parse(records, name), records.lines
    comment = names_in_comment(body.commented, found.separator, frame.width)
    columns = Layout.of(frame, lines, options.header, above, comment, conventions, name)
    reading = Reading(
        {"text": _named(found.separator)}.get(form, form),
        columns.texts.height,
        tuple(columns.readings),
        columns.header,
        encoding,
        compression,
        found.separator if form == "text" else "",
        (*remarks, *_of_body(body, columns), *found.remarks, *columns.remarks),
        columns.row_names,
        tuple(sorted(conventions.markers.named)),
        tuple(sorted(conventions.markers.spared)),
    )
    return Table(
        pl.DataFrame(columns.values),
        name,
        columns.header,
        columns.lines,
        columns.row_names,
        notes=tuple(reading.notes()),
        reading=reading,
        texts=columns.texts if keep_texts else None,
        markers=conventions.markers,
    )


def _of_body(body: Body, columns: Layout) -> tuple[str, ...]:
    """A comment that became the header is told of as that."""
    return () if columns.commented and len(body.emptied) == 1 else body.remarks


def _named(separator: str) -> str:
    return {"\t": "TSV", ",": "CSV", "": "one column of text"}.get(separator, "text")


def _of_frame(frame: pl.DataFrame, index: Sequence[str], form: str, name: str) -> Table:
    """A typed frame. index: columns that pandas says are its index."""
    table = Table.from_frame(frame, name)
    numbered = [column for column in table.names if column in index or column == "__index_level_0__"]
    row_names = tuple(numbered) if len(numbered) < len(table.names) else ()
    readings = tuple(ColumnReading(column.name, _notation_of(column)) for column in table.frame)
    reading = Reading(form, table.rows, readings, True, row_names=row_names)
    return replace(table, row_names=row_names, reading=reading, notes=tuple(reading.notes()))


def _notation_of(column: pl.Series) -> Notation:
    if column.dtype == TIME:
        return Notation("date", order="ymd")
    return TEXT if column.dtype == pl.String else NUMBER


def _checked_separator(separator: str) -> str:
    spelled = {"\\t": "\t", "tab": "\t", " ": WHITESPACE, "space": WHITESPACE}.get(separator, separator)
    if spelled == WHITESPACE or (
        len(spelled) == 1 and re.fullmatch(r"[\t -~]", spelled) and not re.fullmatch(r'[\w".+-]', spelled)
    ):
        return spelled
    raise SettingsError(
        f'The separator {separator!r} cannot be used: give one character such as "," or ";", or "tab", or "whitespace".'
    )


def _parse(records: Records, name: str) -> pl.DataFrame:
    """All records as texts without surrounding spaces, the header line included, parsed by polars."""
    width = records.width
    require_polars(name)
    problem: Any = None
    try:
        frame = pl.read_csv(
            records.body(),
            has_header=False,
            schema=dict.fromkeys(automatic_names(width), pl.String),
            separator=records.separator,
            quote_char='"' if records.quoting else None,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        problem = str(error).splitlines()[0][:300]
    if problem is not None:
        raise DataError(f"{name}: cannot be read as a table: {problem}")
    if frame.shape != (len(records.lines), width):
        raise DataError(
            f"{name}: read {frame.height} rows of {frame.width} columns, but the file has "
            f"{len(records.lines)} of {width}. Is some field quoted in an unusual way?"
        )
    texts = pl.all() if _is_without_spaces(records) else pl.all().str.strip_chars()
    return frame.select(texts.fill_null(""))


def _is_without_spaces(records: Records) -> bool:
    """Whether no field can begin or end with a space, so that none need be stripped."""
    return not records.quoting and records.text.isascii() and not SPACES[records.separator == "\t"].search(records.text)
