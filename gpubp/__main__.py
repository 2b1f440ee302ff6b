"""`python -m gpubp` is the command `gpubp`."""

import sys

from gpubp.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
