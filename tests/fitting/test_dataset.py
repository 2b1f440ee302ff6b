"""Whatever users have becomes a table; what is trained on, what is left out, and what is said, is decided once."""

from __future__ import annotations

import shlex
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from command_line import succeeds

import gpubp
from gpubp.errors import DataError, SettingsError
from gpubp.fitting.dataset import Dataset
from gpubp.fitting.fold_data import receive
from gpubp.tables import Table, read_table, table_of
from gpubp.tables.limits import TIME

RECIPE = gpubp.Recipe(hidden=(3,), epochs=2)
HOW = {"engine": "array", "backend": "numpy"}


class Arrow:
    """A frame of a library that is known by Arrow's protocol alone."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema=None):
        return self.frame.__arrow_c_stream__(requested_schema)


def frame(rows: int = 40) -> pl.DataFrame:
    i = np.arange(rows)
    return pl.DataFrame({"x": i % 7 * 1.5, "c": np.array(["red", "blue"])[i % 2], "k": i * 0 + 3, "y": i % 7 * 2.0})


def pandas_of(found: pl.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(found.to_dict(as_series=False))


def file_of(found: pl.DataFrame, folder: Path) -> Path:
    found.write_csv(folder / "t.csv")
    return folder / "t.csv"


@pytest.mark.parametrize("kind", ["polars", "lazy", "pandas", "arrow", "path", "text"])
def test_every_kind_of_table_gives_the_same_model(kind, tmp_path):
    path = file_of(frame(), tmp_path)
    given = {
        "polars": frame,
        "lazy": lambda: frame().lazy(),
        "pandas": lambda: pandas_of(frame()).set_index(np.arange(40) * 5),
        "arrow": lambda: Arrow(frame()),
        "path": lambda: path,
        "text": lambda: str(path),
    }[kind]()
    fit = gpubp.train_model(given, "y", RECIPE, **HOW)
    expected = gpubp.train_model(Table.from_frame(frame()), "y", RECIPE, **HOW)
    np.testing.assert_array_equal(fit.model.params, expected.model.params)
    assert "Column 'k' is left out: it is 3 on every row." in fit.notes
    values = expected.model.predict(Table.from_frame(frame())).values
    np.testing.assert_array_equal(fit.model.predict(given).values, values)
    assert fit.model.evaluate(given)["rows"] == 40
    assert gpubp.cross_validate(given, "y", RECIPE, folds=2, **HOW).notes == fit.notes
    assert gpubp.fitting.fit.explain_engine(given, "y", RECIPE, **HOW).engine == "array"


def test_arrays_go_by_position():
    X = np.column_stack([np.arange(30) % 4, np.arange(30) % 5, np.arange(30) % 4 * 2.0])
    fit = gpubp.train_model(X, None, RECIPE, task="regression", **HOW)
    found = fit.model.predict(X).values
    np.testing.assert_array_equal(found, fit.model.predict(X[:, :2]).values)
    with pytest.raises(DataError, match=r"found 1 columns, expected 2"):
        fit.model.predict(X[:, :1])
    with pytest.raises(DataError, match=r"X has shape \(3,\); expected \(rows, columns\)"):
        fit.model.predict(X[0])


def test_ensembles_take_frames_too(tmp_path):
    fit = gpubp.train_ensemble(pandas_of(frame()), "y", RECIPE, members=2, **HOW)
    expected = fit.ensemble.predict(Table.from_frame(frame()))
    for given in (frame(), pandas_of(frame()), Arrow(frame()), file_of(frame(), tmp_path)):
        np.testing.assert_array_equal(fit.ensemble.predict(given), expected)
    holes = frame().with_columns(y=pl.when(pl.col("x") > 8).then(None).otherwise(pl.col("y")))
    found = fit.ensemble.evaluate(holes)
    assert (found["rows"], found["notes"]) == (
        35,
        ["5 of 40 rows have no value in 'y' (rows 7, 14, 21, 28, 35): they are left out."],
    )


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        gpubp.train_model(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"X has shape \(\)"):
        gpubp.train_model(None)
    with pytest.raises(DataError, match=r"found 3 row\(s\)|needs at least 2|found 1 row"):
        gpubp.train_model(frame(1), "y")


# --- rows without a target -------------------------------------------------------------------------------------


def test_rows_without_a_target_are_left_out():
    table = Table.from_frame(frame().with_columns(y=pl.when(pl.col("x") == 0).then(None).otherwise(pl.col("y"))))
    found = Dataset.of(table, "y")
    assert found.table.rows == 34
    assert found.kept.tolist() == [i for i in range(40) if i % 7]
    said = "6 of 40 rows have no value in 'y' (rows 1, 8, 15, 22, 29, 36)"
    assert found.notes[0] == f"{said}: they are left out; --strict refuses them instead."
    assert found.table.at(1, "x") == "the data frame, row 3, column 'x'"  # of the whole table
    with pytest.raises(DataError, match=r"6 of 40 rows have no value in 'y' .* without --strict they are left out"):
        gpubp.train_model(table, "y", RECIPE, strict=True, **HOW)
    without = gpubp.train_model(frame().filter(pl.col("x") > 0), "y", RECIPE, **HOW)
    np.testing.assert_array_equal(gpubp.train_model(table, "y", RECIPE, **HOW).model.params, without.model.params)
    nothing = table.frame.with_columns(y=pl.lit(None, pl.Float64))
    with pytest.raises(DataError, match="'y', the target, has no value on any of 40 rows"):
        Dataset.of(nothing, "y")


def test_a_sweep_leaves_the_same_rows_out_of_what_was_given():
    holes = pandas_of(frame())
    holes.loc[3, "y"] = None
    data = receive(holes, "y", None)
    assert data.n_rows == len(data.features()) == len(data.truth) == 39
    assert 3 not in data.features().index
    assert list(data.features().columns) == ["x", "c", "k"]
    own = receive(holes[["x", "c"]], holes["y"], None)
    assert (own.n_rows, own.feature_names, own.name) == (39, ["x", "c"], "y")
    assert receive(Arrow(frame()), "y", None).feature_names == ["x", "c", "k"]
    with pytest.raises(SettingsError, match="ignore names columns of a Table"):
        receive(np.eye(4), np.arange(4), None, ignore=["x"])


# --- columns to ignore -----------------------------------------------------------------------------------------


def test_ignored_columns():
    table = Table.from_frame(frame().with_columns(more=pl.col("x") * 2, id_a=pl.int_range(40), id_b=pl.int_range(40)))
    found = Dataset.of(table, "y", ignore=["id_*", "1"])
    assert found.ignored == ("x", "id_a", "id_b")
    assert [column.name for column in found.columns] == ["c", "more"]
    assert Dataset.of(table, "y", ignore="?").ignored == ("x", "c", "k")  # a pattern spares the target that was named
    for target, ignore, message in (
        ("y", ["y"], "--ignore y names 'y', which is the target"),
        (None, ["id_*"], r"--ignore id_\* names 'id_b', which is the target, as the last column"),
        ("y", ["cc"], "no column 'cc'. Did you mean 'c'"),
    ):
        with pytest.raises(DataError, match=message):
            Dataset.of(table, target, ignore=ignore)
    with pytest.raises(DataError, match="'c' is named by both"):
        Dataset.of(table, "y", ignore=["c"], categorical=["c"])


def test_a_column_that_tells_the_class_is_spoken_of():
    answers = frame().with_columns(alive=pl.when(pl.col("c") == "red").then(pl.lit("yes")).otherwise(pl.lit("no")))
    notes = Dataset.of(answers, "c").notes
    assert notes[-1] == (
        "Column 'alive' tells the target 'c' on every row: if it is not known beforehand, leave it out (--ignore)."
    )
    assert not any("tells the target" in note for note in Dataset.of(answers, "y").notes)


def test_notes_of_the_table_come_first():
    table = Table(frame(), "t.csv", True, notes=("Read as it is.",))
    assert Dataset.of(table, "y").notes[0] == "Read as it is."
    assert gpubp.train_model(table, "y", RECIPE, **HOW).model.preprocessing.notes[0] == "Read as it is."


def test_classes_keep_their_spelling_in_models_and_sweeps():
    codes = frame().with_columns(y=pl.Series(["007", "042", "100", "1E2"] * 10))
    model = gpubp.train_model(codes, "y", RECIPE, **HOW).model
    assert model.target.labels == ("007", "042", "100", "1E2")
    assert set(model.predict(codes).values.tolist()) <= {*model.target.labels}
    assert receive(codes, "y", None).classes.tolist() == ["007", "042", "100", "1E2"]
    assert receive(frame().with_columns(y=pl.Series([1, 2] * 20)), "y", None).classes.tolist() == [1, 2]


def test_booleans_of_the_target_are_found_in_another_spelling():
    first = frame().with_columns(y=pl.Series([True, False, True, True] * 10))
    model = gpubp.train_model(first, "y", RECIPE, **HOW).model
    found = model.evaluate(first.with_columns(y=pl.col("y").cast(pl.Int64)))
    assert found["accuracy"] == model.evaluate(first)["accuracy"]
    assert found["notes"] == ["Target 'y': taken as training spelled it: '0' as 'false', '1' as 'true'."]


# --- pandas' types ---------------------------------------------------------------------------------------------

NOON = datetime(2024, 5, 1, 12)


@pytest.mark.parametrize(
    ("column", "dtype", "values"),
    [
        (pd.Series([1, None, 3], dtype="Int64"), pl.Int64, [1, None, 3]),
        (pd.Series([1.5, None], dtype="Float64"), pl.Float64, [1.5, None]),
        (pd.Series([True, None, False], dtype="boolean"), pl.String, ["true", None, "false"]),
        (pd.Series(["b", None, "a"], dtype="string"), pl.String, ["b", None, "a"]),
        (pd.Series(["b", None, "a"], dtype="category"), pl.String, ["b", None, "a"]),
        (pd.Series([3, 1, 3], dtype="category"), pl.String, ["3", "1", "3"]),
        (pd.Series([3.0, None, 1.5], dtype="category"), pl.String, ["3", None, "1.5"]),
        (pd.Series([1, "a", True, None], dtype=object), pl.String, ["1", "a", "true", None]),
        (pd.Series([Decimal("1.5"), 2], dtype=object), pl.Float64, [1.5, 2.0]),
        (pd.Series([2**70, 1], dtype=object), pl.Float64, [2.0**70, 1.0]),
        (pd.Series([date(2024, 5, 1), None], dtype=object), TIME, [datetime(2024, 5, 1), None]),
        (pd.Series([NOON, None]), TIME, [NOON, None]),
        (pd.Series([NOON]).dt.tz_localize("Europe/Berlin"), TIME, [datetime(2024, 5, 1, 10)]),
        (pd.Series([NOON.replace(tzinfo=timezone.utc), None], dtype=object), TIME, [NOON, None]),
        (pd.Series(pd.to_timedelta([1.5, None], unit="s")), pl.Float64, [1.5, None]),
        (pd.Series([None, None], dtype=object), pl.Float64, [None, None]),
    ],
)
def test_pandas_types(column, dtype, values):
    found = table_of(pd.DataFrame({"v": column})).frame["v"]
    assert (found.dtype, found.to_list()) == (dtype, values)


@pytest.mark.parametrize("value", [[1, 2], b"x", {"a": 1}, 1j, np.zeros(2)])
def test_objects_that_are_no_values(value):
    with pytest.raises(DataError, match=r"row 2, column 'v': found a value of type \w+; turn the column into"):
        table_of(pd.DataFrame({"v": pd.Series([None, value], dtype=object)}))


def test_names_of_pandas_columns():
    given = pd.DataFrame([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]], columns=["x", "x", 7, "x_2", ("a", "b")])
    found = table_of(given)
    assert found.names == ["x", "x_3", "7", "x_2", "('a', 'b')"]
    assert found.notes == ("Columns that have another's name are called otherwise: 'x' as 'x_3'.",)
    assert found.frame["x_3"].to_list() == [2, 7]
    data = receive(pd.concat([given] * 5), "x_3", None)
    assert data.features().shape == (10, 4)


def test_the_command_of_a_sweep_leaves_the_same_columns_out(tmp_path):
    path = file_of(frame().with_columns(id_a=pl.int_range(40) % 5, y=pl.col("c")), tmp_path)
    quick = ("--trials", 1, "--folds", 2, "--set", "epochs=1", "--engine", "array", "--ensemble", 0)
    given = succeeds(
        "sweep", path, "-t", "y", "--ignore", "id_*", "--ignore", "-3", "--categorical", "x", *quick, "--json"
    ).json
    assert "--categorical=x '--ignore=id_*' --ignore=-3 " in given["command"]
    trained = succeeds(*shlex.split(given["command"])[1:], "--json", "-o", tmp_path / "m").json
    assert {"k", "id_a"} <= {*trained["columns_left_out"]}


# --- classes that look like missing values -----------------------------------------------------------------------


def regions(folder: Path, text: str, rows: int) -> Path:
    lines = ["x,region", *(f"{i},EU" for i in range(40)), *(f"{i},AS" for i in range(20))]
    path = folder / "regions.csv"
    path.write_text("\n".join([*lines, *(f"{i},{text}" for i in range(rows))]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("text", ["NA", "-"])
def test_a_marker_as_frequent_as_a_class_is_asked_about(tmp_path: Path, text: str) -> None:
    path = regions(tmp_path, text, 20)
    with pytest.raises(DataError, match=f"'{text}' stands in the target column 'region' on 20 of 80 rows"):
        Dataset.of(path)
    assert Dataset.of(read_table(path, not_missing=[text])).target.labels == tuple(sorted(["AS", "EU", text]))
    assert Dataset.of(read_table(path, missing=[text])).table.rows == 60


def test_a_rare_marker_in_the_target_is_a_missing_value(tmp_path: Path) -> None:
    found = Dataset.of(regions(tmp_path, "NA", 2))
    assert found.target.labels == ("AS", "EU")
    assert any("2 of 62 rows have no value in 'region'" in note for note in found.notes)


def test_a_word_is_a_class_and_said_to_be_one(tmp_path: Path) -> None:
    found = Dataset.of(regions(tmp_path, "None", 20))
    assert found.target.labels == ("AS", "EU", "None")
    assert "'None' counts as a class of 'region' (--missing=None: as missing)." in found.notes


def test_what_training_took_as_missing_is_missing_in_another_table(tmp_path: Path) -> None:
    train, new = tmp_path / "train.csv", tmp_path / "new.csv"
    train.write_text("x,y\n" + "".join(f"{i},{i * 0.5}\n" for i in range(30)) + "-999,3.25\n", encoding="utf-8")
    new.write_text("x\n-999\n3\n", encoding="utf-8")
    model = gpubp.train_model(read_table(train, missing=["-999"]), recipe=RECIPE, **HOW).model
    assert "'x' (1, by 14.5)" in model.predict(new).notes[0]
