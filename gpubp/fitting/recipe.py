"""A recipe: everything that is chosen about a network before it meets a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np

from gpubp.backends import float_dtype
from gpubp.errors import SettingsError, quoted
from gpubp.errors.suggestions import check_choice, choose
from gpubp.fitting.named_recipes import NAMED_RECIPES
from gpubp.networks.population import check_seed
from gpubp.networks.settings import EarlyStopping, PerNetwork, Settings, checked_patience
from gpubp.operations.architecture import Architecture, front_kinds, kind_of
from gpubp.operations.losses import LOSSES, usual_loss
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.options import defaults
from gpubp.operations.registry import owners
from gpubp.preprocessing import InputRules
from gpubp.preprocessing.target import TARGET_SCALES

SELDOM: dict[str, Any] = {
    "loss_options": {},
    "front": [],
    "layer_options": {},
    "dropout_schedule": "constant",
    "decay_schedule": "constant",
    "smoothing_schedule": "constant",
    "even_batches": False,
    "by_task": {},
}
"""Fields that most recipes have at these values."""


def is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class Recipe:
    """Network, training and preprocessing, with defaults that suit a middling table.

    loss None: the task's usual one, cross_entropy or squared_error. scale: how numeric columns are scaled
    ("robust", "quantile", "standard", "minmax", "none"). target_scale: how numbers to be predicted are scaled
    ("standard"; "log", for values above 0, of which the logarithms are standardised). clip_predictions: such
    predictions stay within the range of the training rows' values, widened by a tenth of it on each side.
    early_stopping: stop when the validation's loss, or whatever `monitor` names, has not improved for `patience`
    epochs, and keep the best epoch's weights (see `EarlyStopping`; infinite patience keeps them, and never stops).
    front: layers before the hidden ones (see gpubp.operations.layer_kinds.FRONT), each with its sizes if it has any.
    initializer: of the weights (see gpubp.operations.initializers.INITIALIZERS); zero_last_layer: the output layer
    starts at 0 instead. The other names are those of `Settings`. category_encoding: "one_hot", or "signed", with −1 and
    +1 for two of them, or "scaled", which is signed and then scaled as numbers are (see
    gpubp.preprocessing.columns.ENCODINGS). missing_numbers: they become the median of the column; with "indicate", one
    more input says where they are. by_task: fields that are different for a task, as in {"regression": {"activation":
    "mish"}}.
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
    patience: int | None = 10
    validation: float | None = None
    scale: str = "robust"
    target_scale: str = "standard"
    clip_predictions: bool = True
    seed: int = 0
    dtype: str = "float32"
    loss_options: Mapping[str, PerNetwork] = field(default_factory=dict)
    front: tuple[str, ...] = ()
    layer_options: Mapping[str, PerNetwork] = field(default_factory=dict)
    monitor: str = "validation_loss"
    ties: str = "first"
    zero_last_layer: bool = False
    average: float | None = None
    category_encoding: str = "one_hot"
    missing_numbers: str = "median"
    dropout_schedule: str = "constant"
    decay_schedule: str = "constant"
    smoothing_schedule: str = "constant"
    even_batches: bool = False
    by_task: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def realmlp(cls, **changes: Any) -> Recipe:
        """RealMLP's recipe (see named_recipes.py), for either task, with these fields changed."""
        return cls.named("realmlp", **changes)

    @classmethod
    def named(cls, name: str, **changes: Any) -> Recipe:
        """One of NAMED_RECIPES, with these fields changed, for whatever task. Options are changed one by one:
        layer_options={"sigma": 1.0} leaves the others as they are. Where another optimizer or other layers in front are
        chosen, the recipe's options that these do not have are left out, and so are its schedules of what is no longer
        there.
        """
        base = choose("recipe", name, NAMED_RECIPES)
        by_task = {
            task: {name: value for name, value in fields.items() if name not in changes}
            for task, fields in base.by_task.items()
        }
        chosen = _changed(base.fields, changes)
        recipe = cls(**chosen, by_task={task: fields for task, fields in by_task.items() if fields})
        idle: dict[str, Any] = {name: "constant" for name in recipe.idle_schedules if name not in changes}
        return replace(recipe, **idle) if idle else recipe

    def for_task(self, task: str) -> Recipe:
        """The recipe for "classification" or "regression": with what `by_task` says of it."""
        self.loss_for(task)
        return replace(self, **self.by_task.get(task, {}), by_task={}) if self.by_task else self

    def __post_init__(self) -> None:
        """Refuse what can be refused before a table is read."""
        float_dtype(self.dtype)
        check_seed(self.seed)
        _ = self.inputs
        if self.loss is not None:
            choose("loss", self.loss, LOSSES)
        check_choice("target scale", self.target_scale, TARGET_SCALES)
        for name in ("clip_predictions", "zero_last_layer", "even_batches"):
            if not isinstance(getattr(self, name), bool):
                raise SettingsError(f"{name} {quoted(getattr(self, name))}: give True or False.")
        if self.target_scale == "log" and self.loss is not None and not LOSSES[self.loss].takes_logarithms:
            taking = " or ".join(loss.name for loss in LOSSES.values() if loss.takes_logarithms)
            raise SettingsError(
                f"The target scale log goes with the loss {taking}, not with {self.loss}: choose one that does, or the "
                "target scale standard."
            )
        task = self.likely_task
        object.__setattr__(self, "front", front_kinds(self.front))
        object.__setattr__(self, "patience", checked_patience(self.patience))
        if self.by_task:  # what is right for one task alone need not be for the other
            for each in ("classification", "regression") if self.loss is None else LOSSES[self.loss].tasks:
                self.for_task(each)
        else:
            self._check_training(task)
        if not hasattr(self.hidden, "__len__"):  # the neurons of one hidden layer
            object.__setattr__(self, "hidden", (self.hidden,))
        if is_number(self.clip_norm) and self.clip_norm == math.inf:  # what clips nothing
            object.__setattr__(self, "clip_norm", None)

    def _check_training(self, task: str) -> None:
        """Refuse a network and settings that do not go together."""
        architecture = Architecture(1, self.hidden, 1, self.activation, front=self.front)
        settings = self.settings(task)
        settings.check_dropout(len(architecture.hidden))
        settings.check_layer_options(architecture)
        EarlyStopping(monitor=self.monitor, ties=self.ties)
        if self.validation is not None and not (is_number(self.validation) and 0.0 < self.validation < 1.0):
            raise SettingsError(
                f"Validation share {quoted(self.validation)}: give a number between 0 and 1, such as 0.2."
            )

    @property
    def inputs(self) -> InputRules:
        """How a table's columns become inputs."""
        return InputRules(self.scale, self.category_encoding, self.missing_numbers)

    @property
    def validation_share(self) -> float | None:
        """The share of the training rows that is kept for validation; early stopping needs some."""
        return 0.2 if self.validation is None and self.early_stopping else self.validation

    @property
    def idle_schedules(self) -> tuple[str, ...]:
        """The fields that give a schedule to what the recipe has none of: they change nothing."""
        rule = OPTIMIZERS[self.optimizer]
        weight_decay = (defaults(rule.options) | dict(self.optimizer_options)).get("weight_decay", 0.0)
        there = {
            "dropout_schedule": np.any(self.dropout),
            "decay_schedule": np.any(self.l2) or (rule.decoupled_decay and np.any(weight_decay)),
            "smoothing_schedule": self.label_smoothing,
        }
        return tuple(name for name, some in there.items() if getattr(self, name) != "constant" and not some)

    @property
    def likely_task(self) -> str:
        """The task that the loss is first of all for; of a recipe that names none, by its target scale."""
        if self.loss is None:
            return "regression" if self.target_scale == "log" else "classification"
        return LOSSES[self.loss].tasks[0]

    def loss_for(self, task: str) -> str:
        name = self.loss or usual_loss(task)
        if task not in LOSSES[name].tasks:
            fits = LOSSES[name].tasks[0]
            counts = " on counts" if LOSSES[name].is_for_counts else ""
            raise SettingsError(f"The loss {name} is for {fits}{counts}: choose another, or --task {fits}.")
        if task == "classification" and self.target_scale == "log":
            raise SettingsError("The target scale log is for numbers to be predicted, and this is classification.")
        return name

    def architecture(
        self,
        n_inputs: int,
        n_outputs: int,
        task: str,
        indicators: Sequence[int] = (),
        categories: Sequence[Sequence[int]] = (),
    ) -> Architecture:
        """The output activation follows from the loss; squared error on classes takes logistic outputs. indicators:
        places of inputs that are no numbers; categories: of each column of categories those of its inputs.
        """
        loss = LOSSES[self.loss_for(task)]
        output = loss.link or ("logistic" if task == "classification" else "identity")
        hidden, activation, front = self.hidden, self.activation, self.front
        return Architecture(n_inputs, hidden, n_outputs, activation, output, front, indicators, categories)

    def settings(self, task: str) -> Settings:
        return Settings(
            loss=self.loss_for(task),
            loss_options=self.loss_options,
            layer_options=self.layer_options,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            optimizer_options=self.optimizer_options,
            l2=self.l2,
            clip_norm=self.clip_norm,
            schedule=self.schedule,
            schedule_options=self.schedule_options,
            batch_size=self.batch_size,
            even_batches=self.even_batches,
            epochs=self.epochs,
            average=self.average,
            shuffle=self.shuffle,
            dropout=self.dropout,
            label_smoothing=self.label_smoothing,
            dropout_schedule=self.dropout_schedule,
            decay_schedule=self.decay_schedule,
            smoothing_schedule=self.smoothing_schedule,
            early_stopping=self._stopping() if self.early_stopping else None,
        )

    def _stopping(self) -> EarlyStopping:
        return EarlyStopping(self.patience, monitor=self.monitor, ties=self.ties)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values. Layers in front, options of losses and layers, and schedules of other things than the
        learning rate, only where there are some.
        """
        plain = asdict(self) | {"hidden": list(self.hidden), "front": list(self.front)}
        return {name: value for name, value in plain.items() if name not in SELDOM or value != SELDOM[name]}


def _changed(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's fields with changes: options one by one, and without those that what is changed does not have."""
    found = {name: dict(value) if isinstance(value, Mapping) else value for name, value in fields.items()}
    if "optimizer" in changes:
        known = defaults(choose("optimizer", changes["optimizer"], OPTIMIZERS).options)
        found["optimizer_options"] = {k: v for k, v in found.get("optimizer_options", {}).items() if k in known}
    if "front" in changes:
        kinds = {"dense", *map(kind_of, front_kinds(changes["front"]))}
        options = found.get("layer_options", {})
        found["layer_options"] = {k: v for k, v in options.items() if kinds & {*owners("layer", k)}}
    if changes.get("loss") is not None and not choose("loss", changes["loss"], LOSSES).takes_smooth_labels:
        found["label_smoothing"] = 0.0
    for name, value in changes.items():
        found[name] = {**found.get(name, {}), **value} if name.endswith("_options") else value
    return found
