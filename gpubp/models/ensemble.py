"""Several networks that answer together: one file, one prediction, and how much they disagree."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gpubp.backends import Backend, get_backend
from gpubp.errors import DataError, ModelFileError, SettingsError
from gpubp.models.model import Prediction, answered, score, upgraded_target
from gpubp.networks.population import Population
from gpubp.operations.architecture import Architecture
from gpubp.preprocessing import Preprocessing, Target
from gpubp.preprocessing.labels import LONG, as_labels
from gpubp.preprocessing.target import TASKS, exponentials, held_note, within
from gpubp.storage.array_files import array
from gpubp.storage.artifact import Artifact
from gpubp.storage.schema import Given

MOST_COUNTED = 2**31  # how often a member may have been chosen
HOTTEST = 100.0  # temperature; and 1 / HOTTEST the coldest
LABELS: dict[str, Callable[[Given], Any]] = {  # of classes of numbers, by the kind of their NumPy type
    "b": Given.flag,
    "i": lambda given: given.whole(-(2**63), 2**63 - 1),
    "u": Given.whole,
    "f": Given.number,
}


def _upgraded(described: dict[str, Any]) -> dict[str, Any]:
    """The metadata of version 1, with what version 2 has beside it."""
    found = described | {"target": upgraded_target(described.get("target"))}
    if isinstance(found.get("members"), list):
        more = {"unscaled": False, "log": False, "limited": False}
        found["members"] = [group | more if isinstance(group, dict) else group for group in found["members"]]
    return found


FILE = Artifact(
    format="gpubp ensemble",
    what="an ensemble",
    remedy="Copy it again, or save it again.",
    version=3,
    upgrades={1: _upgraded, 2: lambda found: found},
    unread="Use the gpubp that wrote it, or make the ensemble again.",
)
"""Version 1 knew no limits of predictions, no logarithm of the target, and no members on unscaled inputs; version 2 no
temperature.
"""


@dataclass(frozen=True, eq=False)
class Members:
    """M networks of one architecture. params (M, K) float64; counts (M,): how much each counts.

    unscaled: they read numbers as they are, and not as the ensemble's preprocessing scales them. log: they put out the
    logarithm of the target. limited: their predictions stay within the target's limits. view: which of the ensemble's
    preprocessings they read, 0 for the first.
    """

    architecture: Architecture
    params: np.ndarray
    counts: np.ndarray
    names: tuple[str, ...]
    unscaled: bool = False
    log: bool = False
    limited: bool = False
    view: int = 0

    def outputs(self, X: np.ndarray, backend: Backend) -> np.ndarray:
        """(M, N, O) float64, all members in one call."""
        seeds = np.zeros(len(self.params), dtype=np.uint64)
        population = Population.from_host(self.architecture, self.params, seeds, backend)
        return backend.to_host(population.predict(X)).astype(np.float64)


class _View(NamedTuple):
    """A table as some members read it, (N, I) each; without scaling only where some of them take it so."""

    unscaled: np.ndarray
    scaled: np.ndarray


@dataclass(frozen=True)
class Answer:
    """For N rows. values: (N,) classes or numbers, or (N, O) for several outputs. probabilities (N, C), or None.

    disagreement: the standard deviation of the members' outputs, each counting as often as it was chosen; (N,) of the
    predicted class's probability, before the ensemble's temperature, or of the value; (N, O) for several outputs.
    notes: as in Prediction.
    """

    values: np.ndarray
    probabilities: np.ndarray | None
    disagreement: np.ndarray
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The mean of its members' predictions, each counting as often as it was chosen.

    preprocessing, target: for tables; None where X is arrays. classes (C,): the labels; None for regression. single:
    one number is predicted, not several. description: how it came about, as JSON values. others: further
    preprocessings of the same columns, of members whose inputs are encoded or scaled in other ways. temperature:
    probabilities p become p^(1 / temperature), divided by their sum (Guo et al. 2017); above 1 they are less sure.
    """

    members: tuple[Members, ...]
    task: str
    classes: np.ndarray | None
    single: bool
    preprocessing: Preprocessing | None
    target: Target | None
    description: Mapping[str, Any]
    others: tuple[Preprocessing, ...] = ()
    temperature: float = 1.0

    @property
    def n_members(self) -> int:
        """How many networks there are; one chosen twice is one network."""
        return sum(len(group.params) for group in self.members)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for group in self.members for name in group.names)

    @property
    def counts(self) -> np.ndarray:
        """(M,) how often each network was chosen, in the order of `names`."""
        return np.concatenate([group.counts for group in self.members])

    def member_outputs(self, X: Any, backend: Backend | str | None = None) -> np.ndarray:
        """(M, N, C) probabilities or (M, N, O) values of each member, float64, in the order of `names`.

        X: a Table, a path, a data frame or an array of all columns where the ensemble was made from a table, else an
        array (N, I). DataError for anything else, and for rows so far out that an output is no finite number.
        """
        return self._member_outputs(self._views(X)[0], get_backend(backend))[0]

    def _member_outputs(self, views: Sequence[_View], backend: Backend) -> tuple[np.ndarray, np.ndarray]:
        """The second: of which rows (N,) a member's prediction lay beyond the target's limits."""
        groups = [
            group.outputs(views[group.view].unscaled if group.unscaled else views[group.view].scaled, backend)
            for group in self.members
        ]
        held = np.zeros(len(views[0].scaled), dtype=bool)
        for i, group in enumerate(self.members):
            values = exponentials(groups[i]) if group.log else groups[i]
            limits = self.target.limits if group.limited and self.target is not None else None
            groups[i], beyond = within(values, limits)
            if beyond is not None:
                held |= beyond.any(axis=(0, 2))
        found = np.concatenate(groups)
        if not np.isfinite(found).all():
            row = int(np.flatnonzero(~np.isfinite(found).all(axis=(0, 2)))[0])
            raise DataError(f"The outputs for row {row + 1} are no finite numbers: its values lie too far out.")
        if self.task == "regression":
            return found, held
        total = found.sum(axis=-1, keepdims=True)
        return np.where(total > 0, found / np.where(total > 0, total, 1.0), 1.0 / found.shape[-1]), held

    def answer(self, X: Any, backend: Backend | str | None = None) -> Answer:
        """Everything about each row, from one pass through the members. DataError as `member_outputs`."""
        views, notes = self._views(X)
        outputs, held = self._member_outputs(views, get_backend(backend))
        limits = None if self.target is None else self.target.limits
        notes = (*notes, *held_note(held, limits, members=True))
        mean = self._mean(outputs)
        spread = np.sqrt(self._mean((outputs - mean) ** 2))
        if self.classes is None:
            values, apart = (mean[:, 0], spread[:, 0]) if self.single else (mean, spread)
            return Answer(values, None, apart, notes)
        place = mean.argmax(axis=1)
        mean = tempered(mean, self.temperature)
        return Answer(self.classes[place], mean, np.take_along_axis(spread, place[:, None], axis=1)[:, 0], notes)

    def predict(self, X: Any, backend: Backend | str | None = None) -> np.ndarray:
        """(N,) the most probable class of each row; or the values, (N,), or (N, O) for several outputs."""
        return self.answer(X, backend).values

    def predict_proba(self, X: Any, backend: Backend | str | None = None) -> np.ndarray:
        """(N, C) in the order of `classes`, rows summing to 1."""
        probabilities = self.answer(X, backend).probabilities
        if probabilities is None:
            raise SettingsError("This ensemble predicts numbers, not classes: use predict.")
        return probabilities

    def disagreement(self, X: Any, backend: Backend | str | None = None) -> np.ndarray:
        """How far the members are apart on each row: see Answer."""
        return self.answer(X, backend).disagreement

    def evaluate(self, table: Any, backend: Backend | str | None = None) -> dict[str, Any]:
        """The metrics (models.metrics) of the predictions on a table that has the target, the mean disagreement and the
        notes. SettingsError for an ensemble that was made from arrays.
        """
        if self.target is None:
            raise SettingsError("This ensemble was made from arrays, and knows no target column: score its predict.")
        known, notes = answered(table, self.preprocessing, self.target)
        answer = self.answer(known, backend)
        found = score(Prediction(answer.values, answer.probabilities, answer.notes), self.target, known)
        extent = {
            "disagreement": float(answer.disagreement.mean()),
            "rows": known.rows,
            "notes": [*notes, *answer.notes],
        }
        return found | extent

    def save(self, path: str | Path) -> None:
        """Write it as safetensors, arrays and JSON, whole or not at all; ModelFileError where that cannot be."""
        tensors: dict[str, np.ndarray] = {}
        for i, group in enumerate(self.members):
            tensors[f"members.{i}.params"] = group.params
            tensors[f"members.{i}.counts"] = group.counts
        metadata = {
            "task": self.task,
            "single": self.single,
            "classes": _described_classes(self.classes),
            "members": [
                {
                    "architecture": group.architecture.to_dict(),
                    "names": list(group.names),
                    "unscaled": group.unscaled,
                    "log": group.log,
                    "limited": group.limited,
                }
                | ({"view": group.view} if group.view else {})
                for group in self.members
            ],
            "preprocessing": None,
            "target": None,
            "description": dict(self.description),
        }
        if self.temperature != 1.0:
            metadata["temperature"] = self.temperature
        if self.preprocessing is not None and self.target is not None:
            fitted = [each.to_metadata() for each in (self.preprocessing, *self.others)]
            metadata |= {"preprocessing": fitted if self.others else fitted[0], "target": self.target.to_metadata()}
            tensors |= self.preprocessing.to_arrays() | self.target.to_arrays()
            for i, other in enumerate(self.others, 1):
                tensors |= {f"views.{i}.{name}": values for name, values in other.to_arrays().items()}
        try:
            FILE.write(path, tensors, metadata)
        except DataError as error:
            raise ModelFileError(str(error)) from error

    @classmethod
    def load(cls, path: str | Path) -> Ensemble:
        """Read what `save` wrote; nothing in it is ever executed. ModelFileError for anything else."""
        tensors, described = FILE.read(Path(path))
        with FILE.assembling(path):
            return _assemble(tensors, Given(described))

    def to_onnx(self) -> Any:
        """The ensemble with its preprocessing as one onnx.ModelProto (see onnx.ensembles.ensemble_to_onnx).
        SettingsError for one that was made from arrays.
        """
        from gpubp.models.onnx.ensembles import ensemble_to_onnx

        if self.preprocessing is None or self.target is None:
            raise SettingsError(
                "This ensemble was made from arrays, and a graph needs the names and kinds of a table's columns: give "
                "the sweep a data frame."
            )
        return ensemble_to_onnx(self.members, (self.preprocessing, *self.others), self.target, self.temperature)

    def _views(self, X: Any) -> tuple[list[_View], tuple[str, ...]]:
        """What members read, and what had to be replaced or was not recognised in a table."""
        if self.preprocessing is not None:
            found, read = self.preprocessing.read_alike(X, "" if self.target is None else self.target.name)
            views, notes = [], list(read)
            for i, fitted in enumerate((self.preprocessing, *self.others)):
                mixed = any(group.unscaled for group in self.members if group.view == i)
                encoded = (fitted.unscaled() if mixed else fitted).transform(found)
                views.append(_View(encoded.X, fitted.scaled(encoded.X) if mixed else encoded.X))
                notes += encoded.notes
            return views, tuple(dict.fromkeys(notes))
        try:
            inputs = np.asarray(X, dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError("X holds what is no number, and this ensemble was made from arrays of numbers.") from None
        if inputs.ndim != 2 or not np.isfinite(inputs).all():
            raise DataError(f"X of shape {inputs.shape}: expected a table (rows, columns) of finite numbers.")
        return [_View(inputs, inputs)], ()

    def _mean(self, values: np.ndarray) -> np.ndarray:
        """(N, …) over the members, of values (M, N, …)."""
        found: np.ndarray = np.average(values, axis=0, weights=self.counts)
        return found


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """(…, C) for probabilities (…, C) that sum to 1: p^(1 / temperature), divided by their sum."""
    if temperature == 1.0:
        return probabilities
    largest = probabilities.max(axis=-1, keepdims=True)  # of which the power is 1, so that the sum is not 0
    powers = (probabilities / largest) ** (1.0 / temperature)
    found: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return found


def _described_classes(classes: np.ndarray | None) -> dict[str, Any] | None:
    if classes is None:
        return None
    if classes.dtype.kind not in "biufU" and not all(isinstance(label, str) for label in classes):
        raise ModelFileError(f"Cannot save classes of type {classes.dtype}: use numbers, booleans or texts.")
    kind = "O" if classes.dtype.kind == "O" else classes.dtype.str
    return {"dtype": kind, "labels": classes.tolist()}


def _classes(given: Given, task: str) -> np.ndarray | None:
    """(C,), two or more different labels; None for regression."""
    if task == "regression":
        if not given.is_null:
            raise given.wrong("null, for a regression")
        return None
    kind = given["dtype"].text()
    if not re.fullmatch(r"O|[<>|=]?([iu][1248]|f[248]|b1|U[0-9]{1,9})", kind):
        raise given["dtype"].wrong("the NumPy type of booleans, numbers or texts")
    _, is_text, width = kind.partition("U")
    dtype = np.dtype("U" if is_text else kind)
    labels = given["labels"].each(LABELS.get(dtype.kind, Given.text), least=2)
    try:
        with np.errstate(over="ignore"):
            found = _texts(labels, int(width)) if is_text else np.array(labels, dtype=dtype)
    except OverflowError as error:
        raise given["labels"].wrong(f"a list of {kind}") from error
    if len(set(found.tolist())) < len(labels) or (dtype.kind == "f" and not np.isfinite(found).all()):
        raise given["labels"].wrong("a list of different labels")
    return found


def _texts(labels: Sequence[str], width: int) -> np.ndarray:
    """(C,), as wide as the file says, unless that is wider than any label that gpubp keeps as an array of texts."""
    found = as_labels(labels)
    return found.astype(f"U{width}") if found.dtype.kind == "U" and 4 * LONG >= 4 * width > found.itemsize else found


def _assemble(tensors: dict[str, np.ndarray], given: Given) -> Ensemble:
    """DataError for whatever does not fit together."""
    task = given["task"].choice(TASKS)
    classes = _classes(given["classes"], task)
    groups = tuple(_members(tensors, i, group) for i, group in enumerate(given["members"].items(least=1)))
    shapes = {(group.view, group.architecture.n_inputs, group.architecture.n_outputs) for group in groups}
    outputs = {n_outputs for _, _, n_outputs in shapes}
    same = len({view for view, _, _ in shapes}) == len(shapes) and len(outputs) == 1
    if not same or (classes is not None and {len(classes)} != outputs):
        raise DataError("the members do not have the same inputs and outputs, or not those of the classes.")
    (n_outputs,) = outputs
    fitted, target = _preprocessings(given["preprocessing"], tensors), None
    if given["preprocessing"].is_null != given["target"].is_null:
        raise DataError("one of preprocessing and target is missing.")
    if max(view for view, _, _ in shapes) >= max(1, len(fitted)):
        raise DataError("a member reads a view of the table that is not there.")
    if fitted:
        target = Target.from_parts(given["target"].value, tensors)
        fit = all(len(fitted[view].input_names) == n_inputs for view, n_inputs, _ in shapes)
        if not fit or target.outputs != n_outputs or target.task != task:
            raise DataError("the members do not fit the inputs and the target of the table.")
    if target is None and any(group.unscaled or group.log or group.limited for group in groups):
        raise DataError("members that are unscaled, log or limited need the preprocessing and the target of a table.")
    if task == "classification" and any(group.log or group.limited for group in groups):
        raise DataError("members that are log or limited are for regression.")
    if any(group.limited for group in groups) and target is not None and target.limits is None:
        raise DataError("the members are limited, and the target has no limits.")
    single = given["single"].flag()
    if single and task == "regression" and n_outputs != 1:
        raise given["single"].wrong(f"false for a regression with {n_outputs} outputs")
    told = given.get("temperature").maybe(Given.real)
    temperature = 1.0 if told is None else told
    if not HOTTEST >= temperature >= 1.0 / HOTTEST or (task == "regression" and temperature != 1.0):
        raise given["temperature"].wrong(f"a number from {1 / HOTTEST:g} to {HOTTEST:g}, of an ensemble for classes")
    first, notes = fitted[0] if fitted else None, given["description"].notes()
    return Ensemble(groups, task, classes, single, first, target, notes, tuple(fitted[1:]), temperature)


def _preprocessings(given: Given, tensors: Mapping[str, np.ndarray]) -> list[Preprocessing]:
    """One, or a list of several of the same columns, of which all but the first have names of their own for arrays."""
    if given.is_null:
        return []
    if not isinstance(given.value, list):
        return [Preprocessing.from_parts(given.value, tensors)]
    found = []
    for i, each in enumerate(given.items(least=2)):
        start = f"views.{i}."
        own = {name.removeprefix(start): values for name, values in tensors.items() if name.startswith(start)}
        found.append(Preprocessing.from_parts(each.value, own if i else tensors))
    if len({tuple(column.name for column in each.columns) for each in found}) > 1:
        raise given.wrong("preprocessings of the same columns")
    return found


def _members(tensors: dict[str, np.ndarray], place: int, given: Given) -> Members:
    architecture = Architecture.from_given(given["architecture"])
    names = given["names"].each(Given.text, least=1)
    shape = (len(names), architecture.n_parameters)
    params = array(tensors, f"members.{place}.params", shape, np.float64)
    counts = array(tensors, f"members.{place}.counts", shape[:1], np.int64, least=1, most=MOST_COUNTED)
    flags = {name: given[name].flag() for name in ("unscaled", "log", "limited")}
    view = given.get("view").maybe(lambda each: each.whole(0, MOST_COUNTED)) or 0
    return Members(architecture, params, counts, names, **flags, view=view)
