"""The tutorial's algorithm in plain Python, neuron by neuron: what gpubp is held against, in its results and its time.

Nothing but the standard library, and nothing of gpubp: a network is a list of layers, a layer a list of neurons, a
neuron a dictionary with its weights, the bias last.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

Neuron = dict[str, Any]
Network = list[list[Neuron]]


def initialize_network(n_inputs: int, n_hidden: int, n_outputs: int, draw: Callable[[], float]) -> Network:
    hidden_layer = [{"weights": [draw() for _ in range(n_inputs + 1)]} for _ in range(n_hidden)]
    output_layer = [{"weights": [draw() for _ in range(n_hidden + 1)]} for _ in range(n_outputs)]
    return [hidden_layer, output_layer]


def activate(weights: list[float], inputs: list[float]) -> float:
    activation = weights[-1]
    for i in range(len(weights) - 1):
        activation += weights[i] * inputs[i]
    return activation


def transfer(activation: float) -> float:
    return 1.0 / (1.0 + math.exp(-activation))


def transfer_derivative(output: float) -> float:
    return output * (1.0 - output)


def forward_propagate(network: Network, row: list[float]) -> list[float]:
    inputs = row
    for layer in network:
        outputs = []
        for neuron in layer:
            neuron["output"] = transfer(activate(neuron["weights"], inputs))
            outputs.append(neuron["output"])
        inputs = outputs
    return inputs


def backward_propagate_error(network: Network, expected: list[float]) -> None:
    for i in reversed(range(len(network))):
        layer = network[i]
        errors = []
        if i == len(network) - 1:
            for j in range(len(layer)):
                errors.append(layer[j]["output"] - expected[j])
        else:
            for j in range(len(layer)):
                error = 0.0
                for neuron in network[i + 1]:
                    error += neuron["weights"][j] * neuron["delta"]
                errors.append(error)
        for j in range(len(layer)):
            neuron = layer[j]
            neuron["delta"] = errors[j] * transfer_derivative(neuron["output"])


def update_weights(network: Network, row: list[float], learning_rate: float) -> None:
    for i in range(len(network)):
        inputs = row[:-1]
        if i > 0:
            inputs = [neuron["output"] for neuron in network[i - 1]]
        for neuron in network[i]:
            for j in range(len(inputs)):
                neuron["weights"][j] -= learning_rate * neuron["delta"] * inputs[j]
            neuron["weights"][-1] -= learning_rate * neuron["delta"]


def train_network(
    network: Network, rows: list[list[float]], learning_rate: float, n_epochs: int, n_outputs: int
) -> list[float]:
    """rows: inputs and, last, the class number. Returns each epoch's sum of squared errors."""
    errors = []
    for _ in range(n_epochs):
        sum_error = 0.0
        for row in rows:
            outputs = forward_propagate(network, row)
            expected = [0.0] * n_outputs
            expected[int(row[-1])] = 1.0
            sum_error += sum([(expected[i] - outputs[i]) ** 2 for i in range(n_outputs)])
            backward_propagate_error(network, expected)
            update_weights(network, row, learning_rate)
        errors.append(sum_error)
    return errors


def predict(network: Network, row: list[float]) -> int:
    outputs = forward_propagate(network, row)
    return outputs.index(max(outputs))


def read_rows(path: Path) -> tuple[list[list[float]], int]:
    """The CSV's rows, every column scaled to [0, 1] and the class as a number from 0 last; and how many classes."""
    with path.open(newline="", encoding="utf-8") as file:
        table = [row for row in csv.reader(file) if row]
    classes = sorted({row[-1] for row in table})
    rows = [[float(value) for value in row[:-1]] + [float(classes.index(row[-1]))] for row in table]
    for column in range(len(rows[0]) - 1):
        values = [row[column] for row in rows]
        low, high = min(values), max(values)
        for row in rows:
            row[column] = (row[column] - low) / (high - low)
    return rows, len(classes)


@dataclass(frozen=True)
class CaseStudy:
    fold_accuracies: list[float]
    epoch_errors: list[list[float]]  # fold by fold
    train_seconds: float


def case_study(
    path: Path, n_epochs: int = 500, n_hidden: int = 5, learning_rate: float = 0.3, seed: int = 1
) -> CaseStudy:
    """Cross-validation in 5 folds; the seconds are those of the trainings alone."""
    rows, n_classes = read_rows(path)
    source = Random(seed)
    remaining = list(rows)
    folds = [[remaining.pop(source.randrange(len(remaining))) for _ in range(len(rows) // 5)] for _ in range(5)]
    accuracies, errors, seconds = [], [], 0.0
    for fold in folds:
        training_rows = [row for other in folds if other is not fold for row in other]
        network = initialize_network(len(rows[0]) - 1, n_hidden, n_classes, source.random)
        started = time.perf_counter()
        errors.append(train_network(network, training_rows, learning_rate, n_epochs, n_classes))
        seconds += time.perf_counter() - started
        accuracies.append(sum(predict(network, row) == int(row[-1]) for row in fold) / len(fold))
    return CaseStudy(accuracies, errors, seconds)
