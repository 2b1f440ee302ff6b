"""Dates and times as inputs: the calendar's parts, against Python's own calendar."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpubp
from gpubp.errors import DataError
from gpubp.preprocessing import Column, Preprocessing, Target, choose_inputs
from gpubp.preprocessing.dates import calendar, input_parts, varying_parts
from gpubp.tables import Table

ALL = ("year", "month", "day of year", "day of week", "hour")
DAYS = [datetime(2023, 12, 29, 6) + timedelta(hours=31 * i) for i in range(40)]


def table_of(**columns) -> Table:
    return Table.from_frame(pl.DataFrame(columns), "toy.csv")


@settings(max_examples=100)
@given(st.datetimes(min_value=datetime(1600, 1, 1), max_value=datetime(2400, 1, 1)))
def test_parts_are_those_of_the_calendar(time):
    found = dict(zip(input_parts(ALL), calendar(np.array([time], "datetime64[us]"), ALL)[0].tolist(), strict=True))
    hour = time.hour + time.minute / 60 + (time.second + time.microsecond / 1e6) / 3600
    day = time.timetuple().tm_yday
    expected = {"year": time.year, "month": time.month, "day of year": day, "day of week": time.isoweekday()}
    for part, value in (expected | {"hour": hour}).items():
        assert found[part, None] == pytest.approx(value, abs=1e-12)
    turns = {
        "month": (time.month - 1) / 12,
        "day of year": (day - 1) / 365.25,
        "day of week": (time.isoweekday() - 1) / 7,
        "hour": hour / 24,
    }
    for part, turn in turns.items():
        assert found[part, "sine"] == pytest.approx(math.sin(2 * math.pi * turn), abs=1e-12)
        assert found[part, "cosine"] == pytest.approx(math.cos(2 * math.pi * turn), abs=1e-12)


def test_only_the_parts_that_vary_are_inputs():
    assert varying_parts(np.array(["2020-05-01", "2021-05-01"], "datetime64[us]")) == (
        "year",
        "day of year",
        "day of week",
    )
    assert varying_parts(np.array(["2020-05-01T10", "2020-05-01T11:30", "NaT"], "datetime64[us]")) == ("hour",)
    assert varying_parts(np.array(["2020-05-01", "NaT"], "datetime64[us]")) == ()
    table = table_of(same=[date(2020, 5, 1)] * 3, month=[date(2020, m, 1) for m in (1, 2, 3)], n=[1, 2, 4])
    found = choose_inputs(table)
    assert [each.reason for each in found.left_out] == ["it is 2020-05-01 on every row"]
    assert found.columns[0] == Column("month", "date", parts=("month", "day of year", "day of week"))
    assert found.columns[0].input_names[:4] == (
        "month: month",
        "month: month (sine)",
        "month: month (cosine)",
        "month: day of year",
    )
    assert found.notes[-1] == (
        "Column 'month': dates, taken as month, day of year and day of week, and sine and cosine of each."
    )


def test_numbers_are_scaled_and_waves_are_not():
    table = table_of(when=DAYS)
    found = Preprocessing.fit(table, choose_inputs(table).columns)
    X, scaled = found.transform(table).X, np.array(found.columns[0].is_scaled)
    assert scaled.sum() == 5
    np.testing.assert_allclose(X[:, scaled].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(X[:, scaled].std(axis=0), 1, rtol=1e-12)
    waves = X[:, ~scaled].reshape(40, 4, 2)
    np.testing.assert_allclose((waves**2).sum(axis=2), 1, rtol=1e-12)
    np.testing.assert_array_equal(X[~np.isfinite(X)], [])


def test_missing_dates_become_medians_and_zeros():
    table = table_of(when=[date(2020, 1, 1), None, date(2022, 3, 1), date(2021, 2, 1)], n=[1, 2, 3, 4])
    found = Preprocessing.fit(table, choose_inputs(table).columns, scale="none")
    assert found.notes == (
        "Column 'when': 1 missing date(s): the median of each number, and 0 for each sine and cosine.",
    )
    filled = dict(zip(found.input_names, found.transform(table).X[1].tolist(), strict=True))
    assert filled["when: year"] == 2021
    assert filled["when: month"] == 2
    assert filled["when: month (sine)"] == filled["when: month (cosine)"] == 0
    later = found.transform(table_of(when=pl.Series([None], dtype=pl.Datetime), n=[1]))
    assert later.notes == ("Column 'when': 1 missing date(s) replaced by medians and zeros.",)
    assert later.X[0].tolist()[:-1] == [*filled.values()][:-1]


def test_other_columns_of_dates_at_prediction():
    table = table_of(when=DAYS, n=range(40))
    found = Preprocessing.fit(table, choose_inputs(table).columns)
    texts = table_of(when=[day.isoformat() for day in DAYS], n=range(40))
    np.testing.assert_array_equal(found.transform(texts).X, found.transform(table).X)
    zone = timezone(timedelta(hours=2))
    zoned = table_of(when=[(day + timedelta(hours=2)).replace(tzinfo=zone).isoformat() for day in DAYS], n=range(40))
    np.testing.assert_array_equal(found.transform(zoned).X, found.transform(table).X)
    with pytest.raises(DataError, match=r"toy\.csv, row 2, column 'when': found the text 'soon', expected a date"):
        found.transform(table_of(when=["2024-01-01", "soon"], n=[1, 2]))
    with pytest.raises(DataError, match=r"row 1, column 'when': found the number 2024, expected a date"):
        found.transform(table_of(when=[2024], n=[1]))
    with pytest.raises(DataError, match=r"row 1, column 'n': found the date 2023-12-29 06:00:00, expected a number"):
        found.transform(table_of(when=DAYS, n=DAYS))
    assert np.isfinite(found.transform(table_of(when=[date(9999, 12, 31)], n=[1])).X).all()


def test_texts_that_are_all_dates_are_dates():
    table = table_of(when=["2024-01-05", "2024-02-06T10:30:00", None, "2025-03-07"], n=[1, 2, 3, 4])
    assert choose_inputs(table).columns[0].parts == ALL
    almost = table_of(when=["2024-01-05", "2024-02-31", "2024-02-31"], n=[1, 2, 3])
    assert choose_inputs(almost).columns[0].kind == "categorical"


def test_dates_may_be_categories_and_are_no_target():
    table = table_of(when=[datetime(2024, 1, 1), datetime(2024, 1, 2, 12)] * 2, n=[1, 2, 3, 4])
    assert choose_inputs(table, categorical=["when"]).columns[0].categories == ("2024-01-01", "2024-01-02 12:00:00")
    with pytest.raises(DataError, match=r"'when' holds dates, which cannot be predicted\. Give a number"):
        Target.fit(table, "when")


def test_a_model_keeps_its_dates(tmp_path):
    table = table_of(when=DAYS, y=[float(day.month + day.hour) for day in DAYS])
    model = gpubp.train_model(table, "y", gpubp.Recipe(hidden=(3,), epochs=2), engine="array").model
    model.save(tmp_path / "m")
    again = gpubp.Model.load(tmp_path / "m")
    assert again.preprocessing.columns == model.preprocessing.columns
    np.testing.assert_array_equal(again.predict(table).values, model.predict(table).values)
    np.testing.assert_array_equal(again.predict(table.take(np.array([7]))).values, model.predict(table).values[7:8])


@pytest.mark.parametrize("parts", [["month", "year"], ["month", "month"], ["day"], [], None, "year", [3]])
def test_damaged_parts(parts):
    table = table_of(when=DAYS)
    found = Preprocessing.fit(table, choose_inputs(table).columns)
    metadata = json.loads(json.dumps(found.to_metadata()))
    metadata["columns"][0]["parts"] = parts
    with pytest.raises(DataError, match=r"columns\[0\]\.parts.* should be"):
        Preprocessing.from_parts(metadata, found.to_arrays())
