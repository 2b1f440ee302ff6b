"""`gpubp show`: what a model file holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpubp.cli import shapes
from gpubp.cli.options import ReportOptions
from gpubp.cli.panels import MODEL
from gpubp.cli.predict import MODEL_HELP, load
from gpubp.operations.dense import Dense
from gpubp.operations.layers import Layer

if TYPE_CHECKING:
    from gpubp.models.ensemble import Ensemble
    from gpubp.models.model import Model
    from gpubp.preprocessing import Target

SHOWN_CATEGORIES = 8
SCALING = {"robust": ": (x − median) / spread, then smoothly clipped at ±3", "quantile": ": normal scores"}


def show(
    model: Annotated[Path, typer.Argument(metavar="MODEL", rich_help_panel=MODEL, show_default=False, help=MODEL_HELP)],
    report: ReportOptions,
) -> None:
    """Show a model: layers, columns, training; of an ensemble, its members.

    \b
    Examples:
      gpubp show model.safetensors
      gpubp show model.safetensors --json
    """
    from gpubp.models.model import Model

    loaded = load(model)
    if isinstance(loaded, Model):
        found = loaded
        report.give(result(found), lambda: parts(found))
    else:
        ensemble = loaded
        report.give(members(ensemble), lambda: member_parts(ensemble))


def result(model: Model) -> dict[str, Any]:
    preprocessing = model.preprocessing
    arrays = {name.partition(".")[2]: values for name, values in preprocessing.to_arrays().items()}
    target = model.target
    return {
        "architecture": model.architecture.to_dict(),
        "parameters": model.architecture.n_parameters,
        "dtype": model.params.dtype.name,
        "inputs": list(preprocessing.input_names),
        "preprocessing": preprocessing.to_metadata() | arrays,
        "target": target.to_metadata() | {"mean": target.mean, "scale": target.scale},
        "training": dict(model.training),
    }


def members(ensemble: Ensemble) -> dict[str, Any]:
    target = ensemble.target
    return {
        "task": ensemble.task,
        "target": None if target is None else target.to_metadata(),
        "labels": None if ensemble.classes is None else ensemble.classes,
        "temperature": ensemble.temperature,
        "members": [
            {"name": name, "count": count, "architecture": group.architecture.to_dict()}
            for group in ensemble.members
            for name, count in zip(group.names, group.counts.tolist(), strict=True)
        ],
        "training": dict(ensemble.description),
    }


def member_parts(ensemble: Ensemble) -> Iterable[Any]:
    of = "" if ensemble.target is None else f" of {ensemble.target.name!r}"
    labels = None if ensemble.classes is None else ", ".join(map(shapes.short, ensemble.classes))
    yield shapes.facts(
        [
            ("ensemble", shapes.counted(ensemble.n_members, "member")),
            ("task", f"{ensemble.task}{of}"),
            ("predictions", extent(ensemble)),
            ("classes", labels),
            ("temperature", None if ensemble.temperature == 1.0 else f"{ensemble.temperature:.4g}"),
        ]
    )
    if configurations := preset_configurations(ensemble.description):  # each has a network for every fold
        yield shapes.table(["configuration", "score>", "share>"], configurations)
    else:
        yield shapes.table(
            ["member", "network", "activations", "counts>"],
            [
                (name, str(group.architecture), ", ".join(group.architecture.activations), count)
                for group in ensemble.members
                for name, count in zip(group.names, group.counts.tolist(), strict=True)
            ],
        )
    told = {name: each for name, each in ensemble.description.items() if name not in ("configurations", "estimator")}
    facts = list(training(told))
    if facts:
        yield shapes.facts(facts)


def preset_configurations(described: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Those that have a share of the answer, as a preset's file lists them; [] where it lists nothing of that kind."""
    found = []
    listed = described.get("configurations")
    for each in listed if isinstance(listed, list) else []:
        if not isinstance(each, dict):
            return []
        network, score, share = (each.get(name) for name in ("network", "score", "share"))
        if not isinstance(network, str) or not all(isinstance(value, (int, float)) for value in (score, share)):
            return []
        if share:
            found.append((network, shapes.number(score), shapes.percent(share, 0)))
    return found


def extent(ensemble: Ensemble) -> str | None:
    """Where predictions end, and how many members learned logarithms; None where there is neither."""
    limits = None if ensemble.target is None else ensemble.target.limits
    found = [] if limits is None else [f"stay within {limits[0]:.6g} to {limits[1]:.6g}"]
    if logs := sum(len(group.params) for group in ensemble.members if group.log):
        found.append(f"{logs} of {shapes.counted(ensemble.n_members, 'member')} learned the target's logarithm")
    return "; ".join(found) or None


def _size(layer: Layer) -> str:
    """As "4 × 16" of a dense layer, "scale of 4" of another."""
    if isinstance(layer, Dense):
        return f"{layer.n_inputs} × {layer.n_outputs}"
    return f"{layer.name} of {layer.n_inputs}"


def parts(model: Model) -> Iterable[Any]:
    architecture, target = model.architecture, model.target
    kind = f"{target.task} of {target.name!r}"
    labels = ", ".join(map(shapes.short, target.labels))
    labels = labels or units(target)
    yield shapes.facts(
        [
            ("network", f"{architecture}, {architecture.n_parameters:,} parameters, {model.params.dtype.name}"),
            ("target", f"{kind}: {labels}"),
        ]
    )
    yield shapes.table(
        ["layer", "weights", "activation", "parameters>"],
        [
            (number, _size(layer), getattr(layer, "activation", ""), f"{layer.n_parameters:,}")
            for number, layer in enumerate(architecture.layers, 1)
        ],
        total=("all", "", "", f"{architecture.n_parameters:,}"),
    )
    yield shapes.line(f"Inputs (scaling: {model.preprocessing.scaling}{SCALING.get(model.preprocessing.scaling, '')})")
    yield shapes.table(["column", "kind", "inputs>", "if missing", "encoding"], columns(model))
    if model.preprocessing.left_out:
        yield shapes.line("Columns that are no inputs")
        yield shapes.table(["column", "why"], [(each.name, each.reason) for each in model.preprocessing.left_out])
    facts = list(training(model.training))
    if facts:
        yield shapes.facts(facts)


def units(target: Target) -> str:
    """How numbers to be predicted are scaled, and where predictions end."""
    what = "its logarithm " if target.log else ""
    found = f"{what}in units of {target.scale:.4g} around {target.mean:.4g}"
    if target.limits is None:
        return found
    return f"{found}; predictions stay within {target.limits[0]:.6g} to {target.limits[1]:.6g}"


def columns(model: Model) -> Iterable[tuple[Any, ...]]:
    preprocessing, d = model.preprocessing, 0
    for column in preprocessing.columns:
        inputs, told = len(column.input_names), "; 0 and 1" if column.has_indicator else ""
        if column.kind == "numeric":
            offset, scale = preprocessing.offset[d], preprocessing.scale[d]
            encoding = "as it is" if (offset, scale) == (0.0, 1.0) else f"(x − {offset:.6g}) / {scale:.6g}"
            if preprocessing.quantiles is not None:
                known = preprocessing.quantiles_of(d)
                encoding = f"score among {known[0]:.6g} … {known[-1]:.6g}"
            elif preprocessing.scaling == "robust":
                encoding = f"median {offset:.6g}, spread {scale:.6g}"
            if column.name in preprocessing.constant:
                encoding += ", constant in training"
            yield column.name, column.kind, inputs, f"{preprocessing.fill[d]:.6g}{told}", encoding
        elif column.kind == "date":
            cycles = ", with sine and cosine" if set(column.parts) != {"year"} else ""
            yield column.name, column.kind, inputs, f"medians, zeros{told}", ", ".join(column.parts) + cycles
        else:
            more = len(column.categories) - SHOWN_CATEGORIES
            names = ", ".join(column.categories[:SHOWN_CATEGORIES]) + (f", … ({more} more)" if more > 0 else "")
            if column.is_signed:
                names = "{} −1, {} +1".format(*column.categories)
            if column.encoding == "scaled":
                names += "; then scaled"
            yield column.name, column.kind, inputs, "own category" if column.tells_missing else "zeros", names
        d += inputs


def training(described: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """How it was trained, as the file tells it: any JSON values, believed in nothing."""
    for name, value in described.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {spelled(item)}" for key, item in value.items() if worth_showing(key, item))
        if value not in (None, ""):
            yield name.replace("_", " "), spelled(value)


def worth_showing(key: str, value: Any) -> bool:
    return value not in (None, {}, "") and key not in ("confusion_matrix", "confusions", "labels")


def spelled(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)
