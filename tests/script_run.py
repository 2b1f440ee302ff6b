"""Running a script in this process: a new one takes seconds to import what this one has."""

from __future__ import annotations

import io
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


def run_here(script: str, *arguments: object) -> CompletedProcess[str]:
    """What `python scripts/<script>` does with these arguments. An unexpected exception fails the test."""
    command = [str(SCRIPTS / script), *map(str, arguments)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", command)
        patch.syspath_prepend(SCRIPTS)
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
    return CompletedProcess(command, code, out.getvalue(), err.getvalue())
