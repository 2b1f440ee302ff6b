"""What a shell offers after Tab: values of options, columns of the table that is on the line already, model files.

Whatever goes wrong here is silent: somebody is typing. Nothing large is read or imported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpubp.fitting.named_recipes import NAMED_RECIPES
from gpubp.operations.activations import HIDDEN
from gpubp.operations.initializers import INITIALIZERS
from gpubp.operations.layer_kinds import FRONT
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.parametric import PARAMETRIC
from gpubp.operations.registry import OPTIONS
from gpubp.operations.schedules import PURE_SCHEDULES, SCHEDULES
from gpubp.storage.datasets import SEEDS


def _settings_of(kind: str) -> tuple[str, ...]:
    return tuple(f"{name}=" for name in OPTIONS[kind])


CHOICES: dict[str, tuple[str, ...]] = {
    "recipe_name": tuple(NAMED_RECIPES),
    "activation": (*HIDDEN, *PARAMETRIC),
    "front": ("none", *FRONT),
    "layer_option": _settings_of("layer"),
    "initializer": ("auto", *INITIALIZERS),
    "dtype": ("float32", "float64"),
    "scale": ("robust", "quantile", "standard", "minmax", "none"),
    "category_encoding": ("one_hot", "signed", "scaled"),
    "missing_numbers": ("median", "indicate"),
    "target_scale": ("standard", "log"),
    "task": ("classification", "regression"),
    "loss": tuple(LOSSES),
    "loss_option": _settings_of("loss"),
    "optimizer": tuple(OPTIMIZERS),
    "optimizer_option": _settings_of("optimizer"),
    "schedule": tuple(SCHEDULES),
    **dict.fromkeys(("dropout_schedule", "decay_schedule", "smoothing_schedule"), PURE_SCHEDULES),
    "schedule_option": _settings_of("schedule"),
    "backend": ("auto", "numpy", "cupy"),
    "engine": ("auto", "lane", "block", "array"),
    "preset": ("fast", "good", "best"),
    "strategy": ("random", "grid", "halving", "tpe"),
    "metric": (
        *("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "neg_log_loss", "roc_auc", "roc_auc_ovr"),
        *("r2", "neg_root_mean_squared_error", "neg_mean_absolute_error", "loss"),
    ),
    "monitor": ("validation_loss", "validation_score", "training_loss"),
    "ties": ("first", "last"),
    "separator": ("tab", "whitespace"),
    "checkpoint": ("never",),
}
"""Values by parameter. Those that are written out here are repeated from modules that take long to import; a test
compares them.
"""

COLUMNS = ("target", "categorical", "ignore", "keep")  # parameters that name columns of the table
BEGINNING = 1 << 16  # bytes of a table that are read for its first line
MODELS = 1000  # files of a folder that are looked into


@dataclass(frozen=True)
class Offer:
    """One of the things that may be meant, in the form that Typer hands to the shell."""

    value: str
    type: str = "plain"
    help: str | None = None


def attach(params: Iterable[Any]) -> None:
    """Let each parameter that has something to offer do so."""
    for param in params:
        offers = _offers(param.name)
        if offers is not None:
            param.shell_complete = _completer(offers)


def _offers(name: str) -> Callable[[Any, str], Iterable[str]] | None:
    if name in CHOICES:
        return lambda ctx, begun: CHOICES[name]
    if name in COLUMNS:
        return lambda ctx, begun: columns_of(_table_on_the_line(ctx))
    if name == "table":
        return lambda ctx, begun: [SEEDS] if begun and not any(Path().glob(f"{begun}*")) else []
    if name == "model":
        return lambda ctx, begun: model_files(begun)
    return None


def _completer(offers: Callable[[Any, str], Iterable[str]]) -> Callable[[Any, str], list[Offer]]:
    def complete(ctx: Any, incomplete: str) -> list[Offer]:
        try:
            return [Offer(_quoted(value)) for value in offers(ctx, incomplete) if value.startswith(incomplete)]
        except Exception:
            return []

    return complete


def _quoted(value: str) -> str:
    """As a word of bash: names of columns may have spaces. Typer quotes for the other shells."""
    if "COMP_WORDS" not in os.environ or _word().startswith(("'", '"')):  # a quote that is open serves as well
        return value
    return re.sub(r"([^\w@%+=:,./~-])", r"\\\1", value)


def _word() -> str:
    """What bash is about to complete, as it was typed."""
    words, place = os.environ["COMP_WORDS"].split("\n"), os.environ.get("COMP_CWORD", "")
    return words[int(place)] if place.isdigit() and int(place) < len(words) else ""


def join_words() -> None:
    """bash hands `--target=x` on as three words, which Typer does not expect: the sign is taken out of them."""
    if "COMP_WORDS" not in os.environ or not os.environ.get("COMP_CWORD", "").isdigit():
        return
    words, place = os.environ["COMP_WORDS"].split("\n"), int(os.environ["COMP_CWORD"])
    signs = [i for i in range(1, place) if words[i : i + 1] == ["="] and words[i - 1].startswith("--")]
    os.environ["COMP_WORDS"] = "\n".join(word for i, word in enumerate(words) if i not in signs)
    os.environ["COMP_CWORD"] = str(place - len(signs))


def _table_on_the_line(ctx: Any) -> str:
    """The parser gives up at the option whose value is yet to come: it gets one."""
    words = ctx.meta.get("gpubp.arguments", [])
    for filled in (words, [*words, ""]):
        found = ctx.params.get("table") or ctx.command.make_parser(ctx).parse_args(list(filled))[0].get("table")
        if found:
            return os.path.expanduser(str(found))
    raise LookupError


def columns_of(path: str) -> Sequence[str]:
    """The names in the first line of a table; none where that holds numbers."""
    if path.endswith((".parquet", ".feather", ".arrow", ".ipc")):
        return _stored_columns(path)
    for line in _beginning(path).splitlines():
        if line.strip() and not line.startswith("#") and not re.fullmatch(r"sep=.\s*", line):
            names = _fields(line)
            return [] if any(_is_number(name) for name in names) else [name for name in names if name]
    return []


def _stored_columns(path: str) -> list[str]:
    import polars as pl  # takes its time, and is the only one that knows

    return (pl.scan_parquet if path.endswith(".parquet") else pl.scan_ipc)(path).collect_schema().names()


def _beginning(path: str) -> str:
    import bz2
    import gzip
    import lzma

    if not os.path.isfile(path):  # a pipe would wait
        return ""
    with open(path, "rb") as file:
        magic = file.read(6)
    openers = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))
    opened: Any = next((opener for start, opener in openers if magic.startswith(start)), open)
    with opened(path, "rb") as file:
        data: bytes = file.read(BEGINNING)
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("utf-8" if _is_cut(data) else "cp1252", errors="ignore")


def _is_cut(data: bytes) -> bool:
    """Whether it is UTF-8 but for its last character, which goes on behind the end."""
    try:
        data[:-3].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return error.start >= len(data) - 6
    return True


def _fields(line: str) -> list[str]:
    """Split by the separator that gives the most."""
    import csv

    rows = [next(csv.reader([line], delimiter=mark, skipinitialspace=True)) for mark in ",;\t|"]
    rows.append(line.split())
    widest = max(rows[:4], key=len)
    return [name.strip() for name in (widest if len(widest) > 1 or '"' in line else rows[4])]


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def model_files(begun: str) -> list[str]:
    """Models and ensembles in the folder that the word begins with, whatever their names are."""
    folder = Path(os.path.expanduser(os.path.dirname(begun) or "."))
    prefix = begun[: len(begun) - len(os.path.basename(begun))]
    found = []
    for entry in sorted(os.scandir(folder), key=lambda each: each.name)[:MODELS]:
        if entry.name.startswith(os.path.basename(begun)) and entry.is_file() and is_model(entry.path):
            found.append(prefix + entry.name)
    return found


def is_model(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            beginning = file.read(1 << 12)
    except OSError:
        return False
    return beginning[8:9] == b"{" and b'"gpubp"' in beginning and b"gpubp checkpoint" not in beginning
