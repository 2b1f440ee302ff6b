"""The kinds of layers that a network may consist of: one entry each."""

from __future__ import annotations

from gpubp.operations.dense import Dense
from gpubp.operations.embedding import Embedding
from gpubp.operations.layers import Layer
from gpubp.operations.parametric import ParametricDense
from gpubp.operations.periodic import Pbld, Pl, Plr
from gpubp.operations.scale import Scale

KINDS: tuple[type[Layer], ...] = (Dense, Scale, Pbld, Pl, Plr, Embedding, ParametricDense)
LAYERS: dict[str, type[Layer]] = {kind.name: kind for kind in KINDS}

FRONT = {name: kind for name, kind in LAYERS.items() if kind.in_front}
"""Those that can stand before the dense layers."""
