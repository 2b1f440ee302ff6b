"""The winner of a sweep as something to predict with: trained on all rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np

from gpubp.errors import DivergenceError, SettingsError
from gpubp.fitting.array_data import ArrayData
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.fit import train_model
from gpubp.fitting.job import Job
from gpubp.fitting.table_data import TableData
from gpubp.operations.dense import Dense
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.pool import Pool
from gpubp.search.run.trial import Configuration, Trial

EstimatorOf = Callable[[Configuration, Cohort, Experiment], Any]
"""How the one network of a cohort, trained on arrays, becomes an estimator: estimators stand above searches."""


def refit(experiment: Experiment, trial: Trial, estimator_of: EstimatorOf | None) -> Any:
    """See SweepResult.refit."""
    chosen = experiment.records[trial.number].configuration
    if isinstance(experiment.data, TableData):
        data = experiment.data
        fit = train_model(
            data.table,
            data.name,
            chosen.recipe,
            task=data.task,
            categorical=data.dataset.categorical,
            ignore=data.dataset.ignored,
            backend=experiment.backend,
            engine=trial.engine or "auto",
        )
        if fit.history.interrupted:
            raise KeyboardInterrupt
        return fit.model
    refuse_what_no_estimator_is(chosen, experiment.data)
    assert estimator_of is not None, "gpubp.sweep says what becomes of arrays' networks"
    return estimator_of(chosen, train_on_all(experiment, [chosen])[0], experiment)


def train_on_all(experiment: Experiment, chosen: list[Configuration]) -> list[Cohort]:
    """A network for each configuration, trained on all rows (early stopping holds some back), in their order."""
    pool = _pool_on_all(experiment, chosen)
    found: dict[int, Cohort] = {}
    with closing(pool.finish()) as trained:
        for cohort in trained:
            for p, job in enumerate(cohort.jobs):
                found[job.owner] = cohort.take(np.array([p]))
    if pool.interrupted:
        raise KeyboardInterrupt
    for place, cohort in found.items():
        params, history = cohort.params_on_host(), cohort.history
        assert history is not None
        if history.lost[0] or not np.isfinite(params).all():
            raise DivergenceError(
                f"Trained on all rows, the network of trial {chosen[place].number} left the finite numbers in epoch "
                f"{int(history.diverged_epoch[0]) + 1}. Refit another trial: result.refit(result.ranked[1])."
            )
    return [found[place] for place in range(len(chosen))]


def seconds_on_all(experiment: Experiment, chosen: list[Configuration]) -> float:
    """What `train_on_all` is expected to take, by the speed of the sweep's own trainings."""
    return _pool_on_all(experiment, chosen).seconds()


def _pool_on_all(experiment: Experiment, chosen: list[Configuration]) -> Pool:
    rows = np.arange(experiment.data.n_rows)
    jobs = []
    for place, each in enumerate(chosen):
        kept, validation = experiment.divided(each, rows)
        sheet = experiment.sheet(each, rows, fold=-1)
        dtype = np.dtype(each.recipe.dtype)
        jobs.append(
            Job(each.architecture, each.settings, dtype, each.recipe.initializer, each.seed, sheet, kept, validation,
                owner=place, zero_last_layer=each.recipe.zero_last_layer)
        )  # fmt: skip
    return Pool(jobs, experiment.backend, experiment.engines, experiment.memory, rates=experiment.rates)


def refuse_what_no_estimator_is(chosen: Configuration, data: ArrayData) -> None:
    """SettingsError for networks that MLPClassifier and MLPRegressor cannot describe."""
    output, hidden = chosen.architecture.output_activation, set(chosen.architecture.activations[:-1])
    special = [layer for layer in chosen.architecture.layers if layer.name != Dense.name and not layer.only_factors]
    layers = dict.fromkeys(layer.name for layer in special)
    if (data.classes is not None and output != "softmax") or len(hidden) > 1 or layers:
        what = f"the loss {chosen.settings.loss}" if len(hidden) <= 1 else "different activations in its layers"
        what = f"the layer {' and '.join(layers)}" if layers else what
        raise SettingsError(
            f"A network with {what} is no MLPClassifier or MLPRegressor. Give the sweep a Table or a data frame, whose "
            "refit is a gpubp.Model, or take result.ensemble(1)."
        )
