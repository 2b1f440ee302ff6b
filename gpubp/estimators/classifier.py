"""MLPClassifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if

from gpubp.backends import Array
from gpubp.backends.placement import backend_of, to_host
from gpubp.backends.turns import in_turn
from gpubp.estimators.base import MLP
from gpubp.estimators.kinds import kind
from gpubp.estimators.labels import encode, first_partial_fit, labels_of_outputs, plain_labels, weights_by_class
from gpubp.estimators.parameters import CONSTRAINTS
from gpubp.estimators.prediction import outputs
from gpubp.estimators.problem import Targets
from gpubp.search._sklearn import Interval, StrOptions, fit_context
from gpubp.training.history import Callback


@kind
class MLPClassifier(ClassifierMixin, MLP):
    """Multilayer perceptron for classification, trained by hand-written backpropagation on CPU or CUDA GPU.

    It stands where scikit-learn's MLPClassifier stands: the parameters down to max_fun, the attributes, warnings and
    errors are the same in name and meaning, and so is the quality; the random numbers are not, so weights differ. It
    minimises the log loss, with one logistic output for two classes, softmax for more, and one logistic output for
    each label of a multilabel target.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Neurons of each hidden layer; () is a linear model.
    activation : str, default="relu"
        Of the hidden layers: identity, logistic, tanh, relu, and beyond scikit-learn leaky_relu, elu, selu, silu,
        gelu, gelu_tanh, mish, softplus.
    solver : {"adam", "adamw", "sgd", "lbfgs"}, default="adam"
        lbfgs looks at the whole table at every step, and suits small ones. adamw decays weights by weight_decay
        besides what alpha does: set alpha=0 for the decay alone.
    alpha : float, default=0.0001
        Strength of the L2 term, ½ · alpha · Σ W² / rows of the batch.
    batch_size : int or "auto", default="auto"
        Rows of an update; "auto" is 200, or all rows if there are fewer.
    learning_rate : str, default="constant"
        Also "invscaling", "adaptive", "cosine", "one_cycle", "flat_cos" or "coslog4". invscaling (by power_t) and
        adaptive (a fifth of the rate where training would stop) are for sgd; cosine (down to 0 over max_iter epochs),
        one_cycle (up to learning_rate_init, then down), flat_cos (constant, then down) and coslog4 (up and down four
        times, ever longer) for every stochastic one.
    learning_rate_init : float, default=0.001
    power_t : float, default=0.5
    max_iter : int, default=200
        Epochs, or iterations of lbfgs.
    shuffle : bool, default=True
        Whether each epoch takes the rows in a new order.
    random_state : int, RandomState or None, default=None
        For weights, shuffles, dropout and the early-stopping split. The same number gives the same network.
    tol, n_iter_no_change : float, default=1e-4; int or inf, default=10
        Training stops after more than n_iter_no_change epochs without the loss (or with early_stopping the validation
        score) getting better by at least tol; for lbfgs tol is the gradient's.
    verbose : bool or int, default=False
        Print each epoch's loss.
    warm_start : bool, default=False
        Whether fit goes on from the last fit's weights.
    momentum, nesterovs_momentum : float, default=0.9; bool, default=True
        For sgd.
    early_stopping, validation_fraction : bool, default=False; float, default=0.1
        Stop by the accuracy on this share of the rows, which training does not see; the best epoch's weights are kept.
        This is scikit-learn's rule, which on small tables ends far too early and predicts worse than none: leave it
        off, or give n_members=10 (docs/guides/estimators.md has numbers).
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        For adam and adamw.
    max_fun : int, default=15000
        Evaluations of the loss, for lbfgs.
    backend : {"auto", "numpy", "cupy"}, default="auto"
        Where to compute. "auto": where X is, if that is a CUDA device; else NumPy for little work, a CUDA device for
        more if there is one. The environment variable GPUBP_BACKEND changes what "auto" takes for X on the host.
    engine : {"auto", "lane", "block", "array"}, default="auto"
        The kernel family that trains (see `gpubp explain`).
    dtype : {"float32", "float64"} or None, default=None
        Of parameters and predictions. None: float32 for X in float32, else float64, as scikit-learn has it. lbfgs
        computes in float64 and rounds its weights; where y is too far from 0 for float32, None leaves them in float64.
    dropout : float or sequence of float, default=0.0
        Share of each hidden layer's values that training leaves out, one for all layers or one for each.
    weight_decay : float, default=0.01
        For adamw.
    clip_norm : float or None, default=None
        Longest gradient.
    label_smoothing : float, default=0.0
        Share of each target that is spread over all classes.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, multiplied into sample_weight. "balanced": each class counts the same in all, its
        rows being counted by sample_weight, as if they were there as often as they weigh.
    callbacks : sequence of callable, default=()
        Called after each epoch with gpubp's EpochReport; returning True ends the training.
    progress : bool, default=False
        Draw a progress bar on standard error, where that is a terminal.
    n_members : int, default=1
        Networks that are trained side by side and answer together, by the mean of their probabilities. Each has a
        random_state of its own, which depends on this one and its place alone, so that it is the same network whatever
        n_members is; with early_stopping, it stops by rows of its own.
    bootstrap : bool, default=False
        Whether each network trains on rows drawn with replacement, as many as there are, instead of on all: bagging.
        Rows for early stopping are split off before. Rows of sample_weight 0 are not drawn; the others are drawn alike,
        and their weights count in the loss.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coefs_, intercepts_ : list of ndarray
        Each layer's weights (fan-in, fan-out) and biases, on the host. Predictions are made from them as they are.
    loss_, best_loss_ : float
        Of the last epoch; the least (None with early_stopping).
    loss_curve_ : list of float
        Of each epoch, L2 term included.
    validation_scores_, best_validation_score_ : list of float, float
        With early_stopping, else None.
    n_iter_, t_ : int
        Epochs of the last fit; rows seen in training, over all fits that went on from each other.
    n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_
        As in scikit-learn.
    history_ : gpubp.History
        What gpubp tells of the last stochastic fit: metrics, seconds, backend, engine.
    estimators_ : list of MLPClassifier
        With n_members > 1: the members, each a fitted estimator of one network. What is of one network (coefs_,
        intercepts_, t_, loss_curve_, best_loss_, validation_scores_, best_validation_score_) is theirs alone; n_iter_
        is their largest, loss_ their mean, and history_ tells of all, those left out too, in their order.
    left_out_ : list of int
        With n_members > 1: the places of members that diverged.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gpubp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = MLPClassifier(solver="lbfgs", hidden_layer_sizes=(16,), random_state=0).fit(X, y)
    >>> classifier.score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CONSTRAINTS,
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }
    _numeric_targets: ClassVar[bool] = False

    def __init__(
        self,
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
        label_smoothing: float = 0.0,
        class_weight: Mapping[Any, float] | Sequence[Mapping[Any, float]] | str | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = False,
        n_members: int = 1,
        bootstrap: bool = False,
    ) -> None:
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
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.callbacks = callbacks
        self.progress = progress
        self.n_members = n_members
        self.bootstrap = bootstrap

    @available_if(MLP._has_partial_fit)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> MLPClassifier:
        """One epoch on X and y, from where the last call left off.

        Parameters
        ----------
        X, y, sample_weight
            As for fit.
        classes : array-like of shape (n_classes,), default=None
            All classes that there will be; the first call needs them.

        Returns
        -------
        self : MLPClassifier
        """
        first_partial_fit(self, y, classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Any:
        """The most probable class of each row, (n_samples,), or the labels (n_samples, n_outputs) of a multilabel
        target: NumPy, except for numeric classes and X on a device, which are answered there.
        """
        Y, on_device = self._outputs(X)
        if not on_device:
            return labels_of_outputs(self, Y)
        return self._labels_of_device(Y)

    def predict_proba(self, X: Any) -> Array:
        """The classes' probabilities (n_samples, n_classes), in the order of classes_, where X is."""
        Y, on_device = self._outputs(X)
        if self.n_outputs_ != 1:
            return Y
        xp = backend_of(Y).xp if on_device else np
        return xp.concatenate([1 - Y, Y], axis=1)

    def predict_log_proba(self, X: Any) -> Array:
        """log(predict_proba(X)), where X is; −inf for a probability that is 0."""
        probabilities = self.predict_proba(X)
        if isinstance(probabilities, np.ndarray):
            with np.errstate(divide="ignore"):
                return np.log(probabilities, out=probabilities)
        return backend_of(probabilities).xp.log(probabilities)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy on X and y; of a multilabel target, the share of the rows with every label right."""
        truth, found = to_host(y), to_host(self.predict(X))
        if sample_weight is None and plain_labels(truth) and plain_labels(found) and truth.shape == found.shape:
            return float((truth == found).mean())
        with in_turn():
            return float(accuracy_score(truth, found, sample_weight=to_host(sample_weight)))

    def _outputs(self, X: Any) -> tuple[Array, bool]:
        self._require_fit()
        return outputs(self, X)

    def _labels_of_device(self, Y: Array) -> Any:
        backend = backend_of(Y)
        if self.out_activation_ == "softmax":
            place = Y.argmax(axis=1)
        elif self.n_outputs_ > 1:
            return (Y > 0.5).astype(np.int64)
        else:
            place = (Y[:, 0] > 0.5).astype(np.int64)
        if self.classes_.dtype.kind not in "biuf":
            return self.classes_[backend.to_host(place)]
        return backend.to_device(self.classes_)[place]

    def _targets(
        self, y: np.ndarray, weights: np.ndarray | None, dtype: np.dtype[Any], fresh: bool, incremental: bool
    ) -> tuple[Targets, np.ndarray | None]:
        return encode(self, y, dtype, incremental), weights_by_class(self, y, weights, incremental)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
