"""Turns all of a fitted estimator but its weights into JSON values, and back; what is read back is checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer

from gpubp.errors import DataError
from gpubp.estimators.plateau import Plateau
from gpubp.networks.state import TrainingState
from gpubp.storage.array_files import array
from gpubp.storage.schema import Given, shown

NUMBER_TYPES = (
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(f"float{bits}" for bits in (16, 32, 64)),
)
TEXT_TYPES = ("str", "object")  # of arrays of texts
RECORD: Mapping[str, Callable[[Given], Any]] = {  # attributes, and what they may be
    "n_iter_": Given.whole,
    "t_": Given.whole,
    "loss_": lambda given: given.real(),
    "best_loss_": lambda given: given.maybe(Given.real),
    "loss_curve_": lambda given: [*given.each(Given.real)],
    "validation_scores_": lambda given: given.maybe(lambda scores: [*scores.each(Given.real)]),
    "best_validation_score_": lambda given: given.maybe(Given.real),
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
            keys = [decoded(key) for key, _ in pairs]
            if all(isinstance(key, (str, int, float, type(None))) for key in keys):
                return dict(zip(keys, (decoded(item) for _, item in pairs), strict=True))
    raise DataError(f"{shown(value)} stands for nothing.")


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2


def record_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """How the fits went, of an estimator's attributes: those of RECORD, as Python's own numbers, checked."""
    found: dict[str, Any] = {}
    for name, check in RECORD.items():
        if name in attributes:
            value = attributes[name]
            found[name] = check(Given(value.item() if isinstance(value, np.generic) else value, name))
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


def labels_of(classifier: Any, given: Given) -> None:
    """Give a classifier, whose network is there, its classes_ and LabelBinarizer."""
    kind = given["dtype"].choice((*NUMBER_TYPES, *TEXT_TYPES))
    values = [each.value for each in given["values"].items(least=1)]
    target = given["target"].choice(("binary", "multiclass", "multilabel-indicator"))
    accepted = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float)}.get(np.dtype(kind).kind, (str,))
    if not all(type(value) in accepted for value in values):
        raise given["values"].wrong(f"a list of {kind}")
    try:
        with np.errstate(over="ignore"):
            classes = np.array(values, dtype=kind)
    except OverflowError as error:
        raise given["values"].wrong(f"a list of {kind}") from error
    outputs = classifier.n_outputs_
    fits = {
        "binary": classifier.out_activation_ == "logistic" and outputs == 1 and len(classes) in (1, 2),
        "multiclass": classifier.out_activation_ == "softmax" and outputs == len(classes) > 1,
        "multilabel-indicator": classifier.out_activation_ == "logistic"
        and np.dtype(kind).kind in "iu"
        and values == list(range(outputs)),
    }[target]
    if not fits or len(np.unique(classes)) != len(values):
        raise DataError(f"there are {len(values)} classes of {target} labels, and {outputs} outputs.")
    binarizer = LabelBinarizer()
    binarizer.classes_, binarizer.y_type_ = classes, target
    binarizer.sparse_input_ = given["sparse"].flag()
    if binarizer.sparse_input_ and target != "multilabel-indicator":
        raise given["sparse"].wrong(f"false for {target} labels")
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


def training_of(given: Given, tensors: Mapping[str, np.ndarray], estimator: Any) -> dict[str, Any]:
    """The attributes that `describe_training` described, of an estimator of one network, which has its weights."""
    found = record_of({name: decoded(entry.value) for name, entry in given["record"].entries().items()})
    return found | state_of(given["state"], tensors, estimator)


def state_of(given: Given, tensors: Mapping[str, np.ndarray], estimator: Any) -> dict[str, Any]:
    """The private attributes _seed, _state and _plateau, those that there are. estimator: None for one of members."""
    found: dict[str, Any] = {}
    if not given.get("seed").is_null:
        found["_seed"] = given["seed"].whole()
    if not given.get("epoch").is_null and estimator is not None:
        found["_state"] = _training_state(given, tensors, estimator)
    if not given.get("plateau").is_null:
        found["_plateau"] = _plateau(Given(decoded(given["plateau"].value), given["plateau"].place))
    return found


def _training_state(given: Given, tensors: Mapping[str, np.ndarray], estimator: Any) -> TrainingState:
    epoch = given["epoch"].whole(0, 2**62)
    if epoch == 0:
        return TrainingState()
    n_parameters = sum(part.size for part in (*estimator.coefs_, *estimator.intercepts_))
    dtype = estimator.coefs_[0].dtype
    slots = {
        name: array(tensors, f"state.slots.{name}", (1, n_parameters), dtype, finite=False).copy()
        for name in given["slots"].distinct_texts()
    }
    updates = array(tensors, "state.updates", (1,), np.int64, least=0, most=2**62).copy()
    rate_factor = array(tensors, "state.rate_factor", (1,), np.float64, above=0.0, most=1.0).copy()
    return TrainingState(epoch, updates, slots, rate_factor)


def _plateau(given: Given) -> Plateau:
    given.only(*Plateau.__dataclass_fields__)
    return Plateau(
        tolerance=given["tolerance"].real(),
        patience=given["patience"].real(),
        rate=given["rate"].maybe(Given.real),
        best=given["best"].real(),
        waited=given["waited"].whole(),
    )
