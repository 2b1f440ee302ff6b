"""The experiment that every strategy runs: configurations become networks, networks are trained, scores come back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gpubp.backends import Backend
from gpubp.backends.compiler_process import interrupt_compilers
from gpubp.backends.interruption import Interruption
from gpubp.backends.turns import in_turn
from gpubp.errors import DataError, SettingsError
from gpubp.fitting.array_data import ArrayData
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.job import Job, Sheet, with_batches_of_the_largest
from gpubp.fitting.splits import early_stopping_notes, missing_classes, validation_split
from gpubp.fitting.table_data import TableData
from gpubp.networks.population import network_seeds
from gpubp.search.run.bag import Bag
from gpubp.search.run.engines import Engines
from gpubp.search.run.folds import Split
from gpubp.search.run.guide import Guide
from gpubp.search.run.memory import budget_of
from gpubp.search.run.pool import Pool
from gpubp.search.run.progress import Progress, Watch
from gpubp.search.run.rates import Rates
from gpubp.search.run.result_store import ResultStore, network_of
from gpubp.search.run.scoring import AT_ONCE, Metric, decoded
from gpubp.search.run.trial import Configuration, Result, Trial, TrialProgress
from gpubp.search.space.parameters import recipe_of

GRACE = 3.0  # times the budget: when a sweep is over, though a first trial would be done soon
PREDICTIONS_BYTES = 1 << 30  # of out-of-fold predictions that are kept for ensembles
BETWEEN_TICKS = 0.1  # seconds


class Experiment(Guide):
    def __init__(
        self,
        data: ArrayData | TableData,
        splits: Sequence[Split],
        metric: Metric,
        *,
        backend: Backend,
        engine: str = "auto",
        seed: int = 0,
        n_trials: int = 1,
        memory: int | None = None,
        budget: float | None = None,
        watch: Sequence[Watch] = (),
        store: ResultStore | None = None,
        bag: Bag | None = None,
    ) -> None:
        """n_trials: how many there will be, at most. memory: bytes for a population. budget: seconds, from now on.
        store: where results are kept, and taken from. bag: where the folds' networks are to be used further.
        """
        self.data, self.splits, self.metric, self.backend, self.seed = data, splits, metric, backend, seed
        self.bag = bag
        self.engines = Engines(backend, engine)
        self.rates = Rates(self.engines)
        self.memory = budget_of(backend, memory)
        self.n_trials, self.watch, self.store = n_trials, watch, store
        self.records: dict[int, TrialProgress] = {}
        self.test_rows = max(len(test) for _, test in splits)
        self.started = time.perf_counter()
        self.budget, self.deadline = budget, None if budget is None else self.started + budget
        self.needed = float("inf")  # seconds for a first trial, as far as is known, where there was no time for one
        self.ended = self.interrupted = False
        self._told_to_end = False
        self._folds_trained: Counter[int] = Counter()
        self._whole_trials = 0
        self.interruption: Interruption | None = None
        self._networks, self._of_networks = 0, 0
        self._done, self._expected, self._ticked = 0.0, 0.0, 0.0  # network-epochs; network-epochs; seconds
        self._lock = threading.Lock()
        self.keeps_predictions = n_trials * data.n_rows * data.n_outputs * 4 <= PREDICTIONS_BYTES
        self._scored, self._recalled, self._best = 0, 0, (float("nan"), float("nan"))
        self._sheets: dict[Hashable, Sheet] = {}
        self._seeds = network_seeds(seed, n_trials)
        self._not_held: set[str] = set()  # classes that early stopping did not look at in some fold

    def configure(self, number: int, parameters: Mapping[str, Any]) -> Configuration:
        """SettingsError, naming the trial, for parameters that do not go together."""
        seed = self.trial_seed(number)
        try:
            recipe = recipe_of(parameters, seed, **self.data.defaults)
            self.data.check(recipe)
            rules, task = recipe.inputs, self.data.task
            n_inputs, n_outputs = self.data.n_inputs(rules), self.data.n_outputs
            places, groups = self.data.indicators(rules), self.data.categories(rules)
            architecture = recipe.architecture(n_inputs, n_outputs, task, places, groups)
            settings = recipe.settings(self.data.task)
            settings.check_architecture(architecture)
        except SettingsError as error:
            raise SettingsError(f"Trial {number}, {dict(parameters)!r:.300}: {error}") from None
        return Configuration(number, dict(parameters), seed, recipe, architecture, settings)

    def trial_seed(self, number: int) -> int:
        """A pure function of the sweep's seed and the trial's number."""
        if number >= len(self._seeds):
            self._seeds = network_seeds(self.seed, 2 * number + 1)
        return int(self._seeds[number])

    def begin(self, configurations: Iterable[Configuration]) -> list[TrialProgress]:
        added = [TrialProgress(configuration, len(self.splits)) for configuration in configurations]
        self.records |= {record.configuration.number: record for record in added}
        return added

    def jobs(self, records: Sequence[TrialProgress]) -> list[Job]:
        """A network for each trial and fold; its seed is a pure function of the sweep's seed, the trial, the fold."""
        found = []
        for record in records:
            chosen = record.configuration
            seeds = network_seeds(chosen.seed, len(self.splits))
            for fold, (training, test) in enumerate(self.splits):
                kept, validation = self.divided(chosen, training)
                found.append(
                    Job(
                        architecture=chosen.architecture,
                        settings=chosen.settings,
                        dtype=np.dtype(chosen.recipe.dtype),
                        initializer=chosen.recipe.initializer,
                        seed=int(seeds[fold]),
                        sheet=self.sheet(chosen, training, fold),
                        rows=kept,
                        validation=validation,
                        test=test,
                        owner=(record, fold),
                        zero_last_layer=chosen.recipe.zero_last_layer,
                    )
                )
        return found if self.bag is None else with_batches_of_the_largest(found)

    def divided(self, chosen: Configuration, training: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows to train on, and those that early stopping looks at."""
        if not chosen.recipe.early_stopping:
            return training, None
        index = None if self.data.index is None else self.data.index[training]
        share = chosen.recipe.validation_share or 0.2
        kept, validation = validation_split(index, len(training), share, chosen.seed)
        if self.data.index is not None and self.data.classes is not None:
            self._not_held |= {*missing_classes(self.data.index, self.data.classes, training[validation])}
        return training[kept], training[validation]

    def notes(self) -> tuple[str, ...]:
        labels = [] if self.data.classes is None else map(str, self.data.classes)
        return early_stopping_notes([label for label in labels if label in self._not_held])

    def sheet(self, chosen: Configuration, rows: np.ndarray, fold: int) -> Sheet:
        """fold: the number of the fold whose training rows these are; −1 for all rows."""
        recipe, counts = chosen.recipe, chosen.settings.loss_function.is_for_counts
        if self.bag is not None:
            rows, fold = self.bag.scaled_by, -1
        key = (recipe.inputs, recipe.target_scale, recipe.clip_predictions, counts, fold, recipe.dtype)
        if key not in self._sheets:
            sheet = self.data.sheet(recipe, rows)
            if self.bag is not None and self.bag.weights is not None:
                sheet = replace(sheet, weights=self.bag.weights)
            self._sheets[key] = sheet
        return self._sheets[key]

    def pool(self, records: Sequence[TrialProgress], times: float = 1.0, folds: Container[int] | None = None) -> Pool:
        """times: see Engines.choose; the first pool tells how much work there is in all. folds: those to train; None
        for all.
        """
        jobs = [job for job in self.jobs(records) if folds is None or job.owner[1] in folds]
        pool = Pool(jobs, self.backend, self.engines, self.memory, times, self.store, self, self.rates)
        for job in pool.jobs:
            job.owner[0].engine = pool.engine(job)
        self._expected = self._expected or times * sum(job.epochs for job in pool.jobs)
        return pool

    def run(self, configurations: Iterable[Configuration], times: float = 1.0) -> list[TrialProgress]:
        """Train these trials to the end, all networks of all of them side by side, and score them."""
        records = self.begin(configurations)
        self.train(records, times)
        return records

    def train(self, records: Sequence[TrialProgress], times: float = 1.0, folds: Container[int] | None = None) -> None:
        """Train the networks of trials that have begun, on these folds (None: on all), and score them."""
        pool = self.pool(records, times, folds)
        known = self.recall(pool.jobs)
        with closing(pool.finish(known)) as trained:
            self.follow(pool, trained, len(known), len(pool.jobs), last=True)
        for record in records:
            record.status = "complete" if record.seen.all() else "unfinished"

    def conclude(self, n_trials: int) -> None:
        """n_trials: how many there were to be. A sweep of which everything was done in time has not ended early."""
        statuses = [record.status for record in self.records.values()]
        self.ended &= len(statuses) < n_trials or "unfinished" in statuses or "complete" not in statuses

    def recall(self, jobs: Iterable[Job]) -> set[Job]:
        """Take the results that are kept, of the rung at hand; whose they are."""
        known: set[Job] = set()
        if self.store is not None:
            before = self._scored
            for job in jobs:
                result = self.store.results.get((*network_of(job), job.owner[0].rung))
                if result is not None:
                    self._check_kept(job, result)
                    if job.owner[0].rung == 0:  # those of later rungs are resumed from snapshots, which count then
                        self.worked(result.epochs)
                    self._accept(job, result)
                    known.add(job)
            self._recalled += self._scored - before
        return known

    def _check_kept(self, job: Job, result: Result) -> None:
        """DataError where a result that a store holds cannot be this job's."""
        assert job.test is not None
        assert self.store is not None
        wanted = (len(job.test), self.data.n_outputs) if self.keeps_predictions else None
        found = None if result.predictions is None else result.predictions.shape
        networks = 0 if self.bag is None or result.diverged >= 0 else job.architecture.n_parameters
        size = 0 if result.params is None else len(result.params)
        if found != wanted or size != networks or max(result.epochs, result.diverged) > job.epochs:
            trial, fold = network_of(job)
            raise DataError(
                f"The checkpoint {self.store.folder} holds a result of trial {trial}, fold {fold}, that cannot be: "
                f"{result.epochs} of {job.epochs} epochs, predictions {found} for {wanted}. Remove it: what it held is "
                "trained again."
            )

    def follow(self, pool: Pool, cohorts: Iterable[Cohort], networks: int, of_networks: int, last: bool) -> None:
        """Score each cohort as it is trained, keep what is to be kept, and tell those who watch.

        networks: how many results are known already. last: whether the cohorts have come to their end.
        """
        self._networks, self._of_networks = networks, of_networks
        for cohort in cohorts:
            self.score(cohort)
            self._networks += len(cohort)
            if self.store is not None:
                if last:
                    self.store.forget(map(network_of, cohort.jobs))
                if self.store.due():
                    self.store.flush(pool.cohorts)
            self._tell()
        self.interrupted |= pool.interrupted
        self.ended |= pool.interrupted
        if self.store is not None and self.ended:
            self.store.flush(pool.cohorts)

    def score(self, cohort: Cohort) -> None:
        networks = max(1, AT_ONCE // (self.test_rows * self.data.n_outputs))
        if len(cohort) > networks:
            for first in range(0, len(cohort), networks):
                self.score(cohort.take(np.arange(first, min(first + networks, len(cohort)))))
            return
        tests = [job.test for job in cohort.jobs if job.test is not None]
        predictions = decoded(self.data, cohort.test_outputs(self.test_rows), [job.sheet for job in cohort.jobs])
        history = cohort.history
        assert history is not None
        lost = history.lost
        predictions[lost] = np.nan
        params = None if self.bag is None else cohort.params_on_host()
        responses = [partial(self._respond, cohort, p) for p in range(len(cohort))]
        with in_turn():
            scores = self.metric(predictions, tests, responses)
        for p, job in enumerate(cohort.jobs):
            diverged = -1
            if np.isnan(scores[p]):  # lost on the test rows alone: after the last epoch
                diverged = int(history.diverged_epoch[p]) if lost[p] else max(0, int(history.epochs[p]) - 1)
            own = predictions[p, : len(tests[p])].astype(np.float32) if self.keeps_predictions else None
            network = None if params is None or diverged >= 0 else params[p]
            result = Result(float(scores[p]), int(history.epochs[p]), diverged, float(cohort.seconds[p]), own, network)
            self._accept(job, result)
            if self.store is not None:
                self.store.add(network_of(job), job.owner[0].rung, result)

    def _respond(self, cohort: Cohort, p: int, features: Any) -> np.ndarray:
        """(R, C or O) float64: what network p of a cohort predicts for any R rows of features."""
        job = cohort.jobs[p]
        record, fold = job.owner
        inputs = self.data.encoded(features, record.configuration.recipe.inputs, self.splits[fold][0])
        with np.errstate(over="ignore"):
            inputs = inputs.astype(job.dtype)
        outputs = self.backend.to_host(cohort.population.take([p]).predict(inputs))
        found: np.ndarray = decoded(self.data, outputs, [job.sheet])[0]
        return found

    def _accept(self, job: Job, result: Result) -> None:
        record, fold = job.owner
        record.accept(fold, result, job.test, self.data.n_rows)
        if record.seen.all():
            self._scored += record.rung == 0
            self._whole_trials += 1
            if record.score > -np.inf and not self._best[0] >= record.score:
                self._best = record.score, float(record.scores.std(ddof=1)) if len(record.scores) > 1 else float("nan")

    def forget(self, records: Iterable[TrialProgress]) -> None:
        """They are not trained any further."""
        if self.store is not None:
            folds = range(len(self.splits))
            self.store.forget((record.configuration.number, fold) for record in records for fold in folds)

    def must_end(self) -> bool:
        self.ended |= self._is_stopped() or self.seconds_left() == 0.0
        return self.ended

    def must_cut(self, needed: float) -> bool:
        """A sweep that runs out of time goes on for its first trial, if `GRACE` times the budget is enough for it."""
        if not self.must_end():
            return False
        if self.budget is None or self._is_stopped() or self._whole_trials > 0:
            return True
        with self._lock:
            end = time.perf_counter() - self.started + needed
            self.needed = min(self.needed, end)
        return end > GRACE * self.budget

    def _is_stopped(self) -> bool:
        """By whoever waits for it, and not by the time."""
        return self.left or self._told_to_end or (self.interruption is not None and self.interruption.requested)

    def seconds_left(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - time.perf_counter())

    def out_of_time(self) -> None:
        self.ended = True

    def trained(self, jobs: Sequence[Job]) -> None:
        with self._lock:
            self._folds_trained.update(id(job.owner[0]) for job in jobs)
            self._whole_trials += any(self._folds_trained[id(job.owner[0])] >= len(self.splits) for job in jobs)

    def worked(self, network_epochs: float) -> None:
        with self._lock:
            self._done += network_epochs

    def tick(self) -> None:
        if self.interruption is not None and self.interruption.requested:
            interrupt_compilers()  # those, too, that other threads began when Ctrl-C had come already
        if time.perf_counter() - self._ticked > BETWEEN_TICKS:
            self._tell()

    def _tell(self) -> None:
        self._ticked = time.perf_counter()
        seconds = self._ticked - self.started
        share = self._done / max(1.0, self._expected)
        if self.budget is not None:
            share = max(share, seconds / self.budget)
        progress = Progress(
            self._networks,
            self._of_networks,
            min(1.0, share),
            self._scored,
            self.n_trials,
            *self._best,
            self._scored - self._recalled,
            seconds,
            self._done,
            max(self._done, self._expected),
        )
        for watch in self.watch:
            self._told_to_end |= bool(watch(progress))
        self.ended |= self._told_to_end

    def out_of_fold(self, number: int) -> np.ndarray:
        """See SweepResult.out_of_fold. SettingsError where a trial of this number has none."""
        record = self.records.get(number)
        found = None if record is None else record.out_of_fold()
        if found is None:
            why = "they would take more than 1 GiB" if not self.keeps_predictions else "it was never scored"
            raise SettingsError(f"There are no out-of-fold predictions of trial {number}: {why}.")
        return found

    def trials(self) -> list[Trial]:
        total = float(sum(record.seconds.sum() for record in self.records.values()))
        return [self.records[number].trial(total) for number in sorted(self.records)]
