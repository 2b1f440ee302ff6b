"""A job: one network to be trained, with everything that its result depends on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from gpubp.networks.settings import SCHEDULED, PerNetwork, Settings
from gpubp.operations.architecture import Architecture
from gpubp.operations.initializers import Draw


@dataclass(frozen=True, eq=False)
class Sheet:
    """A table as some networks see it: X (N, I) and T (N, O), scaled by what their training rows say.

    weights: (N,) or None. x = (value − offset) / scale, offset and scale (I,); t = (value − mean) / spread, mean and
    spread (O,): zeros and ones where nothing is scaled. nonlinear: numbers among the inputs are smoothly clipped after
    that, or are normal scores. log: t is of the value's logarithm. limits: between which predictions stay, or None.
    """

    X: np.ndarray
    T: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray | None = None
    nonlinear: bool = False
    log: bool = False
    limits: tuple[float, float] | None = None

    @classmethod
    def plain(cls, X: np.ndarray, T: np.ndarray, weights: np.ndarray | None = None) -> Sheet:
        return cls(X, T, *_no_scaling(X.shape[1]), *_no_scaling(T.shape[1]), weights)


@lru_cache(maxsize=64)
def _no_scaling(columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Zeros and ones, made once for each width, since small trainings are many calls; nobody writes to them."""
    found = np.zeros(columns), np.ones(columns)
    for each in found:
        each.flags.writeable = False
    return found


@dataclass(frozen=True, eq=False)
class Job:
    """settings: with numbers, not arrays. rows: to train on, of the sheet's; None for all. validation: for early
    stopping, test: to be predicted.
    """

    architecture: Architecture
    settings: Settings
    dtype: np.dtype[Any]
    initializer: str | Draw
    seed: int
    sheet: Sheet
    rows: np.ndarray | None
    validation: np.ndarray | None = None
    test: np.ndarray | None = None
    owner: Any = field(default=None, repr=False)  # whose network it is
    zero_last_layer: bool = False

    @property
    def epochs(self) -> int:
        return self.settings.epochs

    @property
    def n_rows(self) -> int:
        """To train on."""
        return len(self.sheet.T) if self.rows is None else len(self.rows)


def population_key(job: Job) -> Hashable:
    """What networks have to share to be one population; their epochs, where the schedule looks at them."""
    settings = job.settings
    return (
        job.architecture,
        job.dtype,
        job.initializer,
        job.zero_last_layer,
        settings.loss,
        settings.optimizer,
        settings.schedule,
        tuple(sorted(settings.all_schedule_options().items())),
        settings.batch_rows(job.n_rows) if settings.even_batches else settings.batch_size,
        settings.shuffle,
        tuple(getattr(settings, setting) for what, setting in SCHEDULED.items() if what != "rate"),
        settings.early_stopping,
        settings.clip_norm is None,
        settings.average is None,
        settings.dropout_shares(1, len(job.architecture.hidden)) is None,
        tuple(sorted(settings.all_layer_options(job.architecture))),
        job.validation is None,
        job.sheet.weights is None,
        job.sheet.T.shape[1],
        None if all(settings.schedule_of(what).endless for what in SCHEDULED) else settings.epochs,
    )


def with_batches_of_the_largest(jobs: Sequence[Job]) -> list[Job]:
    """Jobs of nearly equally many rows with the even batches of the one with the most: so they train side by side."""
    if not any(job.settings.even_batches for job in jobs):
        return [*jobs]
    rows = max(job.n_rows for job in jobs)
    one = {id(job.settings): job.settings for job in jobs}
    even = {
        place: replace(settings, batch_size=settings.batch_rows(rows), even_batches=False)
        for place, settings in one.items()
    }
    return [replace(job, settings=even[id(job.settings)]) for job in jobs]


def population_settings(jobs: Sequence[Job], epochs: int) -> Settings:
    """The settings of jobs with one key as a population's, for so many epochs."""
    first, each = jobs[0].settings, [job.settings for job in jobs]
    if all(settings is first for settings in each):  # the very same where nothing differs: engines keep buffers for it
        return first if first.epochs == epochs else replace(first, epochs=epochs)
    smoothing = [settings.label_smoothing for settings in each]
    shares = [settings.dropout_shares(1, len(jobs[0].architecture.hidden)) for settings in each]

    def side_by_side(options: Sequence[Mapping[str, PerNetwork]]) -> dict[str, np.ndarray]:
        return {name: np.array([given[name] for given in options]) for name in options[0]}

    return replace(
        first,
        epochs=epochs,
        learning_rate=np.array([settings.learning_rate for settings in each], dtype=np.float64),
        l2=np.array([settings.l2 for settings in each], dtype=np.float64),
        clip_norm=None if first.clip_norm is None else np.array([s.clip_norm for s in each], dtype=np.float64),
        average=None if first.average is None else np.array([s.average for s in each], dtype=np.float64),
        optimizer_options=side_by_side([settings.all_optimizer_options() for settings in each]),
        loss_options=side_by_side([settings.all_loss_options() for settings in each]),
        layer_options=side_by_side([settings.all_layer_options(jobs[0].architecture) for settings in each]),
        label_smoothing=smoothing[0] if len({*smoothing}) == 1 else np.array(smoothing, dtype=np.float64),
        dropout=0.0 if shares[0] is None else np.concatenate([share for share in shares if share is not None]),
    )
