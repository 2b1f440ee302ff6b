"""Who does the arithmetic of a training: `array`, `lane` or `block`; `choose` says which serves a plan soonest."""

from gpubp.engines.prediction import predict as predict
