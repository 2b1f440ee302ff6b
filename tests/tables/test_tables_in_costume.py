"""Tables as people write them: random values in a random costume are read back as the same values, kinds and names."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import zstandard
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gpubp.tables import Table, read_table
from gpubp.tables.limits import TIME

quickly = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS = st.integers(6, 12)
NAMES = ("size", "größe", "x1", "Total cost", "y", "étage", "2nd", "a_b", "Ø", "Weight")
WORDS = ("red", "green", "dark blue", "Jürgen", "café", "naïve", "O'Brien", "x", "Côte d'Azur", "São Paulo")
MISSING = ("", "NA", "n/a", "NaN", "null", "?", "-", "#N/A", "\\N", ".", "<NA>", "#DIV/0!", "NULL")
DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%d %b %Y", "%B %d, %Y", "%d-%b-%y",
    "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%a, %d %b %Y",
)  # fmt: skip
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "Zstandard": lambda data: zstandard.ZstdCompressor().compress(data),
}
ENCODINGS = {
    "utf-8": lambda text: text.encode(),
    "utf-8 with its mark": lambda text: text.encode("utf-8-sig"),
    "utf-16": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "utf-16 the other way": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "Latin-1": lambda text: text.encode("latin-1"),
    "Windows-1252": lambda text: text.encode("cp1252"),
}


@dataclass
class Column:
    """What stands in the file and what is to be read; kind as in `Notation`."""

    fields: list[str]
    values: list[Any]
    kind: str


def read(path: Path, data: bytes, **options: Any) -> Table:
    path.write_bytes(data)
    return read_table(path, **options)


def check(table: Table, names: Sequence[str], columns: Sequence[Column]) -> None:
    assert table.names == list(names)
    assert table.reading is not None
    types = {"number": (pl.Int64, pl.Float64), "duration": (pl.Float64,), "date": (TIME,)}
    for column, name, reading in zip(columns, names, table.reading.columns, strict=True):
        assert reading.notation.kind == column.kind, (name, column.fields)
        assert table.frame[name].dtype in types.get(column.kind, (pl.String,))
        assert table.frame[name].to_list() == column.values, (name, column.fields)


# --- values ----------------------------------------------------------------------------------------------------


def grouped(digits: str, mark: str) -> str:
    parts = []
    while len(digits) > 3:
        digits, part = digits[:-3], digits[-3:]
        parts.append(part)
    return mark.join([digits, *reversed(parts)])


@st.composite
def numbers(draw: Any, rows: int, decimal: str) -> Column:
    """Numbers with this decimal mark, all with one currency or unit, and grouped alike."""
    thousands = draw(st.sampled_from(["", " ", "\u00a0", "'", "," if decimal == "." else "."]))
    places = draw(st.integers(0, 3))
    if decimal == "," or (places in (0, 3) and thousands):
        places = draw(st.sampled_from([1, 2]))  # three digits after a comma or a point may be thousands
    before, after = draw(
        st.sampled_from([("", ""), ("$", ""), ("€ ", ""), ("", " €"), ("", "%"), ("", " kg"), ("", " km/h")])
    )
    minus = draw(st.sampled_from(["-", "−", "("]))
    fields, values = [], []
    for _ in range(rows):
        value = draw(st.integers(-(10**9), 10**9)) if places else draw(st.integers(-(10**6), 10**6))
        digits = str(abs(value)).zfill(places + 1)
        whole, fraction = (digits[:-places], digits[-places:]) if places else (digits, "")
        body = grouped(whole, thousands) + (decimal + fraction if places else "")
        if value >= 0:
            fields.append(f"{before}{body}{after}")
        elif minus == "(":
            fields.append(f"({before}{body}{after})")
        else:
            fields.append(f"{minus}{before}{body}{after}")
        values.append(value / 10**places)
    return Column(fields, values, "number")


@st.composite
def dates(draw: Any, rows: int) -> Column:
    """Days in one notation; where day and month could be confused, one day is the 31st."""
    form = draw(st.sampled_from(DATES))
    first = datetime(1990, 1, 1)
    days = [first + timedelta(draw(st.integers(0, 20000))) for _ in range(rows - 1)] + [datetime(2003, 12, 31)]
    if any(part in form for part in ("%H", "%I")):
        days = [day + timedelta(minutes=draw(st.integers(0, 1439))) for day in days]
    return Column([day.strftime(form) for day in days], days, "date")


@st.composite
def times(draw: Any, rows: int) -> Column:
    seconds = [draw(st.integers(0, 86399)) for _ in range(rows)]
    form = draw(st.sampled_from(["h:m", "h:m:s", "12h", "1h 2m"]))
    if form != "h:m:s":
        seconds = [each // 60 * 60 for each in seconds]
    fields = []
    for each in seconds:
        h, m, s = each // 3600, each // 60 % 60, each % 60
        half = f"{(h - 1) % 12 + 1}:{m:02d} {'AM' if h < 12 else 'PM'}"
        fields.append(
            {"h:m": f"{h:02d}:{m:02d}", "h:m:s": f"{h}:{m:02d}:{s:02d}", "12h": half, "1h 2m": f"{h}h {m}m"}[form]
        )
    return Column(fields, [float(each) for each in seconds], "duration")


@st.composite
def codes(draw: Any, rows: int) -> Column:
    """Whole numbers that are none: with leading zeros, or too long for a number."""
    digits = draw(st.sampled_from([4, 20]))
    values = [draw(st.integers(0, 10**digits - 1)) for _ in range(rows - 1)]
    fields = [f"{value:0{digits}d}" for value in values] + ["0" * (digits - 1) + "7"]
    return Column(fields, list(fields), "text")


@st.composite
def booleans(draw: Any, rows: int) -> Column:
    true, false = draw(st.sampled_from([("True", "False"), ("TRUE", "FALSE"), ("true", "false")]))
    given = [True, False, *(draw(st.booleans()) for _ in range(rows - 2))]
    return Column(
        [true if each else false for each in given], ["true" if each else "false" for each in given], "boolean"
    )


@st.composite
def texts(draw: Any, rows: int) -> Column:
    fields = [draw(st.sampled_from(WORDS)) for _ in range(rows)]
    return Column(fields, list(fields), "text")


def plain(rows: int) -> st.SearchStrategy[Column]:
    """Whole numbers that count nothing on, and are no days such as 20200131."""
    values = st.lists(st.integers(-(10**7), 10**7), min_size=rows, max_size=rows)
    return values.map(lambda found: Column([str(each) for each in found], found, "number"))


@st.composite
def tables(draw: Any) -> tuple[list[str], list[Column]]:
    """(names, columns of at least six rows). The first column is of texts, the second of plain
    whole numbers, so that a header is found and a decimal mark is known."""
    rows, decimal = draw(ROWS), draw(st.sampled_from(".,"))
    kinds = [numbers(rows, decimal), dates(rows), times(rows), codes(rows), booleans(rows), texts(rows), plain(rows)]
    columns = [draw(texts(rows)), draw(plain(rows)), *(draw(st.one_of(kinds)) for _ in range(draw(st.integers(0, 3))))]
    for column in columns:
        if draw(st.booleans()):
            row = draw(st.integers(0, rows - 3))
            column.fields[row], column.values[row] = draw(st.sampled_from(MISSING)), None
    names = draw(st.lists(st.sampled_from(NAMES), min_size=len(columns), max_size=len(columns), unique=True))
    return names, columns


# --- costumes --------------------------------------------------------------------------------------------------


def written(lines: Sequence[Sequence[str]], separator: str, quoting: str) -> list[str]:
    """Each field quoted where it must be, or all; "spaced" has a space before each quote."""

    def field(text: str) -> str:
        must = separator in text or '"' in text or (separator == " " and (not text or " " in text or "\u00a0" in text))
        if quoting == "all" or must:
            return (" " if quoting == "spaced" else "") + '"' + text.replace('"', '""') + '"'
        return text

    return [separator.join(map(field, line)) for line in lines]


@quickly
@given(data=st.data())
def test_values_kinds_and_names_come_back(tmp_path: Path, data: st.DataObject) -> None:
    names, columns = data.draw(tables())
    separator = data.draw(st.sampled_from(",;\t|"))
    quoting = data.draw(st.sampled_from(["minimal", "all", "spaced"]))
    header = data.draw(st.sampled_from([None, True, False]))
    rows = list(zip(*(column.fields for column in columns), strict=True))
    lines = written([*([names] if header is not False else []), *rows], separator, quoting)
    title = data.draw(st.sampled_from([[], ["# made by hand", "# in 2020"], ["A report", ""], [f"sep={separator}"]]))
    if title == ["A report", ""] and header is False:
        title = []  # nobody could tell it from a value
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join([*title, *lines]) + data.draw(st.sampled_from(["", end, end * 3]))
    encoding = data.draw(st.sampled_from([*ENCODINGS]))
    try:
        content = ENCODINGS[encoding](text)
    except UnicodeEncodeError:  # the minus sign in Latin-1
        content = text.encode()
    pack = data.draw(st.sampled_from([*COMPRESSIONS]))
    options = {} if header is None else {"header": header}
    table = read(tmp_path / "table", COMPRESSIONS[pack](content), **options)
    if header is False:
        names = [f"column_{i + 1}" for i in range(len(columns))]
    assert table.reading is not None
    assert table.reading.separator == separator
    assert table.reading.compression == pack
    assert table.has_header is (header is not False)
    check(table, names, columns)


@quickly
@given(data=st.data())
def test_columns_padded_with_spaces(tmp_path: Path, data: st.DataObject) -> None:
    names, columns = data.draw(tables())
    rows = list(zip(*(column.fields for column in columns), strict=True))
    fields = [
        [f'"{each}"' if " " in each or "\u00a0" in each or not each else each for each in row] for row in [names, *rows]
    ]
    widths = [max(map(len, column)) for column in zip(*fields, strict=True)]
    aligned = data.draw(st.sampled_from([str.ljust, str.rjust]))
    lines = ["  ".join(aligned(*each) for each in zip(line, widths, strict=True)) for line in fields]
    table = read(tmp_path / "table", "\n".join(lines).encode())
    assert table.reading is not None
    assert table.reading.separator == "whitespace"
    check(table, names, columns)


@quickly
@given(data=st.data())
def test_what_stands_around_a_table(tmp_path: Path, data: st.DataObject) -> None:
    """Names that come again, a line of units, separators at the lines' ends, comments within."""
    names, columns = data.draw(tables())
    assume(not any(field.startswith("#") for column in columns for field in column.fields))
    rows = [list(row) for row in zip(*(column.fields for column in columns), strict=True)]
    lines, place = [names, *rows], data.draw(st.integers(1, len(names) - 1))
    changes = data.draw(st.sets(st.sampled_from(["names", "units", "ends", "comment"]), min_size=1))
    if "names" in changes:
        lines[0] = [*names[:place], names[0], *names[place + 1 :]]
        names = [*names[:place], f"{names[0]}_2", *names[place + 1 :]]
    if "units" in changes:
        lines.insert(1, ["", "m/s", *("" for _ in names[2:])])
    separator = data.draw(st.sampled_from(",;\t|"))
    text = [line + separator * ("ends" in changes) for line in written(lines, separator, "minimal")]
    if "comment" in changes:
        text.insert(data.draw(st.integers(2, len(text) - 1)), "# measured again")
    told = {"header": True} if changes >= {"names", "units"} else {}  # names alike above texts alone are none
    table = read(tmp_path / "table", "\n".join(text).encode(), **told)
    assert table.reading is not None
    said = " ".join(table.reading.remarks)
    for change, words in (
        ("names", "same name"),
        ("units", "units (m/s)"),
        ("ends", "left out"),
        ("comment", "comment"),
    ):
        assert (words in said) or change not in changes
    check(table, names, columns)


@quickly
@given(data=st.data())
def test_row_names_of_pandas_and_r(tmp_path: Path, data: st.DataObject) -> None:
    names, columns = data.draw(tables())
    rows = list(zip(*(column.fields for column in columns), strict=True))
    way = data.draw(st.sampled_from(["to_csv", "write.csv", "write.table"]))
    start = 0 if way == "to_csv" else 1
    indexed = [[str(start + i), *row] for i, row in enumerate(rows)]
    if way == "write.table":
        lines = [*written([names], " ", "all"), *written(indexed, " ", "minimal")]
    else:
        lines = written([["", *names], *indexed], ",", "minimal" if way == "to_csv" else "all")
    table = read(tmp_path / "table", "\n".join(lines).encode())
    assert table.row_names == ("column_1",)
    assert table.frame["column_1"].to_list() == list(range(start, start + len(rows)))
    index = Column([], list(range(start, start + len(rows))), "number")
    check(table, ["column_1", *names], [index, *columns])


@settings(quickly, max_examples=5)  # each file is read by a process of its own
@given(data=st.data())
def test_typed_files(tmp_path: Path, data: st.DataObject) -> None:
    """Parquet and Arrow: types are taken as they are."""
    names, columns = data.draw(tables())
    frame = pl.DataFrame([pl.Series(name, column.values) for name, column in zip(names, columns, strict=True)])
    path = tmp_path / "table"
    data.draw(st.sampled_from([frame.write_parquet, frame.write_ipc]))(path)
    table = read_table(path)
    assert table.names == names
    assert table.frame.rows() == frame.rows()
