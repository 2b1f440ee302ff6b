"""gpubp: populations of multilayer perceptrons, trained by hand-written backpropagation on NumPy or CuPy.

`import gpubp` is light: the parts below are loaded when first used, and CuPy, scikit-learn and polars only by the
parts that need them.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gpubp._version import __version__

_HOMES = {
    "Architecture": "gpubp.operations.architecture",
    "Checkpoint": "gpubp.training.checkpoint",
    "EarlyStopping": "gpubp.networks.settings",
    "Ensemble": "gpubp.models.ensemble",
    "GpubpError": "gpubp.errors",
    "Grid": "gpubp.search.strategies.strategies",
    "Halving": "gpubp.search.strategies.strategies",
    "History": "gpubp.training.history",
    "MLPClassifier": "gpubp.estimators.classifier",
    "MLPRegressor": "gpubp.estimators.regressor",
    "Model": "gpubp.models.model",
    "Population": "gpubp.engines.prediction",
    "PopulationSearchCV": "gpubp.estimators.search.population_search",
    "Range": "gpubp.search.space.ranges",
    "Settings": "gpubp.networks.settings",
    "Space": "gpubp.search.space.space",
    "SweepResult": "gpubp.search.results.result",
    "TabularClassifier": "gpubp.estimators.tabular",
    "TabularRegressor": "gpubp.estimators.tabular",
    "TPE": "gpubp.search.strategies.tpe",
    "When": "gpubp.search.space.space",
    "TrainingState": "gpubp.networks.state",
    "cross_validate": "gpubp.fitting.cross_validation",
    "get_backend": "gpubp.backends",
    "network_seeds": "gpubp.networks.population",
    "read_table": "gpubp.tables",
    "sweep": "gpubp.sweeping",
    "train": "gpubp.training.loop",
    "Recipe": "gpubp.fitting.recipe",
    "train_ensemble": "gpubp.fitting.ensemble_fit",
    "train_model": "gpubp.fitting.fit",
    "train_tabular": "gpubp.tabular.fit",
}

__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from gpubp.backends import get_backend as get_backend
    from gpubp.errors import GpubpError as GpubpError
    from gpubp.estimators.classifier import MLPClassifier as MLPClassifier
    from gpubp.estimators.regressor import MLPRegressor as MLPRegressor
    from gpubp.estimators.search.population_search import PopulationSearchCV as PopulationSearchCV
    from gpubp.estimators.tabular import TabularClassifier as TabularClassifier
    from gpubp.estimators.tabular import TabularRegressor as TabularRegressor
    from gpubp.fitting.cross_validation import cross_validate as cross_validate
    from gpubp.fitting.ensemble_fit import train_ensemble as train_ensemble
    from gpubp.fitting.fit import train_model as train_model
    from gpubp.fitting.recipe import Recipe as Recipe
    from gpubp.models.ensemble import Ensemble as Ensemble
    from gpubp.models.model import Model as Model
    from gpubp.networks.population import Population as Population
    from gpubp.networks.population import network_seeds as network_seeds
    from gpubp.networks.settings import EarlyStopping as EarlyStopping
    from gpubp.networks.settings import Settings as Settings
    from gpubp.networks.state import TrainingState as TrainingState
    from gpubp.operations.architecture import Architecture as Architecture
    from gpubp.search.results.result import SweepResult as SweepResult
    from gpubp.search.space.ranges import Range as Range
    from gpubp.search.space.space import Space as Space
    from gpubp.search.space.space import When as When
    from gpubp.search.strategies.strategies import Grid as Grid
    from gpubp.search.strategies.strategies import Halving as Halving
    from gpubp.search.strategies.tpe import TPE as TPE
    from gpubp.sweeping import sweep as sweep
    from gpubp.tables import read_table as read_table
    from gpubp.tabular.fit import train_tabular as train_tabular
    from gpubp.training.checkpoint import Checkpoint as Checkpoint
    from gpubp.training.history import History as History
    from gpubp.training.loop import train as train


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
