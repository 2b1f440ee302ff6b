"""Trained networks of different configurations as one ensemble, with as few preprocessings as they can share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpubp.fitting.array_data import ArrayData
from gpubp.fitting.fold_scaling import unscaled
from gpubp.fitting.job import Sheet
from gpubp.fitting.table_data import TableData
from gpubp.models.ensemble import Ensemble, Members
from gpubp.operations.architecture import Architecture
from gpubp.preprocessing import InputRules, Target
from gpubp.preprocessing.scaling import LINEAR
from gpubp.search.run.trial import Configuration


@dataclass(frozen=True, eq=False)
class Trained:
    """Networks of one configuration, trained on one sheet. params (M, K). count: how much each of them counts."""

    configuration: Configuration
    params: np.ndarray
    sheet: Sheet
    count: int
    names: tuple[str, ...]


def assembled(
    data: ArrayData | TableData,
    trained: Sequence[Trained],
    rows: np.ndarray,
    description: Mapping[str, Any],
    temperature: float = 1.0,
) -> Ensemble:
    """rows: those that the sheets were scaled by. description, temperature: see `Ensemble`."""
    groups: dict[tuple[Architecture, InputRules, bool, bool, bool], list[Trained]] = {}
    for each in trained:
        sheet, recipe = each.sheet, each.configuration.recipe
        rules = _before_the_scaling(recipe.inputs)
        key = (each.configuration.architecture, rules, sheet.nonlinear, sheet.log, sheet.limits is not None)
        groups.setdefault(key, []).append(each)
    bent = {rules for _, rules, nonlinear, _, _ in groups if nonlinear}
    views = list(dict.fromkeys(rules for _, rules, _, _, _ in groups))
    members = tuple(
        Members(
            architecture,
            np.concatenate([unscaled(architecture, each.params, each.sheet) for each in group]),
            np.repeat([each.count for each in group], [len(each.params) for each in group]).astype(np.int64),
            tuple(name for each in group for name in each.names),
            unscaled=rules in bent and not nonlinear,
            log=log,
            limited=limited,
            view=views.index(rules) if isinstance(data, TableData) else 0,
        )
        for (architecture, rules, nonlinear, log, limited), group in groups.items()
    )
    fitted, target = [], None
    if isinstance(data, TableData):
        fitted = [data.preprocessing(rules if rules in bent else replace(rules, scale="none"), rows) for rules in views]
        target = Target.fit(data.table, data.name, data.task, rows, clip=any(limited for *_, limited in groups))
    return Ensemble(
        members=members,
        task=data.task,
        classes=data.classes,
        single=data.truth.ndim == 1,
        preprocessing=fitted[0] if fitted else None,
        target=target,
        description=description,
        others=tuple(fitted[1:]),
        temperature=temperature,
    )


def _before_the_scaling(rules: InputRules) -> InputRules:
    """Networks whose rules are the same by this can share a preprocessing: a linear scaling goes into the weights, and
    such a network reads numbers as they are before the robust scale.
    """
    return replace(rules, scale="robust") if rules.scale in LINEAR else rules
