"""The winner of a sweep as something to predict with: trained on all rows."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from gpubp.errors import DivergenceError, SettingsError
from gpubp.fitting import train_model
from gpubp.sweeping.cohort import Cohort
from gpubp.sweeping.data import ArrayData, TableData
from gpubp.sweeping.experiment import Experiment
from gpubp.sweeping.job import Job
from gpubp.sweeping.pool import Pool
from gpubp.sweeping.trial import Configuration, Trial
from gpubp.sweeping.unscale import unscaled


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
            categorical=data.categorical,
            backend=experiment.backend,
            engine=trial.engine or "auto",
        )
        if fit.history.interrupted:
            raise KeyboardInterrupt
        return fit.model
    refuse_what_no_estimator_is(chosen, experiment.data)
    cohort = train_on_all(experiment, [chosen])[0]
    return estimator_of(chosen, cohort, experiment.data)


def train_on_all(experiment: Experiment, chosen: list[Configuration]) -> list[Cohort]:
    """A network for each configuration, trained on all rows (early stopping holds some back), in their order."""
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
    pool = Pool(jobs, experiment.backend, experiment.engines, experiment.memory)
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


def refuse_what_no_estimator_is(chosen: Configuration, data: ArrayData) -> None:
    """SettingsError for networks that MLPClassifier and MLPRegressor cannot describe."""
    output, hidden = chosen.architecture.output_activation, set(chosen.architecture.activations[:-1])
    if (data.classes is not None and output != "softmax") or len(hidden) > 1:
        what = f"the loss {chosen.settings.loss}" if len(hidden) <= 1 else "different activations in its layers"
        raise SettingsError(
            f"A network with {what} is no MLPClassifier or MLPRegressor. Give the sweep a Table or a data frame, whose "
            "refit is a gpubp.Model, or take result.ensemble(1)."
        )


def estimator_of(chosen: Configuration, cohort: Cohort, data: ArrayData) -> Any:
    """The one network of the cohort as a fitted estimator on unscaled inputs, with float64 weights."""
    from sklearn.preprocessing import LabelBinarizer

    from gpubp.estimators import MLPClassifier, MLPRegressor

    shape, recipe = chosen.architecture, chosen.recipe
    params = unscaled(shape, cohort.params_on_host(), cohort.jobs[0].sheet)
    layers = range(shape.n_layers)
    coefs = [shape.weights(params, i)[0].copy() for i in layers]
    intercepts = [shape.biases(params, i)[0].copy() for i in layers]
    settings = {
        "hidden_layer_sizes": recipe.hidden,
        "activation": shape.activations[0] if shape.hidden else "relu",
        "alpha": float(chosen.settings.l2),  # type: ignore[arg-type]
        "learning_rate_init": float(recipe.learning_rate),  # type: ignore[arg-type]
        "max_iter": recipe.epochs,
        "batch_size": "auto" if recipe.batch_size is None else recipe.batch_size,
        **_solver(chosen),
    }
    if data.classes is not None:
        found: Any = MLPClassifier(**settings)
        found._label_binarizer = LabelBinarizer().fit(data.truth)
        found.classes_ = found._label_binarizer.classes_
        found.out_activation_ = "softmax"
        if len(data.classes) == 2:  # of two softmax outputs, one logistic output of their difference
            coefs[-1] = coefs[-1][:, 1:] - coefs[-1][:, :1]
            intercepts[-1] = intercepts[-1][1:] - intercepts[-1][:1]
            found.out_activation_ = "logistic"
    else:
        found = MLPRegressor(loss=chosen.settings.loss, **settings)
        found.out_activation_ = {"identity": "identity", "exponential": "exp"}[shape.output_activation]
    found.coefs_, found.intercepts_ = coefs, intercepts
    found.n_features_in_, found.n_layers_ = shape.n_inputs, len(shape.sizes)
    found.n_outputs_ = coefs[-1].shape[1]
    _keep_record(found, cohort, data.n_rows)
    return found


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


def _solver(chosen: Configuration) -> dict[str, Any]:
    """The estimator's words for the optimizer; it has no rmsprop, and would train on with adam."""
    name, options = chosen.settings.optimizer, chosen.settings.all_optimizer_options()
    if name in ("sgd", "momentum", "nesterov"):
        momentum = float(options.get("momentum", 0.0))  # type: ignore[arg-type]
        return {"solver": "sgd", "momentum": momentum, "nesterovs_momentum": name == "nesterov"}
    if name == "rmsprop":
        return {"solver": "adam"}
    words = {"beta1": "beta_1", "beta2": "beta_2"}
    return {"solver": name} | {words.get(option, option): value for option, value in options.items()}
