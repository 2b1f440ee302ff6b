"""What a fitted estimator is beside its weights, as JSON values, and back; whatever comes back is checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer

from gpubp.errors import DataError
from gpubp.estimators.plateau import Plateau
from gpubp.preprocessing import stored
from gpubp.training import TrainingState

WHAT = "description of the estimator"
NUMBER_TYPES = (
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(f"float{bits}" for bits in (16, 32, 64)),
)
TEXT_TYPES = ("str", "object")  # of arrays of texts
RECORD: Mapping[str, tuple[type, ...]] = {  # attributes, and what they may be; lists are of numbers
    "n_iter_": (int,),
    "t_": (int,),
    "loss_": (float,),
    "best_loss_": (float, type(None)),
    "loss_curve_": (list,),
    "validation_scores_": (list, type(None)),
    "best_validation_score_": (float, type(None)),
}


def encoded(value: Any, what: str) -> Any:
    """JSON for None, booleans, numbers (NaN and inf too), texts, tuples, lists, mappings; NumPy's become Python's.

    DataError, which names `what`, for anything else.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [encoded(item, what) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [encoded(item, what) for item in value]}
    if isinstance(value, Mapping):
        return {"mapping": [[encoded(key, what), encoded(item, what)] for key, item in value.items()]}
    raise DataError(
        f"A file of numbers and texts cannot hold {what}, {value!r:.80}: save a copy without it, for example after "
        "set_params."
    )


def decoded(value: Any) -> Any:
    """The inverse of `encoded`; DataError for what that does not write."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"float": "inf" | "-inf" | "nan" as text, **rest} if not rest:
            return float(text)
        case {"tuple": [*items], **rest} if not rest:
            return tuple(decoded(item) for item in items)
        case {"mapping": [*pairs], **rest} if not rest and all(_is_pair(pair) for pair in pairs):
            return {decoded(key): decoded(item) for key, item in pairs}
    raise DataError(f"The {WHAT} is damaged: {value!r:.80} stands for nothing.")


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2


def record_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """How the fits went, of an estimator's attributes: those of RECORD, as Python's own numbers, checked."""
    found: dict[str, Any] = {}
    for name, kinds in RECORD.items():
        if name in attributes:
            value = attributes[name]
            value = value.item() if isinstance(value, np.generic) else value
            value = float(value) if float in kinds and type(value) is int else value
            numbers = all(isinstance(each, (int, float)) for each in value) if isinstance(value, list) else True
            if type(value) not in kinds or not numbers:
                raise DataError(f"The {WHAT} is damaged: {name} is {value!r:.60}.")
            found[name] = value
    return found


def describe_labels(classifier: Any) -> dict[str, Any]:
    """classes_ and what its LabelBinarizer knows; DataError for classes that JSON cannot carry."""
    classes, binarizer = classifier.classes_, classifier._label_binarizer
    kind = "str" if classes.dtype.kind == "U" else classes.dtype.name
    values = classes.tolist()
    if kind not in (*NUMBER_TYPES, *TEXT_TYPES) or (kind == "object" and not all(isinstance(v, str) for v in values)):
        raise DataError(
            f"Its classes are {classes.dtype} such as {values[0]!r:.60}, and the file can hold integers, floats, "
            "booleans and texts: fit on classes of such a type."
        )
    return {
        "dtype": kind,
        "values": values,
        "target": str(binarizer.y_type_),
        "sparse": bool(binarizer.sparse_input_),
    }


def labels_of(classifier: Any, described: Any) -> None:
    """Give a classifier, whose network is there, its classes_ and LabelBinarizer."""
    kind = stored.choice(described, "dtype", (*NUMBER_TYPES, *TEXT_TYPES), WHAT)
    values = stored.entry(described, "values", list, WHAT)
    target = stored.choice(described, "target", ("binary", "multiclass", "multilabel-indicator"), WHAT)
    accepted = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float)}.get(np.dtype(kind).kind, (str,))
    if not all(type(value) in accepted for value in values):
        raise DataError(f"The {WHAT} is damaged: the classes are not all of type {kind}.")
    classes = np.array(values, dtype=kind)
    outputs = classifier.n_outputs_
    fits = {
        "binary": classifier.out_activation_ == "logistic" and outputs == 1 and len(classes) in (1, 2),
        "multiclass": classifier.out_activation_ == "softmax" and outputs == len(classes) > 1,
        "multilabel-indicator": classifier.out_activation_ == "logistic" and values == list(range(outputs)),
    }[target]
    if not fits or len(np.unique(classes)) != len(values):
        raise DataError(f"The {WHAT} is damaged: {len(values)} classes of {target} labels, {outputs} outputs.")
    binarizer = LabelBinarizer()
    binarizer.classes_, binarizer.y_type_ = classes, target
    binarizer.sparse_input_ = stored.entry(described, "sparse", bool, WHAT)
    classifier.classes_, classifier._label_binarizer = classes, binarizer


def describe_training(estimator: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """How the fits went, and what partial_fit goes on from: arrays by name, and JSON values."""
    state: TrainingState | None = getattr(estimator, "_state", None)
    plateau: Plateau | None = getattr(estimator, "_plateau", None)
    tensors: dict[str, np.ndarray] = {}
    if state is not None and state.epoch:
        tensors = {f"state.slots.{name}": slot for name, slot in state.slots.items()}
        tensors |= {"state.updates": np.asarray(state.updates), "state.rate_factor": np.asarray(state.rate_factor)}
    described = {
        "seed": getattr(estimator, "_seed", None),
        "epoch": state.epoch if state is not None else None,
        "slots": sorted(state.slots) if tensors and state is not None else [],
        "plateau": None if plateau is None else encoded(asdict(plateau), "the rule of adaptive"),
    }
    record = {name: encoded(value, name) for name, value in record_of(vars(estimator)).items()}
    return tensors, {"record": record, "state": described}


def training_of(described: Any, tensors: Mapping[str, np.ndarray], estimator: Any) -> dict[str, Any]:
    """The attributes that `describe_training` described, of an estimator of one network, which has its weights."""
    record = stored.entry(described, "record", dict, WHAT)
    found = record_of({key: decoded(value) for key, value in record.items()})
    return found | state_of(stored.entry(described, "state", dict, WHAT), tensors, estimator)


def state_of(described: Any, tensors: Mapping[str, np.ndarray], estimator: Any) -> dict[str, Any]:
    """The private attributes _seed, _state and _plateau, those that there are. estimator: None for one of members."""
    found: dict[str, Any] = {}
    if described.get("seed") is not None:
        found["_seed"] = stored.entry(described, "seed", int, WHAT)
        if not 0 <= found["_seed"] < 2**64:
            raise DataError(f"The {WHAT} is damaged: the seed is {found['_seed']}.")
    if described.get("epoch") is not None and estimator is not None:
        found["_state"] = _training_state(described, tensors, estimator)
    if described.get("plateau") is not None:
        found["_plateau"] = _plateau(decoded(stored.entry(described, "plateau", dict, WHAT)))
    return found


def _training_state(described: Any, tensors: Mapping[str, np.ndarray], estimator: Any) -> TrainingState:
    epoch = stored.entry(described, "epoch", int, WHAT)
    if epoch < 0:
        raise DataError(f"The {WHAT} is damaged: {epoch} epochs.")
    if epoch == 0:
        return TrainingState()
    n_parameters = sum(part.size for part in (*estimator.coefs_, *estimator.intercepts_))
    dtype = estimator.coefs_[0].dtype
    slots = {
        name: _state_array(tensors, f"state.slots.{name}", (1, n_parameters), dtype)
        for name in stored.texts(described, "slots", WHAT)
    }
    updates = _state_array(tensors, "state.updates", (1,), np.int64)
    rate_factor = _state_array(tensors, "state.rate_factor", (1,), np.float64)
    if updates[0] < 0 or not 0 < rate_factor[0] <= 1:
        raise DataError(f"The {WHAT} is damaged: {updates[0]} updates at {rate_factor[0]} of the rate.")
    return TrainingState(epoch, updates, slots, rate_factor)


def _state_array(tensors: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    array = tensors.get(name)
    if array is None or array.shape != shape or array.dtype != dtype:
        found = "nothing" if array is None else f"{array.dtype} {array.shape}"
        raise DataError(f"array {name!r} should be {np.dtype(dtype).name} {shape}, found {found}.")
    return array.copy()


def _plateau(values: Any) -> Plateau:
    numbers = isinstance(values, dict) and all(
        type(value) in (int, float) or (name == "rate" and value is None) for name, value in values.items()
    )
    if not numbers or set(values) != set(Plateau.__dataclass_fields__):
        raise DataError(f"The {WHAT} is damaged: the rule of adaptive is {values!r:.80}.")
    return Plateau(**values)
