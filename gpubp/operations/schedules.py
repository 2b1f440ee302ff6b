"""Schedules: the factor by which a quantity is multiplied at a moment of the training. First of all the learning rate;
dropout, decay and label smoothing may have one each.

factor(xp, epoch, n_rows, n_epochs, options): `epoch` counts epochs from 0 with its fraction within the epoch, as a
float64 array (…, P); n_rows (P,) training rows of each network; n_epochs: the length that the training was given.
Pure functions of the moment, so a resumed training needs no schedule state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from gpubp.operations.options import Option

if TYPE_CHECKING:
    from gpubp.backends import Array

Factor = Callable[[ModuleType, "Array", "Array", int, Mapping[str, float]], "Array"]


@dataclass(frozen=True)
class Schedule:
    """varies: it gives updates factors of their own. endless: they do not depend on how long the training is. steers:
    it is the training loop that lowers the rate, where early stopping would end a network. suits: what it needs
    besides, in words.
    """

    name: str
    factor: Factor
    options: tuple[Option, ...] = ()
    varies: bool = True
    endless: bool = False
    steers: bool = False
    suits: str = ""


def constant(xp: ModuleType, epoch: Array, n_rows: Array, n_epochs: int, options: Mapping[str, float]) -> Array:
    return xp.ones_like(epoch)


def adaptive(xp: ModuleType, epoch: Array, n_rows: Array, n_epochs: int, options: Mapping[str, float]) -> Array:
    """1: the training loop itself multiplies a network's rate by `factor`, where early stopping would end it, down to
    `least` (scikit-learn's "adaptive").
    """
    return xp.ones_like(epoch)


def inverse_scaling(xp: ModuleType, epoch: Array, n_rows: Array, n_epochs: int, options: Mapping[str, float]) -> Array:
    """1 / (1 + r)^power, r the rows seen before this epoch, as scikit-learn's "invscaling"; the same all epoch long."""
    rows_seen = xp.floor(epoch) * n_rows
    factor = (rows_seen + 1.0) ** -options["power"]
    return xp.where(rows_seen == 0, 1.0, factor)


def step(xp: ModuleType, epoch: Array, n_rows: Array, n_epochs: int, options: Mapping[str, float]) -> Array:
    """factor^⌊epoch / every⌋."""
    return options["factor"] ** xp.floor(epoch / options["every"])


def cosine(xp: ModuleType, epoch: Array, n_rows: Array, n_epochs: int, options: Mapping[str, float]) -> Array:
    """From 1 down to `floor` along half a cosine (Loshchilov and Hutter 2017, equation 5, without restarts)."""
    floor = options["floor"]
    return floor + (1.0 - floor) * 0.5 * (1.0 + xp.cos(math.pi * xp.minimum(epoch / n_epochs, 1.0)))


def one_cycle(xp: ModuleType, epoch: Array, n_rows: Array, n_epochs: int, options: Mapping[str, float]) -> Array:
    """Up from `start` to 1 in the first `warmup` share of the training, then down to `floor`; half cosines both.

    (Smith and Topin 2018.) The base rate is the peak.
    """
    progress = xp.minimum(epoch / n_epochs, 1.0)
    warmup, start, floor = options["warmup"], options["start"], options["floor"]
    rising = start + (1.0 - start) * 0.5 * (1.0 - xp.cos(math.pi * xp.minimum(progress / warmup, 1.0)))
    falling_share = xp.maximum(progress - warmup, 0.0) / (1.0 - warmup)
    falling = floor + (1.0 - floor) * 0.5 * (1.0 + xp.cos(math.pi * falling_share))
    return xp.where(progress < warmup, rising, falling)


def flat_cos(xp: ModuleType, epoch: Array, n_rows: Array, n_epochs: int, options: Mapping[str, float]) -> Array:
    """1 for the first `flat` share of the training, then down to 0 along half a cosine.

    (Holzmüller, Grinsztajn and Steinwart 2024, arXiv 2407.04491, for dropout and weight decay.)
    """
    flat = options["flat"]
    falling_share = xp.maximum(xp.minimum(epoch / n_epochs, 1.0) - flat, 0.0) / (1.0 - flat)
    return 0.5 * (1.0 + xp.cos(math.pi * falling_share))


def coslog4(xp: ModuleType, epoch: Array, n_rows: Array, n_epochs: int, options: Mapping[str, float]) -> Array:
    """½ (1 − cos(2π log2(1 + (2^cycles − 1) t))), t the share of the training that is done: from 0 up to 1 and down
    to 0 again, so many times, each twice as long as the one before.

    (Holzmüller, Grinsztajn and Steinwart 2024, arXiv 2407.04491; four cycles end after 1/15, 3/15, 7/15 and all of it.)
    """
    progress = xp.minimum(epoch / n_epochs, 1.0)
    return 0.5 * (1.0 - xp.cos(2.0 * math.pi * xp.log2(1.0 + (2.0 ** options["cycles"] - 1.0) * progress)))


# The same names may have other defaults, and another sense, from schedule to schedule.
SCHEDULES: dict[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        Schedule("constant", constant, varies=False, endless=True),
        Schedule(
            "adaptive",
            adaptive,
            (
                Option("factor", 0.2, "what the rate is multiplied by", above=0.0),
                Option("least", 1e-6, "where a network stops after all", least=0.0),
            ),
            varies=False,
            endless=True,
            steers=True,
            suits="with --early-stopping: slower instead of stopping",
        ),
        Schedule(
            "inverse_scaling", inverse_scaling, (Option("power", 0.5, "of the rows seen", least=0.0),), endless=True
        ),
        Schedule(
            "step",
            step,
            (
                Option("every", 10.0, "epochs between two steps", above=0.0),
                Option("factor", 0.5, "of a step", above=0.0),
            ),
            endless=True,
        ),
        Schedule("cosine", cosine, (Option("floor", 0.0, "the last factor", least=0.0, most=1.0),)),
        Schedule(
            "one_cycle",
            one_cycle,
            (
                Option("warmup", 0.3, "the share of the training that goes up", above=0.0, below=1.0),
                Option("start", 0.04, "the first factor", least=0.0, most=1.0),
                Option("floor", 1e-4, "the last factor", least=0.0, most=1.0),
            ),
        ),
        Schedule(
            "flat_cos",
            flat_cos,
            (Option("flat", 0.5, "the share of the training that has the whole of it", least=0.0, below=1.0),),
        ),
        Schedule(
            "coslog4",
            coslog4,
            (Option("cycles", 4.0, "from 0 to 1 and back; whole numbers end at 0", least=1.0, most=50.0),),
        ),
    )
}

PURE_SCHEDULES = tuple(schedule.name for schedule in SCHEDULES.values() if not schedule.steers)
"""Functions of the moment alone: those that dropout, decay and label smoothing may have, too."""
