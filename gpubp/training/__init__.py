"""Floor 3: fit a population. `train` is the door."""

from gpubp.training.choice import ENGINES, EngineChoice, choose_engine
from gpubp.training.history import Callback, EpochReport, History
from gpubp.training.loop import prepare, train
from gpubp.training.settings import EarlyStopping, PerNetwork, Settings
from gpubp.training.state import TrainingState

__all__ = [
    "ENGINES",
    "Callback",
    "EarlyStopping",
    "EngineChoice",
    "EpochReport",
    "History",
    "PerNetwork",
    "Settings",
    "TrainingState",
    "choose_engine",
    "prepare",
    "train",
]
