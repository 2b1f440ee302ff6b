"""Which engine serves a training, and why: an estimate of the work, in seconds, for each that could."""

from __future__ import annotations

from dataclasses import dataclass

from gpubp.backends import Array
from gpubp.errors import SettingsError
from gpubp.training.array_engine import ArrayEngine
from gpubp.training.engine import Engine, Work
from gpubp.training.lane_engine import LaneEngine, lane_kernel

ENGINES = ("auto", "lane", "array")


@dataclass(frozen=True)
class EngineChoice:
    """engine: "lane" or "array"; reason: in words, for people."""

    engine: str
    reason: str

    def build(self, work: Work, params: Array) -> Engine:
        """params (P, K) is trained in place."""
        if self.engine == "lane":
            return LaneEngine(work, params)
        return ArrayEngine(work, params)


def choose_engine(work: Work, wanted: str = "auto") -> EngineChoice:
    if wanted not in ENGINES:
        raise SettingsError(f"Unknown engine {wanted!r}: choose one of {', '.join(ENGINES)}.")
    if wanted == "array":
        return EngineChoice("array", "asked for")
    if wanted == "lane":
        refusal = lane_kernel(work).refusal(work.backend.name)
        if refusal:
            raise SettingsError(f"The engine lane cannot be used: {refusal}. Choose engine array, or auto.")
        return EngineChoice("lane", "asked for")
    return EngineChoice("array", "for now")
