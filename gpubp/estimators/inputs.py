"""The reception: X, y and sample weights in whatever form they come, checked as scikit-learn checks them.

NumPy arrays, pandas and polars frames, SciPy's sparse matrices and lists go through scikit-learn's own validation;
arrays on a CUDA device stay there and get the same checks, in the same words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length, column_or_1d, validate_data

from gpubp.backends import Array
from gpubp.backends.placement import backend_of, is_on_device, to_device, to_host
from gpubp.backends.turns import in_turn
from gpubp.fitting.array_data import require_memory
from gpubp.preprocessing.missing import refuse_missing
from gpubp.search._sklearn import check_feature_names, check_n_features, check_sample_weight

DTYPES = (np.float64, np.float32)  # others become the first
FEW_NUMBERS = 1 << 14  # of a table that is looked at here first: scikit-learn's checks take longer than its training


@dataclass(frozen=True)
class Inputs:
    """X (N, I): a NumPy array, a SciPy sparse matrix (CSR or CSC), or a device array; float32 or float64."""

    X: Any
    on_device: bool

    @property
    def is_sparse(self) -> bool:
        return not self.on_device and not isinstance(self.X, np.ndarray)

    @property
    def device_array(self) -> Array | None:
        return self.X if self.on_device else None

    def dense(self, dtype: Any) -> Array:
        """All rows as a dense table of this dtype, where they are. DataError where they would not fit the memory."""
        if self.is_sparse:
            require_memory(self.X.shape, dtype)
        table = self.X.toarray() if self.is_sparse else self.X
        with np.errstate(over="ignore"):  # what is beyond float32 is reported by the training
            return table.astype(dtype, copy=False)


def receive_training(mlp: Any, X: Any, y: Any, *, reset: bool, numeric: bool) -> tuple[Inputs, np.ndarray]:
    """Inputs and targets (N,) or (N, O), on the host. reset: these set the names and number of the features."""
    y = to_host(y)
    if not reset and _is_plain(mlp, X) and _is_plain_target(y, len(X)):
        return Inputs(X, on_device=False), y
    if isinstance(y, np.ndarray):
        if y.dtype.kind == "O":  # of which scikit-learn's checks see NaN alone
            refuse_missing(y)
    elif y is not None and not hasattr(y, "toarray"):
        _refuse_missing_objects(y)
    if is_on_device(X):
        if y is None:
            raise ValueError(f"This {type(mlp).__name__} requires y to be passed, but the target y is None.")
        inputs = receive(mlp, X, reset=reset)
        kind: Any = "numeric" if numeric else None
        y = check_array(y, ensure_2d=False, dtype=kind, input_name="y", estimator=mlp)
        check_consistent_length(np.empty((len(inputs.X), 0)), y)
    else:
        X, y = validate_data(
            mlp,
            to_host(X),
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=numeric,
            dtype=DTYPES,
            reset=reset,
        )
        inputs = Inputs(X, on_device=False)
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    return inputs, y


def _refuse_missing_objects(y: Any) -> None:
    """Of a list, a series or a frame; what is no array at all is scikit-learn's to refuse."""
    try:
        values = np.asarray(y)
    except (TypeError, ValueError):
        return
    if values.dtype.kind == "O":
        refuse_missing(values)


def receive(mlp: Any, X: Any, *, reset: bool = False) -> Inputs:
    """Inputs to predict on: as many features as in the training, all finite."""
    if not reset and _is_plain(mlp, X):
        return Inputs(X, on_device=False)
    if not is_on_device(X):
        with in_turn():
            checked = validate_data(mlp, to_host(X), accept_sparse=["csr", "csc"], dtype=DTYPES, reset=reset)
        return Inputs(checked, on_device=False)
    backend = backend_of(X)
    on_device = to_device(backend, X)
    if on_device.ndim != 2 or on_device.shape[0] == 0:
        raise ValueError(
            f"X has the shape {tuple(on_device.shape)}: expected 2D array, (rows, features) with a minimum of 1 row. "
            "Reshape your data with X.reshape(-1, 1) if it has a single feature, X.reshape(1, -1) if a single row."
        )
    check_feature_names(mlp, on_device, reset=reset)
    check_n_features(mlp, on_device, reset=reset)
    if on_device.dtype not in DTYPES:
        on_device = on_device.astype(DTYPES[0])
    if not bool(backend.xp.isfinite(on_device).all()):
        what = "NaN" if bool(backend.xp.isnan(on_device).any()) else "infinity or a value too large"
        raise ValueError(f"Input X contains {what} for {on_device.dtype}. {type(mlp).__name__} needs finite numbers.")
    return Inputs(on_device, on_device=True)


def _is_plain(mlp: Any, X: Any) -> bool:
    """Whether X is a small array of which no check of scikit-learn's has anything to say, and that stays as it is."""
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and 0 < X.size <= FEW_NUMBERS
        and X.dtype in DTYPES
        and X.shape[1] == vars(mlp).get("n_features_in_")
        and "feature_names_in_" not in vars(mlp)  # it warns where they are missing
        and bool(np.isfinite(X).all())
    )


def _is_plain_target(y: Any, n_rows: int) -> bool:
    """Whether y is a column of n_rows numbers that stay as they are."""
    plain = type(y) is np.ndarray and y.shape == (n_rows,) and y.dtype.kind in "biuf" and y.dtype.isnative
    return plain and bool(np.isfinite(y).all())


def receive_weights(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """(N,) float64, or None. ValueError for what are no weights, negative ones too."""
    if sample_weight is None:
        return None
    rows = np.empty((n_rows, 0))
    weights = np.asarray(check_sample_weight(to_host(sample_weight), rows, dtype=np.float64))
    if (weights < 0).any():
        place = int(np.argmin(weights))
        raise ValueError(f"sample_weight[{place}] is {weights[place]:g}: weights must not be negative.")
    return weights
