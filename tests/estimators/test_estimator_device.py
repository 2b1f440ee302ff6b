"""Arrays on a device: with the strict stand-in for CuPy, which lets no array change sides unnoticed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import standin as cuda
from sklearn.datasets import load_iris, make_multilabel_classification

from gpubp import MLPClassifier, MLPRegressor
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.placement import SMALL_WORK, choose_backend, is_on_device
from gpubp.errors import BackendError

X, Y = load_iris(return_X_y=True)
QUICK: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 0, "engine": "array"}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_classifier_answers_where_it_was_asked(standin: CupyBackend, solver: str, dtype: str) -> None:
    there, labels = standin.to_device(X.astype(dtype)), standin.to_device(Y)
    fitted = MLPClassifier(solver=solver, **QUICK).fit(there, labels)
    here = MLPClassifier(solver=solver, **QUICK).fit(X.astype(dtype), Y)
    for ours, theirs in zip(fitted.coefs_, here.coefs_, strict=True):
        assert isinstance(ours, np.ndarray)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    probabilities = fitted.predict_proba(there)
    assert is_on_device(probabilities)
    assert probabilities.dtype == dtype
    assert is_on_device(fitted.predict_log_proba(there))
    np.testing.assert_allclose(standin.to_host(probabilities), here.predict_proba(X.astype(dtype)), rtol=1e-4)
    predicted = fitted.predict(there)
    assert is_on_device(predicted)
    np.testing.assert_array_equal(standin.to_host(predicted), here.predict(X.astype(dtype)))
    assert isinstance(fitted.predict(X), np.ndarray)
    assert fitted.score(there, labels) == fitted.score(X, Y)


def test_the_table_goes_nowhere_in_a_prediction(standin: CupyBackend) -> None:
    there = standin.to_device(X)
    fitted = MLPRegressor(**QUICK).fit(there, standin.to_device(Y))
    standin.xp.counters.reset()
    fitted.predict(there)
    assert standin.xp.counters.bytes_to_host <= 8  # whether all are finite
    assert standin.xp.counters.bytes_to_device <= 8 * (4 * 6 + 6 + 6 + 1)  # the weights


@pytest.mark.parametrize("options", [{"engine": "array"}, {"engine": "block"}, {"solver": "lbfgs", "engine": "array"}])
def test_the_table_goes_nowhere_in_a_fit(standin: CupyBackend, options: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    there, numbers = standin.to_device(random.normal(size=(4000, 4))), random.normal(size=4000)
    standin.xp.counters.reset()
    MLPRegressor(**(QUICK | {"max_iter": 2} | options)).fit(there, numbers)
    assert standin.xp.counters.bytes_to_host < there.nbytes / 2
    targets_and_order = 4000 * (8 + 8)
    assert standin.xp.counters.bytes_to_device < targets_and_order + there.nbytes / 4


def test_texts_for_classes_come_back_on_the_host(standin: CupyBackend) -> None:
    there = standin.to_device(X)
    fitted = MLPClassifier(**QUICK).fit(there, np.array(["a", "b", "c"])[Y])
    predicted = fitted.predict(there)
    assert isinstance(predicted, np.ndarray)
    np.testing.assert_array_equal(predicted, fitted.predict(X))


def test_two_classes_and_many_labels_on_the_device(standin: CupyBackend) -> None:
    there = standin.to_device(X)
    fitted = MLPClassifier(**QUICK).fit(there, standin.to_device(Y > 0))
    np.testing.assert_array_equal(standin.to_host(fitted.predict(there)), fitted.predict(X))
    assert standin.to_host(fitted.predict_proba(there)).shape == (150, 2)
    features, labels = make_multilabel_classification(40, random_state=0)
    fitted = MLPClassifier(**QUICK).fit(standin.to_device(features), standin.to_device(labels))
    predicted = fitted.predict(standin.to_device(features))
    np.testing.assert_array_equal(standin.to_host(predicted), fitted.predict(features))


def test_a_regressor_on_the_device(standin: CupyBackend) -> None:
    there = standin.to_device(X)
    fitted = MLPRegressor(**QUICK).fit(there, there, sample_weight=standin.to_device(np.ones(150)))
    assert is_on_device(fitted.predict(there))
    assert fitted.predict(there).shape == (150, 4)
    assert fitted.score(there, there) == pytest.approx(fitted.score(X, X))
    assert fitted.partial_fit(there, there).t_ == 5 * 150


@pytest.mark.parametrize("name", ["auto", "numpy", "cupy"])
def test_the_backend_asked_for_computes(standin: CupyBackend, name: str) -> None:
    there = standin.to_device(X)
    fitted = MLPRegressor(backend=name, **QUICK).fit(there, Y)
    assert fitted.history_.backend == ("numpy" if name == "numpy" else "cupy")
    assert is_on_device(fitted.predict(there))
    assert isinstance(fitted.predict(X), np.ndarray)


def test_auto_takes_a_device_for_much_work_alone(standin: CupyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_backend("auto", None, SMALL_WORK / 2).name == "numpy"
    assert choose_backend("auto", None, SMALL_WORK * 2).name == "cupy"
    assert choose_backend("auto", standin.xp.zeros(3), 1.0).name == "cupy"
    monkeypatch.setenv("GPUBP_BACKEND", "cupy")
    assert choose_backend("auto", None, 1.0).name == "cupy"
    assert choose_backend("numpy", standin.xp.zeros(3), 1.0).name == "numpy"


def test_a_missing_device_is_an_error_at_fit_and_not_before() -> None:
    with cuda.installed(cuda.NOT_INSTALLED):
        mlp = MLPRegressor(backend="cupy")
        with pytest.raises(BackendError, match="CuPy is not installed"):
            mlp.fit(X, Y)
        fitted = MLPRegressor(**QUICK).fit(X, Y).set_params(backend="cupy")
        with pytest.raises(BackendError, match="CuPy is not installed"):
            fitted.predict(X)


def test_refused_tables_on_the_device(standin: CupyBackend) -> None:
    mlp = MLPRegressor(**QUICK)
    there = standin.to_device(X)
    for table, message in (
        (there[0], r"has the shape \(4,\)"),
        (there[:0], r"has the shape \(0, 4\)"),
        (standin.to_device(np.where(X > 7, np.nan, X)), "Input X contains NaN"),
        (standin.to_device(np.where(X > 7, np.inf, X)), "Input X contains infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            mlp.fit(table, Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        mlp.fit(there, Y[:-1])
    with pytest.raises(ValueError, match="requires y to be passed"):
        mlp.fit(there, None)
    mlp.fit(there, Y)
    with pytest.raises(ValueError, match="X has 2 features, but MLPRegressor is expecting 4"):
        mlp.predict(there[:, :2])


class Foreign:
    """An array of another library in a CUDA device's memory."""

    def __init__(self, array: Any) -> None:
        self.array = array


class WithInterface(Foreign):
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"version": 3}


class WithDLPack(Foreign):
    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


@pytest.mark.parametrize(("kind", "entry"), [(WithInterface, "asarray"), (WithDLPack, "from_dlpack")])
def test_arrays_of_other_libraries_are_taken_without_a_copy(
    standin: CupyBackend, monkeypatch: pytest.MonkeyPatch, kind: type[Foreign], entry: str
) -> None:
    usual = getattr(standin.xp, entry, None)

    def take(array: Any, *arguments: Any) -> Any:
        return array.array if isinstance(array, Foreign) else usual(array, *arguments)

    monkeypatch.setattr(standin.xp, entry, take, raising=False)
    foreign = kind(standin.to_device(X))
    assert is_on_device(foreign)
    fitted = MLPRegressor(**QUICK).fit(foreign, kind(standin.to_device(Y)))
    np.testing.assert_allclose(standin.to_host(fitted.predict(foreign)), fitted.predict(X))
