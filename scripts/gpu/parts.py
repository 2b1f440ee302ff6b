"""The parts, in the order in which they run, and how the time is shared between them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """seconds: its share of the time, in proportion to the others'. groups: of items, a process for each."""

    name: str
    module: str
    seconds: float
    title: str
    groups: tuple[str, ...] = ("",)


PARTS = {
    part.name: part
    for part in (
        Part("machine", "gpu.machine", 14, "The device and its ceilings"),
        Part("doctor", "gpu.doctor", 36, "gpubp doctor"),
        Part("bits", "gpu.bits", 36, "Bits against the CPU"),
        Part("speed", "gpu.speed", 46, "Times of the engines"),
        Part("case", "gpu.case", 20, "The case study, as a whole command"),
        Part("peers", "gpu.peers", 80, "Peers on the same device", ("jax", "torch")),
        Part("variants", "gpu.variants", 24, "Variants of the block kernel"),
        Part("sanitize", "gpu.sanitize", 24, "compute-sanitizer"),
        Part("tests", "gpu.tests", 70, "Tests marked gpu"),
    )
}
