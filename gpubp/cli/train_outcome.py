"""What `gpubp train` says and keeps, whether it trains one network or members."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpubp.cli import shapes
from gpubp.cli.options import ReportOptions
from gpubp.cli.table_options import TableOptions, TargetOptions
from gpubp.errors import DataError
from gpubp.operations.losses import LOSSES

if TYPE_CHECKING:
    from gpubp.models.ensemble import Ensemble
    from gpubp.models.model import Model
    from gpubp.preprocessing import Target
    from gpubp.training.checkpoint import Checkpoint
    from gpubp.training.history import History


def saved(
    model: Model | Ensemble, output: Path, history: History, checkpoint: Checkpoint | None, report: ReportOptions
) -> None:
    """Save it; say what it replaces; and remove the checkpoint of a training that has come to its end."""
    replaced = check_output(output)
    model.save(output)
    if checkpoint is not None and not history.interrupted:
        checkpoint.remove()
    if replaced:
        report.note(f"The model that {output} held before was replaced.")


def goes_on(checkpoint: Checkpoint | None) -> str:
    return " Go on with --resume." if checkpoint is not None and checkpoint.path.exists() else ""


def check_output(path: Path) -> bool:
    """Whether a model is about to be replaced. DataError where nothing can be written, or where it would replace
    something that is not a model, such as the table itself.
    """
    from gpubp.storage.files import check_place

    check_place(path)
    if not path.exists() or os.path.getsize(path) == 0:
        return False
    try:
        with open(path, "rb") as file:
            beginning = file.read(1 << 12)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}. Choose another --output.") from None
    if b'"gpubp"' not in beginning or b"gpubp checkpoint" in beginning:
        raise DataError(f"{path} exists and is not a model of gpubp. Choose another --output, or remove it first.")
    return True


def unproven(validation: Any, source: TableOptions, target: TargetOptions) -> Iterable[Any]:
    """Where there was no validation: that nothing here tells how good the model is, and what would."""
    if not validation:
        words = ["gpubp", "cross-validate", source.table, *(["--target", target.target] if target.target else [])]
        yield shapes.line(
            "How good it is on rows that it has not seen is not known yet: the training loss does not tell. To find "
            f"out,\ntrain with --validation 0.2, or: {shlex.join(words)}"
        )


def target_scale(target: Target, recipe: Mapping[str, Any]) -> str | None:
    """What was done to numbers before a network learned them; None for classes."""
    if target.task == "classification":
        return None
    return "none" if recipe["loss"] in LOSSES and LOSSES[recipe["loss"]].is_for_counts else str(recipe["target_scale"])


def scaling(outcome: Mapping[str, Any]) -> str | None:
    """The target's scale, what is offered instead, and where predictions end."""
    if outcome["target_scale"] is None:
        return None
    offered = "" if outcome["target_scale_offer"] is None else "; --target-scale log may do better"
    limits = outcome["target_limits"]
    kept = "" if limits is None else f", predictions stay within {limits[0]:g} to {limits[1]:g}"
    return f"{outcome['target_scale']}{kept}{offered}"


def classes(labels: tuple[str, ...], limit: int = 10) -> str | None:
    if not labels:
        return None
    shown = ", ".join(shapes.short(label) for label in labels[:limit]) + (", …" if len(labels) > limit else "")
    return f"{len(labels)}: {shown}"
