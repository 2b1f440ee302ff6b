"""L-BFGS over the whole table: SciPy's optimizer around the hand-written loss and gradient of one network.

Byrd, Lu, Nocedal and Zhu 1995, "A limited memory algorithm for bound constrained optimization" (no bounds here). It
suits small tables: every evaluation looks at all rows, and a few hundred of them often do.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.backends.base import float_dtype
from gpubp.backends.interruption import Interruption
from gpubp.errors import DataError, DivergenceError
from gpubp.networks.population import Population
from gpubp.networks.preparation import check_data
from gpubp.networks.settings import Settings, check_range, check_whole
from gpubp.operations.architecture import Architecture
from gpubp.operations.network import Tape, loss_and_gradient
from gpubp.training.history import Callback, EpochReport


@dataclass(frozen=True)
class LbfgsResult:
    """params (K,): on the host, rounded to the dtype they came in. loss: before that, the mean over the rows with L2
    term.

    n_iter: iterations, n_evaluations: of the loss and its gradient. message: why it ended, in SciPy's words.
    """

    params: np.ndarray
    loss: float
    n_iter: int
    n_evaluations: int
    converged: bool
    message: str
    interrupted: bool


def fit_lbfgs(
    architecture: Architecture,
    params: np.ndarray,
    X: np.ndarray,
    T: np.ndarray,
    loss: str,
    l2: float,
    weights: np.ndarray | None = None,
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
    backend: Backend,
    callback: Callback | None = None,
    loss_options: Mapping[str, float] = {},
) -> LbfgsResult:
    """Minimise the mean loss over all rows plus ½ · l2 · Σ W² / rows (biases free), from params (K,) on.

    X (N, I) and T (N, O) go to the device once, in float64, in which everything is computed, whatever dtype params have
    (float32 or float64): SciPy looks at changes of the loss of 2e-9 of it, and float32 has none below 6e-8, so that
    targets far from 0 would end it at once, "converged". weights (N,): the mean is over them, and their sum is the rows
    of the L2 term. It ends after max_iter iterations, after the iteration in which there have been more than max_fun
    evaluations, when the largest component of the gradient is at most `tol`, or when the loss stands still (by SciPy's
    rule: relative change below 2.2e-9), as scikit-learn's solver "lbfgs" does.

    callback is told after each iteration as after an epoch (see EpochReport); Ctrl-C ends it after the iteration at
    hand. Where the line search tries steps beyond the finite numbers, it comes back by itself.

    Raises SettingsError, DataError, BackendError for what cannot be fitted, and DivergenceError where the loss or its
    gradient is not finite at the start already.
    """
    from scipy.optimize import minimize

    check_whole("max_iter", max_iter)
    check_whole("max_fun", max_fun)
    check_range("tol", tol, least=0.0)
    given = float_dtype(np.asarray(params).dtype)
    begin = np.asarray(params, dtype=np.float64)
    settings = Settings(loss=loss, l2=l2, loss_options=loss_options)
    objective = _objective(architecture, begin, X, T, settings, weights, backend)
    with Interruption() as interruption, backend.quiet(), _SCIPY_ON_ONE_THREAD:
        objective.begin(begin)
        found = minimize(
            objective.evaluate,
            begin,
            method="L-BFGS-B",
            jac=True,
            options={"maxfun": max_fun, "maxiter": max_iter, "gtol": tol},
            callback=_Reporter(callback, max_iter, interruption),
        )
    with np.errstate(over="ignore"):
        rounded = found.x.astype(given)
    return LbfgsResult(
        params=rounded,
        loss=float(found.fun),
        n_iter=min(int(found.nit), max_iter),
        n_evaluations=objective.n_evaluations,
        converged=found.status == 0,
        message=str(found.message),
        interrupted=interruption.requested,
    )


def _objective(
    architecture: Architecture,
    params: np.ndarray,
    X: np.ndarray,
    T: np.ndarray,
    settings: Settings,
    weights: np.ndarray | None,
    backend: Backend,
) -> _Objective:
    """Everything checked, once, before the first evaluation."""
    settings.check_architecture(architecture)
    if params.shape != (architecture.n_parameters,):
        raise DataError(
            f"Parameters of shape {params.shape} for {architecture}: expected ({architecture.n_parameters},)."
        )
    population = Population.from_host(architecture, params[None, :], np.zeros(1), backend)
    data = check_data(population, X, T, settings.loss_function, weights)
    if data.weights is not None and data.weights.shape != (len(data.X),):
        raise DataError(f"Row weights of shape {data.weights.shape}: expected ({len(data.X)},), there is one network.")
    if data.weights is not None and not data.weights.sum() > 0:
        raise DataError("All rows have weight 0: there is nothing to fit.")
    dtype = population.dtype
    X_on_device, T_on_device = backend.to_device(data.X, dtype), backend.to_device(data.T, dtype)
    return _Objective(population, X_on_device, T_on_device, settings, data.weights)


class _Objective:
    """The loss and its gradient as a function of flat float64 parameters (K,). All arrays are allocated here, once.

    decay (K,): l2 / rows times the factor of the parameter's group, 0 where a bias is, so that the L2 term is one
    product over the flat parameters, whatever the layers. It is computed on the host, in float64.
    """

    def __init__(
        self, population: Population, X: Array, T: Array, settings: Settings, weights: np.ndarray | None
    ) -> None:
        loss, l2 = settings.loss_function, float(settings.l2)  # type: ignore[arg-type]
        backend, architecture = population.backend, population.architecture
        xp, n_rows, n_parameters = backend.xp, len(X), architecture.n_parameters
        self.backend, self.architecture, self.loss, self.X, self.T = backend, architecture, loss, X, T
        options = {name: np.full((1, 1, 1), value) for name, value in settings.all_loss_options().items()}
        self.options = {name: backend.to_device(value, population.dtype) for name, value in options.items()}
        self.params, self.grads = population.params, xp.empty_like(population.params)
        self.views, self.d_views = architecture.views(self.params), architecture.views(self.grads)
        self.tape = Tape(backend, architecture, 1, n_rows, population.dtype)
        self.total = float(n_rows) if weights is None else float(weights.sum())
        self.weights = None if weights is None else backend.to_device(weights[None, :], population.dtype)  # (1, N)
        self.scale: Any = 1.0 / self.total
        if self.weights is not None:
            self.scale = (self.weights / self.total).astype(population.dtype)[:, :, None]
        self.answer = xp.empty(n_parameters + 1, dtype=np.float64)  # the gradient and the loss: one transfer
        usual = settings.all_layer_options(architecture)
        decay = [
            np.full(each.size, layer.factors(each, usual).l2)
            for layer in architecture.layers
            for each in layer.parameters
        ]
        self.decay = np.concatenate(decay) * (l2 / self.total)
        self.has_l2 = bool(l2)
        self.worse = math.inf
        self.n_evaluations = 0

    def begin(self, params: np.ndarray) -> None:
        """DivergenceError unless the loss and its gradient are finite at the start."""
        loss, gradient = self._loss_and_gradient(params)
        if not _finite(loss, gradient):
            raise DivergenceError(
                f"Before the first step of L-BFGS the loss is {loss:g}, and it or its gradient is too large to go on. "
                f"{self._remedy()}"
            )
        self.worse = loss + abs(loss) + 1.0

    def evaluate(self, params: np.ndarray) -> tuple[float, np.ndarray]:
        """(loss, gradient (K,) float64, a new array: SciPy may keep it).

        Beyond the finite numbers the loss counts as worse than at the start, and flat: no line search accepts such a
        step, and the interpolation for the next trial stays within the finite numbers. DivergenceError where SciPy's
        own numbers have left them.
        """
        self.n_evaluations += 1
        loss, gradient = self._loss_and_gradient(params)
        if not _finite(loss, gradient):
            if not np.isfinite(params).all():
                raise DivergenceError(
                    f"L-BFGS left the finite numbers in evaluation {self.n_evaluations}. {self._remedy()}"
                )
            return self.worse, np.zeros_like(gradient)
        return loss, gradient

    def _remedy(self) -> str:
        return (
            f"The inputs or the targets are too large for {np.dtype(self.params.dtype).name}: scale them, for example "
            "to mean 0 and standard deviation 1."
        )

    def _loss_and_gradient(self, params: np.ndarray) -> tuple[float, np.ndarray]:
        self.params[0] = self.backend.to_device(params, self.params.dtype)
        row_losses = self.tape.loss
        loss_and_gradient(
            self.backend,
            self.architecture,
            self.loss,
            self.views,
            self.X,
            self.T,
            self.scale,
            self.tape,
            self.d_views,
            row_losses,
            self.options,
        )
        if self.weights is not None:
            row_losses *= self.weights
        self.answer[:-1] = self.grads[0]
        row_losses.sum(dtype=np.float64, out=self.answer[-1:].reshape(()))
        answer = self.backend.to_host(self.answer)
        loss = float(answer[-1]) / self.total
        if not self.has_l2:
            return loss, answer[:-1].copy()
        gradient = self.decay * params
        loss += 0.5 * float(gradient @ params)
        gradient += answer[:-1]
        return loss, gradient


def _finite(loss: float, gradient: np.ndarray) -> bool:
    """The gradient's squared length as well, since SciPy computes it."""
    return math.isfinite(loss) and math.isfinite(gradient @ gradient)


class _Reporter:
    """What SciPy calls after each iteration; StopIteration ends it there."""

    def __init__(self, callback: Callback | None, max_iter: int, interruption: Interruption) -> None:
        self.callback, self.max_iter, self.interruption = callback, max_iter, interruption
        self.iteration = 0

    def __call__(self, intermediate_result: Any) -> None:  # SciPy goes by the parameter's name
        loss = float(intermediate_result.fun)
        report = EpochReport(
            self.iteration, self.max_iter, np.zeros(1, dtype=np.int64), lambda: np.array([[loss], [np.nan], [np.nan]])
        )
        self.iteration += 1
        ends = bool(self.callback(report)) if self.callback is not None else False
        if ends or self.interruption.requested:
            raise StopIteration


class _ScipyOnOneThread:
    """Within it, SciPy's own copy of the BLAS runs on one thread.

    The wheels of NumPy and SciPy each bring a BLAS with a pool of threads that wait by spinning. L-BFGS and the
    network call them in turn, and the pools fight for the cores: on two cores an evaluation took ten times as long.
    SciPy's part are products of a few vectors, which need no threads. The pool is the whole process's, so fits in
    several threads count themselves: the first one sets it, the last one puts it back.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside: list[int] = []  # the threads whose fits are under way, one as often as it has begun
        self.limited: Any = None  # what the last one is to put back
        self.found: Any = None
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self.begin_anew)

    @property
    def pool(self) -> Any:
        if self.found is None:
            from threadpoolctl import ThreadpoolController

            found = ThreadpoolController()
            own = [library["filepath"] for library in found.info() if _is_scipys(Path(library["filepath"]))]
            self.found = found.select(filepath=own)
        return self.found

    def __enter__(self) -> None:
        with self.lock:
            self.inside.append(threading.get_ident())
            try:
                if self.limited is None:
                    self.limited = self.pool.limit(limits=1, user_api="blas")
            except BaseException:
                self.inside.remove(threading.get_ident())
                raise

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside.remove(threading.get_ident())
            self.put_back()

    def put_back(self) -> None:
        if not self.inside and self.limited is not None:
            limited, self.limited = self.limited, None
            limited.restore_original_limits()

    def begin_anew(self) -> None:
        """In a forked process, which has only one of the threads: the fits of the others are not under way here."""
        self.lock = threading.Lock()
        self.inside = [thread for thread in self.inside if thread == threading.get_ident()]
        self.put_back()


_SCIPY_ON_ONE_THREAD = _ScipyOnOneThread()


def _is_scipys(library: Path) -> bool:
    """Whether it came with SciPy's wheel; where NumPy and SciPy share one BLAS, there is nothing to settle."""
    return any(folder in ("scipy.libs", "scipy") for folder in library.parts)
