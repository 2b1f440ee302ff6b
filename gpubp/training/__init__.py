"""Floor 3: fit a population. `train` is the door."""

from gpubp.training.history import Callback, EpochReport, History
from gpubp.training.loop import train
from gpubp.training.settings import EarlyStopping, PerNetwork, Settings

__all__ = ["Callback", "EarlyStopping", "EpochReport", "History", "PerNetwork", "Settings", "train"]
