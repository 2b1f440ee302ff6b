"""Where the command `gpubp` begins. Its commands take a while to import, and Ctrl-C is answered meanwhile, too."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (by default the program's own) and return the exit code."""
    try:
        from gpubp.cli import commands
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return commands.main(arguments)
