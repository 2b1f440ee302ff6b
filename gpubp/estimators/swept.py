"""The networks that a sweep found to be best, as estimators: `fit` trains as the sweep did."""

from __future__ import annotations

from dataclasses import replace
from inspect import Parameter, Signature, signature
from numbers import Integral
from typing import Any, ClassVar

from gpubp.errors import SettingsError
from gpubp.estimators.base import MLP
from gpubp.estimators.classifier import MLPClassifier
from gpubp.estimators.kinds import kind
from gpubp.estimators.parameters import MOMENTUM, OPTIMIZER_OPTIONS, OWN_OPTIONS, interval
from gpubp.estimators.regressor import MLPRegressor
from gpubp.estimators.swept_fitting import fit_again, keep_network
from gpubp.estimators.translation import SCHEDULES as RENAMED
from gpubp.estimators.translation import parameters_of
from gpubp.fitting.array_data import ArrayData
from gpubp.fitting.cohort import Cohort
from gpubp.networks.settings import MONITORS, TIES
from gpubp.operations.averaging import AVERAGE
from gpubp.operations.initializers import INITIALIZERS
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.registry import OPTIONS
from gpubp.operations.schedules import PURE_SCHEDULES, SCHEDULES
from gpubp.preprocessing.scaling import LINEAR
from gpubp.search._sklearn import Interval, StrOptions
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.trial import Configuration

FURTHER = {name: option for name, option in OPTIONS["optimizer"].items() if name not in OWN_OPTIONS}
"""Options of optimizers that MLPClassifier and MLPRegressor have not."""

OWN = {
    "scale": [StrOptions(set(LINEAR))],  # no layer can take over others
    "front": [str, tuple, list, None],
    "layer_options": [dict, None],
    "initializer": [StrOptions({"auto", *INITIALIZERS})],
    "zero_last_layer": ["boolean"],
    "even_batches": ["boolean"],
    "monitor": [StrOptions({*MONITORS})],
    "ties": [StrOptions({*TIES})],
    "average": [interval(AVERAGE), None],
    "schedule_options": [dict, None],
    "dropout_schedule": [StrOptions({*PURE_SCHEDULES})],
    "decay_schedule": [StrOptions({*PURE_SCHEDULES})],
    "smoothing_schedule": [StrOptions({*PURE_SCHEDULES})],
    **{OPTIMIZER_OPTIONS[name]: [interval(option)] for name, option in FURTHER.items()},
    "training_dtype": [StrOptions({"float32", "float64"})],
}
"""Parameters beyond those of MLPClassifier and MLPRegressor, and what they may be."""

DEFAULTS = {
    "scale": "standard",
    "front": None,
    "layer_options": None,
    "initializer": "auto",
    "zero_last_layer": False,
    "even_batches": False,
    "monitor": "validation_loss",
    "ties": "first",
    "average": None,
    "schedule_options": None,
    "dropout_schedule": "constant",
    "decay_schedule": "constant",
    "smoothing_schedule": "constant",
    **{OPTIMIZER_OPTIONS[name]: option.default for name, option in FURTHER.items()},
    "training_dtype": "float32",
}
"""What the parameters of `OWN` are where nothing else is said."""

OF_CLASSIFIERS = ("smoothing_schedule",)
"""Those of `OWN` that regressors have not."""

WIDER = {
    "solver": [StrOptions({"sgd", *(OPTIMIZERS.keys() - MOMENTUM.keys())})],
    "learning_rate": [StrOptions({RENAMED.get(name, name) for name in SCHEDULES})],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left"), None],
    "random_state": ["random_state", Interval(Integral, 0, 2**64 - 1, closed="both")],
}
"""Parameters that a sweep gives other values to."""

NOT_THEIRS = ("verbose", "warm_start", "callbacks", "progress", "n_members", "bootstrap", "class_weight")
"""Parameters that a sweep has no counterpart of: to be left at their defaults."""


class _Swept(MLP):
    """The base of both: `fit` as in a sweep, and all else as their parents have it."""

    _parent: ClassVar[type[MLP]]
    _signature: ClassVar[Signature]

    def __init_subclass__(cls) -> None:
        """Name every parameter in the signature of the kind's __init__, where repr, help and `clone` look for them."""
        cls._parent = next(kind for kind in (MLPClassifier, MLPRegressor) if issubclass(cls, kind))
        own = [name for name in OWN if cls._parent is MLPClassifier or name not in OF_CLASSIFIERS]
        cls._parameter_constraints = cls._parent._parameter_constraints | WIDER | {name: OWN[name] for name in own}
        more = [Parameter(name, Parameter.KEYWORD_ONLY, default=DEFAULTS[name]) for name in own]
        cls._signature = Signature([*signature(cls._parent.__init__).parameters.values(), *more])

        def __init__(self: Any, *given: Any, **named: Any) -> None:
            found = self._signature.bind(self, *given, **named)
            found.apply_defaults()
            for name in self._get_param_names():
                setattr(self, name, found.arguments[name])

        __init__.__signature__ = cls._signature  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[method-assign]

    def fit(self, X: Any, y: Any, *others: Any, **named: Any) -> Any:
        """Train on X (N, I) and y (N,) or (N, O) as the sweep's refit does: with the same parameters and data, the same
        network.

        It takes no sample_weight, so that scikit-learn's bagging draws rows. Raises SettingsError where one is given,
        and for parameters that a sweep has no counterpart of.
        """
        self._validate_params()
        defaults = self._signature.parameters
        odd = [name for name in NOT_THEIRS if name in defaults and getattr(self, name) != defaults[name].default]
        if others or named:
            odd.append(", ".join(named) or "sample_weight")
        if odd:
            raise SettingsError(
                f"{type(self).__name__} trains as a sweep does, which knows no {', '.join(odd)}: leave them at their "
                f"defaults, or take {self._parent.__name__}."
            )
        fit_again(self, X, y)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Any:
        """partial_fit: by the parents' rule, whose random states have 32 bits, and whose batches a size."""
        parameters = self.__dict__
        own = {name: parameters[name] for name in ("random_state", "batch_size")}
        try:
            if isinstance(own["random_state"], Integral):
                parameters["random_state"] = int(own["random_state"]) % 2**32
            parameters["batch_size"] = "auto" if own["batch_size"] is None else own["batch_size"]
            return super()._fit(X, y, sample_weight, incremental)
        finally:
            parameters.update(own)


@kind
class SweptClassifier(_Swept, MLPClassifier):
    """An MLPClassifier that a sweep's `refit` gives, and whose `fit` trains as the sweep did.

    Its parameters are those of MLPClassifier, and:

    Parameters
    ----------
    scale : {"standard", "minmax", "none"}, default="standard"
        How the inputs are scaled for the training. The scaling then goes into coefs_[0], which take X as it is; the
        scales "robust" and "quantile" of tables cannot.
    front : str, tuple of str or None, default=None
        Kinds of layers before the hidden ones in the training, such as "scale", whose factors then go into coefs_[0].
    layer_options : dict or None, default=None
        Their options, such as {"scale_rate": 6.0}.
    initializer : str, default="auto"
        Of the weights, by the names of sweeps.
    even_batches : bool, default=False
        Whether an epoch's batches are equally large.
    zero_last_layer : bool, default=False
        Whether the output layer starts at 0 instead.
    average : float or None, default=None
        How much of a running average of the weights stays at each update, where one is kept.
    solver, learning_rate : str
        rmsprop (with decay and epsilon) and step, too; every schedule goes with every solver.
    schedule_options : dict or None, default=None
        Options of learning_rate, by the names of `gpubp.Settings`.
    dropout_schedule, decay_schedule, smoothing_schedule : str, default="constant"
        Schedules of dropout, of alpha and weight_decay, and of label_smoothing.
    decay : float, default=0.99
        For rmsprop.
    training_dtype : {"float32", "float64"}, default="float32"
        Of the training; predictions are in float64, or in dtype.
    batch_size : int, "auto" or None
        None: all rows make one batch.
    early_stopping : bool
        By the loss on validation_fraction of the rows, with n_iter_no_change and tol; without it the training has
        max_iter epochs, whatever these are.
    monitor : {"validation_loss", "validation_score", "training_loss"}, default="validation_loss"
        What early_stopping goes by.
    ties : {"first", "last"}, default="first"
        Which of equally good epochs it keeps.

    With two classes it trains two outputs, which become the one logistic output of MLPClassifier.
    """


@kind
class SweptRegressor(_Swept, MLPRegressor):
    """An MLPRegressor that a sweep's `refit` gives, and whose `fit` trains as the sweep did.

    Its parameters are those of MLPRegressor, and those that SweptClassifier has beyond MLPClassifier. For the training
    y is standardised, unless the loss is for counts; this, too, goes into coefs_ and intercepts_.
    """


def estimator_of(chosen: Configuration, cohort: Cohort, experiment: Experiment) -> Any:
    """The one network of the cohort as a fitted estimator whose `fit` trains it again."""
    data = experiment.data
    assert isinstance(data, ArrayData)
    sort = SweptRegressor if data.classes is None else SweptClassifier
    recipe = replace(chosen.recipe, seed=chosen.seed)
    assert cohort.history is not None
    found = sort(**parameters_of(recipe, data.task), backend=experiment.backend.name, engine=cohort.history.engine)
    keep_network(found, chosen, cohort, data)
    return found
