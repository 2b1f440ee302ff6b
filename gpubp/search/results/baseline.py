"""What answers that look at no input score on the folds of a sweep: the bar that a network has to clear."""

from __future__ import annotations

import numpy as np

from gpubp.search.run.experiment import Experiment


def baseline_scores(experiment: Experiment) -> np.ndarray:
    """(S,) of each fold, by the sweep's metric: the shares of the training rows' classes (the most common one being the
    answer), or the mean of their values.
    """
    data = experiment.data
    scores = np.empty(len(experiment.splits))
    for fold, (training, test) in enumerate(experiment.splits):
        if data.index is not None:
            answer = np.bincount(data.index[training], minlength=data.n_outputs) / len(training)
        else:
            answer = np.atleast_1d(np.asarray(data.truth[training], dtype=np.float64).mean(axis=0))
        predictions = np.broadcast_to(answer, (1, len(test), len(answer)))
        scores[fold] = experiment.metric(predictions, [test])[0]
    return scores
