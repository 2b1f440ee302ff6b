"""From a table and a recipe to a trained model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpubp.backends import Backend, get_backend
from gpubp.engines.choose import EngineChoice, choose_engine
from gpubp.errors import DivergenceError
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.dataset import Dataset, Names
from gpubp.fitting.fold import Fold
from gpubp.fitting.job import Job
from gpubp.fitting.recipe import Recipe
from gpubp.fitting.splits import validation_notes, validation_split
from gpubp.models.model import Model
from gpubp.networks.preparation import prepare
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import LOSSES
from gpubp.preprocessing import Target
from gpubp.preprocessing.skew import log_offer
from gpubp.tables import Table
from gpubp.training.history import Callback, History
from gpubp.training.snapshot import SnapshotSink


@dataclass(frozen=True)
class Fit:
    """A trained model and how it came about.

    validation: the metrics on the validation rows (None without any); notes: how the table was read, what was done to
    its values, and which classes are too rare to be both trained on and validated. offer: what speaks for another
    target scale; None where nothing does.
    """

    model: Model
    history: History
    validation: dict[str, Any] | None
    n_training: int
    n_validation: int
    notes: tuple[str, ...]
    offer: str | None = None


def train_model(
    table: Any,
    target: str | int | None = None,
    recipe: Recipe | None = None,
    *,
    task: str | None = None,
    categorical: Names = (),
    ignore: Names = (),
    strict: bool = False,
    backend: Backend | str | None = None,
    engine: str = "auto",
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
    checkpoint: SnapshotSink | None = None,
    note: Callable[[str], None] | None = None,
) -> Fit:
    """Train one network on a table.

    table: a `Table`, a file's path, a data frame (polars, pandas, Arrow) or an array (N, D). target: a column's name or
    position, None for the last. task: "classification", "regression" or None, which goes by the rule of `Target.fit`.
    categorical: columns of numbers that are codes of categories, or of texts that would be left out; ignore: columns to
    leave out; both by name, position or wildcard. strict: refuse rows without a target, which are left out otherwise.
    Preprocessing is fitted on the training rows alone. note: called with each of the notes before the training.
    checkpoint: see `train`; a `Checkpoint` is to be removed once the model is saved. Ctrl-C ends the training, and
    gives the model as it is then, with `history.interrupted`.

    Raises DataError or SettingsError for what cannot be trained, DivergenceError where the training left the finite
    numbers; there is no model then.
    """
    setup = set_up(table, target, recipe or Recipe(), task, categorical, ignore, strict, get_backend(backend))
    say_all(setup.notes, note)
    cohort = Cohort.start(setup.jobs([setup.recipe.seed]), setup.backend).train(
        engine=engine, sink=checkpoint, callbacks=callbacks, progress=progress
    )
    history, population = cohort.history, cohort.population
    assert history is not None
    refuse_divergence(history, ["the network"])
    report = None
    if setup.validation is not None:
        outputs = setup.backend.to_host(population.predict(setup.fold.sheet.X[setup.validation]))[0]
        report = setup.fold.score(outputs, setup.validation)
    model = Model(
        setup.architecture,
        cohort.params_on_host()[0],
        setup.fold.preprocessing,
        setup.fold.target,
        _description(setup.dataset.table, setup.recipe, history, report, len(setup.training)),
    )
    n_validation = 0 if setup.validation is None else len(setup.validation)
    return Fit(model, history, report, len(setup.training), n_validation, setup.notes, setup.offer)


def explain_engine(
    table: Any,
    target: str | int | None = None,
    recipe: Recipe | None = None,
    *,
    task: str | None = None,
    categorical: Names = (),
    ignore: Names = (),
    strict: bool = False,
    backend: Backend | str | None = None,
    engine: str = "auto",
) -> EngineChoice:
    """Which engine `train_model` would take with the same arguments, and why; nothing is trained or compiled."""
    setup = set_up(table, target, recipe or Recipe(), task, categorical, ignore, strict, get_backend(backend))
    population = Cohort.start(setup.jobs([setup.recipe.seed]), setup.backend).population
    sheet = setup.fold.sheet
    plan = prepare(population, sheet.X, sheet.T, setup.settings, rows=setup.training, validation_rows=setup.validation)
    return choose_engine(plan, engine)


@dataclass(frozen=True)
class SetUp:
    """A table and a recipe, made ready for training; the fold is fitted on the training rows."""

    dataset: Dataset
    recipe: Recipe
    settings: Settings
    architecture: Architecture
    backend: Backend
    fold: Fold
    training: np.ndarray
    validation: np.ndarray | None
    notes: tuple[str, ...]
    offer: str | None

    def jobs(self, seeds: Sequence[int], rows: Sequence[np.ndarray] | None = None) -> list[Job]:
        """A network for each seed. rows: what each trains on, if not all on the training rows."""
        chosen = [self.training] * len(seeds) if rows is None else rows
        return [
            Job(
                self.architecture,
                self.settings,
                np.dtype(self.recipe.dtype),
                self.recipe.initializer,
                seed,
                self.fold.sheet,
                own,
                self.validation,
                zero_last_layer=self.recipe.zero_last_layer,
            )
            for seed, own in zip(seeds, chosen, strict=True)
        ]


def set_up(
    table: Any,
    target: str | int | None,
    recipe: Recipe,
    task: str | None,
    categorical: Names,
    ignore: Names,
    strict: bool,
    backend: Backend,
) -> SetUp:
    data = Dataset.of(table, target, task, categorical=categorical, ignore=ignore, strict=strict)
    recipe = recipe.for_task(data.task)
    training, validation, notes = _split(data, recipe)
    fold = Fold.of(data, recipe, training)
    architecture = recipe.architecture(
        fold.sheet.X.shape[1], fold.target.outputs, data.task, fold.indicators, fold.categories
    )
    settings = recipe.settings(data.task)
    offer = target_offer(data.table, data.target, recipe)
    notes = (*fold.preprocessing.notes, *notes, *([] if offer is None else [offer]))
    return SetUp(data, recipe, settings, architecture, backend, fold, training, validation, notes, offer)


def say_all(notes: Iterable[str], note: Callable[[str], None] | None) -> None:
    """Each of the notes to whoever wants to hear them."""
    if note is not None:
        for each in notes:
            note(each)


def target_offer(table: Table, target: Target, recipe: Recipe) -> str | None:
    """What speaks for the target scale log, where the recipe has another, and could have this one."""
    if target.task == "classification" or recipe.target_scale == "log":
        return None
    if LOSSES[recipe.loss_for(target.task)].is_for_counts:
        return None
    return log_offer(target.values(table), target.name)


def _split(data: Dataset, recipe: Recipe) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Training rows, validation rows, and notes on them."""
    share = recipe.validation_share
    if share is None:
        return np.arange(data.table.rows), None, ()
    index = data.class_index()
    training, validation = validation_split(index, data.table.rows, share, recipe.seed)
    notes = () if index is None else validation_notes(index, data.target.labels, training, validation)
    return training, validation, notes


def refuse_divergence(history: History, names: Sequence[str]) -> None:
    """DivergenceError if any network left the finite numbers and has no good weights to fall back on: none that are
    better than those of its first epoch.
    """
    if history.lost.any():
        p = int(np.flatnonzero(history.lost)[0])
        raise DivergenceError(
            f"Training diverged: the loss of {names[p]} stopped being a finite number in epoch "
            f"{history.diverged_epoch[p] + 1}. Try a smaller --learning-rate (a tenth), --clip-norm 1, or --scale "
            "robust. No model was written."
        )


def _description(
    table: Table, recipe: Recipe, history: History, report: dict[str, Any] | None, n_training: int
) -> dict[str, Any]:
    from gpubp._version import __version__

    kept = int(history.best_epoch[0]) if history.best_epoch[0] >= 0 else int(history.epochs[0]) - 1
    return {
        "gpubp": __version__,
        "source": table.source,
        "rows": n_training,
        "recipe": recipe.to_dict(),
        "epochs": int(history.epochs[0]),
        "kept_epoch": kept + 1,
        "interrupted": history.interrupted,
        "training_loss": _number(history.training_loss, kept),
        "validation": report,
        "seconds": history.seconds,
        "backend": history.backend,
        "engine": history.engine,
    }


def _number(losses: np.ndarray, epoch: int) -> float | None:
    if not 0 <= epoch < len(losses) or not np.isfinite(losses[epoch, 0]):
        return None
    return float(losses[epoch, 0])
