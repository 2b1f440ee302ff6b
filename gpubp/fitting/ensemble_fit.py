"""From a table and a recipe to an ensemble: members that differ in their seeds, and with bagging in their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpubp.backends import Backend, get_backend
from gpubp.errors import SettingsError, quoted
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.dataset import Names
from gpubp.fitting.fit import refuse_divergence, say_all, set_up
from gpubp.fitting.fold_scaling import unscaled
from gpubp.fitting.recipe import Recipe
from gpubp.models.ensemble import Ensemble, Members
from gpubp.models.model import Prediction, score
from gpubp.networks.population import network_seeds
from gpubp.networks.sampling import bootstrap_rows
from gpubp.networks.settings import check_whole
from gpubp.preprocessing.labels import as_labels
from gpubp.training.history import Callback, History
from gpubp.training.snapshot import SnapshotSink


@dataclass(frozen=True)
class EnsembleFit:
    """An ensemble and how it came about. history: of all members, those that are left out too.

    left_out: the places of members that diverged. validation: the metrics of the ensemble on the validation rows (None
    without any); notes: how the table was read, what was done to its values, and which classes are too rare to be both
    trained on and validated. offer: what speaks for another target scale.
    """

    ensemble: Ensemble
    history: History
    left_out: tuple[int, ...]
    validation: dict[str, Any] | None
    n_training: int
    n_validation: int
    notes: tuple[str, ...]
    offer: str | None = None


def train_ensemble(
    table: Any,
    target: str | int | None = None,
    recipe: Recipe | None = None,
    *,
    members: int = 10,
    bootstrap: bool = False,
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
) -> EnsembleFit:
    """Train several networks on a table, as one population (see `train_model` for the other parameters).

    Each member's seed follows from the recipe's and from its place, so that it is the same network whatever `members`
    is. bootstrap: each trains on training rows drawn with replacement, as many as there are. All have the same
    validation rows, and each stops by itself. Ctrl-C ends the training, and gives the networks as they are then, with
    `history.interrupted`.

    Raises DataError or SettingsError for what cannot be trained, DivergenceError where all members left the finite
    numbers; one that did alone is left out.
    """
    if isinstance(members, bool) or not isinstance(members, int) or members < 2:
        raise SettingsError(f"members {quoted(members)}: an ensemble has at least 2; for one network, use train_model.")
    check_whole("members", members)
    recipe = recipe or Recipe()
    made = set_up(table, target, recipe, task, categorical, ignore, strict, get_backend(backend))
    say_all(made.notes, note)
    seeds = network_seeds(recipe.seed, members).tolist()
    rows = [bootstrap_rows(made.training, None, seed) for seed in seeds] if bootstrap else None
    cohort = Cohort.start(made.jobs(seeds, rows), made.backend).train(
        engine=engine, sink=checkpoint, callbacks=callbacks, progress=progress
    )
    history = cohort.history
    assert history is not None
    names = [f"member {place + 1}" for place in range(members)]
    if history.lost.all():
        refuse_divergence(history, names)
    kept = np.flatnonzero(~history.lost)
    goal, sheet = made.fold.target, made.fold.sheet
    as_scaled = replace(sheet, offset=np.zeros_like(sheet.offset), scale=np.ones_like(sheet.scale))
    params = unscaled(made.architecture, cohort.params_on_host()[kept], as_scaled)  # of scaled inputs, as before
    ensemble = Ensemble(
        members=(
            Members(
                made.architecture,
                params,
                np.ones(len(kept), dtype=np.int64),
                tuple(names[p] for p in kept),
                log=goal.log,
                limited=goal.limits is not None,
            ),
        ),
        task=goal.task,
        classes=as_labels(goal.labels) if goal.task == "classification" else None,
        single=True,
        preprocessing=made.fold.preprocessing,
        target=goal,
        description={
            "source": made.dataset.table.source,
            "rows": len(made.training),
            "recipe": made.recipe.to_dict(),
            "members": members,
            "bootstrap": bootstrap,
        },
    )
    report = None
    if made.validation is not None:
        held_out = made.dataset.table.take(made.validation)
        answer = ensemble.answer(held_out, made.backend)
        report = score(Prediction(answer.values, answer.probabilities, ()), goal, held_out)
    n_validation = 0 if made.validation is None else len(made.validation)
    left_out = tuple(np.flatnonzero(history.lost).tolist())
    return EnsembleFit(ensemble, history, left_out, report, len(made.training), n_validation, made.notes, made.offer)
