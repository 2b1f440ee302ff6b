"""Which columns of a table are inputs, what each is, and why the others are left out."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from gpubp.errors import DataError
from gpubp.preprocessing import Column, LeftOut, Preprocessing, choose_inputs
from gpubp.preprocessing.labels import canonical, places_among, sorted_labels, told
from gpubp.tables import Table, find_columns


def table_of(**columns) -> Table:
    table = Table.from_frame(pl.DataFrame(columns), "toy.csv")
    return Table(table.frame, "toy.csv", True, np.arange(2, 2 + table.rows))


def left_out(table: Table, **options) -> dict[str, str]:
    return {each.name: each.reason for each in choose_inputs(table, **options).left_out}


def test_numbers_are_numeric_and_text_is_categorical():
    table = table_of(n=[1, 2, 3], t=["b", None, "a"], y=[0, 1, 0])
    assert choose_inputs(table, "y").columns == (
        Column("n", "numeric"),
        Column("t", "categorical", ("a", "b"), has_missing=True),
    )
    found = choose_inputs(table, "y", categorical=["n"], ignore=["t"])
    assert found.columns == (Column("n", "categorical", ("1", "2", "3")),)
    assert found.left_out == (LeftOut("t", "--ignore names it"),)
    assert found.notes == (
        "Column 't' is left out: --ignore names it.",
        "As categories: 'n' (3 numbers, such as '1'; --categorical names it).",
    )
    with pytest.raises(DataError, match=r"no input columns are left beside the target 'y' .*'n': --ignore names it"):
        choose_inputs(table, "y", ignore=["n", "t"])


SOME = [0.5, 1.5, 2.5, 3.5] * 15
WORDS = [f"name {i}" for i in range(60)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([None] * 60, "it has no value on any row"),
        ([7] * 60, "it is 7 on every row"),
        ([7, None] * 30, "it is 7 on every row with a value"),
        ([0.1, 0.1 + 1e-17] * 30, "it is 0.1 on every row"),
        (["a"] * 60, "it is 'a' on every row"),
        (WORDS, "each of its 60 texts occurs once, as names do, such as 'name 0' (--categorical keeps it)"),
        ([*WORDS[:40], *WORDS[:20]], None),  # most occur twice
        ([*WORDS[:50], *WORDS[:10]], "50 different texts on 60 rows, such as 'name 0' (--categorical keeps it)"),
        (
            [f"{word} wrote a long letter about many things" for word in [*WORDS[:40], *WORDS[:20]]],
            "40 long texts on 60 rows",
        ),
        (["a", "b", "c"] * 20, None),
        (["a", None] * 30, None),
        (list(range(60)), None),
        ([str(i) for i in range(40)] + ["1st", "2nd"] * 10, "stray"),
        ([f"{i}" for i in range(36)] + [f"PC {i}" for i in range(24)], "each of its 60 texts occurs once, as names do"),
    ],
)
def test_what_tells_nothing_is_left_out(values, reason):
    table = table_of(c=pl.Series(values), n=SOME)
    if reason == "stray":
        with pytest.raises(DataError, match=r"line 42, column 'c': found '1st'.*--missing '1st'.*--ignore 'c'"):
            choose_inputs(table)
        return
    found = left_out(table)
    assert found.get("c", "").startswith(reason) if reason else found == {}
    kept = choose_inputs(table, categorical=["c"])
    assert [column.kind for column in kept.columns] == ["categorical", "numeric"]


@pytest.mark.parametrize(
    ("name", "values", "is_left_out"),
    [
        ("id", [9, 4, 7] * 20, False),
        ("id", range(100, 160), True),
        ("PassengerId", [*range(60)][::-1], True),
        ("customer_id", range(0, 120, 2), True),
        ("ID", [i + 0.5 for i in range(60)], False),
        ("paid", range(60), False),
        ("humid", range(60), False),
        ("index", range(5, 65), True),
        ("index", range(0, 120, 2), False),
        ("Unnamed: 0", range(60), True),
        ("column_1", range(1, 61), True),
        ("column_1", range(2, 62), False),
        ("year", range(1960, 2020), False),
    ],
)
def test_numbers_that_name_the_rows(name, values, is_left_out):
    table = table_of(**{name: list(values), "n": SOME, "m": SOME[::-1]})
    assert (name in left_out(table)) is is_left_out


def test_an_unnamed_counter_beside_a_target_alone_is_an_input():
    table = Table.from_arrays(np.column_stack([np.arange(20), np.arange(20) ** 2]))
    assert left_out(table, target="column_2") == {}


def test_row_names_are_no_inputs_unless_they_are_asked_for():
    table = table_of(car=["a", "b", "a"], n=[1, 2, 3])
    table = Table(table.frame, "toy.csv", True, row_names=("car",))
    assert left_out(table) == {"car": "it names or numbers the rows"}
    assert left_out(table, categorical=["car"]) == {}


def test_more_than_a_thousand_texts_are_left_out():
    found = left_out(table_of(code=[f"name {i}" for i in range(1001)] * 3, n=range(3003)))
    assert found["code"].startswith("1,001 different texts are too many, such as 'name 0'")


def test_a_stray_text_among_numbers_is_refused_with_its_line():
    table = table_of(n=["1.5", "2.5", None, "abc", "4"])
    with pytest.raises(DataError, match=r"toy\.csv, line 5, column 'n': found 'abc'.*1 of 4 values are text"):
        choose_inputs(table)
    assert choose_inputs(table, categorical=["n"]).columns[0].categories == ("1.5", "2.5", "4", "abc")


def test_codes_with_some_text_are_categorical():
    assert choose_inputs(table_of(n=["0", "1", "2", "3+"] * 3)).columns[0].categories == ("0", "1", "2", "3+")
    many = [str(i) for i in range(30)] + ["-", "-"]  # too many distinct values to be codes
    with pytest.raises(DataError, match=r"line 32, column 'n': found '-'"):
        choose_inputs(table_of(n=many))


def test_notes_of_many_columns_are_few():
    notes = choose_inputs(table_of(**{f"c{i}": ["a", "b", "b"] for i in range(30)})).notes
    assert len(notes) == 1
    assert notes[0].startswith("As categories: 'c0' (2 texts, such as 'a'), 'c1' (2 texts, such as 'a'), ")
    assert notes[0].endswith("'c7' (2 texts, such as 'a') and 22 more.")
    constant = {f"k{i}": [i // 10] * 3 for i in range(300)}
    notes = choose_inputs(table_of(**constant, x=[1, 2, 4])).notes
    assert len(notes) == 9
    assert notes[0] == (
        "Columns 'k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7' and 2 more are left out, each because it is 0 on every "
        "row."
    )
    assert notes[-1] == "And 220 more columns are left out (gpubp describe tells why)."


# --- names, positions, wildcards -------------------------------------------------------------------------------


def test_columns_are_found_by_name_position_and_wildcard():
    table = table_of(**{"id_a": [1, 2], "id_b": [1, 2], "x": [1, 2], "a*": [1, 2], "ab": [1, 2]})
    assert find_columns(table, ["id_*"]) == ("id_a", "id_b")
    assert find_columns(table, ["a*"]) == ("a*",)  # a name as it is written is no pattern
    assert find_columns(table, ["-1", 3, "id_?"]) == ("id_a", "id_b", "x", "ab")
    assert find_columns(table, "x") == ("x",)
    with pytest.raises(DataError, match=r"no column 'id_c'\. Did you mean 'id_"):
        find_columns(table, ["id_c"])
    with pytest.raises(DataError, match=r"no column 'q\*'"):
        find_columns(table, ["q*"])


# --- spellings -------------------------------------------------------------------------------------------------


def test_texts_keep_their_spelling_and_numbers_have_one():
    assert canonical(pl.Series(["007", "1E5", "10E4", None, " x"])).to_list() == ["007", "1E5", "10E4", None, " x"]
    assert canonical(pl.Series([7.0, 0.5, None, -0.0])).to_list() == ["7", "0.5", None, "0"]
    assert sorted_labels(pl.Series(["100", "042", "007", "1e1"])) == ("007", "1e1", "042", "100")
    long = ["12345678901234567891", "12345678901234567890"]
    assert sorted_labels(pl.Series(long)) == tuple(sorted(long))


@pytest.mark.parametrize(
    ("labels", "text", "label", "is_said"),
    [
        (("0", "1", "2"), "1.0", "1", False),
        (("7", "x"), "007", "7", False),
        (("007", "042"), "7", "007", True),
        (("07", "007"), "7", None, False),  # which of them?
        (("1E5", "2E5"), "100000", "1E5", True),
        (("12345678901234567890", "2"), "12345678901234567891", None, False),
        (("false", "true"), "1", "true", True),
        (("false", "true"), "No", "false", True),
        (("no", "yes"), "TRUE", "yes", True),
        (("0", "1"), "false", "0", True),
        (("F", "T"), "0", "F", True),
        (("false", "true"), "2", None, False),
        (("f", "m"), "0", None, False),
        (("false", "maybe", "true"), "1", None, False),
    ],
)
def test_a_label_is_found_in_another_spelling(labels, text, label, is_said):
    places, respelled = places_among([text], labels)
    assert places.get(text) == (None if label is None else labels.index(label))
    assert respelled == ({text: label} if is_said else {})


def test_predictions_say_how_they_took_a_category():
    table = table_of(adult=["true", "false"] * 4, code=["007", "042"] * 4, n=range(8))
    found = Preprocessing.fit(table, choose_inputs(table).columns)
    encoded = found.transform(table_of(adult=[1, 0], code=[7, 42], n=[0, 1]))
    np.testing.assert_array_equal(encoded.X, found.transform(table).X[:2])
    assert encoded.notes == (
        "Column 'adult': taken as training spelled them: '0' as 'false', '1' as 'true'.",
        "Column 'code': taken as training spelled them: '42' as '042', '7' as '007'.",
    )
    assert told({str(i): "x" for i in range(6)}).endswith("'4' as 'x', ...")


def test_true_and_false_are_1_and_0_where_training_had_numbers():
    table = table_of(adult=[0, 1, 1, 0], n=[1, 2, 3, 4])
    found = Preprocessing.fit(table, choose_inputs(table).columns)
    encoded = found.transform(table_of(adult=[False, True, True, False], n=[1, 2, 3, 4]))
    np.testing.assert_array_equal(encoded.X, found.transform(table).X)
    assert encoded.notes == ("Column 'adult': true and false are taken as the numbers 1 and 0.",)


def test_left_out_columns_are_kept_with_the_model_and_may_be_missing_in_an_old_one():
    table = table_of(k=[1, 1], n=[1, 2])
    chosen = choose_inputs(table)
    fitted = Preprocessing.fit(table, chosen.columns)
    stored = fitted.to_metadata() | {"left_out": [{"name": "k", "reason": "it is 1 on every row"}]}
    again = Preprocessing.from_parts(stored, fitted.to_arrays())
    assert again.left_out == chosen.left_out
    del stored["left_out"], stored["columns"][0]["parts"], stored["columns"][0]["why"]
    assert Preprocessing.from_parts(stored, fitted.to_arrays()).left_out == ()
    with pytest.raises(DataError, match=r"left_out\[0\]\.reason is missing"):
        Preprocessing.from_parts(stored | {"left_out": [{"name": "k"}]}, fitted.to_arrays())
