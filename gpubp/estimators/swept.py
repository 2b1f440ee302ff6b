"""The networks that a sweep found to be best, as estimators: `fit` trains as the sweep did."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from gpubp.errors import SettingsError
from gpubp.estimators.base import MLP
from gpubp.estimators.classifier import MLPClassifier
from gpubp.estimators.parameters import FULL_LENGTH_SCHEDULES, STOCHASTIC_SOLVERS
from gpubp.estimators.regressor import MLPRegressor
from gpubp.initializers import INITIALIZERS
from gpubp.kernels.reference.optimizers import OPTIMIZERS
from gpubp.preprocessing.scaling import SCALES

OWN = {
    "scale": [StrOptions(set(SCALES))],
    "initializer": [StrOptions({"auto", *INITIALIZERS})],
    "schedule_options": [dict, None],
    "decay": [Interval(Real, 0, 1, closed="left")],
    "training_dtype": [StrOptions({"float32", "float64"})],
}
"""Parameters beyond those of MLPClassifier and MLPRegressor, and what they may be."""

WIDER = {
    "solver": [StrOptions({"rmsprop", *STOCHASTIC_SOLVERS})],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", "step", *FULL_LENGTH_SCHEDULES})],
    "batch_size": [Interval(Integral, 1, None, closed="left"), None],
    "random_state": [Interval(Integral, 0, 2**64 - 1, closed="both")],
}
"""Parameters that a sweep gives other values to."""

NOT_THEIRS = ("verbose", "warm_start", "callbacks", "progress", "n_members", "bootstrap", "class_weight")
"""Parameters that a sweep has no counterpart of: to be left at their defaults."""


class _Swept(MLP):
    """What both have in common: `fit` as in a sweep, and all else as their parents have it.

    scale: of the inputs, as in a sweep; the scaling goes into the first layer's weights. A regressor's targets are
    standardised, unless its loss is poisson. initializer: of the weights. solver, learning_rate: rmsprop, with decay
    and epsilon, and step, too. schedule_options: of learning_rate, by the names of `Settings`; every schedule goes with
    every solver. batch_size None: all rows. early_stopping: by the validation loss. n_iter_no_change and tol count with
    early_stopping alone. Two classes have two outputs in training, and become one logistic output.
    """

    def __init__(
        self,
        *,
        scale: str = "standard",
        initializer: str = "auto",
        schedule_options: dict[str, float] | None = None,
        decay: float = OPTIMIZERS["rmsprop"].hyperparameters["decay"],
        training_dtype: str = "float32",
        **parameters: Any,
    ) -> None:
        self.scale = scale
        self.initializer = initializer
        self.schedule_options = schedule_options
        self.decay = decay
        self.training_dtype = training_dtype
        super().__init__(**parameters)

    @classmethod
    def _get_param_names(cls) -> list[str]:
        parent = next(kind for kind in (MLPClassifier, MLPRegressor) if issubclass(cls, kind))
        return sorted([*parent._get_param_names(), *OWN])

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on X and y as the sweep's refit does: with the same parameters and data, the same network.

        Raises SettingsError for sample_weight and for parameters that a sweep has no counterpart of.
        """
        from gpubp.sweeping.refit import fit_again

        self._validate_params()
        defaults = next(kind for kind in (MLPClassifier, MLPRegressor) if isinstance(self, kind))()
        odd = [name for name in NOT_THEIRS if getattr(self, name, None) != getattr(defaults, name, None)]
        if sample_weight is not None:
            odd.append("sample_weight")
        if odd:
            raise SettingsError(
                f"{type(self).__name__} trains as a sweep does, which knows no {', '.join(odd)}: leave them at their "
                f"defaults, or take {type(defaults).__name__}."
            )
        fit_again(self, X, y)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Any:
        """partial_fit: by the parents' rule, whose random states have 32 bits, and whose batches a size."""
        parameters = self.__dict__
        own = {name: parameters[name] for name in ("random_state", "batch_size")}
        try:
            parameters["random_state"] = None if own["random_state"] is None else own["random_state"] % 2**32
            parameters["batch_size"] = "auto" if own["batch_size"] is None else own["batch_size"]
            return super()._fit(X, y, sample_weight, incremental)
        finally:
            parameters.update(own)


class SweptClassifier(_Swept, MLPClassifier):
    """An MLPClassifier that a sweep's `refit` gives (see `_Swept` for its parameters)."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**MLPClassifier._parameter_constraints, **WIDER, **OWN}


class SweptRegressor(_Swept, MLPRegressor):
    """An MLPRegressor that a sweep's `refit` gives (see `_Swept` for its parameters)."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**MLPRegressor._parameter_constraints, **WIDER, **OWN}
