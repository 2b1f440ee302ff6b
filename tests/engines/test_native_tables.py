"""The native kernels know the same activations, losses and optimizers as the reference, under the same names."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from gpubp.engines.dialect import read_source
from gpubp.operations.activations import ACTIVATIONS, LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE
from gpubp.operations.losses import LOSSES
from gpubp.operations.optimizers import OPTIMIZERS
from gpubp.operations.permutation import MIXER, ROUNDS
from gpubp.operations.philox import KEY_INCREMENTS, MULTIPLIERS, Stream
from gpubp.operations.registry import HYPERPARAMETERS

SOURCE = read_source("lane.h")

# What one side has and the other does not, with the reason. Nothing at present.
REFERENCE_ONLY: dict[str, str] = {}
NATIVE_ONLY: dict[str, str] = {}


def test_the_generated_header_is_what_the_entries_say() -> None:
    script = Path(__file__).parents[2] / "scripts" / "generate_operations.py"
    written = runpy.run_path(str(script))
    told = "The entries in gpubp/operations have changed: run `python scripts/generate_operations.py`."
    assert written["HEADER"].read_text(encoding="utf-8") == written["header"](), told


def enumerators(name: str) -> list[str]:
    (body,) = re.findall(rf"enum {name} \{{([^}}]*)\}}", SOURCE)
    return [entry.strip() for entry in body.split(",")]


@pytest.mark.parametrize(
    ("enum", "table"),
    [("Activation", ACTIVATIONS), ("Loss", LOSSES), ("Optimizer", OPTIMIZERS)],
    ids=lambda x: str(x)[:9],
)
def test_every_entry_is_on_both_sides(enum: str, table: dict) -> None:
    reference = {name.upper() for name in table} - REFERENCE_ONLY.keys()
    native = set(enumerators(enum)) - NATIVE_ONLY.keys()
    assert reference - native == set(), "in the reference, but not in the native kernels"
    assert native - reference == set(), "in the native kernels, but not in the reference"


def test_hyperparameters_are_packed_in_the_kernels_order() -> None:
    expected = [f"H_{name.upper()}" for name in HYPERPARAMETERS]
    assert enumerators("Hyperparameter") == [*expected, "HYPERPARAMETERS"]
    assert len(HYPERPARAMETERS) == len({*HYPERPARAMETERS})  # no two options share a row


def test_every_elementwise_activation_has_both_passes() -> None:
    """A name that the if-chains of activations.h forget would fall through to the identity."""
    forward, backward = (
        re.findall(rf"template <int A> FN lane_t {way}.*?\n\}}", SOURCE, re.DOTALL)[0]
        for way in ("forward", "backward")
    )
    for name, entry in ACTIVATIONS.items():
        if name not in ("identity", "softmax"):
            assert f"A == {name.upper()})" in forward
            assert f"A == {name.upper()})" in backward
        assert (f"activation == {name.upper()}" in SOURCE) == entry.needs_input


@pytest.mark.parametrize(
    ("macro", "value"),
    [
        ("LEAKY_SLOPE", LEAKY_SLOPE),
        ("SELU_SCALE", SELU_SCALE),
        ("SELU_ALPHA", SELU_ALPHA),
        ("STREAM_SHUFFLE", int(Stream.SHUFFLE)),
        ("STREAM_DROPOUT", int(Stream.DROPOUT)),
        ("SHUFFLE_ROUNDS", ROUNDS),
        ("SHUFFLE_MIXER", int(MIXER)),
    ],
)
def test_constants_agree(macro: str, value: float) -> None:
    (text,) = re.findall(rf"#define {macro} (?:\(real_t\))?(\S+)", SOURCE)
    found = int(text.rstrip("u"), 0) if isinstance(value, int) else float(text)
    assert found == value


def test_philox_constants_agree() -> None:
    for constant in (*MULTIPLIERS, *KEY_INCREMENTS):
        assert f"0x{constant:x}u" in SOURCE
