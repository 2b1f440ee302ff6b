"""Trainings in forked processes, in a thread that outlives the main thread, and while the interpreter ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = """
import atexit, faulthandler, hashlib, os, signal, sys, threading, time, warnings
faulthandler.dump_traceback_later(100, exit=True)  # a hang says where
warnings.simplefilter("error")
FORKS_ARE_WANTED = "ignore", "This process .* is multi-threaded", DeprecationWarning
warnings.filterwarnings(*FORKS_ARE_WANTED)
import numpy as np
from gpubp import Architecture, Population, Settings, get_backend, network_seeds, train
from gpubp.backends import host_compiler, host_program
from gpubp.engines.block import engine as block_engine
from gpubp.training import lbfgs
host_compiler.GNU = host_compiler.OTHERS = ("-O0",)  # these kernels train little
host_program.available_cores = lambda: 4
block_engine.others_waiting = lambda: 0.0
block_engine.MEMBER_OPERATIONS = 1
X = np.random.default_rng(0).normal(size=(60, 4))

def job(networks=40, epochs=3):
    them = Population.initialize(Architecture(4, (5,), 1), network_seeds(0, networks), get_backend("numpy"))
    train(them, X, X[:, :1], Settings("squared_error", epochs=epochs), engine="block")
    return hashlib.sha256(them.params.tobytes()).hexdigest()

def pool_and_team():
    return job(40), job(1)

def fit_lbfgs(max_iter=5, callback=None):
    from gpubp.operations.network import initial_parameters
    shape = Architecture(4, (5,), 1)
    start = initial_parameters(shape, np.array([1], dtype=np.uint64), "auto")[0]
    found = lbfgs.fit_lbfgs(shape, start, X, X[:, :1], "squared_error", 0.0, max_iter=max_iter, max_fun=10**6, tol=0.0,
                            backend=get_backend("numpy"), callback=callback)
    return found.loss

def in_child(task):
    # what it gives there, as text
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, repr(task()).encode())
        except BaseException as error:
            os.write(writing, repr(error).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        words = said.read()
    os.waitpid(child, 0)
    return words
"""

NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

FORKS = {
    "before, between and after trainings, and of a child": """
before = in_child(pool_and_team)
here = pool_and_team()
assert before == repr(here)
assert in_child(pool_and_team) == repr(here)
assert eval(in_child(lambda: in_child(pool_and_team))) == repr(here)
assert pool_and_team() == here
""",
    "while other threads train": """
here, end, errors = pool_and_team(), threading.Event(), []
def others():
    while not end.is_set():
        try:
            assert pool_and_team() == here
        except BaseException as error:
            errors.append(error)
            raise
threads = [threading.Thread(target=others) for _ in range(2)]
for thread in threads: thread.start()
for _ in range(12):
    assert in_child(pool_and_team) == repr(here)
end.set()
for thread in threads: thread.join()
assert not errors
""",
    "in another thread than the main one": """
here, found = pool_and_team(), []
def other():
    found.append(pool_and_team() == here)
    found.append(in_child(pool_and_team) == repr(here))
thread = threading.Thread(target=other)
thread.start(); thread.join()
assert found == [True, True]
""",
    "in a callback of a training": """
here, found = job(40, 6), []
them = Population.initialize(Architecture(4, (5,), 1), network_seeds(0, 40), get_backend("numpy"))
def fork(report):
    if report.epoch == 2:
        found.append(in_child(lambda: job(40, 6)) == repr(here))
train(them, X, X[:, :1], Settings("squared_error", epochs=6), engine="block", callbacks=[fork])
assert found == [True] and hashlib.sha256(them.params.tobytes()).hexdigest() == here
""",
    "in a search that another thread trains for: its child does not wait for that": """
from gpubp.backends.interruption import CancelScope
inside, go_on = threading.Event(), threading.Event()
def callback(report):
    inside.set()
    go_on.wait()
def other():
    with search.joined():
        fit_lbfgs(callback=callback)
with CancelScope() as search:
    thread = threading.Thread(target=other)
    thread.start(); inside.wait()
    found = in_child(lambda: search.__exit__(ValueError, ValueError(), None))
    go_on.set(); thread.join()
assert found == repr(None), found
""",
    "by multiprocessing and joblib": """
import joblib, multiprocessing
here = pool_and_team()
with multiprocessing.get_context("fork").Pool(2) as processes:
    assert processes.starmap(pool_and_team, [()] * 3) == [here] * 3
warnings.simplefilter("default")
warnings.filterwarnings(*FORKS_ARE_WANTED)
assert joblib.Parallel(2, backend="multiprocessing")(joblib.delayed(pool_and_team)() for _ in range(3)) == [here] * 3
""",
    "with SciPy on one thread, by a fit in another thread or in this one": """
one = lbfgs._SCIPY_ON_ONE_THREAD
numbers = lambda: [library["num_threads"] for library in one.pool.info()]
here, before = fit_lbfgs(), numbers()
inside, go_on = threading.Event(), threading.Event()
def callback(report):
    inside.set()
    go_on.wait()
thread = threading.Thread(target=fit_lbfgs, kwargs={"callback": callback})
thread.start(); inside.wait()
with one.lock:
    found = in_child(lambda: (numbers(), fit_lbfgs(), numbers()))
go_on.set(); thread.join()
assert found == repr((before, here, before)), found
assert numbers() == before
said = []
def fork(report):
    if report.epoch == 1:
        said.append(in_child(lambda: (len(one.inside), fit_lbfgs(), set(numbers()) <= {1})))
assert fit_lbfgs(callback=fork) == here
assert said == [repr((1, here, True))]
""",
    "with tables that its parent has read: what needs polars's threads says so, and all else works": """
import pathlib, tempfile, gpubp
folder = pathlib.Path(tempfile.mkdtemp())
rows = [f"{a},{b},{'xyz'[a % 3]},{a * b % 7}" for a in range(20) for b in range(5)]
(folder / "t.csv").write_text("\\n".join(["a,b,c,d", *rows]))
table = gpubp.read_table(folder / "t.csv")
recipe = gpubp.Recipe(hidden=(2,), epochs=2, early_stopping=2)
space = {"hidden": [(2,)], "epochs": 2}
calls = [
    lambda: gpubp.cross_validate(table, "c", recipe, folds=2, engine="array").fold_scores,
    lambda: gpubp.train_model(table, "d", recipe, engine="array").history.training_loss.tolist(),
    lambda: gpubp.train_ensemble(table, "c", recipe, members=2, engine="array").history.training_loss.tolist(),
    lambda: gpubp.sweep(table, "c", space, n_trials=1, cv=2, engine="array").best.score,
    lambda: gpubp.sweep(table.frame, "d", space, n_trials=1, cv=2, engine="array").best.score,
]
for call in calls:
    assert in_child(call) == repr(call())
for refused in (lambda: gpubp.read_table(folder / "t.csv"),
                lambda: gpubp.sweep(table, "c", space, n_trials=1, cv=2, engine="array", folder=folder / "sweep")):
    assert "polars does not work in a forked process" in in_child(refused)
    assert "polars does not work in a forked process" in eval(in_child(lambda: in_child(refused)))
""",
    "before its parent has read any table": """
import pathlib, tempfile, gpubp.tables
file = pathlib.Path(tempfile.mkdtemp(), "t.csv")
file.write_text("a,b\\n1,2\\n3,4")
assert in_child(lambda: gpubp.read_table(file).rows) == "2"
assert in_child(lambda: in_child(lambda: gpubp.read_table(file).rows)) == repr("2")
""",
}


@NEEDS_FORK
@pytest.mark.parametrize("name", FORKS)
def test_a_forked_process_trains(name: str) -> None:
    """To the bits of its parent."""
    assert run(FORKS[name], "print('done')") == "done"


ENDINGS = {
    "atexit": "atexit.register(say)",
    "atexit, after a training": "pool_and_team()\natexit.register(say)",
    "a thread that outlives the main thread": "threading.Thread(target=lambda: (WAIT(), say())).start()",
    "such a thread, after a training": "pool_and_team()\nthreading.Thread(target=lambda: (WAIT(), say())).start()",
}
SAY = """
WAIT = threading.main_thread().join
def say():
    print(pool_and_team(), fit_lbfgs())
"""


def test_trainings_while_the_interpreter_ends() -> None:
    expected = run(SAY, "say()")
    for code in ENDINGS.values():
        assert run(SAY, code) == expected, code


def test_a_search_by_several_processes_while_the_interpreter_ends() -> None:
    """One does it all, since no more can be started."""
    search = """
from gpubp import MLPClassifier, PopulationSearchCV
def say():
    found = PopulationSearchCV(MLPClassifier((3,), solver="lbfgs", max_iter=3, random_state=0), {"alpha": [1.0, 2.0]},
                               strategy="grid", cv=2, n_jobs=N_JOBS)
    warnings.simplefilter("ignore")
    print(found.fit(X, X[:, 0] > 0).cv_results_["mean_test_score"])
"""
    assert run("N_JOBS = 2", search, "atexit.register(say)") == run("N_JOBS = 1", search, "say()")


def test_what_is_first_wanted_while_the_interpreter_ends() -> None:
    code = """
import atexit, threading, gpubp
def late():
    try:
        gpubp.MLPClassifier
    except RuntimeError as error:
        print(error)
atexit.register(late)
"""
    said = "gpubp.MLPClassifier cannot be loaded while the interpreter ends: let it be loaded before"
    assert without_head(code).startswith(said)


def test_a_daemon_that_trains_does_not_keep_the_process() -> None:
    code = "threading.Thread(target=lambda: job(40, 10**9), daemon=True).start()\ntime.sleep(0.1)\nprint('ends')"
    assert run("", code) == "ends"


STANDIN = """
import standin
USES = {
    "one was asked for": lambda: get_backend("cupy"),
    "one was taken": lambda: get_backend("auto"),
    "not by gpubp": lambda: cupy.zeros(3),
    "CUDA was not used": lambda: None,
}

def child():
    said = []
    for name in ("cupy", "auto"):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                backend = get_backend(name)
                said.append((backend.name, backend.reason.split(",")[0], len(told)))
            except Exception as error:
                said.append((type(error).__mro__[1].__name__, str(error).split(":")[0], len(told)))
    return said

def parent(use):
    use()
    return eval(in_child(child))

with standin.installed() as cupy:
    print({name: eval(in_child(lambda: parent(use))) for name, use in USES.items()})
"""
NO_CUDA = "CUDA cannot be used in this process"
REFUSED = [("BackendError", NO_CUDA, 0), ("numpy", f"{NO_CUDA}: it was forked from one that had used CUDA before", 1)]
ALLOWED = [("cupy", "asked for", 0), ("cupy", "a CUDA device is available", 0)]


@NEEDS_FORK
def test_cuda_does_not_go_along_with_a_fork() -> None:
    """Each use is a process's own: the one that they were all forked from has used nothing."""
    uses = ("one was asked for", "one was taken", "not by gpubp")
    assert eval(run(STANDIN)) == dict.fromkeys(uses, REFUSED) | {"CUDA was not used": ALLOWED}


@NEEDS_FORK
def test_networks_on_a_device_say_so_in_a_forked_process() -> None:
    code = """
import standin
with standin.installed():
    backend = get_backend("cupy")
    them = Population.initialize(Architecture(4, (5,), 1), network_seeds(0, 2), backend)
    settings = Settings("squared_error", epochs=2)
    uses = {
        "train": lambda: train(them, X, X[:, :1], settings, engine="array"),
        "predict": lambda: them.predict(X),
        "state": lambda: them.state(),
        "begin": lambda: Population.initialize(Architecture(4, (5,), 1), [1], backend),
        "copy": lambda: them.copy(),
    }
    for name, use in uses.items():
        said = in_child(use)
        assert "ForkedError(" in said and "CUDA cannot be used in this process" in said, (name, said)
    uses["train"]()
"""
    assert run(code, "print('done')") == "done"


def run(*parts: str) -> str:
    return without_head("\n".join([HEAD, *parts]))


def without_head(code: str) -> str:
    """What the program prints; it has to end well."""
    here = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, here))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.strip()
