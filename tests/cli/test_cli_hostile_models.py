"""Whatever a model file holds: an answer, or one message and exit code 2. Never a traceback."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import gpubp, mixed_table, only_error, succeeds
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("softmax"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
ARRAYS = st.tuples(
    st.sampled_from(["float32", "float64", "int64", "float16"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from([0.0, 1.0, -1.0, 1e30, -1e308, 1e308, 5e-324, float("inf"), float("nan")]),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile")
    table = mixed_table(path / "table.csv", rows=30)
    succeeds("train", table, "--hidden", 3, "--epochs", 1, "-o", path / "classes")
    succeeds("train", table, "--target", "score", "--hidden", 3, "--epochs", 1, "-o", path / "values")
    return path


def must_end_well(folder: Path, content: bytes) -> None:
    (folder / "bad").write_bytes(content)
    for arguments in (("show",), ("predict", folder / "table.csv", "-q"), ("show", "--json")):
        outcome = gpubp(arguments[0], folder / "bad", *arguments[1:])
        assert outcome.code in (0, 2)
        if outcome.code == 2:
            assert outcome.out == ""
            only_error(outcome.err, "")
            if arguments == ("show",):
                break  # every command reads a file the same way
        elif "--json" in arguments:
            assert outcome.json


@given(st.binary(max_size=200))
@example(b"")
@example(b"\0" * 8)
@example(b"\x02" + b"\0" * 7 + b"{}")
@example(b"\xff" * 8 + b"{}")
@settings(max_examples=60)
def test_arbitrary_bytes(folder: Path, content: bytes) -> None:
    must_end_well(folder, content)
    assert gpubp("show", folder / "bad").code == 2


@given(st.sampled_from(["classes", "values"]), st.integers(0), st.integers(0, 255))
@settings(max_examples=60)
def test_one_byte_changed(folder: Path, name: str, place: int, value: int) -> None:
    content = bytearray((folder / name).read_bytes())
    content[place % len(content)] = value
    must_end_well(folder, bytes(content))


@given(JSON)
@settings(max_examples=60)
def test_arbitrary_metadata(folder: Path, described: Any) -> None:
    tensors = load((folder / "classes").read_bytes())
    must_end_well(folder, save(tensors, {"gpubp": json.dumps(described)}))


@given(st.sampled_from(["classes", "values"]), st.data())
@settings(max_examples=150)
def test_a_true_model_with_one_thing_changed(folder: Path, name: str, data: st.DataObject) -> None:
    tensors, described = parts((folder / name).read_bytes())
    if data.draw(st.booleans(), label="change an array"):
        changed = data.draw(st.sampled_from(sorted(tensors)))
        dtype, shape, value = data.draw(ARRAYS)
        keeps_form = data.draw(st.booleans(), label="of the right form")
        with np.errstate(over="ignore"):
            like = np.empty_like(tensors[changed]) if keeps_form else np.empty(shape, dtype)
            tensors[changed] = np.full_like(like, np.float64(value).astype(like.dtype) if like.dtype != "i8" else 1)
    else:
        described = deepcopy(described)
        place: Any = described
        path = data.draw(st.sampled_from(paths(described)))
        for step in path[:-1]:
            place = place[step]
        if data.draw(st.booleans(), label="remove it") and isinstance(place, dict):
            del place[path[-1]]
        else:
            place[path[-1]] = data.draw(JSON)
    must_end_well(folder, save(tensors, {"gpubp": json.dumps(described)}))


def parts(content: bytes) -> tuple[dict[str, np.ndarray], Any]:
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    described = json.loads(metadata["gpubp"])
    del described["sha256"]
    return dict(load(content)), described


def paths(value: Any) -> list[tuple[Any, ...]]:
    """The way to every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in [(key,), *((key, *rest) for rest in paths(item))]]
