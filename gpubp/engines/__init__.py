"""Engines do the arithmetic of a training: `registry` lists them; `choose` finds the fastest one for a plan."""

from gpubp.engines.prediction import predict as predict
