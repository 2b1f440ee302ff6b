"""Tables as data-set packages have them: what is said of them is true, and no costume changes a prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import succeeds

import gpubp
from gpubp.errors import DataError
from gpubp.fitting.dataset import Dataset
from gpubp.tables import read_table

HOW = {"engine": "array", "backend": "numpy"}
RECIPE = gpubp.Recipe(hidden=(3,), epochs=2)
ROWS = 24


def birds() -> pl.DataFrame:
    """Numbers with gaps, factors, a date, a clock time, R's coded levels, one text on every row."""
    i = range(ROWS)
    return pl.DataFrame(
        {
            "kind": [("ruff", "knot", "dunlin")[k % 3] for k in i],
            "wing": [None if k % 9 == 4 else 150.5 + k * 1.25 for k in i],
            "weight": [None if k == 7 else 90 + k * k % 17 for k in i],
            "caught": [f"2019-0{3 + k % 7}-1{k % 9}" for k in i],
            "time": [f"{6 + k % 12}:{10 + k * 7 % 50}" for k in i],
            "status": [("1. Never Ringed", "2. Ringed")[k % 5 > 1] for k in i],
            "region": ["2. Middle Coast"] * ROWS,
            "sex": [None if k % 6 == 5 else "fm"[k % 2] for k in i],
        }
    )


def written(frame: pl.DataFrame, path: Path, index: str | None = None, **how: object) -> Path:
    if index is not None:
        frame = frame.select(pl.Series(index, range(1, frame.height + 1)), *frame.columns)
    frame.write_csv(path, **how)  # type: ignore[arg-type]
    return path


COSTUMES: dict[str, Callable[[pl.DataFrame, Path], Path]] = {
    "as R writes it": lambda frame, path: written(frame, path, "", null_value="NA", quote_style="non_numeric"),
    "rownames": lambda frame, path: written(frame, path, "rownames"),
    "semicolons": lambda frame, path: written(frame, path, separator=";", decimal_comma=True),
    "reversed": lambda frame, path: written(frame.select(frame.columns[::-1]), path),
    "no target": lambda frame, path: written(frame.drop("kind"), path),
    "trailing spaces": lambda frame, path: written(frame.with_columns(pl.col("sex") + "  "), path),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> gpubp.Model:
    path = written(birds(), tmp_path_factory.mktemp("birds") / "birds.csv")
    return gpubp.train_model(read_table(path), "kind", RECIPE, **HOW).model


@pytest.mark.parametrize("costume", COSTUMES)
def test_the_same_rows_have_the_same_predictions_in_every_costume(model, costume, tmp_path):
    expected = model.predict(written(birds(), tmp_path / "plain.csv")).probabilities
    path = COSTUMES[costume](birds(), tmp_path / "other.csv")
    np.testing.assert_array_equal(model.predict(path).probabilities, expected)


def test_parquet_and_frames_too_whose_clock_times_are_texts(model, tmp_path):
    expected = model.predict(written(birds(), tmp_path / "plain.csv")).probabilities
    birds().write_parquet(tmp_path / "t.parquet")
    spaced = birds().with_columns(pl.col("sex") + " ")  # which a text file loses
    for given, more in ((tmp_path / "t.parquet", ""), (birds(), ""), (spaced, "'f ' as 'f', 'm ' as 'm'")):
        found = model.predict(given)
        np.testing.assert_array_equal(found.probabilities, expected)
        assert "Column 'time': its texts are read as in training (hours:minutes, in seconds)." in found.notes
        assert more in " ".join(found.notes)
    with pytest.raises(DataError, match="found the text 'noon', expected a number"):
        model.predict(birds().with_columns(time=pl.lit("noon")))


def test_many_columns_in_another_notation_are_one_note(model, tmp_path):
    halves = birds().with_columns(pl.col("weight") + 0.5)
    notes = model.predict(written(halves, tmp_path / "t.csv", separator=";", decimal_comma=True)).notes
    said = (
        "Columns 'wing', 'weight' are not written as they were in training (plain numbers there, numbers with decimal"
    )
    assert sum(said in note for note in notes) == 1


def test_the_notes_are_few_true_and_said_once(tmp_path):
    path = written(birds(), tmp_path / "r.csv", "", null_value="NA")
    assert gpubp.train_model(read_table(path), "kind", RECIPE, **HOW).notes == (
        "Read as CSV: 24 rows of 9 columns, separated by commas, with a header.",
        "Column 'time': hours:minutes, in seconds.",
        "Taken as missing: 'NA' (8 times), in columns 'wing', 'weight', 'sex'.",
        "Column 'column_1' is left out: it names or numbers the rows.",
        "Column 'region' is left out: it is '2. Middle Coast' on every row.",
        "As categories: 'status' (2 texts, such as '1. Never Ringed'), 'sex' (2 texts, such as 'f').",
        "Column 'caught': dates, taken as month, day of year and day of week, and sine and cosine of each.",
        "Target 'kind': 3 classes, such as 'dunlin'.",
        "Missing numbers are replaced by the median of the column: 'wing' (3, by 164.25), 'weight' (1, by 98).",
        "Missing texts are a category of their own: 'sex' (4).",
    )


def test_what_the_target_became_is_said(tmp_path):
    def note(target: str | None, task: str | None = None) -> str:
        frame = birds().with_columns(year=pl.Series([2007 + i % 3 for i in range(ROWS)]))
        notes = Dataset.of(read_table(written(frame, tmp_path / "t.csv")), target, task).notes
        return next(each for each in notes if each.startswith("Target"))

    assert note(None) == (
        "Target 'year' (the last column; --target names another): 3 classes, such as '2007': whole numbers with few "
        "different values (--task regression takes them as numbers)."
    )
    assert note("year", "classification") == "Target 'year': 3 classes, such as '2007'."
    assert note("year", "regression") == "Target 'year': a number, 2007 to 2009."


def test_reasons_are_of_the_rows_with_a_target(tmp_path):
    frame = birds().with_columns(
        place=pl.Series([None if i < 12 and i % 2 else "east" if i < 12 else "west" for i in range(ROWS)]),
        flag=pl.Series([3 if i < 12 else 4 for i in range(ROWS)]),
        rest=pl.Series([None if i < 12 else "x" for i in range(ROWS)]),
        y=pl.Series([i * 1.5 if i < 12 else None for i in range(ROWS)]),
    )
    found = Dataset.of(read_table(written(frame, tmp_path / "t.csv")), "y")
    reasons = {each.name: each.reason for each in found.inputs.left_out}
    assert reasons["flag"] == "it is 3 on every row with a target"
    assert reasons["rest"] == "it has no value on any row with a target"
    text = " ".join(succeeds("describe", tmp_path / "t.csv").out.split())
    assert "What is said under 'because' is of the 12 rows with a target." in text


def test_columns_that_are_mostly_times_dates_or_numbers_name_the_text_that_is_not(tmp_path):
    strays = {
        "time": (lambda i: f"{8 + i % 9}:1{i % 6}", "9.12", "clock times"),
        "breach": (lambda i: f"{1 + i % 12}/{13 + i % 9}/2011", "9/20/2011 - 10/28/2011", "dates"),
        "height": (lambda i: f"{60 + i}.5", "5' 4\"", "numbers"),
    }
    for name, (text, stray, kind) in strays.items():
        frame = pl.DataFrame({name: [stray if i == 3 else text(i) for i in range(40)], "y": [i % 2 for i in range(40)]})
        path = written(frame, tmp_path / "t.csv")
        with pytest.raises(DataError, match=rf"line 5, column '{name}': found .* in a column of {kind} such as"):
            Dataset.of(read_table(path))
        holes = frame.with_columns(y=pl.when(pl.col(name) == stray).then(None).otherwise(pl.col("y")))
        with pytest.raises(DataError, match=rf"column '{name}': found .* in a column of {kind}"):  # on a row left out
            Dataset.of(read_table(written(holes, tmp_path / "holes.csv")))
        assert Dataset.of(read_table(path, missing=[stray])).columns[0].name == name


def test_coded_levels_are_texts_however_rare_one_is(tmp_path):
    levels = ["2. Married"] * 30 + ["1. Never Married"] + ["3. Widowed"] * 3
    frame = pl.DataFrame({"level": levels, "y": [i % 2 for i in range(34)]})
    assert Dataset.of(read_table(written(frame, tmp_path / "t.csv"))).columns[0].categories == tuple(sorted({*levels}))
    fees = pl.DataFrame({"fee": ["$70 monthly"] + [None] * 33, "y": [i % 2 for i in range(34)]})
    assert Dataset.of(read_table(written(fees, tmp_path / "t.csv"))).columns[0].categories == ("$70 monthly",)


def test_whole_numbers_with_a_unit_have_no_marks_that_are_not_there(tmp_path):
    frame = pl.DataFrame({"area": [f"{40 + i} m²" for i in range(9)], "price": [i * 1.25 for i in range(9)]})
    notes = read_table(written(frame, tmp_path / "t.csv", separator=";", decimal_comma=True)).notes
    assert "Column 'area': numbers with 'm²' after." in notes


def test_a_target_of_names_is_refused(tmp_path):
    frame = birds().with_columns(url=pl.Series([f"https://example.org/{i}" for i in range(ROWS)]))
    with pytest.raises(DataError, match=r"'url' has 24 different values on 24 rows, a class for each row: .*--target"):
        Dataset.of(read_table(written(frame, tmp_path / "t.csv")))


def test_many_columns_flood_neither_notes_nor_the_description(tmp_path):
    i = np.arange(30)
    columns = {f"n{k}": np.where((i + k) % 5 == 0, np.nan, i * (k % 6 + 1) % 7) for k in range(250)}
    columns |= {"k1": i * 0, "k2": i * 0, "k3": i * 0 + 2}
    frame = pl.DataFrame({**columns, "note": [f"b{k % 2}" for k in i], "y": i * 0.5}).fill_nan(None)
    path = written(frame, tmp_path / "t.csv", null_value="NA")
    notes = gpubp.train_model(read_table(path), "y", RECIPE, **HOW).notes
    assert len(notes) == 7
    assert notes[2] == "Columns 'k1', 'k2' are left out, each because it is 0 on every row."
    assert notes[-1].endswith(" and 242 more.")
    out = succeeds("describe", path).out
    assert "… and 55 more columns (--json has all of them)." in out
    for name in ("k1", "k2", "k3", "note", "y"):  # what there is more to say of than of plain numbers
        assert f"\n{name} " in out
    assert "gpubp describe" not in out


def test_a_description_says_numbers_to_the_last_digit(tmp_path):
    frame = pl.DataFrame({"id": [110_439_174_663 + 7 * i * i for i in range(12)], "y": [i * 0.25 for i in range(12)]})
    frame = frame.with_columns(z=pl.col("y") * 3, none=pl.Series([0] * 9 + [1, 2, 3]))
    out = succeeds("describe", written(frame, tmp_path / "t.csv"), "--target", "y").out
    assert "110439174663 to 110439175510" in out
    assert "0 to 3, median 0" in out
