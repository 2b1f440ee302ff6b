"""From a table to arrays and back: what is fitted, on which rows, and what is refused."""

from __future__ import annotations

import io
import json
import warnings
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpubp.errors import DataError, GpubpError, SettingsError
from gpubp.fitting.array_data import ArrayData
from gpubp.preprocessing import Column, InputRules, Preprocessing, Target, choose_inputs
from gpubp.tables import Table, read_table


def table_of(header: bool = True, **columns) -> Table:
    table = Table.from_frame(pl.DataFrame(columns), "toy.csv")
    return Table(table.frame, "toy.csv", header, np.arange(2, 2 + table.rows))


def csv_table(text: str, **options) -> Table:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
        return read_table("-", **options)


def fitted(table: Table, *, exclude=(), **options) -> Preprocessing:
    """Of all other columns, those too that have one value only."""
    columns = [column_of(table, name) for name in table.names if name not in exclude]
    rules = InputRules(encoding=options.pop("encoding", "one_hot"), missing_numbers=options.pop("missing", "median"))
    return Preprocessing.fit(table, rules.columns(table, columns), **options)


def column_of(table: Table, name: str) -> Column:
    if table.frame[name].dtype.is_numeric():
        return Column(name, "numeric")
    (column,) = choose_inputs(Table.from_frame(table.frame.select(name)), categorical=[name]).columns
    return column


# --- Preprocessing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["standard", "minmax"])
def test_scaling_agrees_with_scikit_learn(scale):
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    X = np.random.default_rng(3).normal(5, 3, size=(50, 4))
    X[::7, 2] = np.nan
    rows = np.arange(10, 40)
    table = Table.from_arrays(X)
    peer = make_pipeline(SimpleImputer(strategy="median"), StandardScaler() if scale == "standard" else MinMaxScaler())
    expected = peer.fit(X[rows]).transform(X)
    found = fitted(table, scale=scale, rows=rows)
    np.testing.assert_allclose(found.transform(table).X, expected, rtol=1e-13, atol=1e-13)
    assert found.notes == (
        f"Missing numbers are replaced by the median of the column: 'column_3' (4, by {found.fill[2]:g}).",
    )


def test_no_scaling_leaves_numbers_alone():
    table = table_of(a=[1.5, None, 3.5], k=[7, 7, 7])
    assert fitted(table, scale="none").transform(table).X.tolist() == [[1.5, 7], [2.5, 7], [3.5, 7]]
    with pytest.raises(SettingsError, match="Unknown scale 'log'"):
        fitted(table, scale="log")


def test_one_hot_and_names():
    table = table_of(n=[0, 2], c=["red", None], d=["x", "y"])
    found = fitted(table)
    assert found.input_names == ("n", "c=red", "c=(missing)", "d=x", "d=y")
    assert found.transform(table).X.tolist() == [[-1, 1, 0, 1, 0], [1, 0, 1, 0, 1]]
    assert found.notes == ("Missing texts are a category of their own: 'c' (1).",)


def test_unseen_and_newly_missing_categories():
    found = fitted(table_of(c=["red", None], d=["x", "y"]))
    encoded = found.transform(table_of(c=["blue", "green", "red"], d=["z", None, "x"]))
    assert encoded.X.tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0]]
    assert encoded.notes == (
        "Column 'c': 2 value(s) not seen in training count as missing: 'blue', 'green'.",
        "Column 'd': 1 value(s) not seen in training become zeros: 'z'.",
        "Column 'd': 1 missing value(s) become zeros; training had none.",
    )


@pytest.mark.parametrize("scale", ["robust", "quantile", "standard", "minmax"])
def test_a_constant_column_becomes_zeros_and_is_noted(scale):
    table = table_of(k=[0.1] * 3, nearly=[1.0, 1.0 + 2e-16, 1.0], tiny=[0.0, 1e-40, 0.0], n=[1, 2, 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fitted(table, scale=scale)
        encoded = found.transform(table)
    assert found.constant == ("k", "nearly", "tiny")
    assert np.abs(encoded.X[:, :3]).max() < 1e-15
    assert encoded.notes == ()
    assert found.notes[0] == "Column 'k' always has the value 0.1: it tells a network nothing."
    other = found.transform(table_of(k=[0.1, 5.0], nearly=[1, 1], tiny=[0, 0], n=[1, 1]))
    assert other.notes == (
        "Column 'k': 1 value(s) differ from 0.1, the only one in training; what a network makes of them is arbitrary.",
    )


def test_a_column_without_values_becomes_zeros():
    table = table_of(e=[None, None, None], n=[1, 2, 3])
    found = fitted(table)
    assert found.transform(table).X[:, 0].tolist() == [0, 0, 0]
    assert "'e' (3, by 0, for want of any value)" in found.notes[-1]
    late = table_of(e=[None, None, 8.0], n=[1, 2, 3])  # no value in the training rows only
    assert np.isfinite(fitted(late, rows=np.array([0, 1])).transform(late).X).all()


@pytest.mark.parametrize("scale", ["robust", "quantile", "standard", "minmax", "none"])
def test_only_the_training_rows_are_fitted(scale):
    rng = np.random.default_rng(0)
    before = {"a": rng.normal(size=20), "b": rng.normal(size=20), "c": np.array(list("xy") * 10)}
    after = {name: values.copy() for name, values in before.items()}
    rows = np.arange(0, 20, 2)
    after["a"][1::2] *= 1000
    after["b"][1::2] = np.nan
    one, two = (fitted(table_of(**values), scale=scale, rows=rows) for values in (before, after))
    mask = np.arange(20) % 2 == 0
    three = fitted(table_of(**before), scale=scale, rows=mask)
    for other in (two, three):
        for name, array in one.to_arrays().items():
            np.testing.assert_array_equal(array, other.to_arrays()[name])
    targets = [Target.fit(table_of(**values), "a", "regression", rows) for values in (before, after)]
    assert (targets[0].mean, targets[0].scale) == (targets[1].mean, targets[1].scale)


@pytest.mark.parametrize("rows", [np.array([], int), np.array([3]), np.array([-1]), np.array([0.5]), np.array([True])])
def test_senseless_rows_are_refused(rows):
    with pytest.raises(DataError, match="to fit on"):
        fitted(table_of(a=[1, 2, 3]), rows=rows)


def test_values_far_outside_the_training_rows_are_refused():
    table = table_of(a=[0.0, 1e-20, 1e29])
    with pytest.raises(DataError, match=r"line 4, column 'a': 1e.29 lies too far outside"):
        fitted(table, rows=np.array([0, 1])).transform(table)
    with pytest.raises(DataError, match="line 4, column 'a'"):
        Target.fit(table, "a", "regression", np.array([0, 1])).encode(table)


# --- finding columns in another table --------------------------------------------------------------------------


def test_columns_are_found_by_name_in_any_order():
    found = fitted(table_of(a=[1, 2], b=[3, 5], y=[0, 1]), exclude=["y"], target="y")
    assert found.transform(table_of(b=[3], extra=["?"], a=[1])).X.tolist() == [[-1, -1]]
    with pytest.raises(DataError, match=r"no column 'b'. Did you mean 'bb'.*columns are 'a', 'bb'.*trained with it"):
        found.transform(table_of(a=[1], bb=[3]))
    with pytest.raises(DataError, match="2 input columns are missing in all"):
        found.transform(table_of(q=[1]))


def test_columns_are_found_by_position_with_or_without_the_target():
    train = Table.from_arrays([[9, 1, 3], [8, 2, 5]])
    found = fitted(train, exclude=["column_1"], target="column_1")
    expected = [[-1.0, -1.0]]
    assert found.transform(Table.from_arrays([[0, 1, 3]])).X.tolist() == expected
    assert found.transform(Table.from_arrays([[1, 3]])).X.tolist() == expected
    with pytest.raises(DataError, match=r"found 4 columns, expected 2 \(the inputs alone\) or 3 \(with the target\)"):
        found.transform(Table.from_arrays([[1, 3, 5, 7]]))
    named = found.transform(table_of(p=[1], q=[3]))
    assert named.X.tolist() == expected
    assert named.notes == ("Columns are taken by position, because the training table has no header.",)


def test_positions_with_other_columns_left_out():
    found = fitted(Table.from_arrays([[9, 1, 3, 7], [8, 2, 5, 6]]), exclude=["column_1", "column_3"], target="column_3")
    for row in ([0, 1, 0, 7], [0, 1, 7], [1, 7]):
        assert found.transform(Table.from_arrays([row])).X.tolist() == [[-1, 1]]


def test_text_in_a_numeric_column_is_refused_with_its_line():
    found = fitted(table_of(a=[1, 2]))
    with pytest.raises(DataError, match=r"toy\.csv, line 3, column 'a': found the text 'x', expected a number"):
        found.transform(table_of(a=["1", "x"]))


def test_a_table_where_everything_is_missing_can_be_predicted_on():
    found = fitted(table_of(a=[1, 3, 8], c=["p", "q", None]))
    encoded = found.transform(table_of(a=[None], c=[None]))
    np.testing.assert_allclose(encoded.X, [[(3 - 4) / found.scale[0], 0, 0, 1]])
    assert encoded.notes == ("Missing numbers are replaced by medians of the training: 'a' (1, by 3).",)


# --- Target ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "task", "labels"),
    [
        (["b", "a", "b"], "classification", ("a", "b")),
        ([True, False, True], "classification", ("false", "true")),
        ([10, 9, 2, 10, 9, 2, 2], "classification", ("2", "9", "10")),
        ([1.0, 2.0, 1.0, 2.0, 1.0], "classification", ("1", "2")),
        ([1, 2, 1, 2], "regression", ()),  # not fewer than half as many values as rows
        (list(range(21)) * 5, "regression", ()),
        (list(range(20)) * 5, "classification", tuple(str(i) for i in range(20))),
        ([1.5, 2.5, 1.5, 2.5, 1.5], "regression", ()),
    ],
)
def test_the_task_and_the_labels(values, task, labels):
    target = Target.fit(table_of(y=values), "y")
    assert (target.task, target.labels) == (task, labels)
    assert ArrayData.of(np.zeros((len(values), 1)), values, None).task == task  # arrays by the same rule


def test_a_chosen_task():
    assert Target.fit(table_of(y=[1.5, 2, 1.5, 2]), "y", "classification").labels == ("1.5", "2")
    assert Target.fit(table_of(y=[1, 1, 1, 2, 2, 2]), "y", "regression").labels == ()
    with pytest.raises(DataError, match="line 2, column 'y': found the text 'a', expected a number"):
        Target.fit(table_of(y=["a", "b"]), "y", "regression")
    with pytest.raises(SettingsError, match="Unknown task 'ranking'"):
        Target.fit(table_of(y=[1, 2]), "y", "ranking")


def test_classification_round_trip():
    table = table_of(y=["b", "a", "c", "a"])
    target = Target.fit(table, "y")
    assert target.encode(table).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert target.class_index(table).tolist() == [1, 0, 2, 0]
    assert target.outputs == 3
    assert target.decode(target.encode(table).astype(np.float32)).tolist() == ["b", "a", "c", "a"]
    stacked = np.stack([target.encode(table), target.encode(table)[::-1]])
    assert target.decode(stacked).tolist() == [["b", "a", "c", "a"], ["a", "c", "a", "b"]]
    assert target.decode(np.array([[0.5, 0.5, 0.0]])).tolist() == ["a"]
    with pytest.raises(DataError, match=r"shape \(1, 2\); expected \(rows, 3\)"):
        target.decode(np.zeros((1, 2)))


def test_regression_round_trip():
    table = table_of(y=[1.0, 2.0, 3.0, 6.0])
    target = Target.fit(table, "y", rows=np.array([0, 1, 2]))
    assert (target.mean, target.scale, target.outputs) == (2.0, np.sqrt(2 / 3), 1)
    assert target.encode(table).shape == (4, 1)
    np.testing.assert_allclose(target.decode(target.encode(table)), target.values(table), rtol=1e-15)
    plain = Target.fit(table, "y", standardise=False)
    assert plain.encode(table)[:, 0].tolist() == [1, 2, 3, 6]
    constant = Target.fit(table_of(y=[5.5] * 4), "y")
    assert constant.encode(table_of(y=[5.5] * 4)).tolist() == [[0]] * 4


def test_targets_that_cannot_be_learnt():
    with pytest.raises(DataError, match=r"column 'y' has no value on 2 of 3 rows \(line 3, line 4\)"):
        Target.fit(table_of(y=[1, None, None]), "y")
    with pytest.raises(DataError, match="column 'y' has one class only, 'a'"):
        Target.fit(table_of(y=["a", "a"]), "y")
    with pytest.raises(DataError, match="line 5, column 'y': found 'x' in a column of numbers"):
        Target.fit(table_of(y=["1", "2", "3", "x"]), "y")
    with pytest.raises(DataError, match="120 different values"):
        Target.fit(table_of(y=[f"t{i}" for i in range(120)]), "y")


def test_an_unseen_class_is_refused_when_evaluating():
    target = Target.fit(table_of(a=[1, 2], y=["p", "q"]), "y")
    with pytest.raises(DataError, match=r"line 3, column 'y': found class 'r', which training did not have.*'p', 'q'"):
        target.class_index(table_of(y=["p", "r"]))
    with pytest.raises(DataError, match="no column 'y'"):
        target.encode(table_of(a=[1]))
    with pytest.raises(DataError, match="no value on 1 of 2 rows"):
        target.encode(table_of(y=["p", None]))


def test_the_target_is_found_by_position_without_headers():
    target = Target.fit(Table.from_arrays([[1, 5], [2, 6], [3, 7]]), "column_2")
    assert target.values(Table.from_arrays([[0, 8]])).tolist() == [8]


# --- stored and loaded -----------------------------------------------------------------------------------------


def example(**options) -> tuple[Table, Preprocessing, Target]:
    table = table_of(a=[1.5, None, 7.25], k=[2, 2, 2], c=["x", None, "y"], y=[0.1, 0.5, 0.2])
    return table, fitted(table, exclude=["y"], target="y", **options), Target.fit(table, "y")


@pytest.mark.parametrize("header", [True, False])
def test_metadata_and_arrays_round_trip(header):
    table, *_ = example()
    table = Table(table.frame, "toy.csv", header)
    found, target = fitted(table, exclude=["y"], target="y"), Target.fit(table, "y")
    arrays = found.to_arrays() | target.to_arrays()
    again = Preprocessing.from_parts(json.loads(json.dumps(found.to_metadata())), arrays)
    target_again = Target.from_parts(json.loads(json.dumps(target.to_metadata())), arrays)
    np.testing.assert_array_equal(again.transform(table).X, found.transform(table).X)
    np.testing.assert_array_equal(target_again.encode(table), target.encode(table))
    assert again.to_metadata() == found.to_metadata()
    assert again.input_names == found.input_names
    assert target_again.to_metadata() == target.to_metadata()
    labels = Target.fit(table_of(c=["x", "y"]), "c")
    assert Target.from_parts(labels.to_metadata(), labels.to_arrays()).labels == ("x", "y")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths(value, prefix=()):
    """Every place in nested JSON."""
    yield prefix
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from paths(value[key], (*prefix, key))


@settings(max_examples=120)
@given(st.data(), st.sampled_from([{}, {"scale": "quantile", "encoding": "scaled", "missing": "indicate"}]))
def test_hostile_parts_give_an_expected_error_or_something_that_works(data, options):
    table, *stored = example(**options)
    part = data.draw(st.sampled_from(stored))
    metadata = json.loads(json.dumps(part.to_metadata()))
    arrays = part.to_arrays()
    *way, last = data.draw(st.sampled_from([path for path in paths(metadata) if path]))
    place = metadata
    for key in way:
        place = place[key]
    if data.draw(st.booleans()):
        del place[last]
    else:
        place[last] = data.draw(json_values)
    try:
        loaded = type(part).from_parts(metadata, arrays)
        loaded.transform(table) if isinstance(loaded, Preprocessing) else loaded.encode(table)
    except GpubpError as error:
        assert "\n" not in str(error)  # noqa: PT017 - a sentence for whichever example was drawn


@pytest.mark.parametrize("metadata", [None, [], "x", 3, {}, {"columns": [3]}, {"columns": None}])
def test_metadata_of_a_wrong_shape(metadata):
    with pytest.raises(DataError, match=r"preprocessing.* (should be|is missing)"):
        Preprocessing.from_parts(metadata, {})
    with pytest.raises(DataError, match=r"target.* (should be|is missing)"):
        Target.from_parts(metadata, {})


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("preprocessing.fill", np.zeros(3)),
        ("preprocessing.fill", np.zeros(5, np.float32)),
        ("preprocessing.fill", np.full(5, np.nan)),
        ("preprocessing.fill", [0.0] * 5),
        ("preprocessing.offset", None),
        ("preprocessing.scale", np.zeros(5)),
        ("preprocessing.scale", np.full(5, -1.0)),
        ("preprocessing.scale", np.full((1, 5), 1.0)),
    ],
)
def test_hostile_arrays(name, array):
    _, found, _ = example()
    with pytest.raises(DataError, match=f"array '{name}' should"):
        Preprocessing.from_parts(found.to_metadata(), found.to_arrays() | {name: array})
    assert found.to_arrays()["preprocessing.fill"].shape == (5,)


def test_hostile_places_and_labels():
    _, found, target = example()
    for change in ({"positions": [0, 0, 2]}, {"positions": [0, 1]}, {"positions": [0, 1, 99]}, {"target_position": 0}):
        metadata = found.to_metadata()
        metadata["places"] |= change
        with pytest.raises(DataError, match=r"preprocessing\.places.* should be"):
            Preprocessing.from_parts(metadata, found.to_arrays())
    for labels in (["a"], ["a", "b"], ["a", "a"]):  # of a regression
        with pytest.raises(DataError, match=r"target\.labels should be"):
            Target.from_parts(target.to_metadata() | {"labels": labels}, target.to_arrays())
    with pytest.raises(DataError, match="should be one of robust, quantile, standard, minmax, none; found 'log'"):
        Preprocessing.from_parts(found.to_metadata() | {"scaling": "log"}, found.to_arrays())
    metadata = found.to_metadata()
    metadata["columns"][0]["categories"] = ["x"]
    with pytest.raises(DataError, match=r"columns\[0\] should be without categories, since column 'a' is numeric"):
        Preprocessing.from_parts(metadata, found.to_arrays())


# --- any table -------------------------------------------------------------------------------------------------

values = st.sampled_from(["", "1", "2.5", "-3", "1e30", "1e-300", "0", "x", "y y", "NA", "True", "inf", '"q"', "007"])


@settings(max_examples=90)
@given(
    st.integers(1, 3).flatmap(lambda w: st.lists(st.lists(values, min_size=w, max_size=w), min_size=1, max_size=6)),
    st.sampled_from(["robust", "quantile", "standard", "minmax", "none"]),
)
def test_every_table_becomes_finite_numbers_or_an_expected_error(rows, scale):
    try:
        table = csv_table("\n".join(",".join(row) for row in rows), header=False, separator=",")
        train = np.arange((table.rows + 1) // 2)
        found = fitted(table, scale=scale, rows=train)
        X = found.transform(table).X
    except GpubpError:
        return
    assert X.shape == (table.rows, len(found.input_names))
    assert np.isfinite(X.astype(np.float32)).all()
    try:
        target = Target.fit(table, table.names[-1])
        assert np.isfinite(target.encode(table).astype(np.float32)).all()
    except GpubpError:
        return
    assert len(target.decode(target.encode(table))) == table.rows


def test_a_row_alone_is_encoded_as_among_many():
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(3.0, 2.0, 5000), "b": ["x", "y"] * 2500, "c": rng.uniform(size=5000)}
    whole = Table.from_frame(pl.DataFrame(columns))
    preprocessing = fitted(whole)
    X = preprocessing.transform(whole).X
    for row in (0, 1, 4999):
        encoded = preprocessing.transform(Table.from_frame(whole.frame[row : row + 1]))
        np.testing.assert_array_equal(encoded.X, X[row : row + 1])
        assert encoded.notes == ()
    gap = Table.from_frame(pl.DataFrame({"a": [None], "b": ["x"], "c": [0.5]}, schema_overrides={"a": pl.Float64}))
    assert "Missing numbers are replaced" in preprocessing.transform(gap).notes[0]
    far = Table.from_frame(pl.DataFrame({"a": [1e30], "b": ["x"], "c": [1e29]}))
    with pytest.raises(DataError, match="too far outside"):
        preprocessing.transform(Table.from_frame(far.frame.with_columns(c=pl.lit(9e29))))
