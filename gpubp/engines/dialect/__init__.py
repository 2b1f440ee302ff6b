"""The native kernels: one C++ source that both NVRTC and the machine's own compiler accept (see dialect.h).

The headers are inlined into one text before they are compiled, so that what is compiled, and what it is cached under,
does not depend on files that may change meanwhile.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

ENGINES = Path(__file__).parents[1]
"""Each engine has its own headers in its folder; what they share is here."""
INCLUDE = re.compile(r'^#include "([^"]+)"\n', re.MULTILINE)


@lru_cache(maxsize=8)
def read_source(name: str) -> str:
    """The text of a header with the headers that it includes, each once; compilers still name the right lines."""
    seen: set[str] = set()

    def inlined(header: str) -> str:
        if header in seen:
            return ""
        seen.add(header)
        text = _path_of(header).read_text(encoding="utf-8").replace("#pragma once\n", "\n")
        pieces, end = [f'#line 1 "{header}"\n'], 0
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.end()) + 1
            pieces += [text[end : match.start()], inlined(match[1]), f'#line {line} "{header}"\n']
            end = match.end()
        return "".join([*pieces, text[end:]])

    return inlined(name)


def _path_of(header: str) -> Path:
    """No two folders have a header of the same name."""
    return next(ENGINES.glob(f"*/{header}"))
