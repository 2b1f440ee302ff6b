"""Reading tables: every rule of `read_table`, and that no bytes make it fail in an unexpected way."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime, time, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpubp.errors import DataError, GpubpError, SettingsError
from gpubp.tables import Table, find_column, read_table
from gpubp.tables.limits import TIME

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture
def read(tmp_path):
    """Read a table from text or bytes."""

    def read(content: str | bytes, **options) -> Table:
        path = tmp_path / "table.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_table(path, **options)

    return read


def rows_of(table: Table) -> list[tuple]:
    return table.frame.rows()


# --- the wheat seeds -------------------------------------------------------------------------------------------


def test_the_original_with_doubled_tabs_equals_the_clean_csv():
    original, clean = read_table(DATA / "seeds_dataset.txt"), read_table(DATA / "wheat-seeds.csv")
    assert original.frame.shape == (210, 8)
    assert original.frame.equals(clean.frame)
    assert original.names == [f"column_{i}" for i in range(1, 9)]
    assert not original.has_header
    assert original.frame.schema["column_8"] == pl.Int64
    assert original.line(209) == 210


def test_the_naive_conversion_is_refused_with_line_fields_and_advice():
    with pytest.raises(DataError) as caught:
        read_table(DATA / "wheat-seeds-naive-conversion.csv")
    message = str(caught.value)
    assert "wheat-seeds-naive-conversion.csv, line 8: found 10 fields, expected 8" in message
    assert "as on 199 of 210 lines" in message
    assert "36, 61, 69" in message
    assert "repeated tabs" in message
    assert "original file" in message


# --- separators ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a,b,c\n1,2,x y\n3,4,z\n",
        "a\tb\tc\n1\t2\tx y\n3\t4\tz\n",
        "a;b;c\n1;2;x y\n3;4;z\n",
        'a b c\n1   2 "x y"\n 3 \t 4 z  \n',
        "\ufeffa,b,c\r\n1,2,x y\r\n3,4,z\r\n\r\n\r\n",
        "a,b,c\r1,2,x y\r3,4,z\r",
        '"a","b","c"\n"1","2","x y"\n"3","4","z"',
        "\n\na,b,c\n\n1,2,x y\n   \n3,4,z\n\n",
        "a , b , c\n 1, 2 ,x y \n 3,4, z\n",
    ],
)
def test_one_table_in_many_dialects(read, text):
    table = read(text)
    assert table.names == ["a", "b", "c"]
    assert rows_of(table) == [(1, 2, "x y"), (3, 4, "z")]
    assert table.has_header


def test_a_true_tsv_keeps_its_empty_fields(read):
    assert rows_of(read("1\t\t3\n4\t5\t6\n\t8\t9\n")) == [(1, None, 3), (4, 5, 6), (None, 8, 9)]


def test_a_line_of_tabs_alone_is_a_row_of_missing_values(read):
    assert rows_of(read("1\t2\n\t\n3\t4\n")) == [(1, 2), (None, None), (3, 4)]


def test_decimal_commas(read):
    assert rows_of(read("1,5;2,25\n3;4,75e2\n")) == [(1.5, 2.25), (3.0, 475.0)]
    assert rows_of(read("x\n1,5\n2,5\n", separator="|")) == [(1.5,), (2.5,)]
    assert rows_of(read("a;b\n,;1\nx;2\n")) == [(",", 1), ("x", 2)]
    assert read("1.5;a\n2,5;b\n").frame.schema["column_1"] == pl.String  # points and commas: not guessed


def test_a_separator_can_be_given(read):
    assert rows_of(read("1|2\n3|4\n", separator="|")) == [(1, 2), (3, 4)]
    assert rows_of(read("1\t\t2\n3\t4\n", separator="whitespace")) == [(1, 2), (3, 4)]
    assert rows_of(read("1\t2\n3\t4\n", separator="\\t")) == [(1, 2), (3, 4)]
    with pytest.raises(DataError, match=r"line 1: found 3 fields, expected 2.*give the separator as whitespace"):
        read("1\t\t2\n3\t4\n5\t6\n", separator="tab")


@pytest.mark.parametrize("separator", ["", ",,", "a", "\n", '"', "é", "1", "."])
def test_a_senseless_separator_is_a_settings_error(read, separator):
    with pytest.raises(SettingsError, match="separator"):
        read("1,2\n", separator=separator)


def test_one_column_and_its_blank_lines(read):
    table = read("x\n1\n\n3\n\n\n")
    assert rows_of(table) == [(1,), (None,), (3,)]
    assert [table.line(row) for row in range(3)] == [2, 3, 4]


# --- quotes ----------------------------------------------------------------------------------------------------


def test_quoted_separators_line_breaks_and_quotes(read):
    table = read('name,n\n"a, b",1\n"two\nlines",2\n"say ""hi""",3\n"",4\n')
    assert rows_of(table) == [("a, b", 1), ("two\nlines", 2), ('say "hi"', 3), (None, 4)]
    assert [table.line(row) for row in range(4)] == [2, 3, 5, 6]


def test_quotes_inside_fields_are_ordinary_where_no_field_begins_with_one(read):
    assert rows_of(read('size,n\n5" pipe,1\n6" pipe,2\n')) == [('5" pipe', 1), ('6" pipe', 2)]


@pytest.mark.parametrize(
    ("text", "line"), [('a,b\n"x",1\n5" pipe,2\n', 3), ('a,b\n"x"y,1\n', 2), ('a,b\n"x",1\n"y,2\n', 3)]
)
def test_stray_quotes_are_refused(read, text, line):
    with pytest.raises(DataError, match=f"line {line}: a double quote"):
        read(text)


# The last four are whitespace to Python but not to polars.
characters = st.characters(codec="utf-8", exclude_characters="\0\r\x1c\x1d\x1e\x1f")
cells = st.just("") | st.text(characters, max_size=6).map(lambda text: f"x{text}")  # no numbers, no missing tokens


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=6), st.sampled_from(",;\t"))
def test_well_formed_csv_is_read_as_the_standard_library_writes_it(rows, separator):
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    table = _read_bytes(buffer.getvalue().encode(), header=False, separator=separator)
    assert rows_of(table) == [tuple(cell.strip() or None for cell in row) for row in rows]


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (lambda *args, **options: pl.DataFrame({"a": ["1"]}), "read 1 rows of 1 columns, but the file has 2 of 2"),
        (lambda *args, **options: pl.DataFrame().select("a"), "cannot be read as a table"),
    ],
)
def test_a_parser_that_disagrees_is_not_believed(read, monkeypatch, behaviour, message):
    monkeypatch.setattr(pl, "read_csv", behaviour)
    with pytest.raises(DataError, match=message):
        read("1,2\n3,4\n")


# --- ragged lines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n1,2,3\n4,5\n6,7,8\n", r"line 3: found 2 fields, expected 3.*keep its separator"),
        ("a,b,c\n1,2,3\n4,5,6,7\n6,7,8\n", r"line 3: found 4 fields, expected 3.*double quotes"),
        ("a,b\n1,2,3\n4,5,6\n", r"line 1: found 2 fields, expected 3.*one name per column"),
        ("1 2 3\n4 5\n6 7 8\n", r"line 2: found 2 fields, expected 3"),
        ("1\t\t2\t3\n4\t5\t\n6\t7\t8\n", r"line 2: found 2 fields, expected 3"),
        ('a,b\n"x\ny",2\n"z",3,4\n', r"line 4: found 3 fields, expected 2"),
        ("a,b,c\n1,2,3\n4,5\n", r"line 3: found 2 fields, expected 3"),
        ("1,2,3\n1,2\n", r"line 2: found 2 fields, expected 3"),
    ],
)
def test_ragged_lines_are_refused(read, text, message):
    with pytest.raises(DataError, match=message):
        read(text)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_short_or_long_line_ever_slips_through(data):
    width, rows = data.draw(st.integers(2, 5)), data.draw(st.integers(3, 8))
    lines = [[str(i + j) for j in range(width)] for i in range(rows)]
    broken = data.draw(st.integers(0, rows - 1))
    lines[broken] = ["7"] * data.draw(st.integers(1, 9).filter(lambda n: n != width))
    separator = data.draw(st.sampled_from(",;\t"))
    text = "\n".join(separator.join(line) for line in lines)
    with pytest.raises(DataError, match=r"found \d+ field"):
        _read_bytes(text.encode())


# --- headers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("1,2\n3,4\n", False),
        ("a,b\n1,2\n", True),
        ("0.5,R\n0.25,M\n", False),  # a number in the first line
        ("NA,red\n1,blue\n2,red\n", False),  # a missing value above numbers is no name, and red comes again
        ("red,big\nblue,small\nred,small\n", False),  # red comes again
        ("True\nFalse\nTrue\n", False),
        ("colour,size\nblue,small\nred,small\n", True),
        (",a,b\n0,1,2\n1,3,4\n", True),  # an index column without a name, as pandas writes it
        ("x,x\np,q\nr,s\n", False),  # all text, and two fields alike
    ],
)
def test_header_detection(read, text, header):
    assert read(text).has_header is header


def test_header_can_be_given(read):
    assert read("1990,1991\n1,2\n", header=True).names == ["1990", "1991"]
    table = read("a,b\nc,d\n", header=False)
    assert rows_of(table) == [("a", "b"), ("c", "d")]
    assert table.line(0) == 1


def test_empty_names_are_made_up(read):
    assert read(",a,b\n0,1,2\n1,3,4\n").names == ["column_1", "a", "b"]


# --- values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "NA", "N/A", "NaN", "nan", "null", "\\N", "?", " ? ", '"NA"', '""'])
def test_missing_values_in_numbers_and_in_text(read, token):
    assert rows_of(read(f"n,t\n1,a\n{token},{token}\n3,b\n")) == [(1, "a"), (None, None), (3, "b")]


def test_types(read):
    table = read("i,f,t,b,e,m\n1,1.5,a,True,1e3,\n-2,2,1x,FALSE,+.5,NA\n")
    assert dict(table.frame.schema) == {
        "i": pl.Int64, "f": pl.Float64, "t": pl.String, "b": pl.String, "e": pl.Float64, "m": pl.Float64
    }  # fmt: skip
    assert table.frame["b"].to_list() == ["true", "false"]
    assert table.frame["e"].to_list() == [1000.0, 0.5]
    assert table.frame["m"].null_count() == 2


@pytest.mark.parametrize("value", ["inf", "-inf", "1e31", "-2e30", "1e400", "Infinity"])
def test_numbers_beyond_float32_are_refused(read, value):
    with pytest.raises(DataError, match=r"line 3, column 'x': found .*within ±1e30"):
        read(f"x,y\n1.5,2\n{value},3\n")


# --- what is not a table ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\r\n \t\n", "is empty"),
        (b"a,b\n", "header line and no rows"),
        (b"a,b\n1,\0\n", "binary file"),
        (b"PK\x03\x04abc", "ZIP"),
        (b"\x1f\x8b\x08abc", "gzip"),
        (b"\xff\xfea\0,", "not utf-16"),
        (b"PAR1 and then nothing", "not a readable Parquet"),
        ("a,b\nx,1\ncafé\x81,2\n".encode("latin-1"), "line 3 has the byte 0xE9, which is not UTF-8"),
        (b"\x1f\x1e\x1d\x1c", "control characters"),
        (b"a\x1f\x1e\x1d\x1cb", "control characters"),
    ],
)
def test_unusable_files_are_refused(read, content, message):
    with pytest.raises(DataError, match=message):
        read(content)


def test_missing_file_folder_and_impossible_paths(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_table("a\0b")
    with pytest.raises(DataError, match="cannot be read"):
        read_table("x" * 5000)
    (tmp_path / "text.parquet").write_text("1,2\n")
    with pytest.raises(DataError, match="not a readable Parquet"):
        read_table(tmp_path / "text.parquet")


def test_no_permission(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "secret.csv"
    path.write_text("1,2\n")
    monkeypatch.setattr(Path, "read_bytes", refuse)  # a superuser may read what chmod forbids
    with pytest.raises(DataError, match="no permission"):
        read_table(path)


def test_one_row_is_read_and_training_can_refuse_it(read):
    table = read("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"found 1 row.*training needs at least 2"):
        table.require_rows()
    read("a,b\n1,2\n3,4\n").require_rows()


def test_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,2\n3,x\n")))
    table = read_table("-")
    assert table.source == "standard input"
    assert rows_of(table) == [(1, "2"), (3, "x")]


# --- Parquet, frames, arrays -----------------------------------------------------------------------------------


def test_parquet(tmp_path):
    frame = pl.DataFrame(
        {"i": [1, None], "f": [1.5, float("nan")], "b": [True, False], "t": ["1", "x"], "u": [None, None]},
        schema_overrides={"i": pl.UInt8, "f": pl.Float32},
    )
    frame.write_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").rename(tmp_path / "t")  # known by its content
    table = read_table(tmp_path / "t")
    assert rows_of(table) == [(1, 1.5, "true", "1", None), (None, None, "false", "x", None)]
    assert table.has_header
    assert table.line(0) is None
    assert table.at(1, "i").endswith("row 2, column 'i'")


def test_dates_and_times_of_a_frame():
    berlin = pl.Series([datetime(2020, 1, 1, 1)]).dt.replace_time_zone("Europe/Berlin")
    frame = pl.DataFrame({"d": [date(2020, 1, 1)], "z": berlin, "t": [time(0, 1, 2)], "s": [timedelta(minutes=-1)]})
    table = Table.from_frame(frame)
    assert table.frame.dtypes == [TIME, TIME, pl.Float64, pl.Float64]
    assert rows_of(table) == [(datetime(2020, 1, 1), datetime(2020, 1, 1), 62.0, -60.0)]  # UTC, seconds


@pytest.mark.parametrize("microseconds", [400_000_000_000_000_000, -70_000_000_000_000_000])
def test_times_outside_of_the_calendar_are_refused(microseconds):
    times = pl.Series("d", [0, microseconds]).cast(pl.Datetime("us"))
    with pytest.raises(DataError, match=r"row 2, column 'd': found a time outside of the years 1 to 9999"):
        Table.from_frame(times.to_frame())
    assert rows_of(Table.from_frame(times[:1].to_frame())) == [(datetime(1970, 1, 1),)]


def test_types_without_meaning_for_a_network_are_refused():
    with pytest.raises(DataError, match="column 'd' has type List"):
        Table.from_frame(pl.DataFrame({"d": [[1]]}))
    with pytest.raises(DataError, match=r"use Table\.from_frame"):
        Table(pl.DataFrame({"d": [True]}), "x", True)
    with pytest.raises(DataError, match="no rows"):
        Table.from_frame(pl.DataFrame({"d": []}))
    with pytest.raises(DataError, match="no columns"):
        Table.from_frame(pl.DataFrame())


def test_large_unsigned_integers_become_floats():
    table = Table.from_frame(pl.DataFrame({"u": [2**63, 1]}, schema={"u": pl.UInt64}))
    assert rows_of(table) == [(2.0**63,), (1.0,)]


class PandasLike(dict):
    """As much of a pandas frame as `from_frame` looks at."""

    columns = property(lambda self: list(self))


class PandasColumn(SimpleNamespace):
    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=object)

    def isna(self):
        return [value is UNKNOWN for value in self.values]


class Unknown:
    """Like pandas.NA: comparing it says nothing."""

    def __ne__(self, other):
        return self

    def __bool__(self):
        raise TypeError("ambiguous")

    __hash__ = None


UNKNOWN = Unknown()


def test_pandas_like_frames():
    frame = PandasLike(
        x=np.array([1.5, np.nan]),
        n=PandasColumn(values=[3, UNKNOWN]),
        t=np.array(["a", None], dtype=object),
        b=np.array([True, float("nan")], dtype=object),
    )
    table = Table.from_frame(frame)
    assert rows_of(table) == [(1.5, 3.0, "a", "true"), (None, None, None, None)]


def test_arrays():
    texts = Table.from_arrays(np.array([["1", "x"]]))
    assert rows_of(texts) == [("1", "x")]
    table = Table.from_arrays(np.array([[1.0, 2.0], [3.0, np.nan]]), np.array(["a", "b"]))
    assert rows_of(table) == [(1.0, 2.0, "a"), (3.0, None, "b")]
    assert table.names == ["column_1", "column_2", "column_3"]
    assert not table.has_header
    assert Table.from_arrays([[1, 2]], names=["p", "q"]).has_header
    with pytest.raises(DataError, match="shape"):
        Table.from_arrays([1, 2])
    with pytest.raises(DataError, match="shape"):
        Table.from_arrays([[1, 2]], [1, 2])
    with pytest.raises(DataError, match="complex128"):
        Table.from_arrays(np.array([[1j]]))
    with pytest.raises(DataError, match=r"'p' has shape \(1, 2\)"):
        Table.from_frame(PandasLike(p=np.array([[1, 2]])))
    with pytest.raises(DataError, match="1 names for 2 columns"):
        Table.from_arrays([[1, 2]], names=["p"])
    with pytest.raises(DataError, match="both named 'p'"):
        Table.from_arrays([[1, 2]], names=["p", "p"])


# --- find_column -----------------------------------------------------------------------------------------------


def test_find_column(read):
    table = read("length,width,7\n1,2,3\n", header=True)
    assert find_column(table) == "7"
    assert find_column(table, "width") == "width"
    assert find_column(table, 1) == "length"
    assert find_column(table, -2) == "width"
    assert find_column(table, "-3") == "length"
    assert find_column(table, "7") == "7"  # a name first
    with pytest.raises(DataError, match=r"no column 'lenght'\. Did you mean 'length'.*'length', 'width', '7'"):
        find_column(table, "lenght")
    for position in (0, 4, -4, "9"):
        with pytest.raises(DataError, match=rf"no column {position}; the 3 columns count from 1"):
            find_column(table, position)


# --- any bytes at all ------------------------------------------------------------------------------------------


def _read_bytes(content: bytes, **options) -> Table:
    """Through standard input: no file per example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        return read_table("-", **options)


tableish = st.text(st.sampled_from('01.,;\t \n\r"ab?-eé\x1f'), max_size=60).map(str.encode)
anything = st.one_of(st.binary(max_size=80), st.text(max_size=60).map(str.encode), tableish)


@settings(max_examples=400, deadline=None)
@given(anything, st.sampled_from([None, True, False]), st.sampled_from([None, ",", "\t", "whitespace"]))
def test_any_bytes_are_a_table_or_an_expected_error(content, header, separator):
    try:
        table = _read_bytes(content, header=header, separator=separator)
    except GpubpError:
        return
    assert table.frame.height == table.rows == len(table.lines) > 0
    assert (np.diff(table.lines) > 0).all()
    assert table.lines[-1] <= content.count(b"\n") + content.count(b"\r") + 1


def test_damaged_parquet_is_an_expected_error(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"x": np.arange(50.0), "t": ["a", "b"] * 25}).write_parquet(path)
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    refused = 0
    for _ in range(4):  # each is read by a process of its own
        damaged = bytearray(whole)
        for i in rng.integers(4, len(whole), size=8):
            damaged[i] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_table(path)
        except DataError:
            refused += 1
    assert refused >= 2
    for length in range(4, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="not a readable Parquet file"):
            read_table(path)
