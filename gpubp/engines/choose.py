"""Chooses the engine of a training, and says why: by an estimate of the work, in seconds, for each that could do it.

The choice depends on the training and on the engines' costs alone, not on what the kernel cache holds or how busy the
machine is: the same training takes the same engine every time, and so gives the same bits. (Engines agree to rounding,
not to the bit; name one where populations of different sizes have to agree to the bit.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gpubp.backends import Array
from gpubp.engines.base import Costs, Engine, EngineKind
from gpubp.engines.registry import ENGINE_KINDS, ENGINES, FALLBACK, USUAL_COSTS
from gpubp.errors import SettingsError
from gpubp.errors.suggestions import check_choice
from gpubp.networks.plan import TrainingPlan
from gpubp.operations.dense import has_own_rates


@dataclass(frozen=True)
class EngineChoice:
    """engine: a name of the registry; reason: in words; seconds: the estimate for each that could serve.

    asked_for: by name, so that no other engine will do.
    """

    engine: str
    reason: str
    seconds: dict[str, float]
    asked_for: bool = True

    @property
    def compiled(self) -> bool:
        """Whether the engine trains whole epochs in a call of a compiled kernel."""
        return ENGINE_KINDS[self.engine].compiled

    def build(self, plan: TrainingPlan, params: Array, buffers: Any = None) -> Engine:
        """params (P, K) is trained in place. buffers: of an earlier training by this engine, which serve this one."""
        return ENGINE_KINDS[self.engine].make(plan, params, buffers)

    def without_a_kernel(self, reason: str) -> EngineChoice:
        """The choice where the kernel cannot be had. reason: why."""
        return EngineChoice(FALLBACK, reason, self.seconds, asked_for=False)


def choose_engine(plan: TrainingPlan, wanted: str = "auto", costs: Mapping[str, Costs] | None = None) -> EngineChoice:
    """The engine asked for, or with "auto" the one whose estimate is least, its share of a compilation included.

    costs: of each engine, by name; the usual ones where none are given. Raises SettingsError where the engine asked for
    cannot serve these networks; what a missing compiler means for an engine that was asked for is told when it is built
    (BackendError).
    """
    if costs is None and plan.n_networks == 1:
        choice = _known_choice(plan, wanted)
    else:
        choice = _choose(plan, wanted, costs or USUAL_COSTS)
    if choice.asked_for or not choice.compiled:
        return choice
    missing = plan.backend.compiler_missing()
    return choice if missing is None else choice.without_a_kernel(missing)


def _known_choice(plan: TrainingPlan, wanted: str) -> EngineChoice:
    """One network may be trained for microseconds, call after call: the choice is kept, by all that it depends on."""
    known = wanted, depends_on(plan)
    choice = _chosen.get(known)
    if choice is None:
        if len(_chosen) >= MOST_CHOSEN:
            _chosen.clear()
        choice = _chosen[known] = _choose(plan, wanted, USUAL_COSTS)
    return choice


MOST_CHOSEN = 256  # choices that a process keeps at hand
_chosen: dict[Any, EngineChoice] = {}


def depends_on(plan: TrainingPlan) -> tuple[Any, ...]:
    """All that a choice for one network depends on: plans that are alike in it take the same engine."""
    settings, backend = plan.settings, plan.backend
    return (
        (backend.on_host, backend.lanes_in_registers, backend.multiprocessors()),
        (plan.architecture, plan.dtype.name, settings.loss, settings.optimizer, settings.average is None),
        (plan.batch_size, settings.epochs, int(plan.rows.count[0]), settings.shuffle, plan.rows.shared),
        (bool(plan.hyper["l2"].any()), settings.clip_norm is None, plan.dropout is None, plan.validation is None),
        (plan.smoothing is None, plan.varies("decay")),
        None if plan.weights is None else plan.weights.ndim,
        has_own_rates(plan.hyper),
    )


def _choose(plan: TrainingPlan, wanted: str, costs: Mapping[str, Costs]) -> EngineChoice:
    """The answer of `choose_engine` where kernels can be compiled."""
    check_choice("engine", wanted, ENGINES)
    refusals = {name: kind.refuses(plan) for name, kind in ENGINE_KINDS.items()}
    refusal = refusals.get(wanted)
    if refusal is not None:
        raise SettingsError(f"The engine {wanted} cannot be used: {refusal}. Choose another engine, or auto.")
    serving = [kind for name, kind in ENGINE_KINDS.items() if refusals[name] is None]
    seconds = _estimates(plan, serving, costs)
    if wanted != "auto":
        return EngineChoice(wanted, "asked for", seconds)
    best = min(seconds, key=lambda engine: seconds[engine] + costs[engine].compile_share(plan.backend))
    reason = "about " + ", ".join(f"{seconds[engine]:.2g} s by {engine}" for engine in seconds)
    for name, kind in ENGINE_KINDS.items():
        if kind.absence and refusals[name] is not None:
            reason += f"; {kind.absence}: {refusals[name]}"
    fastest = min(seconds, key=lambda engine: seconds[engine])
    if ENGINE_KINDS[fastest].compiled and not ENGINE_KINDS[best].compiled:
        compiling = costs[fastest].compile_seconds(plan.backend)
        reason += f"; compiling a kernel (about {compiling:g} s, once) would not pay"
    return EngineChoice(best, reason, seconds, asked_for=False)


def estimates(plan: TrainingPlan, costs: Mapping[str, Costs] = USUAL_COSTS) -> dict[str, float]:
    """Seconds of the whole training, without compiling, by each engine that "auto" may take."""
    serving = [kind for kind in ENGINE_KINDS.values() if kind.refuses(plan) is None]
    return _estimates(plan, serving, costs)


def _estimates(plan: TrainingPlan, serving: Iterable[EngineKind[Any]], costs: Mapping[str, Costs]) -> dict[str, float]:
    seconds = {kind: kind.seconds(plan, costs[kind.name]) for kind in serving}
    return {kind.name: estimate for kind, estimate in seconds.items() if kind.serves_auto(plan, estimate)}
