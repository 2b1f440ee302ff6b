"""Floor 3: fit a population. `train` is the door."""

from gpubp.training.checkpoint import Checkpoint
from gpubp.training.choice import ENGINES, EngineChoice, choose_engine
from gpubp.training.history import Callback, EpochReport, History
from gpubp.training.loop import train
from gpubp.training.preparation import prepare
from gpubp.training.settings import EarlyStopping, PerNetwork, Settings
from gpubp.training.snapshot import Keeper, Snapshot
from gpubp.training.state import TrainingState

__all__ = [
    "ENGINES",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "EngineChoice",
    "EpochReport",
    "History",
    "Keeper",
    "PerNetwork",
    "Settings",
    "Snapshot",
    "TrainingState",
    "choose_engine",
    "prepare",
    "train",
]
