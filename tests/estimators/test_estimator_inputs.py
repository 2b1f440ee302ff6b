"""Tables, labels and weights in every form that they come in, and what is refused."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import neural_network
from sklearn.datasets import load_iris, make_multilabel_classification

from gpubp import MLPClassifier, MLPRegressor
from gpubp.errors import DataError

ESTIMATORS = [MLPClassifier, MLPRegressor]
X, Y = load_iris(return_X_y=True)
NAMES = ["sepal length", "sepal width", "petal length", "petal width"]
QUICK: dict[str, Any] = {"max_iter": 3, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("ours", ESTIMATORS)
@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_and_dense_give_the_same(ours: Any, container: Any, solver: str) -> None:
    dense = ours(solver=solver, **QUICK).fit(X, Y)
    sparse = ours(solver=solver, **QUICK).fit(container(X), Y)
    np.testing.assert_array_equal(sparse.coefs_[0], dense.coefs_[0])
    np.testing.assert_array_equal(dense.predict(container(X)), dense.predict(X))


def test_many_sparse_rows_are_predicted_in_pieces() -> None:
    fitted = MLPRegressor(**QUICK).fit(X, Y)
    many = np.tile(X, (60, 1))
    np.testing.assert_allclose(fitted.predict(sp.csr_matrix(many)), fitted.predict(many), rtol=1e-12)


def test_a_sparse_table_beyond_the_memory_is_refused() -> None:
    huge = sp.csr_matrix((2, 2**45))
    with pytest.raises(DataError, match=r"GiB as the dense table.*partial_fit"):
        MLPRegressor(hidden_layer_sizes=(), **QUICK).fit(huge, np.zeros(2))


@pytest.mark.parametrize("ours", ESTIMATORS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_the_dtype_follows_the_table(ours: Any, dtype: str, solver: str) -> None:
    fitted = ours(solver=solver, **QUICK).fit(X.astype(dtype), Y)
    assert {array.dtype.name for array in fitted.coefs_ + fitted.intercepts_} == {dtype}
    outputs = fitted.predict(X.astype(dtype)) if ours is MLPRegressor else fitted.predict_proba(X.astype(dtype))
    assert outputs.dtype == dtype
    wider = fitted.predict(X) if ours is MLPRegressor else fitted.predict_proba(X)
    assert wider.dtype == np.float64


@pytest.mark.parametrize("found", ["float16", "int8", "uint64", "bool"])
def test_every_other_dtype_is_float64(found: str) -> None:
    fitted = MLPRegressor(**QUICK).fit(X.astype(found), Y)
    assert fitted.coefs_[0].dtype == np.float64
    assert fitted.predict(X.astype(found)).dtype == np.float64


@pytest.mark.parametrize("wanted", ["float32", "float64"])
@pytest.mark.parametrize("found", ["float32", "float64"])
def test_the_dtype_asked_for_is_taken(wanted: str, found: str) -> None:
    fitted = MLPRegressor(dtype=wanted, **QUICK).fit(X.astype(found), Y)
    assert fitted.coefs_[0].dtype == wanted
    assert fitted.predict(X).dtype == wanted
    assert fitted.partial_fit(X, Y).coefs_[0].dtype == wanted


def test_partial_fit_keeps_the_dtype_of_the_weights() -> None:
    fitted = MLPRegressor(**QUICK).fit(X.astype("float32"), Y)
    assert fitted.partial_fit(X, Y).coefs_[0].dtype == np.float32


def test_numbers_beyond_float32_are_named() -> None:
    with pytest.raises(DataError, match=r"\[0, 0\] is inf: training needs finite numbers within float32"):
        MLPRegressor(dtype="float32").fit(X * 1e50, Y)
    with pytest.raises(DataError, match=r"T\[0, 0\] is inf"):
        MLPRegressor(dtype="float32").fit(X, (Y + 1) * 1e50)


LABELS = [
    np.array(["a", "b", "c"]),
    np.array(["a", "b", "c"], dtype=object),
    np.array([-1, 7, 300]),
    np.array([0.0, 1.0, 2.0]),
    np.array([3, 5, 8], dtype=np.uint8),
]


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_come_back_as_they_were(labels: np.ndarray, n_classes: int) -> None:
    y = labels[np.minimum(Y, n_classes - 1)]
    fitted = MLPClassifier(solver="lbfgs", max_iter=100, random_state=0).fit(X, y)
    predicted = fitted.predict(X)
    assert fitted.score(X, y) > 0.95
    assert predicted.dtype == fitted.classes_.dtype
    assert predicted.dtype == labels.dtype or labels.dtype == object  # scikit-learn makes texts of these
    np.testing.assert_array_equal(fitted.classes_, labels[:n_classes])
    assert fitted.n_outputs_ == (1 if n_classes == 2 else 3)
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (150, n_classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    np.testing.assert_array_equal(labels[:n_classes][probabilities.argmax(axis=1)], predicted)
    shifted = np.log(fitted.predict_proba(X))
    np.testing.assert_array_equal(fitted.predict_log_proba(X), shifted)


def test_log_probabilities_of_zero_are_minus_infinity_without_a_warning() -> None:
    fitted = MLPClassifier((), **QUICK).fit(X, Y)
    fitted.intercepts_[0][...] = [1e4, 0.0, 0.0]
    assert np.isneginf(fitted.predict_log_proba(X)[:, 1:]).all()


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_multilabel_targets(container: Any) -> None:
    features, labels = make_multilabel_classification(80, random_state=0)
    fitted = MLPClassifier((30,), solver="lbfgs", random_state=0).fit(features, container(labels))
    assert fitted.out_activation_ == "logistic"
    predicted = fitted.predict(features)
    np.testing.assert_array_equal(predicted.toarray() if sp.issparse(predicted) else predicted, labels)
    np.testing.assert_array_equal(fitted.predict_proba(features) > 0.5, labels)
    assert fitted.score(features, labels) == 1.0
    stochastic = MLPClassifier(early_stopping=True, max_iter=20).fit(features, container(labels))
    assert stochastic.predict(features).shape == labels.shape


def test_multilabel_partial_fit() -> None:
    features, labels = make_multilabel_classification(50, random_state=0)
    mlp = MLPClassifier((50,), "logistic", solver="sgd", learning_rate_init=0.2, random_state=0)
    for _ in range(150):
        mlp.partial_fit(features, labels, classes=[0, 1, 2, 3, 4])
    assert mlp.score(features, labels) > 0.9


def test_classes_that_come_later() -> None:
    mlp = MLPClassifier(random_state=0)
    mlp.partial_fit([[1], [2], [3]], ["a", "b", "c"], classes=["a", "b", "c", "d"])
    mlp.partial_fit([[4]], ["d"])
    assert [*mlp.classes_] == ["a", "b", "c", "d"]
    assert mlp.predict_proba([[4]]).shape == (1, 4)
    with pytest.raises(ValueError, match=r"`y` has classes not in `self.classes_`"):
        mlp.partial_fit([[5]], ["e"])
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        mlp.partial_fit([[5]], ["a"], classes=["a", "b"])


def test_the_first_partial_fit_needs_the_classes() -> None:
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        MLPClassifier().partial_fit(X, Y)
    with pytest.raises(ValueError, match="classes not in"):
        MLPClassifier().partial_fit(X, Y, classes=[0, 1])


def test_several_regression_targets() -> None:
    targets = np.stack([Y, -2.0 * Y, X[:, 0]], axis=1)
    fitted = MLPRegressor(solver="lbfgs", random_state=1).fit(X, targets)
    assert fitted.predict(X).shape == (150, 3)
    assert fitted.score(X, targets) > 0.95


@pytest.mark.parametrize("ours", ESTIMATORS)
def test_one_column_of_targets_is_flattened_with_a_warning(ours: Any) -> None:
    with pytest.warns(UserWarning, match="A column-vector y was passed"):
        fitted = ours(**QUICK).fit(X, Y[:, None])
    assert fitted.predict(X).shape == (150,)


@pytest.mark.parametrize(
    ("features", "targets", "message"),
    [
        (np.where(X > 7, np.nan, X), Y, "Input X contains NaN"),
        (np.where(X > 7, np.inf, X), Y, "Input X contains infinity"),
        (X, np.where(Y > 1, np.nan, Y), "Input y contains NaN"),
        (X[None], Y, "Found array with dim 3"),
        (X[0], Y, "Expected 2D array, got 1D array"),
        (X[:0], Y[:0], r"Found array with 0 sample\(s\)"),
        (X, Y[:-1], "inconsistent numbers of samples"),
        (X, None, "requires y to be passed"),
        (X + 1j, Y, "Complex data not supported"),
        (np.array([["a", "b"]] * 150), Y, "could not convert string to float"),
    ],
)
@pytest.mark.parametrize("ours", ESTIMATORS)
def test_refused_data(ours: Any, features: Any, targets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ours(**QUICK).fit(features, targets)


def test_refused_targets() -> None:
    with pytest.raises(ValueError, match="Unknown label type"):
        MLPClassifier().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="Multioutput target data is not supported"):
        MLPClassifier().fit(X, np.stack([Y, Y], axis=1))
    with pytest.raises(ValueError, match=r"y has negative values \(-1\)"):
        MLPRegressor("poisson").fit(X, Y - 1.0)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(149), r"sample_weight.shape == \(149,\)"),
        (np.full(150, np.nan), "NaN"),
        (np.where(np.arange(150) == 3, -0.5, 1.0), r"sample_weight\[3\] is -0.5"),
        (np.zeros(150), "weight"),
    ],
)
def test_refused_weights(weights: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPRegressor(**QUICK).fit(X, Y, sample_weight=weights)


def test_pandas_names_are_kept_and_checked() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=NAMES)
    labels = pandas.Series(np.array(["x", "y", "z"])[Y])
    fitted = MLPClassifier(early_stopping=True, **QUICK).fit(table, labels, sample_weight=pandas.Series(np.ones(150)))
    assert [*fitted.feature_names_in_] == NAMES
    assert {*fitted.predict(table)} <= {"x", "y", "z"}
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(table.rename(columns={"petal width": "petal"}))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        fitted.predict(X)


def test_polars_frames() -> None:
    import polars

    table = polars.DataFrame(X, schema=NAMES)
    fitted = MLPClassifier(**QUICK).fit(table, polars.Series(["xyz"[i] for i in Y]))
    assert fitted.predict(table).shape == (150,)
    theirs = neural_network.MLPClassifier(**QUICK).fit(table, Y)  # older versions do not read the names
    assert [*getattr(fitted, "feature_names_in_", [])] == [*getattr(theirs, "feature_names_in_", [])]
    assert MLPRegressor(**QUICK).fit(table, polars.Series(Y)).score(table, polars.Series(Y)) < 1.0


class OnlyDLPack:
    """An array of another library, on the host, that offers nothing but DLPack."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **arguments: Any) -> Any:
        return self.array.__dlpack__(**arguments)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def test_arrays_that_offer_dlpack_alone() -> None:
    plain = MLPClassifier(**QUICK).fit(X, Y)
    fitted = MLPClassifier(**QUICK).fit(OnlyDLPack(X), OnlyDLPack(Y), sample_weight=OnlyDLPack(np.ones(150)))
    np.testing.assert_allclose(fitted.coefs_[0], plain.coefs_[0])
    np.testing.assert_array_equal(plain.predict(OnlyDLPack(X)), plain.predict(X))
    assert plain.score(OnlyDLPack(X), OnlyDLPack(Y)) == plain.score(X, Y)


SANE = st.floats(-1e6, 1e6, width=32)
WILD = st.one_of(SANE, st.sampled_from([np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324]))


@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")  # in scikit-learn's test for infinities
@settings(max_examples=60)
@given(data=st.data())
def test_any_table_is_fitted_finitely_or_refused_with_a_value_error(data: st.DataObject) -> None:
    n_rows, n_columns = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    table = data.draw(arrays.arrays(np.float64, (n_rows, n_columns), elements=data.draw(st.sampled_from([SANE, WILD]))))
    solver = data.draw(st.sampled_from(["adam", "sgd", "lbfgs"]))
    common: dict[str, Any] = {"solver": solver, "hidden_layer_sizes": (3,), "engine": "array", **QUICK}
    if data.draw(st.booleans()):
        mlp: Any = MLPClassifier(**common)
        y: Any = data.draw(st.lists(st.sampled_from(["a", "b", ""]), min_size=n_rows, max_size=n_rows))
    else:
        mlp = MLPRegressor(**common)
        y = data.draw(arrays.arrays(np.float64, (n_rows,), elements=SANE))
    weights = data.draw(st.none() | arrays.arrays(np.float64, (n_rows,), elements=st.floats(-0.1, 5.0)))
    try:
        mlp.fit(table, y, sample_weight=weights)
    except ValueError:
        return
    assert all(np.isfinite(W).all() for W in mlp.coefs_)
    assert len(mlp.predict(table)) == n_rows
