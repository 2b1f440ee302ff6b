"""What a sweep does with the best network, for an estimator: its weights on unscaled inputs, and training it again."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state

from gpubp.backends import get_backend
from gpubp.backends.placement import to_host
from gpubp.backends.turns import in_turn
from gpubp.errors import DivergenceError
from gpubp.estimators.inputs import receive_training
from gpubp.estimators.parameters import batch_rows
from gpubp.estimators.translation import recipe_of_parameters
from gpubp.fitting.array_data import ArrayData
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.fold_scaling import unscaled, without_front
from gpubp.search.results.refit import train_on_all
from gpubp.search.run.experiment import Experiment
from gpubp.search.run.scoring import Metric
from gpubp.search.run.trial import Configuration


def fit_again(estimator: Any, X: Any, y: Any) -> None:
    """What `refit` does with an experiment, with an estimator's parameters and other data, received as by `fit`."""
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
    keep_network(estimator, chosen, cohort, data)


def keep_network(found: Any, chosen: Configuration, cohort: Cohort, data: ArrayData) -> None:
    """Give the estimator the one network of the cohort, on unscaled inputs, with float64 weights."""
    shape = chosen.architecture
    shape, params = without_front(shape, unscaled(shape, cohort.params_on_host(), cohort.jobs[0].sheet))
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
