"""The options that make a recipe: the network, its training, and what is done to the data before.

Defaults are repeated from `gpubp.Recipe`, which is not imported here to keep `--help` fast; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpubp.cli.given import given_options
from gpubp.cli.panels import DATA, NETWORK, TRAINING
from gpubp.cli.recipe_values import batch_size, numbers, patience, shares, sizes
from gpubp.errors import SettingsError
from gpubp.fitting.named_recipes import NAMED_RECIPES, NamedRecipe
from gpubp.operations.activations import HIDDEN
from gpubp.operations.initializers import INITIALIZERS, Initializer
from gpubp.operations.layer_kinds import FRONT
from gpubp.operations.layers import Layer
from gpubp.operations.losses import LOSSES, Loss
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.registry import OPTIONS, described, owners
from gpubp.operations.schedules import PURE_SCHEDULES, SCHEDULES, Schedule

if TYPE_CHECKING:
    from gpubp.fitting.recipe import Recipe

OWN_OPTIONS = ("momentum", "weight_decay")
"""Options of optimizers that the command line has options of their own for."""

GOES_WITH = {
    "dropout_schedule": "--dropout",
    "decay_schedule": f"--l2, or --optimizer {' or '.join(owners('optimizer', 'weight_decay'))}",
    "smoothing_schedule": "--label-smoothing",
}
"""What a schedule is of."""


def _loss_in_words(loss: Loss) -> str:
    return loss.name if loss.default_for is None else f"{loss.name} (default for {loss.default_for})"


def _layer_in_words(kind: type[Layer]) -> str:
    return f"{kind.name} ({kind.help})"


def _schedule_of(what: str) -> str:
    return f"Of {what}: {', '.join(PURE_SCHEDULES)}."


def _schedule_in_words(schedule: Schedule) -> str:
    return f"{schedule.name} ({schedule.suits})" if schedule.suits else schedule.name


def _initializer_in_words(initializer: Initializer) -> str:
    return f"{initializer.name} ({initializer.help})" if initializer.help else initializer.name


def _recipe_in_words(recipe: NamedRecipe) -> str:
    return f"{recipe.name} ({recipe.help})"


def _option_in_words(name: str) -> str:
    """Of an option of optimizers."""
    return f"Of {' and '.join(owners('optimizer', name))}; {OPTIONS['optimizer'][name].default:g} if not given."


SOURCES = {
    "optimizer_options": ("optimizer_option", *OWN_OPTIONS),
    "layer_options": ("layer_option",),
    "loss_options": ("loss_option",),
    "schedule_options": ("schedule_option",),
    "clip_predictions": ("no_clip",),
}
"""Fields of a recipe that the command line has other names for."""


@dataclass(frozen=True)
class RecipeOptions:
    recipe_name: Annotated[
        str,
        typer.Option(
            "--recipe",
            metavar="NAME",
            rich_help_panel=NETWORK,
            help=f"Where options begin that are not given: {', '.join(map(_recipe_in_words, NAMED_RECIPES.values()))}.",
        ),
    ] = "plain"
    hidden: Annotated[
        str,
        typer.Option(
            metavar="SIZES",
            rich_help_panel=NETWORK,
            help="Neurons of each hidden layer, such as 64 or 128,64; none makes a linear model.",
        ),
    ] = "64"
    activation: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=NETWORK,
            help=f"Of the hidden layers: {', '.join(HIDDEN)}; with parametric_ before it, such as parametric_mish, "
            "each neuron learns how much of it to take.",
        ),
    ] = "relu"
    front: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            rich_help_panel=NETWORK,
            help=f"Layers before the hidden ones: {', '.join(('none', *map(_layer_in_words, FRONT.values())))}.",
        ),
    ] = "none"
    layer_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=X",
            rich_help_panel=NETWORK,
            show_default=False,
            help=f"{described('layer')}. May be repeated.",
        ),
    ] = None
    initializer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=NETWORK,
            help="Of the weights: auto (what suits the activation), "
            f"{', '.join(map(_initializer_in_words, INITIALIZERS.values()))}.",
        ),
    ] = "auto"
    zero_last_layer: Annotated[
        bool,
        typer.Option(
            "--zero-last-layer",
            rich_help_panel=NETWORK,
            help="Start with an output layer of zeros, whatever the initializer.",
        ),
    ] = False
    dtype: Annotated[
        str, typer.Option(metavar="NAME", rich_help_panel=NETWORK, help="Of the weights: float32, float64.")
    ] = "float32"
    scale: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=DATA,
            help="Of numeric columns: robust (median 0, interquartile range 1, smoothly clipped at ±3), quantile "
            "(normal scores), standard (mean 0, standard deviation 1), minmax (0 to 1), none. Fitted on the "
            "training rows alone.",
        ),
    ] = "robust"
    category_encoding: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=DATA,
            help="Of categories: one_hot (0 and 1 for each, and for missing ones), signed (-1 and 1 for two, 0 and 1 "
            "for more; missing ones are zeros), scaled (signed, and then by --scale).",
        ),
    ] = "one_hot"
    missing_numbers: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=DATA,
            help="median (they become the median of the column), or indicate (that, and one more input of 0 and 1 says "
            "where they are).",
        ),
    ] = "median"
    target_scale: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=DATA,
            help="Of numbers to be predicted: standard, or log, for a long tail of values above 0.",
        ),
    ] = "standard"
    no_clip: Annotated[
        bool,
        typer.Option(
            "--no-clip",
            rich_help_panel=DATA,
            help="Let predicted numbers leave the training target's range, widened by a tenth of it on each side.",
        ),
    ] = False
    validation: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            rich_help_panel=TRAINING,
            show_default=False,
            help="Share of the rows to keep for validation, such as 0.2. If not given: none, or 0.2 with "
            "--early-stopping.",
        ),
    ] = None
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=TRAINING,
            show_default=False,
            help=f"{', '.join(map(_loss_in_words, LOSSES.values()))}.",
        ),
    ] = None
    loss_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=X",
            rich_help_panel=TRAINING,
            show_default=False,
            help=f"{described('loss')}. May be repeated.",
        ),
    ] = None
    optimizer: Annotated[
        str,
        typer.Option(metavar="NAME", rich_help_panel=TRAINING, help=f"{', '.join(OPTIMIZERS)}."),
    ] = "adam"
    learning_rate: Annotated[
        float,
        typer.Option("--learning-rate", "--lr", metavar="X", rich_help_panel=TRAINING, help="How far an update goes."),
    ] = 1e-3
    momentum: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            rich_help_panel=TRAINING,
            show_default=False,
            help=_option_in_words("momentum"),
        ),
    ] = None
    weight_decay: Annotated[
        float | None,
        typer.Option(metavar="X", rich_help_panel=TRAINING, show_default=False, help=_option_in_words("weight_decay")),
    ] = None
    optimizer_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=X",
            rich_help_panel=TRAINING,
            show_default=False,
            help=f"Any other number of the optimizer: {described('optimizer', OWN_OPTIONS)}. May be repeated.",
        ),
    ] = None
    l2: Annotated[
        float, typer.Option(metavar="X", rich_help_panel=TRAINING, help="L2 penalty, scikit-learn's alpha.")
    ] = 0.0
    clip_norm: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            rich_help_panel=TRAINING,
            show_default=False,
            help="Longest gradient; longer ones are shortened.",
        ),
    ] = None
    schedule: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=TRAINING,
            help=f"Of the learning rate: {', '.join(map(_schedule_in_words, SCHEDULES.values()))}.",
        ),
    ] = "constant"
    schedule_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=X",
            rich_help_panel=TRAINING,
            show_default=False,
            help=f"{described('schedule')}. May be repeated.",
        ),
    ] = None
    dropout: Annotated[
        str,
        typer.Option(
            metavar="SHARE",
            rich_help_panel=TRAINING,
            help="Of each hidden layer's outputs, dropped at random in training: 0.2 for all layers, 0.3,0.1 for each.",
        ),
    ] = "0"
    label_smoothing: Annotated[
        float, typer.Option(metavar="SHARE", rich_help_panel=TRAINING, help="For cross_entropy, from 0 to below 1.")
    ] = 0.0
    dropout_schedule: Annotated[
        str, typer.Option(metavar="NAME", rich_help_panel=TRAINING, help=_schedule_of("--dropout, by the epoch"))
    ] = "constant"
    decay_schedule: Annotated[
        str, typer.Option(metavar="NAME", rich_help_panel=TRAINING, help=_schedule_of("--l2 and --weight-decay"))
    ] = "constant"
    smoothing_schedule: Annotated[
        str, typer.Option(metavar="NAME", rich_help_panel=TRAINING, help=_schedule_of("--label-smoothing"))
    ] = "constant"
    batch_size: Annotated[
        str, typer.Option(metavar="ROWS", rich_help_panel=TRAINING, help="Rows of one update, or all.")
    ] = "32"
    even_batches: Annotated[
        bool,
        typer.Option(
            "--even-batches",
            rich_help_panel=TRAINING,
            help="Batches of the same size, and none of a few rows at an epoch's end.",
        ),
    ] = False
    epochs: Annotated[
        int, typer.Option(metavar="N", rich_help_panel=TRAINING, help="How often to go over all rows.")
    ] = 100
    early_stopping: Annotated[
        bool,
        typer.Option(
            "--early-stopping",
            rich_help_panel=TRAINING,
            help="Stop when the validation loss gets no better, and keep the best weights.",
        ),
    ] = False
    patience: Annotated[
        str | None,
        typer.Option(
            metavar="EPOCHS",
            rich_help_panel=TRAINING,
            show_default=False,
            help="How long --early-stopping waits for a better loss; 10 if not given. inf: all epochs are trained, and "
            "the best one is kept.",
        ),
    ] = None
    monitor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=TRAINING,
            show_default=False,
            help="What --early-stopping goes by: validation_loss (if not given), validation_score (accuracy or R²), "
            "training_loss.",
        ),
    ] = None
    ties: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=TRAINING,
            show_default=False,
            help="Which of equally good epochs --early-stopping keeps: first (if not given), last.",
        ),
    ] = None
    average: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            rich_help_panel=TRAINING,
            show_default=False,
            help="Keep a running average of the weights, of which so much stays at each update, such as 0.99: it is "
            "what is validated and saved.",
        ),
    ] = None
    shuffle: Annotated[
        bool,
        typer.Option("--shuffle/--no-shuffle", rich_help_panel=TRAINING, help="A new order of the rows every epoch."),
    ] = True
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", rich_help_panel=TRAINING, help="Of all randomness: the same seed gives the same result."
        ),
    ] = 0

    def recipe(self) -> Recipe:
        """Raises SettingsError for whatever does not make sense."""
        from gpubp.fitting.recipe import Recipe
        from gpubp.operations.architecture import front_kinds

        fields: dict[str, Any] = dict(
            hidden=sizes(self.hidden),
            front=front_kinds(self.front),
            layer_options=numbers("--layer-option", self.layer_option),
            activation=self.activation,
            loss=self.loss,
            loss_options=numbers("--loss-option", self.loss_option),
            initializer=self.initializer,
            zero_last_layer=self.zero_last_layer,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            optimizer_options=self._optimizer_options(),
            l2=self.l2,
            clip_norm=self.clip_norm,
            schedule=self.schedule,
            schedule_options=numbers("--schedule-option", self.schedule_option),
            dropout=shares(self.dropout),
            label_smoothing=self.label_smoothing,
            dropout_schedule=self.dropout_schedule,
            decay_schedule=self.decay_schedule,
            smoothing_schedule=self.smoothing_schedule,
            batch_size=batch_size(self.batch_size),
            even_batches=self.even_batches,
            epochs=self.epochs,
            average=self.average,
            shuffle=self.shuffle,
            early_stopping=self.early_stopping,
            **self._stopping(),
            validation=self.validation,
            scale=self.scale,
            category_encoding=self.category_encoding,
            missing_numbers=self.missing_numbers,
            target_scale=self.target_scale,
            clip_predictions=not self.no_clip,
            seed=self.seed,
            dtype=self.dtype,
        )
        if self.recipe_name == "plain":
            recipe = Recipe(**fields)
        else:
            given = given_options()
            kept = {name: value for name, value in fields.items() if not given.isdisjoint(SOURCES.get(name, (name,)))}
            recipe = Recipe.named(self.recipe_name, **kept)
        for name in recipe.idle_schedules:  # of a recipe with a name, those that somebody gave
            option = f"--{name.replace('_', '-')}"
            raise SettingsError(f"{option} goes with {GOES_WITH[name]}: add it, or leave {option} out.")
        return recipe

    def _stopping(self) -> dict[str, Any]:
        """What is said of early stopping; SettingsError where there is none."""
        said = {name: getattr(self, name) for name in ("patience", "monitor", "ties")}
        said = {name: value for name, value in said.items() if value is not None}
        if said and not self.early_stopping and self.recipe_name == "plain":
            name = next(iter(said))
            raise SettingsError(f"--{name} goes with --early-stopping: add it, or leave --{name} out.")
        return said if self.patience is None else said | {"patience": patience(self.patience)}

    def _optimizer_options(self) -> dict[str, float]:
        options = numbers("--optimizer-option", self.optimizer_option)
        for name in OWN_OPTIONS:
            value = getattr(self, name)
            if value is not None:
                if name in options:
                    raise SettingsError(f"{name} is given twice: by an option of its own and by --optimizer-option.")
                options[name] = value
        rule = OPTIMIZERS.get(self.optimizer)
        if "momentum" in options and rule is not None and not rule.options:  # plain descent: said by what has momentum
            having = " or ".join(owners("optimizer", "momentum"))
            raise SettingsError(f"The optimizer {self.optimizer} has no momentum: choose --optimizer {having}.")
        return options
