"""What a missing value looks like, and that what was taken for one is said."""

from __future__ import annotations

import pytest

from gpubp.errors import SettingsError
from gpubp.tables import read_table
from gpubp.tables.markers import ALWAYS, WORDS, Markers


@pytest.fixture
def read(tmp_path):
    def read(*rows: str, **options):
        (tmp_path / "table.csv").write_text("\n".join(["n,t", *rows]) + "\n")
        return read_table(tmp_path / "table.csv", **options)

    return read


@pytest.mark.parametrize("marker", sorted(ALWAYS - {""}))
def test_markers_are_missing_everywhere(read, marker):
    table = read("1,a", f"{marker},{marker}", "3,b", "4,a")
    assert table.frame.rows() == [(1, "a"), (None, None), (3, "b"), (4, "a")]
    assert f"Taken as missing: '{marker}'".replace("\\", "\\\\") in table.notes[-1] or marker in table.notes[-1]
    assert table.reading.columns[0].missing == {marker: 1}


@pytest.mark.parametrize("word", sorted(WORDS))
def test_words_are_missing_among_numbers_alone(read, word):
    table = read("1,Mild", f"{word},{word}", "3,Severe", f"4,{word}")
    assert table.frame.rows() == [(1, "Mild"), (None, word), (3, "Severe"), (4, word)]
    assert table.reading.columns[1].missing == {}


def test_empty_fields_go_without_saying(read):
    table = read("1,a", ",", "3,b")
    assert table.frame.rows() == [(1, "a"), (None, None), (3, "b")]
    assert len(table.notes) == 1
    assert table.reading.columns[0].blank == 1


def test_others_can_be_named(read):
    table = read("1,a", "-999,gone", "-999.0,b", "1000,a", missing=["-999", "gone"])
    assert table.frame.rows() == [(1, "a"), (None, None), (None, "b"), (1000, "a")]
    assert read("1,a", "-999,b", "5,a", missing="-999").frame["n"].to_list() == [1, None, 5]
    assert read('"1,5",a', '"-9,0",b', '"5,25",a', missing=["-9"]).frame["n"].to_list() == [1.5, None, 5.25]


def test_a_marker_can_be_a_class(read):
    table = read("1,NA", "2,EU", "3,NA", not_missing=["NA"])
    assert table.frame["t"].to_list() == ["NA", "EU", "NA"]
    table = read("1,None", "2,Mild", "3,None", missing=["None"])
    assert table.frame["t"].to_list() == [None, "Mild", None]


def test_contradictions_are_refused():
    with pytest.raises(SettingsError, match="'NA' is given as missing and as not missing"):
        Markers.of(["NA"], ["NA "])
    with pytest.raises(SettingsError, match="empty field is always missing"):
        Markers.of((), [""])


def test_columns_without_any_value(read):
    table = read("1,", "2,NA", "3,?")
    assert table.frame["t"].to_list() == [None, None, None]
    assert table.frame["t"].dtype.is_float()
