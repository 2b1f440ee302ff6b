"""Where a table begins, what separates its fields, and which line names its columns; each as it is said."""

from __future__ import annotations

import pytest

from gpubp.errors import DataError, SettingsError
from gpubp.tables import read_table


@pytest.fixture
def read(tmp_path):
    def read(text: str, **options):
        (tmp_path / "table.txt").write_bytes(text.encode())
        return read_table(tmp_path / "table.txt", **options)

    return read


@pytest.mark.parametrize(
    ("text", "separator", "said"),
    [
        ("a,b\n1,2\n3,4\n", ",", "commas"),
        ("a;b;c\n1,5;2,5;3,5\n2,5;3,5;4,5\n", ";", "semicolons"),
        ("a|b\n1|2\n3|4\n", "|", "vertical bars"),
        ("| a | b |\n| 1 | 2 |\n| 3 | 4 |\n", "|", "vertical bars"),
        ("city\tpop\nNew York\t5\nSan Jose\t6\n", "\t", "tabs"),
        ("a  b\n1   2\n33  4\n", "whitespace", "spaces"),
        ("1,5 2,5\n3,5 4,5\n", "whitespace", "spaces"),
        ('"a" "b"\n1,5 "x, y"\n2,5 "z"\n', "whitespace", "spaces"),
        ("18.0   8   307.0\t\"car a\"\n15.0   8   350.0\t\"car b\"\n", "whitespace", "spaces"),
        ("a,b,note\n1,2,x; y\n3,4,z; w\n", ",", "commas"),
        ("a\tb\n1,234\tx\n2,345\ty\n", "\t", "tabs"),
        ("sep=;\na;b\n1;2\n3;4\n", ";", "semicolons"),
        ('a, "b"\n1, "x, y"\n2, "z"\n', ",", "commas"),
    ],
)  # fmt: skip
def test_the_separator_is_found_and_said(read, text, separator, said):
    table = read(text)
    assert table.reading.separator == separator
    assert f"separated by {said}" in table.notes[0]
    assert table.rows == 2


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("Sales report 2020\n\na,b\n1,2\n3,4\n", "Line 1 is a title, and left out."),
        ("Sales report 2020,,\n,,\na,b,c\n1,2,3\n3,4,5\n", "Lines 1, 2 are titles, and left out."),
        ("A report\nname;size\nx;\nNA;1\ny;2\nz;3\n", "Line 1 is a title, and left out."),
        ("# made by hand\na,b\n1,2\n3,4\n", "Line 1 is a comment, and left out."),
        ("a,b\n1,2\n# stop\n3,4\n", "Line 3 is a comment, and left out."),
        ("a,b\n1,2,\n3,4,\n", "Its lines end with a separator, which the header does not."),
        ("a,b,\n1,2,\n3,4,\n", "A column without a name and without a value at the lines' ends: left out."),
        ("a,b,,\n1,2\n3,4\n", "The header ends with separators too many."),
        ("a,b\n1,2,\n3,4\n5,6\n", "Some lines end with a separator too many."),
        ("sep=;\na;b\n1;2\n3;4\n", "Line 1 declares the separator ';'."),
        ("a,b,name\ns,kg,\n1,2.5,x\n2,3.5,y\n3,4.5,z\n", "Line 2 holds units (s, kg), and is left out."),
        ("x\ty\t\nm\tkm/h\t\n1\t\t\n2\t3\t\n3\t4\t\n", "Line 2 holds units (m, km/h), and is left out."),
        ("a,a,b\n1,2,3\n4,5,6\n", "Column 2 has the same name as an earlier one, 'a': it is called 'a_2' here."),
        ('a, "b"\n1, "x, y"\n2, "z"\n', "Spaces beside quoted fields are left out."),
        ("# x y z\n1.0 2.0 3.0\n4.0 5.0 6.0\n", "The columns have the names in the comment above them: x, y, z."),
    ],
)
def test_what_stands_around_a_table_is_left_out_and_said(read, text, note):
    table = read(text)
    assert note in table.notes
    assert table.has_header
    assert all(dtype.is_numeric() for dtype in table.frame.dtypes[:2] if "name" not in text and '"' not in text)


@pytest.mark.parametrize(
    "text",
    [
        "a,price\n,$0\nred,$1\nblue,$2\n",
        "a,b\nUnknown,Unknown\nx,1\nx,2\nx,3\n",
        "a,b\nx,2020-01-05\ny,2020-01-06\nz,2020-01-07\n",
        "a,b\nx,1 kg\ny,2 kg\nz,3 kg\n",
    ],
)
def test_a_row_is_no_line_of_units(read, text):
    assert read(text).rows == text.count("\n") - 1


def test_lines_can_be_skipped_and_comments_named(read):
    table = read("anything, at all, here\na,b\n1,2\n% no\n3,4\n", skip=1, comment="%")
    assert table.frame.rows() == [(1, 2), (3, 4)]
    assert table.notes[1:] == ("The first 1 line was skipped, as asked.", "Line 4 is a comment, and left out.")
    assert [table.line(row) for row in range(2)] == [3, 5]
    with pytest.raises(SettingsError, match="--skip -1"):
        read("a,b\n1,2\n", skip=-1)
    with pytest.raises(SettingsError, match="--comment"):
        read("a,b\n1,2\n", comment=" ")
    with pytest.raises(DataError, match="nothing is left"):
        read("a,b\n1,2\n", skip=5)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("region,2019,trend\nwest,5.5,up\neast,3.2,down\nwest,1,up\n", ["region", "2019", "trend"]),
        ("0,1,2,3\n5.1,3.5,1,a\n4.9,3,0,b\n4.7,3.2,1,a\n", ["0", "1", "2", "3"]),
        ("2018,2019,2020\n1.5,2,3\n4,5.5,6\n7,8,9.5\n", ["2018", "2019", "2020"]),
        ("name,25%,50%\na,1,2\nb,3,4\n", ["name", "25%", "50%"]),
        ("#,Name,Type\n1,Bulba,Grass\n2,Ivy,Grass\n3,Char,Fire\n", ["#", "Name", "Type"]),
        ("when,what\n2020-01-01,up\n2020-01-02,down\n", ["when", "what"]),
        ("a,b,\n1,x,\n2,y,\n", ["a", "b"]),
        ("Norway,2019,Oslo\nSweden,2018,Stockholm\nDenmark,2017,Kopenhagen\n", None),
        ("2020-01-01,5,up\n2020-01-02,4,down\n2020-01-03,3,up\n", None),
        ("$5,red\n$6,blue\n$7,red\n", None),
        ("1,2,3\n4,5,6\n7,8,9\n", None),
        ("10:30,a\n10:45,b\n11:00,a\n", None),
    ],
)
def test_headers(read, text, names):
    table = read(text)
    assert table.has_header is (names is not None)
    assert table.names == (names or [f"column_{i + 1}" for i in range(len(table.names))])
    assert table.notes[0].endswith("with a header." if names else "without a header.")


@pytest.mark.parametrize(
    ("text", "row_names"),
    [
        ('"a" "b"\n"1" 5.1 "x"\n"2" 4.9 "y"\n"3" 4.7 "x"\n', ("column_1",)),
        ('a b\n"Mazda RX4" 5.1 1\n"Datsun 710" 4.9 2\n"Fiat 128" 4.7 3\n', ("column_1",)),
        ('"","a","b"\n"1",5.1,"x"\n"2",4.9,"y"\n', ("column_1",)),
        (",0,1\n0,5.1,a\n1,4.9,b\n2,4.8,c\n", ("column_1",)),
        ("Unnamed: 0,a\n0,5.1\n1,4.9\n", ("Unnamed: 0",)),
        ("rownames,a\nx,5.1\ny,4.9\n", ("rownames",)),
        (",a\nred,5.1\nred,4.9\nblue,1\n", ()),
        ("a,b\n1,2\n3,4\n", ()),
    ],
)  # fmt: skip
def test_row_names(read, text, row_names):
    table = read(text)
    assert table.row_names == row_names


def test_a_table_of_spaces_whose_numbers_have_decimal_commas(read):
    table = read('size  note  mass\n1  x  "1 252,5 kg"\n2  y  "0,27 kg"\n3  z  "518,7 kg"\n')
    assert table.frame["mass"].to_list() == [1252.5, 0.27, 518.7]
    with pytest.raises(DataError, match="found 3 fields, expected 2"):  # commas that separate: no table of spaces
        read("a b,c\n1 2,3\n1 2,3,4\n1 2,5\n")


# --- what looks like something around a table, and is a row of it ------------------------------------------------


@pytest.mark.parametrize("first", ["1,,", ",,"])
def test_a_row_with_gaps_is_no_title(read, first):
    table = read(f"{first}\n1,2,3\n4,5,6\n7,8,9\n")
    assert (table.rows, table.has_header) == (4, False)


def test_a_stray_text_beside_a_name_is_no_line_of_units(read):
    table = read("x,name\nl2,Bob\n1,Ann\n2,Eve\n3,Joe\n")
    assert table.rows == 4
    assert table.stray("x") is not None


@pytest.mark.parametrize(("values", "names_rows"), [(("1", "2", "3"), True), (("1.5", "1.7", "1.9"), False)])
def test_fractions_under_the_name_index_are_measurements(read, values, names_rows):
    table = read("index,y,z\n" + "".join(f"{value},{i},{i}\n" for i, value in enumerate(values)))
    assert bool(table.row_names) == names_rows
