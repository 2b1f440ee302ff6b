"""The base of classifier and regressor: fit, partial_fit, warm starts, and the parameters themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from gpubp.backends import Array
from gpubp.backends.placement import choose_backend, to_host
from gpubp.backends.turns import in_turn
from gpubp.errors import SettingsError
from gpubp.estimators import networks
from gpubp.estimators.inputs import receive_training, receive_weights
from gpubp.estimators.learners import begin_networks, keep_networks
from gpubp.estimators.networks import OF_ONE_NETWORK, is_ensemble
from gpubp.estimators.parameters import CONSTRAINTS, STOCHASTIC_SOLVERS, hidden_sizes
from gpubp.estimators.prediction import spread_of_members
from gpubp.estimators.problem import CheckedInput, NetworkFit, Problem, Targets
from gpubp.estimators.quasi_newton import fit_whole
from gpubp.estimators.stochastic import fit_epochs, fit_one_epoch, refuse_partial_fit
from gpubp.search._sklearn import fit_context


class MLP(BaseEstimator):
    """One network or several, behind scikit-learn's interface. Subclasses name the parameters and make targets of y."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**CONSTRAINTS}
    _numeric_targets: ClassVar[bool]

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on X and y; with warm_start, from the weights of the last fit on.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            On the host or on a CUDA device, where it stays. Sparse ones are made dense.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels or numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts, in the loss and in the validation score of early stopping.

        Returns
        -------
        self : object
        """
        return self._fit(X, y, sample_weight, incremental=False)

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Any:
        problem, learners = self._begin(X, y, sample_weight, incremental)
        if self.solver == "lbfgs":
            trained = fit_whole(self, problem, learners)
        else:
            trained = (fit_one_epoch if incremental else fit_epochs)(self, problem, learners)
        keep_networks(self, problem, learners, trained)
        return self

    @in_turn()
    def _receive(self, X: Any, y: Any, sample_weight: Any, fresh: bool, incremental: bool) -> CheckedInput:
        """X and y checked and encoded. Of the parameters, `_receives_by` names those that have a say in it."""
        before = {*vars(self)}
        inputs, y = receive_training(self, X, y, reset=fresh, numeric=self._numeric_targets)
        weights = receive_weights(sample_weight, y.shape[0])
        kept = self._dtype_for(inputs.X.dtype, fresh)
        dtype = np.dtype(np.float64) if self.solver == "lbfgs" else kept
        targets, weights = self._targets(y, weights, dtype, fresh, incremental)
        learned = {name: value for name, value in vars(self).items() if name not in before}
        return CheckedInput(inputs, dtype, kept, targets, weights, learned)

    def _receives_by(self) -> tuple[Any, ...]:
        """Two fresh estimators that agree in this receive a table in the same way."""
        names = ("dtype", "loss", "early_stopping", "label_smoothing", "class_weight")
        return type(self), self.solver == "lbfgs", *(repr(getattr(self, name, None)) for name in names)

    def _begin(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool, reception: CheckedInput | None = None
    ) -> tuple[Problem, list[NetworkFit]]:
        """Receives and checks the training data, and sets up the networks to train: one, or the members.

        reception: of this X, y and sample_weight by another estimator that receives them alike: not to be done again.
        """
        sizes = hidden_sizes(self)
        if incremental:
            refuse_partial_fit(self)
        fresh = not self.__sklearn_is_fitted__() or not (self.warm_start or incremental)
        received = reception or self._receive(X, y, sample_weight, fresh, incremental)
        self.__dict__.update(received.learned)
        inputs, dtype, targets, weights = received.inputs, received.dtype, received.targets, received.weights
        output = networks.OUTPUT_ACTIVATIONS[targets.out_activation]
        architecture = networks.architecture((inputs.X.shape[1], *sizes, targets.T.shape[1]), self.activation, output)
        table = inputs.dense(dtype)
        self.n_outputs_ = architecture.n_outputs
        self.n_layers_ = len(architecture.sizes)
        self.out_activation_ = targets.out_activation
        learners = begin_networks(self, architecture, targets, weights, dtype, fresh, incremental)
        batch = min(len(targets.T), 200 if self.batch_size == "auto" else self.batch_size)
        operations = 6.0 * architecture.n_parameters * len(learners) * batch
        backend = choose_backend(self.backend, inputs.device_array, operations)
        table = to_host(table) if backend.on_host else table
        return Problem(table, targets, weights, architecture, backend, received.kept), learners

    def _dtype_for(self, found: np.dtype[Any], fresh: bool) -> np.dtype[Any]:
        """Of the parameters: the one asked for; else that of X, or of the weights that are gone on from."""
        if self.dtype:
            return np.dtype(self.dtype)
        return np.dtype(found) if fresh else np.result_type(*networks.members_of(self)[0].coefs_, np.float32)

    def disagreement(self, X: Any) -> Array:
        """How far apart the members are on each row, where X is: the standard deviation of their predictions.

        (n_samples,): of the predicted class's probability, or of the value. (n_samples, n_outputs): of each label's
        probability, or of each value, where there are several. Members that learned the same say the same far from the
        data too, so a small number is no promise.

        Raises SettingsError for a single network.
        """
        self._require_fit()
        if not is_ensemble(self):
            raise SettingsError("One network has nobody to disagree with: fit with n_members=10, for example.")
        return spread_of_members(self, X)

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator as safetensors: arrays and JSON, whole or not at all (see `files.save`)."""
        from gpubp.estimators.files import save  # which knows the classes made of this one

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Any:
        """The estimator that `save` wrote; ModelFileError for anything else. Nothing in the file is executed."""
        from gpubp.estimators.files import load

        return load(path, cls)

    def to_sklearn(self) -> Any:
        """A fitted scikit-learn estimator with the same predictions (see `conversion.to_sklearn`)."""
        from gpubp.estimators.conversion import to_sklearn

        return to_sklearn(self)

    @classmethod
    def from_sklearn(cls, fitted: Any) -> Any:
        """The estimator with the predictions of a fitted one of scikit-learn's (see `conversion.from_sklearn`)."""
        from gpubp.estimators.conversion import from_sklearn

        found = from_sklearn(fitted)
        if not isinstance(found, cls):
            raise SettingsError(
                f"{type(fitted).__name__} becomes a {type(found).__name__}, and no {cls.__name__}: use "
                f"{type(found).__name__}.from_sklearn."
            )
        return found

    def to_onnx(self, *, dtype: Any = None) -> Any:
        """The network as an onnx.ModelProto; `estimators.onnx.to_onnx` takes pipelines too."""
        from gpubp.estimators.onnx import to_onnx

        return to_onnx(self, dtype=dtype)

    def _targets(
        self, y: np.ndarray, weights: np.ndarray | None, dtype: np.dtype[Any], fresh: bool, incremental: bool
    ) -> tuple[Targets, np.ndarray | None]:
        """The target outputs of the network for each row, and the rows' final weights."""
        raise NotImplementedError

    def _has_partial_fit(self) -> bool:
        if self.solver not in STOCHASTIC_SOLVERS:
            raise AttributeError(
                f"partial_fit is only available for the stochastic solvers {', '.join(STOCHASTIC_SOLVERS)}, and not "
                f"for {self.solver}."
            )
        return True

    def __getattr__(self, name: str) -> Any:
        """For what is not there: where it would be of one network and there are several, say where to look."""
        if name in OF_ONE_NETWORK and is_ensemble(self):
            raise AttributeError(
                f"{type(self).__name__} has {len(self.estimators_)} networks, each with a {name} of its own: "
                f"estimators_[0].{name} is the first one's."
            )
        return super().__getattribute__(name)  # Python's own words, or those of a method that is not available

    def _require_fit(self) -> None:
        if not self.__sklearn_is_fitted__():  # scikit-learn's own way of asking takes longer than a small prediction
            check_is_fitted(self)

    def __sklearn_is_fitted__(self) -> bool:
        return is_ensemble(self) or "coefs_" in vars(self)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
