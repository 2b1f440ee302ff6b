"""Tables to predict on, read as the table of the training was, though alone they would be read otherwise."""

from __future__ import annotations

from datetime import datetime

import pytest

from gpubp.tables import read_table
from gpubp.tables.likeness import read_like


@pytest.fixture
def alike(tmp_path):
    """(the columns of `text`, read as `trained` was; notes)."""

    def alike(trained: str, text: str, **options):
        tables = []
        for name, content in (("trained.csv", trained), ("other.csv", text)):
            (tmp_path / name).write_bytes(content.encode())
            tables.append(read_table(tmp_path / name, **options))
        table, notes = read_like(tables[1], tables[0].reading, "y")
        return table.frame.to_dict(as_series=False), " ".join(notes)

    return alike


def test_a_decimal_comma_is_one_in_a_single_row(alike):
    trained = "x;y\n1,5;0\n22,75;1\n3,125;0\n"
    assert alike(trained, "x;y\n1,234;0\n")[0]["x"] == [1.234]
    assert alike(trained, 'x,y\n"1,234",0\n')[0]["x"] == [1.234]
    assert alike(trained, "x;y\n1.234,5;0\n")[0]["x"] == [1234.5]
    trained = 'x,y\n"1,234.5",0\n"2,345.5",1\n12,0\n'
    assert alike(trained, "x;y\n1,234;0\n")[0]["x"] == [1234]


def test_day_and_month_have_their_places(alike):
    trained = "d,y\n31/01/2020,0\n01/02/2020,1\n15/03/2020,0\n"
    values, notes = alike(trained, "d,y\n03/04/2020,0\n")
    assert values["d"] == [datetime(2020, 4, 3)]
    assert "day or month" not in notes


def test_single_rows_are_what_their_columns_were(alike):
    trained = "c,t,k,y\n007,10:30,5 kg,0\n011,11:45,6 kg,1\n100,12:00,7 kg,0\n"
    values, notes = alike(trained, "c,t,k\n100,9:15,8\n")
    assert values["c"] == ["100"]
    assert values["t"] == [33300]
    assert values["k"] == [8]
    assert notes == ""


def test_true_and_false(alike):
    trained = "b,y\nTrue,0\nFalse,1\nTrue,0\n"
    assert alike(trained, "b,y\nTRUE,0\nfalse,1\n")[0]["b"] == ["true", "false"]


def test_missing_values_of_either_table(alike):
    trained = "x,y\n1.5,0\nNA,1\n2.5,0\n"
    values, _ = alike(trained, "x,y\nUnknown,0\n")
    assert values["x"] == [None]
    values, _ = alike(trained, "x,y\n?,0\n-,1\n3,0\n")
    assert values["x"] == [None, None, 3]


def test_compact_dates_and_few_of_them(alike):
    trained = "d,y\n" + "".join(f"202001{day},{day % 2}\n" for day in range(10, 20))
    assert alike(trained, "d,y\n20200205,0\n")[0]["d"] == [datetime(2020, 2, 5)]


def test_without_headers_columns_are_found_by_position(alike):
    trained = "1,5;a;0\n2,5;b;1\n3,25;a;0\n"
    values, _ = alike(trained, "1,234;b;1\n", header=False)
    assert values["column_1"] == [1.234]


def test_a_column_that_is_written_otherwise_is_told_of(alike):
    trained = "d,y\n2020-01-31,0\n2020-02-01,1\n2020-02-03,0\n"
    values, notes = alike(trained, "d,y\n31.01.2020,0\n01.02.2020,1\n")
    assert values["d"] == [datetime(2020, 1, 31), datetime(2020, 2, 1)]
    assert (
        "Column 'd' is not written as it was in training (dates, year-month-day there, dates, day-month-year" in notes
    )
