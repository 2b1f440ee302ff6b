"""Whether a file that a compiler wrote is a whole shared library: loading half of one can end the process."""

from __future__ import annotations

import struct
import sys

ELF = b"\x7fELF"
SHARED = 3  # the type of an ELF file


def defect(content: bytes) -> str | None:
    """The fault of a library, in words; None if it looks whole. ELF files alone are looked into."""
    if not content:
        return "it is empty"
    if not content.startswith(ELF):
        return "it is no shared library" if sys.platform.startswith("linux") else None
    try:
        kind, end = _extent(content)
    except (struct.error, IndexError, OverflowError):
        return "it ends in the middle of its headers"
    if kind != SHARED:
        return "it is no shared library"
    return "it ends before its contents do" if end > len(content) else None


def _extent(content: bytes) -> tuple[int, int]:
    """The type of an ELF file, and where the last of what its headers name ends."""
    order, wide = "<" if content[5] == 1 else ">", content[4] == 2
    number, tables, counts = ("Q", (32, 40), 54) if wide else ("I", (28, 32), 42)
    offset_and_size = (8, 32) if wide else (4, 16)  # of a segment, in its header
    (kind,) = struct.unpack_from(f"{order}H", content, 16)
    segments, sections = (struct.unpack_from(order + number, content, at)[0] for at in tables)
    segment_bytes, n_segments, section_bytes, n_sections = struct.unpack_from(f"{order}4H", content, counts)
    ends = [segments + segment_bytes * n_segments, sections + section_bytes * n_sections]
    for header in range(segments, segments + segment_bytes * n_segments, segment_bytes or 1):
        ends.append(sum(struct.unpack_from(order + number, content, header + at)[0] for at in offset_and_size))
    return kind, max(ends)
