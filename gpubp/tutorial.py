"""The tutorial that gpubp grew from, step by step, on the same kernels as everything else.

A network with one hidden layer of logistic neurons learns to classify rows by online gradient descent: initialise,
forward propagate, back-propagate the error, train, predict, and the wheat seeds case study. The tutorial's network is
a list of neurons with their weights and a bias; here it is a population of one, in float64, that can be shown so.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.backends import Backend, get_backend
from gpubp.errors import DataError, SettingsError, quoted
from gpubp.models.baselines import zero_rule as most_common_class
from gpubp.models.baselines import zero_rule_accuracy
from gpubp.networks.population import Population
from gpubp.networks.settings import Settings
from gpubp.operations.activations import logistic_backward
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import squared_error
from gpubp.operations.network import Tape, backward, forward
from gpubp.storage.datasets import wheat_seeds
from gpubp.tables import read_table
from gpubp.training.history import Callback
from gpubp.training.loop import train

Row = Sequence[float]


class Network:
    """A population of one, with the outputs and deltas of the last row that went through it.

    outputs, deltas: one list for each layer of neurons, hidden layer first; None before there are any. Outputs may be
    set by hand, to back-propagate from them.
    """

    def __init__(self, population: Population) -> None:
        self.population = population
        self.outputs: list[list[float]] | None = None
        self.deltas: list[list[float]] | None = None
        self.row: np.ndarray = np.zeros((1, population.architecture.n_inputs))

    def neurons(self) -> list[list[dict[str, Any]]]:
        """Layer by layer, neuron by neuron: weights, bias, and the last output and delta where there are some."""
        to_host, shown = self.population.backend.to_host, []
        for i in range(self.population.architecture.n_layers):
            W, b = to_host(self.population.weights(i))[0], to_host(self.population.biases(i))[0]
            layer = [{"weights": W[:, j].tolist(), "bias": float(b[j])} for j in range(len(b))]
            for name, values in (("output", self.outputs), ("delta", self.deltas)):
                if values is not None:
                    for neuron, value in zip(layer, values[i], strict=True):
                        neuron[name] = value
            shown.append(layer)
        return shown

    def __str__(self) -> str:
        lines = []
        layers = self.neurons()
        for i, layer in enumerate(layers):
            lines.append("output layer" if i == len(layers) - 1 else f"hidden layer {i + 1}")
            for neuron in layer:
                weights = ", ".join(f"{w:.6f}" for w in neuron["weights"])
                extra = "".join(f"  {k} {neuron[k]:.6f}" for k in ("output", "delta") if k in neuron)
                lines.append(f"  weights [{weights}]  bias {neuron['bias']:.6f}{extra}")
        return "\n".join(lines)


def initialize_network(
    n_inputs: int, n_hidden: int, n_outputs: int, seed: int | None = 1, backend: Backend | str | None = None
) -> Network:
    """Step 1: weights and biases uniform in [0, 1), drawn neuron by neuron, the bias last, hidden layer first.

    The numbers are Python's own: `random.seed(seed)`, then `random.random()` for each; the state of the `random`
    module itself is used only where `seed` is None, and is then carried on.
    """
    architecture = Architecture(n_inputs, n_hidden, n_outputs, "logistic", "logistic")
    source: Any = random if seed is None else random.Random(seed)
    params = _draw(architecture, source)[None, :]
    return Network(Population.from_host(architecture, params, np.zeros(1), get_backend(backend)))


def _draw(architecture: Architecture, source: Any) -> np.ndarray:
    """(K,) flat parameters in the tutorial's order of drawing."""
    layers = []
    for fan_in, fan_out in pairwise(architecture.sizes):
        neurons = np.array([[source.random() for _ in range(fan_in + 1)] for _ in range(fan_out)])
        layers += [neurons[:, :-1].T.ravel(), neurons[:, -1]]
    return np.concatenate(layers)


def forward_propagate(network: Network, row: Row) -> list[float]:
    """Step 2: the outputs of the last layer for one row of inputs (anything after them, such as a class, is ignored).

    activation = bias + Σ weight · input; output = 1 / (1 + exp(−activation)).
    """
    population, architecture = network.population, network.population.architecture
    backend = population.backend
    if len(row) < architecture.n_inputs:
        raise DataError(f"The row has {len(row)} values: this network takes {architecture.n_inputs} inputs.")
    network.row = np.array([row[: architecture.n_inputs]], dtype=np.float64)
    tape = Tape(backend, architecture, 1, 1, np.float64)
    forward(
        backend,
        architecture,
        architecture.views(population.params),
        backend.to_device(network.row),
        tape,
    )
    network.outputs = [backend.to_host(values.H)[0, 0].tolist() for values in tape.dense]
    network.deltas = None
    return network.outputs[-1]


def backward_propagate_error(network: Network, expected: Row) -> list[list[float]]:
    """Step 3: the delta of every neuron, from the outputs of the last forward pass; kept in `network.deltas`.

    Output neuron: (output − expected) · output · (1 − output); hidden neuron: (Σ weight · delta over the next layer)
    · output · (1 − output).
    """
    population, architecture = network.population, network.population.architecture
    backend = population.backend
    if network.outputs is None:
        raise SettingsError("There are no outputs to propagate back from: call forward_propagate first.")
    if len(expected) != architecture.n_outputs:
        raise DataError(f"{len(expected)} expected values for {architecture.n_outputs} outputs: give one for each.")
    tape = Tape(backend, architecture, 1, 1, np.float64)
    for values, output in zip(tape.dense, network.outputs, strict=True):
        values.H[...] = backend.to_device(np.array([[output]]))
    Y, dY = tape.last.H, tape.last.dY
    squared_error(backend, Y, backend.to_device(np.array([[expected]], dtype=np.float64)), Y, dY, tape.loss, {})
    logistic_backward(backend, dY, None, Y, dY)
    views = architecture.views(population.params)
    gradients = architecture.views(backend.xp.empty_like(population.params))
    backward(backend, architecture, dY, views, backend.to_device(network.row), tape, gradients)
    network.deltas = [backend.to_host(values.dY)[0, 0].tolist() for values in tape.dense]
    return network.deltas


def train_network(
    network: Network, rows: Sequence[Row], learning_rate: float, n_epochs: int, n_outputs: int
) -> list[float]:
    """Step 4: for every epoch and every row in order, forward, backward, weight −= rate · delta · input.

    rows: inputs and, last, the class number. Returns each epoch's error: the sum over rows and outputs of
    (expected − output)², each taken before the row's update.
    """
    X, classes = _rows_and_classes(rows, network.population.architecture.n_inputs, n_outputs)
    T = one_hot(classes, n_outputs)
    history = train(network.population, X, T, online_settings(learning_rate, n_epochs))
    return (2.0 * len(rows) * history.training_loss[:, 0]).tolist()


def _rows_and_classes(rows: Sequence[Row], n_inputs: int, n_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    for number, row in enumerate(rows):
        if len(row) != n_inputs + 1:
            raise DataError(f"rows[{number}] has {len(row)} values: expected {n_inputs} inputs and, last, the class.")
        if row[-1] not in range(n_outputs):
            raise DataError(f"rows[{number}] has the class {row[-1]!r}: expected a whole number, 0 to {n_outputs - 1}.")
    if len(rows) == 0:
        raise DataError("There are no rows to train on.")
    try:
        table = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"The rows hold something that is not a number: {error}.") from error
    return table[:, :-1], table[:, -1].astype(np.int64)


def online_settings(learning_rate: float, n_epochs: int) -> Settings:
    """The tutorial's training: squared error, one row at a time, in the given order."""
    return Settings(
        loss="squared_error",
        optimizer="sgd",
        learning_rate=learning_rate,
        batch_size=1,
        epochs=n_epochs,
        shuffle=False,
    )


def predict(network: Network, row: Row) -> int:
    """Step 5: the index of the largest output."""
    return int(np.argmax(forward_propagate(network, row)))


def zero_rule(training_rows: Sequence[Row], test_rows: Sequence[Row]) -> list[int]:
    """The baseline: for every test row, the class (last value) that is most common among the training rows."""
    return [most_common_class(np.array([int(row[-1]) for row in training_rows]))] * len(test_rows)


def one_hot(classes: np.ndarray, n_classes: int) -> np.ndarray:
    """(N, C) float64."""
    return np.eye(n_classes)[classes]


def scale_min_max(X: np.ndarray) -> np.ndarray:
    """Every column to [0, 1] by its smallest and largest value; a constant column to 0."""
    low, high = X.min(axis=0), X.max(axis=0)
    return (X - low) / np.where(high > low, high - low, 1.0)


def split_folds(n_rows: int, n_folds: int, source: Any) -> list[list[int]]:
    """Equal folds of ⌊rows / folds⌋ row numbers, drawn without replacement by `source.randrange`."""
    if not 2 <= n_folds <= n_rows:
        raise SettingsError(f"{n_folds} folds for {n_rows} rows: use at least 2, and at most as many as rows.")
    remaining = list(range(n_rows))
    return [[remaining.pop(source.randrange(len(remaining))) for _ in range(n_rows // n_folds)] for _ in range(n_folds)]


@dataclass(frozen=True)
class CaseStudy:
    """Accuracies are shares, from 0 to 1."""

    fold_accuracies: list[float]
    zero_rule_accuracies: list[float]
    train_seconds: float
    backend: str
    engine: str
    interrupted: bool = False

    @property
    def mean_accuracy(self) -> float:
        return float(np.mean(self.fold_accuracies))

    @property
    def zero_rule_accuracy(self) -> float:
        return float(np.mean(self.zero_rule_accuracies))


def load_seeds(path: str | Path | None = None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """X (N, I) scaled to [0, 1] over the whole table, as the tutorial has it; class numbers (N,); class names, sorted.

    path: any table of numbers with the class in the last column; None: the wheat seeds.
    """
    table = read_table(wheat_seeds() if path is None else path)
    table.require_rows(2, "the case study")
    features, target = table.names[:-1], table.names[-1]
    for name in features:
        column = table.frame[name]
        if not column.dtype.is_numeric() or column.null_count():
            raise DataError(
                f"{table.source}, column {name!r}: the tutorial's case study needs numbers in every row. "
                "For other tables use `gpubp cross-validate`."
            )
    labels = table.frame[target]
    if labels.null_count():
        raise DataError(f"{table.source}, column {target!r}: the class is missing in {labels.null_count()} rows.")
    names, classes = np.unique(labels.to_numpy(), return_inverse=True)
    X = table.frame.select(features).to_numpy().astype(np.float64)
    return scale_min_max(X), classes, [str(name) for name in names]


def case_study(
    path: str | Path | None = None,
    *,
    backend: Backend | str | None = None,
    engine: str = "auto",
    n_folds: int = 5,
    n_hidden: int = 5,
    learning_rate: float = 0.3,
    n_epochs: int = 500,
    seed: int = 1,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
) -> CaseStudy:
    """Step 6: cross-validation on the wheat seeds; all folds are trained as one population.

    The tutorial scales the columns before it splits, so each test fold's range leaks into its training. That is kept
    here, under the tutorial's name; `gpubp.cross_validate` fits all preprocessing on the training folds alone.
    """
    X, classes, names = load_seeds(path)
    if len(names) < 2:
        raise DataError(f"There is only one class, {quoted(names[0])}: nothing can be learned from it.")
    source = random.Random(seed)
    folds = split_folds(len(X), n_folds, source)
    architecture = Architecture(X.shape[1], n_hidden, len(names), "logistic", "logistic")
    params = np.array([_draw(architecture, source) for _ in folds])
    chosen = get_backend(backend)
    population = Population.from_host(architecture, params, np.zeros(n_folds), chosen)
    training_rows = [np.concatenate([g for g in folds if g is not fold]) for fold in folds]
    history = train(
        population,
        X,
        one_hot(classes, len(names)),
        online_settings(learning_rate, n_epochs),
        rows=training_rows,
        engine=engine,
        callbacks=callbacks,
        progress=progress,
    )
    predicted = chosen.to_host(population.predict(X).argmax(axis=-1))
    return CaseStudy(
        fold_accuracies=[float(np.mean(predicted[f][fold] == classes[fold])) for f, fold in enumerate(folds)],
        zero_rule_accuracies=[
            zero_rule_accuracy(classes[rows], classes[fold]) for rows, fold in zip(training_rows, folds, strict=True)
        ],
        train_seconds=history.seconds,
        backend=chosen.name,
        engine=history.engine,
        interrupted=history.interrupted,
    )
