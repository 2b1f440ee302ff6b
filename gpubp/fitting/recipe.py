"""A recipe: everything that is chosen about a network before it meets a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from numbers import Real
from typing import Any

from gpubp.backends import float_dtype
from gpubp.errors import SettingsError, quoted
from gpubp.errors.suggestions import check_choice, choose
from gpubp.networks.population import check_seed
from gpubp.networks.settings import EarlyStopping, PerNetwork, Settings
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES
from gpubp.preprocessing.target import TARGET_SCALES


def is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


DEFAULT_LOSS = {"classification": "cross_entropy", "regression": "squared_error"}


@dataclass(frozen=True)
class Recipe:
    """Network, training and preprocessing, with defaults that suit a middling table.

    loss None: cross_entropy for classification, squared_error for regression. scale: how numeric columns are scaled
    ("robust", "standard", "minmax", "none"). target_scale: how numbers to be predicted are scaled ("standard"; "log",
    for values above 0, of which the logarithms are standardised). clip_predictions: such predictions stay within the
    range of the training rows' values, widened by a tenth of it on each side. early_stopping: stop on the validation
    loss after `patience` epochs without improvement, and keep the best weights. The other names are those of
    `Settings`.
    """

    hidden: tuple[int, ...] = (64,)
    activation: str = "relu"
    loss: str | None = None
    initializer: str = "auto"
    optimizer: str = "adam"
    learning_rate: PerNetwork = 1e-3
    optimizer_options: Mapping[str, PerNetwork] = field(default_factory=dict)
    l2: PerNetwork = 0.0
    clip_norm: float | None = None
    schedule: str = "constant"
    schedule_options: Mapping[str, float] = field(default_factory=dict)
    dropout: float | tuple[float, ...] = 0.0
    label_smoothing: float = 0.0
    batch_size: int | None = 32
    epochs: int = 100
    shuffle: bool = True
    early_stopping: bool = False
    patience: int = 10
    validation: float | None = None
    scale: str = "robust"
    target_scale: str = "standard"
    clip_predictions: bool = True
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Refuse what can be refused before a table is read."""
        float_dtype(self.dtype)
        check_seed(self.seed)
        if self.loss is not None:
            choose("loss", self.loss, LOSSES)
        check_choice("target scale", self.target_scale, TARGET_SCALES)
        if not isinstance(self.clip_predictions, bool):
            raise SettingsError(f"clip_predictions {quoted(self.clip_predictions)}: give True or False.")
        if self.target_scale == "log" and self.loss not in (None, "squared_error"):
            raise SettingsError(
                f"The target scale log goes with the loss squared_error, not with {self.loss}: choose that loss, or "
                "the target scale standard."
            )
        numeric = self.loss in ("squared_error", "poisson") or self.target_scale == "log"
        task = "regression" if numeric else "classification"
        Architecture(1, self.hidden, 1, self.activation)
        if not hasattr(self.hidden, "__len__"):  # the neurons of one hidden layer
            object.__setattr__(self, "hidden", (self.hidden,))
        self.settings(task).check_dropout(len(self.hidden))
        if is_number(self.clip_norm) and self.clip_norm == math.inf:  # what clips nothing
            object.__setattr__(self, "clip_norm", None)
        if self.validation is not None and not (is_number(self.validation) and 0.0 < self.validation < 1.0):
            raise SettingsError(
                f"Validation share {quoted(self.validation)}: give a number between 0 and 1, such as 0.2."
            )

    @property
    def validation_share(self) -> float | None:
        """The share of the training rows that is kept for validation; early stopping needs some."""
        return 0.2 if self.validation is None and self.early_stopping else self.validation

    def loss_for(self, task: str) -> str:
        name = self.loss or DEFAULT_LOSS[task]
        if task == "classification" and name == "poisson":
            raise SettingsError("The loss poisson is for regression on counts: choose another, or --task regression.")
        if task == "regression" and name in ("cross_entropy", "binary_cross_entropy"):
            raise SettingsError(f"The loss {name} is for classification: choose another, or --task classification.")
        if task == "classification" and self.target_scale == "log":
            raise SettingsError("The target scale log is for numbers to be predicted, and this is classification.")
        return name

    def architecture(self, n_inputs: int, n_outputs: int, task: str) -> Architecture:
        """The output activation follows from the loss; squared error on classes takes logistic outputs."""
        loss = LOSSES[self.loss_for(task)]
        output = loss.link or ("logistic" if task == "classification" else "identity")
        return Architecture(n_inputs, self.hidden, n_outputs, self.activation, output)

    def settings(self, task: str) -> Settings:
        return Settings(
            loss=self.loss_for(task),
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            optimizer_options=self.optimizer_options,
            l2=self.l2,
            clip_norm=self.clip_norm,
            schedule=self.schedule,
            schedule_options=self.schedule_options,
            batch_size=self.batch_size,
            epochs=self.epochs,
            shuffle=self.shuffle,
            dropout=self.dropout,
            label_smoothing=self.label_smoothing,
            early_stopping=EarlyStopping(patience=self.patience) if self.early_stopping else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"hidden": list(self.hidden)}
