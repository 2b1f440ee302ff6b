"""How columns are written: numbers in costume, clock times, dates, codes; and what the table says of each."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

from gpubp.storage.schema import Given
from gpubp.tables import read_table, written_dates, written_times
from gpubp.tables.notation import NUMBER, Notation
from gpubp.tables.written_numbers import PLAIN, NumberStyle


@pytest.fixture
def column(tmp_path):
    """(values, kind, notes) of a column that stands beside one of names."""

    def column(*fields: str, other: str = "", **options):
        path = tmp_path / "table.csv"
        lines = [f'n{i},"{field}"' + (f',"{other}"' if other else "") for i, field in enumerate(fields)]
        path.write_text("\n".join(["name,x" + ",other" * bool(other), *lines]) + "\n")
        table = read_table(path, **options)
        return table.frame["x"].to_list(), table.reading.columns[1].notation.kind, " ".join(table.notes[1:])

    return column


@pytest.mark.parametrize(
    ("fields", "values", "said"),
    [
        (["1,234", "5", "1,234,567"], [1234, 5, 1234567], "commas between thousands"),
        (["1,234.5", "12"], [1234.5, 12], "commas between thousands"),
        (["12,34,567", "1,000"], [1234567, 1000], "commas between thousands"),
        (["1.299,99", "3"], [1299.99, 3], "decimal commas and points between thousands"),
        (["1,5", "2,25"], [1.5, 2.25], "decimal commas"),
        (["1 234,5", "2\u00a0345,6", "3\u202f456,7"], [1234.5, 2345.6, 3456.7], "decimal commas and spaces"),
        (["1'234.5", "2’345"], [1234.5, 2345], "apostrophes between thousands"),
        (["45%", "50 %", "3.5%"], [45, 50, 3.5], "'%' after"),
        (["$111.67", "$1,000.00", "-$3"], [111.67, 1000, -3], "'$' before"),
        (["1,50 €", "2,00 €"], [1.5, 2], "decimal commas and '€' after"),
        (["(45)", "45.5", "(1)"], [-45, 45.5, -1], ""),
        (["($20.00)", "$3"], [-20, 3], "'$' before"),
        (["45 kg", "50kg", "3.5 kg"], [45, 50, 3.5], "'kg' after"),
        (["5 m3/s", "6 m3/s"], [5, 6], "'m3/s' after"),
        (["−3", "–2", "4"], [-3, -2, 4], ""),
        (["5-", "6"], [-5, 6], ""),
        (["1e5", "2E-3", "3"], [1e5, 2e-3, 3], ""),
        (["+1", "2"], [1, 2], ""),
        ([".5", "1."], [0.5, 1], ""),
    ],
)
def test_numbers_in_costume(column, fields, values, said):
    found, kind, notes = column(*fields)
    assert found == values
    assert kind == "number"
    assert said in notes


@pytest.mark.parametrize(
    "fields",
    [
        ["5 kg", "6 lb"],
        ["1.5.2", "1.6.0"],
        ["12/34", "13/34"],
        ["31/02/2020", "31/02/2020"],
        ["3 (about)", "4"],
        ["1,23,4.5", "2"],
        ["v1", "v2"],
        ["1 2 3", "4 5 6"],
        ["(5", "6"],
    ],
)
def test_what_is_no_number_stays_text(column, fields):
    values, kind, _ = column(*fields)
    assert values == fields
    assert kind == "text"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (["007", "011", "100"], "leading zeros"),
        (["12345678901234567890", "12345678901234567891"], "more digits than a number can hold"),
        (["1E5", "10E4"], "different texts that would be the same number"),
    ],
)
def test_codes_keep_their_spelling(column, fields, why):
    values, kind, notes = column(*fields)
    assert values == fields
    assert kind == "text"
    assert why in notes


def test_zero_and_fractions_are_no_codes(column):
    assert column("0", "0.5", "1")[0] == [0, 0.5, 1]
    assert column("00.5", "01.5")[0] == [0.5, 1.5]
    assert column("1e5", "1e6")[0] == [1e5, 1e6]


def test_a_comma_that_may_be_either_is_told_of_and_can_be_given(column):
    values, _, notes = column("1,234", "2,345")
    assert values == [1234, 2345]
    assert "--decimal ',' for the other" in notes
    values, _, notes = column("1,234", "2,345", decimal=",")
    assert values == [1.234, 2.345]
    assert "--decimal" not in notes
    assert column("1,234", "2,345", other="1,5")[0] == [1.234, 2.345]  # another column settles it


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        (["10:30", "0:05", "23:59"], [37800, 300, 86340]),
        (["45:10", "3:07"], [2710, 187]),
        (["1:02:03.5", "00:00:01"], [3723.5, 1]),
        (["3:45 PM", "12:00 am", "12 p.m."], [56700, 0, 43200]),
        (["2 days 00:10:00", "1 day, 1:00:00"], [173400, 90000]),
        (["1h 30m", "45m", "2 hours"], [5400, 2700, 7200]),
        (["PT45M", "PT1H", "P1DT1S"], [2700, 3600, 86401]),
        (["-1:00:00", "+0:00:01"], [-3600, 1]),
    ],
)
def test_clock_times_and_durations_are_seconds(column, fields, seconds):
    values, kind, notes = column(*fields)
    assert values == seconds
    assert kind == "duration"
    assert "in seconds" in notes


@pytest.mark.parametrize(
    ("fields", "second", "order"),
    [
        (["2020-01-31", "2020/02/01"], datetime(2020, 2, 1), "ymd"),
        (["31.01.2020", "01.02.2020"], datetime(2020, 2, 1), "dmy"),
        (["31/01/2020", "01/02/2020"], datetime(2020, 2, 1), "dmy"),
        (["1/31/20", "2/1/20"], datetime(2020, 2, 1), "mdy"),
        (["31 Jan 2020", "1 February 2020"], datetime(2020, 2, 1), "dby"),
        (["Fri, 31 Jan 2020", "Sat, 1 Feb 2020"], datetime(2020, 2, 1), "dby"),
        (["January 31, 2020", "Feb 1st 2020"], datetime(2020, 2, 1), "bdy"),
        (["31-Jan-99", "01-Feb-05"], datetime(2005, 2, 1), "dby"),
        (["2020-01", "2020-02"], datetime(2020, 2, 1), "ym"),
        (["Jan 2020", "Sept 2020"], datetime(2020, 9, 1), "by"),
        (["2020-01-31 10:30", "2020-02-01T11:00:30.25Z"], datetime(2020, 2, 1, 11, 0, 30, 250000), "ymd"),
        (["2020-01-31 10:30+02:00", "2020-02-01 01:00+0200"], datetime(2020, 1, 31, 23), "ymd"),
        (["1/31/2020 1:05 PM", "2/1/2020 12:00 AM"], datetime(2020, 2, 1), "mdy"),
        ([f"202001{day}" for day in (31, 30, 29, 28, 27)], datetime(2020, 1, 30), "compact"),
    ],
)
def test_dates_as_people_write_them(column, fields, second, order):
    values, kind, _ = column(*fields)
    assert kind == "date"
    assert values[1] == second
    assert written_dates.written_as(pl.Series(fields), None)[0] == order


def test_a_day_that_may_be_a_month_is_told_of_and_can_be_given(column):
    values, _, notes = column("01/02/2020", "03/04/2020")
    assert values[0] == datetime(2020, 1, 2)
    assert "--day-first" in notes
    values, _, notes = column("01/02/2020", "03/04/2020", day_first=True)
    assert values[0] == datetime(2020, 2, 1)
    assert "--day-first" not in notes
    assert column("01/02/2020", "03/04/2020", other="31/12/2020")[0][0] == datetime(2020, 2, 1)


@pytest.mark.parametrize(
    "fields",
    [
        ["2020-02-30", "2020-01-01"],
        ["31.02.2020", "01.01.2020"],
        ["0000-01-01", "2020-01-01"],
        ["9999-12-31 23:59-23:59", "2020-01-01 00:00Z"],
        ["May", "June"],
        ["Foo 2020", "Bar 2020"],
        ["2020-13", "2020-01"],
        ["24:61", "10:00"],
        ["13:00 PM", "1:00 PM"],
    ],
)
def test_no_day_of_the_calendar_and_no_time(column, fields):
    values, kind, _ = column(*fields)
    assert kind == "text"
    assert values == fields


def test_few_whole_numbers_are_no_dates(column):
    assert column("20200131", "20200201")[1] == "number"
    assert column(*["20200131"] * 6)[1] == "number"
    assert column(*[f"202001{day}" for day in (31, 32, 33, 34, 35)])[1] == "number"


def test_true_and_false(column):
    assert column("True", "FALSE", "true") == (["true", "false", "true"], "boolean", "")


def test_every_notation_reads_what_it_wrote_in_metadata():
    style = NumberStyle(",", ".")
    notations = [
        NUMBER, Notation("text"), Notation("boolean"), Notation("number", style, "€", "/m"),
        *(Notation("date", order=order) for order in written_dates.ORDERS),
        *(Notation("duration", clock=clock) for clock in written_times.CLOCKS),
    ]  # fmt: skip
    for notation in notations:
        assert Notation.from_given(Given(notation.to_metadata(), "a file")) == notation
    assert str(Notation("number", PLAIN, "", "kg")) == "numbers with 'kg' after"
