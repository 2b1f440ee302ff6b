"""What a training is told: loss, optimizer, rates, batches, epochs. Checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from gpubp.errors import SettingsError, quoted
from gpubp.errors.suggestions import check_choice, choose, did_you_mean
from gpubp.operations.architecture import Architecture
from gpubp.operations.averaging import AVERAGE, UNAVERAGED
from gpubp.operations.layer_kinds import LAYERS
from gpubp.operations.losses import LOSSES, Loss
from gpubp.operations.optimizers import OPTIMIZERS, Optimizer
from gpubp.operations.options import Option, by_name, defaults
from gpubp.operations.schedules import PURE_SCHEDULES, SCHEDULES, Schedule

if TYPE_CHECKING:
    from gpubp.backends import Array

PerNetwork = float | Sequence[float] | np.ndarray
"""A number for all networks, or one for each."""

MOST = 2**53
"""Of whatever is counted: what is computed from it stays within 64 bits."""

SCHEDULED = {
    "rate": "schedule",
    "dropout": "dropout_schedule",
    "decay": "decay_schedule",
    "smoothing": "smoothing_schedule",
}
"""What a schedule multiplies, and the setting that names the schedule."""

MONITORS = ("validation_loss", "validation_score", "training_loss")
TIES = ("first", "last")


@dataclass(frozen=True)
class EarlyStopping:
    """Stop a network when `monitor` has not got better by more than `tolerance` for `patience` epochs in a row.

    With `restore_best`, a network ends with the weights of its best epoch. scikit-learn's rule: the best is any
    improvement, however small; the patience is renewed by one larger than the tolerance. Infinite patience (math.inf or
    None) never stops: every epoch is trained, and the best one kept. ties: which of equally good epochs is the best,
    the "first" or the "last"; a score such as the accuracy of few rows has many of them.
    """

    patience: int | None = 10
    tolerance: float = 1e-4
    monitor: str = "validation_loss"
    restore_best: bool = True
    ties: str = "first"

    def __post_init__(self) -> None:
        check_choice("monitor", self.monitor, MONITORS)
        check_choice("ties", self.ties, TIES)
        object.__setattr__(self, "patience", checked_patience(self.patience))
        check_range("Tolerance", self.tolerance, least=0.0, finite=False)


@dataclass(frozen=True)
class Settings:
    """How to train. Values marked PerNetwork may be one number, or one for each network of the population.

    loss: one of gpubp.operations.losses.LOSSES; loss_options: its options by name. The mean over the batch.
    optimizer: one of gpubp.operations.optimizers.OPTIMIZERS; optimizer_options: its hyperparameters by name.
    l2: scikit-learn's alpha, ½ · alpha · Σ W² / batch rows, biases free.
    clip_norm: longest gradient (Euclidean norm over all parameters, L2 term included); None: no clipping.
    schedule: one of gpubp.operations.schedules.SCHEDULES (adaptive needs early_stopping); schedule_options by name.
    batch_size: rows of an update; None: all. even_batches: an epoch has as many updates as there are whole batches of
    that size, and they are equally large, but for a row or two: no last one of a few rows is left over, whose gradient
    Adam would follow as far as that of many. shuffle: a new order every epoch; else the given order.
    dropout: the share of a hidden layer's outputs that each row of an update goes without; one number, one for each
    hidden layer, or an array (P, hidden layers).
    label_smoothing: for cross_entropy, from 0 to below 1. layer_options: of kinds of layers (see
    gpubp.operations.layer_kinds.LAYERS) by name.
    average: None, or d from 0 to below 1: what is validated, kept and given is a running average of the weights, which
    begins with the first ones and becomes d · average + (1 − d) · weights after each update.
    dropout_schedule, decay_schedule, smoothing_schedule: what dropout (epoch by epoch, by its middle), L2 and weight
    decay, and label smoothing (update by update) are multiplied by: any schedule but adaptive, with its usual options.
    """

    loss: str = "cross_entropy"
    optimizer: str = "adam"
    learning_rate: PerNetwork = 1e-3
    optimizer_options: Mapping[str, PerNetwork] = field(default_factory=dict)
    l2: PerNetwork = 0.0
    clip_norm: PerNetwork | None = None
    schedule: str = "constant"
    schedule_options: Mapping[str, float] = field(default_factory=dict)
    batch_size: int | None = 32
    epochs: int = 100
    shuffle: bool = True
    dropout: float | Sequence[float] | np.ndarray = 0.0
    label_smoothing: PerNetwork = 0.0
    early_stopping: EarlyStopping | None = None
    loss_options: Mapping[str, PerNetwork] = field(default_factory=dict)
    layer_options: Mapping[str, PerNetwork] = field(default_factory=dict)
    average: PerNetwork | None = None
    dropout_schedule: str = "constant"
    decay_schedule: str = "constant"
    smoothing_schedule: str = "constant"
    even_batches: bool = False

    def __post_init__(self) -> None:
        loss = choose("loss", self.loss, LOSSES)
        optimizer = choose("optimizer", self.optimizer, OPTIMIZERS)
        schedule = choose("schedule", self.schedule, SCHEDULES)
        _check_names("optimizer", self.optimizer, self.optimizer_options, optimizer.options)
        _check_names("schedule", self.schedule, self.schedule_options, schedule.options)
        _check_names("loss", self.loss, self.loss_options, loss.options)
        check_range("learning rate", self.learning_rate, above=0.0)
        check_range("l2", self.l2, least=0.0)
        _check_ranges("", self.optimizer_options, optimizer.options)
        _check_ranges("schedule option ", self.schedule_options, schedule.options)
        _check_ranges("loss option ", self.loss_options, loss.options)
        _check_layer_options(self.layer_options)
        if self.clip_norm is not None:
            check_range("clip norm", self.clip_norm, above=0.0, finite=False)
        if self.average is not None:
            check_range("average", self.average, **AVERAGE.range)  # type: ignore[arg-type]
        check_range("dropout", self.dropout, least=0.0, below=1.0)
        check_range("label smoothing", self.label_smoothing, least=0.0, below=1.0)
        self._check_schedules()
        smooths = self.varies("smoothing") or np.any(self.label_smoothing)
        if smooths and not loss.takes_smooth_labels:
            taking = " or ".join(each.name for each in LOSSES.values() if each.takes_smooth_labels)
            raise SettingsError(f"Label smoothing needs the loss {taking}, not {self.loss}.")
        check_whole("batch size", self.batch_size, optional=True)
        check_whole("epochs", self.epochs)
        if schedule.steers and self.early_stopping is None:
            raise SettingsError(
                f"The schedule {self.schedule} lowers the rate where early stopping would stop: it needs one."
            )

    def _check_schedules(self) -> None:
        """Of everything but the learning rate."""
        for what, setting in SCHEDULED.items():
            name = getattr(self, setting)
            if what == "rate":
                continue
            if isinstance(name, str) and name in SCHEDULES and name not in PURE_SCHEDULES:
                raise SettingsError(
                    f"The schedule {name} lowers the learning rate where early stopping would stop, and cannot be of "
                    f"{what}: choose one of {', '.join(PURE_SCHEDULES)}."
                )
            check_choice("schedule", name, PURE_SCHEDULES, f" of {what}")

    @property
    def loss_function(self) -> Loss:
        return LOSSES[self.loss]

    def batch_rows(self, n_rows: int) -> int:
        """Of an update, for a network that trains on so many rows."""
        if self.batch_size is None:
            return n_rows
        return -(-n_rows // max(1, n_rows // self.batch_size)) if self.even_batches else self.batch_size

    @property
    def optimizer_rule(self) -> Optimizer:
        return OPTIMIZERS[self.optimizer]

    @property
    def state_arrays(self) -> tuple[str, ...]:
        """The names of the arrays (P, K) that a training has beside the parameters: the optimizer's, and the weights
        themselves where the parameters are their average.
        """
        return (*self.optimizer_rule.arrays, *((UNAVERAGED,) if self.average is not None else ()))

    @property
    def schedule_rule(self) -> Schedule:
        return SCHEDULES[self.schedule]

    @property
    def varies_rate(self) -> bool:
        """Whether the schedule gives updates factors of their own."""
        return self.varies("rate")

    def schedule_of(self, what: str) -> Schedule:
        """Of "rate", "dropout", "decay" or "smoothing"."""
        return SCHEDULES[getattr(self, SCHEDULED[what])]

    def varies(self, what: str) -> bool:
        """Whether its schedule gives factors of their own to moments of the training."""
        return self.schedule_of(what).varies

    def factor(self, what: str, xp: ModuleType, moment: Array, n_rows: Array, n_epochs: int) -> Array:
        """What it is multiplied by: see `schedules`."""
        schedule = self.schedule_of(what)
        options = self.all_schedule_options() if what == "rate" else defaults(schedule.options)
        return schedule.factor(xp, moment, n_rows, n_epochs, options)

    def all_optimizer_options(self) -> dict[str, PerNetwork]:
        """The optimizer's hyperparameters with defaults filled in."""
        return defaults(self.optimizer_rule.options) | dict(self.optimizer_options)

    def all_loss_options(self) -> dict[str, PerNetwork]:
        return defaults(self.loss_function.options) | dict(self.loss_options)

    def all_layer_options(self, architecture: Architecture) -> dict[str, PerNetwork]:
        """The options of the network's layers, with defaults filled in but for those whose default changes nothing."""
        options = [option for layer in architecture.layers for option in layer.options if not option.neutral]
        return defaults(options) | dict(self.layer_options)

    def all_schedule_options(self) -> dict[str, float]:
        return defaults(self.schedule_rule.options) | dict(self.schedule_options)

    def check_architecture(self, architecture: Architecture) -> None:
        """The loss and the output activation have to belong together, and options to layers that there are."""
        link, found = self.loss_function.link, architecture.output_activation
        if link is not None and found != link:
            raise SettingsError(
                f"The loss {self.loss} belongs to the output activation {link}; this network has {found}. "
                f"Build it with output_activation={link!r}."
            )
        self.check_dropout(len(architecture.hidden))
        self.check_layer_options(architecture)

    def check_layer_options(self, architecture: Architecture) -> None:
        have = {option.name for layer in architecture.layers for option in layer.options}
        for name in self.layer_options:
            if name not in have:
                kinds = [kind for kind in LAYERS.values() if name in defaults(kind.options)]
                remedy = f"put it in front (--front {kinds[0].name})"
                if not kinds[0].in_front:
                    remedy = "choose such an activation (--activation parametric_mish)"
                raise SettingsError(
                    f"{name} is an option of the layer {' or '.join(kind.name for kind in kinds)}, and this network "
                    f"has none: {remedy}, or leave the option out."
                )

    def check_dropout(self, n_hidden: int) -> None:
        shares = np.asarray(self.dropout)
        if shares.ndim and shares.shape[-1] != n_hidden:
            raise SettingsError(
                f"Dropout for {shares.shape[-1]} hidden layers, but this network has {n_hidden}: give one number, or "
                "one for each hidden layer."
            )

    def dropout_shares(self, n_networks: int, n_hidden: int) -> np.ndarray | None:
        """(P, hidden layers) float64; None where nothing is dropped. Shapes are those that were checked."""
        if isinstance(self.dropout, float) and self.dropout == 0.0:
            return None
        shares = np.asarray(self.dropout, dtype=np.float64)
        if not shares.any() or n_hidden == 0:
            return None
        if shares.ndim > 2 or (shares.ndim == 2 and len(shares) != n_networks):
            raise SettingsError(
                f"Dropout of shape {shares.shape} for {n_networks} networks with {n_hidden} hidden layers: give one "
                f"number, one for each hidden layer, or an array ({n_networks}, {n_hidden})."
            )
        return np.broadcast_to(shares, (n_networks, n_hidden)).copy()

    def smoothing_amounts(self, n_networks: int) -> np.ndarray | None:
        """(P,) float64: label smoothing that the engines do, since networks differ in it, or since it has a schedule;
        None where it is one number all the time, or none.
        """
        one = isinstance(self.label_smoothing, float) or np.ndim(self.label_smoothing) == 0
        if one and not self.varies("smoothing"):
            return None
        amounts = per_network("label smoothing", self.label_smoothing, n_networks)
        return amounts if amounts.any() else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for model files and reports. Options of losses and layers only where there are some: few
        have any.
        """
        plain = {name: _plain(value) for name, value in asdict(self).items()}
        return {name: value for name, value in plain.items() if value or name not in ("loss_options", "layer_options")}


def per_network(what: str, value: PerNetwork, n_networks: int) -> np.ndarray:
    """(P,) float64."""
    if type(value) is float:  # NumPy's way round takes ten times as long, and small trainings are many calls
        return np.full(n_networks, value)
    values = np.asarray(value, dtype=np.float64)
    if values.ndim > 1 or values.size not in (1, n_networks) or (values.ndim == 1 and values.size != n_networks):
        raise SettingsError(
            f"{what}: {values.size} values for {n_networks} networks: give one number, or one for each."
        )
    return np.broadcast_to(values, (n_networks,)).copy()


def check_range(
    what: str,
    value: PerNetwork,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    finite: bool = True,
) -> None:
    if type(value) is float and least <= value <= most and above < value < below:
        return  # finite, for it lies between two others: NumPy's way round takes ten times as long
    try:
        if isinstance(value, (str, bool, np.bool_)):
            raise TypeError
        values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"{what} {quoted(value)}: expected a number.") from None
    good = (values >= least) & (values <= most) & (values > above if above > -math.inf else True)
    good &= values < below if below < math.inf else True
    good &= np.isfinite(values) if finite else ~np.isnan(values)
    if not good.all():
        bounds = [
            f"{words} {bound:g}"
            for words, bound in (("at least", least), ("above", above), ("at most", most), ("below", below))
            if math.isfinite(bound)
        ]
        raise SettingsError(f"{what} {values[~good][0]:g}: expected a finite number {' and '.join(bounds)}.")


def checked_patience(value: Any) -> int | None:
    """Epochs, a whole number; None for infinity."""
    if value is None or (isinstance(value, (float, np.floating)) and value == math.inf):
        return None
    check_whole("Patience", value, most=2**62)
    return int(value)


def check_whole(what: str, value: Any, optional: bool = False, most: int = MOST) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise SettingsError(f"{what} {quoted(value)}: expected a whole number, at least 1.")
    if value > most:
        raise SettingsError(f"{what} {quoted(int(value))}: expected a whole number from 1 to {most:,}.")


def _check_names(what: str, name: str, given: Mapping[str, Any], options: Sequence[Option]) -> None:
    known = [option.name for option in options]
    for option in given:
        if option not in known:
            has = ", ".join(known) or "no options"
            hint = did_you_mean(option, known)
            raise SettingsError(f"The {what} {name} has no option {option!r}: it has {has}.{hint}")


def _check_layer_options(given: Mapping[str, Any]) -> None:
    """Whether some kind of layer has such options; which layers a network has is not known yet."""
    options = by_name(kind.options for kind in LAYERS.values())
    for name in given:
        if name not in options:
            has = ", ".join(options) or "no options"
            raise SettingsError(f"No layer has an option {name!r}: there are {has}.{did_you_mean(name, options)}")
    _check_ranges("layer option ", given, [*options.values()])


def _check_ranges(what: str, given: Mapping[str, Any], options: Sequence[Option]) -> None:
    for option in options:
        if option.name in given:
            check_range(f"{what}{option.name}", given[option.name], **option.range)  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
