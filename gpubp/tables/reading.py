"""A file into a `Table`: bytes, then records, then values."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import polars as pl

from gpubp.errors import DataError, SettingsError
from gpubp.tables import records as splitting
from gpubp.tables.forks import require_polars
from gpubp.tables.parquet import read_parquet
from gpubp.tables.table import Table, automatic_names, refuse_duplicates
from gpubp.tables.values import has_header, typed

PARQUET = b"PAR1"
OTHER_FORMATS = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook; export the sheet as CSV",
    b"\x1f\x8b": "compressed with gzip; decompress it first (gunzip)",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"%PDF": "a PDF document; export the table as CSV",
    b"\x89HDF": "an HDF5 file; export the table as CSV or Parquet",
}


def read_table(source: str | Path, *, header: bool | None = None, separator: str | None = None) -> Table:
    """Read CSV, TSV, semicolon- or whitespace-separated text (UTF-8), or Parquet; "-" is standard input.

    Separator, unless given (one character, or "whitespace"): tab, then semicolon, then comma: the first that
    occurs in the first line, or in at least half of the lines, and gives every line the same number of
    fields (empty ones are missing values). If no comma or semicolon separates: runs of spaces and tabs,
    where these give every line the same number of fields, as in the doubled tabs of UCI's seeds_dataset.txt.
    If nothing separates, one column. Lines that do not fit raise DataError; none is padded, cut or dropped.
    Blank lines are skipped, except inside a table of one column, where they are missing values.

    Header, unless given: none if the first line holds a number. Otherwise a header if it has a name above
    some column of numbers; in a table of text alone, if its fields are distinct, not missing, and none of
    them occurs again in its own column. Without a header the columns are called column_1, column_2, ...; so
    are columns whose name is empty.

    Values: see `gpubp.tables.values`. Missing: an empty field, NA, N/A, NaN, nan, null, None, ?, whether
    quoted or not, in columns of numbers and of text alike. Decimal commas count in semicolon-separated files
    only. Parquet keeps its own types: there only null and NaN are missing.

    Raises DataError for whatever keeps the file from being one table, with the line and what to do.
    """
    name = "standard input" if str(source) == "-" else str(source)
    if separator is not None:
        separator = _checked_separator(separator)
    data = _standard_input() if str(source) == "-" else _read_bytes(Path(source), name)
    if data.startswith(PARQUET) or name.endswith(".parquet"):
        return Table.from_frame(read_parquet(data, name), name)
    text = _checked_text(data, name)
    if separator is None:
        records = splitting.find_records(text, name)
    elif separator == "whitespace":
        records = splitting.split_records(splitting.collapse_whitespace(text), "\t", name)
    else:
        records = splitting.split_records(text, separator, name)
    if not records.consistent:
        raise splitting.ragged_error(records, name)

    frame = _parse(records, name)
    decimal_comma = records.separator == ";"
    if header is None:
        header = has_header(frame, decimal_comma)
    names, lines = automatic_names(frame.width), records.lines
    if header:
        names = [(field or "").strip() or names[i] for i, field in enumerate(frame.row(0))]
        refuse_duplicates(names, f"{name}, line {lines[0]}")
        frame, lines = frame.slice(1), lines[1:]
        if not frame.height:
            raise DataError(f"{name}: found a header line and no rows of data.")
    columns = [typed(column, decimal_comma).alias(names[i]) for i, column in enumerate(frame)]
    return Table(pl.DataFrame(columns), name, header, lines)


def _checked_separator(separator: str) -> str:
    spelled = {"\\t": "\t", "tab": "\t", " ": "whitespace", "space": "whitespace"}.get(separator, separator)
    if spelled == "whitespace" or (
        len(spelled) == 1 and re.fullmatch(r"[\t -~]", spelled) and not re.fullmatch(r'[\w".+-]', spelled)
    ):
        return spelled
    raise SettingsError(
        f'The separator {separator!r} cannot be used: give one character such as "," or ";", or "tab", or "whitespace".'
    )


def _standard_input() -> bytes:
    if sys.stdin is None:  # `gpubp … <&-`, and programs that have none
        raise DataError("standard input: it is closed; pipe a table into it, or name a file.")
    try:
        given = getattr(sys.stdin, "buffer", sys.stdin).read()  # a notebook's, or a test's, may have text alone
    except (OSError, ValueError) as error:  # a folder, for example, or one that was closed meanwhile
        raise DataError(f"standard input: cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    return given.encode() if isinstance(given, str) else given


def _read_bytes(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such file.") from None
    except IsADirectoryError:
        raise DataError(f"{name} is a folder; name one file in it.") from None
    except PermissionError:
        raise DataError(f"{name}: no permission to read this file.") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise DataError(f"{name}: cannot be read: {error}.") from None


def _checked_text(data: bytes, name: str) -> bytes:
    """UTF-8 without byte-order mark, lines ending in LF; DataError where it is not text or empty."""
    for magic, what in OTHER_FORMATS.items():
        if data.startswith(magic):
            raise DataError(f"{name}: this file is {what}.")
    if b"\0" in data:
        raise DataError(f"{name}: this is a binary file (byte {data.index(0)} is zero); give CSV, TSV or Parquet.")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        if not data.isascii():
            data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}, line {line}: byte 0x{data[error.start]:02X} is not UTF-8. The file may be Latin-1 or "
            "Windows-1252 text; convert it: iconv -f WINDOWS-1252 -t UTF-8."
        ) from None
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        if b"\n" not in data:
            data = data.replace(b"\r", b"\n")
    if not data.strip():
        raise DataError(f"{name}: the file is empty.")
    return data


def _parse(records: splitting.Records, name: str) -> pl.DataFrame:
    """All records as text, the header line included, parsed by polars."""
    width = records.width
    require_polars(name)
    try:
        frame = pl.read_csv(
            records.body(),
            has_header=False,
            schema=dict.fromkeys(automatic_names(width), pl.String),
            separator=records.separator,
            quote_char='"' if records.quoting else None,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"{name}: cannot be read as a table: {str(error).splitlines()[0]:.300}") from None
    if frame.shape != (len(records.lines), width):
        raise DataError(
            f"{name}: read {frame.height} rows of {frame.width} columns, but the file has "
            f"{len(records.lines)} of {width}. Is some field quoted in an unusual way?"
        )
    return frame
