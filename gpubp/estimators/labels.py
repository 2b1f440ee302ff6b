"""Class labels and what a network is to put out for them; scikit-learn's LabelBinarizer translates.

Labels of an earlier fit are looked up directly, since the binarizer's checks take longer than an epoch of a small
table; wherever the lookup finds anything unusual, the binarizer has the word.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import type_of_target, unique_labels

from gpubp.backends.placement import to_host
from gpubp.backends.turns import in_turn
from gpubp.estimators.problem import Targets
from gpubp.search._sklearn import check_partial_fit_first_call


@in_turn()
def first_partial_fit(mlp: Any, y: Any, classes: Any) -> None:
    """Learn the classes at the first call of partial_fit; ValueError where a later one names others."""
    if check_partial_fit_first_call(mlp, to_host(classes)):
        y = to_host(y)
        multilabel = type_of_target(y).startswith("multilabel")
        mlp._label_binarizer = LabelBinarizer().fit(y if multilabel else to_host(classes))


def encode(mlp: Any, y: np.ndarray, dtype: np.dtype[Any], incremental: bool) -> Targets:
    """Learn the classes of y, or check them against those of the fit that is gone on from; and what to put out.

    One-hot rows for more than two classes; one column for two; a column for each label of a multilabel target.
    """
    if not hasattr(mlp, "classes_") or not (mlp.warm_start or incremental):
        mlp._label_binarizer = LabelBinarizer().fit(y)
        mlp.classes_ = mlp._label_binarizer.classes_
        places = _look_up(y, mlp.classes_)
    else:
        places = _look_up(y, mlp.classes_)
        if places is None or (mlp.warm_start and len(np.unique(places)) < len(mlp.classes_)):
            _check_classes(mlp, y)
    kind = mlp._label_binarizer.y_type_
    if places is None or kind not in ("binary", "multiclass"):
        encoded = mlp._label_binarizer.transform(y)
        T = (encoded.toarray() if hasattr(encoded, "toarray") else encoded).astype(dtype)
    elif kind == "multiclass":
        T = np.zeros((len(y), len(mlp.classes_)), dtype=dtype)
        T[np.arange(len(y)), places] = 1.0
    else:
        T = places.astype(dtype)[:, None]
    if kind == "multiclass":
        by_class = T.argmax(axis=1) if mlp.early_stopping else None
        return Targets(_smooth(T, mlp.label_smoothing, T.shape[1]), "cross_entropy", "softmax", by_class)
    by_class = T > 0.5 if kind == "binary" else None
    return Targets(_smooth(T, mlp.label_smoothing, 2), "binary_cross_entropy", "logistic", by_class, every_class=True)


def labels_of_outputs(mlp: Any, Y: np.ndarray) -> Any:
    """The labels that outputs Y (N, O) on the host stand for: what the binarizer makes of them, looked up directly.
    Sparse for several labels that were learned from a sparse matrix.
    """
    kind = mlp._label_binarizer.y_type_
    if kind == "multiclass":
        return mlp.classes_[Y.argmax(axis=1)]
    if kind == "binary" and len(mlp.classes_) == 2:
        return mlp.classes_[(Y[:, 0] > 0.5).astype(np.intp)]
    return mlp._label_binarizer.inverse_transform(Y.ravel() if mlp.n_outputs_ == 1 else Y)


def _smooth(T: np.ndarray, amount: float, n_classes: int) -> np.ndarray:
    """(1 − amount) · t + amount / classes (Szegedy et al. 2016, section 7); a column of its own is of two classes."""
    return T * (1.0 - amount) + amount / n_classes if amount else T


def _look_up(y: np.ndarray, classes: np.ndarray) -> np.ndarray | None:
    """(N,) the place of each label among the sorted classes; None where y is no column of these labels."""
    if not isinstance(y, np.ndarray) or y.ndim != 1 or y.dtype.kind != classes.dtype.kind:
        return None
    try:
        places = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
        return places if bool((classes[places] == y).all()) else None
    except TypeError:  # objects of kinds that cannot be compared
        return None


def _check_classes(mlp: Any, y: np.ndarray) -> None:
    """ValueError where y does not have the classes of the fit that is gone on from."""
    found = unique_labels(y)
    if mlp.warm_start:
        if set(found) != set(mlp.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {mlp.classes_}, `y` has {found}"
            )
    elif len(np.setdiff1d(found, mlp.classes_)):
        raise ValueError(
            f"`y` has classes not in `self.classes_`. `self.classes_` has {mlp.classes_}. 'y' has {found}."
        )


def weights_by_class(mlp: Any, y: np.ndarray, weights: np.ndarray | None, incremental: bool) -> np.ndarray | None:
    """(N,) the rows' weights times their classes'; None where all count the same."""
    if mlp.class_weight is None:
        return weights
    if incremental and isinstance(mlp.class_weight, str):
        raise ValueError(
            "partial_fit does not support class_weight='balanced', since it sees one piece of the data at a time: give "
            "the weights as a dict, for example from sklearn.utils.class_weight.compute_class_weight."
        )
    if weights is None or not isinstance(mlp.class_weight, str):
        by_class = compute_sample_weight(mlp.class_weight, y)
        return by_class if weights is None else by_class * weights
    columns = np.asarray(y.toarray() if hasattr(y, "toarray") else y).reshape(len(weights), -1)
    return np.prod([_balanced(columns[:, k], weights) for k in range(columns.shape[1])], axis=0) * weights


def _balanced(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) each row's class weight, so that the classes count alike: all weight / (classes · weight of the class).

    That is as if rows were there as often as they weigh; scikit-learn's `compute_sample_weight` looks at no weights.

    A class whose rows all weigh 0 is none, as if its rows were not there.
    """
    _, places = np.unique(labels, return_inverse=True)
    total = np.bincount(places, weights)
    counted = total > 0
    by_class = np.where(counted, total.sum() / (np.count_nonzero(counted) * np.where(counted, total, 1.0)), 0.0)
    found: np.ndarray = by_class[places]
    return found


def plain_labels(y: Any) -> bool:
    """Whether y is a column of whole numbers, of which no check of scikit-learn's has anything to say."""
    return isinstance(y, np.ndarray) and y.ndim == 1 and len(y) > 0 and y.dtype.kind in "biu"
