"""Who does the arithmetic of a training: the engines of `registry`; `choose` says which serves a plan soonest."""

from gpubp.engines.prediction import predict as predict
