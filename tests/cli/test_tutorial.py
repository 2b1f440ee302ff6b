"""Every number of the tutorial, from its own functions: to 1e-12, and the fold accuracies exactly.

The full digits of the epoch errors, of the deltas of a whole pass and of the case study come from a plain-Python
implementation (scripts/benchmarks/plain_python.py); their first digits are the tutorial's.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpubp.backends import Backend, NumpyBackend
from gpubp.errors import DataError, SettingsError
from gpubp.storage.datasets import data_folder
from gpubp.tutorial import (
    CaseStudy,
    Network,
    backward_propagate_error,
    case_study,
    forward_propagate,
    initialize_network,
    load_seeds,
    predict,
    scale_min_max,
    split_folds,
    train_network,
    zero_rule,
)

TOY_ROWS = [
    (2.7810836, 2.550537003, 0),
    (1.465489372, 2.362125076, 0),
    (3.396561688, 4.400293529, 0),
    (1.38807019, 1.850220317, 0),
    (3.06407232, 3.005305973, 0),
    (7.627531214, 2.759262235, 1),
    (5.332441248, 2.088626775, 1),
    (6.922596716, 1.77106367, 1),
    (8.675418651, -0.242068655, 1),
    (7.673756466, 3.508563011, 1),
]
TOY_ERRORS = [
    6.350126629022047, 5.5314843065566235, 5.221165070156876, 4.951384134200832, 4.518943543011014,
    4.173040617683736, 3.8349364324078223, 3.5057278938991416, 3.19211953584604, 2.8976699407458706,
    2.6255430928654997, 2.3774366973041525, 2.1534762232418574, 1.9527016772444177, 1.7735187847981997,
    1.6140052422853681, 1.4721124369926266, 1.3458039602603284, 1.233153430163888, 1.1324103021477214,
]  # fmt: skip
TUTORIAL_ERRORS = [
    6.350, 5.531, 5.221, 4.951, 4.519, 4.173, 3.835, 3.506, 3.192, 2.898,
    2.626, 2.377, 2.153, 1.953, 1.774, 1.614, 1.472, 1.346, 1.233, 1.132,
]  # fmt: skip
FOLD_ACCURACIES = [38 / 42, 39 / 42, 41 / 42, 39 / 42, 39 / 42]
ZERO_RULE_ACCURACIES = [13 / 42, 10 / 42, 13 / 42, 13 / 42, 10 / 42]
FIRST_EPOCH_ERRORS = [134.16309077104472, 143.0423064658474, 133.91253189711836, 142.7407625603451, 157.12067446801515]
LAST_EPOCH_ERRORS = [4.54412284861653, 6.1166416440552895, 7.378817519111016, 6.1195324389796095, 4.892337468392151]


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def small_network(backend: Backend | str) -> Network:
    return initialize_network(2, 1, 2, seed=1, backend=backend)


def test_initialize_network(backend: Backend) -> None:
    hidden, outputs = small_network(backend).neurons()
    assert hidden == [{"weights": [0.13436424411240122, 0.8474337369372327], "bias": 0.763774618976614}]
    assert outputs == [
        {"weights": [0.2550690257394217], "bias": 0.49543508709194095},
        {"weights": [0.4494910647887381], "bias": 0.651592972722763},
    ]


def test_the_seed_is_python_s_own() -> None:
    random.seed(1)
    first = initialize_network(2, 1, 2, seed=None, backend="numpy")
    second = initialize_network(2, 1, 2, seed=None, backend="numpy")
    assert first.neurons() == small_network("numpy").neurons()
    assert second.neurons() != first.neurons()  # the state was carried on
    state = random.getstate()
    initialize_network(2, 1, 2, seed=5, backend="numpy")
    assert random.getstate() == state  # with a seed, it is left alone


def test_forward_propagate(backend: Backend) -> None:
    network = small_network(backend)
    outputs = forward_propagate(network, [1, 0])
    close(outputs, [0.6629970129852887, 0.7253160725279748])
    assert network.outputs is not None
    close(network.outputs[0], [0.7105668883115941])
    assert forward_propagate(network, [1, 0, None]) == outputs  # the tutorial's rows end with a class


def test_backward_propagate_error(backend: Backend) -> None:
    network = small_network(backend)
    network.outputs = [[0.7105668883115941], [0.6213859615555266, 0.6573693455986976]]
    deltas = backward_propagate_error(network, [0, 1])
    close(deltas[0], [0.0005348048046610517])
    close(deltas[1], [0.14619064683582808, -0.0771723774346327])
    assert network.deltas == deltas


def test_a_network_shown_neuron_by_neuron(backend: Backend) -> None:
    network = small_network(backend)
    forward_propagate(network, [1, 0])
    backward_propagate_error(network, [0, 1])
    hidden, outputs = network.neurons()
    assert [sorted(neuron) for neuron in hidden + outputs] == [["bias", "delta", "output", "weights"]] * 3
    close(hidden[0]["output"], 0.7105668883115941)
    close([neuron["output"] for neuron in outputs], [0.6629970129852887, 0.7253160725279748])
    close([neuron["delta"] for neuron in outputs], [0.14813473120687762, -0.05472601157879688])
    close(hidden[0]["delta"], 0.002711797799238243)
    assert str(network).splitlines() == [
        "hidden layer 1",
        "  weights [0.134364, 0.847434]  bias 0.763775  output 0.710567  delta 0.002712",
        "output layer",
        "  weights [0.255069]  bias 0.495435  output 0.662997  delta 0.148135",
        "  weights [0.449491]  bias 0.651593  output 0.725316  delta -0.054726",
    ]


def test_what_has_not_happened_is_not_shown() -> None:
    network = small_network("numpy")
    assert "output 0" not in str(network)
    forward_propagate(network, [1, 0])
    backward_propagate_error(network, [0, 1])
    forward_propagate(network, [0, 1])  # new outputs: the deltas belonged to the old ones
    assert "output 0" in str(network)
    assert "delta" not in str(network)


def test_deltas_are_the_gradient_of_half_the_squared_error() -> None:
    network = initialize_network(3, 4, 2, seed=7, backend="numpy")
    row, expected, step = [0.3, -1.2, 0.8], np.array([1.0, 0.0]), 1e-6
    forward_propagate(network, row)
    deltas = backward_propagate_error(network, expected.tolist())
    for layer in range(2):
        biases = network.population.biases(layer)[0]  # a delta is the derivative by the neuron's bias
        for j in range(len(biases)):
            errors = []
            for sign in (1, -1):
                biases[j] += sign * step
                errors.append(0.5 * np.sum((np.array(forward_propagate(network, row)) - expected) ** 2))
                biases[j] -= sign * step
            assert deltas[layer][j] == pytest.approx((errors[0] - errors[1]) / (2 * step), abs=1e-9)


def test_train_network(backend: Backend) -> None:
    network = initialize_network(2, 2, 2, seed=1, backend=backend)
    errors = train_network(network, TOY_ROWS, learning_rate=0.5, n_epochs=20, n_outputs=2)
    close(errors, TOY_ERRORS)
    assert [round(error, 3) for error in errors] == TUTORIAL_ERRORS
    hidden, outputs = network.neurons()
    close([*hidden[0]["weights"], hidden[0]["bias"]], [-1.4688375095432327, 1.850887325439514, 1.0858178629550297])
    close([*hidden[1]["weights"], hidden[1]["bias"]], [0.37711098142462157, -0.0625909894552989, 0.2765123702642716])
    close([*outputs[0]["weights"], outputs[0]["bias"]], [2.515394649397849, -0.3391927502445985, -0.9671565426390275])
    close([*outputs[1]["weights"], outputs[1]["bias"]], [-2.5584149848484263, 1.0036422106209202, 0.42383086467582715])
    assert [predict(network, row) for row in TOY_ROWS] == [row[-1] for row in TOY_ROWS]


def test_training_goes_on_where_it_stopped() -> None:
    whole, parts = (initialize_network(2, 2, 2, seed=1, backend="numpy") for _ in range(2))
    errors = train_network(whole, TOY_ROWS, 0.5, 20, 2)
    continued = train_network(parts, TOY_ROWS, 0.5, 8, 2) + train_network(parts, TOY_ROWS, 0.5, 12, 2)
    assert continued == errors
    assert parts.neurons() == whole.neurons()


def test_zero_rule() -> None:
    training = [(0.0, 1), (0.5, 0), (0.1, 1)]
    assert zero_rule(training, [(9.0, 0), (8.0, 1)]) == [1, 1]
    assert zero_rule([(0.0, 2), (0.0, 1)], [(0.0, 0)]) == [1]  # a draw goes to the smaller number


@pytest.fixture(params=["as it comes", "without a compiler"])
def full_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """NumPy; without a compiler the array engine trains, as on the stand-in."""
    backend = NumpyBackend()
    if request.param == "without a compiler":
        monkeypatch.setattr(NumpyBackend, "compiler_missing", lambda self: "no compiler, for this test")
    return backend


def test_case_study_in_full(full_backend: Backend) -> None:
    errors: list[np.ndarray] = []
    result = case_study(
        backend=full_backend, callbacks=[lambda report: errors.append(report.metrics()["training_loss"])]
    )
    assert result.fold_accuracies == FOLD_ACCURACIES
    assert result.zero_rule_accuracies == ZERO_RULE_ACCURACIES
    assert [round(100 * share, 3) for share in result.fold_accuracies] == [90.476, 92.857, 97.619, 92.857, 92.857]
    assert [round(100 * share, 3) for share in result.zero_rule_accuracies] == [30.952, 23.810, 30.952, 30.952, 23.810]
    assert round(100 * result.mean_accuracy, 3) == 93.333
    assert round(100 * result.zero_rule_accuracy, 3) == 28.095
    expected_engine = "array" if full_backend.compiler_missing() else "lane"
    assert (result.backend, result.engine, result.interrupted) == ("numpy", expected_engine, False)
    assert 0 < result.train_seconds < 600
    assert len(errors) == 500
    to_error = 2 * 168  # the mean of ½ · Σ (expected − output)² over 168 training rows
    close(errors[0] * to_error, FIRST_EPOCH_ERRORS)
    np.testing.assert_allclose(errors[-1] * to_error, LAST_EPOCH_ERRORS, rtol=1e-9)  # after 84,000 updates


def test_case_study_on_every_backend(backend: Backend, numpy_backend: Backend) -> None:
    found, expected = (case_study(backend=each, n_epochs=15) for each in (backend, numpy_backend))
    assert found.fold_accuracies == expected.fold_accuracies
    assert found.zero_rule_accuracies == ZERO_RULE_ACCURACIES
    assert found.backend == backend.name


def test_case_study_on_uci_s_own_file() -> None:
    path = data_folder() / "seeds_dataset.txt"  # tabs, some of them doubled
    X, classes, names = load_seeds(path)
    assert (X.shape, names, np.bincount(classes).tolist()) == ((210, 7), ["1", "2", "3"], [70, 70, 70])
    np.testing.assert_array_equal(X, load_seeds()[0])
    assert case_study(path, backend="numpy", n_epochs=3).fold_accuracies == short_case_study().fold_accuracies


def test_case_study_from_another_folder(tmp_path: Path) -> None:
    program = "from gpubp.tutorial import case_study; print(case_study(backend='numpy', n_epochs=3).fold_accuracies)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(short_case_study().fold_accuracies)


def short_case_study() -> CaseStudy:
    return case_study(backend="numpy", n_epochs=3)


def test_case_study_tells_its_callbacks_and_can_be_stopped() -> None:
    epochs: list[int] = []

    def stop_after_two(report: Any) -> bool:
        epochs.append(report.epoch)
        return len(epochs) == 2

    result = case_study(backend="numpy", callbacks=[stop_after_two])
    assert epochs == [0, 1]
    assert result.fold_accuracies == case_study(backend="numpy", n_epochs=2).fold_accuracies


def test_folds_are_drawn_as_in_the_tutorial() -> None:
    folds = split_folds(210, 5, random.Random(1))
    assert [len(fold) for fold in folds] == [42] * 5
    assert sorted(row for fold in folds for row in fold) == list(range(210))
    assert folds[0][:6] == [34, 146, 207, 197, 16, 67]
    assert [len(fold) for fold in split_folds(11, 3, random.Random(1))] == [3, 3, 3]  # two rows are left over


def test_scaling_to_zero_and_one() -> None:
    X = np.array([[1.0, 5.0, -2.0], [3.0, 5.0, 0.0], [2.0, 5.0, 2.0]])
    np.testing.assert_array_equal(scale_min_max(X), [[0, 0, 0], [1, 0, 0.5], [0.5, 0, 1]])


def write(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: forward_propagate(small_network("numpy"), [1]), "The row has 1 values: this network takes 2 inputs"),
        (lambda: backward_propagate_error(small_network("numpy"), [0, 1]), "call forward_propagate first"),
        (lambda: train_network(small_network("numpy"), TOY_ROWS, 0.5, 0, 2), "epochs 0: expected a whole number"),
        (lambda: train_network(small_network("numpy"), TOY_ROWS, -0.5, 2, 2), "learning rate -0.5"),
        (lambda: initialize_network(2, 0, 2), "0 neurons in hidden layer 1"),
        (lambda: split_folds(10, 1, random.Random(1)), "1 folds for 10 rows: use at least 2"),
        (lambda: split_folds(10, 11, random.Random(1)), "at most as many as rows"),
        (lambda: case_study("nowhere.csv"), "nowhere.csv"),
    ],
)
def test_mistakes_are_told(call: Any, message: str) -> None:
    with pytest.raises((DataError, SettingsError), match=message):
        call()


def test_expected_values_of_the_wrong_number() -> None:
    network = small_network("numpy")
    forward_propagate(network, [1, 0])
    with pytest.raises(DataError, match="3 expected values for 2 outputs: give one for each"):
        backward_propagate_error(network, [0, 1, 0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,a\n3,4,a\n", "only one class, 'a'"),
        ("1,x,a\n3,y,b\n", "needs numbers in every row"),
        ("1,,a\n3,4,b\n", "needs numbers in every row"),
        ("1,2,a\n3,4,\n", "the class is missing in 1 rows"),
    ],
)
def test_tables_that_cannot_be_studied(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        case_study(write(tmp_path, text), backend="numpy", n_folds=2)


def test_a_table_with_named_classes(tmp_path: Path) -> None:
    rows = [f"{i % 2 + i / 100},{i % 3},{'yes' if i % 2 else 'no'}" for i in range(20)]
    result = case_study(write(tmp_path, "\n".join(rows) + "\n"), backend="numpy", n_folds=4, n_epochs=100)
    assert result.mean_accuracy == 1.0
    assert len(result.fold_accuracies) == 4


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no rows"),
        ([(1.0, 2.0, 0), (1.0, 0)], r"rows\[1\] has 2 values: expected 2 inputs and, last, the class"),
        ([(1.0, 2.0, 2)], r"rows\[0\] has the class 2: expected a whole number, 0 to 1"),
        ([(1.0, 2.0, -1)], "the class -1"),
        ([(1.0, "much", 0)], "not a number"),
    ],
)
def test_rows_that_cannot_be_trained_on(rows: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        train_network(initialize_network(2, 2, 2), rows, 0.5, 1, 2)
