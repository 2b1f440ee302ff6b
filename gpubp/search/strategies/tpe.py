"""Optuna's samplers (by default the tree-structured Parzen estimator, Bergstra et al. 2011), asked for trials by the
batch: as many configurations as train together well, then all their scores at once.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.errors import DataError, SettingsError
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.trial import TrialProgress
from gpubp.search.space.ranges import Choices, Range
from gpubp.search.space.space import Space
from gpubp.search.strategies.strategies import checked_trials
from gpubp.search.strategies.study_storage import kept_in, opened, shown
from gpubp.storage.files import is_planted

STUDIES, STUDY = "gpubp-studies.sqlite3", "study.sqlite3"
MEANING = "gpubp: what a trial is"  # a study's attribute: its space and metric


@dataclass(frozen=True, repr=False)
class TPE:
    """storage: where the study is kept, a URL of Optuna's (SQLite, PostgreSQL, MySQL, a journal) or a storage object;
    None for a SQLite file in the sweep's folder, or without one in the current folder. study: its name; one that is
    there already is gone on with, by as many machines at once as like; None for a new one. batch: trials that are asked
    for at a time. sampler: any of Optuna's; None for TPE with the sweep's seed.

    Trials are numbered by the study, so that machines which share one have different trials, with different seeds. A
    sweep that is resumed asks for all its trials again, in a new study, and trains none whose results are kept: the
    sampler is told the same, and so asks the same. In a named study, which others may have gone on with meanwhile, the
    trials that were begun are finished, and then further ones are asked for.
    """

    storage: Any = None
    study: str | None = None
    batch: int = 16
    sampler: Any = None
    name: str = "tpe"

    def __post_init__(self) -> None:
        if isinstance(self.batch, bool) or not isinstance(self.batch, int) or self.batch < 1:
            raise SettingsError(f"TPE(batch={self.batch!r}): give a whole number, at least 1.")
        if self.study is not None and not isinstance(self.study, str):
            raise SettingsError(f"TPE(study={self.study!r:.60}): give a name.")

    def __repr__(self) -> str:
        """Without passwords, and the same in every process: sweeps are told apart by it."""
        storage = None if self.storage is None else shown(self.storage)
        sampler = None if self.sampler is None else type(self.sampler).__qualname__
        return f"TPE({storage=}, study={self.study!r}, batch={self.batch!r}, {sampler=}, name={self.name!r})"

    def count(self, space: Space, n_trials: int | None) -> int:
        return checked_trials(n_trials)

    def prepare(self, in_folder: bool) -> None:
        """Find out before the sweep begins whether there is a place for its study; in_folder: the sweep has a folder.
        SettingsError or DataError where there is none.
        """
        optuna = import_optuna()
        if self.study is not None or self.storage is not None or not in_folder:
            with quiet(optuna), opened(optuna, self._place):
                pass

    def run(self, experiment: Experiment, space: Space, n_trials: int) -> None:
        optuna = import_optuna()
        name, place = self._study_of(experiment)
        kept = partial(kept_in, optuna, place, _remedy(experiment))
        with quiet(optuna), opened(optuna, place) as database:
            with kept_in(optuna, place):
                study = self._study(optuna, experiment, space, name, database)
            try:
                self._ask_and_try(_OpenStudy(optuna, study, kept), experiment, space, n_trials)
            except DataError:
                if experiment.store is not None:
                    experiment.store.flush()  # what is trained is not lost
                raise

    def _ask_and_try(self, held: _OpenStudy, experiment: Experiment, space: Space, n_trials: int) -> None:
        left = n_trials - self._adopt(held, experiment, space)
        while left > 0 and not experiment.must_end():
            with held.kept():
                asked = [held.study.ask() for _ in range(min(self.batch, left))]
            left -= len(asked)
            try:
                _try(held, experiment, space, asked, times=n_trials / len(asked))
            except BaseException:
                with suppress(Exception):  # of a storage that takes no more: what is raised already says it
                    for trial in asked:
                        held.study.tell(trial.number, state=held.optuna.trial.TrialState.FAIL)
                raise

    @property
    def _place(self) -> Any:
        if self.storage:
            return self.storage
        if is_planted(Path(STUDIES)):
            raise DataError(
                f"{STUDIES} is a link, in a folder that others may write to: remove it, or name a place for studies "
                "(--storage sqlite:///FILE, or TPE(storage=...))."
            )
        return f"sqlite:///{STUDIES}"

    def _adopt(self, held: _OpenStudy, experiment: Experiment, space: Space) -> int:
        """Of a named study: finish the trials that an earlier run of this sweep had begun; how many there are."""
        if self.study is None or experiment.store is None:
            return 0
        begun = sorted({trial for trial, _, _ in experiment.store.results})
        parameters = {trial.number: trial.params for trial in held.study.get_trials(deepcopy=False)}
        adopted = [held.optuna.trial.FixedTrial(parameters[number], number) for number in begun if number in parameters]
        if adopted:
            _try(held, experiment, space, adopted, times=1.0)
        return len(adopted)

    def _study_of(self, experiment: Experiment) -> tuple[str, Any]:
        """The study's name, and where it is kept."""
        if self.study is not None:
            return self.study, self._place
        name = datetime.now().strftime("sweep %Y-%m-%d %H:%M:%S.%f")
        if self.storage is not None or experiment.store is None:
            return name, self._place
        file = experiment.store.folder.with_name(STUDY)
        file.unlink(missing_ok=True)  # of a run that was cut short: this one asks for all trials again
        return name, f"sqlite:///{file}"

    def _study(self, optuna: Any, experiment: Experiment, space: Space, name: str, database: Any) -> Any:
        sampler = self.sampler
        if sampler is None:
            sampler = tpe_sampler(optuna, experiment.seed)
        study = optuna.create_study(
            storage=database,
            study_name=name,
            direction="maximize",
            sampler=sampler,
            load_if_exists=self.study is not None,
        )
        folds = len(experiment.splits)
        meaning = f"{experiment.metric.name} over {folds} folds of {space.entries!r} {space.conditions!r}"
        found = study.user_attrs.get(MEANING)
        if found is not None and found != meaning:
            raise SettingsError(
                f"The study {name!r} is of another sweep: its trials are {found[:300]}. Give this one another name."
            )
        study.set_user_attr(MEANING, meaning)
        return study


@dataclass(frozen=True)
class _OpenStudy:
    """A study whose storage is open. kept: a context in which the storage's errors are DataErrors."""

    optuna: Any
    study: Any
    kept: Callable[[], AbstractContextManager[None]]


def _remedy(experiment: Experiment) -> str:
    """Of a storage that takes no more."""
    if experiment.store is None:
        return ""
    folder = experiment.store.folder.parent
    return f" What was trained is kept in {folder}: go on with it (--resume, or resume=True)."


def _try(held: _OpenStudy, experiment: Experiment, space: Space, asked: Sequence[Any], times: float) -> None:
    """Train what these trials suggest, and tell the study."""
    numbers = [trial.number for trial in asked]
    with held.kept():
        drawn = [space.configure(_Suggested(trial, space)) for trial in asked]
    configurations = [experiment.configure(number, each) for number, each in zip(numbers, drawn, strict=True)]
    records = experiment.run(configurations, times)
    with held.kept():
        for number, record in zip(numbers, records, strict=True):
            _tell(held.optuna, held.study, number, record)


class _Suggested:
    """Chooses each value of a configuration by asking one of Optuna's trials."""

    def __init__(self, trial: Any, space: Space) -> None:
        self.trial = trial
        groups = (space.entries, *(when.entries for when in space.conditions))
        self.entries: dict[str, list[Range | Choices]] = {}
        for group in groups:
            for name, given in group.items():
                self.entries.setdefault(name, []).append(given)

    def __call__(self, name: str, given: Range | Choices) -> Any:
        if isinstance(given, Choices):
            if len(given.values) == 1:
                return given.values[0]
            labels = [str(value) for value in given.values]  # what every storage can hold
            return given.values[labels.index(self.trial.suggest_categorical(self._key(name, given), labels))]
        suggest = self.trial.suggest_int if given.integer else self.trial.suggest_float
        kind = int if given.integer else float
        return suggest(self._key(name, given), kind(given.low), kind(given.high), log=given.log)

    def _key(self, name: str, given: Range | Choices) -> str:
        """The parameter's name; with a number where conditions bring it with different values."""
        same_name = self.entries[name]
        if len(same_name) == 1:
            return name
        return f"{name} ({next(i for i, each in enumerate(same_name) if each is given) + 1})"


class Sampler:
    """Optuna's sampler by itself, in this process's memory: asked for configurations of a space, and told scores.

    SettingsError where Optuna is not installed.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.optuna, self.space = import_optuna(), space
        with quiet(self.optuna):
            self.study = self.optuna.create_study(direction="maximize", sampler=tpe_sampler(self.optuna, seed))
        self._asked: list[tuple[dict[str, Any], Any]] = []

    def ask(self) -> dict[str, Any]:
        with quiet(self.optuna):
            trial = self.study.ask()
            found = self.space.configure(_Suggested(trial, self.space))
        self._asked.append((found, trial))
        return found

    def tell(self, parameters: Mapping[str, Any], score: float) -> None:
        """score: more is better, −inf for one that was lost. parameters: what `ask` gave, or others of the space."""
        states = self.optuna.trial.TrialState
        with quiet(self.optuna):
            for place, (found, trial) in enumerate(self._asked):
                if found is parameters:
                    del self._asked[place]
                    lost = not np.isfinite(score)
                    self.study.tell(trial, None if lost else score, state=states.PRUNED if lost else None)
                    return
            if np.isfinite(score):
                self._add(parameters, score)

    def _add(self, parameters: Mapping[str, Any], score: float) -> None:
        """A configuration that nobody has asked for; those beyond the space are not told."""
        labels: dict[str, Any] = {}
        distributions: dict[str, Any] = {}
        of = self.optuna.distributions
        for name, given in self.space.entries.items():
            if name not in parameters:
                continue
            value = parameters[name]
            if isinstance(given, Choices):
                if len(given.values) == 1:
                    continue
                if value not in given.values:
                    return
                labels[name] = str(value)
                distributions[name] = of.CategoricalDistribution([str(each) for each in given.values])
            else:
                if not given.low <= value <= given.high:
                    return
                kind = of.IntDistribution if given.integer else of.FloatDistribution
                labels[name] = value
                distributions[name] = kind(given.low, given.high, log=given.log)
        self.study.add_trial(self.optuna.trial.create_trial(params=labels, distributions=distributions, value=score))


def _tell(optuna: Any, study: Any, number: int, record: TrialProgress) -> None:
    """Lost trials are told as pruned: worse than all others, which is what samplers are to learn from them."""
    states = optuna.trial.TrialState
    if record.status != "complete":
        study.tell(number, state=states.FAIL, skip_if_finished=True)
    elif np.isfinite(record.score):
        study.tell(number, record.score, skip_if_finished=True)
    else:
        study.tell(number, state=states.PRUNED, skip_if_finished=True)


def tpe_sampler(optuna: Any, seed: int) -> Any:
    """Optuna's TPE for many trials at a time (constant liar), which sees what parameters do together."""
    with without_warnings_of(optuna.exceptions.ExperimentalWarning):
        return optuna.samplers.TPESampler(seed=int(seed) % 2**32, constant_liar=True, multivariate=True, group=True)


def import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise SettingsError("The strategy tpe needs Optuna: pip install 'gpubp[tune]', or use halving.") from error
    return optuna


@contextmanager
def quiet(optuna: Any) -> Iterator[None]:
    """Without Optuna's messages on each study and trial of this thread; those of others, and its warnings, stay."""
    thread = threading.get_ident()

    def matters(record: logging.LogRecord) -> bool:
        return record.thread != thread or record.levelno >= logging.WARNING

    handlers = [*logging.getLogger(optuna.__name__).handlers]
    for handler in handlers:
        handler.addFilter(matters)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(matters)


@contextmanager
def without_warnings_of(category: type[Warning]) -> Iterator[None]:
    """For what warns each time, however it is called. Not by `warnings.catch_warnings`, which puts all filters of the
    process back to what they were, whoever may have changed them meanwhile: one filter is added, and taken away.
    """
    filters: list[Any] = warnings.filters  # type: ignore[assignment]
    ignored = ("ignore", None, category, None, 0)
    filters.insert(0, ignored)
    try:
        yield
    finally:
        with suppress(ValueError):  # somebody has emptied the list
            filters.remove(ignored)
