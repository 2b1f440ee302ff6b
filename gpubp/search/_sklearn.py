"""Every name of scikit-learn's that it does not promise to keep, in one place: when one moves, this file follows.

Below the estimators, since a search asks whether a scorer is scikit-learn's. A test looks whether all are there
(test_private_names.py), and pyproject.toml keeps users at versions that were tried.
"""

from sklearn.base import _fit_context as fit_context
from sklearn.metrics._scorer import _BaseScorer as BaseScorer
from sklearn.metrics._scorer import _MultimetricScorer as MultimetricScorer
from sklearn.metrics._scorer import _PassthroughScorer as PassthroughScorer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import _fit_and_score as fit_and_score
from sklearn.model_selection._validation import _insert_error_scores as insert_error_scores
from sklearn.model_selection._validation import _score as score_of
from sklearn.model_selection._validation import _warn_or_raise_about_fit_failures as tell_of_fit_failures
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.metaestimators import _safe_split as safe_split
from sklearn.utils.multiclass import _check_partial_fit_first_call as check_partial_fit_first_call
from sklearn.utils.validation import _check_feature_names as check_feature_names
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_n_features as check_n_features
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _num_samples as num_samples

__all__ = [
    "AdamOptimizer",
    "BaseScorer",
    "BaseSearchCV",
    "Interval",
    "MultimetricScorer",
    "Options",
    "PassthroughScorer",
    "SGDOptimizer",
    "StrOptions",
    "check_feature_names",
    "check_method_params",
    "check_n_features",
    "check_partial_fit_first_call",
    "check_sample_weight",
    "fit_and_score",
    "fit_context",
    "insert_error_scores",
    "num_samples",
    "routing_enabled",
    "safe_split",
    "score_of",
    "tell_of_fit_failures",
]
