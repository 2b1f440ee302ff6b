"""A kernel's arguments are declared once: what C++ has of them, and what a launch list refuses."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpubp.engines.arguments import ArgumentError, Entry, LaunchList, array, number
from gpubp.engines.block import arguments as of_block
from gpubp.engines.dialect import read_source
from gpubp.engines.lane import arguments as of_lane

SCRIPT = Path(__file__).parents[2] / "scripts" / "generate_arguments.py"
SCALE = Entry(
    "scale",
    "none",
    call=(
        array("params", "real", "(P, K)", "scaled", written=True),
        array("slots_spk", "real", "(SLOTS, P, K)", "scaled as well", written=True, nullable=True),
        array("weights", "real", "(P, weights_stride) or (N,)", "of the rows", nullable=True),
        number("weights_stride", "of the weights"),
        array("order", "int", "(N,)", "of the rows"),
        number("first", "the first"),
        number("last", "one beyond the last"),
    ),
)
P, K, N, SLOTS = 2, 3, 5, 2
GOOD: dict[str, Any] = {
    "params": np.zeros((P, K)),
    "slots_spk": np.zeros((SLOTS, P, K)),
    "weights": np.zeros((P, N)),
    "weights_stride": N,
    "order": np.arange(N, dtype=np.int32),
    "first": 0,
    "last": P,
}


def launch_list() -> LaunchList:
    return LaunchList(SCALE, np.dtype(np.float64), SLOTS=SLOTS)


def test_values_come_in_the_order_of_the_parameters() -> None:
    calls = launch_list()
    calls.keep({name: GOOD[name] for name in reversed(GOOD) if name not in ("first", "last")})
    found = calls.call({"last": 2, "first": 1})
    expected = [GOOD["params"], GOOD["slots_spk"], GOOD["weights"], N, GOOD["order"], 1, 2]
    assert [id(value) for value in found] == [id(value) for value in expected]
    assert calls.call({"last": 1, "first": 0})[-2:] == [0, 1]
    assert [calls.place[name] for name in ("params", "slots_spk", "weights", "last")] == [0, 1, 2, 6]


def test_an_array_may_be_missing_or_of_its_other_shape() -> None:
    assert launch_list().call(GOOD | {"weights": None})[2] is None
    assert launch_list().call(GOOD | {"slots_spk": None})[1] is None
    shared = np.zeros(N)
    assert launch_list().call(GOOD | {"weights": shared, "weights_stride": 0})[2] is shared


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"params": np.zeros((P, K), np.float32)}, "argument params (P, K): float32 instead of float64"),
        ({"params": np.zeros((P, K, 1))}, "argument params (P, K): its shape is (2, 3, 1)"),
        ({"params": None}, "argument params (P, K): None"),
        ({"slots_spk": np.zeros((1, P, K))}, "argument slots_spk (SLOTS, P, K): its shape is (1, 2, 3), SLOTS = 2, "),
        ({"slots_spk": np.zeros((2, P, 4))}, "its shape is (2, 2, 4), SLOTS = 2, P = 2, K = 3"),
        ({"weights_stride": 4}, "argument weights (P, weights_stride) or (N,): its shape is (2, 5), P = 2, "),
        ({"weights": np.zeros(N)}, "argument weights (P, weights_stride) or (N,): its shape is (5,)"),
        ({"order": np.arange(N)}, "argument order (N,): int64 instead of int32"),
        ({"first": 0.0}, "argument first: 0.0 is no int of 32 bits"),
        ({"last": 2**31}, "argument last: 2147483648 is no int of 32 bits"),
        ({"steps": 3}, "scale has no argument 'steps'"),
    ],
)
def test_what_is_wrong_is_told_by_its_name(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(words)):
        launch_list().call(GOOD | wrong)


def test_a_call_goes_without_an_array_that_was_kept() -> None:
    calls = launch_list()
    calls.keep(GOOD)
    assert calls.call({"weights": None})[2] is None
    assert calls.call({})[2] is GOOD["weights"]
    calls.keep({"weights": None})
    assert calls.call({})[2] is None


def test_what_is_missing_is_told_by_its_name() -> None:
    calls = launch_list()
    calls.keep({"params": GOOD["params"]})
    with pytest.raises(ArgumentError, match="scale: no value for slots_spk, last"):
        calls.call({name: value for name, value in GOOD.items() if name not in ("slots_spk", "params", "last")})


def test_the_headers_are_what_the_declarations_say(generate: Any) -> None:
    stale = [path.name for path, text in generate.headers() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run python scripts/generate_arguments.py"


@pytest.mark.parametrize(
    ("entry", "source"),
    [
        (of_lane.TRAIN, "lane.h"),
        (of_lane.PREDICT, "predict.h"),
        (of_block.TRAIN, "block.h"),
        (of_block.PREDICT, "block_predict.h"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_kernel_takes_its_parameters_from_its_header(entry: Entry, source: str) -> None:
    text = read_source(source)
    macro = f"{entry.name.partition('_')[2].upper()}_PARAMETERS"
    assert text.count(f"{entry.name}({macro})") == 2  # on CUDA, and on a CPU
    (list_,) = re.findall(rf"#define {macro} \\\n((?:.*\\\n)*.*)\n", text)
    found = re.findall(r"(\w+)(?:,|$)", list_.replace("\\\n", " "))
    assert found == [one.name for one in entry.arguments]


@pytest.fixture(scope="module")
def generate() -> Any:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("generate_arguments", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
