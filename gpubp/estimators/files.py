"""A fitted estimator in one safe file: arrays and JSON (safetensors), no pickle; nothing in it is ever executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from gpubp.errors import DataError, ModelFileError
from gpubp.estimators.described import decoded, describe_labels, describe_training, encoded, labels_of, training_of
from gpubp.estimators.kinds import KINDS
from gpubp.estimators.learners import new_member, share
from gpubp.estimators.networks import OF_ONE_NETWORK, is_ensemble, members_of
from gpubp.storage.array_files import array
from gpubp.storage.artifact import Artifact
from gpubp.storage.json_values import parse
from gpubp.storage.schema import Given

FILE = Artifact(
    format="gpubp estimator",
    what="an estimator",
    remedy="Copy it again, or save the estimator again.",
    version=1,
    unread="Use the gpubp that wrote it, or fit again.",
    others={
        "gpubp model": "a model on tables, written by `gpubp train` or gpubp.Model.save: load it with "
        "gpubp.Model.load. Estimator files are written by MLPClassifier.save and MLPRegressor.save."
    },
)
LATER = {
    *("monitor", "ties", "zero_last_layer", "average", "even_batches"),
    *("n_members", "bootstrap", "loss_options", "front", "layer_options"),
    *("dropout_schedule", "decay_schedule", "smoothing_schedule"),
}
"""Parameters that older files may lack: they have their defaults."""


def save(estimator: Any, path: str | Path) -> None:
    """Write a fitted MLPClassifier or MLPRegressor: parameters, weights, classes, record, and what partial_fit needs
    to go on to the same bits; of each member, where there are several. The file is written whole, or not at all. (Not
    in it: history_.)

    Raises ModelFileError for what such a file cannot hold: callbacks, a RandomState, classes that are neither numbers,
    booleans nor texts, weights that are not finite; scikit-learn's NotFittedError before fit.
    """
    check_is_fitted(estimator)
    try:
        tensors, described = _taken_apart(estimator)
        _assemble(tensors, Given(parse(json.dumps(described, allow_nan=False))))  # what is written can be read
        FILE.write(path, tensors, described)
    except DataError as error:
        raise ModelFileError(f"Cannot save this {type(estimator).__name__}. {error}") from error


def load(path: str | Path, expected: type[Any] = object) -> Any:
    """The estimator of a file that `save` wrote. expected: the class that it has to be of.

    Raises ModelFileError, with the reason, for anything that is not a whole estimator of that kind and this version.
    """
    tensors, described = FILE.read(Path(path))
    given = Given(described)
    try:
        name = given["estimator"].choice((*KINDS,))
    except DataError as error:
        raise ModelFileError(f"{path} holds an unknown estimator: {error}") from error
    kind = KINDS[name]
    if not issubclass(kind, expected) and not issubclass(expected, kind):
        raise ModelFileError(f"{path} holds a {name}, not a {expected.__name__}: load it with {name}.load.")
    with FILE.assembling(path, ValueError, TypeError, OverflowError):  # which scikit-learn says of parameters
        return _assemble(tensors, given, expected if issubclass(expected, kind) else kind)


def _taken_apart(estimator: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from gpubp._version import __version__

    names = getattr(estimator, "feature_names_in_", None)
    tensors, training = describe_training(estimator)
    described = {
        "gpubp": __version__,
        "estimator": next(name for name, kind in reversed(KINDS.items()) if isinstance(estimator, kind)),
        "parameters": {
            name: encoded(value, f"its parameter {name}") for name, value in estimator.get_params(deep=False).items()
        },
        "layers": len(members_of(estimator)[0].coefs_),
        "out_activation": estimator.out_activation_,
        "features": None if names is None else [str(name) for name in names],
        "labels": describe_labels(estimator) if isinstance(estimator, ClassifierMixin) else None,
        **training,
    }
    if not is_ensemble(estimator):
        return tensors | _layers(estimator), described
    described |= {"members": [], "left_out": estimator.left_out_}
    for m, member in enumerate(estimator.estimators_):
        of_member, training = describe_training(member)
        described["members"].append({"random_state": member.random_state, **training})
        tensors |= {f"members.{m}.{name}": array for name, array in (of_member | _layers(member)).items()}
    return tensors, described


def _layers(network: Any) -> dict[str, np.ndarray]:
    weights = {f"layers.{i}.weights": W for i, W in enumerate(network.coefs_)}
    return weights | {f"layers.{i}.biases": b for i, b in enumerate(network.intercepts_)}


def _assemble(tensors: dict[str, np.ndarray], given: Given, kind: type[Any] | None = None) -> Any:
    """DataError, or another ValueError of whoever looks at the values, for anything that does not fit together."""
    name = given["estimator"].choice((*KINDS,))
    estimator = (kind or KINDS[name])(**_parameters(given["parameters"], KINDS[name]))
    estimator._validate_params()
    if given.get("members").is_null:
        _add_network(estimator, tensors, given)
    else:
        _add_members(estimator, tensors, given)
    outputs = ("logistic", "softmax") if isinstance(estimator, ClassifierMixin) else ("identity", "exp")
    estimator.out_activation_ = given["out_activation"].choice(outputs)
    if isinstance(estimator, ClassifierMixin):
        labels_of(estimator, given["labels"])
    if not given.get("features").is_null:
        names = given["features"].each(Given.text)
        if len(names) != estimator.n_features_in_:
            raise given["features"].wrong(f"the names of {estimator.n_features_in_} inputs")
        estimator.feature_names_in_ = np.array(names, dtype=object)
    if not is_ensemble(estimator):
        estimator.__dict__.update(training_of(given, tensors, estimator))
        return estimator
    of_all = training_of(given, {}, None)
    estimator.__dict__.update({key: value for key, value in of_all.items() if key not in OF_ONE_NETWORK})
    share(estimator, estimator.estimators_)
    return estimator


def _add_members(estimator: Any, tensors: dict[str, np.ndarray], given: Given) -> None:
    """estimators_, all of one architecture and dtype, and left_out_."""
    listed = given["members"].items(least=1)
    most = len(listed) + len(given["left_out"].items()) - 1
    left_out = [*given["left_out"].each(lambda place: place.whole(0, most))]
    if len({*left_out}) < len(left_out):
        raise given["left_out"].wrong("a list of different places")
    members = []
    for m, of_member in enumerate(listed):
        prefix = f"members.{m}."
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        member = new_member(estimator, of_member["random_state"].whole())
        member._validate_params()
        try:
            _add_network(member, own, given)
        except DataError as error:
            raise DataError(f"member {m}: {error}") from error
        vars(member).update(training_of(of_member, own, member))
        members.append(member)
    if len({tuple((W.shape, W.dtype) for W in member.coefs_) for member in members}) > 1:
        raise DataError("the members are not all of one architecture.")
    estimator.estimators_, estimator.left_out_ = members, left_out
    for name in ("n_features_in_", "n_outputs_", "n_layers_"):
        setattr(estimator, name, getattr(members[0], name))


def _parameters(given: Given, kind: type[Any]) -> dict[str, Any]:
    found = {name: decoded(entry.value) for name, entry in given.entries().items()}
    if odd := sorted((set(found) ^ set(kind._get_param_names())) - (LATER - set(found))):
        raise DataError(f"its {kind.__name__} and this gpubp's differ in their parameters: {', '.join(odd)}.")
    return found


def _add_network(estimator: Any, tensors: dict[str, np.ndarray], given: Given) -> None:
    """coefs_ and intercepts_, each layer's inputs as many as the outputs before it, finite, all of one dtype."""
    n_layers = given["layers"].whole(1, max(1, len(tensors)))
    coefs = [_part(tensors, f"layers.{i}.weights", (None, None)) for i in range(n_layers)]
    intercepts = [_part(tensors, f"layers.{i}.biases", (None,)) for i in range(n_layers)]
    fan_in = coefs[0].shape[0]
    for i, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
        if W.shape[0] != fan_in or b.shape != W.shape[1:] or W.size == 0:
            raise DataError(f"layer {i} has weights {W.shape} and biases {b.shape} for {fan_in} inputs.")
        fan_in = W.shape[1]
    if len({part.dtype for part in (*coefs, *intercepts)}) > 1:
        raise DataError("the layers are partly float32, partly float64.")
    estimator.coefs_, estimator.intercepts_ = coefs, intercepts
    estimator.n_features_in_, estimator.n_outputs_ = coefs[0].shape[0], fan_in
    estimator.n_layers_ = n_layers + 1


def _part(tensors: dict[str, np.ndarray], name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    return array(tensors, name, shape, np.float32, np.float64).copy()
