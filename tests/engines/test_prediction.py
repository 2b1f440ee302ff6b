"""Everything that predicts knows the engines, whichever part of gpubp is imported first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FILES = Path(__file__).parents[1] / "fixtures" / "written_by_0_1_0"
PROGRAM = """
import importlib, sys
import numpy as np

def anew(name):  # as in a fresh process
    for loaded in [module for module in sys.modules if module.partition(".")[0] == "gpubp"]:
        del sys.modules[loaded]
    return getattr(importlib.import_module("gpubp"), name)

folder = sys.argv[1]
X = np.zeros((5000, 4), np.float32)
assert len(anew("Model").load(folder + "/model").predict(folder + "/table.csv").values) == 48
assert len(anew("Ensemble").load(folder + "/ensemble").predict(folder + "/table.csv")) == 48
assert len(anew("MLPRegressor").load(folder + "/members").predict(X)) == 5000
for engine in ("auto", "block"):
    population = anew("Population")
    from gpubp import Architecture, get_backend
    networks = population.initialize(Architecture(4, (2,), 1), [1], get_backend("numpy"))
    assert networks.predict(X, engine=engine).shape == (1, 5000, 1)

anew("__version__")
from gpubp.networks.population import Population
from gpubp.backends import get_backend
from gpubp.errors import SettingsError
from gpubp.operations.architecture import Architecture
try:
    Population.initialize(Architecture(4, (2,), 1), [1], get_backend("numpy")).predict(X, engine="auto")
except SettingsError as error:
    print(error)
"""


def test_what_predicts_in_a_fresh_process_knows_the_engines() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(FILES)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "The engine 'auto' is not loaded: import Population from gpubp, or import gpubp.engines first.\n"
    )
