"""From a table to the best ensemble that a preset's time allows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from gpubp.backends import Backend, get_backend
from gpubp.backends.compiler_process import CompilersInterrupted
from gpubp.backends.interruption import Interruption
from gpubp.errors import DivergenceError, SettingsError
from gpubp.fitting.dataset import Names
from gpubp.fitting.fit import say_all
from gpubp.fitting.fold_data import receive
from gpubp.fitting.table_data import TableData
from gpubp.networks.population import check_seed
from gpubp.preprocessing.skew import log_offer
from gpubp.search.run.bag import Bag
from gpubp.search.run.engines import check_engine
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.folds import fold_notes
from gpubp.search.run.progress import Watch, progress_bar
from gpubp.search.run.run_folder import Finished, RunFolder, meaning_of
from gpubp.search.run.scoring import Metric
from gpubp.search.space.parameters import recipe_of
from gpubp.tabular.given import checked_limit, of_kept_rows
from gpubp.tabular.portfolio import fitted_to, portfolio
from gpubp.tabular.presets import USUAL, Preset, preset_of
from gpubp.tabular.result import TabularFit
from gpubp.tabular.rows import divided, folds_for
from gpubp.tabular.seeker import Seeker
from gpubp.tabular.team import choose_team, ensemble_of, standings

KEPT_BYTES = 1 << 30
"""Of the networks and their predictions that are kept: a table for which the portfolio takes more gets less of it."""


def train_tabular(
    table: Any,
    target: Any = None,
    preset: str | Preset = USUAL,
    *,
    time_limit: float | None = None,
    metric: Any = None,
    task: str | None = None,
    categorical: Names = (),
    ignore: Names = (),
    strict: bool = False,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    cv: Any = None,
    fixed: Mapping[str, Any] = MappingProxyType({}),
    backend: Backend | str | None = None,
    engine: str = "auto",
    seed: int = 0,
    memory: int | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    checkpoint: float = 60.0,
    watch: Sequence[Watch] = (),
    progress: bool = False,
    tell: Callable[[str], None] = warnings.warn,
    note: Callable[[str], None] | None = None,
) -> TabularFit:
    """Train a portfolio of networks on a table, and choose those that answer best together.

    Every configuration of the preset has a network for each fold of a cross-validation; those of one architecture train
    as one population. The ensemble is chosen greedily by the predictions of rows that a network had not seen, and its
    probabilities get the temperature that suits these. Nothing is trained again: the folds' networks are the members.

    table, target, task, categorical, ignore, strict, backend, note: see `train_model`; target may be a column of its
    own as well. preset: "fast", "good" or "best" (see `presets`). time_limit: seconds, after which nothing new is
    begun; None for the preset's own. metric: see `sweep`; None for the log-loss or the squared error. weights (N,): how
    much each row counts. groups (N,): rows of one group are never on both sides of a fold. cv: see `sweep`; None for
    the preset's number of folds, or fewer for small and for large tables. fixed: parameters that all configurations
    have in common, by the names of a search space, such as {"target_scale": "log"}. engine, memory, folder, resume,
    checkpoint, watch, tell: see `sweep`.

    Ctrl-C ends it with what is done; KeyboardInterrupt if that is nothing. Raises DataError or SettingsError for what
    cannot be trained, or where the time was over before anything was; DivergenceError where all networks left the
    finite numbers.
    """
    started = time.perf_counter()
    chosen, plan = get_backend(backend), preset_of(preset)
    check_seed(seed)
    check_engine(engine)
    limit = checked_limit(time_limit, plan)
    data = receive(table, target, task, categorical, ignore, strict)
    if not isinstance(data, TableData):
        raise SettingsError(
            "Give a data frame, a path, or what gpubp.read_table gives; an array has no columns with kinds."
        )
    if data.task == "classification" and fixed.get("target_scale", "standard") != "standard":
        raise SettingsError(f"The target scale {fixed['target_scale']} is for numbers, and {data.name!r} has classes.")
    weights, groups = (of_kept_rows(each, data, what) for each, what in ((weights, "weights"), (groups, "groups")))
    n_folds = folds_for(data, plan.folds, groups)
    splits = divided(data, n_folds, plan.repeats, cv, groups, seed)
    seen = np.unique(np.concatenate([training for training, _ in splits]))
    scoring = Metric("loss" if metric is None else metric, data, weights)
    configurations = portfolio(data.task, plan.portfolio)[: plan.configurations]
    n_training = max(len(training) for training, _ in splits)
    drawn = [fitted_to({**each, **fixed}, data, n_training) for each in configurations]
    first = recipe_of(drawn[0])
    standard = data.task == "regression" and first.target_scale == "standard"
    offer = log_offer(data.truth, data.name) if standard else None
    rare = fold_notes(data, n_folds) if cv is None and groups is None else ()
    notes = (*data.notes(first.inputs), *rare, *([] if offer is None else [offer]))
    say_all(notes, note)
    run, store = None, None
    if folder is not None:
        run = RunFolder(Path(folder))
        meaning = meaning_of(
            data, splits, preset=repr(plan), portfolio=repr(drawn), metric=scoring.name, engine=engine,
            backend=chosen.name, seed=int(seed), weights=None if weights is None else weights.tolist(),
        )  # fmt: skip
        try:
            store = run.open(meaning, resume, checkpoint, tell)
        except Finished:
            store = run.open(meaning, False, checkpoint, tell)
    seeker = Seeker(data, n_training, scoring, plan.picks, fixed) if plan.searches else None
    with closing(run) if run is not None else nullcontext(), progress_bar(progress) as bar:
        experiment = Experiment(
            data,
            splits,
            scoring,
            backend=chosen,
            engine=engine,
            seed=seed,
            n_trials=len(drawn) + (0 if seeker is None else seeker.most),
            memory=memory,
            budget=max(1e-3, limit - (time.perf_counter() - started)),
            watch=[*watch, *bar],
            store=store,
            bag=Bag(seen, weights),
        )
        experiment.engines.all_paid = True  # the kernel is compiled once on a machine, and then serves every table
        drawn = _within_memory(experiment, drawn)
        with Interruption(patience=0.0) as interruption:
            experiment.interruption = interruption
            try:
                experiment.run([experiment.configure(number, each) for number, each in enumerate(drawn)])
                if seeker is not None:
                    seeker.run(experiment, configurations[: len(drawn)])
            except CompilersInterrupted:
                experiment.interrupted = experiment.ended = True
            experiment.interrupted |= interruption.requested
        if seeker is None:
            experiment.conclude(len(drawn))
        if store is not None and experiment.ended:
            store.flush()
    team = choose_team(experiment, plan.picks)
    if team is None:
        raise _nothing_done(experiment)
    ensemble = ensemble_of(experiment, team, seen, {"preset": plan.name, "source": data.table.source})
    more = _endings(experiment, limit, seeker)
    say_all((*experiment.notes(), *more), note)
    return TabularFit(
        ensemble=ensemble,
        preset=plan.name,
        metric=scoring.name,
        predictions=team.predictions,
        score=team.score,
        fold_scores=team.fold_scores,
        baseline=team.baseline,
        report=team.report,
        leaderboard=standings(experiment, team),
        n_trials=sum(bool(record.seen.all()) for record in experiment.records.values()),
        n_networks=sum(int(record.seen.sum()) for record in experiment.records.values()),
        folds=len(splits) if cv is not None else n_folds,
        repeats=1 if cv is not None else len(splits) // n_folds,
        seconds=time.perf_counter() - started,
        limit=limit,
        backend=chosen.name,
        ended_early=experiment.ended,
        interrupted=experiment.interrupted,
        stopped=seeker is not None and seeker.stalled,
        target_scale=None if data.task == "classification" else first.target_scale,
        notes=(*notes, *experiment.notes(), *more),
        data=data,
        offer=offer,
        folder=run,
    )


def _within_memory(experiment: Experiment, drawn: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of the configurations as their networks and predictions leave room for; one at least."""
    data, taken = experiment.data, 0
    found: list[dict[str, Any]] = []
    for number, each in enumerate(drawn):
        shape = experiment.configure(number, each).architecture
        taken += 4 * (shape.n_parameters * len(experiment.splits) + data.n_rows * data.n_outputs)
        if found and taken > KEPT_BYTES:
            break
        found.append(each)
    experiment.keeps_predictions = True
    return found


def _nothing_done(experiment: Experiment) -> Exception | KeyboardInterrupt:
    if experiment.interrupted:
        return KeyboardInterrupt()
    if any(record.seen.all() for record in experiment.records.values()):
        return DivergenceError(
            "All networks left the finite numbers. Are there numbers out of all proportion in the table, or weights?"
        )
    needed = "" if experiment.needed == float("inf") else f" It takes about {experiment.needed:.0f} s."
    return SettingsError(f"The time was over before the first configuration was trained.{needed} Give it more time.")


def _endings(experiment: Experiment, limit: float, seeker: Seeker | None) -> tuple[str, ...]:
    """What there is to say of how it ended."""
    records = experiment.records.values()
    done = sum(bool(record.seen.all()) for record in records)
    lost = sum(bool(record.seen.all()) and not np.isfinite(record.score) for record in records)
    found = []
    if experiment.ended and not experiment.interrupted:
        found.append(
            f"The time limit of {limit:g} s ended it after {done} of {len(experiment.records)} configurations."
        )
    elif seeker is not None and seeker.stalled:
        found.append(f"The search ended after {done} configurations: further ones made the ensemble no better.")
    if lost:
        found.append(f"{lost} of {done} configurations left the finite numbers, and do not count.")
    return tuple(found)
