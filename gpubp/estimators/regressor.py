"""MLPRegressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if

from gpubp.backends import Array
from gpubp.backends.placement import to_host
from gpubp.backends.turns import in_turn
from gpubp.estimators.base import MLP
from gpubp.estimators.kinds import kind
from gpubp.estimators.parameters import CONSTRAINTS
from gpubp.estimators.prediction import outputs
from gpubp.estimators.problem import Targets
from gpubp.operations.losses import LOSSES
from gpubp.search._sklearn import StrOptions, fit_context
from gpubp.training.history import Callback


@kind
class MLPRegressor(RegressorMixin, MLP):
    """Multilayer perceptron for regression, trained by hand-written backpropagation on CPU or CUDA GPU.

    It stands where scikit-learn's MLPRegressor stands: the parameters down to max_fun, the attributes, warnings and
    errors are the same in name and meaning, and so is the quality; the random numbers are not, so weights differ.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "huber"}, default="squared_error"
        Half the squared error, half the Poisson deviance of exp(output), which needs y of 0 or more, or Huber's loss.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter,
    shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction,
    beta_1, beta_2, epsilon, n_iter_no_change, max_fun, backend, engine, dtype, dropout, weight_decay, clip_norm,
    callbacks, progress, n_members, bootstrap
        As in MLPClassifier; early_stopping goes by R² (and ends too early as well), and members answer by the mean of
        their values.
    loss_options : dict or None, default=None
        Options of the loss, by the names of `gpubp.Settings`.

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        Each layer's weights (fan-in, fan-out) and biases, on the host. Predictions are made from them as they are.
    loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, n_iter_, t_, n_features_in_,
    feature_names_in_, n_layers_, n_outputs_, out_activation_, history_, estimators_, left_out_
        As in MLPClassifier. Of several outputs, losses are the mean of the squared error (with alpha, its small term
        is divided by their number as well, unlike scikit-learn's).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from gpubp import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> regressor = make_pipeline(StandardScaler(), MLPRegressor(solver="lbfgs", alpha=1.0, random_state=0))
    >>> regressor.fit(X, y).score(X, y) > 0.5
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CONSTRAINTS,
        "loss": [StrOptions({name for name, loss in LOSSES.items() if "regression" in loss.tasks})],
        "loss_options": [dict, None],
    }
    _numeric_targets: ClassVar[bool] = True

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        backend: str = "auto",
        engine: str = "auto",
        dtype: str | None = None,
        dropout: float | Sequence[float] = 0.0,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = False,
        n_members: int = 1,
        bootstrap: bool = False,
        loss_options: dict[str, float] | None = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.backend = backend
        self.engine = engine
        self.dtype = dtype
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.callbacks = callbacks
        self.progress = progress
        self.n_members = n_members
        self.bootstrap = bootstrap
        self.loss_options = loss_options

    @available_if(MLP._has_partial_fit)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """One epoch on X and y (see fit), from where the last call left off.

        Returns
        -------
        self : MLPRegressor
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Array:
        """The predictions (n_samples,), or (n_samples, n_outputs) for several outputs, where X is."""
        self._require_fit()
        Y, _ = outputs(self, X)
        return Y.ravel() if Y.shape[1] == 1 else Y

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² on X and y, the mean over the outputs."""
        truth, found = (_wide(to_host(values)) for values in (y, self.predict(X)))
        with in_turn():
            return float(r2_score(truth, found, sample_weight=to_host(sample_weight)))

    def _targets(
        self, y: np.ndarray, weights: np.ndarray | None, dtype: np.dtype[Any], fresh: bool, incremental: bool
    ) -> tuple[Targets, np.ndarray | None]:
        T = y.reshape(len(y), -1)
        loss = LOSSES[self.loss]
        if loss.is_for_counts and (T < 0).any():
            raise ValueError(f"y has negative values ({T.min():g}): loss={self.loss!r} is for y of 0 or more.")
        with np.errstate(over="ignore"):  # what is beyond float32 is reported by the training
            T = T.astype(dtype)
        options = {name: float(value) for name, value in (self.loss_options or {}).items()}
        return Targets(T, self.loss, "identity" if loss.link is None else "exp", loss_options=options), weights

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss in LOSSES and LOSSES[self.loss].is_for_counts
        return tags


def _wide(values: Any) -> Any:
    """float32 as float64: in float32, the mean of targets far from 0 would be off by more than their spread."""
    return values.astype(np.float64) if isinstance(values, np.ndarray) and values.dtype == np.float32 else values
