"""The winner of a sweep as something to predict with: trained on all rows."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np

from gpubp.backends import get_backend
from gpubp.errors import DivergenceError, SettingsError
from gpubp.fitting import train_model
from gpubp.sweeping.cohort import Cohort
from gpubp.sweeping.data import ArrayData, TableData
from gpubp.sweeping.experiment import Experiment
from gpubp.sweeping.job import Job
from gpubp.sweeping.pool import Pool
from gpubp.sweeping.scoring import Metric
from gpubp.sweeping.translation import parameters_of, recipe_of_parameters
from gpubp.sweeping.trial import Configuration, Trial
from gpubp.sweeping.unscale import unscaled
from gpubp.turns import in_turn


def refit(experiment: Experiment, trial: Trial) -> Any:
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
    cohort = train_on_all(experiment, [chosen])[0]
    return estimator_of(chosen, cohort, experiment, experiment.data)


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
        if (history.diverged[0] and history.best_epoch[0] < 1) or not np.isfinite(params).all():
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
        kept, held = experiment.divided(each, rows)
        sheet = experiment.sheet(each, rows, fold=-1)
        dtype = np.dtype(each.recipe.dtype)
        jobs.append(
            Job(each.architecture, each.settings, dtype, each.recipe.initializer, each.seed, sheet, kept, held,
                owner=place)
        )  # fmt: skip
    return Pool(jobs, experiment.backend, experiment.engines, experiment.memory, rates=experiment.rates)


def refuse_what_no_estimator_is(chosen: Configuration, data: ArrayData) -> None:
    """SettingsError for networks that MLPClassifier and MLPRegressor cannot describe."""
    output, hidden = chosen.architecture.output_activation, set(chosen.architecture.activations[:-1])
    if (data.classes is not None and output != "softmax") or len(hidden) > 1:
        what = f"the loss {chosen.settings.loss}" if len(hidden) <= 1 else "different activations in its layers"
        raise SettingsError(
            f"A network with {what} is no MLPClassifier or MLPRegressor. Give the sweep a Table or a data frame, whose "
            "refit is a gpubp.Model, or take result.ensemble(1)."
        )


def estimator_of(chosen: Configuration, cohort: Cohort, experiment: Experiment, data: ArrayData) -> Any:
    """The one network of the cohort as a fitted estimator whose `fit` trains it again."""
    from gpubp.estimators.swept import SweptClassifier, SweptRegressor

    kind = SweptRegressor if data.classes is None else SweptClassifier
    recipe = replace(chosen.recipe, seed=chosen.seed)
    assert cohort.history is not None
    found = kind(**parameters_of(recipe, data.task), backend=experiment.backend.name, engine=cohort.history.engine)
    _keep_network(found, chosen, cohort, data)
    return found


def fit_again(estimator: Any, X: Any, y: Any) -> None:
    """What `refit` does with an experiment, with an estimator's parameters and other data, received as by `fit`."""
    from sklearn.utils import check_random_state

    from gpubp.estimators.inputs import receive_training
    from gpubp.estimators.parameters import batch_rows
    from gpubp.estimators.places import to_host

    task = "regression" if estimator._numeric_targets else "classification"
    with in_turn():
        inputs, y = receive_training(estimator, X, y, reset=True, numeric=estimator._numeric_targets)
    data = ArrayData.of(to_host(inputs.dense(np.float64)), y, task)
    parameters = estimator.get_params(deep=False)
    if parameters["batch_size"] == "auto":
        parameters["batch_size"] = batch_rows(estimator, data.n_rows)
    if not isinstance(parameters["random_state"], Integral):  # None or a generator: another one for each fit
        parameters["random_state"] = check_random_state(parameters["random_state"]).randint(2**32, dtype=np.int64)
    recipe = recipe_of_parameters(parameters, task)
    every = np.arange(data.n_rows)
    experiment = Experiment(
        data,
        [(every, every)],
        Metric(None, data),
        backend=get_backend(None if estimator.backend == "auto" else estimator.backend),
        engine=estimator.engine,
    )
    data.check(recipe)
    architecture = recipe.architecture(data.X.shape[1], data.n_outputs, task)
    settings = recipe.settings(task)
    if settings.early_stopping is not None:
        rule = replace(settings.early_stopping, tolerance=float(estimator.tol))
        settings = replace(settings, early_stopping=rule)
    settings.check_architecture(architecture)
    chosen = Configuration(0, {}, recipe.seed, recipe, architecture, settings)
    try:
        cohort = train_on_all(experiment, [chosen])[0]
    except DivergenceError as error:
        raise DivergenceError(
            "The training left the finite numbers. Scale the data, lower learning_rate_init, or set clip_norm=1.0."
        ) from error
    _keep_network(estimator, chosen, cohort, data)


def _keep_network(found: Any, chosen: Configuration, cohort: Cohort, data: ArrayData) -> None:
    """Give the estimator the one network of the cohort, on unscaled inputs, with float64 weights."""
    from sklearn.preprocessing import LabelBinarizer

    shape = chosen.architecture
    params = unscaled(shape, cohort.params_on_host(), cohort.jobs[0].sheet)
    layers = range(shape.n_layers)
    coefs = [shape.weights(params, i)[0].copy() for i in layers]
    intercepts = [shape.biases(params, i)[0].copy() for i in layers]
    if data.classes is not None:
        with in_turn():
            found._label_binarizer = LabelBinarizer().fit(data.truth)
        found.classes_ = found._label_binarizer.classes_
        found.out_activation_ = "softmax"
        if len(data.classes) == 2:  # of two softmax outputs, one logistic output of their difference
            coefs[-1] = coefs[-1][:, 1:] - coefs[-1][:, :1]
            intercepts[-1] = intercepts[-1][1:] - intercepts[-1][:1]
            found.out_activation_ = "logistic"
    else:
        found.out_activation_ = {"identity": "identity", "exponential": "exp"}[shape.output_activation]
    for name in ("_state", "_plateau", "_seed"):  # of a fit before
        vars(found).pop(name, None)
    found.coefs_, found.intercepts_ = coefs, intercepts
    found.n_features_in_, found.n_layers_ = shape.n_inputs, len(shape.sizes)
    found.n_outputs_ = coefs[-1].shape[1]
    _keep_record(found, cohort, data.n_rows)


def _keep_record(found: Any, cohort: Cohort, n_rows: int) -> None:
    """The attributes that tell of the training."""
    history = cohort.history
    assert history is not None
    epochs = int(history.epochs[0])
    curve = history.training_loss[:epochs, 0].tolist()
    found.n_iter_, found.t_ = epochs, epochs * n_rows
    found.loss_curve_, found.loss_, found.best_loss_ = curve, curve[-1], min(curve)
    found.validation_scores_ = found.best_validation_score_ = None
    found.history_ = replace(history)
