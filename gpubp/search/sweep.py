"""`gpubp.sweep`: which network is best for this table?"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from gpubp.backends import Backend, get_backend
from gpubp.backends.compiler_process import CompilersInterrupted
from gpubp.backends.interruption import Interruption
from gpubp.errors import SettingsError
from gpubp.fitting.dataset import Names
from gpubp.fitting.fit import say_all
from gpubp.fitting.fold_data import receive
from gpubp.fitting.table_data import TableData
from gpubp.networks.population import check_seed
from gpubp.preprocessing import InputRules
from gpubp.preprocessing.skew import log_offer
from gpubp.search.results.result import SweepResult
from gpubp.search.run.engines import check_engine
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.folds import fold_notes, splits_of
from gpubp.search.run.progress import Watch, progress_bar
from gpubp.search.run.run_folder import RunFolder, meaning_of
from gpubp.search.run.scoring import Metric
from gpubp.search.space.parameters import recipe_of
from gpubp.search.space.ranges import Choices
from gpubp.search.space.space import Space
from gpubp.search.strategies.by_name import strategy_of


def sweep(
    X: Any,
    y: Any = None,
    space: Space | Mapping[str, Any] | None = None,
    *,
    n_trials: int | None = None,
    cv: Any = 5,
    repeats: int = 1,
    strategy: Any = "random",
    metric: Any = None,
    task: str | None = None,
    categorical: Names = (),
    ignore: Names = (),
    strict: bool = False,
    backend: Backend | str | None = None,
    engine: str = "auto",
    seed: int = 0,
    memory: int | None = None,
    budget: float | None = None,
    watch: Sequence[Watch] = (),
    progress: bool = False,
    folder: str | Path | None = None,
    resume: bool = False,
    checkpoint: float = 60.0,
    tell: Callable[[str], None] = warnings.warn,
    note: Callable[[str], None] | None = None,
) -> SweepResult:
    """Try configurations of a search space by cross-validation: configurations × folds × repeats networks, and those of
    one architecture train together as populations.

    X, y: arrays (numbers, and labels or numbers; a sparse X is made dense); or a `Table` (`gpubp.read_table`), a file's
    path or a data frame (pandas, polars, Arrow), y being the name or place of the target column (None: the last), or a
    column of its own. task: "classification", "regression", or None, which goes by the rule of `Target.fit`.
    categorical, ignore, strict: of a table, see `train_model`.
    space: see `Space`. cv: a number of folds, a splitter of scikit-learn's, or (training, test) rows.
    strategy: "random" (100 trials where n_trials does not say), "grid", "halving", "tpe", or an object: `Grid(points)`,
    `Halving(factor, least_epochs)`, `TPE(storage, …)`.
    metric: the name of a scorer of scikit-learn's, "loss", a callable (estimator, X, y), or None for accuracy or R².
    A callable is given the test rows' features as they came (of a data frame, its rows without the target).
    engine: "auto" chooses one for each kind of network by an estimate of the whole sweep; name one where sweeps of
    different sizes have to give the same bits. memory: bytes that a population may take, None for half of what is free.
    budget: seconds after which the sweep ends with what is done; populations are cut into portions of whole trials that
    fit the time left, which changes no bit. Before its first trial is done it goes on, if three times the budget is
    enough for that. watch: called with a `Progress` after each part, and some ten times a second in between.
    folder: where results and snapshots are kept, every `checkpoint` seconds; with `resume`, a sweep of the same table
    and arguments (but for memory, budget and watch) that was cut short there goes on, to the same bits as if it had not
    been. One that has come to its end gives its result again, until `result.discard_checkpoints()`. A disk that takes
    no checkpoint is told of (`tell`), and the sweep goes on. note: called with each of the notes before the training.

    Scales are fitted on each fold's training rows. A trial's networks have seeds made from the sweep's seed, the
    trial's number and the fold: its result does not depend on the other trials. Networks that diverge are marked, and
    count in no mean. Ctrl-C ends the sweep with what is done.
    """
    if space is None:
        raise SettingsError("A sweep needs a search space, such as {'hidden': [(16,), (32, 32)]}.")
    chosen, plan, space = get_backend(backend), strategy_of(strategy), Space.of(space)
    check_seed(seed)
    check_engine(engine)
    for what, value, kind in (("memory", memory, Integral), ("budget", budget, Real)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, kind) or not value > 0):
            raise SettingsError(f"{what} {value!r}: give a number above 0, or None.")
    if isinstance(checkpoint, bool) or not isinstance(checkpoint, Real) or not checkpoint >= 0:
        raise SettingsError(f"checkpoint {checkpoint!r}: give a number of seconds, 0 or more.")
    if resume and folder is None:
        raise SettingsError("resume=True goes on with what is in a folder: name it.")
    count = plan.count(space, n_trials)
    data = receive(X, y, task, categorical, ignore, strict)
    offer = _offer(data, space) if isinstance(data, TableData) else None
    splits, scoring = splits_of(data, cv, repeats, seed), Metric(metric, data)
    notes = (*(data.notes(_rules(space)) if isinstance(data, TableData) else ()), *fold_notes(data, cv))
    notes = notes if offer is None else (*notes, offer)
    say_all(notes, note)
    prepare = getattr(plan, "prepare", None)  # not every strategy needs a place
    if prepare is not None:
        prepare(folder is not None)
    started = time.perf_counter()
    run, store = None, None
    if folder is not None:
        run = RunFolder(Path(folder))
        store = run.open(
            meaning_of(
                data,
                splits,
                space=repr(space.entries),
                conditions=repr(space.conditions),
                strategy=repr(plan),
                trials=count,
                metric=scoring.name,
                engine=engine,
                backend=chosen.name,
                seed=int(seed),
            ),
            resume,
            checkpoint,
            tell,
        )
    with closing(run) if run is not None else nullcontext(), progress_bar(progress) as bar:
        experiment = Experiment(
            data,
            splits,
            scoring,
            backend=chosen,
            engine=engine,
            seed=seed,
            n_trials=count,
            memory=memory,
            budget=budget,
            watch=[*watch, *bar],
            store=store,
        )
        with Interruption(patience=0.0) as interruption:
            experiment.interruption = interruption
            try:
                plan.run(experiment, space, count)
            except CompilersInterrupted:  # of a kernel that scores what was trained
                experiment.interrupted = experiment.ended = True
            experiment.interrupted |= interruption.requested
        experiment.conclude(count)
        if store is not None:
            store.flush()
    say_all(experiment.notes(), note)
    return SweepResult(
        trials=tuple(experiment.trials()),
        space=space,
        strategy=plan.name,
        metric=experiment.metric.name,
        task=data.task,
        seed=seed,
        seconds=time.perf_counter() - started,
        backend=chosen.name,
        ended_early=experiment.ended,
        interrupted=experiment.interrupted,
        notes=(*notes, *experiment.notes()),
        offer=offer,
        experiment=experiment,
        folder=run,
    )


def _rules(space: Space) -> InputRules:
    """How inputs are made, as far as the space leaves no choice; else the usual way."""
    found = {name: space.entries[name] for name in ("category_encoding", "missing_numbers") if name in space.entries}
    values = {name: each.values for name, each in found.items() if isinstance(each, Choices)}
    return recipe_of({name: each[0] for name, each in values.items() if len(each) == 1}).inputs


def _offer(data: TableData, space: Space) -> str | None:
    """What speaks for the target scale log, where the space does not name it, and has a loss that goes with it."""
    losses = space.entries.get("loss")
    counts = losses is not None and "squared_error" not in getattr(losses, "values", ())
    if data.task == "classification" or "target_scale" in space.names or counts:
        return None
    return log_offer(data.truth, data.name)
