"""gpubp: populations of multilayer perceptrons, trained by hand-written backpropagation on NumPy or CuPy.

`import gpubp` is light: the parts below are loaded when first used, and CuPy, scikit-learn and polars only by the
parts that need them.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Architecture": "gpubp.kernels.architecture",
    "Checkpoint": "gpubp.training",
    "EarlyStopping": "gpubp.training",
    "Ensemble": "gpubp.ensemble",
    "GpubpError": "gpubp.errors",
    "Grid": "gpubp.sweeping.strategies",
    "Halving": "gpubp.sweeping.strategies",
    "History": "gpubp.training",
    "MLPClassifier": "gpubp.estimators.classifier",
    "MLPRegressor": "gpubp.estimators.regressor",
    "Model": "gpubp.model",
    "Population": "gpubp.population",
    "PopulationSearchCV": "gpubp.sweeping.search",
    "Range": "gpubp.sweeping.ranges",
    "Settings": "gpubp.training",
    "Space": "gpubp.sweeping.space",
    "SweepResult": "gpubp.sweeping.result",
    "TPE": "gpubp.sweeping.tpe",
    "When": "gpubp.sweeping.space",
    "TrainingState": "gpubp.training",
    "cross_validate": "gpubp.cross_validation",
    "get_backend": "gpubp.backends",
    "network_seeds": "gpubp.population",
    "read_table": "gpubp.tables",
    "sweep": "gpubp.sweeping.sweep",
    "train": "gpubp.training",
    "Recipe": "gpubp.recipe",
    "train_ensemble": "gpubp.ensemble_fitting",
    "train_model": "gpubp.fitting",
}

__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from gpubp.backends import get_backend as get_backend
    from gpubp.cross_validation import cross_validate as cross_validate
    from gpubp.ensemble import Ensemble as Ensemble
    from gpubp.ensemble_fitting import train_ensemble as train_ensemble
    from gpubp.errors import GpubpError as GpubpError
    from gpubp.estimators.classifier import MLPClassifier as MLPClassifier
    from gpubp.estimators.regressor import MLPRegressor as MLPRegressor
    from gpubp.fitting import train_model as train_model
    from gpubp.kernels.architecture import Architecture as Architecture
    from gpubp.model import Model as Model
    from gpubp.population import Population as Population
    from gpubp.population import network_seeds as network_seeds
    from gpubp.recipe import Recipe as Recipe
    from gpubp.sweeping.ranges import Range as Range
    from gpubp.sweeping.result import SweepResult as SweepResult
    from gpubp.sweeping.search import PopulationSearchCV as PopulationSearchCV
    from gpubp.sweeping.space import Space as Space
    from gpubp.sweeping.space import When as When
    from gpubp.sweeping.strategies import Grid as Grid
    from gpubp.sweeping.strategies import Halving as Halving
    from gpubp.sweeping.sweep import sweep as sweep
    from gpubp.sweeping.tpe import TPE as TPE
    from gpubp.tables import read_table as read_table
    from gpubp.training import Checkpoint as Checkpoint
    from gpubp.training import EarlyStopping as EarlyStopping
    from gpubp.training import History as History
    from gpubp.training import Settings as Settings
    from gpubp.training import TrainingState as TrainingState
    from gpubp.training import train as train


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gpubp' has no attribute {name!r}")
    # Nothing that uses threads can be imported any more while the interpreter ends: SciPy, which is loaded when it is
    # first needed, is not to be too late then.
    with suppress(RuntimeError):
        import_module("concurrent.futures.thread")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except RuntimeError as error:
        if "after shutdown" not in str(error):
            raise
        raise RuntimeError(
            f"gpubp.{name} cannot be loaded while the interpreter ends: let it be loaded before, for example by "
            f"`from gpubp import {name}` at the beginning of the program."
        ) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
