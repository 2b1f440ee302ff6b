"""What belongs to the whole process, and not to a library, is after every call what it was before."""

from __future__ import annotations

import asyncio
import decimal
import faulthandler
import gc
import io
import locale
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
import threadpoolctl  # type: ignore[import-untyped]
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gpubp
from gpubp import MLPClassifier, MLPRegressor, PopulationSearchCV, Recipe
from gpubp.tutorial import case_study

X, y = load_iris(return_X_y=True)
X, y = X[::3], y[::3]
LABELS = np.array(["setosa", "versicolor", "virginica"])[y]

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Training interrupted by user"),
]


def state() -> dict[str, Any]:
    """Everything that is the process's own, as values that can be compared."""
    optuna = logging.getLogger("optuna")
    mask = os.umask(0)
    os.umask(mask)
    return {
        "warnings": [*warnings.filters],
        "the list of filters": id(warnings.filters),
        "showwarning": warnings.showwarning,
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "numpy": np.geterr(),
        "environment": dict(os.environ),
        "threads of BLAS": [(each["filepath"], each["num_threads"]) for each in threadpoolctl.threadpool_info()],
        "umask": mask,
        "folder": os.getcwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook, sys.gettrace()),
        "optuna": (optuna.level, optuna.propagate, [(each, [*each.filters]) for each in optuna.handlers]),
        "logging": (logging.root.level, [*logging.root.handlers], logging.root.manager.disable),
        "random": random.getstate(),
        "np.random": repr(np.random.get_state()),  # noqa: NPY002
        "gc": (gc.isenabled(), gc.get_threshold()),
        "interpreter": (sys.getrecursionlimit(), sys.getswitchinterval(), faulthandler.is_enabled(), [*sys.path]),
        "decimal": repr(decimal.getcontext()),
        "scikit-learn": sklearn.get_config(),
    }


def network(**parameters: Any) -> MLPClassifier:
    return MLPClassifier((3,), **{"max_iter": 3, "random_state": 0, "engine": "array"} | parameters)


def search(estimator: Any = None, name: str = "alpha", **parameters: Any) -> Any:
    found = PopulationSearchCV(estimator or network(), {name: [1e-4, 1e-2]}, strategy="grid", cv=2, **parameters)
    return found.fit(X, LABELS)


SPACE = {"hidden": [(3,)], "epochs": 3, "l2": [0.0, 0.1]}


def sweep(**parameters: Any) -> Any:
    return gpubp.sweep(X, y, SPACE, n_trials=2, cv=2, engine="array", **parameters)


def files(folder: Path) -> None:
    fitted = network().fit(X, LABELS)
    fitted.save(folder / "network.safetensors")
    again = MLPClassifier.load(folder / "network.safetensors")
    assert (again.predict(X) == fitted.predict(X)).all()
    fitted.to_sklearn()
    pytest.importorskip("onnx")
    fitted.to_onnx()


def fail() -> None:
    with pytest.raises(ValueError, match="NaN"):
        network().fit(np.full_like(X, np.nan), y)
    with pytest.raises(ValueError, match="No fits"):
        PopulationSearchCV(network(), {"alpha": [1.0]}, strategy="grid", cv=[]).fit(X, y)
    with pytest.raises(gpubp.GpubpError):
        gpubp.sweep(X, y, {"epochs": 0})


def tpe(folder: Path) -> None:
    pytest.importorskip("optuna")
    gpubp.sweep(X, y, SPACE, n_trials=2, cv=2, engine="array", strategy="tpe", folder=tempfile.mkdtemp(dir=folder))


CALLS: dict[str, Callable[[Path], Any]] = {
    "fit": lambda folder: network(early_stopping=True).fit(X, LABELS).predict(X),
    "members": lambda folder: network(n_members=2, bootstrap=True).fit(X, y).score(X, y, np.ones(len(y))),
    "lbfgs": lambda folder: network(solver="lbfgs").fit(X, y).score(X, y),
    "partial_fit": lambda folder: network().partial_fit(X, y, classes=[0, 1, 2]).predict_proba(X),
    "numbers": lambda folder: MLPRegressor(hidden_layer_sizes=(3,), max_iter=3, random_state=0).fit(X, y).score(X, y),
    "search": lambda folder: search(),
    "search with scores": lambda folder: search(make_pipeline(StandardScaler(), network()), "mlpclassifier__alpha",
                                                scoring=["accuracy", "f1_macro"], refit="accuracy"),
    "search one by one": lambda folder: search(network(solver="lbfgs")),
    "sweep": lambda folder: sweep(metric="balanced_accuracy").refit().predict(X),
    "halving": lambda folder: sweep(strategy="halving").ensemble(2),
    "tpe": tpe,
    "case study": lambda folder: case_study(engine="lane"),
    "failures": lambda folder: fail(),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_call_leaves_the_process_as_it_was(name: str, tmp_path: Path) -> None:
    CALLS[name](tmp_path)  # what is imported brings its own: BLAS, loggers
    before = state()
    CALLS[name](tmp_path)
    assert state() == before


def test_calls_in_threads_leave_the_process_as_it_was(tmp_path: Path) -> None:
    calls = [CALLS[name] for name in CALLS if name not in ("failures", "case study")]
    for call in calls:
        call(tmp_path)
    before = state()
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(call, tmp_path) for call in calls * 3]:
            done.result()
    assert state() == before


def test_files_leave_the_process_as_it_was(tmp_path: Path) -> None:
    files(tmp_path)
    before = state()
    files(tmp_path)
    assert state() == before


def test_tables_leave_the_process_as_it_was(tmp_path: Path) -> None:
    def everything() -> None:
        recipe, name = Recipe(hidden=(3,), epochs=3), tmp_path / "irises.csv"
        rows = [",".join(map(str, (*row, label))) for row, label in zip(X, LABELS, strict=True)]
        name.write_text("\n".join(("a,b,c,d,kind", *rows)))
        table = gpubp.read_table(name)
        gpubp.train_model(table, "kind", recipe, engine="array").model.save(tmp_path / "model.safetensors")
        gpubp.train_ensemble(table, "kind", recipe, members=2, engine="array")
        gpubp.cross_validate(table, "kind", recipe, folds=2, engine="array")

    everything()
    before = state()
    everything()
    assert state() == before


def test_a_sweep_by_optuna_is_quiet_and_others_are_not(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    others = threading.Event()

    def meanwhile(progress: Any) -> None:
        if not others.is_set():
            others.set()
            thread = threading.Thread(target=lambda: optuna.create_study(study_name="of another"))
            thread.start()
            thread.join()

    filters = [*warnings.filters]
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("optuna").addHandler(handler)
    try:
        gpubp.sweep(X, y, SPACE, n_trials=2, cv=2, engine="array", strategy="tpe", folder=tmp_path, watch=[meanwhile])
    finally:
        logging.getLogger("optuna").removeHandler(handler)
    assert [line for line in log.getvalue().splitlines() if "study" in line] == [log.getvalue().strip()]
    assert "of another" in log.getvalue()
    assert handler.filters == []
    assert warnings.filters == filters


def interrupt(report: Any) -> bool:
    signal.raise_signal(signal.SIGINT)
    return False


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_interrupted_fits_leave_the_process_as_it_was(solver: str) -> None:
    network(solver=solver).fit(X, y)
    before = state()
    with pytest.warns(UserWarning, match="interrupted"):
        found = network(solver=solver, callbacks=(interrupt,)).fit(X, y)
    assert found.n_iter_ == 1
    with pytest.raises(ZeroDivisionError):
        network(solver=solver, callbacks=(lambda report: 1 / 0,)).fit(X, y)
    assert state() == before


@pytest.fixture
def handler() -> Any:
    """Puts SIGINT's handler back after a test that changes it."""
    before = signal.getsignal(signal.SIGINT)
    yield before
    signal.signal(signal.SIGINT, before)


def test_a_handler_of_the_applications_is_called_and_ends_the_training(handler: Any) -> None:
    heard: list[int] = []

    def own(number: int, frame: Any) -> None:
        heard.append(number)

    signal.signal(signal.SIGINT, own)
    with pytest.warns(UserWarning, match="interrupted"):
        assert network(callbacks=(interrupt,)).fit(X, y).n_iter_ == 1
    assert heard == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is own


def test_a_handler_that_raises_ends_the_training_with_its_error(handler: Any) -> None:
    def own(number: int, frame: Any) -> None:
        raise LookupError("the application's own")

    signal.signal(signal.SIGINT, own)
    with pytest.raises(LookupError, match="own"):
        network(callbacks=(interrupt,)).fit(X, y)
    assert signal.getsignal(signal.SIGINT) is own


def test_where_ctrl_c_is_ignored_a_training_goes_on(handler: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert network(callbacks=(interrupt,)).fit(X, y).n_iter_ == 3
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_handler_that_a_callback_has_set_stays(handler: Any) -> None:
    def own(number: int, frame: Any) -> None:
        pass

    def change(report: Any) -> bool:
        signal.signal(signal.SIGINT, own)
        return False

    network(callbacks=(change,)).fit(X, y)
    assert signal.getsignal(signal.SIGINT) is own


def test_a_handler_put_back_after_the_training_does_what_the_one_before_it_did(handler: Any) -> None:
    found: list[Any] = []
    network(callbacks=(lambda report: bool(found.append(signal.getsignal(signal.SIGINT))),)).fit(X, y)
    signal.signal(signal.SIGINT, found[0])
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_within_a_training_within_a_training_ends_both() -> None:
    inner: list[int] = []

    def nested(report: Any) -> bool:
        with pytest.warns(UserWarning, match="interrupted"):
            inner.append(network(callbacks=(interrupt,)).fit(X, y).n_iter_)
        return False

    before = signal.getsignal(signal.SIGINT)
    with pytest.warns(UserWarning, match="interrupted"):
        assert network(callbacks=(nested,)).fit(X, y).n_iter_ == 1
    assert inner == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_asyncio_hears_of_ctrl_c_too() -> None:
    async def train() -> int:
        with pytest.warns(UserWarning, match="interrupted"):
            epochs: int = network(callbacks=(interrupt,)).fit(X, y).n_iter_
        ended.append(epochs)
        await asyncio.sleep(60)
        return epochs

    ended: list[int] = []
    if sys.version_info < (3, 11):  # its runner leaves SIGINT to Python
        pytest.skip("asyncio has a handler since Python 3.11")
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(train())
    assert ended == [1]
