"""How long networks take to train: the estimate of their engine, corrected by what was measured so far."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence

from gpubp.engines.registry import ENGINE_KINDS
from gpubp.fitting.job import Job, population_key
from gpubp.search.run.engines import Engines


class Rates:
    """Of all populations of a sweep: how many seconds go by for each that was estimated. Any thread may ask."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self._of_key: dict[Hashable, float] = {}
        self._of_engine: dict[str, float] = {}
        # seconds before the first epoch of a key that was not trained yet
        self._beginning = {engine: engines.compile_seconds(engine) for engine in ENGINE_KINDS}
        self._lock = threading.Lock()

    def knows(self, engine: str) -> bool:
        """Whether it was measured."""
        return engine in self._of_engine

    def seconds(self, job: Job, engine: str, estimate: float) -> float:
        """Expected of a training like this job's, for which the engine's estimate, without compiling, is this."""
        key = population_key(job)
        with self._lock:
            ratio = self._of_key.get(key, self._of_engine.get(engine, 1.0))
            return ratio * estimate + (0.0 if key in self._of_key else self._beginning[engine])

    def measured(self, jobs: Sequence[Job], engine: str, share: float, seconds: float, beginning: float) -> None:
        """This share of the epochs of jobs of one key took so long, after what came before the first of them."""
        estimate = share * self.engines.seconds(jobs, engine)
        if estimate <= 0 or seconds <= 0:
            return
        key = population_key(jobs[0])
        with self._lock:
            if key not in self._of_key:
                ready = ENGINE_KINDS[engine].every_architecture  # its kernel serves every key, and is compiled by now
                self._beginning[engine] = 0.0 if ready else beginning
            self._of_key[key] = self._of_engine[engine] = seconds / estimate
