"""A trained model: preprocessing, network, labels. It predicts on tables, and lives in one safe file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.backends import Backend, get_backend
from gpubp.engines.prediction import predict_rows
from gpubp.errors import DataError, ModelFileError
from gpubp.models.metrics import classification_report, regression_report
from gpubp.networks.population import Population
from gpubp.operations.architecture import Architecture
from gpubp.preprocessing import Preprocessing, Target
from gpubp.preprocessing.target import held_note
from gpubp.preprocessing.target_rows import with_target
from gpubp.storage.array_files import array
from gpubp.storage.artifact import Artifact
from gpubp.storage.schema import Given
from gpubp.tables import Table, table_of


def upgraded_target(described: Any) -> Any:
    """The metadata of a target as version 1 wrote it, with what version 2 has beside it."""
    return described | {"log": False, "limits": None} if isinstance(described, dict) else described


FILE = Artifact(
    format="gpubp model",
    what="a model",
    remedy="Copy it again, or train again.",
    version=2,
    upgrades={1: lambda found: found | {"target": upgraded_target(found.get("target"))}},
    unread="Use the gpubp that wrote it, or train again.",
    others={
        "gpubp estimator": "an estimator's file: read it with MLPClassifier.load or MLPRegressor.load. Model files are "
        "written by `gpubp train`.",
        "gpubp ensemble": "an ensemble: read it with Ensemble.load.",
    },
)
"""Version 1 knew no limits of predictions and no logarithm of the target."""


@dataclass(frozen=True)
class Prediction:
    """For N rows. values (N,): class labels, or numbers in the target's units.

    probabilities (N, C) float64, rows summing to 1, for classification, else None. notes: what had to be replaced or
    was not recognised in the table.
    """

    values: np.ndarray
    probabilities: np.ndarray | None
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Model:
    """params (K,): the network's flat parameters, on the host. training: how it was trained, as JSON values."""

    architecture: Architecture
    params: np.ndarray
    preprocessing: Preprocessing
    target: Target
    training: Mapping[str, Any]

    @property
    def task(self) -> str:
        return self.target.task

    def predict(self, table: Any, backend: Backend | str | None = None) -> Prediction:
        """table: a `Table`, a file's path, a data frame (polars, pandas, Arrow), or an array (N, D) of the columns in
        their order. backend: see `get_backend`.

        Raises DataError where the table's columns are not those of the training.
        """
        found, read = self.preprocessing.read_alike(table, self.target.name)
        encoded, backend = self.preprocessing.transform(found), get_backend(backend)
        population = Population.from_host(self.architecture, self.params[None, :], np.zeros(1), backend)
        outputs = backend.to_host(predict_rows(population, encoded.X))[0].astype(np.float64)
        return to_prediction(outputs, self.target, (*read, *encoded.notes))

    def evaluate(self, table: Any, backend: Backend | str | None = None) -> dict[str, Any]:
        """The metrics (see models.metrics) of the predictions on a table that has the target, with the notes. Rows
        without a target are left out. table, backend: as for `predict`.
        """
        known, notes = answered(table, self.preprocessing, self.target)
        prediction = self.predict(known, backend)
        return score(prediction, self.target, known) | {"rows": known.rows, "notes": [*notes, *prediction.notes]}

    def save(self, path: str | Path) -> None:
        """Write the model as safetensors with JSON metadata: whole, or not at all."""
        tensors = self.preprocessing.to_arrays() | self.target.to_arrays()
        for i, its in enumerate(self.architecture.views(self.params[None, :])):
            tensors |= {f"layers.{i}.{name}": values[0] for name, values in its.items()}
        metadata = {
            "architecture": self.architecture.to_dict(),
            "preprocessing": self.preprocessing.to_metadata(),
            "target": self.target.to_metadata(),
            "training": dict(self.training),
        }
        try:
            FILE.write(path, tensors, metadata)
        except DataError as error:
            raise ModelFileError(str(error)) from error

    def to_onnx(self) -> Any:
        """The model with its preprocessing as one onnx.ModelProto (see onnx.tables.model_to_onnx)."""
        from gpubp.models.onnx.tables import model_to_onnx

        return model_to_onnx(self.architecture, self.params, self.preprocessing, self.target)

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a model file. It holds arrays and JSON only; nothing in it is ever executed.

        Raises ModelFileError, with the reason, for anything that is not a whole model of this version.
        """
        tensors, metadata = FILE.read(Path(path))
        with FILE.assembling(path):
            return _assemble(tensors, Given(metadata))


def to_prediction(outputs: np.ndarray, target: Target, notes: tuple[str, ...]) -> Prediction:
    """From a network's outputs (N, O) in float64."""
    if not np.isfinite(outputs).all():
        row = int(np.flatnonzero(~np.isfinite(outputs).all(axis=1))[0])
        raise DataError(
            f"The network's output for row {row + 1} is not a finite number: the row's values lie too far from those "
            "of the training."
        )
    if target.task == "regression":
        values, held = target.decoded(outputs)
        refuse_infinite(values)
        return Prediction(values, None, (*notes, *held_note(held, target.limits)))
    total = outputs.sum(axis=1, keepdims=True)  # 1 for softmax outputs; logistic ones are scaled to it
    probabilities = np.where(total > 0, outputs / np.where(total > 0, total, 1.0), 1.0 / outputs.shape[1])
    return Prediction(target.decode(probabilities), probabilities, notes)


def answered(table: Any, preprocessing: Preprocessing | None, target: Target) -> tuple[Table, tuple[str, ...]]:
    """The rows that the target is known of, and what to say about it."""
    found, read = (table_of(table), ()) if preprocessing is None else preprocessing.read_alike(table, target.name)
    known, _, notes = with_target(found, target.column_in(found))
    return known, (*read, *notes, *target.differences(known))


def refuse_infinite(values: np.ndarray) -> None:
    """DataError for values (N,) of a target scaled by its logarithm that are too large for a number."""
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"The prediction for row {row + 1} is too large for a number: its values lie too far from those of the "
            "training."
        )


def score(prediction: Prediction, target: Target, table: Table) -> dict[str, Any]:
    if prediction.probabilities is not None:
        return classification_report(target.class_index(table), prediction.probabilities, target.labels)
    return regression_report(target.values(table), prediction.values)


def _assemble(tensors: dict[str, np.ndarray], given: Given) -> Model:
    """DataError for whatever does not fit together."""
    architecture = Architecture.from_given(given["architecture"])
    pieces = [
        array(tensors, f"layers.{i}.{parameter.name}", parameter.shape, np.float32, np.float64).ravel()
        for i, layer in enumerate(architecture.layers)
        for parameter in layer.parameters
    ]
    if len({piece.dtype for piece in pieces}) > 1:
        raise DataError("the layers should be all float32 or all float64; found some of each.")
    preprocessing = Preprocessing.from_parts(given["preprocessing"].value, tensors)
    target = Target.from_parts(given["target"].value, tensors)
    if len(preprocessing.input_names) != architecture.n_inputs or target.outputs != architecture.n_outputs:
        raise DataError(
            f"the network {architecture} does not fit {len(preprocessing.input_names)} inputs and {target.outputs} "
            "outputs."
        )
    return Model(architecture, np.concatenate(pieces), preprocessing, target, given["training"].notes())
