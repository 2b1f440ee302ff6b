"""What somebody may have meant by a name that is not known here: the same name in another spelling, what other tools
call it, or the nearest one. It is suggested, and never taken silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gpubp.errors import SettingsError, quoted

SYNONYMS: dict[str, dict[str, str | tuple[str, ...]]] = {
    "activation": {
        "sigmoid": "logistic",
        "sigmoidal": "logistic",
        "expit": "logistic",
        "swish": "silu",
        "linear": "identity",
        "none": "identity",
        "lrelu": "leaky_relu",
        "prelu": "leaky_relu",
        "rectifier": "relu",
        "relu6": "relu",
        "hyperbolic tangent": "tanh",
    },
    "loss": {
        "mse": "squared_error",
        "l2": "squared_error",
        "mean squared error": "squared_error",
        "least squares": "squared_error",
        "log loss": "cross_entropy",
        "nll": "cross_entropy",
        "ce": "cross_entropy",
        "softmax": "cross_entropy",
        "categorical cross entropy": "cross_entropy",
        "sparse categorical cross entropy": "cross_entropy",
        "bce": "binary_cross_entropy",
        "bce with logits": "binary_cross_entropy",
        "logistic": "binary_cross_entropy",
        "poisson nll": "poisson",
        "count": "poisson",
    },
    "optimizer": {
        "gd": "sgd",
        "gradient descent": "sgd",
        "sgd+momentum": "momentum",
        "sgd momentum": "momentum",
        "heavy ball": "momentum",
        "nag": "nesterov",
        "sgd+nesterov": "nesterov",
        "nesterov momentum": "nesterov",
        "adagrad": "rmsprop",
        "adadelta": "rmsprop",
        "nadam": "adam",
        "radam": "adam",
        "adamax": "adam",
    },
    "schedule": {
        "none": "constant",
        "fixed": "constant",
        "invscaling": "inverse_scaling",
        "plateau": "adaptive",
        "reduce on plateau": "adaptive",
        "reduce lr on plateau": "adaptive",
        "step lr": "step",
        "step decay": "step",
        "exponential": "step",
        "cosine annealing": "cosine",
        "cosine annealing lr": "cosine",
        "cosine decay": "cosine",
        "one cycle lr": "one_cycle",
        "coslog": "coslog4",
        "cosine restarts": "coslog4",
        "cosine annealing warm restarts": "coslog4",
        "flat cosine": "flat_cos",
        "flat and anneal": "flat_cos",
    },
    "initializer": {
        "default": "auto",
        "xavier": ("glorot_uniform", "glorot_normal"),
        "xavier uniform": "glorot_uniform",
        "xavier normal": "glorot_normal",
        "glorot": ("glorot_uniform", "glorot_normal"),
        "kaiming": ("he_normal", "he_uniform"),
        "kaiming uniform": "he_uniform",
        "kaiming normal": "he_normal",
        "he": ("he_normal", "he_uniform"),
        "lecun": ("lecun_normal", "lecun_uniform"),
        "ntk": "ntk_normal",
        "lsuv": "data_dependent",
        "data": "data_dependent",
    },
    "dtype": {
        "float": "float32",
        "single": "float32",
        "f32": "float32",
        "fp32": "float32",
        "half": "float32",
        "float16": "float32",
        "bfloat16": "float32",
        "double": "float64",
        "f64": "float64",
        "fp64": "float64",
    },
    "scale": {
        "zscore": "standard",
        "standardize": "standard",
        "standardise": "standard",
        "standard scaler": "standard",
        "std": "standard",
        "normal": "standard",
        "normalize": ("standard", "minmax"),
        "min max scaler": "minmax",
        "unit": "minmax",
        "01": "minmax",
        "median": "robust",
        "quantiles": "quantile",
        "quantile transformer": "quantile",
        "gaussian": "quantile",
        "rank": "quantile",
        "ranks": "quantile",
        "normal scores": "quantile",
        "iqr": "robust",
        "robust scaler": "robust",
        "no": "none",
        "off": "none",
        "false": "none",
        "raw": "none",
        "identity": "none",
    },
    "missing numbers": {
        "impute": "median",
        "fill": "median",
        "simple": "median",
        "default": "median",
        "indicator": "indicate",
        "indicators": "indicate",
        "flag": "indicate",
        "mask": "indicate",
    },
    "category encoding": {
        "onehot": "one_hot",
        "dummy": "one_hot",
        "dummies": "one_hot",
        "indicator": "one_hot",
        "default": "one_hot",
        "binary": "signed",
        "sign": "signed",
        "plus minus": "signed",
        "effect": "signed",
        "realmlp": "scaled",
        "standardized": "scaled",
        "standardised": "scaled",
    },
    "task": {
        "class": "classification",
        "classes": "classification",
        "classify": "classification",
        "classifier": "classification",
        "binary": "classification",
        "multiclass": "classification",
        "categorical": "classification",
        "regress": "regression",
        "regressor": "regression",
        "number": "regression",
        "numeric": "regression",
        "continuous": "regression",
    },
    "backend": {
        "cpu": "numpy",
        "np": "numpy",
        "host": "numpy",
        "gpu": "cupy",
        "cuda": "cupy",
        "cuda:0": "cupy",
        "nvidia": "cupy",
        "cp": "cupy",
        "default": "auto",
        "any": "auto",
    },
    "engine": {
        "numpy": "array",
        "arrays": "array",
        "kernel": ("lane", "block"),
        "fused": ("lane", "block"),
        "compiled": ("lane", "block"),
        "simd": "lane",
        "thread": "lane",
        "core": "block",
        "default": "auto",
        "any": "auto",
    },
    "strategy": {
        "grid search": "grid",
        "exhaustive": "grid",
        "all": "grid",
        "random search": "random",
        "randomized": "random",
        "successive halving": "halving",
        "hyperband": "halving",
        "asha": "halving",
        "bayes": "tpe",
        "bayesian": "tpe",
        "optuna": "tpe",
    },
    "metric": {
        "acc": "accuracy",
        "auc": "roc_auc",
        "balanced": "balanced_accuracy",
        "f1 score": "f1",
        "macro f1": "f1_macro",
        "log loss": "neg_log_loss",
        "cross entropy": "neg_log_loss",
        "r squared": "r2",
        "mse": "neg_mean_squared_error",
        "mean squared error": "neg_mean_squared_error",
        "rmse": "neg_root_mean_squared_error",
        "mae": "neg_mean_absolute_error",
        "mape": "neg_mean_absolute_percentage_error",
    },
    "option": {
        "sep": "separator",
        "delimiter": "separator",
        "label": "target",
        "labels": "target",
        "response": "target",
        "class": "target",
        "y": "target",
        "drop": "ignore",
        "exclude": "ignore",
        "na values": "missing",
        "na": "missing",
        "sheet name": "sheet",
        "type": "task",
        "cat": "categorical",
        "categories": "categorical",
        "layers": "hidden",
        "layer sizes": "hidden",
        "hidden layers": "hidden",
        "hidden layer sizes": "hidden",
        "neurons": "hidden",
        "units": "hidden",
        "alpha": "l2",
        "regularization": "l2",
        "iterations": "epochs",
        "max iter": "epochs",
        "rate": "learning_rate",
        "eta": "learning_rate",
        "learning rate init": "learning_rate",
        "solver": "optimizer",
        "clip": "clip_norm",
        "gradient clip": "clip_norm",
        "max norm": "clip_norm",
        "init": "initializer",
        "precision": "dtype",
        "scaler": "scale",
        "normalize": "scale",
        "standardize": "scale",
        "scheduler": "schedule",
        "lr schedule": "schedule",
        "test size": "validation",
        "validation fraction": "validation",
        "validation split": "validation",
        "val": "validation",
        "holdout": "validation",
        "random state": "seed",
        "device": "backend",
        "gpu": "backend",
        "cuda": "backend",
        "cpu": "backend",
        "cv": "folds",
        "k": "folds",
        "n splits": "folds",
        "timeout": "budget",
        "time": "budget",
        "max time": "budget",
        "scoring": "metric",
        "scorer": "metric",
        "networks": "members",
        "estimators": "members",
        "proba": "probabilities",
        "predict proba": "probabilities",
        "out": "output",
        "silent": "quiet",
        "settings": "config",
        "options": "config",
    },
    "command": {
        "fit": "train",
        "learn": "train",
        "infer": "predict",
        "apply": "predict",
        "forecast": "predict",
        "score": "evaluate",
        "test": "evaluate",
        "cv": "cross-validate",
        "kfold": "cross-validate",
        "validate": "cross-validate",
        "search": "sweep",
        "tune": "sweep",
        "optimize": "sweep",
        "grid search": "sweep",
        "hpo": "sweep",
        "plot": "report",
        "html": "report",
        "info": ("describe", "show"),
        "inspect": ("describe", "show"),
        "summary": ("describe", "show"),
        "columns": "describe",
        "why": "explain",
        "diagnose": "doctor",
        "check": "doctor",
    },
    "monitor": {
        "loss": "validation_loss",
        "val loss": "validation_loss",
        "accuracy": "validation_score",
        "score": "validation_score",
        "val accuracy": "validation_score",
        "train loss": "training_loss",
    },
}

EXPLANATIONS = {
    ("activation", "softmax"): "softmax is what the output layer has by itself, with the loss cross_entropy.",
    ("loss", "mae"): "There is no absolute error; of those here, huber with a small delta comes nearest.",
    ("loss", "l1"): "There is no absolute error; of those here, huber with a small delta comes nearest.",
    ("loss", "absolute error"): "There is no absolute error; of those here, huber with a small delta comes nearest.",
    ("engine", "gpu"): "A GPU is a backend, cupy; engines are ways to train on any of them.",
    ("engine", "cuda"): "CUDA is the backend cupy; engines are ways to train on any of them.",
    ("engine", "cpu"): "The CPU is a backend, numpy; engines are ways to train on any of them.",
    ("optimizer", "lbfgs"): "lbfgs is a solver of gpubp.MLPClassifier and gpubp.MLPRegressor.",
}
"""For names whose counterpart is none of the choices."""


def choose(what: str, name: Any, table: Mapping[str, Any]) -> Any:
    """The table's entry; SettingsError, with a suggestion and the choices, where it has none of this name."""
    check_choice(what, name, table)
    return table[name]


def check_choice(what: str, name: Any, choices: Iterable[str], place: str = "") -> None:
    """SettingsError, with a suggestion and the choices, for a name that is none of them. `place` follows the name."""
    choices = list(choices)
    if not isinstance(name, str) or name not in choices:
        raise SettingsError(unknown(what, name, choices, place))


def unknown(what: str, name: Any, choices: Iterable[str], place: str = "") -> str:
    """The message: what was given, what may have been meant, what there is."""
    choices = list(choices)
    found, listed = f"Unknown {what} {quoted(name)}{place}", f"hoose one of {', '.join(choices)}."
    hint = did_you_mean(name, choices, what)
    return f"{found}.{hint} C{listed}" if hint else f"{found}: c{listed}"


def did_you_mean(name: Any, choices: Iterable[str], what: str = "") -> str:
    """ " Did you mean 'adam'?", with the space before it; "" where nothing comes near."""
    explanation = _explanation(what, name)
    if explanation is not None:
        return f" {explanation}"
    near = nearest(name, choices, what)
    return f" Did you mean {' or '.join(quoted(each) for each in near)}?" if near else ""


def nearest(name: Any, choices: Iterable[str], what: str = "") -> list[str]:
    """Those of the choices that may have been meant by `name`, best first: mostly one or none, never more than two.

    First the same letters and digits, then what other tools call a `what` by that name, then what is spelled alike.
    """
    if not isinstance(name, str) or not name:
        return []
    spelled: dict[str, str] = {}
    for choice in choices:
        spelled.setdefault(plain(choice), choice)
    if plain(name) in spelled:
        return [spelled[plain(name)]]
    known = [each for each in _synonyms(what, name) if plain(each) in spelled]
    if known:
        return known
    import difflib  # where a name is wrong, and nowhere else

    alike = difflib.get_close_matches(plain(name), spelled, n=1)
    return [spelled[each] for each in alike]


def plain(name: str) -> str:
    """Letters and digits alone, in lower case: z-score, Z_Score and zscore are one."""
    return "".join(character for character in name.casefold() if character.isalnum()) or name


def _synonyms(what: str, name: str) -> tuple[str, ...]:
    for known, meant in SYNONYMS.get(what, {}).items():
        if plain(known) == plain(name):
            return (meant,) if isinstance(meant, str) else meant
    return ()


def _explanation(what: str, name: Any) -> str | None:
    for (kind, known), text in EXPLANATIONS.items():
        if kind == what and isinstance(name, str) and plain(known) == plain(name):
            return text
    return None
