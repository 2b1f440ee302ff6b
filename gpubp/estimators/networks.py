"""coefs_ and intercepts_, the public truth about a fitted network, as gpubp's flat parameters; and back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from gpubp.errors import DivergenceError
from gpubp.operations.architecture import Architecture
from gpubp.operations.initializers import glorot_logistic, glorot_with_biases
from gpubp.operations.network import LayerViews, initial_parameters

OUTPUT_ACTIVATIONS = {"identity": "identity", "logistic": "logistic", "softmax": "softmax", "exp": "exponential"}
"""scikit-learn's out_activation_, and gpubp's name for it."""

OF_ONE_NETWORK = (
    *("coefs_", "intercepts_", "t_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"),
    *("_state", "_plateau"),
)
"""What an estimator of several networks does not have, since each of its estimators_ has one."""


class NonFiniteWeightsError(DivergenceError, ValueError):
    """The solver left the finite numbers; scikit-learn's users expect a ValueError."""


def is_ensemble(mlp: Any) -> bool:
    """Whether it was fitted with several networks."""
    return "estimators_" in vars(mlp)


def members_of(mlp: Any) -> list[Any]:
    """The fitted estimators of one network: its members, or itself."""
    return list(mlp.estimators_) if is_ensemble(mlp) else [mlp]


def architecture_of(mlp: Any) -> Architecture:
    """The network that the arrays of coefs_ describe; members are all alike."""
    mlp = members_of(mlp)[0]
    sizes = (np.shape(mlp.coefs_[0])[0], *(np.shape(W)[1] for W in mlp.coefs_))
    return architecture(sizes, mlp.activation, OUTPUT_ACTIVATIONS[mlp.out_activation_])


@lru_cache(maxsize=256)
def architecture(sizes: tuple[int, ...], activation: str, output_activation: str) -> Architecture:
    """Made once for each: services ask a network for a row at a time."""
    return Architecture(sizes[0], sizes[1:-1], sizes[-1], activation, output_activation)


def initial(architecture: Architecture, seed: int, dtype: np.dtype[Any], activation: str) -> np.ndarray:
    """(K,): drawn by scikit-learn's rule from one seed, on the host."""
    rule = glorot_logistic if activation == "logistic" else glorot_with_biases
    return initial_parameters(architecture, np.array([seed], dtype=np.uint64), rule)[0].astype(dtype)


def packed(mlp: Any, dtype: Any) -> np.ndarray:
    """(M, K): the weights of its members, or (1, K)."""
    return np.stack([pack(one.coefs_, one.intercepts_, dtype) for one in members_of(mlp)])


def pack(coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray], dtype: Any = None) -> np.ndarray:
    """(K,): layer after layer, W and then b; a copy."""
    pieces = [np.ravel(part) for W, b in zip(coefs, intercepts, strict=True) for part in (W, b)]
    return np.concatenate(pieces, dtype=dtype) if dtype is not None else np.concatenate(pieces)


def unpack(architecture: Architecture, params: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """coefs_ [(I, O)] and intercepts_ [(O,)] from params (K,); copies."""
    weights, biases = views(architecture, params)
    return [W.copy() for W in weights], [b.copy() for b in biases]


def views(architecture: Architecture, params: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """coefs_ [(I, O)] and intercepts_ [(O,)] that lie in params (K,)."""
    layers = architecture.views(params[None, :])
    return [its["weights"][0] for its in layers], [its["biases"][0] for its in layers]


def views_of(mlp: Any, dtype: Any) -> LayerViews:
    """coefs_ and intercepts_ of one network as `Architecture.views`: copies only of what is not C-contiguous."""
    return [
        {
            "weights": np.asarray(W, dtype=dtype, order="C")[None],
            "biases": np.asarray(b, dtype=dtype).reshape(1, -1),
        }
        for W, b in zip(mlp.coefs_, mlp.intercepts_, strict=True)
    ]


def require_finite(params: np.ndarray) -> None:
    if not np.isfinite(params).all():
        raise NonFiniteWeightsError(
            "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
            "preprocessed: scale it, for example with StandardScaler, or lower learning_rate_init."
        )
