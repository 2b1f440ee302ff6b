"""The engines there are: a folder for each, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpubp.engines.array.kind import ArrayKind
from gpubp.engines.base import Costs, EngineKind
from gpubp.engines.block.kind import BlockKind
from gpubp.engines.lane.kind import LaneKind

ENGINE_KINDS: Mapping[str, EngineKind[Any]] = {kind.name: kind for kind in (LaneKind(), BlockKind(), ArrayKind())}
"""By name. The last one serves everything and needs no compiler: it is taken where another one cannot be had."""

FALLBACK = [*ENGINE_KINDS][-1]
ENGINES = ("auto", *ENGINE_KINDS)
"""What an option `engine` may be."""

USUAL_COSTS: dict[str, Costs] = {name: kind.costs for name, kind in ENGINE_KINDS.items()}
